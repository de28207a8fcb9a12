"""Which address is sent for a cell, and which cells are left to people."""
# ruff: noqa: RUF001 - people write such characters

import csv
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bulkverify.errors import InvalidListError
from bulkverify.lists import CellExample, CellKind, Examples, joined_rows, split
from bulkverify.lists.cells import Reading, read_cell
from tests.lists.made import (
    CELLS,
    NO_ADDRESS,
    addresses,
    answered,
    joined,
    opened,
    records_of,
)

UNWRAPPED, UNCLEAR, INVALID = CellKind.UNWRAPPED, CellKind.UNCLEAR, CellKind.INVALID

GOOD = [
    "ana.lima@example.com",
    "Ana.Lima+list@Example.co.uk",
    "o'brien@example.com",
    "'ana'@example.com",
    "ana'@example.com",
    "bounce+ana=example.com@lists.example.com",
    "r&d@example.com",
    "ana#EXT#@example.com",
    "-ana@example.com",
    "ana@EXAMPLE.COM",
    "Ana@Example.Com",
    "ana@example.vermögensberater",
    "{ana}@example.com",
    "a/b@example.com",
    "=ana@example.com",
    "ana_@example.com",
    '"Ana Lima"@example.com',
    '"ana@home"@example.com',
    '"<ana>"@example.com',
    "ana@[192.0.2.1]",
    "ana@[IPv6:2001:db8::1]",
    "ana@xn--mller-kva.example",
    "ana@müller.example",
    "ä.ö@X.com",
    "o’brien@example.com",
    "用户@例子.世界",
    "cy@例え。jp",
    "cy@例え．jp",
    "di@例え｡jp",
    "👩@example.com",
    "❤\ufe0f@example.com",
    "ivan@почта.рф",
]


@pytest.mark.parametrize("address", GOOD)
def test_an_address_that_is_good_as_it_stands_is_sent_as_it_stands(address: str) -> None:
    assert read_cell(address) == Reading(address)


@pytest.mark.parametrize("address", [address for address in GOOD if "<" not in address])
@pytest.mark.parametrize(
    "wrapped",
    ["<{}>", "Ana <{}>", '"Lima, Ana" <{}>', "\u201c{}\u201d", "{};", "\u200b{}", "Ana <{}>;"],
)
def test_any_good_address_can_be_wrapped(address: str, wrapped: str) -> None:
    assert read_cell(wrapped.format(address)) == Reading(address, UNWRAPPED)


@pytest.mark.parametrize(
    "cell",
    [
        '"Ana Lima" <a@x.com>',
        "Ana Lima <a@x.com>",
        "Lima, Ana <a@x.com>",
        "'Ana Lima' <a@x.com>",
        "„Ana Lima“ <a@x.com>",
        "Ana Lima <'a@x.com'>",
        "Ana (HR) Lima <a@x.com> (work);",
        "a@x.com <a@x.com>",
        '"a@X.COM" <a@x.com>',
        "Ana Lima <a@x.com",
        "Ana <<a@x.com>>",
        "a@x.com <Ana Lima>",
        "Ana Lima (a@x.com)",
        "Lima, Ana [mailto:a@x.com]",
        "< a@x.com >",
        "<a@x.com",
        "a@x.com>",
        "mailto:a@x.com",
        "MAILTO: a@x.com?subject=Hi",
        "mailto://a@x.com",
        "mailto:a%40x.com",
        "smtp:a@x.com",
        "E-Mail: a@x.com",
        "Email：a@x.com",
        "＜a@x.com＞",
        "Ana ＜a@x.com＞",
        "a@x.com（仕事）",
        "¿a@x.com?",
        "'a@x.com'",
        '"a@x.com"',
        "\"'a@x.com'\"",
        "`a@x.com`",
        "“a@x.com”",
        "«a@x.com»",
        "‘a@x.com’",
        "“a@x.com",
        "a@x.com”",
        "a@x.com'",
        "'a@x.com",
        "`a@x.com",
        "´a@x.com",
        "'a@x.com;",
        "''a@x.com''",
        "(a@x.com)",
        "[a@x.com]",
        "{a@x.com}",
        "【a@x.com】",
        "a@x.com (work)",
        "a@x.com [private]",
        "a@x.com;",
        "a@x.com,",
        "a@x.com.",
        "a@x.com. ;",
        "a@x.com；",
        "; a@x.com",
        "- a@x.com",
        "• a@x.com",
        "•a@x.com",
        "a@x.com -",
        "**a@x.com**",
        "a@x.com, a@x.com",
        "a@x.com\na@X.com",
        "[a@x.com](mailto:a@x.com)",
        '["a@x.com"]',
        "&lt;a@x.com&gt;",
        "Ana &LT;a&#64;x.com&gt;",
        "\u200ba@x.com",
        "a\u00ad@x.com",
        "\u202aa@x.com\u202c",
        "a@x.\ufeffcom",
        "a@x.com\ufe0f",
        "a@x.com\x7f",
        "a\uff20x.com",
        "a\ufe6bx.com",
        "a@x.com\x01",
        "\u200b\u200ea@\u200bx\u00ad.com\ufeff",
        "ａ＠ｘ．ｃｏｍ",
        "a@ｘ.com",
        "a@x。com",
        "a@x.com\u00a0.",
    ],
)
def test_what_is_certainly_around_an_address_is_not_sent(cell: str) -> None:
    assert read_cell(cell) == Reading("a@x.com", UNWRAPPED)


@pytest.mark.parametrize(
    "cell",
    [
        "a@x.com; b@x.com",
        "a@x.com;b@x.com",
        "a@x.com, b@x.com",
        "a@x.com / b@x.com",
        "a@x.com/b@x.com",
        "a@x.com|b@x.com",
        "a@x.com & b@x.com",
        "a@x.com b@x.com",
        "a@x.com\u00a0b@x.com",
        "a@x.com\nb@x.com",
        "a@x.com\r\nb@x.com",
        "a@x.com\tb@x.com",
        "a@x.com ::: b@x.com",
        "a@x.com or b@x.com",
        "a@x.com、b@x.com",
        "a@x.com，b@x.com",
        "a@x.comb@x.com",
        "@a@x.com",
        # A word or a mark is glued to one.
        *("a@x.com|Ana", "a@x.com/Ana", "a@x.com+Ana", "a@x.com&Ana", "a@x.com*x", "a@x.com=x"),
        *("a@x.com#x", "a@x.com$x", r"a@x.com\n", "a@x.com_x", "a@x.com2024", "a@x.com-Ana"),
        *("a@x.comOslo", "a@x.comです", "a@x.com(x)Ana", "a@x.com..Ana", "a@[192.0.2.1]Ana"),
        *(
            "Ana|a@x.com",
            "|a@x.com",
            "*a@x.com",
            "?a@x.com",
            "!a@x.com",
            "#a@x.com",
            "メールa@x.com",
        ),
        *("email=a@x.com", "To=a@x.com", "Ana...a@x.com", "a(home)@x.com", "a[home]@x.com"),
        *('Ana "a"@x.com', "Ana: a@[192.0.2.1]"),
        # It is commented out.
        *(
            "# a@x.com",
            "// a@x.com",
            "-- a@x.com",
            "/* a@x.com */",
            "<!-- a@x.com -->",
            "!! a@x.com",
        ),
        "(a@x.com) (b@x.com)",
        "<a@x.com>, <b@x.com>",
        "Ana <a@x.com>; Bo <b@x.com>",
        "Ana <a@x.com>, b@x.com",
        "b@x.com <a@x.com>",
        "ba@x.com <a@x.com>",
        "a@x.com (not b@x.com)",
        "a@x.com (b@x.com)",
        '"a@x.com","b@x.com"',
        '["a@x.com", "b@x.com"]',
        "SMTP:a@x.com;smtp:b@x.com",
        "mailto:a@x.com,b@x.com",
        "mailto:a@x.com?cc=b@x.com",
        "mailto:a@x.com?cc=b%40x.com",
        "Ana <a@x.com>, bo.ek@x",
        "A@x.com a@x.com",
        "a@x.com; " * 400 + "b@x.com",
        # One address, and it is not certain that it is meant, or that it is all.
        "ana lima@x.com",
        "Ana Lima a@x.com",
        "Ana: a@x.com",
        "sip:a@x.com",
        "1. a@x.com",
        "a @x.com",
        "Ana @ Acme <a@x.com>",
        "a@x.com...",
        "--a@x.com--",
        "a@x.com#",
        "mailto:?to=a@x.com",
        "メール：a@x.com",
        "a@x.com…",
        '<a href="mailto:a@x.com">a@x.com</a>',
        '{"email": "a@x.com"}',
        "do not write to a@x.com",
    ],
)
def test_where_it_is_not_certain_which_address_is_meant_none_is_sent(cell: str) -> None:
    assert read_cell(cell) == Reading("", UNCLEAR)


@pytest.mark.parametrize(
    "cell",
    [
        "n/a",
        "Ana Lima",
        "Acme <Sales>",
        "<>",
        "@",
        "@ana",
        "Ana @ Acme",
        "a@",
        "@x.com",
        "a@@x.com",
        "a@x",
        "a@localhost",
        "Ana <a@localhost>",
        "a..b@x.com",
        ".a@x.com",
        "ana...@x.com",
        "ana@exam...",
        "a@exa mple.com",
        "a@example.123",
        "a@-x.com",
        "a@ex_ample.com",
        "a@ab--cd.com",
        "a@[192.0.2.256]",
        "https://x.com/@ana",
        "\ud800@x.com",
        "a@" * 100_000,
        "(" * 10_000 + "@",
        '"' * 10_000 + "@",
    ],
)
def test_what_has_no_address_is_invalid(cell: str) -> None:
    assert read_cell(cell) == Reading("", INVALID)


@pytest.mark.parametrize("cell", ["\u200b", "\ufeff\u200e", "\u2060 \u00ad"])
def test_a_cell_that_looks_empty_is_empty(cell: str) -> None:
    assert read_cell(cell) == Reading("")


INVISIBLE = [
    *"\u200b\u200c\u200d\u200e\u202a\u2060\ufeff\u00ad\u180e\u3164\ufe0f",
    *"\x01\x02\x08\x0e\x1b\x7f\x80\x90\x9f",
]


@pytest.mark.parametrize("between", [*INVISIBLE, *"\x0b\x0c\x1c\x1f\x85\u00a0\u2003\u3000"])
def test_a_character_that_can_not_be_seen_never_joins_two_words(between: str) -> None:
    if between != "\ufe0f":
        assert read_cell(f"Ana{between}ana@x.com") == Reading("", UNCLEAR)
        assert read_cell(f"ana@x.com{between}bo@x.com") == Reading("", UNCLEAR)
    assert read_cell(f"ana@x.com{between}Oslo") == Reading("", UNCLEAR)


def test_it_joins_what_is_no_word() -> None:
    assert read_cell("ana.\u2060lima@x.com") == Reading("ana.lima@x.com", UNWRAPPED)
    assert read_cell("ana\u2060.lima@x.com") == Reading("ana.lima@x.com", UNWRAPPED)
    assert read_cell("ana@x.com.\u200bOslo") == Reading("", UNCLEAR)


ADDRESSES = st.from_regex(r"[a-z]{1,5}([.+_'-][a-z0-9]{1,3})?@[a-z]{2,6}\.(com|de)", fullmatch=True)
LAYERS = st.sampled_from(
    [
        *(
            "<{}>",
            "({})",
            "[{}]",
            '"{}"',
            "“{}”",
            "«{}»",
            "mailto:{}",
            "smtp:{}",
            "{};",
            "{},",
            "{}.",
        ),
        *(
            " {} ",
            "\u200b{}",
            "{}\ufeff",
            "Ana Lima <{}>",
            '"Lima, Ana" <{}>',
            "Bo ({})",
            "{} (work)",
        ),
        *("{}\n", "- {}", "{}>", "Email: {}"),
    ]
)


@settings(max_examples=300, deadline=None)
@given(address=ADDRESSES, layers=st.lists(LAYERS, min_size=1, max_size=4))
def test_layers_around_an_address_never_change_it(address: str, layers: list[str]) -> None:
    cell = address
    for layer in layers:
        cell = layer.format(cell)
    reading = read_cell(cell.strip())
    assert reading.address in {address, ""}
    assert reading.address == address or reading.kind is UNCLEAR


@settings(max_examples=300, deadline=None)
@given(
    found=st.lists(ADDRESSES, min_size=2, max_size=4, unique=True),
    between=st.text(alphabet=" \n\t;,/|&:()<>[]-·", min_size=1, max_size=4),
    layer=st.just("{}") | LAYERS,
)
def test_of_several_addresses_none_is_sent(found: list[str], between: str, layer: str) -> None:
    cell = between.join(layer.format(address) for address in found).strip()
    assert not read_cell(cell).address or read_cell(cell) == Reading(cell)


@settings(max_examples=500, deadline=None)
@given(cell=st.text(alphabet="ab@@.. <>()\"';,\u200b\n:", min_size=1, max_size=30).map(str.strip))
def test_only_an_address_of_the_cell_is_ever_sent(cell: str) -> None:
    reading = read_cell(cell) if cell else Reading("")
    assert reading.address in cell.replace("\u200b", "")
    assert bool(reading.address) is (
        reading.kind in {None, UNWRAPPED} and bool(cell.strip("\u200b \n"))
    )


@settings(max_examples=500, deadline=None)
@given(
    address=ADDRESSES,
    before=st.text(alphabet="Ana27ん ,;:|/\\&=#*'\"()<>[]{}\u200b\x01", max_size=6),
    after=st.text(alphabet="AN27ん .,;:|/\\&=#*'\"()<>[]{}\u200b\x01_-", max_size=6),
)
def test_an_address_beside_anything_else_is_sent_as_it_is_or_unclear(
    address: str, before: str, after: str
) -> None:
    cell = f"{before}{address}{after}".strip()
    reading = read_cell(cell)
    longer = reading.address.endswith(address) or after.startswith(".")  # as in `a@b.com.au`
    assert reading.address in {address, ""} or (longer and reading.address in cell)
    assert reading.address or reading.kind is UNCLEAR


# In a list

LIST = """name,email
Ana,Ana Lima <ana@example.com>
Bo,bo@example.com; bo@home.example
Cy,\u200bana@example.com
Di,n/a
Ed,
Flo,flo@müller.example
Gus,FLO
Hal,<flo@xn--mller-kva.example>
Ida,see ida@example.com
"""


def test_the_cells_come_back_as_they_were(path: Path) -> None:
    text, outcome = joined(opened(path, LIST), path.parent)
    rows = records_of(text)
    assert [row[:2] for row in rows] == list(csv.reader(LIST.splitlines()))
    assert [row[2:] for row in rows[1:]] == [
        CELLS,
        [""] * 7,
        CELLS,
        NO_ADDRESS,
        NO_ADDRESS,
        CELLS,
        NO_ADDRESS,
        CELLS,
        [""] * 7,
    ]
    assert outcome.missing == 0
    assert outcome.verdicts.accept_all == 4
    assert outcome.examples == (
        CellExample(row=2, kind=UNCLEAR, cell="bo@example.com; bo@home.example"),
        CellExample(row=9, kind=UNCLEAR, cell="see ida@example.com"),
        CellExample(row=4, kind=INVALID, cell="n/a"),
        CellExample(row=7, kind=INVALID, cell="FLO"),
    )


def test_the_examples_are_found_in_json_too(path: Path) -> None:
    table = opened(
        path, '{"email":"a@x.com"}\n{"email":["b@x.com","c@x.com"],"x":1}\n', format="jsonl"
    )
    text, outcome = joined(table, path.parent, format="jsonl")
    assert text.splitlines()[1].startswith('{"email":["b@x.com","c@x.com"],"x":1, "verdict": null')
    [example] = outcome.examples
    assert example == CellExample(row=2, kind=UNCLEAR, cell='["b@x.com", "c@x.com"]')
    table = opened(path, '{"email":"a@x.com"}\n{"E-Mail":"n/a"}\n', format="jsonl")
    [example] = joined(table, path.parent, format="jsonl")[1].examples
    assert example == CellExample(row=2, kind=INVALID, cell='{"E-Mail":"n/a"}')


def test_each_address_is_sent_once_however_it_is_wrapped_or_spelled(path: Path) -> None:
    examples = Examples()
    done = split(opened(path, LIST), path.parent, examples=examples)
    assert addresses(path.parent, 1) == ["ana@example.com", "flo@müller.example"]
    assert (done.rows, done.addresses, done.duplicates) == (9, 2, 2)
    assert (done.invalid, done.blank, done.unclear, done.unwrapped) == (2, 1, 2, 3)
    assert [(example.row, example.kind, example.sent) for example in examples][:3] == [
        (1, UNWRAPPED, "ana@example.com"),
        (3, UNWRAPPED, "ana@example.com"),
        (8, UNWRAPPED, "flo@xn--mller-kva.example"),
    ]


def test_unclear_cells_are_not_sent_even_if_invalid_ones_are(path: Path) -> None:
    done = split(opened(path, LIST), path.parent, judge=False)
    assert addresses(path.parent, 1) == ["ana@example.com", "n/a", "flo@müller.example", "FLO"]
    assert (done.invalid, done.unclear, done.unwrapped) == (0, 2, 3)


def test_a_row_says_which_address_its_verdict_is_for(path: Path) -> None:
    table = opened(path, LIST)
    done = split(table, path.parent)
    rows = list(joined_rows(table, done, path.parent, answered(done, path.parent)))
    assert [row.email for row in rows] == [
        "ana@example.com",
        "bo@example.com; bo@home.example",
        "ana@example.com",
        "n/a",
        "",
        "flo@müller.example",
        "FLO",
        "flo@xn--mller-kva.example",
        "see ida@example.com",
    ]
    assert [row.verdict is None for row in rows] == [False, True, *[False] * 6, True]
    assert rows[0].columns["email"] == "Ana Lima <ana@example.com>"


def test_a_service_may_encode_the_domains_that_it_was_sent(path: Path) -> None:
    table = opened(path, "email\na@müller.example\nb@MÜLLER.example\n")
    done = split(table, path.parent)
    results = answered(done, path.parent)
    results[1].write_text(results[1].read_text().replace("müller", "xn--mller-kva"))
    rows = joined_rows(table, done, path.parent, results)
    assert [row.verdict == "accept-all" for row in rows] == [True, True]


@pytest.mark.parametrize(
    "cell", ["a@x.com\nb@x.com", "a@x.com\nb@x.com\nask Bo", "a@x.com\n\nb@x.com"]
)
def test_a_cell_of_a_narrow_list_may_have_two_addresses(path: Path, cell: str) -> None:
    done = split(opened(path, f'email\n"{cell}"\nc@x.com\n'), path.parent)
    assert (done.rows, done.unclear, done.addresses) == (2, 1, 1)


def test_a_list_of_nothing_but_several_addresses_is_refused(path: Path) -> None:
    table = opened(path, "email\na@x.com; b@x.com\n\nc@x.com d@x.com\n")
    with pytest.raises(InvalidListError, match="no row with a single address: 2 cells") as info:
        split(table, path.parent)
    assert "row 1: 'a@x.com; b@x.com'" in info.value.message
    assert "Write each address in a row of its own" in info.value.hint


@pytest.mark.parametrize(
    "content",
    [
        "a@x.com;\nb@x.com;\n",
        "a@x.com,\nb@x.com\nc@x.com,\n",
        '"a@x.com",\n"b@x.com",\n',
        '"Lima, Ana" <a@x.com>\n"Ek, Bo" <b@x.com>\n',
        "Ana <a@x.com>;\nBo <b@x.com>;\n",
    ],
)
@pytest.mark.parametrize("name", ["list.txt", "list.csv"])
def test_delimiters_around_one_address_a_line_make_no_table(
    tmp_path: Path, content: str, name: str
) -> None:
    done = split(opened(tmp_path / name, content), tmp_path)
    assert addresses(tmp_path, 1)[:2] == ["a@x.com", "b@x.com"]
    assert (done.unclear, done.invalid) == (0, 0)


def test_several_addresses_on_the_lines_of_a_text_are_refused(tmp_path: Path) -> None:
    for content in ("a@x.com; b@x.com\n", "Ana;a@x.com\nBo;b@x.com\n"):
        with pytest.raises(InvalidListError, match="on a line"):
            opened(tmp_path / "list.txt", content)

"""Address lists as people have them: found out, read, and joined, cell for cell."""

import csv
from collections.abc import Mapping
from datetime import UTC, datetime
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bulkverify.errors import InvalidListError, UsageError
from bulkverify.lists import AddressList, address_key, inspect_list, write_joined
from bulkverify.models import ResultRow, Verdict

ROW = ResultRow(
    email="a@x",
    verdict=Verdict.ACCEPT_ALL,
    syntax_error=False,
    common_isp=True,
    role_based=None,
    disposable=False,
    spamtrap=False,
    verified_at=datetime(2021, 9, 13, 6, 49, 39, 280_000, tzinfo=UTC),
)
ROW_CELLS = ["accept_all", "N", "Y", "", "N", "N", "2021-09-13T06:49:39.280Z"]
OURS = [
    "verdict",
    "syntax_error",
    "common_isp",
    "role_based",
    "disposable",
    "spamtrap",
    "verified_at",
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "list.csv"


def inspected(path: Path, content: str | bytes, **options: Any) -> AddressList:  # noqa: ANN401
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return inspect_list(path, **options)


def joined(source: AddressList, verdicts: Mapping[str, ResultRow]) -> str:
    file = BytesIO()
    results = list(write_joined(file, source, verdicts))
    expected = [verdicts.get(address_key(source.address(row))) for row in source.rows()]
    assert results == expected
    assert not file.closed
    return file.getvalue().decode()


# Finding out how to read a list


@pytest.mark.parametrize(
    ("content", "header", "column", "width"),
    [
        ("email\na@x\n", ("email",), 0, 1),
        ("\ufeffemail\na@x\n", ("email",), 0, 1),
        ("Name,E-Mail\nAnna,a@x\n", ("Name", "E-Mail"), 1, 2),
        ("Name, E-mail  ADDRESS \nAnna,a@x\n", ("Name", " E-mail  ADDRESS "), 1, 2),
        ("Address,Email\n@home,a@x\n", ("Address", "Email"), 1, 2),
        ("Name,Contact\nAnna,a@x\n", ("Name", "Contact"), 1, 2),
        ("Twitter,Contact\n@a,a@x\n,b@x\n", ("Twitter", "Contact"), 1, 2),
        ("a@x\nb@x\n", None, 0, 1),
        ("Anna,a@x\nBob,b@x\n", None, 1, 2),
        ("a@x\nb@x,Bob\n", None, 0, 2),
        ("\n\r\nemail\n\na@x\n", ("email",), 0, 1),
        ("email\na@x", ("email",), 0, 1),
        ('"email"\n"a@x"\n', ("email",), 0, 1),
        (",email\n,a@x\n", ("", "email"), 1, 2),
    ],
)
def test_a_list_tells_its_header_and_its_addresses(
    path: Path, content: str, header: tuple[str, ...] | None, column: int, width: int
) -> None:
    source = inspected(path, content)
    assert (source.header, source.column, source.width) == (header, column, width)
    assert source.names == (header or tuple(f"col{index}" for index in range(width)))
    assert source.address(next(source.rows())) in {"a@x", ""}


@pytest.mark.parametrize(
    ("content", "delimiter"),
    [
        ("email,name\na@x,Anna\n", ","),
        ("email;name\na@x;Anna\n", ";"),
        ("email\tname\na@x\tAnna\n", "\t"),
        ("email|name\na@x|Anna\n", "|"),
        ("email;name\na@x;Müller, Anna\nb@x;B, C, D\n", ";"),
        ('email;note\na@x;"1;2"\n', ";"),
        ("email\na@x\n", ","),
        ("email,name;title\na@x,Anna;Dr\nb@x,Bob\n", ","),
    ],
)
def test_the_delimiter_is_the_one_that_cuts_evenly(
    path: Path, content: str, delimiter: str
) -> None:
    assert inspected(path, content).delimiter == delimiter


def test_a_cell_beyond_the_limit_of_csv_is_told(path: Path) -> None:
    content = f"email;{'x' * (csv.field_size_limit() + 1)}\na@x;y\n"
    with pytest.raises(InvalidListError, match="field larger than field limit"):
        inspected(path, content)


def test_a_lower_limit_of_csv_is_no_delimiters_fault(path: Path) -> None:
    before = csv.field_size_limit(10)
    try:
        with pytest.raises(InvalidListError, match=r"field larger than field limit \(10\)"):
            inspected(path, "email;name\na@example.com;Anna\n")
    finally:
        csv.field_size_limit(before)


def test_a_delimiter_can_be_named(path: Path) -> None:
    source = inspected(path, "email:name\na@x:Anna\n", delimiter=":")
    assert list(source.rows()) == [["a@x", "Anna"]]


@pytest.mark.parametrize("delimiter", ["", ",,", '"', "\n", "\r"])
def test_what_is_no_delimiter_is_refused(path: Path, delimiter: str) -> None:
    with pytest.raises(UsageError, match="A delimiter is one character"):
        inspected(path, "email\na@x\n", delimiter=delimiter)


@pytest.mark.parametrize(
    ("content", "newline"), [("email\na@x\n", "\n"), ("email\r\na@x\r\n", "\r\n"), ("a@x", "\n")]
)
def test_the_line_ends_are_noticed(path: Path, content: str, newline: str) -> None:
    assert inspected(path, content).newline == newline


@pytest.mark.parametrize(
    ("content", "wanted", "column"),
    [
        ("email,backup\na@x,b@x\n", "backup", 1),
        ("email,Backup\na@x,b@x\n", "backup", 1),
        ("email,Backup  Mail\na@x,b@x\n", " backup mail ", 1),
        ("email,Backup\na@x,b@x\n", "BACKUP\t", 1),
        ("email,Backup  Mail\na@x,b@x\n", "Backup  mail", 1),
        ("x,X\na@x,b@x\n", "X", 1),
        ("a@x,b@x\n", "col1", 1),
        ("email,none\na@x,c\n", "none", 1),
    ],
)
def test_the_column_of_the_addresses_can_be_named(
    path: Path, content: str, wanted: str, column: int
) -> None:
    assert inspected(path, content, column=wanted).column == column


def test_a_column_that_there_is_not_is_answered_with_those_that_there_are(path: Path) -> None:
    with pytest.raises(UsageError, match=r"no column 'mail'; it has 'email', 'name'\. A list"):
        inspected(path, "email,name\na@x,Anna\n", column="mail")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"list\.csv is empty: a list needs at least one address"),
        (b"\n\r\n\n", r"list\.csv is empty"),
        (b"\xef\xbb\xbf", r"list\.csv is empty"),
        (b"email\n", r"list\.csv has a header and no rows"),
        (b"email,name\n\n", r"list\.csv has a header and no rows"),
        (b"name,city\nAnna,Berlin\n", r"no column of addresses among 'name', 'city'\. Name it"),
        (b"PK\x03\x04rest", r"is a spreadsheet or a ZIP file"),
        (b"email\0\n", r"is no text file: save it as CSV"),
        (b"caf\xe9,email\n", r"is not utf-8-sig text: byte 0xe9 after line 0"),
    ],
)
def test_what_is_no_list_says_why(path: Path, content: bytes, message: str) -> None:
    with pytest.raises(InvalidListError, match=message) as info:
        inspected(path, content)
    assert info.value.__cause__ is None


def test_a_file_that_is_not_there_is_pythons_error(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        inspect_list(path)


@pytest.mark.parametrize("encoding", ["klingon", "hex", ""])
def test_an_encoding_that_there_is_not_is_refused(path: Path, encoding: str) -> None:
    with pytest.raises(UsageError, match=f"There is no encoding {encoding!r}; try 'cp1252'"):
        inspected(path, "email\na@x\n", encoding=encoding)


@pytest.mark.parametrize("encoding", ["cp1252", "utf-8", "latin-1", "utf-16", "utf-16-le"])
def test_a_list_may_be_in_any_encoding(path: Path, encoding: str) -> None:
    content = "name;email\nMüller;a@x\n".encode(encoding)
    if encoding == "utf-16-le":
        content = "\ufeff".encode(encoding) + content
    source = inspected(path, content, encoding=encoding)
    assert list(source.rows()) == [["Müller", "a@x"]]


def test_text_without_the_mark_that_its_encoding_needs_is_no_list(path: Path) -> None:
    with pytest.raises(InvalidListError, match="is not utf-16 text"):
        inspected(path, b"email\na@x\n", encoding="utf-16")


# Reading its rows


def test_the_rows_come_in_order_and_are_as_wide_as_the_list(path: Path) -> None:
    source = inspected(
        path, 'email,name,note\r\na@x,"Müller, Anna","1\r\n2"\r\n\r\nb@x\r\n,,\r\n" c@x ",C,'
    )
    rows = list(source.rows())
    assert rows == [
        ["a@x", "Müller, Anna", "1\r\n2"],
        ["b@x", "", ""],
        ["", "", ""],
        [" c@x ", "C", ""],
    ]
    assert [source.address(row) for row in rows] == ["a@x", "b@x", "", "c@x"]
    assert list(source.rows()) == rows


def test_the_first_row_of_a_list_without_a_header_is_a_row(path: Path) -> None:
    assert list(inspected(path, "a@x\nb@x\n").rows()) == [["a@x"], ["b@x"]]


def test_lines_end_where_csv_says_so(path: Path) -> None:
    source = inspected(path, "email,note\na@x,1\u20282\x0b3\x0c4\x855\n")
    assert list(source.rows()) == [["a@x", "1\u20282\x0b3\x0c4\x855"]]


def test_a_row_that_is_too_wide_is_named_by_its_line(path: Path) -> None:
    source = inspected(path, 'email,name\na@x,"A\nB"\nb@x,Müller, Bob\n')
    with pytest.raises(
        InvalidListError, match=r"Line 4 of .*list\.csv has 3 cells where the list has 2 columns"
    ):
        list(source.rows())


def test_bytes_of_another_encoding_far_into_a_list_are_named(path: Path) -> None:
    source = inspected(path, b"email\n" + b"a@x\n" * 100_000 + b"caf\xe9@x\n")
    with pytest.raises(InvalidListError, match=r"byte 0xe9 after line .* Nothing was sent"):
        list(source.rows())


def test_what_csv_cannot_read_is_named_by_its_line(path: Path) -> None:
    content = b"email\n" + b"a@x\n" * 200 + b"x" * (csv.field_size_limit() + 1)
    source = inspected(path, content)
    with pytest.raises(InvalidListError, match="can't be read as CSV at line 202: field larger"):
        list(source.rows())


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("a@x.com", "a@X.COM", True),
        ("a@x.com", " a@x.com\n", True),
        ("a@x.com", "A@x.com", False),
        ('"a@b"@x.com', '"a@b"@X.com', True),
        ('"a@B"@x.com', '"a@b"@x.com', False),
        ("nobody", "nobody", True),
        ("", "  ", True),
        ("a@x.com", "a@y.com", False),
    ],
)
def test_two_addresses_are_one_if_mail_takes_them_for_one(
    one: str, other: str, *, same: bool
) -> None:
    assert (address_key(one) == address_key(other)) is same


# Joining the verdicts to the rows


def test_every_row_gets_its_verdict_behind_it(path: Path) -> None:
    source = inspected(path, "name,email\nAnna,a@x\nBob,b@x\nAgain, a@X \n")
    assert joined(source, {"a@x": ROW}).splitlines() == [
        ",".join(["name", "email", *OURS]),
        ",".join(["Anna", "a@x", *ROW_CELLS]),
        "Bob,b@x,,,,,,,",
        ",".join(["Again", " a@X ", *ROW_CELLS]),
    ]


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_output_has_the_delimiter_and_the_line_ends_of_the_list(
    path: Path, delimiter: str, newline: str
) -> None:
    source = inspected(path, f"name{delimiter}email{newline}Anna{delimiter}a@x{newline}")
    assert joined(source, {"a@x": ROW}) == newline.join(
        [
            delimiter.join(["name", "email", *OURS]),
            delimiter.join(["Anna", "a@x", *ROW_CELLS]),
            "",
        ]
    )


def test_a_list_without_a_header_gets_one(path: Path) -> None:
    text = joined(inspected(path, "Anna,a@x\n"), {})
    assert text.splitlines()[0] == ",".join(["col0", "col1", *OURS])


@pytest.mark.parametrize(
    ("header", "ours"),
    [
        ("email,verdict", ["bulkverify_verdict", *OURS[1:]]),
        ("email, Verdict ", ["bulkverify_verdict", *OURS[1:]]),
        ("email,VERIFIED_AT", [*OURS[:-1], "bulkverify_verified_at"]),
        (
            "email,verdict,bulkverify_verdict",
            ["bulkverify_bulkverify_verdict", *OURS[1:]],
        ),
    ],
)
def test_a_column_of_the_list_keeps_its_name_and_ours_gives_way(
    path: Path, header: str, ours: list[str]
) -> None:
    text = joined(inspected(path, f"{header}\na@x,mine{',' * (header.count(',') - 1)}\n"), {})
    assert text.splitlines()[0] == ",".join([header, *ours])


@pytest.mark.parametrize(
    ("newline", "cells"),
    [("\n", ["1\r2", "\r", "1\n2", "\n"]), ("\r\n", ["1\r2", "\r", "1\r\n2", "\n"])],
)
def test_a_cell_may_hold_any_line_end(path: Path, newline: str, cells: list[str]) -> None:
    text = StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator=newline).writerows(
        [["email", *"wxyz"], ["a@x", *cells]]
    )
    source = inspected(path, text.getvalue())
    again = list(csv.reader(StringIO(joined(source, {"a@x": ROW}), newline="")))
    assert again == [["email", *"wxyz", *OURS], ["a@x", *cells, *ROW_CELLS]]


CELLS = st.text(
    alphabet=st.one_of(
        st.sampled_from("\"',;\t|\r\n @\u2028\x0bä測📬"),
        st.characters(codec="utf-8", exclude_characters="\0"),
    ),
    max_size=8,
)


@given(
    rows=st.lists(st.lists(CELLS, min_size=2, max_size=2), min_size=1, max_size=6),
    newline=st.sampled_from(["\n", "\r\n"]),
    delimiter=st.sampled_from(",;\t|"),
    bom=st.booleans(),
)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_comes_back_cell_for_cell(
    path: Path, rows: list[list[str]], newline: str, delimiter: str, *, bom: bool
) -> None:
    text = StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, lineterminator=newline, quoting=csv.QUOTE_ALL)
    writer.writerows([["email", "x", "y"], *(["a@x", *row] for row in rows)])
    content = text.getvalue().encode("utf-8-sig" if bom else "utf-8")
    source = inspected(path, content, delimiter=delimiter)
    output = csv.reader(StringIO(joined(source, {"a@x": ROW}), newline=""), delimiter=delimiter)
    assert list(output) == [
        ["email", "x", "y", *OURS],
        *(["a@x", *row, *ROW_CELLS] for row in rows),
    ]

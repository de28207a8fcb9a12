"""What people have in workbooks: wide rows, formulas, escapes, hidden rows and sheets, and rows that are counted."""

import random
import re
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from openpyxl import Workbook

from bulkverify.errors import InvalidListError, UsageError
from bulkverify.lists import Examples, Table, joined_rows, open_table, sheets, split, texts
from bulkverify.lists.values import column_letters, plain_text
from tests.lists.made import answered, joined
from tests.lists.test_workbooks import package, rows_of
from tests.lists.test_workbooks import sheets as with_sheets

HEADER: list[object] = ["Name", "E-mail"]
ANA: list[object] = ["Ana", "ana@example.com"]
BO: list[object] = ["Bo", "bo@example.com"]


def saved(path: Path, **rows_by_sheet: list[list[object]]) -> Path:
    book = Workbook()
    del book["Sheet"]
    for name, rows in rows_by_sheet.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path


def hidden(path: Path, **states: str) -> Path:
    """Hide sheets of a workbook."""
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    book = files["xl/workbook.xml"].decode()
    for name, state in states.items():
        book = re.sub(rf'(name="{name}"[^>]*state=)"visible"', rf'\1"{state}"', book)
    files["xl/workbook.xml"] = book.encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def opened(path: Path, **options: Any) -> Table:  # noqa: ANN401
    return open_table(path, spool=path.parent, **options)


def cell(reference: str, text: object) -> str:
    return f'<c r="{reference}" t="inlineStr"><is><t>{text}</t></is></c>'


def row(number: int, *texts: object, attributes: str = "") -> str:
    cells = "".join(cell(f"{column_letters(at)}{number}", t) for at, t in enumerate(texts, start=1))
    return f'<row r="{number}"{attributes}>{cells}</row>'


# Wide rows


def test_cells_beside_the_names_have_a_column_without_a_name(tmp_path: Path) -> None:
    path = saved(tmp_path / "list.xlsx", S=[HEADER, [*ANA, None, "bounced?"], BO])
    table = opened(path)
    assert table.names == ("Name", "E-mail", "", "")
    assert list(table.rows()) == [[*ANA, "", "bounced?"], [*BO, "", ""]]
    text, _ = joined(table, tmp_path)
    assert text.splitlines()[0].startswith("Name,E-mail,,,verdict,")
    assert text.splitlines()[1].startswith("Ana,ana@example.com,,bounced?,accept-all,")


def test_a_wide_row_far_below_has_its_column_too(tmp_path: Path) -> None:
    rows: list[list[object]] = [["E-mail"]]
    rows += [[f"a{n}@example.com"] for n in range(300)]
    path = saved(tmp_path / "list.xlsx", S=[*rows, ["b@example.com", "late"]])
    *_, last = opened(path).rows()
    assert last == ["b@example.com", "late"]


# Formulas


FORMULA = '<f>A2&amp;"@example.com"</f>'


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("<c r='B3'>{}</c>", None),
        ('<c r="B3">{}</c>', None),
        ('<c r="B3">{}<v/></c>', None),
        ('<c r="B3">{}<v></v></c>', None),
        ('<c r="B3" s="1">{}<v /></c>', None),
        ('<c r="B3"><f t="shared" si="0"/><v/></c>', None),
        ('<c r="B3" t="str">{}<v></v></c>', ""),
        ('<c r="B3" t="str">{}<v>b@example.com</v></c>', "b@example.com"),
        ('<c r="B3">{}<v>7</v></c>', "7"),
        ('<c r="B3">{}<v>0</v></c>', "0"),
        ('<c r="B3" t="e">{}<v>#REF!</v></c>', "#REF!"),
        ('<c r="B3" t="inlineStr">{}<is><t>b@example.com</t></is></c>', "b@example.com"),
        ('<c r="B3"/>', ""),
    ],
)
def test_a_formula_without_a_value_was_never_calculated(
    tmp_path: Path, cell: str, value: str | None
) -> None:
    rows = row(1, *HEADER) + row(2, *ANA) + f'<row r="3">{cell.format(FORMULA)}</row>'
    table = opened(package(tmp_path / "list.xlsx", rows=rows))
    assert table.sheet is not None
    assert table.sheet.all_uncalculated == ((1, "B3") if value is None else (0, ""))
    found = [["", value or ""]] if value != "" else []
    assert list(table.rows()) == [ANA, *found]


@pytest.mark.parametrize("asks", [True, False])
def test_a_0_is_no_value_if_the_workbook_asks_to_be_calculated(
    tmp_path: Path, *, asks: bool
) -> None:
    """Libraries write 0 as the value of each formula, and ask Excel to calculate."""
    book = with_sheets('<sheet name="S" r:id="s"/>').replace(
        "</workbook>", f'<calcPr fullCalcOnLoad="{int(asks)}"/></workbook>'
    )
    rows = row(1, *HEADER) + f'<row r="2"><c r="B2">{FORMULA}<v>0</v></c></row>' + row(3, *BO)
    table = opened(package(tmp_path / "list.xlsx", rows=rows, workbook=book))
    assert list(table.rows()) == [["", "" if asks else "0"], BO]


@pytest.mark.parametrize(
    ("names", "formulas", "options", "message"),
    [
        (["E-mail"], ["A"], {}, "no addresses: 2 formulas, the first in A2, were never calculated"),
        (["Who", "E-mail"], ["B"], {}, "no addresses: 2 formulas, the first in B2, were never"),
        (
            ["Contact", "E-mail"],
            ["B"],
            {"Contact": "boss@example.com"},
            "no addresses in its column 'E-mail': 2 formulas, the first in B2, were never calculated",
        ),
    ],
)
def test_a_column_of_formulas_without_values_is_refused_with_what_to_do(
    tmp_path: Path, names: list[str], formulas: list[str], options: dict[str, str], message: str
) -> None:
    rows = row(1, *names)
    for number in (2, 3):
        cells = "".join(cell(f"A{number}", text) for text in options.values())
        cells += "".join(f'<c r="{letter}{number}">{FORMULA}<v/></c>' for letter in formulas)
        rows += f'<row r="{number}">{cells}</row>'
    path = package(tmp_path / "list.xlsx", rows=rows)
    with pytest.raises(InvalidListError, match=message) as caught:
        opened(path)
    assert "Open the file in Excel or LibreOffice, and save it there." in str(caught.value)
    if options:  # the caller may mean another column
        assert list(opened(path, column="1").rows()) == [["boss@example.com", ""]] * 2
        with pytest.raises(InvalidListError, match=message):
            split(opened(path, column="E-mail"), tmp_path)


# Escapes


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("a_x000D_b", "a\rb"),
        ("a_x000D_\nb", "a\r\nb"),
        ("_x005F_x000D_", "_x000D_"),
        ("_x005F_", "_"),
        ("x_x0041_x", "xAx"),
        ("_x000a_", "\n"),
        ("_xD83D__xDE00_", "\U0001f600"),
        ("_xD83D_", "\ufffd"),
        ("_x0000_", "\ufffd"),
        ("_x00G0_ _x12_ x000D_ _x_", "_x00G0_ _x12_ x000D_ _x_"),
        ("ana_x@example.com", "ana_x@example.com"),
    ],
)
@pytest.mark.parametrize("kind", ["inlineStr", "s", "str"])
def test_an_escape_is_its_character(tmp_path: Path, written: str, text: str, kind: str) -> None:
    value = "<v>0</v>" if kind == "s" else f"<v>{written}</v>"
    inner = f"<is><t>{written}</t></is>" if kind == "inlineStr" else value
    rows = (
        row(1, "E-mail", "Note")
        + f'<row r="2">{cell("A2", "a@example.com")}<c r="B2" t="{kind}">{inner}</c></row>'
    )
    path = package(tmp_path / "list.xlsx", rows=rows, texts=f"<si><t>{written}</t></si>")
    assert plain_text(written) == text
    assert list(opened(path).rows()) == [["a@example.com", text]]


def test_a_line_end_in_a_cell_is_none_of_the_output(tmp_path: Path) -> None:
    rows = row(1, "E-mail") + row(2, "a@example.com_x000D_\n") + row(3, "b@example.com")
    table = opened(package(tmp_path / "list.xlsx", rows=rows))
    assert split(table, tmp_path).addresses == 2
    assert table.newline == "\n"


# Strict Open XML


def test_strict_open_xml_is_read(tmp_path: Path) -> None:
    path = saved(tmp_path / "list.xlsx", S=[HEADER, ANA])
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    strict = {
        b"http://schemas.openxmlformats.org/officeDocument/2006/relationships": b"http://purl.oclc.org/ooxml/officeDocument/relationships",
        b"http://schemas.openxmlformats.org/spreadsheetml/2006/main": b"http://purl.oclc.org/ooxml/spreadsheetml/main",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            for usual, other in strict.items():
                content = content.replace(usual, other)  # noqa: PLW2901 - the same file
            archive.writestr(name, content)
    assert list(opened(path).rows()) == [ANA]


# Hidden rows, and sheets


def test_hidden_rows_are_counted_below_the_header(tmp_path: Path) -> None:
    rows = row(1, "Title", attributes=' hidden="1"') + row(2, *HEADER)
    rows += row(3, *ANA, attributes=' spans="1:2" hidden="1"') + row(4, *BO)
    rows += '<row r="5" hidden="1"/>' + row(6, "Cy", "cy@example.com", attributes=' hidden="true"')
    table = opened(package(tmp_path / "list.xlsx", rows=rows))
    assert (table.hidden_rows, len(list(table.rows()))) == (2, 3)


@pytest.mark.parametrize(
    ("states", "wanted", "expected"),
    [
        ({}, None, ("Old", ("New", "Notes"), ())),
        ({"Old": "hidden"}, None, ("New", ("Old", "Notes"), ("Old",))),
        ({"Old": "veryHidden", "New": "hidden"}, None, ("Notes", ("Old", "New"), ("Old", "New"))),
        ({"Old": "hidden"}, "Old", ("Old", ("New", "Notes"), ("Old",))),
        ({}, "New", ("New", ("Old", "Notes"), ())),
        ({}, " new", ("New", ("Old", "Notes"), ())),
    ],
)
def test_one_sheet_is_read_and_the_others_with_addresses_are_told(
    tmp_path: Path, states: dict[str, str], wanted: str | None, expected: tuple[Any, ...]
) -> None:
    taken, others, told = expected
    path = saved(
        tmp_path / "list.xlsx",
        Plan=[["ask boss@example.com about it"]],
        Old=[HEADER, ["old", "old@example.com"]],
        New=[HEADER, ["new", "new@example.com"]],
        Notes=[["notes@example.com"]],
        Empty=[],
    )
    table = opened(hidden(path, **states), sheet=wanted)
    assert [row[-1] for row in table.rows()] == [f"{taken.lower()}@example.com"]
    assert table.sheet is not None
    assert (table.sheet.name, table.sheet.others) == (taken, others)
    assert table.sheet.hidden_sheets == told


def test_a_sheet_that_does_not_exist_is_refused_with_those_that_do(tmp_path: Path) -> None:
    path = saved(tmp_path / "list.xlsx", People=[HEADER, ANA], Old=[])
    with pytest.raises(UsageError, match="has no sheet 'Persons'; it has 'People', 'Old'"):
        opened(path, sheet="Persons")
    with pytest.raises(InvalidListError, match="is empty"):
        opened(path, sheet="Old")
    (tmp_path / "list.csv").write_text("a@example.com\n")
    with pytest.raises(UsageError, match=r"list\.csv is no workbook, so it has no sheets"):
        opened(tmp_path / "list.csv", sheet="People")
    with pytest.raises(UsageError, match="or sheets"):
        open_table(["a@example.com"], sheet="People", spool=tmp_path)


# Rows, as the sheet counts them


SPREAD = (
    row(2, "Our people")
    + row(4, *HEADER)
    + row(5, *ANA)
    + '<row r="6"/>'
    + row(9, "Bo", "nothing")
    + row(12, "Cy", "cy@example.com")
    + row(20, "Di", "x y")
)


def test_rows_are_counted_as_the_sheet_counts_them(tmp_path: Path) -> None:
    table = opened(package(tmp_path / "list.xlsx", rows=SPREAD))
    examples = Examples()
    done = split(table, tmp_path, examples=examples)
    assert [one.row for one in examples] == [9, 20]
    assert [(part.first_row, part.last_row) for part in done.parts] == [(5, 12)]
    results = answered(done, tmp_path)
    found = list(joined_rows(table, done, tmp_path, results))
    assert [row.row for row in found] == [5, 9, 12, 20]
    _, outcome = joined(table, tmp_path)
    assert [one.row for one in outcome.examples] == [9, 20]


def test_rows_without_numbers_are_counted(tmp_path: Path) -> None:
    rows = "".join(
        f"<row><c t='inlineStr'><is><t>{text}</t></is></c></row>"
        for text in ("E-mail", "", "nothing", "a@example.com")
    )
    examples = Examples()
    split(opened(package(tmp_path / "list.xlsx", rows=rows)), tmp_path, examples=examples)
    assert [one.row for one in examples] == [3]


@pytest.mark.parametrize(
    ("header_row", "names"),
    [
        (4, ("Name", "E-mail")),
        (2, ("Our people", "")),
        (5, ("Ana", "ana@example.com")),
        (0, ("col0", "col1")),
    ],
)
def test_the_header_row_is_that_of_the_sheet(
    tmp_path: Path, header_row: int, names: tuple[str, ...]
) -> None:
    table = opened(package(tmp_path / "list.xlsx", rows=SPREAD), header_row=header_row, column="2")
    assert table.names == names


@pytest.mark.parametrize("header_row", [1, 3, 6, 21, -1])
def test_a_header_row_without_cells_is_refused(tmp_path: Path, header_row: int) -> None:
    path = package(tmp_path / "list.xlsx", rows=SPREAD)
    with pytest.raises(UsageError, match=f"has no names of columns in row {header_row}"):
        opened(path, header_row=header_row)


def test_a_long_address_is_refused_with_its_row(tmp_path: Path) -> None:
    rows = row(3, "E-mail") + row(7, f"{'a' * 64}@{'example.' * 20}com")
    table = opened(package(tmp_path / "list.xlsx", rows=rows))
    with pytest.raises(InvalidListError, match="The address in row 7 has"):
        split(table, tmp_path, largest_bytes=300, judge=False)


def test_a_note_below_the_rows_is_no_other_delimiter(tmp_path: Path) -> None:
    path = saved(tmp_path / "list.xlsx", S=[HEADER, ANA, ["Exported by bo@example.com, 2026"]])
    assert list(opened(path).rows())[-1] == ["Exported by bo@example.com, 2026", ""]


# The pattern and the parser


def random_sheet(chosen: random.Random) -> str:
    """Make rows that are regular but for some cells."""
    texts = [
        "a@example.com",
        "x &amp; y &lt;z&gt;",
        " b ",
        "",
        "é\n😀",
        "&quot;q&apos;",
        "_x000D_",
        "1",
        "01",
    ]
    odd = ["&#65;", "<!-- </row> -->", "<![CDATA[<row></row>]]>", "\r\n", "<r/>"]
    cells = [
        '<c r="{c}{n}" t="inlineStr"><is><t>{t}</t></is></c>',
        '<c r="{c}{n}" t="inlineStr"><is><t xml:space="preserve">{t}</t></is></c>',
        '<c r="{c}{n}" t="str"><f>A1&amp;"x"</f><v>{t}</v></c>',
        '<c r="{c}{n}" s="1"><v>{d}</v></c>',
        '<c r="{c}{n}"><v>{d}.5</v></c>',
        '<c r="{c}{n}" t="b"><v>1</v></c>',
        '<c r="{c}{n}" t="s"><v>{s}</v></c>',
        '<c r="{c}{n}" s="3"/>',
        '<c r="{c}{n}"><f t="shared" si="0"/><v></v></c>',
        "<c t='n'><v>{d}</v></c>",
        '<c r="{c}{n}" t="inlineStr"><is><r><t>a</t></r><r><t>{t}</t></r></is></c>',
        '<c r="{c}{n}" s="2" t="n"><v>{d}</v></c>',
        '<c t="d" r="{c}{n}"><v>2024-02-29</v></c>',
    ]
    rows = []
    number = 0
    for _ in range(chosen.randint(1, 40)):
        number += chosen.choice([1, 1, 1, 2, 7])
        inner = ""
        columns = sorted(chosen.sample(range(1, 30), chosen.randint(0, 6)))
        if chosen.random() < 0.2:
            columns = chosen.choices(range(1, 9), k=6)  # in no order, some twice
        for column in columns:
            text = chosen.choice(texts) if chosen.random() < 0.95 else chosen.choice(odd)
            inner += chosen.choice(cells).format(
                c=column_letters(column),
                n=number,
                t=text,
                d=chosen.randint(0, 50_000),
                s=chosen.randint(0, 2),
            )
        opening = chosen.choice(
            [f'<row r="{number}">'] * 6
            + [
                f'<row r="{number}" spans="1:3" x14ac:dyDescent="0.25">',
                f'<row r="{number}" hidden="1">',
            ]
            + [f"<row hidden='1' r='{number}'>", f'<row  r="{number}.0">']
        )
        between = chosen.choice(
            ["", "", "", "\n", "<!-- <row><c/></row> -->", '<row r="9"/>', "<?x </row>?>"]
        )
        rows.append(f"{opening}{inner}</row>{between}")
    return "".join(rows)


@pytest.mark.parametrize("seed", range(60))
def test_the_pattern_reads_what_the_parser_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    chosen = random.Random(seed)  # noqa: S311 - no secret
    monkeypatch.setattr("bulkverify.lists.packages._PIECE_BYTES", chosen.choice([7, 100, 65536]))
    path = package(
        tmp_path / "list.xlsx",
        rows=cell_rows if (cell_rows := random_sheet(chosen)) else "",
        texts="<si><t>0</t></si><si><t>&amp;x</t></si><si><r><t>a</t></r><r><t>é</t></r></si>",
        styles='<cellXfs><xf/><xf numFmtId="14"/><xf numFmtId="46"/></cellXfs>',
    )
    found = everything_in(path)
    monkeypatch.setattr(sheets, "_ROW", re.compile("(?!)"))
    monkeypatch.setattr(texts, "_SHARED", re.compile("(?!)"))
    assert found == everything_in(path)


def everything_in(path: Path) -> object:
    from bulkverify.lists.workbooks import Workbook as Reader  # noqa: PLC0415 - openpyxl has one too

    with path.open("rb") as file:
        book = Reader(BytesIO(file.read()))
        return [tuple(map(str, row)) for row in book.rows(book.sheets[0])]


def test_nearly_all_rows_are_found_by_the_pattern(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Excel, LibreOffice and the usual libraries write rows of this form."""
    rows: list[list[object]] = [["Name", "E-mail", "N"]]
    rows += [[f"N & {n}", f"a{n}@example.com", n] for n in range(500)]
    path = saved(tmp_path / "list.xlsx", S=rows)
    parsed: list[str] = []
    start = sheets.SheetReader._start

    def noted(reader: sheets.SheetReader, name: str, attributes: dict[str, str]) -> None:
        parsed.append(name)
        start(reader, name, attributes)

    monkeypatch.setattr(sheets.SheetReader, "_start", noted)
    assert len(rows_of(path)) == 501
    assert parsed.count("row") <= 4


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = package(
        tmp_path / "list.xlsx", rows=row(1, "E-mail") + row(2, "a@example.com?") + row(3, "x")
    )
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content.replace(b"com?", b"com\xff"))
    with pytest.raises(InvalidListError, match="not well-formed"):
        opened(path)


# Other kinds of files


def archive_of(*names: str) -> bytes:
    file = BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, "content")
    return file.getvalue()


BINARY = BytesIO()
with zipfile.ZipFile(BINARY, "w") as binary:
    relation = '<Relationship Id="r" Type="x/officeDocument" Target="xl/workbook.bin"/>'
    binary.writestr("_rels/.rels", f"<Relationships>{relation}</Relationships>")
    binary.writestr("xl/workbook.bin", b"\x83\x01\0")


@pytest.mark.parametrize("name", ["list.xlsx", "list", "list.own"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1rest", "an old Excel file"),
        (archive_of("mimetype", "content.xml"), r"it is an OpenDocument file, such as \.ods"),
        (archive_of("Index/Document.iwa"), "it is a document of Numbers"),
        (archive_of("list.csv"), "it has no workbook in it"),
        (BINARY.getvalue(), r"it is a binary workbook, \.xlsb"),
    ],
)
def test_another_kind_of_workbook_is_refused_with_what_to_do(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InvalidListError, match=message) as caught:
        opened(path)
    assert "ave it as Excel Workbook (.xlsx)" in str(caught.value)

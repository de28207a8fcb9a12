"""Workbooks as openpyxl reads them, and those that would take all memory."""

import csv
import random
import subprocess
import sys
import warnings
import zipfile
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest
from openpyxl import Workbook, load_workbook

from bulkverify.errors import InvalidListError
from bulkverify.lists import open_table
from bulkverify.lists.spreadsheets import write_as_csv
from bulkverify.lists.values import column_letters
from tests.lists.test_bounds import outcome_of

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
ROW = '<row r="1"><c r="A1" t="inlineStr"><is><t>a@b.co</t></is></c></row>'
MEGABYTE = 1 << 20


def package(
    path: Path, method: int = zipfile.ZIP_DEFLATED, **parts: str | list[str | tuple[str, int]]
) -> Path:
    """Write a workbook; `parts` take the place of the usual ones. A pair is a text and its number of repetitions."""
    relation = '<Relationship Id="{0}" Type="x/{1}" Target="{2}"/>'.format
    workbook = parts.get("workbook", sheets('<sheet name="S" r:id="s"/>'))
    contents = {
        "_rels/.rels": f"<Relationships>{relation('r', 'officeDocument', 'xl/workbook.xml')}</Relationships>",
        "xl/_rels/workbook.xml.rels": "<Relationships>"
        + relation("s", "worksheet", "sheet.xml")
        + relation("t", "sharedStrings", "texts.xml")
        + relation("f", "styles", "styles.xml")
        + "</Relationships>",
        "xl/workbook.xml": workbook,
        "xl/sheet.xml": [
            f'<worksheet xmlns="{MAIN}">',
            *parts.get("head", ""),
            "<sheetData>",
            *parts.get("rows", ROW),
            "</sheetData></worksheet>",
        ],
        "xl/texts.xml": [f'<sst xmlns="{MAIN}">', *parts.get("texts", ""), "</sst>"],
        "xl/styles.xml": [f'<s xmlns="{MAIN}">', *parts.get("styles", ""), "</s>"],
    }
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in contents.items():
            with archive.open(name, "w", force_zip64=True) as file:
                for piece in parts.get(name, content):
                    text, times = piece if isinstance(piece, tuple) else (piece, 1)
                    block = max(1, 100_000 // len(text))
                    for _ in range(times // block):
                        file.write((text * block).encode())
                    file.write((text * (times % block)).encode())
    return path


def sheets(elements: str) -> str:
    return f'<workbook xmlns="{MAIN}" xmlns:r="{OFFICE}"><sheets>{elements}</sheets></workbook>'


def rows_of(path: Path) -> list[list[str]]:
    """Read the rows of a workbook through CSV."""
    target = path.with_suffix(".out")
    write_as_csv(path, target, "list.xlsx")
    with target.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


# Small files

TEXT = "<si><t>{}</t></si>"
HEAD = "<row><c t='inlineStr'><is><t>"
SMALL: dict[str, dict[str, str | list[str | tuple[str, int]]]] = {
    "many empty rows": {"rows": [ROW, ("<row/>", 500_000)]},
    "too many empty rows": {"rows": [ROW, ("<row/>", 1_100_000)]},
    "a row beyond the last": {"rows": ROW + '<row r="2000000000"><c t="b"><v>1</v></c></row>'},
    "a row before the first": {"rows": ROW + '<row r="-1"/>'},
    "a cell beyond the last": {"rows": ROW + '<row><c r="XFE1" t="b"><v>1</v></c></row>'},
    "a cell in the last column of each row": {
        "rows": [ROW, ('<row><c r="XFD1" t="b"><v>1</v></c></row>', 20_000)]
    },
    "no cell at all": {"rows": '<row><c r="AAAA1"/></row>'},
    "empty cells": {"rows": ["<row>", ("<c/>", 16_000), "</row>", ROW]},
    "too many cells in a row": {"rows": ["<row>", ("<c/>", 10_000_000), "</row>"]},
    "empty cells in one place": {"rows": ["<row>", ('<c r="A1"/>', 5_000_000), "</row>"]},
    "a long text": {"rows": [HEAD, ("x", 100_000_000), "</t></is></c></row>"]},
    "a long value": {"rows": ["<row><c><v>", ("1", 100_000_000), "</v></c></row>"]},
    "a long shared text": {"texts": ["<si><t>", ("x", 100_000_000), "</t></si>"]},
    "many texts": {"texts": [(TEXT.format("ab"), 2_000_000)]},
    "many empty texts": {"texts": [("<si/>", 8_500_000)]},
    "a text in millions of pieces": {"texts": ["<si>", ("<r><t>a</t></r>", 1_000_000), "</si>"]},
    "a long text in every cell": {
        "texts": ["<si><t>", ("x", 3_000_000), "</t></si>"],
        "rows": [ROW, ('<row><c t="s"><v>0</v></c></row>', 50_000)],
    },
    "a long text in every cell of a row": {
        "texts": ["<si><t>", ("x", 1_000_000), "</t></si>"],
        "rows": ["<row>", ('<c t="s"><v>0</v></c>', 10_000), "</row>"],
    },
    "a long text in every cell of a row, backwards": {
        "texts": ["<si><t>", ("x", 1_000_000), "</t></si>"],
        "rows": "<row>"
        + "".join(f'<c r="{column_letters(n)}1" t="s"><v>0</v></c>' for n in range(10_000, 0, -1))
        + "</row>",
    },
    "many styles": {"styles": ["<cellXfs>", ("<xf/>", 9_000_000), "</cellXfs>"]},
    "unknown elements": {"head": [("<x/>", 11_000_000)]},
    "nested elements": {"head": [("<x>", 10_000_000)]},
    "elements of many names": {"head": "".join(f"<x{n:x}/>" for n in range(100_000))},
    "prefixes of many names": {"head": "".join(f'<x xmlns:x{n:x}=""/>' for n in range(100_000))},
    "a tag without an end": {"head": ['<x y="', ("x", 100_000_000), '"/>']},
    "a comment without an end": {"head": ["<!--", ("x", 100_000_000), "-->"]},
    "blanks": {"head": [(" ", 300_000_000)]},
    "many sheets": {
        "workbook": sheets('<sheet name="S" r:id="s"/>' * 9000),
        "head": [("<x/>", 100_000)],
        "rows": "",
    },
    "entities": {
        "xl/sheet.xml": '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]><worksheet>&b;</worksheet>'
    },
}
READ = {"many empty rows", "empty cells", "many texts", "a text in millions of pieces"}


@pytest.mark.parametrize("name", SMALL)
def test_a_small_workbook_takes_bounded_memory(tmp_path: Path, name: str) -> None:
    path = package(tmp_path / "list.xlsx", **SMALL[name])  # type: ignore[arg-type]
    outcome = outcome_of(path)
    if name in READ:
        assert outcome == "read"
    else:
        assert outcome.startswith("./list.xlsx can't be read as an Excel workbook ("), outcome


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_workbook_with_an_unusual_compression_is_refused(tmp_path: Path, method: int) -> None:
    path = package(tmp_path / "list.xlsx", method, head=[(" ", 30 * MEGABYTE)])
    assert "it is compressed in a way that Excel does not use" in outcome_of(path)


@pytest.mark.parametrize("size", [0, 10, 2**32 - 2])
def test_false_sizes_in_the_directory_do_not_matter(tmp_path: Path, size: int) -> None:
    path = package(tmp_path / "list.xlsx", head=[(" ", 300 * MEGABYTE)])
    content = path.read_bytes()
    true = (300 * MEGABYTE).to_bytes(4, "little")[1:]
    # The size of a file stands before its name, in the directory and before the file itself.
    changed = bytearray(content)
    place = 0
    while (place := content.find(b"xl/sheet.xml", place + 1)) > 0:
        for begin in (place - 8, place - 22):
            if content[begin + 1 : begin + 4] == true:
                changed[begin : begin + 4] = size.to_bytes(4, "little")
    assert changed != content
    path.write_bytes(changed)
    assert "can't be read as an Excel workbook" in outcome_of(path)


def test_a_large_regular_workbook_is_within_the_bounds(tmp_path: Path) -> None:
    """Real workbooks stay far below the bounds: many rows with the same texts compress well."""
    texts = "".join(TEXT.format(f"person{number}@example.com") for number in range(1000))
    row = "".join(f'<c t="s"><v>{number}</v></c>' for number in range(10))
    path = package(tmp_path / "list.xlsx", texts=texts, rows=[(f"<row>{row}</row>", 20_000)])
    assert path.stat().st_size < 100_000
    assert len(rows_of(path)) == 20_000


# What is read


def test_cells_are_read_as_openpyxl_reads_them(tmp_path: Path) -> None:
    chosen = random.Random(1)  # noqa: S311 - no secret
    values: list[Any] = [None, "a@b.co", 'q"x', "a\nb", "  sp ", "_x000D_", "é😀", "=1+1", "1e5"]
    values += [True, False, 0, 1, -1, 10**17, 1.5, 1e300, 60, 59.5, 0.25, 44452.284537, 2958465]
    values += [99999999, -5.5, 0.99999999999, datetime(2021, 9, 13, 6, 49, 1, 500000)]  # noqa: DTZ001
    values += [date(1900, 2, 28), time(3, 4, 5), timedelta(days=2, hours=3, milliseconds=7)]
    formats = ["General", "yyyy-mm-dd", "h:mm", "[h]:mm:ss", "mm-dd-yy", '"d"0', "[Red]0", "\\d0"]
    formats += ["[$-409]d-mmm", "m/d/yy h:mm", "[mm]:ss", "0.00E+00", "@", "_d0", "yyyy;@"]
    book = Workbook()
    sheet = book.active
    assert sheet is not None
    for row in range(1, 600, 2):
        for column in range(2, 20, 3):
            value = chosen.choice(values)
            cell = sheet.cell(row, column, value)
            if isinstance(value, int | float) and chosen.random() < 0.6:
                cell.number_format = chosen.choice(formats)
    book.save(tmp_path / "list.xlsx")
    assert rows_of(tmp_path / "list.xlsx") == read_by_openpyxl(tmp_path / "list.xlsx")


def read_by_openpyxl(path: Path) -> list[list[str]]:
    rows = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        book = load_workbook(path, data_only=True)
        for values in book.worksheets[0].iter_rows(values_only=True):
            row = [shown(value) for value in values]
            while row and not row[-1]:
                row.pop()
            if row:
                rows.append(row)
    return rows


def shown(value: object) -> str:
    if value is None:
        return ""
    if value == "_x000D_":
        return "\r"  # openpyxl leaves the escapes of Excel as they are
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, float) and value.is_integer() and abs(value) < 10.0**15:
        return str(int(value))
    if isinstance(value, datetime):
        return str(value.date() if value.time() == time.min else value)
    return str(value)


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ('<c t="str"><f>A2</f><v>a b</v></c>', "a b"),
        ('<c t="e"><v>#N/A</v></c>', "#N/A"),
        ('<c t="d"><v>2024-02-29T00:00:00Z</v></c>', "2024-02-29"),
        ('<c t="d"><v>2024-02-29T12:30:00</v></c>', "2024-02-29 12:30:00"),
        ('<c t="d"><v>today</v></c>', "today"),
        ('<c s="1"><v>60</v></c>', "1900-02-28"),
        ('<c s="1"><v>1e300</v></c>', "#VALUE!"),
        ('<c s="7"><v>60</v></c>', "60"),
        ('<c s="2"><v>1.5</v></c>', "1 day, 12:00:00"),
        ('<c t="inlineStr"><is><r><t>a</t></r><r><t> b</t></r><rPh><t>c</t></rPh></is></c>', "a b"),
        ('<c t="s"><v>1</v></c>', "x y_x000D_"),
        ("<c><v> </v></c>", None),
        ('<c t="s"><v>2</v></c>', None),
        ('<c t="s"><v>-1</v></c>', None),
        ('<c r="1A"><v>1</v></c>', None),
        ('<x:c xmlns:x="y"><x:v>1.0</x:v></x:c>', "1"),
    ],
)
def test_a_cell_is_read_by_its_type(tmp_path: Path, cell: str, text: str | None) -> None:
    path = package(
        tmp_path / "list.xlsx",
        rows=f'<row r="3.0">{cell}</row>',
        texts="<si/><si><r><t>x</t></r><r><t> y_x005F_x000D_</t></r><rPh><t>z</t></rPh></si>",
        styles='<numFmts><numFmt numFmtId="170" formatCode="[h]:mm"/></numFmts><cellStyleXfs><xf numFmtId="14"/>'
        '</cellStyleXfs><cellXfs><xf/><xf numFmtId="14"/><xf numFmtId="170"/></cellXfs>',
    )
    if text is None:
        with pytest.raises(InvalidListError, match="can't be read as an Excel workbook"):
            rows_of(path)
    else:
        assert rows_of(path) == [[text]]


def test_days_are_counted_from_1904_where_the_workbook_says_so(tmp_path: Path) -> None:
    path = package(
        tmp_path / "list.xlsx",
        workbook=sheets('<sheet name="S" r:id="s"/>').replace(
            "<sheets>", '<workbookPr date1904="1"/><sheets>'
        ),
        rows='<row><c s="0"><v>1</v></c></row>',
        styles='<cellXfs><xf numFmtId="14"/></cellXfs>',
    )
    assert rows_of(path) == [["1904-01-02"]]


def test_a_workbook_with_a_password_is_refused(tmp_path: Path) -> None:
    path = package(tmp_path / "list.xlsx")
    content = bytearray(path.read_bytes())
    for place in range(len(content) - 4):
        if content[place : place + 4] == b"PK\x03\x04":
            content[place + 6] |= 1
        if content[place : place + 4] == b"PK\x01\x02":
            content[place + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(InvalidListError, match="is encrypted"):
        rows_of(path)


def test_damaged_workbooks_raise_invalid_list_error_only(tmp_path: Path) -> None:
    path = tmp_path / "list.xlsx"
    content = package(path, texts=TEXT.format("x"), styles="<cellXfs><xf/></cellXfs>").read_bytes()
    chosen = random.Random(2)  # noqa: S311 - no secret
    for _ in range(400):
        damaged = bytearray(content)
        for _ in range(chosen.randint(1, 4)):
            damaged[chosen.randrange(len(damaged))] = chosen.randrange(256)
        path.write_bytes(damaged[: chosen.choice([len(damaged), chosen.randrange(len(damaged))])])
        try:
            list(open_table(path, spool=tmp_path).rows())
        except InvalidListError:
            continue


def test_workbooks_need_no_installed_parser(tmp_path: Path) -> None:
    path = package(tmp_path / "list.xlsx")
    code = (
        "import sys; sys.modules['openpyxl'] = None; from pathlib import Path;"
        "from bulkverify.lists import open_table;"
        f"print(list(open_table(Path({str(path)!r}), spool=Path({str(tmp_path)!r})).rows()))"
    )
    done = subprocess.run(  # noqa: S603 - ours
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[['a@b.co']]\n"

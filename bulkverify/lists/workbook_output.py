"""Writes rows as an Excel workbook of one sheet, as a stream.

All cells are texts, so none is a formula. The same rows always give the same bytes.
"""

import csv
import re
import zipfile
from collections.abc import Iterable, Sequence
from io import StringIO
from itertools import chain
from typing import BinaryIO, Final

from bulkverify.errors import UsageError, clause
from bulkverify.lists.sheets import MOST_COLUMNS, MOST_ROWS
from bulkverify.lists.stopping import checkpoint
from bulkverify.lists.tables import Table
from bulkverify.lists.values import column_letters
from bulkverify.lists.verdicts import VERDICT_COLUMNS

LONGEST_CELL: Final = 32_767
"""The most characters of a cell, in units of UTF-16: an emoji has two."""

_ROWS_AT_ONCE: Final = 500
_WRITTEN_AT: Final = (1980, 1, 1, 0, 0, 0)
_LARGEST_PLAIN_BYTES: Final = 2**31 - 1  # of a file in an archive that is no ZIP64
_CELL_BYTES: Final = 80  # around its text
_BYTES_A_CHARACTER: Final = 7  # `_x0000_`

# These are escaped: the signs of XML, characters that it can't hold, and texts like the escapes of Excel.
_SPECIAL: Final = re.compile(r"[&<>\x00-\x08\x0b-\x1f\ufffe\uffff]|_(?=x[0-9a-fA-F]{4}_)")
_SIGNS: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}

_HEAD: Final = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_MAIN: Final = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_OFFICE: Final = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE: Final = "http://schemas.openxmlformats.org/package/2006"
_CONTENT: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml"
_FILES: Final = {
    "[Content_Types].xml": f'<Types xmlns="{_PACKAGE}/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Default Extension="xml" ContentType="application/xml"/>'
    f'<Override PartName="/xl/workbook.xml" ContentType="{_CONTENT}.sheet.main+xml"/>'
    f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{_CONTENT}.worksheet+xml"/></Types>',
    "_rels/.rels": f'<Relationships xmlns="{_PACKAGE}/relationships">'
    f'<Relationship Id="rId1" Type="{_OFFICE}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
    "xl/workbook.xml": f'<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}"><sheets>'
    '<sheet name="Sheet1" sheetId="1" r:id="rId1"/></sheets></workbook>',
    "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{_PACKAGE}/relationships">'
    f'<Relationship Id="rId1" Type="{_OFFICE}/worksheet" Target="worksheets/sheet1.xml"/></Relationships>',
}


def write_workbook(
    file: BinaryIO, batches: Iterable[Sequence[Sequence[str]]], *, largest_bytes: int
) -> None:
    """Write rows, many at a time; `largest_bytes` is an upper limit of the size of the sheet, see `sheet_bytes`.

    What does not fit into a sheet is not noticed here, see `check_fits`.
    """
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in _FILES.items():
            archive.writestr(_info(name), f"{_HEAD}{content}")
        # Some programs take a ZIP64 archive for a damaged one, so it is one only if it has to be.
        with archive.open(
            _info("xl/worksheets/sheet1.xml"), "w", force_zip64=largest_bytes > _LARGEST_PLAIN_BYTES
        ) as sheet:
            sheet.write(f'{_HEAD}<worksheet xmlns="{_MAIN}"><sheetData>'.encode())
            number = 1
            openings: list[str] = []
            for batch in batches:
                for begin in range(0, len(batch), _ROWS_AT_ONCE):
                    lines = []
                    for row in batch[begin : begin + _ROWS_AT_ONCE]:
                        if len(row) > len(openings):
                            openings = [f'<c r="{column_letters(n + 1)}' for n in range(len(row))]
                        lines.append(_row(number, row, openings))
                        number += 1
                    sheet.write("".join(lines).encode(errors="replace"))
            sheet.write(b"</sheetData></worksheet>")


def sheet_bytes(rows: int, columns: int, characters: int) -> int:
    """Return an upper limit of the size of a sheet before it is compressed."""
    return rows * (columns + 1) * _CELL_BYTES + characters * _BYTES_A_CHARACTER


def rows_above(table: Table) -> list[list[str]]:
    """Return the rows above the names of the columns, such as a title."""
    return list(csv.reader(StringIO(table.preface, newline=""), delimiter=table.delimiter))


def check_fits(table: Table) -> None:
    """Check that a list fits into a sheet, with its verdicts.

    Raises:
        UsageError: it has too many rows or columns, or too long a cell.
        InvalidListError: it can't be read.
    """
    columns = len(table.names) + len(VERDICT_COLUMNS)
    if columns > MOST_COLUMNS:
        raise _unfit(
            f"{table.title} would have {columns:,} columns, and a sheet has at most {MOST_COLUMNS:,}"
        )
    above = rows_above(table)
    rows = len(above) + 1
    for text in chain(table.names, *above):
        _check_cell(text, f"A name of a column, or a title, of {table.title}")
    for batch in table.batches():
        checkpoint()
        for number, row in enumerate(batch, start=rows - len(above)):
            if max(map(len, row)) > LONGEST_CELL // 2:
                for text in row:
                    _check_cell(text, f"Row {table.row_number(number):,} of {table.title}")
        rows += len(batch)
        if rows > MOST_ROWS:
            raise _unfit(
                f"{table.title} has more rows than a sheet, which has {MOST_ROWS:,} with the names of the columns"
            )


def _check_cell(text: str, what: str) -> None:
    if len(text) > LONGEST_CELL // 2 and _units(text) > LONGEST_CELL:
        raise _unfit(
            f"{what} has a text of {_units(text):,} characters, and a cell of a workbook has at most {LONGEST_CELL:,}"
        )


def _units(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _unfit(problem: str) -> UsageError:
    return UsageError(
        f"{clause(problem)}. Name an output that ends in .csv instead of .xlsx. Nothing was sent."
    )


def _info(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _WRITTEN_AT)
    info.compress_type = zipfile.ZIP_DEFLATED
    return info


def _row(number: int, row: Sequence[str], openings: Sequence[str]) -> str:
    """Write a row, without its empty cells."""
    if _SPECIAL.search("".join(row)):
        row = [_SPECIAL.sub(_escaped, text) for text in row]
    behind = f'{number}" t="inlineStr"><is><t xml:space="preserve">'
    cells = [
        f"{opening}{behind}{text}</t></is></c>"
        for opening, text in zip(openings, row, strict=False)
        if text
    ]
    return f'<row r="{number}">{"".join(cells)}</row>'


def _escaped(found: re.Match[str]) -> str:
    sign = found[0]
    return _SIGNS.get(sign) or f"_x{ord(sign):04X}_"

"""Excel workbooks, written down as CSV."""

import csv
import warnings
from collections.abc import Iterator
from datetime import datetime, time
from io import TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final
from zipfile import BadZipFile

from bulkverify.errors import InvalidListError, UsageError
from bulkverify.lists.columns import SAMPLE_ROWS
from bulkverify.lists.folders import create

if TYPE_CHECKING:
    from openpyxl.workbook.workbook import Workbook

_LARGEST_WHOLE_FLOAT: Final = 10.0**15


def write_as_csv(source: Path, destination: Path, title: str) -> None:
    """Write the rows of the sheet that has addresses.

    Raises:
        InvalidListError: it can't be read, or has addresses on several sheets.
        UsageError: what reads it is not installed.
        OSError: a file can't be read or written.
    """
    try:
        # Where there is defusedxml, openpyxl reads with it: a workbook is a stranger's XML.
        import defusedxml.ElementTree  # type: ignore[import-untyped]  # noqa: F401, PLC0415
        from openpyxl import load_workbook  # noqa: PLC0415
    except ImportError:
        raise UsageError(
            f'{title} is an Excel workbook: pip install "bulkverify[xlsx]" to read it, or save it as CSV (UTF-8).'
        ) from None
    with source.open("rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about styles and validations, which no cell depends on
        try:
            book = load_workbook(file, read_only=True, data_only=True)
            with create(destination) as output:
                text = TextIOWrapper(output, encoding="utf-8", errors="replace", newline="")
                writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
                writer.writerows(_rows(book, _sheet(title, book)))
                text.flush()
                text.detach()
        except (BadZipFile, KeyError, ValueError, SyntaxError) as error:
            problem = f"{type(error).__name__}: {error}"
        else:
            return
    raise InvalidListError(
        f"{title} can't be read as an Excel workbook ({problem[:200]}). Save it as CSV (UTF-8). Nothing was sent."
    )


def _sheet(title: str, book: "Workbook") -> str:
    """Find the sheet with the addresses, or the first with anything."""
    names: list[str] = [sheet.title for sheet in book.worksheets]
    filled = [name for name in names if any(_rows(book, name))]
    found = [
        name
        for name in filled
        if any("@" in cell for row in islice(_rows(book, name), SAMPLE_ROWS) for cell in row)
    ]
    if len(found) > 1:
        raise InvalidListError(
            f"{title} has addresses on several sheets ({', '.join(found[:20])}): save the right one as CSV (UTF-8). "
            "Nothing was sent."
        )
    if not filled:
        raise InvalidListError(f"{title} is empty: a list needs at least one address.")
    return (found or filled)[0]


def _rows(book: "Workbook", name: str) -> Iterator[list[str]]:
    """Read the rows of a sheet that have anything in them, without the empty cells at their ends."""
    sheet = book[name]
    sheet.reset_dimensions()  # some programs write wrong ones, and rows would be left out
    for values in sheet.iter_rows(values_only=True):
        row = [_cell(value) for value in values]
        while row and not row[-1]:
            row.pop()
        if row:
            yield row


def _cell(value: object) -> str:
    """Write a value as people see it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, float) and value.is_integer() and abs(value) < _LARGEST_WHOLE_FLOAT:
        return str(int(value))
    if isinstance(value, datetime):
        return str(value.date() if value.time() == time.min else value)
    return str(value)

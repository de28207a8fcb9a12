"""Copies a sheet of an Excel workbook as CSV."""

import errno
import zlib
from array import array
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final
from xml.parsers.expat import ExpatError
from zipfile import BadZipFile

from bulkverify.errors import BulkVerifyError, InvalidListError, UsageError
from bulkverify.lists.columns import SAMPLE_ROWS, fold, holds_address, listed
from bulkverify.lists.decoding import OLD_EXCEL
from bulkverify.lists.layout import create
from bulkverify.lists.naming import name_meaning
from bulkverify.lists.packages import UnreadableError
from bulkverify.lists.sheets import SheetRow
from bulkverify.lists.spooling import write
from bulkverify.lists.tables import Sheet, Table, Uncalculated, uncalculated_error
from bulkverify.lists.values import column_letters
from bulkverify.lists.workbooks import SheetFile, Workbook

_BATCH_CHARACTERS: Final = 1_000_000
_UNREADABLE: Final = (
    BadZipFile,
    EOFError,
    ExpatError,
    LookupError,
    RuntimeError,  # of an encrypted file
    ValueError,
    zlib.error,
)


def write_as_csv(source: Path, destination: Path, title: str, sheet: str | None = None) -> Sheet:
    """Write the rows of a sheet: the one of this name, else the first with addresses that is not hidden.

    Raises:
        InvalidListError: the file can't be read, is empty, or has nothing but formulas without a value.
        UsageError: there is no sheet of this name.
    """
    with source.open("rb") as file:
        try:
            if file.read(len(OLD_EXCEL)) == OLD_EXCEL:
                raise UnreadableError("it is an old Excel file, .xls, or has a password")
            copy = _Copy(title, Workbook(file), sheet)
            with create(destination) as output:
                for line in copy.lines():
                    write(output, line)
            return copy.sheet()
        except BulkVerifyError:
            raise
        except _UNREADABLE as error:
            problem = str(error) or type(error).__name__
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            problem = "its directory is damaged"  # it points outside the file
    raise InvalidListError(
        f"{title} can't be read as an Excel workbook ({problem[:200]}). Save it as Excel Workbook (.xlsx) or as "
        "CSV (UTF-8). Nothing was sent."
    )


class _Copy:
    """Writes the rows of a sheet as CSV, and notes what CSV can't hold."""

    def __init__(self, title: str, book: Workbook, wanted: str | None) -> None:
        self._title = title
        self._book = book
        self._numbers = array("I")
        self._hidden = array("I")
        self._uncalculated: dict[int, Uncalculated] = {}
        self._width = 0
        self._has_addresses = False
        with_addresses = [one for one in book.sheets if self._holds_addresses(one)]
        self._taken = taken = self._choose(with_addresses, wanted)
        self._others = tuple(one.name for one in with_addresses if one != taken)
        hidden = [one for one in with_addresses if one.hidden]
        if taken.hidden and taken not in hidden:
            hidden.append(taken)
        self._hidden_sheets = tuple(one.name for one in hidden)

    def lines(self) -> Iterator[bytes]:
        """Write the rows, many at a time, with all cells quoted."""
        lines: list[str] = []
        size = 0
        for row in self._book.rows(self._taken):
            self._note(row)
            cells = '","'.join(row.cells)
            if cells.count('"') > 2 * (len(row.cells) - 1):
                cells = '","'.join(cell.replace('"', '""') for cell in row.cells)
            lines.append(f'"{cells}"\n')
            size += len(cells)
            if size > _BATCH_CHARACTERS:
                yield self._written(lines)
                lines.clear()
                size = 0
        yield self._written(lines)

    def sheet(self) -> Sheet:
        """Describe the sheet once it is written.

        Raises:
            InvalidListError: it has no addresses, but formulas without a value.
        """
        sheet = Sheet(
            name=self._taken.name,
            others=self._others,
            hidden_sheets=self._hidden_sheets,
            width=self._width,
            numbers=self._numbers,
            hidden=self._hidden,
            uncalculated=self._uncalculated,
        )
        if sheet.all_uncalculated.cells and not self._has_addresses:
            raise uncalculated_error(self._title, sheet.all_uncalculated)
        return sheet

    def _holds_addresses(self, sheet: SheetFile) -> bool:
        """Whether the first rows of a sheet have addresses."""
        rows = islice(self._book.rows(sheet), SAMPLE_ROWS)
        return any(holds_address(cell.strip()) for row in rows for cell in row.cells)

    def _choose(self, with_addresses: list[SheetFile], wanted: str | None) -> SheetFile:
        """Return the wanted sheet, else one with addresses, else one that is not empty."""
        sheets = self._book.sheets
        if wanted is not None:
            named = [one for one in sheets if one.name == wanted]
            named = named or [one for one in sheets if fold(one.name) == fold(wanted)]
            if not named:
                names = listed([one.name for one in sheets])
                raise UsageError(f"{self._title} has no sheet {wanted!r}; it has {names}.")
            return named[0]
        filled = (one for one in sheets if any(self._book.rows(one)))
        for sheet in sorted(with_addresses, key=lambda one: one.hidden):
            return sheet
        for sheet in filled:
            return sheet
        raise InvalidListError(f"{self._title} is empty: a list needs at least one address.")

    def _note(self, row: SheetRow) -> None:
        if row.hidden:
            self._hidden.append(len(self._numbers))
        self._numbers.append(row.number)
        self._width = max(self._width, len(row.cells))
        for column in row.uncalculated:
            self._width = max(self._width, column)
            known = self._uncalculated.get(column - 1)
            first = known.first if known else f"{column_letters(column)}{row.number}"
            self._uncalculated[column - 1] = Uncalculated(known.cells + 1 if known else 1, first)

    def _written(self, lines: list[str]) -> bytes:
        text = "".join(lines)
        self._has_addresses = self._has_addresses or "@" in text or "\uff20" in text
        return text.encode(errors="replace")


def refuse_uncalculated_column(table: Table, sheet: Sheet) -> None:
    """Raise `InvalidListError` if a column whose name fits e-mail better has only formulas without a value."""
    rank = name_meaning(table.names[table.column]).rank
    for place, found in sheet.uncalculated.items():
        name = table.names[place]
        if place != table.column and name_meaning(name).rank < rank:
            raise uncalculated_error(table.title, found, name)

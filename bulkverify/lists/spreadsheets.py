"""Copies Excel workbooks as CSV."""

import errno
import zlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final
from xml.parsers.expat import ExpatError
from zipfile import BadZipFile

from bulkverify.errors import InvalidListError
from bulkverify.lists.columns import SAMPLE_ROWS
from bulkverify.lists.layout import create
from bulkverify.lists.spooling import write
from bulkverify.lists.workbooks import Workbook

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


def write_as_csv(source: Path, destination: Path, title: str) -> None:
    """Write the rows of the sheet with the addresses; only one sheet may have addresses."""
    with source.open("rb") as file:
        try:
            book = Workbook(file)
            sheet = _sheet(title, book)
            with create(destination) as output:
                for line in _lines(book.rows(sheet)):
                    write(output, line)
        except InvalidListError:
            raise
        except _UNREADABLE as error:
            problem = str(error) or type(error).__name__
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            problem = "its directory is damaged"  # it points outside the file
        else:
            return
    raise InvalidListError(
        f"{title} can't be read as an Excel workbook ({problem[:200]}). Save it as CSV (UTF-8). Nothing was sent."
    )


def _sheet(title: str, book: Workbook) -> str:
    """Find the sheet with the addresses, else the first that is not empty."""
    filled = [(name, sheet) for name, sheet in book.sheets if any(book.rows(sheet))]
    found = [
        (name, sheet)
        for name, sheet in filled
        if any("@" in cell for row in islice(book.rows(sheet), SAMPLE_ROWS) for cell in row)
    ]
    if len(found) > 1:
        names = ", ".join(name for name, _ in found[:20])
        raise InvalidListError(
            f"{title} has addresses on several sheets ({names}): save the right one as CSV (UTF-8). "
            "Nothing was sent."
        )
    if not filled:
        raise InvalidListError(f"{title} is empty: a list needs at least one address.")
    return (found or filled)[0][1]


def _lines(rows: Iterator[list[str]]) -> Iterator[bytes]:
    """Write rows as CSV, many at a time, with all cells quoted."""
    lines: list[str] = []
    size = 0
    for row in rows:
        cells = '","'.join(cell.replace('"', '""') for cell in row)
        lines.append(f'"{cells}"\n')
        size += len(cells)
        if size > _BATCH_CHARACTERS:
            yield "".join(lines).encode(errors="replace")
            lines.clear()
            size = 0
    yield "".join(lines).encode(errors="replace")

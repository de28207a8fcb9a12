"""A list that can be read more than once, as rows of cells."""

import codecs
import hashlib
import json
from abc import ABC, abstractmethod
from array import array
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from operator import add
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import attrs

from bulkverify.errors import InvalidListError
from bulkverify.files import is_file
from bulkverify.lists.stopping import checkpoint
from bulkverify.results.rows import unique_names

_MARKS: Final = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)

PIECE_BYTES: Final = 64 * 1024
"""How much of a file is read at a time: the rows of larger pieces do not fit into a processor's cache."""


class Digest(Protocol):
    """A hash of `hashlib`."""

    def update(self, data: bytes, /) -> None:
        """Add data."""


class Uncalculated(NamedTuple):
    """How many formulas have no value, because they were never calculated, and the first of their cells."""

    cells: int
    first: str


@attrs.frozen(kw_only=True, eq=False)
class Sheet:
    """The sheet of a workbook that a list is read from.

    `numbers` are those of its rows, which leave out empty ones; `hidden` are the places of hidden rows
    among them. `uncalculated` tells the formulas without a value by column, from 0. `others` are the
    names of other sheets that have addresses, and `hidden_sheets` those of hidden sheets that have
    addresses. `width` is the number of columns.
    """

    name: str
    others: tuple[str, ...]
    hidden_sheets: tuple[str, ...]
    width: int
    numbers: "array[int]"
    hidden: "array[int]"
    uncalculated: Mapping[int, Uncalculated]

    @property
    def all_uncalculated(self) -> Uncalculated:
        """The formulas without a value in all columns."""
        found = self.uncalculated.values()
        first = next((one.first for one in found), "")
        return Uncalculated(sum(one.cells for one in found), first)


@attrs.frozen(kw_only=True)
class Table(ABC):
    """A list that can be read more than once, always with the same rows.

    `title` is its name in messages, `names` are its columns, and `column` is the place of the address
    column. The columns at the places `others` have addresses, too; those `beside` it have them in rows with
    an address. `encoding` is that of its text,
    `format` is as in `ListFormat`, and `sheet` is that of a workbook. CSV outputs use `delimiter` and `newline`, and begin with `preface`:
    the text above the header, such as a title.
    """

    title: str
    names: tuple[str, ...]
    column: int
    encoding: str = "utf-8"
    delimiter: str = ","
    newline: str = "\n"
    others: tuple[int, ...] = ()
    beside: tuple[int, ...] = ()
    preface: str = ""
    format: str = "rows"
    sheet: Sheet | None = None

    @abstractmethod
    def batches(self, digest: Digest | None = None) -> Iterator[list[list[str]]]:
        """Read the rows in order, many at a time, each as wide as `names`; empty lines are skipped.

        The `digest` gets everything that is read, as by `digest_of`. A list that can't be read further raises
        `InvalidListError`, which names the line.
        """

    @abstractmethod
    def pieces(self) -> Iterator[bytes]:
        """Read all bytes that the rows depend on, without parsing them."""

    @property
    def short(self) -> int:
        """How many rows had too few cells when they were last read."""
        return 0

    @property
    def stray(self) -> int:
        """How many rows had a stray quote, one that opens a cell and does not close it, when they were last read."""
        return 0

    @property
    def stray_at(self) -> str:
        """Where the first stray quote was; empty if there was none."""
        return ""

    @property
    def escapes(self) -> bool:
        """Whether quotes within cells had a backslash before them when the rows were last read."""
        return False

    @property
    def marked(self) -> bool:
        """Whether a copy of it in UTF-8 begins with a byte order mark."""
        return False

    @property
    def lists(self) -> "tuple[Table, ...]":
        """The lists that it is made of."""
        return (self,)

    @property
    def hidden_rows(self) -> int:
        """How many rows are hidden in the sheet."""
        return 0

    def row_number(self, row: int) -> int:
        """Return the number by which people know a row, which is counted from 1: in a workbook, that of the sheet."""
        return row

    def rows(self) -> Iterator[list[str]]:
        """Read the rows in order, each as wide as `names`."""
        return chain.from_iterable(self.batches())

    def objects(self, digest: Digest | None = None) -> Iterator[list[str]]:
        """Read the rows as JSON objects, many at a time, each without its closing brace."""
        names = unique_names(self.names)
        for batch in self.batches(digest):
            yield json_objects(names, batch)

    def described(self) -> str:
        """Return a text that names every setting with which the list is read."""
        above = [self.preface] if self.preface else []
        return json.dumps(
            [self.names, self.column, self.encoding, self.delimiter, self.newline, *above]
        )


@attrs.frozen(kw_only=True)
class FileTable(Table):
    """A list in one file of text."""

    path: Path

    def pieces(self) -> Iterator[bytes]:
        """Read the file."""
        return file_pieces(self.path)

    @property
    def marked(self) -> bool:
        """Whether the file begins with a byte order mark, or is not Unicode, so that Excel needs one in a copy."""
        name = codecs.lookup(self.encoding).name
        if not name.startswith("utf"):
            return name != "ascii"
        with self.path.open("rb") as file:
            return file.read(4).startswith(_MARKS)


def uncalculated_error(title: str, found: Uncalculated, column: str = "") -> InvalidListError:
    """Make the error about formulas without a value where addresses should be."""
    where = f" in its column {column!r}" if column else ""
    formulas = (
        f"{found.cells:,} formulas, the first in {found.first}, were"
        if found.cells > 1
        else f"the formula in {found.first} was"
    )
    return InvalidListError(
        f"{title} has no addresses{where}: {formulas} never calculated. Open the file in Excel or LibreOffice, and save it there. "
        "Nothing was sent."
    )


def digest_of(table: Table) -> str:
    """Return a hex digest of all that the rows of a list depend on, without parsing them."""
    digest = hashlib.blake2b(digest_size=16)
    for piece in table.pieces():
        digest.update(piece)
    digest.update(table.described().encode())
    return digest.hexdigest()


def file_pieces(path: Path, digest: Digest | None = None) -> Generator[bytes]:
    """Read a file in pieces."""
    with path.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            checkpoint()
            if digest is not None:
                digest.update(piece)
            yield piece


def file_digest(path: Path) -> str | None:
    """Return a hex digest of a file, or `None` if there is no such file."""
    if not is_file(path):
        return None
    digest = hashlib.blake2b(digest_size=16)
    for _ in file_pieces(path, digest):
        pass
    return digest.hexdigest()


def json_objects(names: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Write rows as JSON objects without their closing braces, three times as fast as `json`."""
    encode = json.encoder.encode_basestring
    members = [f"{', ' if index else '{'}{encode(name)}: " for index, name in enumerate(names)]
    return ["".join(map(add, members, map(encode, row))) for row in rows]

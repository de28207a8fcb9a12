"""Reads CSV and TSV files, including irregular ones."""

import csv
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import attrs

from bulkverify.errors import InvalidListError, clause
from bulkverify.lists.bounds import GrowthLimit
from bulkverify.lists.cells import read_cell
from bulkverify.lists.columns import (
    holds_address,
    says_nothing,
)
from bulkverify.lists.decoding import decoded
from bulkverify.lists.naming import Rank, name_meaning
from bulkverify.lists.quotes import ListRecords, swallowed_rows
from bulkverify.lists.tables import Digest, FileTable
from bulkverify.results.records import RecordError

DELIMITERS: Final = ",;\t|"
"""The delimiters that are tried if the caller names none."""

_FURTHEST: Final = 3
"""So many columns further right, the address of a row with stray delimiters is looked for."""

_DELIMITER: Final = re.compile(f"[{DELIMITERS}]")
SHOWN_CHARACTERS: Final = 100
"""How much of a text a message shows."""


@attrs.frozen(kw_only=True)
class Delimited(FileTable):
    """A file of records. The first `skipped` records, such as a header, are not rows."""

    skipped: int
    _short: list[int] = attrs.field(factory=lambda: [0], init=False, eq=False, repr=False)
    _read: list[ListRecords] = attrs.field(factory=list, init=False, eq=False, repr=False)

    @property
    def short(self) -> int:
        """How many rows had too few cells when they were last read; a sheet leaves out empty ones at the end."""
        return self._short[0] if self.sheet is None else 0

    @property
    def hidden_rows(self) -> int:
        """How many rows are hidden in the sheet."""
        if self.sheet is None:
            return 0
        return sum(place >= self.skipped for place in self.sheet.hidden)

    def row_number(self, row: int) -> int:
        """Return the number of a row, which is counted from 1, in the sheet."""
        return row if self.sheet is None else self.sheet.numbers[self.skipped + row - 1]

    @property
    def stray(self) -> int:
        """How many rows had a stray quote when they were last read."""
        return sum(text.stray for text in self._read)

    @property
    def stray_at(self) -> str:
        """Where the first stray quote was."""
        return f"line {self._read[0].stray_line:,} of {self.title}" if self.stray else ""

    @property
    def escapes(self) -> bool:
        """Whether quotes within cells had a backslash before them when the rows were last read."""
        return any(text.escapes for text in self._read)

    def batches(self, digest: Digest | None = None) -> Iterator[list[list[str]]]:
        """Read the rows in order."""
        fits = {len(self.names)}.issuperset
        written_as_text = self.sheet is None  # the copy of a sheet has no stray quotes
        skip = self.skipped
        text = ListRecords(self.delimiter)
        limit = GrowthLimit(self.title, self.names, [self.path])
        self._short[0] = 0
        self._read[:] = [text]
        for records in text_records(self.path, self.encoding, self.title, text, digest):
            if written_as_text and text.lines_read > len(records):
                self._refuse_swallowed_rows(records, skip, text)
            before = 0
            for portion in limit.portions(records):
                count = len(portion)
                if not fits(map(len, portion)):
                    short = self._fit(portion, skip, text, before)
                    limit.count_short(short)
                    self._short[0] += short
                if skip:
                    skipped = min(skip, count)
                    del portion[:skipped]
                    skip -= skipped
                before += count
                if portion:
                    if written_as_text:
                        self._refuse_shifted_rows(portion, text, before - len(portion))
                    yield portion

    def _fit(self, records: list[list[str]], skip: int, text: ListRecords, before: int) -> int:
        """Make records as wide as the list, and return how many were short.

        Spreadsheets leave out empty cells at the end of a row, or write too many. `before`
        counts the records that `text` gave before these.
        """
        width = len(self.names)
        short = 0
        for index, record in enumerate(records):
            if text.stray_lines and len(record) != width and index >= skip:
                self._refuse_stray_quote(record, text, before + index)
            if len(record) > width and any(record[width:]) and index >= skip:
                raise InvalidListError(
                    f"Line {text.line_of(before + index):,} of {self.title} has {len(record):,} cells where the list has "
                    f"{width:,} columns. Quote cells that hold {self.delimiter!r}, or name the "
                    "delimiter. Nothing was sent."
                ).with_hint(
                    "If the names of the columns are in another row, name it with `header_row`.",
                    "If the names of the columns are in another row, name it with --header-row.",
                )
            one_cell = len(record) == 1 < width and self.sheet is None
            if one_cell and index >= skip and _DELIMITER.search(record[0]):
                self._refuse_other_delimiter(record[0], text, before + index)
            if len(record) < width and index >= skip:
                short += 1
                if self.sheet is None:
                    self._refuse_shifted_row(record, range(len(record)), text, before + index)
            # A new row, because the old one may still be in use.
            records[index] = [*record[:width], *[""] * (width - len(record))]
        return short

    def _refuse_shifted_rows(
        self, records: list[list[str]], text: ListRecords, before: int
    ) -> None:
        """Refuse rows whose address stands further right, because a cell before it has a delimiter."""
        column = self.column
        right = range(column + 1, min(column + 1 + _FURTHEST, len(self.names)))
        nearby = [place for place in right if place not in self.beside]
        if not nearby:
            return
        without = [
            index for index, row in enumerate(records) if "@" not in row[column] and row[column]
        ]
        for index in without:
            if not says_nothing(records[index][column]):
                self._refuse_shifted_row(records[index], nearby, text, before + index)

    def _refuse_shifted_row(
        self, record: list[str], places: Iterable[int], text: ListRecords, index: int
    ) -> None:
        """Refuse a row without an address in its column, but with one where no other row has one."""
        if self.column < len(record) and "@" in record[self.column]:
            return
        for place in places:
            if (
                place != self.column
                and "@" in record[place]
                and place not in self.beside
                and name_meaning(self.names[place]).rank is Rank.OTHER
                and read_cell(record[place].strip()).address
            ):
                cell = record[self.column] if self.column < len(record) else ""
                raise InvalidListError(
                    f"Line {text.line_of(index):,} of {self.title} has its address in the column {self.names[place]!r}, where "
                    f"{self.names[self.column]!r} has {cell[:SHOWN_CHARACTERS]!r}: "
                    f"{self.delimiter.join(record)[:SHOWN_CHARACTERS]!r}. Quote cells that hold {self.delimiter!r}. "
                    "Nothing was sent."
                ).with_hint(
                    "If the row is right, name the column of addresses with `column`.",
                    "If the row is right, name the column of addresses with --column.",
                )

    def _refuse_swallowed_rows(
        self, records: list[list[str]], skip: int, text: ListRecords
    ) -> None:
        """Refuse a quoted cell of several lines that look like rows."""
        for index, record in enumerate(records[skip:], start=skip):
            text_of_row = "".join(record)
            if "\n" not in text_of_row and "\r" not in text_of_row:
                continue
            place = swallowed_rows(
                record, self.delimiter, len(self.names), self.column, spaced=text.spaced
            )
            if place is not None:
                line = text.line_of(index) + "".join(record[:place]).count("\n")
                raise InvalidListError(
                    f"Line {line:,} of {self.title} opens a quote that closes on a later line, and the text between "
                    f"looks like rows: {record[place][:SHOWN_CHARACTERS]!r}. Remove the quote, or close it. "
                    "Nothing was sent."
                )

    def _refuse_stray_quote(self, record: list[str], text: ListRecords, index: int) -> None:
        """Refuse a row with too few or too many cells that has a stray quote."""
        line = text.stray_lines.get(text.line_of(index))
        if line is not None:
            raise InvalidListError(
                f"Line {line:,} of {self.title} opens a quote that does not close before the next cell, and the row has "
                f"{len(record):,} cells where the list has {len(self.names):,} columns: "
                f"{self.delimiter.join(record)[:SHOWN_CHARACTERS]!r}. Remove the quote, or close it. Nothing was sent."
            )

    def _refuse_other_delimiter(self, cell: str, text: ListRecords, index: int) -> None:
        """Refuse a row that is one cell because it has another delimiter."""
        for delimiter in DELIMITERS:
            pieces = [piece for piece in cell.split(delimiter) if piece.strip()]
            if len(pieces) > 1 and sum(map(holds_address, pieces)) == 1 and cell.count("@") == 1:
                raise InvalidListError(
                    f"Line {text.line_of(index):,} of {self.title} has {delimiter!r} between its cells where the list "
                    f"has {self.delimiter!r}: {cell[:SHOWN_CHARACTERS]!r}. Write all rows with one delimiter. Nothing was sent."
                )


def text_records(
    path: Path, encoding: str, title: str, text: ListRecords, digest: Digest | None = None
) -> Iterator[list[list[str]]]:
    """Read the records of a file, many at a time."""
    try:
        for piece in decoded(path, encoding, title, digest):
            if records := text.feed(piece):
                yield records
        if records := text.finish():
            yield records
    except RecordError as error:
        problem, line = f"{error}", error.line
        if "field limit" in problem:
            problem = (
                f"a cell has more than {csv.field_size_limit():,} characters. Shorten it or leave out its column; if a "
                "quote is opened there, close it"
            )
    else:
        if not text.unfinished:
            return
        beginning = text.rest.partition("\n")[0][:SHOWN_CHARACTERS]
        problem = (
            f"a quote is opened and never closed: {beginning!r}. Remove the quote, or close it"
        )
        line = text.line
    raise InvalidListError(
        f"{title} can't be read as CSV at line {line:,}: {clause(problem)}. Nothing was sent."
    )

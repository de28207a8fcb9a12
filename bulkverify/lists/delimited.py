"""CSV and TSV files as people have them."""

import csv
import re
from collections.abc import Iterator
from io import StringIO
from itertools import chain
from pathlib import Path
from typing import Final

import attrs

from bulkverify.errors import InvalidListError, UsageError
from bulkverify.lists.bounds import Room, check_width
from bulkverify.lists.columns import SAMPLE_ROWS, column_names, find_column, is_header, sample_rows
from bulkverify.lists.decoding import decoded, sample_of
from bulkverify.lists.tables import Digest, Table, file_pieces
from bulkverify.results.records import RecordError, TextRecords

DELIMITERS: Final = ",;\t|"
"""What stands between the cells of a table, unless the caller says otherwise."""

_DECLARED: Final = re.compile(r"sep=([^\"\r\n])\r?\n", re.IGNORECASE)  # for Excel


@attrs.frozen(kw_only=True)
class Delimited(Table):
    """A file of records. The first `skipped` records, such as a header, are not rows."""

    path: Path
    skipped: int
    _short: list[int] = attrs.field(factory=lambda: [0], init=False, eq=False, repr=False)

    @property
    def short(self) -> int:
        """How many rows had too few cells when they were last read."""
        return self._short[0]

    def batches(self, digest: Digest | None = None) -> Iterator[list[list[str]]]:
        """Read the rows in order."""
        fits = {len(self.names)}.issuperset
        skip = self.skipped
        text = TextRecords(self.delimiter)
        room = Room(self.title, self.names, [self.path])
        self._short[0] = 0
        for records in _records(self.path, self.encoding, self.title, text, digest):
            before = 0
            for portion in room.portions(records):
                count = len(portion)
                if not fits(map(len, portion)):
                    short = self._fit(portion, skip, text, before)
                    room.fill(short)
                    self._short[0] += short
                if skip:
                    skipped = min(skip, count)
                    del portion[:skipped]
                    skip -= skipped
                before += count
                if portion:
                    yield portion

    def pieces(self) -> Iterator[bytes]:
        """Read the file."""
        return file_pieces(self.path)

    def _fit(self, records: list[list[str]], skip: int, text: TextRecords, before: int) -> int:
        """Make records as wide as the list, and return how many were short.

        Cells at the end may be missing, or empty and too many, as spreadsheets write them. `before`
        counts the records that `text` gave before these.
        """
        width = len(self.names)
        short = 0
        for index, record in enumerate(records):
            if len(record) > width and any(record[width:]) and index >= skip:
                raise InvalidListError(
                    f"Line {text.line_of(before + index):,} of {self.title} has {len(record):,} cells where the list has "
                    f"{width:,} columns. Quote cells that hold {self.delimiter!r}, or name the "
                    "delimiter. Nothing was sent."
                )
            short += len(record) < width and index >= skip
            # A new row, because the old one may still be in use.
            records[index] = [*record[:width], *[""] * (width - len(record))]
        return short


def open_delimited(
    path: Path, *, title: str, column: str | None, delimiter: str | None, encoding: str
) -> Delimited:
    """Look at the beginning of a file of records and find out how to read it."""
    if delimiter is not None and (
        len(delimiter) != 1 or delimiter in '"\r\n\0' or "\ud800" <= delimiter <= "\udfff"
    ):
        raise UsageError(
            f"A delimiter is one character that is neither a quote nor a line end, not {delimiter!r}."
        )
    beginning, encoding = sample_of(path, encoding, title)
    declared = _DECLARED.match(beginning)
    delimiter = delimiter or (str(declared[1]) if declared else guess_delimiter(beginning))
    batches = _records(path, encoding, title, TextRecords(delimiter))
    sample = sample_rows(chain.from_iterable(batches), SAMPLE_ROWS + 2)
    skipped = 1 if declared else 0
    del sample[:skipped]
    if not sample:
        raise InvalidListError(f"{title} is empty: a list needs at least one address.")
    headed = is_header(sample[0], column)
    header = tuple(sample.pop(0)) if headed else ()
    if not sample:
        raise InvalidListError(f"{title} has a header and no rows: there is nothing to verify.")
    check_width(title, max(map(len, [header, *sample])))
    names = header or column_names(max(map(len, sample)))
    return Delimited(
        title=title,
        names=names,
        column=find_column(title, names, sample, column),
        delimiter=delimiter,
        newline="\r\n" if "\r\n" in beginning else "\n",
        path=path,
        encoding=encoding,
        skipped=skipped + headed,
    )


def guess_delimiter(sample: str) -> str:
    """Return the delimiter that cuts the sample into the most even rows, or a comma."""

    def evenness(delimiter: str) -> tuple[int, int]:
        try:
            records = list(csv.reader(StringIO(sample, newline=""), delimiter=delimiter))
        except csv.Error:
            return 0, 0
        widths = [len(record) for record in records if record][:SAMPLE_ROWS]
        if not widths or widths[0] == 1:
            return 0, 0
        return widths.count(widths[0]), widths[0]

    return max(DELIMITERS, key=evenness)


def _records(
    path: Path, encoding: str, title: str, text: TextRecords, digest: Digest | None = None
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
            problem += ", most likely because a quote is opened and never closed"
    else:
        if not text.unfinished:
            return
        problem, line = "a quote is opened and never closed", text.line
    raise InvalidListError(
        f"{title} can't be read as CSV at line {line:,}: {problem}. Nothing was sent."
    )

"""CSV and TSV files as people have them."""

import csv
from collections.abc import Iterator
from io import StringIO
from itertools import chain, islice
from pathlib import Path
from typing import Final

import attrs

from bulkverify.csvstream import RecordError, TextRecords
from bulkverify.errors import InvalidListError, UsageError
from bulkverify.lists.columns import SAMPLE_ROWS, column_names, find_column, is_header
from bulkverify.lists.decoding import decoded, sample_of
from bulkverify.lists.tables import Digest, Table, file_pieces

_DELIMITERS: Final = ",;\t|"


@attrs.frozen(kw_only=True)
class Delimited(Table):
    """A file of records; `headed` if its first is a header."""

    path: Path
    headed: bool

    def batches(self, digest: Digest | None = None) -> Iterator[list[list[str]]]:
        """Read the rows in order."""
        width = len(self.names)
        fits = {width}.issuperset
        header = int(self.headed)
        text = TextRecords(self.delimiter)
        for records in _records(self.path, self.encoding, self.title, text, digest):
            if not fits(map(len, records)):
                self._fit(records, width, text)
            if header:
                del records[0]
                header = 0
            if records:
                yield records

    def pieces(self) -> Iterator[bytes]:
        """Read the file."""
        return file_pieces(self.path)

    def _fit(self, records: list[list[str]], width: int, text: TextRecords) -> None:
        """Make records as wide as the list; cells at their ends may be missing, or empty and too many."""
        for index, record in enumerate(records):
            if len(record) > width and any(record[width:]):
                raise InvalidListError(
                    f"Line {text.line_of(index):,} of {self.title} has {len(record):,} cells where the list has "
                    f"{width:,} columns. Quote cells that hold {self.delimiter!r}, or name the "
                    "delimiter. Nothing was sent."
                )
            del record[width:]
            record.extend([""] * (width - len(record)))


def open_delimited(
    path: Path, *, title: str, column: str | None, delimiter: str | None, encoding: str
) -> Delimited:
    """Look at the beginning of a file of records and find out how to read it."""
    if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n'):
        raise UsageError(
            f"A delimiter is one character, and neither a quote nor a line end, not {delimiter!r}."
        )
    beginning, encoding = sample_of(path, encoding, title)
    delimiter = delimiter or guess_delimiter(beginning)
    batches = _records(path, encoding, title, TextRecords(delimiter))
    sample = list(islice(chain.from_iterable(batches), SAMPLE_ROWS + 1))
    if not sample:
        raise InvalidListError(f"{title} is empty: a list needs at least one address.")
    headed = is_header(sample[0], column)
    header = tuple(sample.pop(0)) if headed else ()
    if not sample:
        raise InvalidListError(f"{title} has a header and no rows: there is nothing to verify.")
    names = header or column_names(max(map(len, sample)))
    return Delimited(
        title=title,
        names=names,
        column=find_column(title, names, sample, column),
        delimiter=delimiter,
        newline="\r\n" if "\r\n" in beginning else "\n",
        path=path,
        encoding=encoding,
        headed=headed,
    )


def guess_delimiter(sample: str) -> str:
    """Take the delimiter that cuts the sample's lines most evenly; a comma where none does."""

    def evenness(delimiter: str) -> tuple[int, int]:
        try:
            records = list(csv.reader(StringIO(sample, newline=""), delimiter=delimiter))
        except csv.Error:
            return 0, 0
        widths = [len(record) for record in records if record][:SAMPLE_ROWS]
        if not widths or widths[0] == 1:
            return 0, 0
        return widths.count(widths[0]), widths[0]

    return max(_DELIMITERS, key=evenness)


def _records(
    path: Path, encoding: str, title: str, text: TextRecords, digest: Digest | None = None
) -> Iterator[list[list[str]]]:
    """Read the records of a file, many at a time and never none."""
    try:
        for piece in decoded(path, encoding, title, digest):
            if records := text.feed(piece):
                yield records
        if records := text.finish():
            yield records
    except RecordError as error:
        problem = f"{error}"
        line = error.line
    else:
        if not text.unfinished:
            return
        problem, line = "a quote is opened and never closed", text.line
    raise InvalidListError(
        f"{title} can't be read as CSV at line {line:,}: {problem}. Nothing was sent."
    )

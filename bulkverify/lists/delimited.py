"""CSV and TSV files, including irregular ones."""

import csv
import re
import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from io import StringIO
from itertools import chain
from pathlib import Path
from typing import Final

import attrs

from bulkverify.errors import InvalidListError, UsageError
from bulkverify.lists.bounds import GrowthLimit, check_width
from bulkverify.lists.columns import (
    SAMPLE_ROWS,
    add_rows_with_addresses,
    column_names,
    find_column,
    holds_address,
    listed,
    sample_rows,
)
from bulkverify.lists.decoding import decoded, sample_of
from bulkverify.lists.headers import doubtful_header, find_header
from bulkverify.lists.lines_of_addresses import refuse_lines_of_addresses
from bulkverify.lists.naming import Rank, name_meaning
from bulkverify.lists.quotes import ListRecords, swallowed_rows
from bulkverify.lists.tables import Digest, FileTable, Sheet
from bulkverify.results.records import RecordError

DELIMITERS: Final = ",;\t|"
"""The delimiters that are tried if the caller names none."""

_DELIMITER: Final = re.compile(f"[{DELIMITERS}]")
_UNUSUAL: Final = "^~:=#!&*/"

_SHOWN_CHARACTERS: Final = 100

_DECLARED: Final = re.compile(r"(\"?)sep=([^\"\r\n])\1\r?\n", re.IGNORECASE)  # for Excel


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
            short += len(record) < width and index >= skip
            # A new row, because the old one may still be in use.
            records[index] = [*record[:width], *[""] * (width - len(record))]
        return short

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
                    f"looks like rows: {record[place][:_SHOWN_CHARACTERS]!r}. Remove the quote, or close it. "
                    "Nothing was sent."
                )

    def _refuse_stray_quote(self, record: list[str], text: ListRecords, index: int) -> None:
        """Refuse a row with too few or too many cells that has a stray quote."""
        line = text.stray_lines.get(text.line_of(index))
        if line is not None:
            raise InvalidListError(
                f"Line {line:,} of {self.title} opens a quote that does not close before the next cell, and the row has "
                f"{len(record):,} cells where the list has {len(self.names):,} columns: "
                f"{self.delimiter.join(record)[:_SHOWN_CHARACTERS]!r}. Remove the quote, or close it. Nothing was sent."
            )

    def _refuse_other_delimiter(self, cell: str, text: ListRecords, index: int) -> None:
        """Refuse a row that is one cell because it has another delimiter."""
        for delimiter in DELIMITERS:
            pieces = [piece for piece in cell.split(delimiter) if piece.strip()]
            if len(pieces) > 1 and sum(map(holds_address, pieces)) == 1 and cell.count("@") == 1:
                raise InvalidListError(
                    f"Line {text.line_of(index):,} of {self.title} has {delimiter!r} between its cells where the list "
                    f"has {self.delimiter!r}: {cell[:_SHOWN_CHARACTERS]!r}. Write all rows with one delimiter. Nothing was sent."
                )


def open_delimited(
    path: Path,
    *,
    title: str,
    column: str | None,
    delimiter: str | None,
    encoding: str,
    header_row: int | None = None,
    sheet: Sheet | None = None,
) -> Delimited:
    """Detect how to read a file of records, which may be the copy of a `sheet`, from its beginning."""
    if delimiter is not None and (
        len(delimiter) != 1 or delimiter in '"\r\n\0' or "\ud800" <= delimiter <= "\udfff"
    ):
        raise UsageError(
            f"A delimiter is one character that is neither a quote nor a line end, not {delimiter!r}."
        )
    beginning, encoding = sample_of(path, encoding, title)
    declared = None if sheet else _DECLARED.match(beginning)
    delimiter = delimiter or (str(declared[2]) if declared else guess_delimiter(beginning))
    records = chain.from_iterable(text_records(path, encoding, title, ListRecords(delimiter)))
    sample = sample_rows(records, SAMPLE_ROWS + 2)
    if column is None:
        add_rows_with_addresses(sample, records)
    skipped = 1 if declared else 0
    del sample[:skipped]
    if not sample:
        raise InvalidListError(f"{title} is empty: a list needs at least one address.")
    numbers = _row_numbers(sheet, beginning=beginning, delimiter=delimiter, declared=skipped)
    if header_row is None:
        place = find_header(sample, column)
        _refuse_doubtful_header(title, sample, doubtful_header(sample, place, column), numbers)
    else:
        place = _named_row(title, header_row, numbers)
    header: tuple[str, ...] = ()
    preface = ""
    if place is not None:
        preface = _text_above(beginning, delimiter, skipped, place)
        header = tuple(sample[place])
        del sample[: place + 1]
        skipped += place + 1
    if not sample:
        raise InvalidListError(f"{title} has a header and no rows: there is nothing to verify.")
    width = sheet.width if sheet else max(map(len, [header, *sample]))
    check_width(title, width)
    refuse_lines_of_addresses(title, header, sample, chosen=column is not None)
    if len(header) == 1 and column is None:
        _refuse_unusual_delimiter(title, header[0], sample)
    names = header or column_names(width)
    if sheet:  # cells beside the names have a column without a name
        names += ("",) * (width - len(names))
    columns = find_column(title, names, sample, column)
    return Delimited(
        title=title,
        names=names,
        column=columns.column,
        others=columns.others,
        preface=preface,
        delimiter=delimiter,
        newline="\r\n" if "\r\n" in beginning and sheet is None else "\n",
        path=path,
        encoding=encoding,
        skipped=skipped,
        sheet=sheet,
    )


def _refuse_unusual_delimiter(title: str, name: str, sample: list[list[str]]) -> None:
    """Refuse a list of one column whose name and cells have the same sign between words."""
    cells = [row[0] for row in sample if row]
    for sign in _UNUSUAL:
        pieces = [cell.split(sign) for cell in cells]
        if (
            sign in name.strip(sign)
            and len({len(one) for one in [name.split(sign), *pieces]}) == 1
            and all(any(map(holds_address, one)) for one in pieces)
        ):
            raise InvalidListError(
                f"{title} seems to have {sign!r} between its cells: {cells[0][:_SHOWN_CHARACTERS]!r}. Nothing was sent."
            ).with_hint(
                f"Name it with `delimiter={sign!r}`.",
                f"Name it with --delimiter {shlex.quote(sign)}.",
            )


def _row_numbers(
    sheet: Sheet | None, *, beginning: str, delimiter: str, declared: int
) -> Sequence[int]:
    """Return the numbers, counting empty rows, of the first records."""
    if sheet:
        return sheet.numbers[:SAMPLE_ROWS]
    records = csv.reader(StringIO(beginning, newline=""), delimiter=delimiter)
    filled = [number for number, record in enumerate(records, start=1) if record]
    return filled[declared:][:SAMPLE_ROWS]


def _named_row(title: str, row: int, numbers: Sequence[int]) -> int | None:
    """Return the place of the header row among the records; `None` for row 0, which means no header."""
    if row == 0:
        return None
    if row not in numbers:
        raise UsageError(f"{title} has no names of columns in row {row:,}.").with_hint(
            "Count rows from 1, including empty ones; `header_row=0` is for a list without names.",
            "Count rows from 1, including empty ones; --header-row 0 is for a list without names.",
        )
    return numbers.index(row)


def _refuse_doubtful_header(
    title: str, sample: list[list[str]], place: int | None, numbers: Sequence[int]
) -> None:
    """Refuse a list that may or may not have a header in a row."""
    if place is not None and place < len(numbers):
        row = numbers[place]
        raise InvalidListError(
            f"Row {row:,} of {title} may have the names of the columns, or be a row as those below it: "
            f"{listed(sample[place])}. Nothing was sent."
        ).with_hint(
            f"If it has the names, say so with `header_row={row}`. If the list has no names, use `header_row=0`.",
            f"If it has the names, say so with --header-row {row}. If the list has no names, use --header-row 0.",
        )


def _text_above(beginning: str, delimiter: str, declared: int, place: int) -> str:
    """Return the text above a header, without the line that declares a delimiter (`sep=;`)."""
    if not place:
        return ""
    records = csv.reader(StringIO(beginning, newline=""), delimiter=delimiter)
    ends = [0]
    starts = []
    for record in records:
        if record:
            starts.append(ends[-1])
        ends.append(records.line_num)
    lines = list(StringIO(beginning, newline=""))
    return "".join(lines[declared : starts[declared + place]])


def guess_delimiter(sample: str) -> str:
    """Return the delimiter that cuts the sample into the most even rows, or a comma."""

    def evenness(delimiter: str) -> tuple[int, int]:
        try:
            reader = csv.reader(
                StringIO(sample, newline=""), delimiter=delimiter, skipinitialspace=True
            )
            records = list(reader)
        except csv.Error:
            return 0, 0
        rows = list(filter(None, records))[:SAMPLE_ROWS]
        widths = [len(row) for row in rows]
        if not widths:
            return 0, 0
        width = widths[0]
        if width == 1:  # perhaps a title above the table
            width, count = Counter(widths).most_common(1)[0]
            if width == 1 or count * 2 < len(rows) or name_meaning(rows[0][0]).rank is Rank.MAIN:
                return 0, 0
        return widths.count(width), width

    return max(DELIMITERS, key=evenness)


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
            problem += ", most likely because a quote is opened and never closed"
    else:
        if not text.unfinished:
            return
        beginning = text.rest.partition("\n")[0][:_SHOWN_CHARACTERS]
        problem = (
            f"a quote is opened and never closed: {beginning!r}. Remove the quote, or close it"
        )
        line = text.line
    raise InvalidListError(
        f"{title} can't be read as CSV at line {line:,}: {problem}. Nothing was sent."
    )

"""Detects how to read a CSV or TSV file: its delimiter, header and columns."""

import csv
import re
import shlex
from collections import Counter
from collections.abc import Sequence
from io import StringIO
from itertools import chain, takewhile
from pathlib import Path
from typing import Final

from bulkverify.errors import InvalidListError, UsageError
from bulkverify.lists.bounds import check_width
from bulkverify.lists.columns import (
    SAMPLE_ROWS,
    add_rows_with_addresses,
    column_names,
    find_column,
    holds_address,
    listed,
    sample_rows,
)
from bulkverify.lists.decoding import sample_of
from bulkverify.lists.delimited import DELIMITERS, SHOWN_CHARACTERS, Delimited, text_records
from bulkverify.lists.headers import doubtful_header, find_header
from bulkverify.lists.lines_of_addresses import refuse_lines_of_addresses
from bulkverify.lists.naming import Rank, name_meaning
from bulkverify.lists.quotes import ListRecords
from bulkverify.lists.tables import Sheet

_UNUSUAL: Final = "\x01\x02\x1c\x1d\x1e\x1f^~:=#!&*/"
_FEWEST_ROWS: Final = 2  # below titles: names and a row
_NEVER_IN_WORDS: Final = "\x01\x02\x1c\x1d\x1e\x1f^~"
_DECLARED: Final = re.compile(r"(\"?)sep=([^\"\r\n])\1\r?\n", re.IGNORECASE)  # for Excel


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
        _refuse_other_delimiter_above(title, sample, delimiter, numbers)
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
    if column is None and all(len(row) == 1 for row in (*sample, header or ("",))):
        _refuse_unread_delimiter(title, header, [row[0] for row in sample], delimiter)
    names = header or column_names(width)
    if sheet:  # cells beside the names have a column without a name
        names += ("",) * (width - len(names))
    columns = find_column(title, names, sample, column)
    return Delimited(
        title=title,
        names=names,
        column=columns.column,
        others=columns.others,
        beside=columns.beside,
        preface=preface,
        delimiter=delimiter,
        newline="\r\n" if "\r\n" in beginning and sheet is None else "\n",
        path=path,
        encoding=encoding,
        skipped=skipped,
        sheet=sheet,
    )


def _refuse_unread_delimiter(
    title: str, header: Sequence[str], cells: list[str], delimiter: str
) -> None:
    """Refuse a list of one column whose cells look like rows of several."""
    signs = (_UNUSUAL if header else _NEVER_IN_WORDS) + DELIMITERS
    for sign in signs:
        pieces = [_pieces(cell, sign) for cell in (*header, *cells)]
        below = pieces[len(header) :]
        if (
            len({len(one) for one in pieces}) != 1
            or len(pieces[0]) == 1
            or not all(any(map(holds_address, one)) for one in below)
            or all(all(map(holds_address, one)) for one in below)
        ):
            continue
        if sign == delimiter:
            raise InvalidListError(
                f"{title} has quotes around whole rows, so that each is one cell: {cells[0][:SHOWN_CHARACTERS]!r}. Remove "
                "them. Nothing was sent."
            )
        shown = shlex.quote(sign) if sign.isprintable() else f"$'\\x{ord(sign):02x}'"
        raise InvalidListError(
            f"{title} seems to have {sign!r} between its cells: {cells[0][:SHOWN_CHARACTERS]!r}. Nothing was sent."
        ).with_hint(f"Name it with `delimiter={sign!r}`.", f"Name it with --delimiter {shown}.")


def _pieces(cell: str, sign: str) -> list[str]:
    """Cut a cell of one line at a sign, as a row of CSV; a sign at an end cuts nothing."""
    try:
        return next(csv.reader([cell.strip(sign)], delimiter=sign), [""])
    except csv.Error:  # it has line ends
        return [cell]


def _refuse_other_delimiter_above(
    title: str, sample: list[list[str]], delimiter: str, numbers: Sequence[int]
) -> None:
    """Refuse a list whose names have another delimiter between them than the rows."""
    [name] = sample[0] if len(sample[0]) == 1 else [""]
    for sign in DELIMITERS:
        names = name.split(sign)
        if any(name_meaning(one).rank < Rank.OTHER for one in names[:SAMPLE_ROWS]) and any(
            len(row) == len(names) > 1 for row in sample[1:]
        ):
            raise InvalidListError(
                f"Row {numbers[0]:,} of {title} has {sign!r} between its names where the rows have {delimiter!r} between "
                f"their cells: {name[:SHOWN_CHARACTERS]!r}. Write all rows with one delimiter. Nothing was sent."
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
            if name_meaning(rows[0][0]).rank is Rank.MAIN:
                return 0, 0
            if width == 1 or count * 2 < len(rows):
                return _below_titles(rows)
        return widths.count(width), width

    return max(DELIMITERS, key=evenness)


def _below_titles(rows: list[list[str]]) -> tuple[int, int]:
    """Return how many even rows follow rows of one cell, and their width; 0 if these may be addresses."""
    titles = list(takewhile(lambda row: len(row) == 1, rows))
    table = rows[len(titles) :]
    if len(table) < _FEWEST_ROWS or any("@" in title for [title] in titles):
        return 0, 0
    width = len(table[0])
    count = sum(len(row) == width for row in table)
    return (count, width) if count * 2 > len(table) else (0, 0)

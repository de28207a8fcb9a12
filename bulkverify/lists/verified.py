"""Reads a list that has verdicts: an output of `join`, or results of the service. Columns are found by name."""

import codecs
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import Final, TypeAlias

import attrs

from bulkverify.errors import InvalidListError, clause
from bulkverify.lists.columns import (
    SAMPLE_ROWS,
    add_rows_with_addresses,
    find_column,
    listed,
    sample_rows,
)
from bulkverify.lists.decoding import sample_of
from bulkverify.lists.delimited import Delimited, text_records
from bulkverify.lists.detecting import guess_delimiter
from bulkverify.lists.jsonlines import JsonLines, json_values, open_json_lines
from bulkverify.lists.layout import source_path
from bulkverify.lists.opening import format_of
from bulkverify.lists.quotes import ListRecords
from bulkverify.lists.spreadsheets import write_as_csv
from bulkverify.lists.surveying import surveyed
from bulkverify.lists.tables import Sheet, Table
from bulkverify.lists.verdict_columns import PREFIX, places_of
from bulkverify.lists.verdicts import FLAGS
from bulkverify.models import Verdict, parse_flag, read_verdict
from bulkverify.results.records import DEFAULT_ENCODING, check_encoding

# The delimiter is between two columns of verdicts, whatever the list has before them.
_BETWEEN: Final = re.compile(
    rf'\b(?:(?:{PREFIX})*verdict"?([^\w"\r\n])"?(?:{PREFIX})*{FLAGS[0]}|Verification Result"?([^\w"\r\n])"?Syntax Error)\b'
)
_MARKS: Final = {
    "utf-8-sig": {codecs.BOM_UTF8: "utf-8", b"": "utf-8"},
    "utf-16": {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"},
    "utf-32": {codecs.BOM_UTF32_LE: "utf-32-le", codecs.BOM_UTF32_BE: "utf-32-be"},
}
_JSON_FLAGS: Final[dict[object, str]] = {None: "", True: "Y", False: "N"}
_SHOWN_CHARACTERS: Final = 40
_TIME: Final = re.compile(rf"(?:{PREFIX})*verified_at")

Key: TypeAlias = tuple[str, ...]
"""The verdict and the flags of a row, as they are written, and perhaps more cells."""


def open_verified(
    path: Path, *, title: str, encoding: str, spool: Path, number: int = 1
) -> "Verified":
    """Open a list that has verdicts.

    Args:
        path: a CSV, TSV, JSON Lines or `.xlsx` file.
        title: its name in messages.
        encoding: of its text.
        spool: a folder for a workbook as CSV.
        number: of that file in the folder.

    Raises:
        InvalidListError: it has no column of verdicts, or can't be read.
    """
    check_encoding(encoding)
    kind = format_of(path, encoding, title)
    if kind == "jsonl":
        return _Json(path, title, encoding)
    if kind == "xlsx":
        spooled = source_path(spool, number, ".xlsx.csv")
        sheet = write_as_csv(path, spooled, title)
        return _Csv(spooled, title, DEFAULT_ENCODING, sheet)
    return _Csv(path, title, encoding)


def read_key(
    title: str, columns: Sequence[str], key: Key, row: int
) -> tuple[Verdict | str | None, dict[str, bool | None]]:
    """Read the verdict and the flags of a row, by the `columns` of its key.

    Raises:
        InvalidListError: a cell can't be read; the message names the row and the column.
    """
    cells = dict(zip(columns, key, strict=False))
    said = cells.pop("verdict").strip()
    column = "verdict"
    try:
        verdict = read_verdict(said) if said else None
        flags = {}
        for column, cell in cells.items():
            flags[column] = parse_flag(cell)
    except ValueError as error:
        problem = str(error)
    else:
        return verdict, flags
    raise InvalidListError(
        f"Row {row:,} of {title} is wrong at its column {column!r}: {clause(problem)}."
    )


class _Csv:
    """A CSV file with verdicts; `ends` are those of names for its rows."""

    def __init__(self, path: Path, title: str, encoding: str, sheet: Sheet | None = None) -> None:
        beginning, encoding = sample_of(path, encoding, title)
        self.title: str = title
        self.ends: tuple[str, ...] = tuple({".csv": None, path.suffix.lower(): None})
        mark, codec = _mark_of(path, encoding)
        self.mark: bytes = mark
        self.codec: str = codec
        self._path = path
        self._encoding = encoding
        self._sheet = sheet
        between = _BETWEEN.search(beginning)
        self._delimiter = between[1] or between[2] if between else guess_delimiter(beginning)
        self.head: str = ""
        self._skipped = 0
        self.names: Sequence[str] = ()
        self.places: dict[str, int] = self._find_header()
        self.columns: Sequence[str] = tuple(name for name in self.places if name != "verified_at")

    def batches(self) -> Iterator[tuple[list[str], list[Key]]]:
        """Give the texts of rows, and their keys with a text that is empty if the row has no time."""
        time = _time_of_ours(self.names, self.places)
        pick = self._picker([*(self.places[name] for name in self.columns), time])
        skip = self._skipped
        text = ListRecords(self._delimiter)
        for records in self._records(text):
            keys = [(*key[:-1], "Y" if key[-1] else "") for key in pick(records[skip:])]
            yield text.texts(len(records))[skip:], keys
            skip = max(0, skip - len(records))

    def table(self, wanted: str | None) -> Delimited:
        """Return its rows as a list; `wanted` and errors are as for `find_column`."""
        width = self._sheet.width if self._sheet else 0
        table = Delimited(
            title=self.title,
            names=(*self.names, *[""] * (width - len(self.names))),
            column=0,
            beside=tuple(range(max(width, len(self.names)))),  # so that no address is unexpected
            delimiter=self._delimiter,
            path=self._path,
            encoding=self._encoding,
            skipped=self._skipped,
            sheet=self._sheet,
        )
        rows = table.rows()
        sample = sample_rows(rows, SAMPLE_ROWS)
        if not sample:
            return table
        add_rows_with_addresses(sample, rows)
        found = find_column(self.title, table.names, sample, wanted)
        table = attrs.evolve(table, column=found.column, others=found.others)
        return surveyed(table, wanted)

    def places_in(self, _: Table) -> dict[str, int]:
        """Return the places of the verdict, the flags and the time in its `table`."""
        return self.places

    def _picker(self, places: Sequence[int]) -> Callable[[list[list[str]]], list[Key]]:
        pick: Callable[[Sequence[str]], Key] = itemgetter(*places)
        width = 1 + max(places)

        def picked(records: list[list[str]]) -> list[Key]:
            for record in records:
                if len(record) < width:
                    record.extend([""] * (width - len(record)))
            return list(map(pick, records))

        return picked

    def _find_header(self) -> dict[str, int]:
        """Note the text above the rows, and return the places of the verdict and the flags."""
        first: Sequence[str] = ()
        text = ListRecords(self._delimiter)
        for records in self._records(text):
            for line, record in zip(text.texts(len(records)), records, strict=True):
                first = first or record
                self.head += line
                self._skipped += 1
                if places := places_of(record):
                    self.names = record
                    return places
                if self._skipped > SAMPLE_ROWS:
                    raise _without_verdicts(self.title, first, self._sheet)
        raise _without_verdicts(self.title, first, self._sheet)

    def _records(self, text: ListRecords) -> Iterator[list[list[str]]]:
        return text_records(self._path, self._encoding, self.title, text)


class _Json:
    """A JSON Lines file with verdicts."""

    ends: Final = (".jsonl", ".ndjson")
    head: Final = ""

    def __init__(self, path: Path, title: str, encoding: str) -> None:
        _, encoding = sample_of(path, encoding, title)
        self.title: str = title
        mark, codec = _mark_of(path, encoding)
        self.mark: bytes = mark
        self.codec: str = codec
        self._path = path
        self._encoding = encoding
        first = next(islice(json_values(path, encoding, title), 1), [])
        value = first[0][0] if first else ""
        names = list(value) if isinstance(value, dict) else []
        self.names: Sequence[str] = names
        self.places: dict[str, int] = places_of(names)
        if not self.places:
            raise _without_verdicts(title, names)
        self.columns: Sequence[str] = tuple(name for name in self.places if name != "verified_at")

    def batches(self) -> Iterator[tuple[list[str], list[Key]]]:
        """Give the lines, and their keys with a text that is empty if the row has no time."""
        time = _time_of_ours(self.names, self.places)
        pick = self._picker([*(self.places[name] for name in self.columns), time])
        for values in json_values(self._path, self._encoding, self.title):
            keys = [pick(value) for value, _ in values]
            yield (
                [f"{line}\n" for _, line in values],
                [(*key[:-1], "Y" if key[-1] else "") for key in keys],
            )

    def table(self, wanted: str | None) -> JsonLines:
        """Return its rows as a list; `wanted` and errors are as for `find_column`."""
        table = open_json_lines(
            self._path, title=self.title, column=wanted, encoding=self._encoding
        )
        return surveyed(table, wanted)

    def places_in(self, table: Table) -> dict[str, int]:
        """Return the places of the verdict, the flags and the time in its `table`.

        Only the first object has them behind the columns of the list: later ones may bring more of these.
        """
        first = {name: table.names.index(self.names[at]) for name, at in self.places.items()}
        every = places_of(table.names)
        return every | first if every["verdict"] == first["verdict"] else first

    def _picker(self, places: Sequence[int]) -> Callable[[object], Key]:
        keys = [self.names[place] for place in places]
        nothing = ("",) * len(keys)
        return lambda value: (
            tuple(_json_cell(value.get(key)) for key in keys)
            if isinstance(value, dict)
            else nothing
        )


Verified: TypeAlias = _Csv | _Json
"""A list with verdicts: the text above its rows, and its rows with the cells of `columns`.

`places` has the places of the verdict, the flags and `verified_at` among the `names` of all columns.
"""


def _json_cell(value: object) -> str:
    if isinstance(value, str):
        return value
    return _JSON_FLAGS[value] if value is None or isinstance(value, bool) else repr(value)


def _time_of_ours(names: Sequence[str], places: Mapping[str, int]) -> int:
    """Return the place of our time; that of the verdict if there is none, as in results of the service."""
    place = places.get("verified_at", places["verdict"])
    return place if _TIME.fullmatch(names[place].strip().lower()) else places["verdict"]


def _mark_of(path: Path, encoding: str) -> tuple[bytes, str]:
    """Return the byte order mark of a file, and the name of its encoding without one."""
    with path.open("rb") as file:
        beginning = file.read(4)
    for mark, codec in _MARKS.get(codecs.lookup(encoding).name, {}).items():
        if beginning.startswith(mark):
            return mark, codec
    return b"", encoding


def _without_verdicts(
    title: str, names: Sequence[str], sheet: Sheet | None = None
) -> InvalidListError:
    shown = listed([name[:_SHOWN_CHARACTERS] for name in names])
    where = f" in its sheet {sheet.name!r}, the only one that is read" if sheet else ""
    return InvalidListError(
        f"{title} has no column of verdicts ('verdict' or 'Verification Result'){where}; it begins with {shown or 'nothing'}. "
        "Name a file that a run or a download has written."
    )

"""Sorts the rows of a list that has verdicts, without a change to any cell.

It reads what `join` has written, and the service's results. Columns are found by name. The text of a row
is written as it was read, in the list's own encoding.
"""

import codecs
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import BinaryIO, Final, Literal, TypeAlias

import attrs

from bulkverify.errors import InvalidListError, UsageError
from bulkverify.lists.columns import SAMPLE_ROWS, listed
from bulkverify.lists.decoding import sample_of
from bulkverify.lists.delimited import text_records
from bulkverify.lists.detecting import guess_delimiter
from bulkverify.lists.jsonlines import json_values
from bulkverify.lists.layout import source_path
from bulkverify.lists.opening import format_of
from bulkverify.lists.quotes import ListRecords
from bulkverify.lists.spreadsheets import write_as_csv
from bulkverify.lists.stopping import checkpoint
from bulkverify.lists.verdicts import FLAGS
from bulkverify.models import Verdict, parse_flag, read_verdict
from bulkverify.results.records import DEFAULT_ENCODING, check_encoding
from bulkverify.results.rows import result_places

_COLUMNS: Final = ("verdict", *FLAGS)
_PREFIX: Final = "bulkverify_"

# The delimiter is between two of our columns, whatever the list has before them.
_OURS: Final = re.compile(rf'\bverdict"?([^\w"\r\n])"?(?:{_PREFIX})*{FLAGS[0]}\b')
_MARKS: Final = {
    "utf-8-sig": {codecs.BOM_UTF8: "utf-8", b"": "utf-8"},
    "utf-16": {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"},
    "utf-32": {codecs.BOM_UTF32_LE: "utf-32-le", codecs.BOM_UTF32_BE: "utf-32-be"},
}
_JSON_FLAGS: Final[dict[object, str]] = {None: "", True: "Y", False: "N"}
_SHOWN_CHARACTERS: Final = 40
_TIME: Final = re.compile(rf"(?:{_PREFIX})*verified_at")
_NO_ADDRESS: Final = "no address"

_Key = tuple[str, ...]
"""The cells of a row in the list's columns of verdicts, and a text that is empty if the row has no time."""


@attrs.frozen(kw_only=True)
class RowGroup:
    """The rows that a filter has put together."""

    name: Literal["wanted", "left out", "mail", "hold", "remove"]
    """What they are for: `mail`, `hold` and `remove` if the list was split, else `wanted` or `left out`."""
    destination: str
    """The path of their file; empty if they were not written."""
    rows: int
    """How many they are."""
    reasons: Mapping[str, int]
    """How many rows are in the group for which verdict or flag; `no address` if nothing was sent for them."""


@attrs.frozen(kw_only=True)
class FilterReport:
    """The outcome of a filter. Each row of the list is in one group."""

    rows: int
    """The rows of the list."""
    groups: tuple[RowGroup, ...]
    """The groups, in the order of their names in `RowGroup`."""


@attrs.frozen(kw_only=True)
class Rule:
    """Which rows are wanted, and whether the others are told apart."""

    only: frozenset[Verdict] | None
    without: frozenset[str]
    split: bool

    def __attrs_post_init__(self) -> None:
        """Refuse a rule that wants every row, or one that would mail to addresses that don't exist."""
        if self.split and Verdict.UNDELIVERABLE in (self.only or ()):
            raise UsageError(
                "Undeliverable rows are always among those to remove, so they can't be mailed."
            )
        if not self.split and self.only is None and not self.without:
            raise UsageError("Nothing is to be filtered.").with_hint(
                "Name verdicts in `only`, flags in `without`, or files in `hold` and `remove`.",
                "Name verdicts with --only or flags with --without, or use --split.",
            )

    @property
    def groups(self) -> tuple[Literal["wanted", "left out", "mail", "hold", "remove"], ...]:
        """The names of the groups."""
        return ("mail", "hold", "remove") if self.split else ("wanted", "left out")

    def sort(self, verdict: Verdict | str | None, flags: Sequence[str]) -> tuple[str, str]:
        """Return the group of a row with these flags, and the reason."""
        said = "no verdict" if verdict is None else str(verdict)
        if self.split and verdict is Verdict.UNDELIVERABLE:
            return "remove", said
        if self.split and "spamtrap" in flags:
            return "remove", "spamtrap"
        wanted = frozenset({Verdict.DELIVERABLE}) if self.split and self.only is None else self.only
        rest = "hold" if self.split else "left out"
        if wanted is not None and verdict not in wanted:
            return rest, said
        for flag in flags:
            if flag in self.without:
                return rest, flag.replace("_", "-")
        return ("mail" if self.split else "wanted"), said


def open_verified(path: Path, *, title: str, encoding: str, spool: Path) -> "Verified":
    """Open a list that has verdicts.

    Args:
        path: a CSV, TSV, JSON Lines or `.xlsx` file.
        title: its name in messages.
        encoding: of its text.
        spool: a folder for a workbook as CSV.

    Raises:
        InvalidListError: it has no column of verdicts, or can't be read.
    """
    check_encoding(encoding)
    kind = format_of(path, encoding, title)
    if kind == "jsonl":
        return _Json(path, title, encoding)
    if kind == "xlsx":
        spooled = source_path(spool, 1, ".xlsx.csv")
        write_as_csv(path, spooled, title)
        path, encoding = spooled, DEFAULT_ENCODING
    return _Csv(path, title, encoding)


def filter_rows(
    verified: "Verified", rule: Rule, files: Mapping[str, BinaryIO]
) -> dict[str, Counter[str]]:
    """Write each row to the file of its group, and return the reasons of the rows by group.

    Raises:
        InvalidListError: a verdict or a flag can't be read; the message names the row.
        UsageError: nothing tells which rows have a flag that the rule leaves out.
    """
    missing = sorted(rule.without.difference(verified.columns))
    if missing:
        raise UsageError(
            f"{verified.title} has no column {missing[0]!r}, so {missing[0]} rows can't be left out."
        )
    sorter = _Sorter(verified, rule)
    counts: dict[str, Counter[str]] = {name: Counter() for name in rule.groups}
    for file in files.values():
        file.write(verified.mark + verified.head.encode(verified.codec))
    rows = 0
    for texts, keys in verified.batches():
        checkpoint(len(texts))
        found = sorter.sort(keys, rows)
        rows += len(texts)
        for (name, why), count in Counter(found).items():
            counts[name][why] += count
        for name, file in files.items():
            kept = [text for text, (group, _) in zip(texts, found, strict=True) if group == name]
            file.write("".join(kept).encode(verified.codec))
    sorter.check_flags()
    return counts


class _Sorter:
    """Sorts rows by their cells; equal cells are read once."""

    def __init__(self, verified: "Verified", rule: Rule) -> None:
        self._verified = verified
        self._rule = rule
        self._known: dict[_Key, tuple[str, str]] = {}
        self._told: set[str] = set()  # flags that some row has or has not
        self._any_verdict = False

    def sort(self, keys: list[_Key], before: int) -> list[tuple[str, str]]:
        """Return the group and the reason of each row."""
        known = self._known
        for number in [place for place, key in enumerate(keys) if key not in known]:
            known[keys[number]] = self._read(keys[number], before + number + 1)
        found = [known[key] for key in keys]
        if len(known) > 1000:  # noqa: PLR2004 - there are few, unless the column is something else
            known.clear()
        return found

    def check_flags(self) -> None:
        """Raise `UsageError` if an unwanted flag is empty in all rows."""
        untold = sorted(self._rule.without - self._told)
        if self._any_verdict and untold:
            raise UsageError(
                f"The column {untold[0]!r} of {self._verified.title} is empty, so {untold[0]} rows can't be left out."
            )

    def _read(self, key: _Key, row: int) -> tuple[str, str]:
        cells = dict(zip(self._verified.columns, key, strict=False))
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
            self._any_verdict = self._any_verdict or verdict is not None
            self._told.update(name for name, flag in flags.items() if flag is not None)
            group, why = self._rule.sort(verdict, [name for name in FLAGS if flags.get(name)])
            never_sent = not key[-1] and flags.get("syntax_error") and why == Verdict.UNDELIVERABLE
            return group, _NO_ADDRESS if never_sent else why
        raise InvalidListError(
            f"Row {row:,} of {self._verified.title} is wrong at its column {column!r}: {problem}."
        )


class _Csv:
    """A CSV file with verdicts; `ends` are those of names for its rows."""

    def __init__(self, path: Path, title: str, encoding: str) -> None:
        beginning, encoding = sample_of(path, encoding, title)
        self.title: str = title
        self.ends: tuple[str, ...] = tuple({".csv": None, path.suffix.lower(): None})
        self.mark, self.codec = _mark_of(path, encoding)
        self._path = path
        self._encoding = encoding
        ours = _OURS.search(beginning)
        self._delimiter = ours[1] if ours else guess_delimiter(beginning)
        self.head: str = ""
        self._skipped = 0
        self._time = 0
        places = self._find_header()
        self.columns: Sequence[str] = tuple(places)
        self._width = 1 + max(self._time, *places.values())
        self._pick: Callable[[Sequence[str]], _Key] = itemgetter(*places.values(), self._time)

    def batches(self) -> Iterator[tuple[list[str], list[_Key]]]:
        """Give the texts of rows, and their verdicts and flags."""
        skip = self._skipped
        for texts, records in self._records():
            yield texts[skip:], [self._key(record) for record in records[skip:]]
            skip = max(0, skip - len(texts))

    def _key(self, record: list[str]) -> _Key:
        if len(record) < self._width:
            record = [*record, *[""] * (self._width - len(record))]
        *cells, time = self._pick(record)
        return (*cells, "Y" if time else "")

    def _find_header(self) -> dict[str, int]:
        """Note the text above the rows, and return the places of the verdict and the flags."""
        first: Sequence[str] = ()
        for texts, records in self._records():
            for text, record in zip(texts, records, strict=True):
                first = first or record
                self.head += text
                self._skipped += 1
                if places := _places(record):
                    self._time = _time_place(record, places)
                    return places
                if self._skipped > SAMPLE_ROWS:
                    raise _without_verdicts(self.title, first)
        raise _without_verdicts(self.title, first)

    def _records(self) -> Iterator[tuple[list[str], list[list[str]]]]:
        text = ListRecords(self._delimiter)
        for records in text_records(self._path, self._encoding, self.title, text):
            yield text.texts(len(records)), records


class _Json:
    """A JSON Lines file with verdicts."""

    ends: Final = (".jsonl", ".ndjson")
    head: Final = ""

    def __init__(self, path: Path, title: str, encoding: str) -> None:
        _, encoding = sample_of(path, encoding, title)
        self.title: str = title
        self.mark, self.codec = _mark_of(path, encoding)
        self._path = path
        self._encoding = encoding
        first = next(islice(json_values(path, encoding, title), 1), [])
        value = first[0][0] if first else ""
        names = list(value) if isinstance(value, dict) else []
        places = _places(names)
        if not places:
            raise _without_verdicts(title, names)
        self._keys = [names[place] for place in places.values()]
        self._time = names[_time_place(names, places)]
        self.columns: Sequence[str] = tuple(places)

    def batches(self) -> Iterator[tuple[list[str], list[_Key]]]:
        """Give the lines, and their verdicts and flags."""
        nothing = ("",) * (len(self._keys) + 1)
        for values in json_values(self._path, self._encoding, self.title):
            yield (
                [f"{line}\n" for _, line in values],
                [
                    (
                        *(_json_cell(value.get(key)) for key in self._keys),
                        "Y" if value.get(self._time) else "",
                    )
                    if isinstance(value, dict)
                    else nothing
                    for value, _ in values
                ],
            )


Verified: TypeAlias = _Csv | _Json
"""A list with verdicts: the text above its rows, and its rows with the cells of `columns`."""


def _json_cell(value: object) -> str:
    if isinstance(value, str):
        return value
    return _JSON_FLAGS[value] if value is None or isinstance(value, bool) else repr(value)


def _places(names: Sequence[str]) -> dict[str, int]:
    """Return the places of the verdict and the flags among the columns; empty if there is no verdict.

    If a list had columns of our names, ours are called `bulkverify_...`. If it has the service's columns,
    too, the last ones count.
    """
    folded = [name.strip().lower() for name in names]
    ours: dict[str, int] = {}
    for column in _COLUMNS:
        named = [name for name in folded if re.fullmatch(rf"(?:{_PREFIX})*{column}", name)]
        if named:
            ours[column] = len(folded) - 1 - folded[::-1].index(max(named, key=len))
    services = result_places(names)
    found = [places for places in (ours, services) if "verdict" in places]
    return max(found, key=itemgetter("verdict")) if found else {}


def _time_place(names: Sequence[str], places: Mapping[str, int]) -> int:
    """Return the place of the time, or that of the verdict if there is none."""
    found = [place for place, name in enumerate(names) if _TIME.fullmatch(name.strip().lower())]
    return found[-1] if found else places["verdict"]


def _mark_of(path: Path, encoding: str) -> tuple[bytes, str]:
    """Return the byte order mark of a file, and the name of its encoding without one."""
    with path.open("rb") as file:
        beginning = file.read(4)
    for mark, codec in _MARKS.get(codecs.lookup(encoding).name, {}).items():
        if beginning.startswith(mark):
            return mark, codec
    return b"", encoding


def _without_verdicts(title: str, names: Sequence[str]) -> InvalidListError:
    shown = listed([name[:_SHOWN_CHARACTERS] for name in names])
    return InvalidListError(
        f"{title} has no column of verdicts ('verdict' or 'Verification Result'); it begins with {shown or 'nothing'}. "
        "A filter needs what a run or a download has written."
    )

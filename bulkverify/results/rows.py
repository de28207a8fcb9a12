"""Reads a results file as typed rows. Columns are found by name, in any order."""

import ast
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import repeat
from operator import attrgetter, itemgetter
from typing import Final, TypeAlias, cast

import attrs

from bulkverify.errors import IncompleteDownloadError, ProtocolError, clause
from bulkverify.models import ResultRow, Verdict, parse_flag, parse_timestamp, read_verdict
from bulkverify.results.records import (
    DEFAULT_ENCODING,
    DOWNLOAD_INSTEAD,
    MOST_COLUMNS,
    RecordReader,
)

_VERDICT: Final = "verificationresult"
_VERIFIED_AT: Final = "verifiedat"
_FLAGS: Final = {
    "syntaxerror": "syntax_error",
    "isp": "common_isp",
    "role": "role_based",
    "disposable": "disposable",
    "trap": "spamtrap",
}
# Some accounts get this column. It repeats the verdict.
_REDUNDANT: Final = "acceptall"
_SAMPLE_ROWS: Final = 100
_ADDRESS_NAMES: Final = ("email", "emailaddress", "mail", "address")
_MOST_MEANINGS: Final = 4096
_LONGEST_CODE: Final = 64 * 1024
_SLICE_BYTES: Final = 16 * 1024

Meaning: TypeAlias = tuple[
    Verdict | str, bool | None, bool | None, bool | None, bool | None, bool | None
]
"""A verdict and the five flags, in the order of `ResultRow`."""

Answer: TypeAlias = tuple[str, Meaning, datetime | None]
"""An address, its verdict and flags, and when it was verified."""


@attrs.define(weakref_slot=False, eq=False)
class _Draft:
    """A mutable `ResultRow` with the same slots.

    Frozen objects take three times as long to make. So a draft is made, and then its class is changed.
    """

    email: str
    verdict: Verdict | str
    syntax_error: bool | None
    common_isp: bool | None
    role_based: bool | None
    disposable: bool | None
    spamtrap: bool | None
    verified_at: datetime | None
    columns: Mapping[str, str]


class ResultsReader:
    """Reads a results file, fed in pieces of any size, into rows."""

    def __init__(self, encoding: str = DEFAULT_ENCODING) -> None:
        self._records = RecordReader(encoding)
        self._rows: RowReader | None = None
        self._held: list[list[str]] = []

    @property
    def count(self) -> int:
        """The number of rows so far."""
        return self._rows.count if self._rows else 0

    def pending(self) -> int:
        """Return how many rows `finish` will yield; an incomplete last row raises `IncompleteDownloadError`."""
        last = self._records.finish()
        header = self._rows is None and bool(last)
        if self._rows is not None and last and len(last[-1]) < len(self._rows.names):
            raise IncompleteDownloadError(
                "The results end inside a row: they were cut off. Download them again."
            )
        return len(self._held) + len(last) - header

    def feed(self, piece: bytes) -> Iterator[ResultRow]:
        """Take the next piece, and yield the rows that are now complete."""
        for rows, records in self._feed(piece):
            yield from rows.rows(records)

    def finish(self) -> Iterator[ResultRow]:
        """Yield the rows that are left."""
        for rows, records in self._finish():
            yield from rows.rows(records)

    def answers(self, piece: bytes) -> Iterator[Answer]:
        """Do the same as `feed`, without making `ResultRow` objects."""
        for rows, records in self._feed(piece):
            yield from rows.answers(records)

    def last_answers(self) -> Iterator[Answer]:
        """Do the same as `finish`, without making `ResultRow` objects."""
        for rows, records in self._finish():
            yield from rows.answers(records)

    def _feed(self, piece: bytes) -> Iterator[tuple["RowReader", list[list[str]]]]:
        # A few hundred rows fit into the processor's cache, and do not trigger the garbage collector.
        for begin in range(0, len(piece), _SLICE_BYTES):
            records = self._records.feed(piece[begin : begin + _SLICE_BYTES])
            if self._rows is None and records:
                self._rows = RowReader(records.pop(0))
            if self._rows is None:
                continue
            if self._rows.address is not None:
                yield self._rows, records
                continue
            # The first rows show which column has the addresses.
            self._held += records
            if len(self._held) >= _SAMPLE_ROWS:
                held, self._held = self._held, []
                yield self._rows, held

    def _finish(self) -> Iterator[tuple["RowReader", list[list[str]]]]:
        self._held += self._records.finish()
        if self._rows is None and self._held:
            self._rows = RowReader(self._held.pop(0))
        held, self._held = self._held, []
        if self._rows is not None:
            yield self._rows, held


class RowReader:
    """Turns the records of one results file into rows, by the names in its header.

    A list may have columns with the service's names, such as `Role`. The service appends its columns, so
    the last column with such a name is the service's.
    """

    def __init__(self, header: Sequence[str]) -> None:
        if len(header) > MOST_COLUMNS:
            raise ProtocolError(
                f"The results have {len(header):,} columns, which no list has."
            ).with_hint(*DOWNLOAD_INSTEAD)
        last = {_fold(name): index for index, name in enumerate(header)}
        verdict = last.get(_VERDICT)
        if verdict is None:
            raise ProtocolError(
                "The results have no column `Verification Result`, but "
                f"{', '.join(repr(name[:40]) for name in header[:20])}.",
                path="Verification Result",
            )
        self._verdict = verdict
        self._verified_at = last.get(_VERIFIED_AT)
        self._flags = [last.get(folded) for folded in _FLAGS]
        services = {verdict, self._verified_at, last.get(_REDUNDANT), *self._flags}
        own = [index for index in range(len(header)) if index not in services]
        self._own = list(zip(unique_names([header[index] for index in own]), own, strict=True))
        self.address: int | None = next(
            (index for name in _ADDRESS_NAMES for index in own if _fold(header[index]) == name),
            None,
        )
        self.names: tuple[str, ...] = tuple(header)
        # There are few combinations of verdict and flags, so each is parsed once.
        self._meanings: dict[tuple[str, ...], Meaning] = {}
        places = [verdict, *(index for index in self._flags if index is not None), verdict]
        self._code: Callable[[Sequence[str]], tuple[str, ...]] = itemgetter(*places)
        self._columns: Callable[[Sequence[str]], dict[str, str]] | None = None
        self.count: int = 0

    def rows(self, records: Sequence[Sequence[str]]) -> Iterator[ResultRow]:
        """Yield a row for each record. A wrong cell raises `ProtocolError` with its row and column."""
        answers = self._answers(records)
        if answers is None:
            yield from map(self._row, records)
            return
        columns = map(self._columns or self._choose_columns(), records)
        addresses, meanings, moments = answers
        for draft in list(map(_Draft, addresses, *zip(*meanings, strict=True), moments, columns)):
            self.count += 1
            draft.__class__ = ResultRow  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]
            yield cast("ResultRow", draft)

    def answers(self, records: Sequence[Sequence[str]]) -> Iterator[Answer]:
        """Yield the address, the meaning and the time of each record.

        Equal meanings are usually one shared object.
        """
        answers = self._answers(records)
        if answers is not None:
            self.count += len(records)
            yield from zip(*answers, strict=False)  # the times may be `repeat(None)`
            return
        for record in records:
            row = self._row(record)
            yield row.email, self._meaning(record), row.verified_at

    def _answers(
        self, records: Sequence[Sequence[str]]
    ) -> tuple[Iterable[str], list[Meaning], Iterable[datetime | None]] | None:
        """Parse all records at once, or return `None` if one of them must be parsed by `_row`."""
        if self.address is None and records:
            self.address = self._find_address(records[:_SAMPLE_ROWS])
        if not records or not {len(self.names)}.issuperset(map(len, records)):
            return None
        found = list(map(self._meanings.get, map(self._code, records)))
        if None in found:
            return None
        moments: Iterable[datetime | None] = repeat(None)
        if self._verified_at is not None:
            times = map(itemgetter(self._verified_at), records)
            try:
                moments = list(map(datetime.fromisoformat, times))
            except ValueError:
                return None
            if not {UTC}.issuperset(map(attrgetter("tzinfo"), moments)):
                return None
        addresses = map(itemgetter(self.address or 0), records)
        return addresses, cast("list[Meaning]", found), moments

    def _row(self, record: Sequence[str]) -> ResultRow:
        """Make one row, or raise an error that says what is wrong with it."""
        self.count += 1
        if len(record) != len(self.names):
            raise ProtocolError(
                f"Row {self.count} of the results has {len(record)} cells, and the header has {len(self.names)}.",
                path=f"row {self.count}",
            ).with_hint(*DOWNLOAD_INSTEAD)
        verdict, *flags = self._meaning(record)
        names = _FLAGS.values()
        return ResultRow(
            email=record[self.address or 0],
            verdict=verdict,
            verified_at=self._moment(record),
            columns=(self._columns or self._choose_columns())(record),
            **dict(zip(names, flags, strict=True)),
        )

    def _meaning(self, record: Sequence[str]) -> Meaning:
        """Parse a verdict and its flags, and cache the result."""
        code = self._code(record)
        if known := self._meanings.get(code):
            return known
        column = "Verification Result"
        try:
            verdict = read_verdict(record[self._verdict])
            flags: list[bool | None] = []
            for index in self._flags:
                if index is None:
                    flags.append(None)
                else:
                    column = self.names[index]
                    flags.append(parse_flag(record[index]))
        except ValueError as error:
            problem = str(error)
        else:
            if len(self._meanings) >= _MOST_MEANINGS:
                self._meanings.clear()
            meaning = cast("Meaning", (verdict, *flags))
            if sum(map(len, code)) <= _LONGEST_CODE:  # longer ones are mostly padding
                self._meanings[code] = meaning
            return meaning
        raise self._misfit(column, problem)

    def _moment(self, record: Sequence[str]) -> datetime | None:
        cell = "" if self._verified_at is None else record[self._verified_at].strip()
        try:
            return parse_timestamp(cell) if cell else None
        except ValueError as error:
            problem = str(error)
        raise self._misfit("Verified At", problem)

    def _misfit(self, column: str, problem: str) -> ProtocolError:
        return ProtocolError(
            f"Row {self.count} of the results is wrong at `{column}`: {clause(problem)}.",
            path=column,
        )

    def _choose_columns(self) -> Callable[[Sequence[str]], dict[str, str]]:
        own = [(name, index) for name, index in self._own if index != self.address]
        self._columns = columns_of = _picker(own)
        return columns_of

    def _find_address(self, sample: Sequence[Sequence[str]]) -> int:
        """Find the column of the addresses by its content, if the header is `col0`, `col1`, ..."""
        if not self._own:
            raise ProtocolError("The results have no column with the addresses.", path="Email")
        return max(
            (index for _, index in self._own),
            key=lambda index: sum(len(row) > index and "@" in row[index] for row in sample),
        )


def _picker(places: Sequence[tuple[str, int]]) -> Callable[[Sequence[str]], dict[str, str]]:
    """Return `lambda record: {"a": record[0], "b": record[1], ...}`.

    It is three times as fast as `dict(zip(...))`. It is built as a tree, not as text, so that the name of
    a column can't be executed.
    """
    record = ast.Name("record", ast.Load())
    cells: list[ast.expr] = [
        ast.Subscript(record, ast.Constant(index), ast.Load()) for _, index in places
    ]
    keys: list[ast.expr | None] = [ast.Constant(name) for name, _ in places]
    arguments = ast.arguments(
        posonlyargs=[], args=[ast.arg("record")], kwonlyargs=[], kw_defaults=[], defaults=[]
    )
    tree = ast.Expression(ast.Lambda(arguments, ast.Dict(keys, cells)))
    code = compile(ast.fix_missing_locations(tree), "<columns>", "eval")
    return cast("Callable[[Sequence[str]], dict[str, str]]", eval(code, {}))  # noqa: S307 - a tree of ours


def _fold(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name).lower()


def result_names(header: Sequence[str]) -> list[str]:
    """Return what each column holds by its name in `ResultRow`; empty for those that are not the service's."""
    names = {_VERDICT: "verdict", **_FLAGS, _VERIFIED_AT: "verified_at"}
    return [names.get(_fold(name), "") for name in header]


def unique_names(names: Iterable[str]) -> list[str]:
    """Number the repetitions of a name, so that no column hides another."""
    taken: dict[str, None] = {}
    numbers: dict[str, int] = {}  # the last number of each name: counting from 1 is slow
    for name in names:
        candidate, number = name, numbers.get(name, 1)
        while candidate in taken:
            number += 1
            candidate = f"{name}_{number}"
        taken[candidate] = None
        numbers[name] = number
    return list(taken)

"""Reads an uploaded list: its rows, its columns, and the verdict on each address."""

import asyncio
import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Final

import attrs

from bulkverify.limits import LARGEST_LIST_BYTES, LONGEST_LIST_ROWS
from bulkverify.models import Analysis, Verdict, VerdictCounts
from bulkverify.sandbox.verdicts import Flag, judge, normalise

_ADDRESS_NAMES: Final = frozenset(
    {"email", "emails", "emailaddress", "emailaddresses", "emailid", "mail", "mailaddress"}
)
_VERDICTS: Final = tuple(Verdict)
_PLACE: Final = {verdict: place for place, verdict in enumerate(_VERDICTS)}
# Other tasks run after each slice of this many rows. A thread would hold the GIL, and closing would
# have to wait for it.
_SLICE: Final = 500


class UnusableListError(ValueError):
    """The upload is not a usable list."""


@attrs.frozen(kw_only=True)
class AddressList:
    """A list that has been read.

    The rows are kept as text, because half a million rows of Python strings take hundreds of
    megabytes. The verdicts and the flags each take a byte a row.
    """

    text: bytes = attrs.field(repr=False)
    has_header: bool
    header: tuple[str, ...]
    column: int | None
    total: int
    verdicts: bytes = attrs.field(repr=False)
    flags: bytes = attrs.field(repr=False)
    analysis: Analysis

    @property
    def usable(self) -> bool:
        """Whether it holds an address. The service fails a list without one."""
        return self.column is not None

    def rows(self) -> Iterator[list[str]]:
        """Yield the data rows, each as wide as the header."""
        width = len(self.header)
        rows = _rows(self.text)
        for row in islice(rows, int(self.has_header), None):
            yield row if len(row) == width else row + [""] * (width - len(row))

    def addresses(self) -> Iterator[str]:
        """Yield the normalised address of each data row."""
        column = self.column
        if column is not None:
            yield from (normalise(row[column]) for row in self.rows())

    def findings(self) -> Iterator[tuple[Verdict, int]]:
        """Yield the verdict and the flags of each data row; the flags are one number."""
        for verdict, flags in zip(self.verdicts, self.flags, strict=True):
            yield _VERDICTS[verdict], flags

    def count(self, verified: int) -> VerdictCounts:
        """Count the verdicts of the first `verified` rows."""
        counts = {
            verdict.name.lower(): self.verdicts.count(place, 0, verified)
            for place, verdict in enumerate(_VERDICTS)
        }
        return VerdictCounts(**counts)


async def read_file(data: bytes) -> AddressList:
    """Read an uploaded file; an empty, binary or too large one raises `UnusableListError`."""
    if len(data) > LARGEST_LIST_BYTES:
        raise UnusableListError(f"larger than {LARGEST_LIST_BYTES:,} bytes")
    try:
        text = data.decode("utf-8-sig").encode()
    except UnicodeDecodeError:
        raise UnusableListError("not UTF-8") from None
    if b"\0" in text or not text.strip():
        raise UnusableListError("binary, or empty")
    return await _read(text)


async def read_rows(entries: Sequence[object]) -> AddressList:
    """Read the rows of a JSON upload; the columns are the keys, in the order of first appearance."""
    if not entries or len(entries) > LONGEST_LIST_ROWS:
        raise UnusableListError("empty, or too long")
    rows = [entry for entry in entries if isinstance(entry, Mapping)]
    if len(rows) < len(entries):
        raise UnusableListError("a row that is not an object")
    names = list(dict.fromkeys(chain.from_iterable(rows)))
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([_cell(row.get(name)) for name in names] for row in rows)
    return await _read(text.getvalue().encode(errors="replace"), has_header=True)


async def _read(text: bytes, *, has_header: bool | None = None) -> AddressList:
    first = next(_rows(text), [])
    if has_header is None:
        has_header = not any("@" in cell for cell in first)
    names = first if has_header else []
    column = _named_column(names)
    if column is None:
        column = await _column_with_addresses(text)
    verdicts, flags = bytearray(), bytearray()
    width, has_addresses = len(first), False
    for rows in _slices(islice(_rows(text), int(has_header), None)):
        await asyncio.sleep(0)
        for row in rows:
            address = row[column] if column is not None and column < len(row) else ""
            verdict, flag = judge(address)
            verdicts.append(_PLACE[verdict])
            flags.append(flag)
            has_addresses = has_addresses or "@" in address
            width = max(width, len(row))
        if len(verdicts) > LONGEST_LIST_ROWS:
            raise UnusableListError(f"more than {LONGEST_LIST_ROWS:,} rows")
    return AddressList(
        text=text,
        has_header=has_header,
        header=(*names, *(f"col{place}" for place in range(len(names), width))),
        column=column if has_addresses else None,
        total=len(verdicts),
        verdicts=bytes(verdicts),
        flags=bytes(flags),
        analysis=_analyse(bytes(flags)),
    )


def _analyse(flags: bytes) -> Analysis:
    def count(flag: Flag) -> int:
        return sum(flags.count(value) for value in range(2 * Flag.TRAP) if value & flag)

    return Analysis(
        common_isp=count(Flag.ISP),
        role_based=count(Flag.ROLE),
        disposable=count(Flag.DISPOSABLE),
        spamtrap=count(Flag.TRAP),
        syntax_error=count(Flag.SYNTAX_ERROR),
    )


def _rows(text: bytes) -> Iterator[list[str]]:
    """Yield the header and every row that is not empty."""
    lines = io.TextIOWrapper(io.BytesIO(text), encoding="utf-8", newline="")
    try:
        yield from (row for row in csv.reader(lines) if len(row) > 1 or (row and row[0].strip()))
    except csv.Error:
        raise UnusableListError("not CSV") from None


def _slices(rows: Iterable[list[str]]) -> Iterator[list[list[str]]]:
    # It is not an async generator, which would have to be closed: callers let tasks run between slices.
    iterator = iter(rows)
    while part := list(islice(iterator, _SLICE)):
        yield part


def _named_column(names: Sequence[str]) -> int | None:
    for place, name in enumerate(names):
        if re.sub(r"[\W_]+", "", name).casefold() in _ADDRESS_NAMES:
            return place
    return None


async def _column_with_addresses(text: bytes) -> int | None:
    for rows in _slices(_rows(text)):
        await asyncio.sleep(0)
        for row in rows:
            for place, cell in enumerate(row):
                if "@" in cell:
                    return place
    return None


def _cell(value: object) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False)

"""Takes verdicts of earlier lists for the addresses of a list, so that these are not bought again.

An address counts as known in the same spelling only, as `address_key` compares it: the domain may be in
any case, but `Anna@x.com` never gets the verdict of `anna@x.com`. The latest verdict of an address decides:
if it may not be reused, because it is unknown or too old, no older one is. An address whose latest verdicts
have the same time and differ is not known either.

The earlier files are read once, after the list. Only its own addresses are looked up, so the memory
does not grow with these files: it is 14 bytes for each distinct address of the list, besides the 25 of
the split.
"""

import codecs
import hashlib
import marshal
from array import array
from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import compress, count
from operator import not_
from pathlib import Path
from typing import BinaryIO, Final, cast

import attrs

from bulkverify.errors import InvalidListError
from bulkverify.files import replacing
from bulkverify.lists.addresses import is_ordinary, keys_of
from bulkverify.lists.cells import read_cell
from bulkverify.lists.decoding import NAME_ENCODING, decoded
from bulkverify.lists.distinct import Distinct
from bulkverify.lists.earlier import Rows
from bulkverify.lists.earlier_files import Answers, open_earlier
from bulkverify.lists.layout import (
    BLANK,
    FIRST_ADDRESS,
    FIRST_REUSED,
    INVALID,
    UNCLEAR,
    create,
    listed_path,
    reused_path,
    source_path,
)
from bulkverify.lists.moments import NEVER, milliseconds, moments, read_moments
from bulkverify.lists.parts import quoted
from bulkverify.lists.splitting import Numbered, Reused
from bulkverify.lists.spooling import copy, title_of
from bulkverify.lists.stopping import checkpoint
from bulkverify.lists.tables import Table
from bulkverify.lists.verdicts import FLAGS, cells_of
from bulkverify.lists.verified import Key, read_key
from bulkverify.models import Verdict
from bulkverify.results.records import DEFAULT_ENCODING
from bulkverify.results.rows import Meaning

REUSABLE: Final = (Verdict.DELIVERABLE, Verdict.UNDELIVERABLE, Verdict.ACCEPT_ALL)
"""The verdicts that may be reused; others say that the service did not know."""

_FOREVER: Final = dict.fromkeys(map(str, REUSABLE), timedelta.max.total_seconds())
_END_OF_TIME: Final = datetime.max.replace(tzinfo=UTC)
_HEADER: Final = "email,Verification Result,Syntax Error,ISP,Role,Disposable,Trap,Verified At\n"
_AS_UTF_8: Final = "Save it as UTF-8, and then reuse it."
_MOST_TOLD: Final = 1000
_FIRST_SOURCE: Final = 1_000_000  # the copies of the list's own sources have lower numbers
_COLUMNS: Final = ("verdict", *FLAGS)
_NO_VERDICT: Final = 0
_TO_SEND: Final = 1
"""The code of an address whose latest verdict may not be reused."""

_AHEAD_MS: Final = 5 * 60 * 1000
"""How far the clock of the service may be ahead of ours."""


@attrs.define(eq=False)
class Reuse:
    """The earlier verdicts for one split; it can be used once.

    Args:
        sources: files, or rows.
        max_ages: the seconds that a verdict may be old, by verdict; others are not reused.
        at: the beginning of the call, from which ages are counted.
        spool: a folder for copies of files that can't be read as they are.
        column: whether the caller has named the address column of the list.
        recorded: the only source is the file that an earlier split wrote; all of it counts.
    """

    sources: Sequence[Path | Rows]
    max_ages: Mapping[str, float]
    at: datetime
    spool: Path
    column: bool = False
    recorded: bool = False
    reused: Reused = attrs.field(factory=Reused, init=False)
    digest: str = attrs.field(default="", init=False)

    def sift(
        self, numbered: Iterator[Numbered], distinct: Distinct, table: Table, folder: Path
    ) -> Generator[Numbered]:
        """Read the list, then the sources, and give the list without the addresses that are known."""
        listed = listed_path(folder)
        try:
            with create(listed) as file:
                seen = batches = 0
                for batch in numbered:
                    # Four times as fast as JSON; only this call reads it.
                    marshal.dump((batch.codes.tobytes(), batch.fresh, batch.rows), file)
                    seen += len(batch.fresh)
                    batches += 1
            every = seen > len(distinct)
            known = (
                _Known(_FOREVER, _END_OF_TIME, distinct)
                if self.recorded
                else _Known(self.max_ages, self.at, distinct)
            )
            for number, source in enumerate(self.sources, start=_FIRST_SOURCE):
                self._read(source, number, table, known)
            chosen = _Chosen(known, len(distinct))
            with replacing(reused_path(folder)) as file, listed.open("rb") as read:
                chosen.begin(file)
                for _ in range(batches):
                    checkpoint()
                    codes, fresh, rows = marshal.load(read)  # noqa: S302 - written above
                    batch = Numbered(array("i", codes), fresh, rows)
                    yield chosen.every(batch) if every else chosen.once(batch)
            self.reused, self.digest = chosen.reused(known), chosen.digest.hexdigest()
        finally:
            listed.unlink(missing_ok=True)

    def _read(self, source: Path | Rows, number: int, table: Table, known: "_Known") -> None:
        if not isinstance(source, Path):
            known.add(source.batches(), _COLUMNS, "the earlier verdicts")
            return
        title, path = title_of(source), source
        if path.exists() and not path.is_file() and not path.is_dir():
            path = source_path(self.spool, number, path.suffix)
            copy(source, path)  # a pipe can be read only once
        try:
            file = open_earlier(
                path,
                title=title,
                encoding=self._encoding_of(path, table, title),
                spool=self.spool,
                number=number,
                wanted=table.names[table.column] if self.column else None,
            )
            known.add(file.batches(), file.columns, title)
        except InvalidListError as error:
            if error.hint.startswith(NAME_ENCODING):  # the option is for the list
                error.with_hint(_AS_UTF_8, _AS_UTF_8)
            raise

    @staticmethod
    def _encoding_of(path: Path, table: Table, title: str) -> str:
        """Return UTF-8, or the encoding of the list, in which the service writes its results, if that fits better."""
        if codecs.lookup(table.encoding).name in {"utf-8", DEFAULT_ENCODING}:
            return DEFAULT_ENCODING
        try:
            deque(decoded(path, DEFAULT_ENCODING, title), maxlen=0)
        except InvalidListError:
            return table.encoding
        return DEFAULT_ENCODING


class _Known:
    """The latest verdict of each address of a list, by its number."""

    def __init__(self, max_ages: Mapping[str, float], at: datetime, distinct: Distinct) -> None:
        self.meanings: list[Meaning | None] = [None, None]
        self.codes = array("H", bytes(2)) * len(distinct)
        self.times = array("q", [NEVER]) * len(distinct)
        self.expired = self.undated = self.future = 0
        self.now = milliseconds(at)
        self._distinct = distinct
        self._ages = max_ages
        self._oldest = [NEVER, NEVER + 1]  # such a verdict counts at any time, but not without one

    def add(  # noqa: C901 - one loop, and calls in it would double its time
        self, batches: Iterator[Answers], columns: Sequence[str], title: str
    ) -> None:
        """Take the answers of rows."""
        told: dict[Key, int] = {}
        codes, times, oldest, latest = self.codes, self.times, self._oldest, self.now + _AHEAD_MS
        rows = 0
        for addresses, keys, moments_ in batches:
            checkpoint()
            found = list(map(told.get, keys))
            if None in found:
                for key in {*keys}.difference(told):
                    told[key] = self._code(title, columns, key, rows + keys.index(key) + 1)
                found = list(map(told.get, keys))
            rows += len(keys)
            numbers = self._numbers(list(map(str.strip, addresses)))
            for number, code, time in zip(numbers, found, read_moments(moments_), strict=True):
                if number < 0 or not code:
                    continue
                if time < oldest[code]:
                    if time == NEVER:
                        self.undated += code > _TO_SEND
                        continue
                    self.expired += 1
                    code = _TO_SEND  # noqa: PLW2901 - no older verdict may be reused
                elif time > latest:
                    self.future += code > _TO_SEND
                    continue
                if time > times[number]:
                    codes[number], times[number] = code, time
                elif time == times[number] and self._differ(code, codes[number]):
                    codes[number] = _TO_SEND
            if len(told) > _MOST_TOLD:
                told.clear()

    def _numbers(self, cells: list[str]) -> list[int]:
        """Return the number of the address in each cell, or -1 if the list does not have it."""
        numbers = self._distinct.find(keys_of(cells))
        if -1 not in numbers:
            return numbers
        odd = [
            place
            for place, number in enumerate(numbers)
            if number < 0 and (cell := cells[place]) and not is_ordinary(cell)
        ]
        addresses = keys_of(read_cell(cells[place]).address for place in odd)
        for place, number in zip(odd, self._distinct.find(addresses), strict=True):
            numbers[place] = number
        return numbers

    def _code(self, title: str, columns: Sequence[str], key: Key, row: int) -> int:
        """Return the code of a verdict and its flags."""
        verdict, flags = read_key(title, columns, key, row)
        if verdict is None:
            return _NO_VERDICT
        if verdict not in REUSABLE or str(verdict) not in self._ages:
            return _TO_SEND
        meaning = cast("Meaning", (verdict, *map(flags.get, FLAGS)))
        if meaning not in self.meanings:
            self.meanings.append(meaning)
            self._oldest.append(self.now - int(self._ages[str(verdict)] * 1000))
        return self.meanings.index(meaning)

    def _differ(self, code: int, other: int) -> bool:
        one, two = self.meanings[code], self.meanings[other]
        return one is None or two is None or one[0] != two[0]


class _Chosen:
    """Tells the addresses that are known from those to send, and writes the verdicts of the known ones."""

    def __init__(self, known: _Known, addresses: int) -> None:
        self.digest = hashlib.blake2b(digest_size=16)
        self._known = known
        self._ends = ["", "", *(f",{','.join(cells_of(one))}," for one in known.meanings[2:])]
        self._places = array("i", bytes(4)) * (addresses + FIRST_ADDRESS + 1)
        self._places[BLANK], self._places[INVALID], self._places[UNCLEAR] = BLANK, INVALID, UNCLEAR
        self._next = self._sent = FIRST_ADDRESS
        self._reused = FIRST_REUSED
        self._sum = 0

    def begin(self, file: BinaryIO) -> None:
        """Write the header."""
        self._file = file
        self._write(_HEADER)

    def once(self, batch: Numbered) -> Numbered:
        """Take out known addresses; each address is among the fresh ones once."""
        first, size = self._next - FIRST_ADDRESS, len(batch.fresh)
        codes = self._known.codes[first : first + size]
        known = list(map(_TO_SEND.__lt__, codes))
        sent = list(map(not_, known))
        texts = list(compress(batch.fresh, known))
        reused, unknown = count(self._reused, -1), count(self._sent)
        places = [next(reused) if one else next(unknown) for one in known]
        self._places[self._next : self._next + size] = array("i", places)
        self._next += size
        self._sent += size - len(texts)
        times = self._known.times[first : first + size]
        self._note(texts, list(compress(codes, known)), list(compress(times, known)))
        return Numbered(
            array("i", map(self._places.__getitem__, batch.codes)),
            list(compress(batch.fresh, sent)),
            list(compress(batch.rows, sent)),
        )

    def every(self, batch: Numbered) -> Numbered:
        """Take out known addresses; each row with an address has a fresh one."""
        known = self._known.codes
        kept: list[str] = []
        rows: list[int] = []
        texts: list[str] = []
        numbers: list[int] = []
        codes = array("i")
        left = zip(batch.fresh, batch.rows, strict=True)
        for code in batch.codes:
            if code < FIRST_ADDRESS:
                codes.append(code)
                continue
            text, row = next(left)
            if known[code - FIRST_ADDRESS] > _TO_SEND:
                if not self._places[code]:
                    self._places[code] = self._reused - len(texts)
                    texts.append(text)
                    numbers.append(code - FIRST_ADDRESS)
                codes.append(self._places[code])
            else:
                codes.append(self._sent)
                self._sent += 1
                kept.append(text)
                rows.append(row)
        found, times = self._known.codes, self._known.times
        self._note(texts, [found[one] for one in numbers], [times[one] for one in numbers])
        return Numbered(codes, kept, rows)

    def reused(self, known: _Known) -> Reused:
        """Describe what was taken out."""
        addresses = FIRST_REUSED - self._reused
        age = max(0.0, known.now - self._sum / addresses) / 1000 if addresses else 0.0
        return Reused(
            addresses=addresses,
            average_age=round(age, 3),
            expired=known.expired,
            undated=known.undated,
            future=known.future,
        )

    def _note(self, texts: list[str], codes: list[int], times: list[int]) -> None:
        self._sum += sum(times)
        self._reused -= len(texts)
        found = zip(quoted(texts), map(self._ends.__getitem__, codes), moments(times), strict=True)
        self._write("".join(f"{text}{end}{moment}\n" for text, end, moment in found))

    def _write(self, text: str) -> None:
        data = text.encode(errors="replace")
        self.digest.update(data)
        self._file.write(data)

"""What the service found out about each address of a list, in ten bytes an address."""

import csv
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import chain, count
from pathlib import Path
from typing import Final, TypeVar

from bulkverify.lists.addresses import address_key
from bulkverify.lists.folders import part_path
from bulkverify.lists.splitting import BLANK, FIRST_ADDRESS, INVALID, Split
from bulkverify.lists.tables import PIECE_BYTES
from bulkverify.models import Verdict
from bulkverify.results import Meaning, ResultsReader

FLAGS: Final = ("syntax_error", "common_isp", "role_based", "disposable", "spamtrap")
"""The flags, in the order in which they are written."""

MISSING: Final = 0
"""The code of an address that the service returned nothing for."""

NEVER: Final = -(2**63)
"""What stands for the time of a verdict that has none."""

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
T = TypeVar("T")

_MOST_KNOWN: Final = 8192
_MILLISECONDS: Final = tuple(f".{rest:03}Z" for rest in range(1000))


class Verdicts:
    """The verdicts of a split list, by what stands in `rows.bin` for a row.

    `findings[codes[number]]` and `times[number]`, in milliseconds since 1970, are what was found
    out. What can't be an address can't be delivered to: known without asking, and without paying.
    """

    def __init__(self, split: Split) -> None:
        """Start without any results."""
        size = split.addresses + FIRST_ADDRESS
        self.findings: list[Meaning | None] = [None]
        self.codes = array("H", bytes(2)) * size
        self.times = array("q", [NEVER]) * size
        self._known: dict[int, tuple[int, Meaning]] = {}
        nowhere = (Verdict.UNDELIVERABLE, True, False, False, False, False)
        self.codes[BLANK] = self.codes[INVALID] = self._code(nowhere)

    def take(self, split: Split, folder: Path, results: Mapping[int, Path]) -> None:
        """Take in the results of parts."""
        number = FIRST_ADDRESS
        for part in split.parts:
            if part.number in results:
                self._take_part(number, part_path(folder, part.number), results[part.number])
            number += part.addresses

    def _take_part(self, number: int, part: Path, results: Path) -> None:
        """Match results to the addresses of a part, which mostly come in the same order."""
        addresses = zip(count(number), _addresses(part), strict=False)
        found = self._read(results)
        for address, code, time in found:
            place, expected = next(addresses, (None, ""))
            if place is None:
                return
            if address != expected:
                break
            self.codes[place] = code
            self.times[place] = time
        else:
            return
        by_key = {
            address_key(address): (code, time)
            for address, code, time in chain(((address, code, time),), found)
        }
        by_folded: dict[str, tuple[int, int]] = {}
        for left, wanted in chain(((place, expected),), addresses):
            key = address_key(wanted)
            # A service that writes addresses in lower case has still answered for them.
            row = by_key.get(key)
            if row is None:
                by_folded = by_folded or {key.lower(): row for key, row in by_key.items()}
                row = by_folded.get(key.lower())
            if row is not None:
                self.codes[left], self.times[left] = row

    def _read(self, results: Path) -> Iterator[tuple[str, int, int]]:
        """Give the address, the code and the time of each row of a results file."""
        reader = ResultsReader()
        known = self._known.get
        with results.open("rb") as file:
            pieces = iter(lambda: file.read(PIECE_BYTES), b"")
            every = chain.from_iterable(map(reader.answers, pieces))
            for address, meaning, moment in chain(every, _lazily(reader.last_answers)):
                # Comparing these takes longer than all the rest, and they mostly are the same object.
                code, same = known(id(meaning), (0, None))
                if same is not meaning:
                    code = self._code(meaning)
                yield (
                    address,
                    code,
                    NEVER if moment is None else (moment - EPOCH) // _MILLISECOND,
                )

    def _code(self, meaning: Meaning) -> int:
        if meaning in self.findings:
            code = self.findings.index(meaning)
        else:
            code = len(self.findings)
            self.findings.append(meaning)
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known[id(meaning)] = code, meaning  # which keeps it, and its id, from being another's
        return code


def _lazily(function: Callable[[], Iterable[T]]) -> Iterator[T]:
    yield from function()


def _addresses(part: Path) -> Iterator[str]:
    with part.open(encoding="utf-8", newline="") as file:
        records = csv.reader(file)
        next(records)
        for record in records:
            yield record[0]


def moments(times: Iterable[int]) -> list[str]:
    """Write times as the service does, and nothing for what has none."""
    texts: list[str] = []
    add = texts.append
    known = _second
    for time in times:
        if time == NEVER:
            add("")
        else:
            second, rest = divmod(time, 1000)
            add(known(second) + _MILLISECONDS[rest])
    return texts


@lru_cache(maxsize=65536)  # many addresses are verified in one second
def _second(second: int) -> str:
    return (EPOCH + timedelta(seconds=second)).isoformat()[:19]

"""The verdict of each address of a list, in ten bytes each."""

import csv
from array import array
from collections.abc import Collection, Generator, Iterable, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import chain, compress
from pathlib import Path
from typing import Final

from bulkverify.errors import ProtocolError
from bulkverify.lists.layout import part_path
from bulkverify.lists.matching import NEVER, Match, Matching
from bulkverify.lists.splitting import BLANK, FIRST_ADDRESS, INVALID, UNCLEAR, Part, Split
from bulkverify.lists.tables import file_pieces
from bulkverify.models import Verdict
from bulkverify.results.rows import Meaning, ResultsReader

FLAGS: Final = ("syntax_error", "common_isp", "role_based", "disposable", "spamtrap")
"""The flags, in the order of the output."""

VERDICT_COLUMNS: Final = ("verdict", *FLAGS, "verified_at")
"""The columns that a list gets."""

NO_VERDICT: Final = 1
"""The code of an unclear row, which has no verdict; `MISSING` is that of an address without a result."""

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)

_MOST_FINDINGS: Final = 16_384
_MOST_KNOWN: Final = 8192
_MILLISECONDS: Final = tuple(f".{rest:03}Z" for rest in range(1000))


class Verdicts:
    """The verdicts of a split list, by the code of a row in `rows.bin`.

    `findings[codes[number]]` is the verdict with its flags, and `times[number]` its time in milliseconds
    since 1970. A cell that can't be an address is undeliverable. An unclear one has no verdict, and a
    code of its own.
    """

    def __init__(self, addresses: int) -> None:
        size = addresses + FIRST_ADDRESS + 1  # the last place is that of `UNCLEAR`, which is -1
        self.findings: list[Meaning | None] = [None, None]
        self.codes: array[int] = array("H", bytes(2)) * size
        self.times: array[int] = array("q", [NEVER]) * size
        self._known: dict[int, tuple[int, Meaning]] = {}
        invalid = (Verdict.UNDELIVERABLE, True, False, False, False, False)
        self.codes[BLANK] = self.codes[INVALID] = self._code(invalid)
        self.codes[UNCLEAR] = NO_VERDICT

    def take(self, split: Split, folder: Path, results: Mapping[int, Path]) -> None:
        """Add the results of parts, by the number of the part."""
        first = FIRST_ADDRESS
        for part in split.parts:
            if part.number in results:
                self.take_part(first, part_path(folder, part.number), results[part.number])
            first += part.addresses

    def take_part(self, first: int, part: Path, results: Path) -> Match:
        """Match results to the addresses of a part; mostly both have the same order."""
        place = first
        with closing(self._read(results)) as found, closing(_addresses(part)) as addresses:
            for address, code, time in found:
                if address != next(addresses, None):
                    return self._match(first, part, results)
                self.codes[place] = code
                self.times[place] = time
                place += 1
            if next(addresses, None) is not None:
                return self._match(first, part, results)
        return Match(sent=place - first, matched=place - first)

    def _match(self, first: int, part: Path, results: Path) -> Match:
        matching = Matching(_addresses(part))
        with closing(self._read(results)) as found:
            codes, times, match = matching.match(found)
        for place, number in enumerate(matching.numbers, start=first):
            self.codes[place] = codes[number]
            self.times[place] = times[number]
        return match

    def _read(self, results: Path) -> Generator[tuple[str, int, int]]:
        """Give the address, the code and the time of each row of a results file."""
        reader = ResultsReader()
        known = self._known.get
        with closing(file_pieces(results)) as pieces:
            every = chain.from_iterable(map(reader.answers, pieces))
            for address, meaning, moment in chain(every, reader.last_answers()):
                # Comparing meanings is slow, and most are the same object, so their ids are compared.
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
            if code >= _MOST_FINDINGS:
                raise ProtocolError(
                    "The results have thousands of different verdicts, which no service has.",
                    path="Verification Result",
                )
            self.findings.append(meaning)
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known[id(meaning)] = code, meaning  # kept, so that no other object gets its id
        return code


def is_wanted(
    finding: Meaning | None, only: Collection[str] | None, without: Collection[str]
) -> bool:
    """Whether a row is written, by its verdict and its flags."""
    if finding is None:
        return only is None
    verdict, *flags = finding
    raised = compress(FLAGS, flags)
    return (only is None or verdict in only) and not any(flag in without for flag in raised)


def compare(part: Part, listed: Path, results: Path) -> Match:
    """Return how the results of a part fit the addresses that were sent."""
    return Verdicts(part.addresses).take_part(FIRST_ADDRESS, listed, results)


def _addresses(part: Path) -> Generator[str]:
    with part.open(encoding="utf-8", newline="") as file:
        records = csv.reader(file)
        next(records)
        for record in records:
            yield record[0]


def moments(times: Iterable[int]) -> list[str]:
    """Write times as the service does; a missing time is empty."""
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

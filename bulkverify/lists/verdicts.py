"""The verdict of each address of a list, in ten bytes each."""

import csv
from array import array
from collections.abc import Collection, Generator, Mapping
from contextlib import closing
from itertools import chain, compress
from pathlib import Path
from typing import Final

from bulkverify.errors import ProtocolError
from bulkverify.lists.layout import (
    BLANK,
    FIRST_ADDRESS,
    FIRST_REUSED,
    INVALID,
    UNCLEAR,
    part_path,
    reused_path,
)
from bulkverify.lists.matching import Match, Matching
from bulkverify.lists.moments import NEVER, milliseconds
from bulkverify.lists.parts import Part
from bulkverify.lists.splitting import Split
from bulkverify.lists.tables import file_pieces
from bulkverify.models import Verdict
from bulkverify.results.rows import Meaning, ResultsReader

FLAGS: Final = ("syntax_error", "common_isp", "role_based", "disposable", "spamtrap")
"""The flags, in the order of the output."""

VERDICT_COLUMNS: Final = ("verdict", *FLAGS, "verified_at")
"""The columns that a list gets."""

NO_VERDICT: Final = 1
"""The code of an unclear row, which has no verdict; `MISSING` is that of an address without a result."""

_MOST_FINDINGS: Final = 16_384
_MOST_KNOWN: Final = 8192


class Verdicts:
    """The verdicts of a split list, by the code of a row in `rows.bin`.

    `findings[codes[number]]` is the verdict with its flags, and `times[number]` its time in milliseconds
    since 1970. A cell that can't be an address is undeliverable. An unclear one has no verdict, and a
    code of its own.
    """

    def __init__(self, addresses: int, reused: int = 0) -> None:
        # The last place is that of `UNCLEAR`, which is -1, and those with earlier verdicts stand before it.
        size = addresses + FIRST_ADDRESS + reused + 1
        self.findings: list[Meaning | None] = [None, None]
        self.codes: array[int] = array("H", bytes(2)) * size
        self.times: array[int] = array("q", [NEVER]) * size
        self._known: dict[int, tuple[int, Meaning]] = {}
        invalid = (Verdict.UNDELIVERABLE, True, False, False, False, False)
        self.codes[BLANK] = self.codes[INVALID] = self._code(invalid)
        self.codes[UNCLEAR] = NO_VERDICT

    def take(self, split: Split, folder: Path, results: Mapping[int, Path]) -> None:
        """Add the earlier verdicts and the results of parts, by the number of the part."""
        if split.reused.addresses:
            with closing(self._read(reused_path(folder))) as found:
                for place, (_, code, time) in enumerate(found):
                    self.codes[FIRST_REUSED - place] = code
                    self.times[FIRST_REUSED - place] = time
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
                yield address, code, NEVER if moment is None else milliseconds(moment)

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


def cells_of(finding: Meaning | None) -> list[str]:
    """Write a verdict and its flags as cells."""
    if finding is None:
        return [""] * (len(VERDICT_COLUMNS) - 1)
    return [str(finding[0]), *("" if flag is None else "NY"[flag] for flag in finding[1:])]


def compare(part: Part, listed: Path, results: Path) -> Match:
    """Return how the results of a part fit the addresses that were sent."""
    return Verdicts(part.addresses).take_part(FIRST_ADDRESS, listed, results)


def _addresses(part: Path) -> Generator[str]:
    with part.open(encoding="utf-8", newline="") as file:
        records = csv.reader(file)
        next(records)
        for record in records:
            yield record[0]

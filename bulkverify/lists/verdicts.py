"""What the service found out about each address of a list, in ten bytes an address."""

import csv
from array import array
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import chain, count
from pathlib import Path
from typing import Final

import attrs

from bulkverify.downloads import read_rows
from bulkverify.lists.addresses import address_key
from bulkverify.lists.folders import part_path
from bulkverify.lists.splitting import BLANK, FIRST_ADDRESS, INVALID, Split
from bulkverify.models import ResultRow, Verdict

FLAGS: Final = ("syntax_error", "common_isp", "role_based", "disposable", "spamtrap")
"""The flags, in the order in which they are written."""

MISSING: Final = 0
"""The code of an address that the service returned nothing for."""

NEVER: Final = -(2**63)
"""What stands for the time of a verdict that has none."""

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_MILLISECONDS: Final = tuple(f".{rest:03}Z" for rest in range(1000))


@attrs.frozen
class Finding:
    """A verdict and its flags: all but the time."""

    verdict: Verdict
    syntax_error: bool | None
    common_isp: bool | None
    role_based: bool | None
    disposable: bool | None
    spamtrap: bool | None

    def flags(self) -> tuple[bool | None, ...]:
        """Return the flags in the order of `FLAGS`."""
        return (
            self.syntax_error,
            self.common_isp,
            self.role_based,
            self.disposable,
            self.spamtrap,
        )


class Verdicts:
    """The verdicts of a split list, by what stands in `rows.bin` for a row.

    `findings[codes[number]]` and `times[number]`, in milliseconds since 1970, are what was found
    out. What can't be an address can't be delivered to: known without asking, and without paying.
    """

    def __init__(self, split: Split) -> None:
        """Start without any results."""
        size = split.addresses + FIRST_ADDRESS
        self.findings: list[Finding | None] = [None]
        self.codes = array("H", bytes(2)) * size
        self.times = array("q", [NEVER]) * size
        self._known: dict[Finding, int] = {}
        nowhere = Finding(Verdict.UNDELIVERABLE, True, False, False, False, False)  # noqa: FBT003
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
        rows = read_rows(results)
        for row in rows:
            place, address = next(addresses, (None, ""))
            if place is None:
                return
            if row.email != address:
                break
            self._put(place, row)
        else:
            return
        by_key = {address_key(row.email): row for row in chain((row,), rows)}
        by_folded = {key.lower(): row for key, row in by_key.items()}
        for left, wanted in chain(((place, address),), addresses):
            key = address_key(wanted)
            # A service that writes addresses in lower case has still answered for them.
            found = by_key.get(key) or by_folded.get(key.lower())
            if found is not None:
                self._put(left, found)

    def _put(self, place: int, row: ResultRow) -> None:
        self.codes[place] = self._code(
            Finding(
                row.verdict,
                row.syntax_error,
                row.common_isp,
                row.role_based,
                row.disposable,
                row.spamtrap,
            )
        )
        if row.verified_at is not None:
            self.times[place] = (row.verified_at - EPOCH) // _MILLISECOND

    def _code(self, finding: Finding) -> int:
        code = self._known.get(finding)
        if code is None:
            code = self._known[finding] = len(self.findings)
            self.findings.append(finding)
        return code


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

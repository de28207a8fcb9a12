"""Counts what was found: rows and distinct addresses by verdict and flags, and the rows of each domain."""

import csv
import sys
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping
from heapq import nlargest
from itertools import chain, islice
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

import attrs

from bulkverify.lists.addresses import address_key
from bulkverify.lists.layout import FIRST_ADDRESS, FIRST_REUSED, part_path, reused_path, rows_path
from bulkverify.lists.splitting import Split
from bulkverify.lists.stopping import checkpoint
from bulkverify.lists.verdicts import FLAGS, Verdicts
from bulkverify.models import Verdict

MOST_DOMAINS: Final = 50_000
"""How many domains are kept while they are counted."""

MOST_REPORTED: Final = 500
"""How many domains with the most rows are reported, and how many with the most undeliverable rows."""

_AT_ONCE: Final = 4096

# The places of an entry in `_DomainCounter`.
_UNSEEN, _ADDRESSES, _FREE, _MISSING, *_VERDICTS = range(4 + len(Verdict))


@attrs.frozen(kw_only=True)
class Finding:
    """How many rows and distinct addresses have the same verdict and the same flags."""

    verdict: Verdict | str | None
    """The verdict, a text if this version does not know it; `None` for rows without one."""
    syntax_error: bool | None = None
    """Whether the text is not an address; like the other flags `None` if the results have no column for it."""
    common_isp: bool | None = None
    """Whether it is at a free provider, such as Gmail."""
    role_based: bool | None = None
    """Whether it belongs to a role, such as info@."""
    disposable: bool | None = None
    """Whether it is at a provider of short-lived mailboxes."""
    spamtrap: bool | None = None
    """Whether it exists to catch senders of spam."""
    rows: int
    """The rows of the list."""
    addresses: int
    """The distinct addresses that were sent or had an earlier verdict; 0 for rows without an address."""


@attrs.frozen(kw_only=True)
class DomainCounts:
    """The rows of one domain. Rows without a verdict, or with another one, are in none of the four."""

    domain: str
    """The domain in lower case and in ASCII; empty if the text that was sent has none."""
    rows: int
    """The rows of the list."""
    addresses: int
    """The distinct addresses that were sent or had an earlier verdict."""
    deliverable: int
    """The rows with `Verdict.DELIVERABLE`."""
    undeliverable: int
    """The rows with `Verdict.UNDELIVERABLE`."""
    accept_all: int
    """The rows with `Verdict.ACCEPT_ALL`."""
    unknown: int
    """The rows with `Verdict.UNKNOWN`."""
    free: bool = False
    """Whether the service counts it among the free providers, such as Gmail."""
    unseen: int = 0
    """How many more rows the domain may have, at most; 0 if the counts are exact."""


@attrs.frozen(kw_only=True)
class Domains:
    """The domains that matter most: those with the most rows, and those with the most undeliverable rows."""

    counts: tuple[DomainCounts, ...]
    """The domains, the one with the most rows first."""
    distinct: int
    """How many domains the list has, or at least has if `unseen` is not 0."""
    unseen: int = 0
    """A domain with at most this many rows may be missing; 0 if none is."""


def findings(verdicts: Verdicts, rows: Mapping[int, int]) -> tuple[Finding, ...]:
    """Return what was found, the most frequent first; `rows` has the rows of each code."""
    addresses = Counter(verdicts.codes[FIRST_ADDRESS:-1])
    found: Counter[tuple[Any, ...]] = Counter()
    sent: Counter[tuple[Any, ...]] = Counter()
    for code, meaning in enumerate(verdicts.findings):
        key = (None,) * (1 + len(FLAGS)) if meaning is None else tuple(meaning)
        found[key] += rows.get(code, 0)
        sent[key] += addresses[code]
    return tuple(
        Finding(
            rows=count,
            addresses=sent[key],
            **dict(zip(("verdict", *FLAGS), key, strict=True)),
        )
        for key, count in found.most_common()
        if count
    )


def count_domains(
    split: Split, folder: Path, verdicts: Verdicts, *, most: int = MOST_DOMAINS
) -> Domains:
    """Count the rows of each domain in bounded memory.

    The parts hold the distinct addresses, so text around an address does not matter here. If rows repeat
    addresses, four bytes for each address are needed meanwhile.
    """
    counter = _DomainCounter(most)
    weights = _rows_of_addresses(split, folder) if split.duplicates else None
    free_at = 1 + FLAGS.index("common_isp")
    slots = [_slot(one and one[0]) for one in verdicts.findings]
    free = [one is not None and bool(one[free_at]) for one in verdicts.findings]
    paths = [part_path(folder, part.number) for part in split.parts]
    if split.reused.addresses:
        paths.append(reused_path(folder))
    places = chain(
        range(FIRST_ADDRESS, FIRST_ADDRESS + split.addresses),
        range(FIRST_REUSED, FIRST_REUSED - split.reused.addresses, -1),
    )
    for path in paths:
        for batch in _batches(path):
            checkpoint()
            for address, place in zip(batch, places, strict=False):
                code = verdicts.codes[place]
                entry = counter.entry_of(address[address.rfind("@") + 1 :], address)
                entry[_ADDRESSES] += 1
                entry[slots[code]] += 1 if weights is None else weights[place]
                if free[code]:
                    entry[_FREE] = 1
    return counter.domains()


class _DomainCounter:
    """Counts by lossy counting (Manku and Motwani 2002), with a fixed number of entries.

    If all entries are taken, the lower half goes. A domain that comes back may have lost as many rows as
    the largest that went. So large domains are counted exactly, unless they first appear late in a list
    with very many domains; then their counts are at most `unseen` too low.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._entries: dict[str, list[int]] = {}
        self._unseen = 0

    def entry_of(self, text: str, address: str) -> list[int]:
        """Return the counts of a domain, which is written in any case."""
        entry = self._entries.get(text)
        if entry is not None and text != address:
            return entry
        domain = address_key(address).rpartition("@")[2] if "@" in address else ""
        entry = self._entries.get(domain)
        if entry is None:
            if len(self._entries) >= self._most:
                self._drop_lower_half()
            entry = self._entries[domain] = [self._unseen, *[0] * (_VERDICTS[-1])]
        return entry

    def _drop_lower_half(self) -> None:
        totals = sorted(entry[_UNSEEN] + _rows(entry) for entry in self._entries.values())
        self._unseen = totals[len(totals) // 2]
        self._entries = {
            domain: entry
            for domain, entry in self._entries.items()
            if entry[_UNSEEN] + _rows(entry) > self._unseen
        }

    def domains(self) -> Domains:
        """Return the domains that matter most."""
        every = [
            DomainCounts(
                domain=domain,
                rows=_rows(entry),
                addresses=entry[_ADDRESSES],
                free=bool(entry[_FREE]),
                unseen=entry[_UNSEEN],
                **{one.name.lower(): entry[_slot(one)] for one in Verdict},
            )
            for domain, entry in self._entries.items()
        ]
        most = {
            one.domain: one
            for by in ("rows", "undeliverable")
            for one in nlargest(MOST_REPORTED, every, key=attrgetter(by))
        }
        return Domains(
            counts=tuple(sorted(most.values(), key=lambda one: (-one.rows, one.domain))),
            distinct=len(every),
            unseen=self._unseen,
        )


def _rows(entry: list[int]) -> int:
    return sum(entry[_MISSING:])


def _slot(verdict: Verdict | str | None) -> int:
    return _VERDICTS[list(Verdict).index(verdict)] if isinstance(verdict, Verdict) else _MISSING


def _rows_of_addresses(split: Split, folder: Path) -> "array[int]":
    """Return how many rows have each address, by the code in `rows.bin`."""
    counts = array("I", [0]) * (split.addresses + split.reused.addresses + FIRST_ADDRESS + 1)
    with rows_path(folder).open("rb") as file:
        while data := file.read(4 * _AT_ONCE):
            checkpoint()
            codes = array("i", data)
            if sys.byteorder == "big":
                codes.byteswap()
            for code in codes:
                counts[code] += 1
    return counts


def _batches(part: Path) -> Iterator[list[str]]:
    with part.open(encoding="utf-8", newline="") as file:
        records = csv.reader(file)
        next(records)
        while batch := [record[0] for record in islice(records, _AT_ONCE)]:
            yield batch

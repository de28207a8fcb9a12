"""Finds the address that each row of the results belongs to, in any order of the rows.

A row belongs to the address with the same spelling; the case of the domain does not matter. If that
spelling was not sent, the row belongs to each address that differs only in case and has no row of its
own. So `Anna@x.com` never gets the verdict of `anna@x.com` if both were sent.

Some services write everything in lower case. They return `anna@x.com` twice, and then the second row
belongs to `Anna@x.com`. If such rows have different verdicts and may belong to any of several addresses,
none of these gets a verdict.

If an address has several rows, the one verified last counts; a row without a time is the oldest. An
address gets no verdict if its last rows have the same time and contradict each other.

Only hashes of the sent addresses are kept, so memory does not grow with the results.
"""

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import compress, islice
from typing import Final, TypeVar

import attrs

from bulkverify.lists.addresses import address_key
from bulkverify.lists.distinct import Distinct
from bulkverify.lists.moments import NEVER

MISSING: Final = 0
"""The code of an address without a row."""

_AT_ONCE: Final = 1000
T = TypeVar("T")


@attrs.frozen(kw_only=True)
class Match:
    """How the results of a part fit the addresses that were sent.

    Of the `sent` distinct addresses, `matched` have a verdict, and `contested` have rows that contradict
    each other. `doubled` rows repeat an address, and `foreign` rows have one that was not sent.
    """

    sent: int
    matched: int
    contested: int = 0
    doubled: int = 0
    foreign: int = 0


class Matching:
    """The addresses of one part; `numbers` holds the number of the address in each row."""

    def __init__(self, addresses: Iterable[str]) -> None:
        self.numbers: array[int] = array("I")
        self._keys = Distinct()
        self._folds = Distinct()
        self._fold_of = array("I")
        for batch in _batches(addresses):
            keys = list(map(address_key, batch))
            numbers = self._keys.number(keys)
            self.numbers.extend(numbers)
            known = len(self._fold_of)
            fresh = dict(zip(numbers, keys, strict=True))
            self._fold_of.extend(
                self._folds.number(
                    [fresh[number].lower() for number in range(known, len(self._keys))]
                )
            )

    def match(
        self, found: Iterable[tuple[str, int, int]]
    ) -> tuple["array[int]", "array[int]", Match]:
        """Take the address, code and time of each row of the results; return codes and times by number."""
        exact, others, repeats = (
            _Newest(len(self._keys)),
            _Newest(len(self._folds)),
            _Newest(len(self._folds)),
        )
        lowered = True
        doubled = foreign = 0
        own, stray = _CaseVariants(len(self._folds)), _CaseVariants(len(self._folds))
        for batch in _batches(found):
            keys = [address_key(address) for address, _, _ in batch]
            folds = [key.lower() for key in keys]
            lowered = lowered and all(address == address.lower() for address, _, _ in batch)
            numbers = zip(
                self._keys.find(keys),
                self._folds.find(folds),
                batch,
                strict=True,
            )
            for number, fold, (_, code, time) in numbers:
                if number >= 0:
                    own.add(fold, code)
                    if not exact.add(number, code, time):
                        doubled += 1
                        repeats.add(fold, code, time)
                elif fold >= 0:
                    stray.add(fold, code)
                    doubled += not others.add(fold, code, time)
                else:
                    foreign += 1
        self._fill(exact, others, repeats if lowered else None, own, stray)
        contested = len(exact.contested)
        for number in exact.contested:
            exact.codes[number], exact.times[number] = MISSING, NEVER
        missing = exact.codes.count(MISSING)
        return (
            exact.codes,
            exact.times,
            Match(
                sent=len(self._keys),
                matched=len(self._keys) - missing,
                contested=contested,
                doubled=doubled,
                foreign=foreign,
            ),
        )

    def _fill(
        self,
        exact: "_Newest",
        others: "_Newest",
        repeats: "_Newest | None",
        own: "_CaseVariants",
        stray: "_CaseVariants",
    ) -> None:
        """Give rows in another spelling to the addresses that they may belong to."""
        lacking = [code == MISSING for code in exact.codes]
        open_to = Counter(compress(self._fold_of, lacking))
        for number, fold in enumerate(self._fold_of):
            exact.fill(number, others, fold)
            if repeats is not None:
                exact.fill(number, repeats, fold)
            if fold in stray.mixed:
                guessed = lacking[number] and open_to[fold] > 1
            else:
                guessed = repeats is not None and fold in own.mixed and open_to[fold] > 0
            if guessed:
                exact.contested.add(number)


class _CaseVariants:
    """Compares rows that differ only in case; `mixed` holds the keys with different verdicts."""

    def __init__(self, size: int) -> None:
        self._codes = array("H", [MISSING]) * size
        self.mixed: set[int] = set()

    def add(self, fold: int, code: int) -> None:
        """Add the verdict of a row."""
        if self._codes[fold] == MISSING:
            self._codes[fold] = code
        elif self._codes[fold] != code:
            self.mixed.add(fold)


class _Newest:
    """The newest verdict of each number; `contested` numbers have two verdicts of the same time."""

    def __init__(self, size: int) -> None:
        self.codes = array("H", [MISSING]) * size
        self.times = array("q", [NEVER]) * size
        self.contested: set[int] = set()

    def add(self, number: int, code: int, time: int) -> bool:
        """Add a verdict; return whether it is the first for this number."""
        before = self.codes[number]
        if before == MISSING or time > self.times[number]:
            self.codes[number], self.times[number] = code, time
            self.contested.discard(number)
        elif time == self.times[number] and code != before:
            self.contested.add(number)
        return before == MISSING

    def fill(self, number: int, other: "_Newest", place: int) -> None:
        """Take over a verdict from another place, unless this number has one."""
        if self.codes[number] == MISSING and other.codes[place] != MISSING:
            self.codes[number], self.times[number] = other.codes[place], other.times[place]
            if place in other.contested:
                self.contested.add(number)


def _batches(items: Iterable[T]) -> Iterator[list[T]]:
    rest = iter(items)
    while batch := list(islice(rest, _AT_ONCE)):
        yield batch

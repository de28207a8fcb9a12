"""Finds the address that each row of the results is for, in any order of the rows.

A row is for the address in its spelling; the case of the domain does not matter. A row in a spelling
that was not sent is for the addresses that differ from it in case only and have no row of their own. So
`Anna@x.com` never gets the verdict of `anna@x.com` if both were sent. There is one exception: a service
that writes everything in lower case returns `anna@x.com` twice, and then the second row is for
`Anna@x.com`. If such rows have different verdicts and may be for any of several addresses, none of these
gets a verdict.

If an address has several rows, the one that was verified last counts; a row without a time is the
oldest. An address gets no verdict if its last rows have the same time and contradict each other.

Only hashes of the sent addresses are kept, so the results can't take more memory than these.
"""

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import compress, islice
from typing import Final, TypeVar

import attrs

from bulkverify.lists.addresses import address_key
from bulkverify.lists.distinct import Distinct

MISSING: Final = 0
"""The code of an address without a row."""

NEVER: Final = -(2**63)
"""The time of a verdict without a time."""

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
        """Return the code and the time for each number, and how the results fit.

        Args:
            found: the address, the code and the time of each row of the results.
        """
        exact, others, seconds = (
            _Newest(len(self._keys)),
            _Newest(len(self._folds)),
            _Newest(len(self._folds)),
        )
        lowered = True
        doubled = foreign = 0
        own, stray = _Alike(len(self._folds)), _Alike(len(self._folds))
        for batch in _batches(found):
            keys = [address_key(address) for address, _, _ in batch]
            folds = [key.lower() for key in keys]
            lowered = lowered and all(address == address.lower() for address, _, _ in batch)
            numbers = zip(
                self._keys.number(keys, learn=False),
                self._folds.number(folds, learn=False),
                batch,
                strict=True,
            )
            for number, fold, (_, code, time) in numbers:
                if number >= 0:
                    own.add(fold, code)
                    if not exact.add(number, code, time):
                        doubled += 1
                        seconds.add(fold, code, time)
                elif fold >= 0:
                    stray.add(fold, code)
                    doubled += not others.add(fold, code, time)
                else:
                    foreign += 1
        self._fill(exact, others, seconds if lowered else None, own, stray)
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
        seconds: "_Newest | None",
        own: "_Alike",
        stray: "_Alike",
    ) -> None:
        """Give rows in another spelling to the addresses that they can be for."""
        lacking = [code == MISSING for code in exact.codes]
        open_to = Counter(compress(self._fold_of, lacking))
        for number, fold in enumerate(self._fold_of):
            exact.fill(number, others, fold)
            if seconds is not None:
                exact.fill(number, seconds, fold)
            if fold in stray.mixed:
                guessed = lacking[number] and open_to[fold] > 1
            else:
                guessed = seconds is not None and fold in own.mixed and open_to[fold] > 0
            if guessed:
                exact.contested.add(number)


class _Alike:
    """Compares rows of addresses that differ in case only; `mixed` holds those with different verdicts."""

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
    """The newest verdict of each number; `contested` numbers have two of the same time."""

    def __init__(self, size: int) -> None:
        self.codes = array("H", [MISSING]) * size
        self.times = array("q", [NEVER]) * size
        self.contested: set[int] = set()

    def add(self, number: int, code: int, time: int) -> bool:
        """Add a verdict; tell whether it is the first for this number."""
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

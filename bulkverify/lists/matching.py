"""Which row of the results is for which address that was sent, whatever order they come in.

A row is for the address that it spells, with the domain in any case. A row in a spelling that was not
sent is for the addresses that differ from it in case only and have no row of their own. So the verdict
of `anna@x.com` never stands behind `Anna@x.com` where both were sent, with one exception: a service
that writes everything in lower case returns `anna@x.com` twice then, and the second row is for
`Anna@x.com`. Where such rows differ in what was found, and any of several addresses may be meant, none of
these gets a verdict.

Of several rows for one address the one that was verified last counts; a row without a time is older
than any other. An address whose last rows contradict each other at the same time gets no verdict.

Only hashes of the addresses that were sent are kept, so that no results can take more memory than that.
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
"""The code of an address that the service returned nothing for."""

NEVER: Final = -(2**63)
"""What stands for the time of a verdict that has none."""

_AT_ONCE: Final = 1000
T = TypeVar("T")


@attrs.frozen(kw_only=True)
class Match:
    """How the results of a part fit what was sent.

    Of the `sent` distinct addresses, `matched` have a verdict, and `contested` have rows that contradict
    each other. `doubled` rows repeat an address, and `foreign` rows have one that was not sent.
    """

    sent: int
    matched: int
    contested: int = 0
    doubled: int = 0
    foreign: int = 0


class Matching:
    """The addresses of one part; `numbers` tells for each of its rows which of them it has."""

    def __init__(self, addresses: Iterable[str]) -> None:
        """Take the addresses as they were sent."""
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
        """Return the code and the time of each number, and how well they fit.

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
            numbers = zip(self._keys.find(keys), self._folds.find(folds), batch, strict=True)
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
        """Give rows in another spelling to the addresses that they may be for."""
        lacking = [code == MISSING for code in exact.codes]
        open_to = Counter(compress(self._fold_of, lacking))
        for number, fold in enumerate(self._fold_of):
            exact.fill(number, others, fold)
            if seconds is not None:
                exact.fill(number, seconds, fold)
            if fold in stray.mixed:
                guessed = lacking[number] and open_to[fold] > 1
            else:
                twice = seconds is not None and others.codes[fold] == MISSING and fold in own.mixed
                guessed = twice and open_to[fold] > 0
            if guessed:
                exact.contested.add(number)


class _Alike:
    """Whether all rows of addresses that differ in case only say the same; `mixed` has those that do not."""

    def __init__(self, size: int) -> None:
        self._codes = array("H", [MISSING]) * size
        self.mixed: set[int] = set()

    def add(self, fold: int, code: int) -> None:
        """Take what a row says."""
        if self._codes[fold] == MISSING:
            self._codes[fold] = code
        elif self._codes[fold] != code:
            self.mixed.add(fold)


class _Newest:
    """The last finding about each number; those of `contested` have two of the same time."""

    def __init__(self, size: int) -> None:
        self.codes = array("H", [MISSING]) * size
        self.times = array("q", [NEVER]) * size
        self.contested: set[int] = set()

    def add(self, number: int, code: int, time: int) -> bool:
        """Take a finding; tell whether it is the first about this number."""
        before = self.codes[number]
        if before == MISSING or time > self.times[number]:
            self.codes[number], self.times[number] = code, time
            self.contested.discard(number)
        elif time == self.times[number] and code != before:
            self.contested.add(number)
        return before == MISSING

    def fill(self, number: int, other: "_Newest", place: int) -> None:
        """Take over what another has found, unless there is something about this number."""
        if self.codes[number] == MISSING and other.codes[place] != MISSING:
            self.codes[number], self.times[number] = other.codes[place], other.times[place]
            if place in other.contested:
                self.contested.add(number)


def _batches(items: Iterable[T]) -> Iterator[list[T]]:
    rest = iter(items)
    while batch := list(islice(rest, _AT_ONCE)):
        yield batch

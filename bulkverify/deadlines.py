"""When which waiter has to be let go.

Most deadlines are hours away, and most waits are over long before. So those that are far are only
sorted into minutes, which costs less memory and time than a heap of all of them would.
"""

import heapq
from itertools import count
from typing import Final, Generic, Protocol, TypeVar

_SPAN: Final = 60.0
"""The seconds of deadlines that are kept together until their time comes near."""


class Expiring(Protocol):
    """What has a deadline, in the event loop's time."""

    @property
    def deadline(self) -> float | None:
        """The moment, which never changes."""

    @property
    def done(self) -> bool:
        """Whether it no longer matters."""


ExpiringT = TypeVar("ExpiringT", bound=Expiring)


class Deadlines(Generic[ExpiringT]):
    """Tells whose deadline has come; what has none may be handed in too, and is not kept."""

    def __init__(self) -> None:
        """Start with none."""
        self._near: list[tuple[float, int, ExpiringT]] = []
        self._far: dict[int, set[ExpiringT]] = {}
        self._spans: list[int] = []  # a heap of the keys of `_far`
        self._opened = -1  # the last span whose deadlines have been moved to the near ones
        self._left = 0  # how many of the near ones do not matter any more
        self._order = count()

    def add(self, item: ExpiringT) -> None:
        """Keep somebody's deadline."""
        deadline = item.deadline
        if deadline is None:
            return
        span = int(deadline // _SPAN)
        if span <= self._opened:
            heapq.heappush(self._near, (deadline, next(self._order), item))
        elif span in self._far:
            self._far[span].add(item)
        else:
            self._far[span] = {item}
            heapq.heappush(self._spans, span)

    def discard(self, item: ExpiringT) -> None:
        """Forget somebody who is done."""
        deadline = item.deadline
        if deadline is None:
            return
        far = self._far.get(int(deadline // _SPAN))
        if far is not None:
            far.discard(item)
            return
        self._left += 1
        if self._left > 64 + len(self._near) // 2:
            self._near = [entry for entry in self._near if not entry[2].done]
            heapq.heapify(self._near)
            self._left = 0

    def clear(self) -> None:
        """Forget everybody."""
        self._near.clear()
        self._far.clear()
        self._spans.clear()
        self._left = 0

    def next(self) -> float | None:
        """Say when to look again, which is no later than the first deadline."""
        while self._spans and not self._far[self._spans[0]]:
            del self._far[heapq.heappop(self._spans)]
        opens = self._spans[0] * _SPAN if self._spans else None
        if not self._near:
            return opens
        first = self._near[0][0]
        return first if opens is None else min(first, opens)

    def passed(self, now: float) -> list[ExpiringT]:
        """Return, and forget, those whose deadline has come."""
        while self._spans and self._spans[0] * _SPAN <= now:
            self._opened = heapq.heappop(self._spans)
            self._near += [
                (item.deadline or 0.0, next(self._order), item)
                for item in self._far.pop(self._opened)
            ]
            heapq.heapify(self._near)
        passed = []
        while self._near and self._near[0][0] <= now:
            item = heapq.heappop(self._near)[2]
            if not item.done:
                passed.append(item)
        return passed

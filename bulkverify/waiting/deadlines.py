"""When which waiter has to be let go.

Most deadlines are hours away, and most waits are over long before. So those that are far are only
sorted into minutes, which costs less memory and time than a heap of all of them would.
"""

import heapq
import math
from itertools import count
from typing import Final, Generic, Protocol, TypeVar

_SPAN: Final = 60.0
"""The seconds of deadlines that are kept together until their time comes near."""


class Expiring(Protocol):
    """What has a deadline, in the event loop's time."""

    @property
    def deadline(self) -> float | None:
        """The moment, which never changes."""

    def done(self) -> bool:
        """Whether it no longer matters."""


ExpiringT = TypeVar("ExpiringT", bound=Expiring)


class Deadlines(Generic[ExpiringT]):
    """Tells whose deadline has come; what has none may be handed in too, and is not kept."""

    def __init__(self) -> None:
        """Start with none."""
        self._near: list[tuple[float, int, ExpiringT]] = []  # a heap
        self._far: dict[int, list[ExpiringT]] = {}
        self._spans: list[int] = []  # a heap of the keys of `_far`
        self._opened = -1  # the last span whose deadlines have been moved to the near ones
        self._kept = 0  # how many there are in all
        self._gone = 0  # how many of them do not matter any more
        self._order = count()

    def add(self, item: ExpiringT) -> None:
        """Keep somebody's deadline."""
        deadline = item.deadline
        if deadline is None:
            return
        self._kept += 1
        span = int(deadline // _SPAN)
        if span <= self._opened:
            heapq.heappush(self._near, (deadline, next(self._order), item))
        elif span in self._far:
            self._far[span].append(item)
        else:
            self._far[span] = [item]
            heapq.heappush(self._spans, span)

    def discard(self, item: ExpiringT) -> None:
        """Note that somebody is done; they are forgotten when they have become the most."""
        if item.deadline is None:
            return
        self._gone += 1
        if self._gone > 64 + self._kept // 2:
            self._forget()

    def clear(self) -> None:
        """Forget everybody."""
        self._near.clear()
        self._far.clear()
        self._spans.clear()
        self._kept = self._gone = 0

    def next(self) -> float:
        """Say when to look again, no later than the first deadline; infinity if there is none."""
        opens = self._spans[0] * _SPAN if self._spans else math.inf
        return min(self._near[0][0], opens) if self._near else opens

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
            self._kept -= 1
            if not item.done():
                passed.append(item)
        return passed

    def _forget(self) -> None:
        self._near = [entry for entry in self._near if not entry[2].done()]
        heapq.heapify(self._near)
        far = {
            span: [item for item in items if not item.done()] for span, items in self._far.items()
        }
        self._far = {span: items for span, items in far.items() if items}
        self._spans = sorted(self._far)
        self._kept = len(self._near) + sum(map(len, self._far.values()))
        self._gone = 0

"""The times of the next polls, and the deadlines of the waiters."""

import heapq
import math
from itertools import count
from typing import Final

import attrs

from bulkverify.waiting.streams import Stream
from bulkverify.waiting.waiters import Waiter

_SLOTS_A_SECOND: Final = 64
"""Streams in one slot are polled together, when the last of them is due."""

_LATEST: Final = 1e15
_LAST_SLOT: Final = int(_LATEST) * _SLOTS_A_SECOND

_SPAN: Final = 60.0
"""Far deadlines are kept in unsorted groups, each of this many seconds."""


@attrs.define(eq=False, weakref_slot=False)
class _Slot:
    streams: list[Stream] = attrs.field(factory=list)
    latest: float = 0.0


class Agenda:
    """Holds streams until they are due. Streams that are due at almost the same time are taken together.

    A stream in a slot costs eight bytes. In a heap, each stream would need a tuple, and more time.
    """

    def __init__(self) -> None:
        self._slots: dict[int, _Slot] = {}
        self._order: list[int] = []  # a heap of the keys of `_slots`
        self.count: int = 0  # entries; a stream may have several

    def add(self, due: float, stream: Stream) -> None:
        """Add a stream. Past and infinite times are allowed."""
        number = int(due * _SLOTS_A_SECOND) if due < _LATEST else _LAST_SLOT
        slot = self._slots.get(number)
        if slot is None:
            slot = self._slots[number] = _Slot()
            heapq.heappush(self._order, number)
        slot.streams.append(stream)
        slot.latest = max(slot.latest, due)
        self.count += 1

    def next(self) -> float:
        """Return when the first slot is due; infinity if there is none."""
        return self._slots[self._order[0]].latest if self._order else math.inf

    def take(self, now: float) -> list[Stream]:
        """Remove and return the streams of the first slot, if it is due."""
        if not self._order or self._slots[self._order[0]].latest > now:
            return []
        streams = self._slots.pop(heapq.heappop(self._order)).streams
        self.count -= len(streams)
        return streams

    def clear(self) -> None:
        """Remove all streams."""
        self._slots.clear()
        self._order.clear()
        self.count = 0


class Deadlines:
    """Finds the waiters whose deadline has come. Waiters without a deadline are not kept.

    Most deadlines are hours away, and most waits end long before them. Far deadlines are only grouped by the
    minute, because that takes less memory and time than a heap.
    """

    def __init__(self) -> None:
        self._near: list[tuple[float, int, Waiter]] = []  # a heap
        self._far: dict[int, list[Waiter]] = {}
        self._spans: list[int] = []  # a heap of the keys of `_far`
        self._opened = -1  # the last span that was moved to `_near`
        self._kept = 0  # how many waiters there are
        self._gone = 0  # how many of them are done
        self._order = count()

    def add(self, waiter: Waiter) -> None:
        """Keep the deadline of a waiter."""
        deadline = waiter.deadline
        if deadline is None:
            return
        self._kept += 1
        span = int(deadline // _SPAN)
        if span <= self._opened:
            heapq.heappush(self._near, (deadline, next(self._order), waiter))
        elif span in self._far:
            self._far[span].append(waiter)
        else:
            self._far[span] = [waiter]
            heapq.heappush(self._spans, span)

    def discard(self, waiter: Waiter) -> None:
        """Note that a waiter is done; such waiters are removed once they outnumber the rest."""
        if waiter.deadline is None:
            return
        self._gone += 1
        if self._gone > 64 + self._kept // 2:
            self._remove_done()

    def clear(self) -> None:
        """Remove all waiters."""
        self._near.clear()
        self._far.clear()
        self._spans.clear()
        self._kept = self._gone = 0

    def next(self) -> float:
        """Return when to call `passed` again, or infinity if there are no waiters."""
        opens = self._spans[0] * _SPAN if self._spans else math.inf
        return min(self._near[0][0], opens) if self._near else opens

    def passed(self, now: float) -> list[Waiter]:
        """Remove the waiters whose deadline has come, and return those that are not done."""
        while self._spans and self._spans[0] * _SPAN <= now:
            self._opened = heapq.heappop(self._spans)
            self._near += [
                (waiter.deadline or 0.0, next(self._order), waiter)
                for waiter in self._far.pop(self._opened)
            ]
            heapq.heapify(self._near)
        passed = []
        while self._near and self._near[0][0] <= now:
            waiter = heapq.heappop(self._near)[2]
            self._kept -= 1
            if not waiter.done():
                passed.append(waiter)
        return passed

    def _remove_done(self) -> None:
        self._near = [entry for entry in self._near if not entry[2].done()]
        heapq.heapify(self._near)
        far = {
            span: [waiter for waiter in waiters if not waiter.done()]
            for span, waiters in self._far.items()
        }
        self._far = {span: waiters for span, waiters in far.items() if waiters}
        self._spans = sorted(self._far)
        self._kept = len(self._near) + sum(map(len, self._far.values()))
        self._gone = 0

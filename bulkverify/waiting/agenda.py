"""What is due when: those that are due at almost the same moment have their turn together."""

import heapq
import math
from typing import Final, Generic, TypeVar

ItemT = TypeVar("ItemT")

_SLOTS_A_SECOND: Final = 64
"""Nothing waits longer for others than one slot is long; what is alone in its slot is on time."""

_END_OF_ALL_DAYS: Final = 1e15
_LAST_SLOT: Final = int(_END_OF_ALL_DAYS) * _SLOTS_A_SECOND


class _Slot(Generic[ItemT]):
    __slots__ = ("items", "latest")

    def __init__(self) -> None:
        self.items: list[ItemT] = []
        self.latest = 0.0


class Agenda(Generic[ItemT]):
    """Gives back what was put in when its time has come.

    A slot for many costs eight bytes each, where a heap of all would need a tuple for each and go
    through its levels every time; and one timer serves all of them.

    Attributes:
        count: how many things are in there.
    """

    def __init__(self) -> None:
        """Start with nothing to do."""
        self._slots: dict[int, _Slot[ItemT]] = {}
        self._order: list[int] = []  # a heap of the keys of `_slots`
        self.count = 0

    def add(self, due: float, item: ItemT) -> None:
        """Put something in; a time that has passed, or the end of all days, will do as well."""
        number = int(due * _SLOTS_A_SECOND) if due < _END_OF_ALL_DAYS else _LAST_SLOT
        slot = self._slots.get(number)
        if slot is None:
            slot = self._slots[number] = _Slot()
            heapq.heappush(self._order, number)
        slot.items.append(item)
        slot.latest = max(slot.latest, due)
        self.count += 1

    def next(self) -> float:
        """Say when to look again; infinity if there is nothing to come."""
        return self._slots[self._order[0]].latest if self._order else math.inf

    def take(self, now: float) -> list[ItemT]:
        """Take out the first of what is due, as much as has its turn together; nothing if it is too early."""
        if not self._order or self._slots[self._order[0]].latest > now:
            return []
        items = self._slots.pop(heapq.heappop(self._order)).items
        self.count -= len(items)
        return items

    def clear(self) -> None:
        """Forget everything."""
        self._slots.clear()
        self._order.clear()
        self.count = 0

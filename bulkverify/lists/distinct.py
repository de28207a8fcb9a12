"""Finds repeated addresses among millions, in 25 bytes each."""

from array import array
from typing import Final

_SMALLEST: Final = 1024


class Distinct:
    """Numbers keys from 0 in the order of their first appearance.

    It keeps 128 bits of a hash instead of each key. Among ten million keys, two have the same hash
    with a chance of one in 10^24. The hashes stand in the order of the numbers; an open-addressing
    table, at most two thirds full, finds them.
    """

    def __init__(self) -> None:
        self._first = array("q")
        self._second = array("q")
        self._table = array("I", bytes(4 * _SMALLEST))  # a number plus 1, or 0 for a free place

    def __len__(self) -> int:
        return len(self._first)

    def number(self, keys: list[str]) -> list[int]:
        """Return the number of each key; new ones get the next numbers."""
        while (len(self._first) + len(keys)) * 3 > len(self._table) * 2:
            self._grow()
        first, second, table = self._first, self._second, self._table
        mask = len(table) - 1
        count = len(first)
        numbers: list[int] = []
        add = numbers.append
        for key, one in zip(keys, map(hash, keys), strict=True):
            place = one & mask
            while found := table[place]:
                if first[found - 1] == one and second[found - 1] == hash(key + "\n"):
                    add(found - 1)
                    break
                place = (place + 1) & mask
            else:
                add(count)
                count += 1
                table[place] = count
                first.append(one)
                second.append(hash(key + "\n"))
        return numbers

    def find(self, keys: list[str]) -> list[int]:
        """Return the number of each key, or -1 if it has none."""
        first, second, table = self._first, self._second, self._table
        mask = len(table) - 1
        numbers: list[int] = []
        add = numbers.append
        for key, one in zip(keys, map(hash, keys), strict=True):
            place = one & mask
            while found := table[place]:
                if first[found - 1] == one and second[found - 1] == hash(key + "\n"):
                    break
                place = (place + 1) & mask
            add(found - 1)
        return numbers

    def _grow(self) -> None:
        size = 2 * len(self._table)
        self._table = table = array("I", bytes(4)) * size
        mask = size - 1
        for number, one in enumerate(self._first, start=1):
            place = one & mask
            while table[place]:
                place = (place + 1) & mask
            table[place] = number

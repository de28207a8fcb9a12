"""Finds the column of addresses from all rows, where those after the first could change the choice.

A list that is sorted by its addresses begins with rows that have none. So if another column could be
meant, the list is read once more, before anything is sent.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from operator import itemgetter
from typing import Final, TypeVar

import attrs

from bulkverify.lists.columns import (
    SAMPLE_CHARACTERS,
    SAMPLE_ROWS,
    find_column,
    holds_address,
    only_if_named,
    places_named,
)
from bulkverify.lists.naming import Rank, name_meaning
from bulkverify.lists.tables import Table

_MOST_ROWS: Final = 2000
_FEWEST_ROWS: Final = 3

TableT = TypeVar("TableT", bound=Table)


def surveyed(table: TableT, wanted: str | None) -> TableT:
    """Return a list with the column that all of its rows suggest; `wanted` is as for `find_column`.

    Raises:
        InvalidListError, UsageError: as for `find_column`.
    """
    candidates = list(_candidates(table, wanted))
    if len(candidates) < 2:  # noqa: PLR2004 - no other column could be meant
        return table
    survey = _Survey(candidates)
    everywhere = tuple(range(len(table.names)))  # so that no address is unexpected
    for batch in attrs.evolve(table, beside=everywhere).batches():
        survey.add(batch)
    found = find_column(table.title, table.names, survey.sample(), wanted)
    return attrs.evolve(table, column=found.column, others=found.others, beside=found.beside)


def _candidates(table: Table, wanted: str | None) -> Iterator[int]:
    """Give the columns that would be taken, or refused as one of several, if later rows had addresses in them."""
    if wanted is not None:
        yield from places_named(table.names, wanted)
        return
    unnamed = name_meaning(table.names[table.column]).rank is Rank.OTHER
    for place, name in enumerate(table.names):
        if not only_if_named(name) and (unnamed or name_meaning(name).rank is not Rank.OTHER):
            yield place


class _Survey:
    """Takes rows that are spread evenly over a list, and the first ones with an address in each candidate."""

    def __init__(self, candidates: list[int]) -> None:
        self._spread: list[list[str]] = []
        self._step = 1
        self._size = 0
        self._read = 0
        self._found: dict[int, list[str]] = {}
        self._found_size = 0
        self._left = dict.fromkeys(candidates, SAMPLE_ROWS)

    def add(self, batch: list[list[str]]) -> None:
        """Take the next rows."""
        for place, left in list(self._left.items()):
            self._find(place, left, batch)
        fresh = batch[-self._read % self._step :: self._step]
        self._spread += fresh
        self._size += _size(fresh)
        self._read += len(batch)
        while len(self._spread) > _MOST_ROWS or (
            self._size > SAMPLE_CHARACTERS and len(self._spread) > _FEWEST_ROWS
        ):
            del self._spread[1::2]
            self._step *= 2
            self._size = _size(self._spread)

    def _find(self, place: int, left: int, batch: list[list[str]]) -> None:
        """Take up to `left` rows with an address in a column; a column without an `@` takes little time."""
        cells = list(map(itemgetter(place), batch))
        text = "".join(cells)
        if "@" not in text and "\uff20" not in text:
            return
        having = (number for number, cell in enumerate(cells) if holds_address(cell))
        found = {self._read + number: batch[number] for number in islice(having, left)}
        self._found |= found
        self._found_size += _size(found.values())
        self._left[place] = left - len(found)
        if not self._left[place] or self._found_size > SAMPLE_CHARACTERS:
            del self._left[place]

    def sample(self) -> list[list[str]]:
        """Return the rows in their order."""
        rows = self._found | {number * self._step: row for number, row in enumerate(self._spread)}
        return [rows[number] for number in sorted(rows)]


def _size(rows: Iterable[list[str]]) -> int:
    return sum(sum(map(len, row)) + len(row) for row in rows)

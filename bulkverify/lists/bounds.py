"""Limits on how far a small list may grow: by its columns, and by empty cells that fill its rows."""

from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Final, TypeVar

from bulkverify.errors import InvalidListError
from bulkverify.results.records import LARGEST_RECORD_CHARACTERS

T = TypeVar("T")

MOST_COLUMNS: Final = 100_000
"""Six times as many as a sheet of Excel has."""

_BATCH_SIZE: Final = 1_000_000
_GROWN_SIZE: Final = 100_000_000
_GROWTH: Final = 200


class Columns:
    """The names of a list's columns, in the order of their first appearance."""

    def __init__(self, title: str, names: Iterable[str] = ()) -> None:
        self._title = title
        self._names: dict[str, None] = {}
        self._characters = 0
        self.add(names)

    @property
    def names(self) -> tuple[str, ...]:
        """All names."""
        return tuple(self._names)

    def add(self, names: Iterable[str]) -> None:
        """Add the names that are new; too many or too long ones raise `InvalidListError`."""
        for name in names:
            if name not in self._names:
                self._names[name] = None
                self._characters += len(name)
                if len(self._names) > MOST_COLUMNS or self._characters > LARGEST_RECORD_CHARACTERS:
                    check_names(self._title, self.names)

    def has(self, names: AbstractSet[str]) -> bool:
        """Whether all of these names are known."""
        return names <= self._names.keys()


def check_names(title: str, names: Sequence[str]) -> None:
    """Raise `InvalidListError` for names of columns that no real table has."""
    check_width(title, len(names))
    if sum(map(len, names)) > LARGEST_RECORD_CHARACTERS:
        raise InvalidListError(
            f"The columns of {title} have names of more than {LARGEST_RECORD_CHARACTERS:,} characters in all. "
            "Nothing was sent."
        )


def check_width(title: str, width: int) -> None:
    """Raise `InvalidListError` for more columns than a real table has."""
    if width > MOST_COLUMNS:
        raise InvalidListError(
            f"{title} has more than the {MOST_COLUMNS:,} columns that a list may have. Leave out columns that you "
            "don't need, or look for a missing line end. Nothing was sent."
        )


class GrowthLimit:
    """Limits the memory of a batch of rows, and the growth of a list by its short rows.

    A short row gets an empty cell for each missing column, and in JSON the column's name too.
    """

    def __init__(self, title: str, names: tuple[str, ...], paths: Iterable[Path]) -> None:
        self._title = title
        self._width = len(names)
        self._row_size = len(names) + sum(map(len, names))
        self._rows = max(1, _BATCH_SIZE // max(1, self._row_size))
        self._left = max(_GROWN_SIZE, _GROWTH * sum(path.stat().st_size for path in paths))

    def portions(self, rows: list[T]) -> Iterator[list[T]]:
        """Cut a batch into portions that take bounded memory once their rows are as wide as the list."""
        if len(rows) <= self._rows:
            yield rows
            return
        for begin in range(0, len(rows), self._rows):
            yield rows[begin : begin + self._rows]

    def count_short(self, rows: int) -> None:
        """Count short rows; it raises `InvalidListError` if nearly all cells of the list are missing."""
        self._left -= rows * self._row_size
        if self._left < 0:
            raise InvalidListError(
                f"{self._title} has {self._width:,} columns, and nearly all cells of its rows are missing: "
                f"filled up, it would be {_GROWTH} times as large. Leave columns out. Nothing was sent."
            )

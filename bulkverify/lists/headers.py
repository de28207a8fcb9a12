"""Finds the row with the names of the columns."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

from bulkverify.lists.columns import MOST_NAMES, fold, holds_address, places_named, says_nothing
from bulkverify.lists.naming import Rank, name_meaning, says_address

_HIGHEST_HEADER: Final = 30
_ADDRESS: Final = re.compile(r"[^\s@([][@\uff20][\w[]")
_CUT_OFF: Final = re.compile(r"\w@")
_DIGIT: Final = re.compile(r"\d")


def find_header(rows: Sequence[Sequence[str]], wanted: str | None) -> int | None:
    """Find the row with the names of the columns among the first rows; `None` if there is none.

    It is the first row, if that has no address. A later row is the header if it has the wanted name, if
    it has a name that means e-mail above the addresses, or if it follows only titles.
    """
    first = _first_address(rows)
    if wanted is not None:
        for index, row in enumerate(rows[: (first or 0) + 1]):
            if fold(wanted) in map(fold, row):
                return index
    if first == 0:
        return _below_lone_address(rows) or (0 if _has_example(rows) else None)
    above = rows[: min(first or len(rows), _HIGHEST_HEADER)]
    below = rows[first:] if first is not None else ()
    places = {
        place
        for row in below
        for place, cell in enumerate(row)
        if "@" in cell and holds_address(cell)
    }
    for rank in (Rank.MAIN, Rank.ONE_OF, Rank.SECOND):
        for index, row in enumerate(above):
            named = places or (range(min(len(row), MOST_NAMES)) if rank is Rank.MAIN else ())
            if any(place < len(row) and name_meaning(row[place]).rank == rank for place in named):
                return _lowest_header(above, index, places)
    widths = Counter(sum(map(bool, row)) for row in below)
    place = 0
    if widths and widths.most_common(1)[0][0] > 1:
        place = next((index for index, row in enumerate(above) if sum(map(bool, row)) > 1), 0)
    return None if any(map(_ADDRESS.search, rows[place])) or _is_row(rows, place) else place


def _below_lone_address(rows: Sequence[Sequence[str]]) -> int | None:
    """Return the row of a header below rows of one cell each, such as a contact address."""
    for index, row in enumerate(rows[:_HIGHEST_HEADER]):
        if sum(map(bool, row)) > 1:
            named = any(name_meaning(cell).rank is Rank.MAIN for cell in row)
            return index if index and named and not any(map(_ADDRESS.search, row)) else None
    return None


def _lowest_header(above: Sequence[Sequence[str]], index: int, places: set[int]) -> int:
    """Return the last row of a header, such as a row with `Address` below one with `Email`."""
    for lower in range(index + 1, len(above)):
        row = above[lower]
        if any(place < len(row) and says_address(row[place]) for place in places):
            index = lower
    return index


def _first_address(rows: Sequence[Sequence[str]]) -> int | None:
    """Return the first row with an address, else the first with a text that mentions one."""
    for is_one in (holds_address, _ADDRESS.search):
        for index, row in enumerate(rows):
            if any(map(is_one, row)):
                return index
    return None


def _has_example(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first row has a name with an example in it, such as `Email (a@b.com)`."""
    for place, cell in enumerate(rows[0]):
        if "@" in cell and name_meaning(cell).rank is not Rank.OTHER:
            below = [row[place] for row in rows[1:] if place < len(row) and row[place]]
            return any(name_meaning(other).rank is Rank.OTHER for other in below)
    return False


def doubtful_header(
    rows: Sequence[Sequence[str]], place: int | None, wanted: str | None
) -> int | None:
    """Return a row that may be the header, or may not, so that only the caller can tell.

    It is a row with a name for e-mail below a row with an address, or a first row that has no name for the
    addresses below it.

    Args:
        rows: the first rows.
        place: the row that `find_header` returned.
        wanted: the name of the address column, if the caller gave it.
    """
    if place is not None and wanted is not None and places_named(rows[place], wanted):
        return None
    column = None if place is None else _address_column(rows, place)
    above = () if place is None else rows[place]
    if column is not None and name_meaning(_cell(above, column)).rank is not Rank.OTHER:
        return None
    begin = 0 if place is None else place + 1
    for index, row in enumerate(rows[begin:_HIGHEST_HEADER], start=begin):
        lower = _address_column(rows, index)
        if (
            lower is not None
            and name_meaning(_cell(row, lower)).rank < Rank.OTHER
            and not any(map(_ADDRESS.search, row))
        ):
            return index
    if place is None or column is None or column >= len(above):
        return None
    in_doubt = says_nothing(above[column]) or _is_like_below(rows, place, column)
    return place if in_doubt else None


def _is_row(rows: Sequence[Sequence[str]], place: int) -> bool:
    """Whether a row that could be the header is a row with a missing or an incomplete address."""
    column = _address_column(rows, place)
    if column is None:
        return False
    cell = _cell(rows[place], column)
    return _CUT_OFF.search(cell) is not None or (
        says_nothing(cell) and _is_like_below(rows, place, column)
    )


def _is_like_below(rows: Sequence[Sequence[str]], place: int, column: int) -> bool:
    """Whether a row has a number or a date beside its address that looks like those below it."""
    for other, cell in enumerate(rows[place]):
        if other != column and any(map(str.isdigit, cell)) and not any(map(str.isalpha, cell)):
            form = _DIGIT.sub("0", cell.strip())
            below = [_DIGIT.sub("0", _cell(row, other).strip()) for row in rows[place + 1 :]]
            if below.count(form) * 2 >= len(below):
                return True
    return False


def _address_column(rows: Sequence[Sequence[str]], place: int) -> int | None:
    """Return the column with the most addresses below a row."""
    found = Counter(
        column
        for row in rows[place + 1 :]
        for column, cell in enumerate(row)
        if "@" in cell and holds_address(cell)
    )
    return max(found, key=found.__getitem__) if found else None


def _cell(row: Sequence[str], column: int) -> str:
    return row[column] if column < len(row) else ""

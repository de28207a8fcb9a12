"""Which row is a header, what the columns are called, and which of them has the addresses."""

import re
from collections.abc import Iterable, Sequence
from typing import Final, TypeVar

from bulkverify.errors import InvalidListError, UsageError

SAMPLE_ROWS: Final = 100
"""How many rows are read to find out how a list is written."""

SAMPLE_CHARACTERS: Final = 4_000_000
"""How much text these rows may have in all."""

_FEWEST_ROWS: Final = 3
Row = TypeVar("Row", bound=Sequence[str])

ADDRESS_NAMES: Final = (
    "email",
    "e-mail",
    "email address",
    "e-mail address",
    "email_address",
    "emailaddress",
    "mail",
    "address",
)
_SHOWN_NAMES: Final = 20
_SHOWN_CHARACTERS: Final = 40
_ADDRESS: Final = re.compile(r"[^\s@([]@[\w[]")


def sample_rows(rows: Iterable[Row], count: int) -> list[Row]:
    """Take the first rows, or fewer of long ones."""
    taken = []
    characters = 0
    for row in rows:
        taken.append(row)
        characters += sum(map(len, row))
        if len(taken) >= count or (characters > SAMPLE_CHARACTERS and len(taken) > _FEWEST_ROWS):
            break
    return taken


def is_header(record: Sequence[str], wanted: str | None) -> bool:
    """Whether a first row is a header: it has no address, or it has the wanted name."""
    if wanted is not None and fold(wanted) in map(fold, record):
        return True
    return not any(_ADDRESS.search(cell) for cell in record)


def column_names(width: int) -> tuple[str, ...]:
    """Name the columns of a list without a header as the service names them."""
    return tuple(f"col{index}" for index in range(width))


def find_column(
    title: str, names: Sequence[str], sample: Sequence[Sequence[str]], wanted: str | None
) -> int:
    """Find the column of addresses: the wanted one, else one with a usual name, else the one with most `@`.

    Raises:
        InvalidListError: no column has addresses.
        UsageError: there is no column of this name.
    """
    folded = [fold(name) for name in names]
    if wanted is not None:
        if wanted in names:
            return names.index(wanted)
        if fold(wanted) in folded:
            return folded.index(fold(wanted))
        raise UsageError(
            f"{title} has no column {wanted!r}; it has {listed(names)}. "
            "A list without a header has col0, col1, ..."
        )
    found = [0] * len(names)
    for row in sample:
        for index, cell in enumerate(row[: len(names)]):
            found[index] += "@" in cell
    usual = [folded.index(name) for name in ADDRESS_NAMES if name in folded]
    for index in usual:
        if found[index]:
            return index
    if any(found):
        return found.index(max(found))
    if usual:
        return usual[0]
    raise InvalidListError(f"{title} has no column of addresses among {listed(names)}.").with_hint(
        "Name it with `column`.", "Name it with --column."
    )


def fold(name: str) -> str:
    """Return a key that is the same for names that people take for the same."""
    return " ".join(name.lower().split())


def listed(names: Sequence[str]) -> str:
    """List names for a message, and at most 20 of them."""
    shown = ", ".join(repr(name[:_SHOWN_CHARACTERS]) for name in names[:_SHOWN_NAMES])
    more = len(names) - _SHOWN_NAMES
    return f"{shown} and {more:,} more" if more > 0 else shown

"""Finds the column of addresses, by the names of the columns and their cells."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain, islice
from typing import Final, TypeVar

import attrs

from bulkverify.errors import InvalidListError, UsageError
from bulkverify.lists.naming import Rank, name_meaning

SAMPLE_ROWS: Final = 100
"""How many rows are read to detect the format of a list."""

SAMPLE_CHARACTERS: Final = 4_000_000
"""How much text these rows may have in all."""

FURTHER_ROWS: Final = 1_000_000
"""How many rows are searched for an address if these rows have none."""

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
# These look like addresses but are not.
_NEVER: Final = frozenset(
    {"message-id", "message id", "messageid", "in-reply-to", "references", "jid"}
)
# These stand for a value that is missing.
_NOTHING: Final = frozenset(
    (
        *("n/a", "na", "n.a.", "n.a", "#n/a", "n/v", "k.a.", "s/d", "nil", "no", "none", "null"),
        *("nan", "nat", "unknown", "undefined", "missing", "empty", "tbd", "x", "0"),
    )
)
_SHOWN_NAMES: Final = 20
_SHOWN_CHARACTERS: Final = 40
SHOWN_CELLS: Final = 3
"""How many cells a message shows."""

_LONGEST_CELL: Final = 500
# An address alone, or with a name, brackets, `mailto:` or a remark around it.
_ALONE: Final = re.compile(
    r"(?:[^@\uff20<>]*<)?[^\w@\uff20]*(?:mailto:|smtp:)?"
    r"[^\s@\uff20<>()\[\],;]+[@\uff20](?:[^\s@\uff20<>()\[\],;]+|\[[^\s\]]+\])"
    r"[^\w@\uff20]*(?:\([^@\uff20]*\)\W*)?",
    re.IGNORECASE,
)
_BETWEEN: Final = re.compile(r"[,;|\n]|:::|\s/\s|/(?=[^/]*@)")

# Of the columns of one rank, one with this many times the addresses of any other is taken.
_CLEARLY: Final = 4
_CLEARLY_IF_FULL: Final = 2
_SPARSE: Final = 10
MOST_NAMES: Final = 5000
"""How many names of a header are examined."""


@attrs.frozen(kw_only=True)
class AddressColumns:
    """The place of the address column, and of the `others` that also have addresses.

    Rows with an address there may have one in the columns `beside` it; all, if the caller has chosen.
    """

    column: int
    others: tuple[int, ...] = ()
    beside: tuple[int, ...] = ()


def sample_rows(rows: Iterable[Row], count: int) -> list[Row]:
    """Take the first rows; fewer if they are long."""
    taken = []
    characters = 0
    for row in rows:
        taken.append(row)
        characters += sum(map(len, row))
        if len(taken) >= count or (characters > SAMPLE_CHARACTERS and len(taken) > _FEWEST_ROWS):
            break
    return taken


def add_rows_with_addresses(sample: list[Row], rows: Iterable[Row]) -> None:
    """Add later rows to a sample that has no address, such as that of a list with few addresses."""
    if not _has_address(chain.from_iterable(sample)):
        found = filter(_has_address, islice(rows, FURTHER_ROWS))
        sample += sample_rows(found, SAMPLE_ROWS)


def _has_address(cells: Iterable[str]) -> bool:
    return any(map(holds_address, cells))


def holds_address(cell: str) -> bool:
    """Whether a cell is an address, or several. A text that only mentions one does not count."""
    if len(cell) > _LONGEST_CELL or not ("@" in cell or "\uff20" in cell):
        return False
    if _ALONE.fullmatch(cell):
        return True
    for pieces in (_BETWEEN.split(cell), cell.split()):
        found = [piece for piece in pieces if piece.strip()]
        if len(found) > 1 and all(map(_ALONE.fullmatch, found)):
            return True
    return False


def column_names(width: int) -> tuple[str, ...]:
    """Name the columns of a list without a header as the service names them."""
    return tuple(f"col{index}" for index in range(width))


def find_column(
    title: str, names: Sequence[str], sample: Sequence[Sequence[str]], wanted: str | None
) -> AddressColumns:
    """Find the column of addresses: the wanted one, else by its name and its cells.

    Of the columns with addresses, the one whose name fits e-mail best is taken.

    Raises:
        InvalidListError: no column has addresses, or several could be meant.
        UsageError: there is no column of this name.
    """
    found, mentions = _addresses(names, sample)
    if wanted is not None:
        column = _wanted(title, names, found, wanted)
    else:
        column = _likeliest(title, names, sample, found, mentions)
    others = tuple(place for place in sorted(found) if place != column)
    both = (place for place in others if found[place].keys() & found.get(column, {}).keys())
    return AddressColumns(
        column=column,
        others=others,
        beside=tuple(both if wanted is None else range(len(names))),
    )


def _addresses(
    names: Sequence[str], sample: Sequence[Sequence[str]]
) -> tuple[dict[int, dict[int, str]], Counter[int]]:
    """Return the addresses of each column by row, and how many cells have an `@`."""
    found: dict[int, dict[int, str]] = {}
    mentions: Counter[int] = Counter()
    for number, row in enumerate(sample):
        for place, cell in enumerate(row[: len(names)]):
            if "@" in cell or "\uff20" in cell:
                mentions[place] += 1
                if holds_address(cell):
                    found.setdefault(place, {})[number] = cell.strip().lower()
    return found, mentions


def places_named(names: Sequence[str], wanted: str) -> list[int]:
    """Return the places of a name, in any case if none is written so."""
    places = [place for place, name in enumerate(names) if name == wanted]
    return places or [place for place, name in enumerate(names) if fold(name) == fold(wanted)]


def _wanted(title: str, names: Sequence[str], found: dict[int, dict[int, str]], wanted: str) -> int:
    """Find a column by its name, or by its place from 1."""
    places = places_named(names, wanted)
    if not places and wanted.isdecimal() and 1 <= int(wanted) <= len(names):
        return int(wanted) - 1
    if not places:
        raise UsageError(
            f"{title} has no column {wanted!r}; it has {listed(names)}. "
            "A list without a header has col0, col1, ... A number names a column by its place, from 1."
        )
    filled = [place for place in places if place in found]
    if len(filled) > 1:
        raise UsageError(f"{title} has addresses in several columns named {wanted!r}.").with_hint(
            *_by_place(filled)
        )
    return (filled or places)[0]


def _likeliest(
    title: str,
    names: Sequence[str],
    sample: Sequence[Sequence[str]],
    found: dict[int, dict[int, str]],
    mentions: Counter[int],
) -> int:
    ranks = _ranks(names, sample, found)
    for rank in Rank:
        own = [place for place in sorted(ranks) if ranks[place] == rank]
        if not own:
            continue
        counts = {place: len({*found[place].values()}) for place in ranks}
        best = max(own, key=counts.__getitem__)
        full = _CLEARLY_IF_FULL if len(found[best]) * 10 >= len(sample) * 9 else _CLEARLY
        rivals = [
            place
            for place in ranks
            if place != best
            and not found[place].items() <= found[best].items()
            and counts[place]
            * (full if ranks[place] == rank else 1 / _SPARSE if ranks[place] < Rank.OTHER else 0)
            > counts[best]
        ]
        if not rivals:
            return best
        places = sorted([best, *rivals])
        shown = " and ".join(
            f"{names[place][:_SHOWN_CHARACTERS]!r} (column {place + 1})"
            for place in places[:SHOWN_CELLS]
        )
        raise InvalidListError(
            f"{title} has addresses in several columns, and each could be meant: {shown}. Nothing was sent."
        ).with_hint(*_by_place(places))
    for place, count in mentions.most_common():
        if not only_if_named(names[place]) and (
            len(names) == 1 or count * 2 > _filled(sample, place)
        ):
            return place
    for place, name in enumerate(names[:MOST_NAMES]):
        if name_meaning(name).rank is Rank.MAIN or fold(name) in ADDRESS_NAMES:
            return place
    raise InvalidListError(
        f"{title} begins with {first_cells(sample)} and has no column of addresses among {listed(names)}."
    ).with_hint(
        "Name it with `column`, or the row of the header with `header_row`.",
        "Name it with --column, or the row of the header with --header-row.",
    )


def _filled(sample: Sequence[Sequence[str]], place: int) -> int:
    """Count the cells of a column that say something."""
    return sum(place < len(row) and not says_nothing(row[place]) for row in sample)


def says_nothing(cell: str) -> bool:
    """Whether a cell is blank, or stands for a missing value, such as n/a."""
    return not any(map(str.isalnum, cell)) or cell.strip().lower() in _NOTHING


def _ranks(
    names: Sequence[str], sample: Sequence[Sequence[str]], found: dict[int, dict[int, str]]
) -> dict[int, Rank]:
    """Rank the likely columns; those not named like e-mail need addresses in at least half of their filled cells."""
    meanings = {place: name_meaning(names[place]) for place in found}
    least = min(
        (meaning.number for meaning in meanings.values() if meaning.rank is Rank.MAIN), default=0
    )
    ranks = {}
    for place, meaning in meanings.items():
        if only_if_named(names[place]):
            continue
        if meaning.rank is Rank.OTHER and len(found[place]) * 2 < _filled(sample, place):
            continue
        later = meaning.rank is Rank.MAIN and meaning.number > least
        ranks[place] = Rank.SECOND if later else meaning.rank
    return ranks


def only_if_named(name: str) -> bool:
    """Whether a column, such as `created_by`, is taken only if the caller names it."""
    words = name.lower().replace("_", " ").split()
    return fold(name) in _NEVER or "by" in words


def _by_place(places: Sequence[int]) -> tuple[str, str]:
    """Return the hints that say how to choose one of several columns."""
    numbers = [str(place + 1) for place in places[:SHOWN_CELLS]]
    return (
        f"""Choose with {" or ".join(f'`column="{number}"`' for number in numbers)}.""",
        f"Choose with {' or '.join(f'--column {number}' for number in numbers)}.",
    )


def first_cells(rows: Sequence[Sequence[str]]) -> str:
    """List the cells that a list begins with, for a message."""
    cells = [cell for row in rows for cell in row if cell.strip()][:SHOWN_CELLS]
    return listed(cells) or "empty cells"


def fold(name: str) -> str:
    """Return a key for a name that ignores its case and spacing."""
    return " ".join(name.lower().split())


def listed(names: Sequence[str]) -> str:
    """List up to 20 names for a message."""
    shown = ", ".join(repr(name[:_SHOWN_CHARACTERS]) for name in names[:_SHOWN_NAMES])
    more = len(names) - _SHOWN_NAMES
    return f"{shown} and {more:,} more" if more > 0 else shown

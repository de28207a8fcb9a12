"""Earlier verdicts that come as rows, such as those of a database."""

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Final, Protocol

from bulkverify.errors import UsageError, clause
from bulkverify.lists.earlier_files import Answers
from bulkverify.lists.layout import create
from bulkverify.lists.spooling import write
from bulkverify.lists.stopping import checkpoint
from bulkverify.lists.verdicts import FLAGS
from bulkverify.lists.verified import Key
from bulkverify.models import Verdict

_AT_ONCE: Final = 1000


class EarlierVerdict(Protocol):
    """A verdict of an earlier list, such as `ResultRow` or `JoinedRow`, or a row of a database.

    The flags of a `ResultRow` are taken over, too, if there are any.
    """

    @property
    def email(self) -> str:
        """The address."""
        ...

    @property
    def verdict(self) -> Verdict | str | None:
        """The verdict; `unknown`, other texts and `None` are not reused."""
        ...

    @property
    def verified_at(self) -> datetime | None:
        """When it was verified; without a time zone, in UTC. `None` counts for nothing."""
        ...


class Rows:
    """Rows with earlier verdicts, as the cells of a file."""

    def __init__(self, rows: Iterable[EarlierVerdict]) -> None:
        self._rows = rows

    def batches(self) -> Iterator[Answers]:
        """Give the answers of the rows, many at a time."""
        numbered = enumerate(self._rows, start=1)
        while batch := [cells_of_row(row, number) for number, row in islice(numbered, _AT_ONCE)]:
            yield _answers(batch)


class SpooledRows(Rows):
    """Rows that come one by one, kept in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._count = 0
        create(path).close()

    def extend(self, rows: Iterable[EarlierVerdict]) -> None:
        """Add rows."""
        batch = [cells_of_row(row, number) for number, row in enumerate(rows, self._count + 1)]
        self._count += len(batch)
        with self._path.open("ab") as file:
            write(file, f"{json.dumps(batch)}\n".encode())

    def batches(self) -> Iterator[Answers]:
        """Give the answers of the rows, many at a time."""
        with self._path.open("rb") as file:
            yield from map(_answers, map(json.loads, file))


def _answers(rows: Sequence[Sequence[str]]) -> Answers:
    return (
        [row[0] for row in rows],
        [tuple(row[1:-1]) for row in rows],
        [row[-1] for row in rows],
    )


def cells_of_row(row: EarlierVerdict, number: int) -> Key:
    """Write a row as cells: the address, the verdict, the flags and the time.

    Raises:
        UsageError: it is no such row.
    """
    checkpoint()
    try:
        email, verdict, moment = row.email, row.verdict, row.verified_at
        time = "" if moment is None or _is_missing(moment) else _in_utc(moment).isoformat()
        flags = [_flag(getattr(row, name, None)) for name in FLAGS]
    except (AttributeError, OverflowError, TypeError, ValueError) as error:
        raise UsageError(
            f"Row {number:,} of the earlier verdicts can't be read: {clause(error)}. It needs email, verdict and "
            "verified_at, as a ResultRow has them. Nothing was sent."
        ) from None
    said = "" if verdict is None or _is_missing(verdict) else str(verdict)
    return (str(email), said, *flags, time)


def _in_utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _flag(value: object) -> str:
    """Write a flag as a cell; a text is read as that of a file."""
    if value is None or _is_missing(value):
        return ""
    return value if isinstance(value, str) else "NY"[bool(value)]


def _is_missing(value: object) -> bool:
    """Whether a value is NaN, NaT or NA, as pandas has them: none is equal to itself."""
    try:
        return not bool(value == value)  # noqa: PLR0124 - as above
    except TypeError:
        return True  # NA has no truth value

"""Opens files with earlier verdicts, and finds the addresses that the verdicts belong to."""

from collections.abc import Iterator, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Final, TypeAlias

import attrs

from bulkverify.errors import InvalidListError
from bulkverify.lists.columns import fold
from bulkverify.lists.tables import Table
from bulkverify.lists.verified import Key, open_verified

Answers: TypeAlias = tuple[list[str], list[Key], list[str]]
"""The addresses, the verdicts with their flags, and the times of some rows."""

_BY_NAME: Final = (
    "Name the column with `column`, or leave out the other one.",
    "Name the column with --column, or leave out the other one.",
)


@attrs.frozen(kw_only=True)
class EarlierFile:
    """A file with earlier verdicts; `columns` are the names of the cells of its keys."""

    table: Table
    columns: Sequence[str]
    places: dict[str, int]

    def batches(self) -> Iterator[Answers]:
        """Give the answers of the rows, many at a time."""
        address, time = itemgetter(self.table.column), self.places.get("verified_at")
        said = [self.places[name] for name in self.columns]
        key = itemgetter(*said, *said[len(said) > 1 :][:1])  # never of a single cell
        for rows in self.table.batches():
            times = [""] * len(rows) if time is None else list(map(itemgetter(time), rows))
            yield list(map(address, rows)), list(map(key, rows)), times


def open_earlier(
    path: Path, *, title: str, encoding: str, spool: Path, number: int, wanted: str | None
) -> EarlierFile:
    """Open a file with earlier verdicts.

    Args:
        path: as for `open_verified`.
        title: its name in messages.
        encoding: of its text.
        spool: a folder for a workbook as CSV.
        number: of that file in the folder.
        wanted: the name of the column of addresses in the list, if the caller has named it.

    Raises:
        InvalidListError: it can't be read, or it is not certain which addresses its verdicts belong to.
    """
    verified = open_verified(path, title=title, encoding=encoding, spool=spool, number=number)
    if wanted is not None and fold(wanted) not in map(fold, verified.names):
        wanted = None
    table = verified.table(wanted)
    places = verified.places_in(table)
    _require_certain(table, places, named=wanted is not None)
    columns = tuple(name for name in places if name != "verified_at")
    return EarlierFile(table=table, columns=columns, places=places)


def _require_certain(table: Table, places: dict[str, int], *, named: bool) -> None:
    """Raise `InvalidListError` if the verdicts may belong, or do belong, to addresses of another column."""
    verdict, time = places["verdict"], places.get("verified_at", places["verdict"])
    for row in table.rows() if table.others else ():
        cell = row[table.column].strip()
        for other in table.others:
            if "@" not in row[other] or row[other].strip() == cell:
                continue
            names = f"{table.names[table.column]!r} and in {table.names[other]!r}"
            if not named:
                raise InvalidListError(
                    f"{table.title} has addresses in {names}, and it is not certain which of them its verdicts belong "
                    "to. Nothing was sent."
                ).with_hint(*_BY_NAME)
            if "@" not in cell and row[verdict].strip() and row[time].strip():
                raise InvalidListError(
                    f"{table.title} has addresses in {names}, and its verdicts belong to the latter: the former has "
                    f"{cell[:40]!r} in a row with a verdict. Nothing was sent."
                ).with_hint(
                    "Leave this file out of `reuse`.",
                    "Leave this file out of --reuse.",
                )

"""Several lists, one after the other, as one."""

import json
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import Final

import attrs

from bulkverify.errors import UsageError
from bulkverify.lists.bounds import GrowthLimit, check_names
from bulkverify.lists.columns import places_named
from bulkverify.lists.jsonlines import JsonLines
from bulkverify.lists.tables import Digest, FileTable, Table, json_objects
from bulkverify.results.rows import unique_names

_SHOWN: Final = 3


@attrs.frozen(kw_only=True)
class Several(Table):
    """Lists whose columns are joined by name, in the order of their first appearance.

    `places` holds the places of each list's columns among `names`. All addresses go to the address column
    of the first list.
    """

    tables: tuple[Table, ...]
    places: tuple[tuple[int, ...], ...]
    paths: tuple[Path, ...]

    def batches(self, digest: Digest | None = None) -> Iterator[list[list[str]]]:
        """Read the rows of one list after the other."""
        limit = GrowthLimit(self.title, self.names, self.paths)
        for table, places in zip(self.tables, self.places, strict=True):
            spread = self._spreading(places)
            if spread is None:
                yield from table.batches(digest)
                continue
            for batch in table.batches(digest):
                for rows in limit.portions(batch):
                    if len(places) < len(self.names):
                        limit.count_short(len(rows))
                    yield [list(spread([*row, ""])) for row in rows]

    def objects(self, digest: Digest | None = None) -> Iterator[list[str]]:
        """Read the rows as JSON objects; rows that are JSON already stay as they are."""
        names = unique_names(self.names)
        for table, places in zip(self.tables, self.places, strict=True):
            if isinstance(table, JsonLines) and table.names == tuple(
                names[place] for place in places
            ):
                yield from table.objects(digest)
                continue
            own = [names[place] for place in places]
            for batch in table.batches(digest):
                yield json_objects(own, batch)

    @property
    def lists(self) -> tuple[Table, ...]:
        """The lists that it is made of."""
        return self.tables

    @property
    def stray(self) -> int:
        """How many rows had a stray quote."""
        return sum(table.stray for table in self.tables)

    @property
    def stray_at(self) -> str:
        """Where the first stray quote was."""
        return next((table.stray_at for table in self.tables if table.stray_at), "")

    @property
    def escapes(self) -> bool:
        """Whether quotes within cells of a list had a backslash before them."""
        return any(table.escapes for table in self.tables)

    @property
    def marked(self) -> bool:
        """Whether a copy begins with a byte order mark, as one of the first list does."""
        return self.tables[0].marked

    @property
    def short(self) -> int:
        """How many rows had too few cells for their list."""
        return sum(table.short for table in self.tables)

    def pieces(self) -> Iterator[bytes]:
        """Read one list after the other."""
        return chain.from_iterable(table.pieces() for table in self.tables)

    def described(self) -> str:
        """Describe how each of them is read."""
        return json.dumps([Table.described(self), *(table.described() for table in self.tables)])

    def _spreading(
        self, places: tuple[int, ...]
    ) -> Callable[[Sequence[str]], tuple[str, ...]] | None:
        width = len(self.names)
        if places == tuple(range(width)):
            return None
        sources = [len(places)] * width  # a missing column takes the empty cell after the row
        for index, place in enumerate(places):
            sources[place] = index
        return itemgetter(*sources)


def put_together(tables: Sequence[Table], wanted: str | None = None) -> Table:
    """Make one table of several; `wanted` is the column that the caller has chosen in all of them."""
    if len(tables) == 1:
        return tables[0]
    if wanted is not None:
        _refuse_place(tables, wanted)
    first = tables[0]
    names = list(first.names)
    known = {}
    places = []
    for table in tables:
        own = []
        times: dict[str, int] = {}
        for index, name in enumerate(table.names):
            if index == table.column:
                own.append(first.column)
                continue
            times[name] = times.get(name, 0) + 1  # lists may have several columns of one name
            key = name, times[name]
            if table is first:
                known[key] = index
            elif key not in known:
                known[key] = len(names)
                names.append(name)
            own.append(known[key])
        places.append(tuple(own))
    title = " + ".join(table.title for table in tables[:_SHOWN])
    title += " + …" if len(tables) > _SHOWN else ""
    check_names(title, names)
    return Several(
        title=title,
        names=tuple(names),
        column=first.column,
        delimiter=first.delimiter,
        newline=first.newline,
        others=first.others,
        preface="".join(dict.fromkeys(table.preface for table in tables)),
        tables=tuple(tables),
        places=tuple(places),
        paths=tuple(table.path for table in tables if isinstance(table, FileTable)),
    )


def _refuse_place(tables: Sequence[Table], wanted: str) -> None:
    """Raise `UsageError` if the column was chosen by a place, such as `3`, that means another one in each list."""
    if len({table.names for table in tables}) > 1 and not all(
        places_named(table.names, wanted) for table in tables
    ):
        taken = ", ".join(f"{one.names[one.column]!r} of {one.title}" for one in tables[:_SHOWN])
        raise UsageError(
            f"Column {wanted} is a place, and the lists have different columns: it would be {taken}. Give the columns of "
            "addresses one name and choose that, or verify the lists one by one. Nothing was sent."
        )

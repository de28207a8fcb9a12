"""The list of a run: opened, split and recognised in threads, while its rows are counted."""

import os
from collections.abc import AsyncIterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias

import attrs

from bulkverify.errors import UsageError
from bulkverify.lists import (
    ListFormat,
    ListSource,
    Split,
    Spool,
    Table,
    fingerprint,
    open_table,
    split,
)
from bulkverify.run.board import Board
from bulkverify.run.report import Stage
from bulkverify.run.threads import Counted, RowCount, in_thread
from bulkverify.uploads import LONGEST_LIST_ROWS

RunSource: TypeAlias = ListSource | AsyncIterable[str] | AsyncIterable[Mapping[str, object]]
"""A path, several paths as one list, or an iterable of addresses or mappings, which may be async."""

_SPOOL: Final = "input"
_ITEMS_A_TURN: Final = 1000


@attrs.frozen(kw_only=True)
class Splitting:
    """How a list is made into parts; two calls that differ in it do not have the same parts."""

    judge: bool = True
    deduplicate: bool = True
    largest_rows: int = attrs.field(default=LONGEST_LIST_ROWS)

    def __attrs_post_init__(self) -> None:
        """Refuse parts that the service would refuse."""
        if not 1 <= self.largest_rows <= LONGEST_LIST_ROWS:
            raise UsageError(
                f"`largest_part` is a number from 1 to {LONGEST_LIST_ROWS:,}, not {self.largest_rows}."
            )


@attrs.frozen(kw_only=True)
class Reading:
    """Where a list is, and how it is to be read; what is `None` is found out."""

    source: RunSource = attrs.field(repr=False)
    column: str | None
    delimiter: str | None
    encoding: str
    format: ListFormat | None

    def is_at(self, path: Path) -> bool:
        """Tell whether the list, or a part of it, is in the file at `path`."""
        source = self.source
        if isinstance(source, str | os.PathLike):
            source = [Path(source)]
        if not isinstance(source, list | tuple):
            return False
        with suppress(OSError):
            return any(isinstance(one, os.PathLike) and path.samefile(one) for one in source)
        return False

    async def open(self, folder: Path) -> Table:
        """Find out how to read the list; what can be read only once is first written into the folder.

        Raises:
            InvalidListError, UsageError, OSError: as `open_table`.
        """
        with _naming(folder):
            return await self._open(folder / _SPOOL)

    async def _open(self, spool: Path) -> Table:
        spool.mkdir(mode=0o700, exist_ok=True)
        source = self.source
        if isinstance(source, AsyncIterable):
            return await _drained(source, spool, self.column)
        opening = partial(
            open_table,
            source,
            column=self.column,
            delimiter=self.delimiter,
            encoding=self.encoding,
            format=self.format,
            spool=spool,
        )
        return await in_thread(opening, RowCount(), leave=True)

    async def split(self, table: Table, folder: Path, splitting: Splitting, board: Board) -> Split:
        """Write the parts of the list into the folder."""
        counter = RowCount()
        work = partial(split, Counted.of(table, counter), folder, **attrs.asdict(splitting))
        with _naming(folder):
            return await in_thread(work, counter, partial(_tell, board))

    async def fingerprint(self, table: Table, splitting: Splitting) -> str:
        """Return what `split` would have as its fingerprint."""
        counter = RowCount()
        work = partial(fingerprint, Counted.of(table, counter), **attrs.asdict(splitting))
        return await in_thread(work, counter)


@contextmanager
def _naming(folder: Path) -> Iterator[None]:
    """Name the folder in an error of the disk: a write that fails does not say where that was."""
    try:
        yield
    except OSError as error:
        if error.filename is not None or error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(folder)) from error


def _tell(board: Board, rows: int) -> None:
    board.tell(Stage.READING, rows_done=rows)


async def _drained(
    source: AsyncIterable[str] | AsyncIterable[Mapping[str, object]],
    folder: Path,
    column: str | None,
) -> Table:
    """Write down what an async iterable gives; memory stays bounded, and the loop free."""
    with Spool(folder) as spool:
        items: list[object] = []
        async for item in source:
            items.append(item)
            if len(items) >= _ITEMS_A_TURN:
                await in_thread(partial(spool.extend, items), RowCount())
                items = []
        await in_thread(partial(spool.extend, items), RowCount())
        return await in_thread(partial(spool.table, column=column), RowCount())

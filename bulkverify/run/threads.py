"""Reading and writing lists beside the event loop, so that it can be told how far that is, and stop it."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from threading import Event
from typing import Final, Self, TypeVar

import attrs

from bulkverify.lists import Table
from bulkverify.lists.tables import Digest

T = TypeVar("T")

_TICK_SECONDS: Final = 0.2


class StoppedError(Exception):
    """Ends the work of a thread whose outcome nobody wants any more."""


@attrs.define(eq=False)
class RowCount:
    """How many rows have passed, and whether any more are wanted."""

    rows: int = 0
    stopped: Event = attrs.field(factory=Event)

    def passed(self, batch: list[T]) -> list[T]:
        """Count a batch on its way."""
        if self.stopped.is_set():
            raise StoppedError
        self.rows += len(batch)
        return batch


@attrs.frozen(kw_only=True)
class Counted(Table):
    """A list whose rows are counted while they are read."""

    inner: Table
    counter: RowCount

    @classmethod
    def of(cls, table: Table, counter: RowCount) -> Self:
        """Count the rows of a list."""
        return cls(
            title=table.title,
            names=table.names,
            column=table.column,
            delimiter=table.delimiter,
            newline=table.newline,
            inner=table,
            counter=counter,
        )

    @property
    def short(self) -> int:
        """How many rows had fewer cells than the list has columns."""
        return self.inner.short

    def batches(self, digest: Digest | None = None) -> Iterator[list[list[str]]]:
        """Read the rows in order."""
        return map(self.counter.passed, self.inner.batches(digest))

    def objects(self, digest: Digest | None = None) -> Iterator[list[str]]:
        """Read the rows as JSON objects."""
        return map(self.counter.passed, self.inner.objects(digest))

    def pieces(self) -> Iterator[bytes]:
        """Read everything that the rows depend on."""
        for piece in self.inner.pieces():
            self.counter.passed([])
            yield piece

    def described(self) -> str:
        """Say how the list is read."""
        return self.inner.described()


async def in_thread(
    work: Callable[[], T], counter: RowCount, tick: Callable[[int], None] | None = None
) -> T:
    """Do something in a thread, and come back only when it has ended: well, badly, or told to stop.

    Args:
        work: reads or writes rows that `counter` counts.
        counter: is told to stop when this call is cancelled, or `tick` raises.
        tick: called now and then with the number of rows so far.
    """
    thread = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        while not (await asyncio.wait({thread}, timeout=_TICK_SECONDS))[0]:
            if tick is not None:
                tick(counter.rows)
    except BaseException:
        counter.stopped.set()
        while not thread.done():  # nobody may take its files away from under it
            with suppress(asyncio.CancelledError):
                await asyncio.wait({thread})
        if not thread.cancelled():
            thread.exception()  # nobody wants to know any more
        raise
    return thread.result()

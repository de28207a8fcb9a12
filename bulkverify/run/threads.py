"""Read and write lists in threads, count the rows meanwhile, and stop the threads early."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from threading import Event, Thread
from typing import Final, ParamSpec, Self, TypeVar

import attrs

from bulkverify.lists import Table
from bulkverify.lists.stopping import StoppedError, stop_with
from bulkverify.lists.tables import Digest

P = ParamSpec("P")
T = TypeVar("T")

_TICK_SECONDS: Final = 0.2
_GRACE_SECONDS: Final = 2.0
"""How long a reading thread has to stop before it is left behind."""


@attrs.define(eq=False)
class RowCount:
    """Counts the rows that have passed, and stops the thread that reads them."""

    rows: int = 0
    stopped: Event = attrs.field(factory=Event)

    def passed(self, batch: list[T]) -> list[T]:
        """Count a batch, and return it."""
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
        """Read all bytes that the rows depend on."""
        for piece in self.inner.pieces():
            self.counter.passed([])
            yield piece

    def described(self) -> str:
        """Describe how the list is read."""
        return self.inner.described()


class _Threads(Executor):
    """Runs each call in a daemon thread of its own, so that the loop and the process can end."""

    def submit(self, work: Callable[P, T], /, *args: P.args, **options: P.kwargs) -> Future[T]:
        """Start the thread."""
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()
        call = partial(work, *args, **options)
        Thread(target=_run, args=(call, future), name="bulkverify list", daemon=True).start()
        return future


def _run(call: Callable[[], T], future: Future[T]) -> None:
    try:
        outcome = call()
    except StopIteration as error:  # asyncio can't raise this one in a task
        future.set_exception(RuntimeError(f"The list raised StopIteration({error})"))
    except BaseException as error:  # noqa: BLE001 - raised where the call is awaited
        future.set_exception(error)
    else:
        future.set_result(outcome)


_THREADS: Final = _Threads()


async def in_thread(
    work: Callable[[], T],
    counter: RowCount | None = None,
    tick: Callable[[int], None] | None = None,
    *,
    leave: bool = False,
) -> T:
    """Do some work in a thread, and return only when the thread has ended.

    Args:
        work: reads or writes rows.
        counter: counts the rows; it stops the work when this call is cancelled or `tick` raises.
        tick: called now and then with the number of rows so far.
        leave: return even if the thread does not stop in time, because a read may block for ever.
            The thread writes nothing more: `checkpoint` stops it when the read returns.
    """
    counter = counter or RowCount()
    context = copy_context()
    context.run(stop_with, counter.stopped)
    loop = asyncio.get_running_loop()
    thread = loop.run_in_executor(_THREADS, partial(context.run, work))
    try:
        while not (await asyncio.wait({thread}, timeout=_TICK_SECONDS))[0]:
            if tick is not None:
                tick(counter.rows)
    except BaseException:
        counter.stopped.set()
        deadline = loop.time() + _GRACE_SECONDS if leave else None
        while not thread.done():  # its files must not be deleted while it writes
            left = None if deadline is None else deadline - loop.time()
            if left is not None and left <= 0:
                thread.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.wait({thread}, timeout=left)
        if not thread.cancelled():
            thread.exception()  # marks the error as seen
        raise
    return thread.result()

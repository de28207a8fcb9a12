"""Read and write lists in threads, count the rows meanwhile, and stop the threads early."""

import asyncio
from collections.abc import AsyncIterable, Callable
from concurrent.futures import Executor, Future
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from threading import Thread
from typing import Final, ParamSpec, TypeVar

from bulkverify.lists.stopping import COUNTER, RowCount

P = ParamSpec("P")
T = TypeVar("T")

_TICK_SECONDS: Final = 0.2
_ITEMS_A_TURN: Final = 1000
_GRACE_SECONDS: Final = 2.0
"""How long a blocked thread has to stop before it is abandoned."""


class _Threads(Executor):
    """Runs each call in its own daemon thread, so that a blocked one holds up neither the loop nor the process."""

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
    work: Callable[[], T], tick: Callable[[int], None] | None = None, *, leave: bool = False
) -> T:
    """Do some work in a thread, and return only when the thread has ended.

    Args:
        work: reads or writes rows. It stops when this call is cancelled or `tick` raises.
        tick: called now and then with the number of rows so far.
        leave: return even if the thread does not stop in time, because a read may block for ever.
            The thread writes nothing more: `checkpoint` stops it when the read returns.
    """
    counter = RowCount()
    context = copy_context()
    context.run(COUNTER.set, counter)
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


async def drain(source: AsyncIterable[T], take: Callable[[list[T]], object]) -> None:
    """Give all items of an async iterable to `take`, many at a time, in bounded memory and in threads."""
    items: list[T] = []
    async for item in source:
        items.append(item)
        if len(items) >= _ITEMS_A_TURN:
            await in_thread(partial(take, items))
            items = []
    await in_thread(partial(take, items))

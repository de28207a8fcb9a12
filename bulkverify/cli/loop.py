"""The event loop of a command, which a signal cancels.

It is not in `interrupts` because asyncio is slow to import, and `--help` does not need it.
"""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor

from bulkverify.cli.interrupts import Interrupted, Interrupts


def run_until_interrupted(
    coroutine: Coroutine[object, object, object], interrupts: Interrupts
) -> None:
    """Run a coroutine in a new event loop, and cancel it when the command has to end.

    Raises:
        Interrupted: a signal came, and the coroutine has ended.
        BaseException: the reason given to `Interrupts.end`, once the coroutine has ended.
    """
    try:
        asyncio.run(_supervise(coroutine, interrupts))
    except BaseException:
        if interrupts.reason is not None:
            raise interrupts.reason from None
        raise
    finally:
        coroutine.close()  # a signal may have come before it ran
    # The coroutine has ended, so a late signal has nothing to cancel. Other reasons still count.
    if interrupts.reason is not None and not isinstance(interrupts.reason, Interrupted):
        raise interrupts.reason


async def _supervise(coroutine: Coroutine[object, object, object], interrupts: Interrupts) -> None:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None  # noqa: S101 - this runs in one
    loop.set_default_executor(_Threads(interrupts))
    with interrupts.cancelling(lambda: loop.call_soon_threadsafe(task.cancel)):
        await coroutine


class _Threads(ThreadPoolExecutor):
    """The loop's threads. After a signal it leaves blocked ones behind, such as a name lookup."""

    def __init__(self, interrupts: Interrupts) -> None:
        super().__init__(thread_name_prefix="bulkverify")
        self._interrupts = interrupts

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002 - as inherited
        wait = wait and self._interrupts.reason is None
        super().shutdown(wait=wait, cancel_futures=cancel_futures)

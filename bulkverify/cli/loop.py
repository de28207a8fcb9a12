"""The event loop of a command, which a signal cancels, and its log on stderr.

This is not in `interrupts` because asyncio is slow to import, and `--help` does not need it.
"""

import asyncio
import logging
import sys
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from bulkverify.cli.interrupts import Interrupted, Interrupts, end_command
from bulkverify.cli.output import OutputClosedError, write


def run_until_interrupted(
    coroutine: Coroutine[object, object, object], interrupts: Interrupts
) -> None:
    """Run a coroutine in a new event loop. If the command has to end, cancel it, then raise the reason."""
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
    """The loop's threads. After a signal, it does not wait for blocked ones, such as name lookups."""

    def __init__(self, interrupts: Interrupts) -> None:
        super().__init__(thread_name_prefix="bulkverify")
        self._interrupts = interrupts

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002 - as inherited
        wait = wait and self._interrupts.reason is None
        super().shutdown(wait=wait, cancel_futures=cancel_futures)


class _StderrHandler(logging.Handler):
    """Writes to the current `sys.stderr`, which a progress bar replaces while it is shown.

    It never raises, because an error would break the code that logs. If the reader of the log went away, or a
    signal came during the write, it ends the command.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        try:
            write(sys.stderr, self.format(record))
        except (OutputClosedError, Interrupted, SystemExit) as error:  # rich raises SystemExit
            end_command(error)
        except Exception:  # noqa: BLE001, S110 - such as a full disk; the command continues
            pass


@contextmanager
def shown_log(verbose: int) -> Iterator[None]:
    """Show the package's log while the block runs: 1 is INFO, 2 is DEBUG."""
    if not verbose:
        yield
        return
    logger, handler = logging.getLogger("bulkverify"), _StderrHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger.addHandler(handler)
    logger.setLevel("INFO" if verbose == 1 else "DEBUG")
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)

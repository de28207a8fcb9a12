"""Ctrl-C and SIGTERM: the first ends the command in order, the second ends the process at once."""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from types import FrameType, TracebackType
from typing import Final, NoReturn, Self, TypeAlias

Handler: TypeAlias = Callable[[int, FrameType | None], object] | int | None

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_CODES: Final = {signal.SIGINT: 130, signal.SIGTERM: 143}
_SHOW_CURSOR: Final = b"\r\x1b[K\x1b[?25h"  # a progress bar hides it


class Interrupted(KeyboardInterrupt):
    """The process was told to stop, by the signal `signum`."""

    def __init__(self, signum: int = signal.SIGINT) -> None:
        """Say by which signal."""
        super().__init__(signum)
        self.signum = signum


class Interrupts:
    """What ends a command early: the signals, and a log that has lost its reader; used as a context.

    The first signal cancels what the event loop runs. Where no loop runs, or a call blocks it, it
    raises `Interrupted` there. The second signal waits for nothing.
    """

    def __init__(self) -> None:
        """Prepare it; the signals do as before."""
        self._reason: BaseException | None = None
        self._cancel: Callable[[], object] | None = None
        self._blocking = False
        self._before: dict[int, Handler] = {}

    def __enter__(self) -> Self:
        """Take the signals over."""
        _ACTIVE.append(self)
        self._before = {signum: signal.signal(signum, self._handle) for signum in _SIGNALS}
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Give the signals back."""
        for signum, handler in self._before.items():
            signal.signal(signum, handler)
        _ACTIVE.remove(self)

    @property
    def interrupted(self) -> bool:
        """Whether the command was told to end."""
        return self._reason is not None

    def run(self, coroutine: Coroutine[object, object, object]) -> None:
        """Run a coroutine in a new event loop, and cancel it when the command is told to end.

        Raises:
            Interrupted: a signal came, and the coroutine has ended.
            BaseException: what `end` was given, likewise.
        """
        try:
            asyncio.run(self._supervise(coroutine))
        except BaseException:
            if self._reason is not None:
                raise self._reason from None
            raise
        finally:
            coroutine.close()  # a signal may have come before it ran
        self.finish()

    def finish(self) -> None:
        """Raise what `end` was given; a signal that came too late to cancel anything is forgotten."""
        if self._reason is not None and not isinstance(self._reason, Interrupted):
            raise self._reason

    def end(self, reason: BaseException) -> None:
        """Cancel what the event loop runs; `reason` is raised when it has ended."""
        self._reason = self._reason or reason
        if self._cancel is not None:
            self._cancel()

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Let a signal raise `Interrupted` in a call that blocks the event loop."""
        self._blocking, before = True, self._blocking
        try:
            yield
        finally:
            self._blocking = before

    async def _supervise(self, coroutine: Coroutine[object, object, object]) -> None:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None  # noqa: S101 - this is one
        loop.set_default_executor(_Threads(self))
        self._cancel = lambda: loop.call_soon_threadsafe(task.cancel)
        try:
            await coroutine
        finally:
            self._cancel = None

    def _handle(self, signum: int, _: FrameType | None) -> None:
        if isinstance(self._reason, Interrupted):
            _leave_at_once(signum)
        self._reason = Interrupted(signum)
        if self._cancel is None or self._blocking:
            raise self._reason
        self._cancel()


_ACTIVE: Final[list[Interrupts]] = []


@contextmanager
def interrupting_at_once() -> Iterator[None]:
    """Let a signal end a call that blocks the event loop, such as a prompt or a write to a full pipe.

    Raises:
        Interrupted: a signal came.
    """
    with ExitStack() as stack:
        if _ACTIVE and threading.current_thread() is threading.main_thread():
            stack.enter_context(_ACTIVE[-1].at_once())
        yield


def end_command(reason: BaseException) -> None:
    """End the command from where nothing may be raised, as in a log handler."""
    if _ACTIVE:
        _ACTIVE[-1].end(reason)


class _Threads(ThreadPoolExecutor):
    """The loop's threads; after a signal one that blocks, as in a name server's silence, is left behind."""

    def __init__(self, interrupts: Interrupts) -> None:
        super().__init__(thread_name_prefix="bulkverify")
        self._interrupts = interrupts

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002 - as inherited
        super().shutdown(
            wait=wait and not self._interrupts.interrupted, cancel_futures=cancel_futures
        )


def _leave_at_once(signum: int) -> NoReturn:
    """End the process without waiting for threads or files; the terminal gets its cursor back."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_DFL)  # should even the write block
    with suppress(Exception):
        if sys.stderr.isatty():
            os.write(sys.stderr.fileno(), _SHOW_CURSOR)
    os._exit(_CODES[signal.Signals(signum)])

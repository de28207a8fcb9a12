"""Ctrl-C and SIGTERM: the first ends the command cleanly, the second ends the process at once."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from types import FrameType
from typing import Final, NoReturn, Self, TypeAlias

Handler: TypeAlias = Callable[[int, FrameType | None], object] | int | None

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_CODES: Final = {signal.SIGINT: 130, signal.SIGTERM: 143}
_SHOW_CURSOR: Final = b"\r\x1b[K\x1b[?25h"  # a progress bar hides it


class Interrupted(KeyboardInterrupt):
    """The signal `signum` told the process to stop."""

    def __init__(self, signum: int = signal.SIGINT) -> None:
        super().__init__(signum)
        self.signum = signum


class Interrupts:
    """A context manager that ends a command on a signal, or when the reader of its log went away.

    The first signal cancels the event loop's work. It raises `Interrupted` where no loop runs, and
    in a call that blocks the loop. The second signal ends the process at once.
    """

    def __init__(self) -> None:
        self.reason: BaseException | None = None
        """Why the command has to end, or `None`."""
        self._cancel: Callable[[], object] | None = None
        self._blocking = False
        self._before: dict[int, Handler] = {}

    def __enter__(self) -> Self:
        _ACTIVE.append(self)
        self._before = {signum: signal.signal(signum, self._handle) for signum in _SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for signum, handler in self._before.items():
            signal.signal(signum, handler)
        _ACTIVE.remove(self)

    def end(self, reason: BaseException) -> None:
        """Cancel the event loop's work; `reason` is raised when it has ended."""
        self.reason = self.reason or reason
        if self._cancel is not None:
            self._cancel()

    @contextmanager
    def cancelling(self, cancel: Callable[[], object]) -> Iterator[None]:
        """Call `cancel` instead of raising when the command has to end."""
        self._cancel = cancel
        try:
            yield
        finally:
            self._cancel = None

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Raise `Interrupted` in a call that blocks the event loop."""
        self._blocking, before = True, self._blocking
        try:
            yield
        finally:
            self._blocking = before

    def _handle(self, signum: int, _: FrameType | None) -> None:
        if isinstance(self.reason, Interrupted):
            _leave_at_once(signum)
        self.reason = Interrupted(signum)
        if self._cancel is None or self._blocking:
            raise self.reason
        self._cancel()


_ACTIVE: Final[list[Interrupts]] = []


@contextmanager
def interrupting_at_once() -> Iterator[None]:
    """Let a signal raise `Interrupted` in a call that blocks the event loop, such as a prompt."""
    with ExitStack() as stack:
        if _ACTIVE and threading.current_thread() is threading.main_thread():
            stack.enter_context(_ACTIVE[-1].at_once())
        yield


def end_command(reason: BaseException) -> None:
    """End the command from code that must not raise, such as a log handler."""
    if _ACTIVE:
        _ACTIVE[-1].end(reason)


def _leave_at_once(signum: int) -> NoReturn:
    """End the process without waiting for threads or files, but show the cursor again."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_DFL)  # in case the write below blocks
    with suppress(Exception):
        if sys.stderr.isatty():
            os.write(sys.stderr.fileno(), _SHOW_CURSOR)
    os._exit(_CODES[signal.Signals(signum)])

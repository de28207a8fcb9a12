"""Ctrl-C and SIGTERM: the first cancels what is being awaited, so that everything is closed in order."""

import asyncio
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn, TypeVar

T = TypeVar("T")
Handler = Callable[[int, FrameType | None], None]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(KeyboardInterrupt):
    """The process was told to stop, by the signal `signum`."""

    def __init__(self, signum: int = signal.SIGINT) -> None:
        """Say by which signal."""
        super().__init__(signum)
        self.signum = signum


def run_interruptibly(coroutine: Coroutine[object, object, T]) -> T:
    """Run a coroutine in a new event loop, and stop it on a signal; a second one does not wait.

    Raises:
        Interrupted: a signal came, and the coroutine has ended.
    """
    caught: list[int] = []
    cancel: Callable[[], object] | None = None

    async def supervise() -> T:
        nonlocal cancel
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None  # noqa: S101 - this is one
        cancel = lambda: loop.call_soon_threadsafe(task.cancel)  # noqa: E731 - for the handler
        return await coroutine

    def stop(signum: int, frame: FrameType | None) -> None:
        caught.append(signum)
        if cancel is None or len(caught) > 1:
            _raise(signum, frame)
        cancel()

    with _handling(stop):
        try:
            return asyncio.run(supervise())
        except BaseException:
            if caught:
                raise Interrupted(caught[0]) from None
            raise


@contextmanager
def interrupting_at_once() -> Iterator[None]:
    """Let a signal end a call that blocks the event loop, such as a prompt."""
    with _handling(_raise):
        yield


def _raise(signum: int, _: FrameType | None) -> NoReturn:
    raise Interrupted(signum)


@contextmanager
def _handling(handler: Handler) -> Iterator[None]:
    before = {signum: signal.signal(signum, handler) for signum in _SIGNALS}
    try:
        yield
    finally:
        for signum, previous in before.items():
            signal.signal(signum, previous)

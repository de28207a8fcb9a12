"""An event loop's time that jumps to the next timer whenever nothing else is left to do.

Sockets stay real, and what is on its way through one is waited for. So are the loop's threads: while
one of them works, time passes as it does elsewhere. What the loop can't know of is overtaken: a
subprocess, or a thread that somebody started by other means.
"""

import asyncio
import math
import selectors
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, cast

from bulkverify.testing.wires import Wires, listening_port

_LOOK_AGAIN: Final = 0.02
"""How long to wait for what is on its way before looking again, in real seconds."""

_PATIENCE: Final = 0.02
"""How long those get to say something who are not of this process, before the clock jumps."""

LONGEST: Final = 400 * 86400.0
"""After so many seconds a test is not slow, but waits for what never comes."""

# What is so much early is due. The loop's own measure, a nanosecond, is lost in the rounding of a time that
# counts months, and then a timer that is due would never be seen to be.
_RESOLUTION: Final = 1e-6


class StillWaitingError(RuntimeError):
    """The clock has jumped for more than a year, and what was waited for has not come."""


class VirtualClock:
    """The time of one event loop; made by `virtual_clock`.

    Attributes:
        now: the loop's time, in seconds.
        skipped: how many seconds it has jumped in all.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin where the loop's own clock is.

        Raises:
            TypeError: the loop does not wait in a selector, or not in Python.
        """
        if not isinstance(loop, asyncio.SelectorEventLoop):
            raise TypeError(
                f"The virtual clock needs asyncio's own SelectorEventLoop, and this is a "
                f"{type(loop).__module__}.{type(loop).__qualname__}. Without the virtual clock a "
                "quicker sandbox serves: `virtual=False, speed=600`."
            )
        self.now = loop.time()
        self.skipped = 0.0
        self._loop = cast("Any", loop)  # its private parts are used
        self._selector: selectors.BaseSelector = self._loop._selector  # noqa: SLF001
        self._wires = Wires()
        self._under_way = 0  # threads at work, and connections that are being made
        self._resolution: float = self._loop._clock_resolution  # noqa: SLF001
        self._longest = LONGEST

    def install(self) -> None:
        """Take the loop's time over."""
        loop = self._loop
        make_transport, run_in_executor = loop._make_socket_transport, loop.run_in_executor  # noqa: SLF001
        connect = loop.sock_connect

        def watched(sock: Any, *args: Any, **options: Any) -> Any:  # noqa: ANN401 - handed on
            self._wires.watch(sock)
            return make_transport(sock, *args, **options)

        def counted(*args: Any) -> Any:  # noqa: ANN401 - likewise
            future = run_in_executor(*args)
            self._under_way += 1
            future.add_done_callback(self._arrived)
            return future

        async def connected(*args: Any) -> None:  # noqa: ANN401 - likewise
            self._under_way += 1
            try:
                await connect(*args)
            finally:
                self._under_way -= 1

        loop.time = lambda: self.now
        loop._clock_resolution = _RESOLUTION  # noqa: SLF001
        loop.run_in_executor = counted
        loop.sock_connect = connected
        loop._make_socket_transport = watched  # noqa: SLF001
        loop._selector = _JumpingSelector(self._selector, self.select)  # noqa: SLF001

    def remove(self) -> None:
        """Let time pass as it does elsewhere, from where it is now: it never goes back."""
        loop = self._loop
        del loop.run_in_executor, loop.sock_connect, loop._make_socket_transport  # noqa: SLF001
        loop._selector, loop._clock_resolution = self._selector, self._resolution  # noqa: SLF001
        ahead = self.now - time.monotonic()
        loop.time = lambda: time.monotonic() + ahead

    def select(self, timeout: float | None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready; if nothing is, and nothing is about to be, let the time pass at once."""
        ready = self._selector.select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if timeout is None:
            return self._selector.select(None)
        if self._under_way or self._wires.busy(self._reads, self._listens):
            return self._wait(min(timeout, _LOOK_AGAIN))
        if self._wires.foreign:
            before = self.now
            ready = self._wait(min(timeout, _PATIENCE))
            timeout -= self.now - before
            if ready or timeout <= 0:
                return ready
        self.now += timeout
        self.skipped += timeout
        if self.skipped > self._longest:
            self._longest = math.inf
            raise StillWaitingError(
                f"The clock has jumped for {self.skipped / 86400:.0f} days in all, and something is still "
                "being waited for that never comes. A wait with a `timeout` says what it is."
            )
        return []

    def _wait(self, seconds: float) -> list[tuple[selectors.SelectorKey, int]]:
        began = time.monotonic()
        ready = self._selector.select(seconds)
        self.now += min(time.monotonic() - began, seconds)
        return ready

    def _reads(self, fd: int) -> bool:
        key = self._selector.get_map().get(fd)
        return key is not None and bool(key.events & selectors.EVENT_READ)

    def _listens(self, port: int) -> bool:
        return any(listening_port(key.fd) == port for key in self._selector.get_map().values())

    def _arrived(self, _: object) -> None:
        self._under_way -= 1


class _JumpingSelector:
    """A selector that leaves it to the clock how long to wait."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        select: Callable[[float | None], list[tuple[selectors.SelectorKey, int]]],
    ) -> None:
        self._selector = selector
        self.select = select

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever a selector has
        return getattr(self._selector, name)


@contextmanager
def virtual_clock() -> Iterator[VirtualClock]:
    """Let the time of the running event loop jump over all waiting, until the block is left.

    The sandbox, the client's waits, `asyncio.sleep` and `asyncio.timeout` all go by the loop's time;
    `time.time` and `datetime.now` don't. It has to be entered before the sandbox is started.

    Raises:
        RuntimeError: no event loop runs, or its time is virtual already.
        TypeError: the loop is none of asyncio's own.
    """
    loop = asyncio.get_running_loop()
    if isinstance(getattr(loop, "_selector", None), _JumpingSelector):
        raise RuntimeError("The time of this event loop is virtual already")  # noqa: TRY004
    clock = VirtualClock(loop)
    clock.install()
    try:
        yield clock
    finally:
        clock.remove()

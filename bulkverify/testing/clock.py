"""A clock for an event loop. When the loop is idle, the clock jumps to the next timer.

Sockets are real, and the clock waits for bytes in flight. It also waits, in real time, for the loop's
own threads. It does not see subprocesses and other threads, and jumps while they work.
"""

import asyncio
import math
import selectors
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, cast

from bulkverify.testing.wires import Wires, listening_port

_RECHECK_SECONDS: Final = 0.02
"""How many real seconds to wait for bytes or threads before checking again."""

_FOREIGN_SECONDS: Final = 0.02
"""How many real seconds other processes get to answer before the clock jumps."""

LONGEST_SECONDS: Final = 400 * 86400.0
"""After this many virtual seconds a wait counts as endless."""

# Timers are due this many seconds early. The loop's own value, a nanosecond, is lost in rounding after
# some virtual months, and timers would never be due.
_RESOLUTION: Final = 1e-6


class StillWaitingError(RuntimeError):
    """The clock has jumped for more than a year, and a wait has still not ended."""


class VirtualClock:
    """The time of one event loop; made by `virtual_clock`."""

    now: float
    """The loop's time, in seconds."""
    skipped: float
    """How many seconds it has jumped in all."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        if not isinstance(loop, asyncio.SelectorEventLoop):
            raise TypeError(
                f"The virtual clock needs asyncio's own SelectorEventLoop, but this is a "
                f"{type(loop).__module__}.{type(loop).__qualname__}. Use a faster sandbox instead: "
                "`virtual=False, speed=600`."
            )
        self.now = loop.time()
        self.skipped = 0.0
        self._loop = cast("Any", loop)  # for its private attributes
        self._selector: selectors.BaseSelector = self._loop._selector  # noqa: SLF001
        self._wires = Wires()
        self._pending = 0  # working threads, and connections that are being opened
        self._resolution: float = self._loop._clock_resolution  # noqa: SLF001
        self._longest = LONGEST_SECONDS

    def install(self) -> None:
        """Replace the loop's time."""
        loop = self._loop
        make_transport, run_in_executor = loop._make_socket_transport, loop.run_in_executor  # noqa: SLF001
        connect = loop.sock_connect

        def watched(sock: Any, *args: Any, **options: Any) -> Any:  # noqa: ANN401 - passed on
            self._wires.watch(sock)
            return make_transport(sock, *args, **options)

        def counted(*args: Any) -> Any:  # noqa: ANN401 - likewise
            future = run_in_executor(*args)
            self._pending += 1
            future.add_done_callback(self._finished)
            return future

        async def connected(*args: Any) -> None:  # noqa: ANN401 - likewise
            self._pending += 1
            try:
                await connect(*args)
            finally:
                self._pending -= 1

        loop.time = lambda: self.now
        loop._clock_resolution = _RESOLUTION  # noqa: SLF001
        loop.run_in_executor = counted
        loop.sock_connect = connected
        loop._make_socket_transport = watched  # noqa: SLF001
        loop._selector = _JumpingSelector(self._selector, self.select)  # noqa: SLF001

    def remove(self) -> None:
        """Restore real time; the loop's time continues from where it is."""
        loop = self._loop
        del loop.run_in_executor, loop.sock_connect, loop._make_socket_transport  # noqa: SLF001
        loop._selector, loop._clock_resolution = self._selector, self._resolution  # noqa: SLF001
        ahead = self.now - time.monotonic()
        loop.time = lambda: time.monotonic() + ahead

    def select(self, timeout: float | None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return the ready files; if there are none and nothing is in flight, jump ahead."""
        ready = self._selector.select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if timeout is None:
            return self._selector.select(None)
        if self._pending or self._wires.busy(self._reads, self._listens):
            return self._wait(min(timeout, _RECHECK_SECONDS))
        if self._wires.foreign:
            before = self.now
            ready = self._wait(min(timeout, _FOREIGN_SECONDS))
            timeout -= self.now - before
            if ready or timeout <= 0:
                return ready
        self.now += timeout
        self.skipped += timeout
        if self.skipped > self._longest:
            self._longest = math.inf
            raise StillWaitingError(
                f"The clock has jumped {self.skipped / 86400:.0f} days in all, and a wait has still not "
                "ended. Give it a `timeout`, so that its error says what it waits for."
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

    def _finished(self, _: object) -> None:
        self._pending -= 1


class _JumpingSelector:
    """A selector that lets the clock decide how long to wait."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        select: Callable[[float | None], list[tuple[selectors.SelectorKey, int]]],
    ) -> None:
        self._selector = selector
        self.select = select

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - any attribute
        return getattr(self._selector, name)


@contextmanager
def virtual_clock() -> Iterator[VirtualClock]:
    """Make the time of the running event loop jump over waits until the block ends.

    The sandbox, the client's waits, `asyncio.sleep` and `asyncio.timeout` use the loop's time;
    `time.time` and `datetime.now` do not. Enter it before you start the sandbox.

    Raises:
        RuntimeError: no event loop runs, or its time is already virtual.
        TypeError: the loop is not asyncio's own selector loop.
    """
    loop = asyncio.get_running_loop()
    if isinstance(getattr(loop, "_selector", None), _JumpingSelector):
        raise RuntimeError("The time of this event loop is already virtual")  # noqa: TRY004
    clock = VirtualClock(loop)
    clock.install()
    try:
        yield clock
    finally:
        clock.remove()

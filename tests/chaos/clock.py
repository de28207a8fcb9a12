"""An event loop whose clock jumps over waits; its sockets and threads are real."""

import asyncio
import selectors
from collections.abc import Callable
from typing import Any

# Jump a little further than asked, so that rounding cannot leave the next timer not due.
_HAIR = 1e-9
_GRACE = 0.0002
"""How many real seconds bytes on loopback get to arrive before the clock jumps."""
_LOOK_AGAIN = 0.01


class _JumpingSelector(selectors.DefaultSelector):
    """Waits only for threads and for bytes on their way."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.threads_at_work = 0

    def select(self, timeout: float | None = None) -> list[Any]:
        ready: list[Any] = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if timeout is None or self.threads_at_work:
            return super().select(_LOOK_AGAIN)
        ready = super().select(_GRACE)
        if not ready:
            self.now += timeout + _HAIR
        return ready


class JumpingLoop(asyncio.SelectorEventLoop):
    """A loop whose time begins at 0 and whose waits take no real time."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now

    def run_in_executor(  # type: ignore[override]
        self,
        executor: Any,  # noqa: ANN401 - passed on
        func: Callable[..., Any],
        *args: Any,  # noqa: ANN401 - likewise
    ) -> Any:  # noqa: ANN401 - likewise
        future = super().run_in_executor(executor, func, *args)
        self._jumping.threads_at_work += 1
        future.add_done_callback(self._done)
        return future

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        # From Python 3.12 on this has a timeout, which the clock would jump to.
        self._jumping.threads_at_work += 1
        try:
            await super().shutdown_default_executor(*(() if timeout is None else (timeout,)))
        finally:
            self._jumping.threads_at_work -= 1

    def _done(self, _: object) -> None:
        self._jumping.threads_at_work -= 1

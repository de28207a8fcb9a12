"""What only time heals: an account that is full of lists, and a service that can't be reached."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from bulkverify.errors import (
    BulkVerifyError,
    ConnectionFailedError,
    ListLimitError,
    RateLimitedError,
    RequestTimeoutError,
    ServerError,
    StartUncertainError,
)
from bulkverify.logs import SafeLogger

T = TypeVar("T")
_log: Final = SafeLogger(__name__)

FIRST_PAUSE: Final = 2.0
LONGEST_PAUSE: Final = 60.0
"""The seconds until the next attempt; they double from the first to the longest."""

LONGEST_OUTAGE: Final = 900.0
"""The seconds for which a service may be out of reach in the middle of a run, on top of the retries of
each request. Waits for a list that is there sit outages out by themselves."""

# None of these comes of an upload that may have arrived: that is an UploadUncertainError.
_OUTAGES: Final = (
    ConnectionFailedError,
    RateLimitedError,
    RequestTimeoutError,
    ServerError,
    StartUncertainError,
)


def now() -> float:
    """Tell the time that the pauses go by, which need not be that of the machine."""
    return asyncio.get_running_loop().time()


class Patience:
    """Makes attempts until one succeeds, fails for good, or the time is over."""

    def __init__(self, timeout: float | None) -> None:
        """Take the seconds after which there must be room; `None` for no limit."""
        self._timeout = timeout
        self._over = asyncio.Event()

    def one_is_over(self) -> None:
        """Tell those who wait for room that a list of ours has ended."""
        self._over.set()

    async def until_done(
        self, attempt: Callable[[], Awaitable[T]], held_up: Callable[[str], None]
    ) -> T:
        """Do what the account may have no room for, or the service may be out of reach for.

        Args:
            attempt: does it; can be repeated whenever it has failed in one of these ways.
            held_up: is told why there is a pause.

        Raises:
            ListLimitError: there has been no room until the timeout.
            BulkVerifyError: what the attempt raises for good, or in the end.
        """
        began = now()
        pause = FIRST_PAUSE
        while True:
            self._over.clear()
            try:
                return await attempt()
            except (ListLimitError, *_OUTAGES) as error:
                left = self._left(error, began)
                if left <= 0:
                    raise
                pause_now = min(pause, left)
                what = "room" if isinstance(error, ListLimitError) else "the service"
                _log.info("held up, next attempt in %.0f s at the latest: %s", pause_now, error)
                held_up(f"waits for {what}: {getattr(error, 'text', '') or error}")
            try:
                await asyncio.wait_for(self._over.wait(), pause_now)
            except TimeoutError:
                pause = min(2 * pause, LONGEST_PAUSE)

    def _left(self, error: BulkVerifyError, began: float) -> float:
        allowed = float("inf") if self._timeout is None else self._timeout
        if not isinstance(error, ListLimitError):
            allowed = min(allowed, LONGEST_OUTAGE)
        return allowed - (now() - began)

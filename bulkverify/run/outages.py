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
from bulkverify.service.logs import SafeLogger

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

    def __init__(self, timeout: float | None, *, reached: bool = True) -> None:
        """Start without a pause.

        Args:
            timeout: the seconds after which there must be room; `None` for no limit.
            reached: the service is known to be there. If it is not, a first request that can't even
                be sent is told at once: then the base URL may be wrong.
        """
        self._timeout = timeout
        self._reached = reached
        self._ends = 0
        self._pausing: set[asyncio.Future[None]] = set()

    def one_is_over(self) -> None:
        """Tell those who wait for room that a list of ours has ended."""
        self._ends += 1
        for pausing in self._pausing:
            if not pausing.done():
                pausing.set_result(None)

    async def until_done(
        self, attempt: Callable[[], Awaitable[T]], held_up: Callable[[str], None]
    ) -> T:
        """Do what the account may have no room for, or the service may be out of reach for.

        No attempt is made earlier than the service asked for in `Retry-After`. Where that is later
        than the time is over, the error is raised at once.

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
            ends = self._ends
            try:
                done = await attempt()
            except ListLimitError as error:
                self._reached = True
                pause_now = self._told(error, pause, began, held_up)
                # A list that ended during the attempt may have made room since it was refused.
                if self._ends != ends or await self._an_end(pause_now):
                    continue
            except _OUTAGES as error:
                if not self._reached and not getattr(error, "sent", True):
                    raise
                self._reached = True
                await asyncio.sleep(self._told(error, pause, began, held_up))
            else:
                self._reached = True
                return done
            pause = min(2 * pause, LONGEST_PAUSE)

    def _told(
        self,
        error: BulkVerifyError,
        pause: float,
        began: float,
        held_up: Callable[[str], None],
    ) -> float:
        """Say why there is a pause and return its seconds; raise the error if there is no time for it."""
        room = isinstance(error, ListLimitError)
        allowed = float("inf") if self._timeout is None else self._timeout
        if not room:
            allowed = min(allowed, LONGEST_OUTAGE)
        left = allowed - (now() - began)
        asked = _asked_for(error)
        if left <= 0 or asked > left:
            raise error
        pause = max(asked, min(pause, left))
        _log.info("held up, next attempt in %.0f s at the latest: %s", pause, error)
        held_up(
            f"waits for {'room' if room else 'the service'}: {getattr(error, 'text', '') or error}"
        )
        return pause

    async def _an_end(self, seconds: float) -> bool:
        """Pause; return early, and `True`, when a list of ours ends."""
        pausing = asyncio.get_running_loop().create_future()
        self._pausing.add(pausing)
        try:
            await asyncio.wait({pausing}, timeout=seconds)
            return pausing.done()
        finally:
            self._pausing.discard(pausing)


def _asked_for(error: BaseException) -> float:
    """Return the pause that the service asked for, also where that is only the cause of an error."""
    said = (error, error.__cause__)
    return max(getattr(one, "retry_after", None) or 0.0 for one in said)

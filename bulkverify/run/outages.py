"""Wait for room on the account, or for the service to come back."""

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
LAST_PAUSE: Final = 60.0
"""The seconds until the next attempt; they double from the first pause to the last."""

LONGEST_OUTAGE: Final = 900.0
"""The seconds for which the service may be out of reach in the middle of a run, on top of the retries of
each request. Waits for a list have their own timeout."""

# An upload that may have arrived raises UploadUncertainError instead.
_OUTAGES: Final = (
    ConnectionFailedError,
    RateLimitedError,
    RequestTimeoutError,
    ServerError,
    StartUncertainError,
)


def now() -> float:
    """Return the event loop's time."""
    return asyncio.get_running_loop().time()


class Outages:
    """Repeats attempts that fail because the account is full or the service is out of reach.

    Args:
        timeout: the most seconds to wait for room; `None` for no limit.
        reached: whether the service has answered before. Until it has, a request that can't be sent is
            not repeated, because the base URL may be wrong.
    """

    def __init__(self, timeout: float | None, *, reached: bool = True) -> None:
        self._timeout = timeout
        self._reached = reached
        self._ends = 0
        self._pausing: set[asyncio.Future[None]] = set()

    def list_ended(self) -> None:
        """Wake all attempts that wait for room: a list of this account has ended."""
        self._ends += 1
        for pausing in self._pausing:
            if not pausing.done():
                pausing.set_result(None)

    async def retry(self, attempt: Callable[[], Awaitable[T]], held_up: Callable[[str], None]) -> T:
        """Repeat the attempt until it succeeds, raises another error, or no time is left.

        Each attempt waits as long as `Retry-After` asks. If that is longer than the time left, the error
        is raised at once. `held_up` is called with the reason for each pause.
        """
        began = now()
        pause = FIRST_PAUSE
        while True:
            ends = self._ends
            try:
                done = await attempt()
            except ListLimitError as error:
                self._reached = True
                seconds = self._pause(error, pause, began, held_up)
                # A list that ended during the attempt may have made room.
                if self._ends != ends or await self._list_ends(seconds):
                    continue
            except _OUTAGES as error:
                if not self._reached and not getattr(error, "sent", True):
                    raise
                self._reached = True
                await asyncio.sleep(self._pause(error, pause, began, held_up))
            else:
                self._reached = True
                return done
            pause = min(2 * pause, LAST_PAUSE)

    def _pause(
        self,
        error: BulkVerifyError,
        pause: float,
        began: float,
        held_up: Callable[[str], None],
    ) -> float:
        """Report a pause and return its seconds, or raise the error if no time is left."""
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
            f"waits for {'room' if room else 'the service'}: {getattr(error, 'text', '') or error.message}"
        )
        return pause

    async def _list_ends(self, seconds: float) -> bool:
        """Pause; return early, and `True`, when a list of this account ends."""
        pausing = asyncio.get_running_loop().create_future()
        self._pausing.add(pausing)
        try:
            await asyncio.wait({pausing}, timeout=seconds)
            return pausing.done()
        finally:
            self._pausing.discard(pausing)


def _asked_for(error: BaseException) -> float:
    """Return the pause that the service asked for in an error or in its cause."""
    errors = (error, error.__cause__)
    return max(getattr(one, "retry_after", None) or 0.0 for one in errors)

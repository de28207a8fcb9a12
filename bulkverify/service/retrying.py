"""Retrying requests: after which errors, how often, and after which pauses."""

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    stop_after_attempt,
    wait_exponential,
    wait_random,
)
from tenacity.wait import wait_base

from bulkverify.errors import (
    BulkVerifyError,
    ConnectionFailedError,
    IncompleteDownloadError,
    RateLimitedError,
    RequestTimeoutError,
    ServerError,
    UnreadableAnswerError,
    VerifyTimeoutError,
)
from bulkverify.service.logs import SafeLogger

T = TypeVar("T")
_log: Final = SafeLogger(__name__)

LONGEST_RETRY_AFTER: Final = 120.0
"""The longest `Retry-After` that a retry waits for, in seconds. After a longer one, the error is raised."""

_BACKOFF: Final = wait_exponential(multiplier=0.5, max=20.0) + wait_random(0.0, 0.5)


def may_repeat(error: BaseException, *, repeatable: bool) -> bool:
    """Return whether a request that ended in `error` may be sent again.

    A `repeatable` request is safe to send twice.
    """
    if isinstance(error, RateLimitedError | ServerError):
        patient = (error.retry_after or 0.0) <= LONGEST_RETRY_AFTER
        return patient and (repeatable or isinstance(error, RateLimitedError))
    if isinstance(error, VerifyTimeoutError):
        return True
    if isinstance(error, ConnectionFailedError | RequestTimeoutError):
        return repeatable or not error.sent
    return repeatable and isinstance(error, UnreadableAnswerError | IncompleteDownloadError)


class Retrying:
    """Repeats failed attempts, if `may_repeat` allows it and attempts are left."""

    def __init__(
        self, attempts: int, backoff: wait_base | None, on_repeat: Callable[[], None]
    ) -> None:
        """Keep the settings. `on_repeat` is called before each further attempt."""
        self._attempts = attempts
        self.backoff: wait_base = backoff or _BACKOFF  # the service may ask for a longer pause
        self._on_repeat = on_repeat

    async def __call__(
        self, attempt: Callable[[], Awaitable[T]], *, repeatable: bool, made: int = 0
    ) -> T:
        """Return the result of the first successful attempt, or raise the error of the last one.

        A request that is not `repeatable` is retried only if it certainly had no effect. Attempts
        `made` before this call count too.
        """
        try:
            return await attempt()
        except BulkVerifyError as error:
            if not (self._attempts > made + 1 and may_repeat(error, repeatable=repeatable)):
                raise
            failure: BulkVerifyError | None = error

        # The first attempt is made without tenacity, which would make a request a third slower. After
        # a failure, tenacity runs the loop, and its first attempt raises that failure again.
        async def replay_then_attempt() -> T:
            nonlocal failure
            if failure is not None:
                known, failure = failure, None
                raise known
            self._on_repeat()
            return await attempt()

        retrying = AsyncRetrying(
            stop=stop_after_attempt(self._attempts - made),
            wait=self._pause,
            retry=retry_if_exception(lambda error: may_repeat(error, repeatable=repeatable)),
            before_sleep=_log_retry,
            reraise=True,
        )
        return await retrying(replay_then_attempt)

    def _pause(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = getattr(error, "retry_after", None) or 0.0
        return max(asked, self.backoff(state))


def _log_retry(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    _log.info(
        "attempt %d failed, next in %.1f s: %s", state.attempt_number, state.upcoming_sleep, error
    )

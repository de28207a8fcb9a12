"""When to ask again: a tenacity wait strategy that follows the job's own progress.

Any other of tenacity's strategies can take its place, or be combined with it: `wait_until` hands
each of them a `PollState`, which is tenacity's own `RetryCallState` and a little more.
"""

import math
from typing import Final

from tenacity import AsyncRetrying, Future, RetryCallState
from tenacity.wait import wait_base

from bulkverify.errors import BulkVerifyError
from bulkverify.models import JobSnapshot

_UNUSED: Final = AsyncRetrying()  # RetryCallState wants to know who retries; here nobody does


class PollState(RetryCallState):
    """What a wait strategy can know of one wait: tenacity's fields, and the job's progress.

    As tenacity has it, `attempt_number` counts the polls, `seconds_since_start` is the time since the
    wait began, and `outcome` holds the last `JobSnapshot`, or the error that came in its place.

    Attributes:
        snapshot: the latest snapshot, also when the last poll failed.
        first_progress: (seconds, verified) of the first poll that showed any progress, in seconds
            since the wait began: negative where that was before.
        failures: how many polls have failed in a row.
    """

    def __init__(
        self,
        *,
        started_at: float,
        now: float,
        polls: int,
        outcome: JobSnapshot | BulkVerifyError,
        snapshot: JobSnapshot | None,
        first_progress: tuple[float, int] | None,
        failures: int,
    ) -> None:
        """Describe the moment after a poll; times are the event loop's."""
        super().__init__(retry_object=_UNUSED, fn=None, args=(), kwargs={})
        self.start_time = started_at
        self.outcome_timestamp = now
        self.attempt_number = polls
        self.outcome = Future.construct(polls, outcome, isinstance(outcome, BulkVerifyError))
        self.snapshot = snapshot
        self.first_progress = first_progress
        self.failures = failures


class wait_for_progress(wait_base):  # noqa: N801 - tenacity's strategies are written like this
    """Wait a share of the time that the rest of the list should take.

    While a list verifies, its rate since the first progress predicts the remainder. With nothing to
    see, the wait grows with the time waited so far. After a failed poll it doubles from `floor` on.

    Args:
        floor: the shortest wait, in seconds.
        ceiling: the longest wait, in seconds.
        share: of the predicted remainder, 0 to 1; less polls more often near the end.
        growth: share of the time waited so far, where there is no rate yet.
    """

    def __init__(
        self,
        *,
        floor: float = 1.0,
        ceiling: float = 120.0,
        share: float = 0.7,
        growth: float = 0.2,
    ) -> None:
        """Keep the settings."""
        if not 0 < floor <= ceiling < math.inf:
            message = (
                f"the floor must be above 0 and at most the ceiling, not {floor} and {ceiling}"
            )
            raise ValueError(message)
        self.floor = floor
        self.ceiling = ceiling
        self.share = share
        self.growth = growth

    def __call__(self, retry_state: RetryCallState) -> float:
        """Return the seconds until the next poll."""
        waited = max(0.0, retry_state.seconds_since_start or 0.0)
        # A wait that has only begun is impatient, whatever the forecast says.
        longest = min(self.ceiling, waited / 2)
        delay = self.growth * waited
        if isinstance(retry_state, PollState):
            if retry_state.failures:
                longest = min(self.ceiling, 30.0)
                delay = self.floor * 2.0 ** min(retry_state.failures - 1, 10)
            else:
                delay = self._forecast(retry_state, waited, delay)
        return max(self.floor, min(delay, longest))

    def _forecast(self, state: PollState, waited: float, growing: float) -> float:
        snapshot = state.snapshot
        if snapshot is None or snapshot.verified is None or snapshot.total is None:
            return min(growing, 60.0)
        remaining = snapshot.total - snapshot.verified
        if remaining <= 0:
            return self.floor
        if state.first_progress is None:
            return min(growing, 60.0)
        began, verified_then = state.first_progress
        verified, elapsed = snapshot.verified - verified_then, waited - began
        if verified <= 0 or elapsed <= 0:
            return min(growing, 60.0)
        return self.share * remaining * elapsed / verified

"""When to ask again: a tenacity wait strategy that follows the job's own progress.

Any other of tenacity's strategies can take its place, or be combined with it. `wait_until` gives each
of them a `PollState`, which is tenacity's own `RetryCallState` and a little more.
"""

import math
from collections.abc import Mapping
from random import random
from types import MappingProxyType
from typing import Final

from tenacity import AsyncRetrying, Future, RetryAction, RetryCallState
from tenacity.wait import wait_base

from bulkverify.errors import BulkVerifyError
from bulkverify.models import JobSnapshot

_UNUSED: Final = AsyncRetrying()  # RetryCallState requires it

# Polls g seconds apart cost 1 / g a second. An end that comes with the probability h a second is
# noticed h * g / 2 late. The sum is least where g is proportional to the root of 1 / h, and h is about
# 1 / x for an end that is due in x seconds, or has not come for x seconds. So these are factors of the
# root of a time, in seconds ** 0.5. They and the numbers below were found by a search over
# benchmarks/population.py.
_BLIND: Final = 3.3
_UNDER_WAY: Final = 2.0
_DUE: Final = 1.58

# Without progress, gaps beyond these cost more in lag than they save in polls.
_LONGEST_BLIND: Final = 67.0
_LONGEST_VERIFIED: Final = 92.0
_LONGEST_FAILING: Final = 30.0

# After the last address, most jobs complete within seconds.
_GROWTH_VERIFIED: Final = 0.65

# The rate of the last interval notices a change of pace, the rate since the beginning is steadier.
_RECENT: Final = 0.47

# A rise was not new when it was seen. Its age is unknown, up to the time since the rise before.
_AGE: Final = 0.25

# If there was only one rise, the verification began anywhere between the start of the wait and it.
_ONE_RISE: Final = 0.5
_OVERDUE: Final = 0.45


class Progress:
    """How far a job's counter has come: its first rise, its last, and the one before that.

    There is one for each job, given to every `PollState`. Each time is the event loop's, of the first
    poll that showed the number. Numbers are the highest so far: a counter that goes back and rises again
    has made no progress until it passes them.
    """

    __slots__ = ("first", "first_at", "previous", "previous_at", "verified", "verified_at")

    def __init__(self, at: float, verified: int) -> None:
        self.first_at: float = at
        self.first: int = verified
        self.previous_at: float = at
        self.previous: int = verified
        self.verified_at: float = at
        self.verified: int = verified

    def note(self, at: float, verified: int) -> None:
        """Take the number of a later poll."""
        if verified > self.verified and at > self.verified_at:
            self.previous_at, self.previous = self.verified_at, self.verified
            self.verified_at, self.verified = at, verified


class PollState(RetryCallState):
    """What a wait strategy is told about one wait: tenacity's fields, and the job's progress.

    `attempt_number` counts the polls, `seconds_since_start` is the time since the wait began, and
    `outcome` holds the last `JobSnapshot`, or the error that came in its place.
    """

    now: float
    """The event loop's time."""
    snapshot: JobSnapshot | None
    """The latest snapshot, also when the last poll failed."""
    progress: Progress | None
    """How the counter has moved, also before the wait; `None` while nothing is verified."""
    failures: int
    """How many polls in a row have failed."""

    # Here, because tenacity's own constructor would set them anew for every poll.
    retry_object = _UNUSED
    fn = None
    args: tuple[object, ...] = ()
    kwargs: Mapping[str, object] = MappingProxyType({})
    idle_for: float = 0.0
    next_action: RetryAction | None = None
    upcoming_sleep: float = 0.0

    def __init__(
        self,
        *,
        started_at: float,
        now: float,
        polls: int,
        outcome: JobSnapshot | BulkVerifyError,
        snapshot: JobSnapshot | None,
        progress: Progress | None = None,
        failures: int = 0,
    ) -> None:
        """Describe the moment after a poll; times are the event loop's."""
        self.start_time = started_at
        self.outcome_timestamp: float | None = now
        self.now = now
        self.attempt_number = polls
        self.snapshot = snapshot
        self.progress = progress
        self.failures = failures
        self._answer: JobSnapshot | BulkVerifyError | None = outcome
        self._outcome: Future | None = None

    @property
    def outcome(self) -> Future | None:  # tenacity has an attribute
        """The last answer as tenacity holds it; made when it is read, as few strategies do."""
        if self._outcome is None and self._answer is not None:
            failed = isinstance(self._answer, BulkVerifyError)
            self._outcome = Future.construct(self.attempt_number, self._answer, failed)
        return self._outcome

    @outcome.setter
    def outcome(self, outcome: Future | None) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]
        self._outcome = outcome
        self._answer = None


class wait_for_progress(wait_base):  # noqa: N801 - tenacity's strategies are written like this
    """Wait a share of the time that the rest of the list is predicted to take.

    The prediction takes the mean of the average pace and the latest pace. Close to the predicted end
    and after it, the wait is proportional to the root of the predicted time. Far from it, the wait is
    proportional to the root of the whole time of the job, so that a failure is noticed in proportion.
    Without progress, the wait grows with the time waited so far. After a failed poll it doubles, from
    `floor` on.

    Args:
        floor: the shortest wait, in seconds.
        ceiling: the longest wait, in seconds.
        share: of the predicted remainder, 0 to 1; a smaller share polls more often near the end.
        growth: the longest wait as a share of the time waited so far.
        jitter: the share by which each wait is longer or shorter at random, 0 to 1, so that jobs that
            start together are not always polled together.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        *,
        floor: float = 1.0,
        ceiling: float = 120.0,
        share: float = 0.45,
        growth: float = 1.0,
        jitter: float = 0.1,
    ) -> None:
        if not 0 < floor <= ceiling < math.inf:
            raise ValueError(
                f"the floor must be above 0 and at most the ceiling, not {floor} and {ceiling}"
            )
        if not (0 < share <= 1 and 0 < growth < math.inf and 0 <= jitter <= 1):
            raise ValueError(
                "`share` must be above 0 and at most 1, `growth` above 0 and `jitter` from 0 to 1, "
                f"not {share}, {growth} and {jitter}"
            )
        self.floor = floor
        self.ceiling = ceiling
        self.share = share
        self.growth = growth
        self.jitter = jitter

    def __call__(self, retry_state: RetryCallState) -> float:
        """Return the seconds until the next poll."""
        if not isinstance(retry_state, PollState):
            delay = self._blind(max(0.0, retry_state.seconds_since_start or 0.0))
        elif retry_state.failures:
            delay = self.floor * 2.0 ** min(retry_state.failures - 1, 10)
            delay = min(delay, _LONGEST_FAILING)
        else:
            delay = self._forecast(retry_state)
        if self.jitter:
            delay *= 1.0 + self.jitter * (2.0 * random() - 1.0)  # noqa: S311 - spreads, hides nothing
        return max(self.floor, min(delay, self.ceiling))

    def _blind(self, waited: float) -> float:
        return min(self.growth * waited, _BLIND * math.sqrt(waited), _LONGEST_BLIND)

    def _forecast(self, state: PollState) -> float:
        waited = max(0.0, state.now - state.start_time)
        snapshot, progress = state.snapshot, state.progress
        if snapshot is None or snapshot.total is None or progress is None:
            return self._blind(waited)
        remaining = snapshot.total - progress.verified
        since = max(0.0, state.now - progress.verified_at)
        # A wait that has just begun polls early, whatever the forecast says.
        longest = self.growth * waited
        if remaining <= 0:
            return min(longest, _GROWTH_VERIFIED * since, _LONGEST_VERIFIED)
        rise = progress.verified_at - progress.previous_at
        if rise > 0:
            average = (progress.verified - progress.first) / (
                progress.verified_at - progress.first_at
            )
            recent = (progress.verified - progress.previous) / rise
            span = remaining / ((1.0 - _RECENT) * average + _RECENT * recent)
        else:
            span = _ONE_RISE * remaining * max(0.0, waited - since) / progress.verified
        left = span - since - _AGE * rise
        if left <= 0:
            return min(longest, _DUE * math.sqrt(span - _OVERDUE * left))
        return min(
            longest,
            _UNDER_WAY * math.sqrt(waited + left),
            max(self.share * left, _DUE * math.sqrt(span)),
        )

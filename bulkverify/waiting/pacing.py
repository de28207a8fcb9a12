"""A tenacity wait strategy that sets the pace of polls by the job's progress.

Any of tenacity's strategies can replace it, or be combined with it. `wait_until` passes each of them a
`PollState`, a `RetryCallState` of tenacity that also has the job's progress.
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

# Polls g seconds apart cost 1 / g per second. If a job ends with the probability h per second, their lag
# costs h * g / 2 per second. The sum is least if g is proportional to sqrt(1 / h). If the end is expected
# in x seconds, or overdue by x seconds, h is about 1 / x. So g is one of these factors times the root of a
# time; their unit is seconds ** 0.5. A search over benchmarks/population.py found them and the numbers below.
_BLIND: Final = 3.3
_UNDER_WAY: Final = 2.0
_DUE: Final = 1.58

# Without progress, longer gaps cost more in lag than they save in polls.
_LONGEST_BLIND: Final = 67.0
_LONGEST_VERIFIED: Final = 92.0
_LONGEST_FAILING: Final = 30.0

# After the last address, most jobs complete within seconds.
_GROWTH_VERIFIED: Final = 0.65

# The weight of the latest rate, which follows changes. The average rate is steadier.
_RECENT: Final = 0.47

# A rise is older than the poll that shows it: by about this share of the time since the previous rise.
_AGE: Final = 0.25

# After a single rise, the verification is assumed to have begun halfway through the wait before it.
_ONE_RISE: Final = 0.5
_OVERDUE: Final = 0.45


class Progress:
    """The first, the latest and the previous rise of a job's counter of verified addresses.

    Each job has one, and all its `PollState` objects share it. Times are the event loop's. The time of
    a number is that of the first poll that showed it. A counter that falls and rises again makes no
    progress until it passes its highest number.
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
    """The state of one wait, for a wait strategy: tenacity's fields, and the job's progress.

    `attempt_number` counts the polls, `seconds_since_start` is the time since the wait began, and
    `outcome` holds the last `JobSnapshot`, or the error of the last poll.
    """

    now: float
    """The event loop's time."""
    snapshot: JobSnapshot | None
    """The latest snapshot, even if the last poll failed."""
    progress: Progress | None
    """The job's progress, also from before the wait; `None` while nothing is verified."""
    failures: int
    """How many polls in a row have failed."""

    # Class attributes, because setting them for every poll, as tenacity does, is slower.
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
        """Describe the state after a poll. Times are the event loop's."""
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
        """The last snapshot or error as a `Future`. It is made on demand, because few strategies read it."""
        if self._outcome is None and self._answer is not None:
            failed = isinstance(self._answer, BulkVerifyError)
            self._outcome = Future.construct(self.attempt_number, self._answer, failed)
        return self._outcome

    @outcome.setter
    def outcome(self, outcome: Future | None) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]
        self._outcome = outcome
        self._answer = None


class wait_for_progress(wait_base):  # noqa: N801 - tenacity's strategies are written like this
    """A wait strategy: pause for a share of the predicted remaining time.

    The prediction uses the mean of the average pace and the latest pace. Near the predicted end and after
    it, the pause is proportional to the root of the predicted time. Far from the end, it is at most
    proportional to the root of the job's whole time, so that a failure is noticed soon. Without progress,
    the pause grows with the time waited so far. After failed polls it doubles, starting at `floor`.

    Args:
        floor: the shortest wait, in seconds.
        ceiling: the longest wait, in seconds.
        share: the share of the predicted remaining time, 0 to 1; a smaller one polls more often.
        growth: the longest wait as a share of the time waited so far.
        jitter: the share by which each wait varies at random, 0 to 1, so that jobs that start together
            are not polled together.

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
            delay *= 1.0 + self.jitter * (2.0 * random() - 1.0)  # noqa: S311 - not for security
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
        # A wait that has just begun polls soon, regardless of the forecast.
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

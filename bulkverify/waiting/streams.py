"""The state of one job's polls: it informs the waiters, and plans the next poll."""

import asyncio
import copy
import math
from collections.abc import Iterator, Sequence
from numbers import Real
from typing import Final

import attrs
from tenacity.wait import wait_base

from bulkverify.client import Job, known_of
from bulkverify.errors import (
    BulkVerifyError,
    ConnectionFailedError,
    JobNotFoundError,
    RateLimitedError,
    RequestTimeoutError,
    ServerError,
    UnreadableAnswerError,
    UsageError,
)
from bulkverify.lifecycle import JobStatus
from bulkverify.models import JobSnapshot
from bulkverify.service.known import KnownJobs
from bulkverify.service.logs import SafeLogger
from bulkverify.service.retrying import LONGEST_RETRY_AFTER
from bulkverify.waiting.pacing import PollState, Progress
from bulkverify.waiting.waiters import Waiter, not_started, went_back

_log: Final = SafeLogger(__name__)

UNSTARTED_SECONDS: Final = 60.0
"""How long a job may stay ready, if this client has not started it, before waits give up."""

STALE_SECONDS: Final = 60.0
"""How long a lagging replica may report an earlier status."""

UNSEEN_DELAY: Final = 60.0
"""The delay that is assumed for the first poll of a job, to rank it while the budget is short.

If first polls came before all others, the ends of jobs would be noticed late. With 100 jobs on one account,
they would be noticed three times as late.
"""

URGENT_SECONDS: Final = 5.0
"""A wait without an answer is urgent for this long before its deadline. Its poll then comes first."""

_LONG_TICKS: Final = 4
"""Shorter pauses than so many ticks are not lengthened to the next one."""

LONGEST_DELAY: Final = 86400.0
"""The longest pause between two polls, in seconds: a day."""

_FRESH_SECONDS: Final = 1.0
_FEW_STALE: Final = 2
_TEMPORARY: Final = (
    RateLimitedError,
    ServerError,
    ConnectionFailedError,
    RequestTimeoutError,
    UnreadableAnswerError,
)


@attrs.define(eq=False, weakref_slot=False)
class _Trouble:
    """The failures of a job. Most jobs have none. Times are the loop's."""

    failures: int = 0  # how many polls have failed in a row
    last_error: BulkVerifyError | None = None  # of the last poll that failed
    ready_since: float | None = None  # when the job was first seen to be ready
    stale: int = 0  # how many stale answers came in a row
    stale_since: float | None = None  # when the first of them came


@attrs.define(eq=False, weakref_slot=False)
class Stream:
    """The polls of one job, shared by all its waiters.

    There may be 100,000 streams, so each is small: its waiters are a linked list, and it stores nothing
    that can be derived.
    """

    job: Job
    due: float | None = attrs.field(default=None, init=False)
    """When the next poll is due, in the loop's time; `None` during a poll."""
    ready: bool = attrs.field(default=False, init=False)
    """Whether it is due, and waits for a free place or for the budget."""
    task: "asyncio.Task[None] | None" = attrs.field(default=None, init=False)
    """The task that is polling it, if any."""
    _newest: Waiter | None = attrs.field(default=None, init=False)
    _polls: int = attrs.field(default=0, init=False)
    _polled_at: float | None = attrs.field(default=None, init=False)
    _progress: Progress | None = attrs.field(default=None, init=False)
    _status: JobStatus | None = attrs.field(default=None, init=False)
    _trouble: _Trouble | None = attrs.field(default=None, init=False)

    @property
    def _known(self) -> KnownJobs:
        return known_of(self.job.client)

    @property
    def awaited(self) -> bool:
        """Whether it has waiters."""
        return self._newest is not None

    def add(self, waiter: Waiter, now: float) -> bool:
        """Add a waiter, and plan a poll unless one is under way; return whether `due` has changed."""
        waiter.joined = True
        waiter.polls_before = self._polls
        waiter.older = self._newest
        if self._newest is not None:
            self._newest.newer = waiter
        self._newest = waiter
        if self.task is not None:
            return False
        due = now if self._polled_at is None else max(now, self._polled_at + _FRESH_SECONDS)
        deadline = waiter.deadline
        if deadline is not None and deadline < due:
            due = now
        if self.due is not None and self.due <= due:
            return False
        self.due = due
        return True

    def remove(self, waiter: Waiter) -> None:
        """Remove a waiter."""
        if waiter.newer is None:
            self._newest = waiter.older
        else:
            waiter.newer.older = waiter.older
        if waiter.older is not None:
            waiter.older.newer = waiter.newer
        waiter.newer = waiter.older = None

    def overdue(self, now: float) -> float:
        """Return how late the next poll is, as a multiple of its delay; infinity if it is urgent."""
        if self.due is None:
            return 0.0
        left = self._time_left(now)
        if left <= URGENT_SECONDS:
            return math.inf
        delay = UNSEEN_DELAY if self._polled_at is None else self.due - self._polled_at
        return (now - self.due) / max(min(delay, left), 0.1)

    def is_urgent(self, now: float) -> bool:
        """Return whether a waiter is close to its deadline and has had no answer."""
        return self._time_left(now) <= URGENT_SECONDS

    def _time_left(self, now: float) -> float:
        """Return the time until the first deadline of the waiters that have had no answer."""
        left = math.inf
        for waiter in self._waiters():
            if waiter.polls_before < self._polls:  # it and all older ones have had an answer
                break
            deadline = waiter.deadline
            if deadline is not None and not waiter.done():
                left = min(left, deadline - now)
        return left

    def time_out(self, waiter: Waiter) -> None:
        """End a wait whose deadline has come."""
        last_error = self._trouble.last_error if self._trouble else None
        waiter.time_out(polls=self._polls - waiter.polls_before, last_error=last_error)

    def fail(self, error: BaseException) -> None:
        """End all waits with an error."""
        _tell(list(self._waiters()), error)

    def take(self, outcome: JobSnapshot | BulkVerifyError, sent_at: float, now: float) -> None:
        """Take the outcome of a poll: inform the waiters, and plan the next poll."""
        self._polls += 1
        self._polled_at = now
        if isinstance(outcome, JobSnapshot):
            if self._trouble is not None:
                self._trouble.failures = 0
            known = self.job.snapshot
            if self._known.note(outcome) or known is None:
                self._seen(outcome, now)
            else:
                self._seen_stale(known, outcome, now)
        else:
            self._poll_failed(outcome, now)
        self._plan(outcome, sent_at, now)

    def poll_cancelled(self, now: float) -> None:
        """Plan another poll after one was cancelled, if there are waiters left."""
        if any(not waiter.done() for waiter in self._waiters()):
            self.due = now + _FRESH_SECONDS

    def _waiters(self) -> Iterator[Waiter]:
        """Yield all waiters, the newest first."""
        waiter = self._newest
        while waiter is not None:
            yield waiter
            waiter = waiter.older

    def _troubled(self) -> _Trouble:
        if self._trouble is None:
            self._trouble = _Trouble()
        return self._trouble

    def _seen(self, snapshot: JobSnapshot, now: float) -> None:
        status = snapshot.status
        changed = status is not self._status
        if changed:
            _log.info("job %s is %s", snapshot.job_id, status)
            self._status = status
        else:
            _log.debug("job %s is still %s", snapshot.job_id, status)
        if self._progress is not None:
            self._progress.note(now, snapshot.verified or 0)
        elif snapshot.verified:
            self._progress = Progress(now, snapshot.verified)
        # An unchanged status ends no wait, because every waiter has already seen it.
        # A list, because callbacks may remove waiters.
        for waiter in [one for one in self._waiters() if changed or one.wants_every_change]:
            waiter.see(snapshot)
        if self._trouble is not None:
            self._trouble.stale_since = None
        if status is JobStatus.READY:
            self._seen_ready(snapshot, now)

    def _seen_ready(self, snapshot: JobSnapshot, now: float) -> None:
        """End the waits for later statuses if the job has been ready for too long."""
        trouble = self._troubled()
        if trouble.ready_since is None:
            trouble.ready_since = now
        seconds = now - trouble.ready_since
        if seconds < UNSTARTED_SECONDS or self._known.was_started(self.job.id):
            return
        for waiter in self._waiters():
            if waiter.waits_for_start:
                waiter.fail(not_started(snapshot, seconds))

    def _seen_stale(self, known: JobSnapshot, snapshot: JobSnapshot, now: float) -> None:
        _log.info(
            "job %s was %s and is reported as %s: ignored, most likely a lagging replica",
            snapshot.job_id,
            known.status,
            snapshot.status,
        )
        trouble = self._troubled()
        if trouble.stale_since is None:
            trouble.stale_since, trouble.stale = now, 1
            return
        trouble.stale += 1
        # With rare polls, two stale answers may come a minute apart, so time alone is no proof.
        if trouble.stale > _FEW_STALE and now - trouble.stale_since >= STALE_SECONDS:
            self.fail(went_back(known, snapshot))

    def _poll_failed(self, error: BulkVerifyError, now: float) -> None:
        trouble = self._troubled()
        trouble.failures += 1
        trouble.last_error = error
        if isinstance(error, _TEMPORARY) or (
            isinstance(error, JobNotFoundError) and now < self._known.missing_until(self.job.id)
        ):
            _log.info("polling job %s failed and will be retried: %s", self.job.id, error)
        else:
            self.fail(error)

    def _plan(self, outcome: JobSnapshot | BulkVerifyError, sent_at: float, now: float) -> None:
        """Plan the next poll at the earliest time that a policy returns, and before the next deadline."""
        margin = max(0.05, 2 * (now - sent_at))
        last_chance = math.inf
        policies: dict[int, Waiter] = {}  # each is called for its newest waiter
        waiter = self._newest
        while waiter is not None:
            deadline = waiter.deadline
            if deadline is not None and deadline <= now:
                self.time_out(waiter)
            elif not waiter.done():
                if deadline is not None and now < deadline - margin < last_chance:
                    last_chance = deadline - margin
                policies.setdefault(id(waiter.policy), waiter)
            waiter = waiter.older
        delay = min((self._ask(one, outcome, now) for one in policies.values()), default=math.inf)
        if delay == math.inf:
            self.due = None
            return
        due = now + delay
        if delay >= _LONG_TICKS * self._known.tick:
            due = self._known.on_tick(due)
        self.due = min(due, last_chance)
        pause = min(getattr(outcome, "retry_after", None) or 0.0, LONGEST_RETRY_AFTER)
        self.due = max(self.due, now + pause)
        if isinstance(outcome, JobNotFoundError):  # if it is missing even then, the wait ends
            self.due = min(self.due, self._known.missing_until(self.job.id))

    def _ask(self, waiter: Waiter, outcome: JobSnapshot | BulkVerifyError, now: float) -> float:
        """Return the delay of a waiter's policy. If the policy raises, all waits that use it end."""
        policy = waiter.policy
        state = PollState(
            started_at=waiter.joined_at,
            now=now,
            polls=self._polls - waiter.polls_before,
            outcome=outcome,
            snapshot=self.job.snapshot,
            progress=self._progress,
            failures=self._trouble.failures if self._trouble else 0,
        )
        try:
            return _checked_delay(policy(state), policy)
        except BaseException as error:  # noqa: BLE001 - the policy is the caller's
            _tell([one for one in self._waiters() if one.policy is policy], error)
        return math.inf


def _checked_delay(delay: object, policy: wait_base) -> float:
    """Return the delay in seconds, as a number from 0 to `LONGEST_DELAY`."""
    seconds = math.nan
    if isinstance(delay, Real) and not isinstance(delay, bool):
        try:
            seconds = float(delay)
        except OverflowError:  # an int beyond all floats
            seconds = math.inf if delay >= 0 else -math.inf  # type: ignore[operator]  # pyright: ignore[reportOperatorIssue]
    if math.isnan(seconds):
        # The message leaves out the value, whose repr may raise.
        raise UsageError(
            f"The wait strategy {type(policy).__name__} must return the seconds until the next poll, "
            "a number from 0."
        )
    if seconds < 0:  # the policy has a clock of its own, and is late
        return _FRESH_SECONDS
    return min(seconds, LONGEST_DELAY)


def _tell(waiters: Sequence[Waiter], error: BaseException) -> None:
    """End waits with copies of an error, because each task that raises one adds to its traceback."""
    for waiter in waiters[1:]:
        waiter.fail(_copied(error))
    for waiter in waiters[:1]:
        waiter.fail(error)


def _copied(error: BaseException) -> BaseException:
    """Copy an error with its traceback and causes; return the error itself if it can't be copied."""
    try:
        twin = copy.copy(error)
        # Some constructors change their arguments, and a copy would change them again.
        same = type(twin) is type(error) and all(
            one is other for one, other in zip(twin.args, error.args, strict=True)
        )
        if not same:
            return error
        twin.__cause__, twin.__context__ = error.__cause__, error.__context__
        twin.__suppress_context__ = error.__suppress_context__
        return twin.with_traceback(error.__traceback__)
    except BaseException:  # noqa: BLE001 - the constructor may be the caller's too
        return error

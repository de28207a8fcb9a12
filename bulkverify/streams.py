"""The polling of one job: who waits for it, what each answer means to them, and when to ask again."""

import asyncio
import copy
import logging
from typing import Final

from tenacity.wait import wait_base

from bulkverify.client import Job
from bulkverify.errors import (
    BulkVerifyError,
    ConnectionFailedError,
    IllegalTransitionError,
    JobNotFoundError,
    RateLimitedError,
    RequestTimeoutError,
    ServerError,
    UnreadableAnswerError,
)
from bulkverify.lifecycle import JobStatus, observe
from bulkverify.models import JobSnapshot
from bulkverify.pacing import PollState, Progress
from bulkverify.waiters import Waiter, not_started

_log: Final = logging.getLogger(__name__)

UNSTARTED_SECONDS: Final = 60.0
"""A job that is ready for so long, and that nobody here has started, will not start by itself."""

STALE_SECONDS: Final = 60.0
"""A lagging replica catches up sooner than this."""

UNSEEN_DELAY: Final = 60.0
"""How urgent a first poll is while the budget is short, as if the job was to be asked about so often.

Many jobs at once would otherwise be looked at once each, and none of them often enough to tell when it
ends: under the limit of one account, 100 jobs are then noticed three times as late.
"""

_FRESH_SECONDS: Final = 1.0
_WAITED_OUT: Final = (
    RateLimitedError,
    ServerError,
    ConnectionFailedError,
    RequestTimeoutError,
    UnreadableAnswerError,
)


class Stream:
    """One job's polls, shared by all who wait for it.

    There may be 100,000 of these at once, so that each of them is small: the waiters are in a list,
    and what only some need is made when it is needed.

    Attributes:
        due: when the next poll is wanted, in the loop's time; `None` while one is under way.
        waiting: how many wait; the list may still hold some who have left.
        wake: the time of this stream's entry in the scheduler's heap, if it has one.
        ready: whether it is due, and stands in line for room and budget.
    """

    __slots__ = (
        "_delay",
        "_failures",
        "_last_error",
        "_latency",
        "_polled_at",
        "_polls",
        "_progress",
        "_ready_since",
        "_stale_since",
        "_status",
        "_waiters",
        "due",
        "job",
        "ready",
        "task",
        "waiting",
        "wake",
    )

    def __init__(self, job: Job) -> None:
        """Start with nobody waiting."""
        self.job = job
        self.due: float | None = None
        self.wake: float | None = None
        self.ready = False
        self.task: asyncio.Task[None] | None = None
        self.waiting = 0
        self._waiters: list[Waiter] = []
        self._delay = UNSEEN_DELAY
        self._polls = 0
        self._polled_at: float | None = None
        self._latency: float | None = None
        self._failures = 0
        self._last_error: BulkVerifyError | None = None
        self._progress: Progress | None = None
        self._ready_since: float | None = None
        self._stale_since: float | None = None
        self._status: JobStatus | None = None

    def add(self, waiter: Waiter, now: float) -> None:
        """Take in a waiter, and want a poll at once unless there has just been one."""
        waiter.stream = self
        waiter.polls_before = self._polls
        self._waiters.append(waiter)
        self.waiting += 1
        if self.task is not None:
            return
        due = now if self._polled_at is None else max(now, self._polled_at + _FRESH_SECONDS)
        if waiter.deadline is not None:
            self._delay = min(self._delay, (waiter.deadline - now) / 2)
            if waiter.deadline < due:
                due = now
        if self.due is None or due < self.due:
            self.due = due

    def remove(self, waiter: Waiter) -> None:
        """Let a waiter go; the list is swept only now and then, which keeps this cheap for thousands."""
        waiter.stream = None
        self.waiting -= 1
        if len(self._waiters) > 2 * self.waiting + 8:
            self._waiters = [one for one in self._waiters if one.stream is self]

    def next_wake(self) -> float | None:
        """Say when something is to be done: the next poll, or the first deadline of a waiter."""
        wake = None if self.ready or self.task is not None else self.due
        for waiter in self._waiters:
            deadline = waiter.deadline
            if deadline is not None and deadline > waiter.joined_at and not waiter.done:
                wake = deadline if wake is None else min(wake, deadline)
        return wake

    def overdue(self, now: float) -> float:
        """Say by how many of its own delays the next poll is late."""
        return 0.0 if self.due is None else (now - self.due) / max(self._delay, 0.1)

    def time_out(self, now: float) -> None:
        """End the waits whose deadline has come; one with a timeout of 0 gets its single poll first."""
        for waiter in self._waiters:
            if (
                waiter.deadline is not None
                and waiter.deadline <= now
                and (waiter.deadline > waiter.joined_at or self._polls > waiter.polls_before)
            ):
                waiter.time_out(polls=self._polls, last_error=self._last_error)

    def fail(self, error: BaseException) -> None:
        """End all waits with an error."""
        for waiter in self._waiters:
            # A copy each: an exception gathers the traceback of everyone who raises it.
            waiter.fail(copy.copy(error))

    def take(self, outcome: JobSnapshot | BulkVerifyError, sent_at: float, now: float) -> None:
        """Take what a poll brought: tell the waiters, and plan the next poll."""
        self._polls += 1
        self._polled_at = now
        self._latency = now - sent_at
        if isinstance(outcome, JobSnapshot):
            self._failures = 0
            self._seen(outcome, now)
        else:
            self._missed(outcome)
        self.time_out(now)
        self._plan(outcome, now)

    def _seen(self, snapshot: JobSnapshot, now: float) -> None:
        known = self.job.snapshot
        if known is not snapshot and known is not None:
            self._seen_stale(known, snapshot, now)
            return
        if snapshot.status is self._status:
            _log.debug("job %s is still %s", snapshot.job_id, snapshot.status)
        else:
            _log.info("job %s is %s", snapshot.job_id, snapshot.status)
            self._status = snapshot.status
        self._stale_since = None
        self._note_progress(snapshot.verified or 0, now)
        if snapshot.status is not JobStatus.READY:
            self._ready_since = None
        elif self._ready_since is None:
            self._ready_since = now
        for waiter in self._waiters:
            waiter.see(snapshot)
        if (
            self._ready_since is not None
            and now - self._ready_since >= UNSTARTED_SECONDS
            and not self.job.client.was_started(self.job.id)
        ):
            for waiter in self._waiters:
                if waiter.waits_for_start():
                    waiter.fail(not_started(snapshot, now - self._ready_since))

    def _note_progress(self, verified: int, now: float) -> None:
        if self._progress is not None:
            self._progress.note(now, verified)
        elif verified > 0:
            self._progress = Progress(now, verified)

    def _seen_stale(self, known: JobSnapshot, snapshot: JobSnapshot, now: float) -> None:
        _log.info(
            "job %s was %s and is reported as %s: ignored, most likely a lagging replica",
            snapshot.job_id,
            known.status,
            snapshot.status,
        )
        if self._stale_since is None:
            self._stale_since = now
        elif now - self._stale_since >= STALE_SECONDS:
            try:
                observe(known.status, snapshot.status, job_id=snapshot.job_id)
            except IllegalTransitionError as error:
                error.snapshot = known
                self.fail(error)

    def _missed(self, error: BulkVerifyError) -> None:
        self._failures += 1
        self._last_error = error
        if isinstance(error, _WAITED_OUT) or (
            isinstance(error, JobNotFoundError) and self.job.client.is_settling(self.job.id)
        ):
            _log.info("job %s could not be asked about, will be again: %s", self.job.id, error)
        else:
            self.fail(error)

    def _plan(self, outcome: JobSnapshot | BulkVerifyError, now: float) -> None:
        """Set the next poll to when the most eager waiter wants it, and to its last chance at the latest."""
        due = self._shortest_delay(outcome, now)
        if due is None:
            self.due = None
            return
        due += now
        margin = max(0.05, 2 * (self._latency or 0.0))
        for waiter in self._waiters:
            if (
                waiter.deadline is not None
                and now < waiter.deadline - margin < due
                and not waiter.done
            ):
                due = waiter.deadline - margin
        self._delay = due - now
        asked_for = getattr(outcome, "retry_after", None) or 0.0
        self.due = max(due, now + asked_for)

    def _shortest_delay(self, outcome: JobSnapshot | BulkVerifyError, now: float) -> float | None:
        """Ask each policy that is in use; it goes by the latest of those who brought it."""
        latest: dict[wait_base, Waiter] = {
            waiter.policy: waiter for waiter in self._waiters if not waiter.done
        }
        shortest = None
        for policy, waiter in latest.items():
            state = PollState(
                started_at=waiter.joined_at,
                now=now,
                polls=self._polls - waiter.polls_before,
                outcome=outcome,
                snapshot=self.job.snapshot,
                progress=self._progress,
                failures=self._failures,
            )
            try:
                delay = max(0.0, policy(state))
            except Exception as error:  # noqa: BLE001 - it concerns those who brought the policy
                for one in self._waiters:
                    if one.policy is policy:
                        one.fail(copy.copy(error))
            else:
                shortest = delay if shortest is None else min(shortest, delay)
        return shortest

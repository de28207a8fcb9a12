"""The machinery behind waiting: a heap of due polls, a stream for each job, a future for each waiter.

There is no task that sleeps: one timer wakes the scheduler when the next poll is due, and a task
exists only while its request is under way. That keeps 100,000 waits small and cheap.
"""

import asyncio
import copy
import heapq
import logging
from collections import deque
from typing import Final

from tenacity.wait import wait_base

from bulkverify.client import Client, Job
from bulkverify.errors import (
    BulkVerifyError,
    ClientClosedError,
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
from bulkverify.pacing import PollState
from bulkverify.waiters import Waiter, not_started

_log: Final = logging.getLogger(__name__)

MOST_IN_FLIGHT: Final = 64
"""How many polls of one client may be under way at once."""

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


class _Pace:
    """Since when, and over how many polls, a policy has been in use: by its latest waiter's count."""

    __slots__ = ("polls", "started_at", "users")

    def __init__(self) -> None:
        self.users = 0
        self.polls = 0
        self.started_at = 0.0


class _Stream:
    """The polling of one job."""

    __slots__ = (
        "delay",
        "due",
        "failures",
        "first_progress",
        "job",
        "last_error",
        "latency",
        "paces",
        "polled_at",
        "polls",
        "ready_since",
        "stale_since",
        "status",
        "task",
        "waiters",
    )

    def __init__(self, job: Job) -> None:
        self.job = job
        self.waiters: dict[Waiter, None] = {}
        self.paces: dict[wait_base, _Pace] = {}
        self.due: float | None = None
        self.delay = UNSEEN_DELAY
        self.task: asyncio.Task[None] | None = None
        self.polls = 0
        self.polled_at: float | None = None
        self.latency = 0.1
        self.failures = 0
        self.last_error: BulkVerifyError | None = None
        self.first_progress: tuple[float, int] | None = None
        self.ready_since: float | None = None
        self.stale_since: float | None = None
        self.status: JobStatus | None = None

    def overdue(self, now: float) -> float:
        """Say by how many of its own delays the next poll is late; a stream that is gone comes first."""
        if self.due is None:
            return float("inf")
        return (now - self.due) / max(self.delay, 0.1)

    def fail(self, error: BaseException) -> None:
        for waiter in list(self.waiters):
            # A copy each: an exception gathers the traceback of everyone who raises it.
            waiter.fail(copy.copy(error))

    def time_out(self, waiter: Waiter) -> None:
        waiter.time_out(polls=self.polls, last_error=self.last_error)


class Scheduler:
    """All the polling of one client: the most overdue poll goes first."""

    def __init__(self, client: Client) -> None:
        """Start with nothing to do."""
        self._client = client
        self._streams: dict[str, _Stream] = {}
        self._heap: list[tuple[float, int, _Stream]] = []
        self._sequence = 0
        # Those whose time has come, but for whom there was no room or no budget yet.
        self._ready: deque[_Stream] = deque()
        self._scarce = False
        self._in_flight = 0
        self._held_until = 0.0
        self._timer: asyncio.TimerHandle | None = None

    async def close(self) -> None:
        """End every wait with `ClientClosedError`."""
        streams = list(self._streams.values())
        for stream in streams:
            stream.fail(
                ClientClosedError(
                    f"The client was closed while job {stream.job.id} was waited for. The job goes on: "
                    "wait for it from another client, by its id."
                )
            )
        await _end([stream.task for stream in streams])

    def join(self, waiter: Waiter) -> None:
        """Take in a waiter: what is known already may end its wait, or else the job is asked about."""
        self._client.stats.waits += 1
        known = waiter.job.snapshot
        if known is not None:
            waiter.see(known)
            if waiter.done:
                return
        now = asyncio.get_running_loop().time()
        stream = self._streams.get(waiter.job.id)
        if stream is None:
            stream = self._streams[waiter.job.id] = _Stream(waiter.job)
            self._client.stats.jobs += 1
        stream.waiters[waiter] = None
        pace = stream.paces.setdefault(waiter.policy, _Pace())
        pace.users += 1
        pace.polls = 0
        pace.started_at = now
        if waiter.deadline is not None and waiter.deadline > now:
            waiter.timer = asyncio.get_running_loop().call_at(
                waiter.deadline, stream.time_out, waiter
            )
        if stream.task is None:
            due = now if stream.polled_at is None else max(now, stream.polled_at + _FRESH_SECONDS)
            if waiter.deadline is not None:
                stream.delay = min(stream.delay, (waiter.deadline - now) / 2)
                if waiter.deadline < due:
                    due = now
            if stream.due is None or due < stream.due:
                self._schedule(stream, due)

    async def leave(self, waiter: Waiter) -> None:
        """Let a waiter go; the last one of a stream ends it, and waits until nothing of it runs."""
        waiter.leave()
        stream = self._streams.get(waiter.job.id)
        if stream is None or waiter not in stream.waiters:
            return
        del stream.waiters[waiter]
        pace = stream.paces[waiter.policy]
        pace.users -= 1
        if not pace.users:
            del stream.paces[waiter.policy]
        if stream.waiters:
            return
        del self._streams[waiter.job.id]
        stream.due = None
        if not self._streams:
            self._heap.clear()
            self._ready.clear()
        self._arm()
        await _end([stream.task])

    def _schedule(self, stream: _Stream, due: float) -> None:
        stream.due = due
        self._sequence += 1
        heapq.heappush(self._heap, (due, self._sequence, stream))
        self._arm()

    def _arm(self) -> None:
        """Set the timer to the earliest poll that is still wanted, or to when the budget allows it."""
        heap = self._heap
        while heap and heap[0][2].due != heap[0][0]:
            heapq.heappop(heap)
        wanted = None
        if self._in_flight < MOST_IN_FLIGHT:
            if self._ready:
                wanted = self._held_until
            elif heap:
                wanted = max(heap[0][0], self._held_until)
        if self._timer is not None:
            if self._timer.when() == wanted:
                return
            self._timer.cancel()
            self._timer = None
        if wanted is not None:
            self._timer = asyncio.get_running_loop().call_at(wanted, self._release)

    def _release(self) -> None:
        """Send the polls that are due, as far as budget and room go."""
        self._timer = None
        loop = asyncio.get_running_loop()
        now = loop.time()
        while self._heap and self._heap[0][0] <= now:
            due, _, stream = heapq.heappop(self._heap)
            if stream.due == due:
                self._ready.append(stream)
        while self._in_flight < MOST_IN_FLIGHT and (ready := self._next_ready(now)) is not None:
            held = self._client.take_turn()
            if held > 0:
                self._ready.appendleft(ready)
                self._held_until = now + held
                self._scarce = True
                break
            ready.due = None
            self._in_flight += 1
            ready.task = loop.create_task(
                self._poll(ready), name=f"bulkverify poll of {ready.job.id}"
            )
        self._arm()

    def _next_ready(self, now: float) -> _Stream | None:
        """Take the stream to poll next: while the budget is short, the most overdue by its own measure."""
        while self._ready:
            if self._scarce:
                position = max(
                    range(len(self._ready)), key=lambda index: self._ready[index].overdue(now)
                )
                self._ready.rotate(-position)
            stream = self._ready.popleft()
            if stream.due is not None:
                return stream
        self._scarce = False
        return None

    async def _poll(self, stream: _Stream) -> None:
        self._client.stats.polls += 1
        clock = asyncio.get_running_loop().time
        sent_at = clock()
        outcome: JobSnapshot | BulkVerifyError | None = None
        try:
            try:
                outcome = await self._client.poll(stream.job.id)
            except BulkVerifyError as error:
                outcome = error
            stream.polled_at = clock()
            stream.latency = stream.polled_at - sent_at
            stream.polls += 1
            for pace in stream.paces.values():
                pace.polls += 1
            if isinstance(outcome, JobSnapshot):
                self._seen(stream, outcome, stream.polled_at)
            else:
                self._missed(stream, outcome)
        except Exception as error:  # noqa: BLE001 - a mistake of ours must not leave anybody waiting
            _log.error("polling job %s broke", stream.job.id, exc_info=True)
            stream.fail(error)
        finally:
            self._in_flight -= 1
            stream.task = None
            if outcome is not None:
                self._plan(stream, outcome, clock())
            self._arm()

    def _seen(self, stream: _Stream, snapshot: JobSnapshot, now: float) -> None:
        known = stream.job.snapshot
        stream.failures = 0
        if known is not snapshot and known is not None:
            self._seen_stale(stream, known, snapshot, now)
            return
        if snapshot.status is stream.status:
            _log.debug("job %s is still %s", snapshot.job_id, snapshot.status)
        else:
            _log.info("job %s is %s", snapshot.job_id, snapshot.status)
            stream.status = snapshot.status
        stream.stale_since = None
        if stream.first_progress is None and snapshot.verified:
            stream.first_progress = now, snapshot.verified
        if snapshot.status is not JobStatus.READY:
            stream.ready_since = None
        elif stream.ready_since is None:
            stream.ready_since = now
        for waiter in list(stream.waiters):
            waiter.see(snapshot)
        if (
            stream.ready_since is not None
            and now - stream.ready_since >= UNSTARTED_SECONDS
            and not self._client.was_started(stream.job.id)
        ):
            for waiter in list(stream.waiters):
                if waiter.waits_for_start():
                    waiter.fail(not_started(snapshot, now - stream.ready_since))

    def _seen_stale(
        self, stream: _Stream, known: JobSnapshot, snapshot: JobSnapshot, now: float
    ) -> None:
        _log.info(
            "job %s was %s and is reported as %s: ignored, most likely a lagging replica",
            snapshot.job_id,
            known.status,
            snapshot.status,
        )
        if stream.stale_since is None:
            stream.stale_since = now
        elif now - stream.stale_since >= STALE_SECONDS:
            try:
                observe(known.status, snapshot.status, job_id=snapshot.job_id)
            except IllegalTransitionError as error:
                error.snapshot = known
                stream.fail(error)

    def _missed(self, stream: _Stream, error: BulkVerifyError) -> None:
        stream.failures += 1
        stream.last_error = error
        if isinstance(error, _WAITED_OUT) or (
            isinstance(error, JobNotFoundError) and self._client.is_settling(stream.job.id)
        ):
            _log.info("job %s could not be asked about, will be again: %s", stream.job.id, error)
        else:
            stream.fail(error)

    def _plan(self, stream: _Stream, outcome: JobSnapshot | BulkVerifyError, now: float) -> None:
        """Set the next poll to when the most eager waiter wants it, and to its last chance at the latest."""
        waiters = []
        for waiter in stream.waiters:
            if waiter.deadline is not None and waiter.deadline <= now:
                stream.time_out(waiter)
            if not waiter.done:
                waiters.append(waiter)
        if not waiters:
            return
        due = now + self._shortest_delay(stream, outcome, now)
        for waiter in waiters:
            if waiter.deadline is not None:
                last_chance = waiter.deadline - max(0.05, 2 * stream.latency)
                if last_chance > now:
                    due = min(due, last_chance)
        stream.delay = due - now
        asked_for = getattr(outcome, "retry_after", None) or 0.0
        self._schedule(stream, max(due, now + asked_for))

    def _shortest_delay(
        self, stream: _Stream, outcome: JobSnapshot | BulkVerifyError, now: float
    ) -> float:
        shortest = float("inf")
        for policy, pace in list(stream.paces.items()):
            first = stream.first_progress
            state = PollState(
                started_at=pace.started_at,
                now=now,
                polls=max(1, pace.polls),
                outcome=outcome,
                snapshot=stream.job.snapshot,
                first_progress=None if first is None else (first[0] - pace.started_at, first[1]),
                failures=stream.failures,
            )
            try:
                shortest = min(shortest, max(0.0, policy(state)))
            except Exception as error:  # noqa: BLE001 - a policy's error concerns those who brought it
                for waiter in list(stream.waiters):
                    if waiter.policy is policy:
                        waiter.fail(error)
        return shortest


async def _end(tasks: list[asyncio.Task[None] | None]) -> None:
    """Cancel tasks and wait until they are gone; their outcome is of no interest any more."""
    current = asyncio.current_task()
    running = [task for task in tasks if task is not None and task is not current]
    for task in running:
        task.cancel()
    if running:
        await asyncio.wait(running)

"""Sends the polls of one client when they are due.

No task sleeps. One timer wakes the scheduler when the next poll or deadline is due, and tasks exist only
while there are requests to send. That keeps 100,000 waits small and cheap.
"""

import asyncio
import math
from collections import deque
from collections.abc import Iterable
from functools import partial
from typing import Final

from bulkverify.client import Job, known_of
from bulkverify.errors import (
    BulkVerifyError,
    ClientClosedError,
    ConnectionFailedError,
    RequestTimeoutError,
    TransportError,
)
from bulkverify.models import JobSnapshot
from bulkverify.service.known import KnownJobs
from bulkverify.service.logs import SafeLogger
from bulkverify.service.sessions import ORDINARY_SECONDS
from bulkverify.waiting.due import Agenda, Deadlines
from bulkverify.waiting.streams import URGENT_SECONDS, Stream
from bulkverify.waiting.waiters import Waiter

_log: Final = SafeLogger(__name__)

MOST_IN_FLIGHT: Final = 64
"""How many polls of one client may be under way at once."""

# A task sends several polls, which saves making more tasks. It ends after this many, because other tasks
# would not run if answers came without delay.
_POLLS_A_TASK: Final = 16

# How many due streams are gathered at once. Other tasks do not run meanwhile.
_MOST_AT_ONCE: Final = 2_000

# Outdated entries are removed only if there are more entries than this.
_FEW: Final = 64

# How many ready streams are compared before every poll to find the most overdue. If there are more, the
# next poll compares others.
_MOST_COMPARED: Final = 2_000


class Scheduler:
    """All polls of one client."""

    def __init__(self, known: KnownJobs) -> None:
        self._known = known
        self._stats = known.stats
        self.streams: dict[str, Stream] = {}  # of the jobs that are waited for, by job id
        self._loop = asyncio.get_running_loop()
        # A stream whose `due` has changed has two entries. The outdated one is skipped.
        self._agenda = Agenda()
        # The streams that are due, and wait for a free place or for the budget.
        self._ready: deque[Stream] = deque()
        self._deadlines = Deadlines()
        self._scarce = False  # whether more polls are due than the budget allows
        # When each task sent its poll, the oldest first.
        self._asking: dict[asyncio.Task[None], float] = {}
        self._stopped: set[asyncio.Task[None]] = set()  # cancelled, because their poll timed out
        self._held_until = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf

    async def close(self) -> None:
        """End every wait with `ClientClosedError`."""
        streams = list(self.streams.values())
        for stream in streams:
            stream.fail(
                ClientClosedError(
                    f"The client was closed during a wait for job {stream.job.id}. The job goes on: "
                    "wait for it again with another client, by its id."
                )
            )
        await end_all([stream.task for stream in streams])

    def join(self, waiter: Waiter) -> None:
        """Add a waiter. Its job is polled, unless the last snapshot already ends the wait."""
        self._stats.waits += 1
        stream = self.streams.get(waiter.job.id)
        job = waiter.job if stream is None else stream.job
        if job.snapshot is not None:
            waiter.see(job.snapshot)
            if waiter.done():
                return
            stream = self.streams.get(job.id)  # again: a callback may have started a wait
        if stream is None:
            stream = self.streams[job.id] = Stream(job)
            self._known.forget(job)
            self._stats.jobs += 1
        if waiter.timeout:  # with a timeout of 0, the first poll ends the wait
            self._deadlines.add(waiter)
        now = self._loop.time()
        if stream.add(waiter, now):
            self._enqueue(stream)
        if stream.ready and self._held_until > now and stream.is_urgent(now):
            self._ready.remove(stream)
            self._put_first(stream, now)
        self._arm()

    async def leave(self, waiter: Waiter) -> None:
        """Remove a waiter, and cancel the poll of its job if no other waiter needs it."""
        await end_all([self.remove(waiter)])

    def remove(self, waiter: Waiter) -> "asyncio.Task[None] | None":
        """Remove a waiter; return the task of a poll that is no longer needed, for `end_all`."""
        waiter.leave()
        if not waiter.joined:  # `join` has ended its wait
            return None
        stream = self.streams[waiter.job.id]
        if waiter.timeout:
            self._deadlines.discard(waiter)
        stream.remove(waiter)
        if stream.awaited:
            return None
        stream.due = None
        self._known.add(stream.job)
        del self.streams[stream.job.id]
        if not self.streams:
            self._agenda.clear()
            self._ready.clear()
            self._deadlines.clear()
            self._arm()
        return stream.task

    def _enqueue(self, stream: Stream) -> None:
        """Put a stream on the agenda if it needs a poll."""
        if stream.due is None:
            return
        agenda = self._agenda
        agenda.add(stream.due, stream)
        # Remove outdated entries once they may outnumber the rest.
        if agenda.count > _FEW and agenda.count > 2 * len(self.streams):
            agenda.clear()
            for one in self.streams.values():
                if one.due is not None and not one.ready:
                    agenda.add(one.due, one)

    def _arm(self) -> None:
        """Set the timer to the next event. An earlier timer stays, and calls this again."""
        wanted = min(self._deadlines.next(), self._agenda.next())
        if self._asking:
            wanted = min(wanted, next(iter(self._asking.values())) + ORDINARY_SECONDS)
        if self._ready and len(self._asking) < MOST_IN_FLIGHT:
            wanted = min(wanted, self._held_until)
        if self._timer is not None:
            if self._timer_at <= wanted < math.inf:
                return
            self._timer.cancel()
            self._timer = None
        self._timer_at = wanted
        if wanted < math.inf:
            self._timer = self._loop.call_at(wanted, self._wake_up)

    def _wake_up(self) -> None:
        """End the waits whose deadline has come, and send the polls that are due."""
        self._timer, self._timer_at = None, math.inf
        try:
            now = self._loop.time()
            for waiter in self._deadlines.passed(now):
                self.streams[waiter.job.id].time_out(waiter)
            self._gather(now)
            self._remove_unwanted()
            while (
                len(self._asking) < MOST_IN_FLIGHT
                and (next_one := self._next_ready(now)) is not None
            ):
                self._send(next_one, now)
            self._cancel_late_polls(now)
            self._arm()
        except BaseException as error:  # noqa: BLE001 - `_fail_all` raises it unless it is an Exception
            self._fail_all(error)

    def _gather(self, now: float) -> None:
        """Make due streams ready."""
        gathered = 0
        while gathered < _MOST_AT_ONCE and (due := self._agenda.take(now)):
            gathered += len(due)
            for stream in due:
                if stream.due is not None and stream.due <= now and not stream.ready:
                    stream.ready = True
                    if self._held_until > now and stream.is_urgent(now):
                        self._put_first(stream, now)
                    else:
                        self._ready.append(stream)

    def _put_first(self, stream: Stream, now: float) -> None:
        """Let an urgent stream ask the budget at once, while the others are held back."""
        self._ready.appendleft(stream)
        self._held_until = now

    def _fail_all(self, error: BaseException) -> None:
        """End all waits after a bug of ours, because otherwise they would hang."""
        for stream in list(self.streams.values()):
            stream.fail(error)
        if not isinstance(error, Exception):
            raise error

    def _send(self, stream: Stream, now: float) -> None:
        """Make a task that polls a stream. The program's task factory may raise."""
        work = self._work(stream)
        try:
            task = self._loop.create_task(work, name="bulkverify poll")
        except BaseException as error:
            work.close()
            stream.fail(error)
            if isinstance(error, SystemExit | KeyboardInterrupt):
                raise
        else:
            if not task.done():  # an eager task may be done
                self._begin(task, stream, now)

    def _begin(self, task: "asyncio.Task[None]", stream: Stream, now: float) -> None:
        """Register a task. An eager task calls this itself, because it runs before `_send` can."""
        if task not in self._asking:
            self._asking[task] = now
            stream.task = task
            task.add_done_callback(partial(self._tidy_up, stream))

    def _tidy_up(self, stream: Stream, task: "asyncio.Task[None]") -> None:
        """Free the place of a task that was cancelled before it ran."""
        if self._asking.pop(task, None) is None:
            return
        self._stopped.discard(task)
        stream.task = None
        stream.poll_cancelled(self._loop.time())
        self._enqueue(stream)
        self._arm()

    def _remove_unwanted(self) -> None:
        """Remove the ready streams without waiters once they outnumber the rest.

        While the budget is short they would stay, because they are never the most overdue.
        """
        ready = self._ready
        if len(ready) <= _FEW or len(ready) <= 2 * len(self.streams):
            return
        self._ready = deque(stream for stream in ready if stream.due is not None)
        for stream in ready:
            stream.ready = stream.due is not None

    def _cancel_late_polls(self, now: float) -> None:
        """Cancel the polls whose timeout has passed."""
        while self._asking:
            task, since = next(iter(self._asking.items()))
            if since + ORDINARY_SECONDS > now:
                return
            self._stopped.add(task)
            task.cancel()
            del self._asking[task]
            self._asking[task] = now  # its place is kept until it has ended

    def _next_ready(self, now: float) -> Stream | None:
        """Take a turn in the budget and return the stream to poll: the most overdue if turns are scarce."""
        ready = self._ready
        if ready and self._held_until > now:
            return None
        while ready:
            if self._scarce:
                self._bring_most_overdue_to_front(now)
            stream = ready[0]
            if stream.due is not None:
                urgent = self._scarce and stream.is_urgent(now)
                held = self._known.take_turn(urgent=urgent)
                if held > 0 and self._scarce:
                    # Another stream may become urgent before the turn comes.
                    self._held_until = self._known.on_tick(now + min(held, URGENT_SECONDS / 2))
                    return None
                if held > 0:
                    self._scarce = True
                    continue
            ready.popleft()
            stream.ready = False
            if stream.due is not None:
                stream.due = None
                return stream
        self._scarce = False
        return None

    def _bring_most_overdue_to_front(self, now: float) -> None:
        ready = self._ready
        count = min(len(ready), _MOST_COMPARED)
        position = max(range(count), key=lambda index: ready[index].overdue(now))
        stream = ready[position]
        del ready[position]
        if len(ready) >= count:  # compare others the next time
            ready.rotate(1 - count)
        ready.appendleft(stream)

    async def _work(self, stream: Stream) -> None:
        """Poll streams, one after the other, while any are due."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a task runs this
        asking, time = self._asking, self._loop.time
        sent_at = time()
        self._begin(task, stream, sent_at)
        try:
            for left in reversed(range(_POLLS_A_TASK)):
                await self._poll(stream, task, sent_at)
                self._enqueue(stream)
                # A stream that is taken must be polled, so the last round takes none.
                now = time()
                next_one = self._next_ready(now) if left else None
                if next_one is None:
                    break
                stream = next_one
                stream.task = task
                sent_at = now
                del asking[task]  # to move it to the end
                asking[task] = sent_at
        except Exception as error:  # noqa: BLE001 - all waiters raise it
            self._fail_all(error)
        finally:
            del asking[task]
            self._stopped.discard(task)
            if not self._loop.is_closed():
                self._arm()

    async def _poll(self, stream: Stream, task: "asyncio.Task[None]", sent_at: float) -> None:
        """Poll one stream, and pass it the outcome."""
        time = self._loop.time
        self._stats.polls += 1
        outcome: JobSnapshot | BulkVerifyError
        try:
            try:
                outcome = await self._known.poll(stream.job.id)
            except BulkVerifyError as error:
                outcome = error
            except asyncio.CancelledError:
                outcome = self._cancellation_error(task)
            stream.take(outcome, sent_at, time())
        except asyncio.CancelledError:
            stream.poll_cancelled(time())  # the last waiter left, or the program cancels all tasks
            self._enqueue(stream)
            raise
        except BaseException as error:  # a bug, in this package or in a middleware
            if self._loop.is_closed():
                raise
            stream.fail(error)
            if isinstance(error, SystemExit | KeyboardInterrupt):
                raise
            _log.error("polling job %s raised an unexpected error", stream.job.id, exc_info=True)
        finally:
            stream.task = None

    def _cancellation_error(self, task: "asyncio.Task[None]") -> TransportError:
        """Turn a cancelled request into an error; re-raise if the task itself was cancelled."""
        if not task.cancelling():
            return ConnectionFailedError("A middleware or other code cancelled the status call.")
        if task not in self._stopped or task.uncancel():
            raise asyncio.CancelledError
        self._stopped.discard(task)
        return RequestTimeoutError("The service did not answer the status call in time.")


def scheduler_of(job: Job) -> Scheduler:
    """Return the scheduler of a job's client. The first call makes it."""
    known = known_of(job.client)
    known.enter_loop()
    if known.scheduler is None:
        known.scheduler = Scheduler(known)
    scheduler: Scheduler = known.scheduler
    return scheduler


async def end_all(tasks: Iterable["asyncio.Task[None] | None"]) -> None:
    """Cancel tasks, and wait until they have ended."""
    current = asyncio.current_task()
    running = [task for task in tasks if task is not None and task is not current]
    for task in running:
        task.cancel()
    if running:
        await asyncio.wait(running)

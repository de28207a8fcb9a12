"""The machinery behind waiting: an agenda of what is due, a stream for each job, a future for each waiter.

There is no task that sleeps: one timer wakes the scheduler when the next poll or deadline is due, and a
task exists only while there are requests to make. That keeps 100,000 waits small and cheap.
"""

import asyncio
import math
from collections import deque
from collections.abc import Iterable
from functools import partial
from typing import Final, cast

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
from bulkverify.service.timeouts import ORDINARY_SECONDS
from bulkverify.waiting.due import Agenda, Deadlines
from bulkverify.waiting.streams import URGENT_SECONDS, Stream
from bulkverify.waiting.waiters import Waiter

_log: Final = SafeLogger(__name__)

MOST_IN_FLIGHT: Final = 64
"""How many polls of one client may be under way at once."""

# A task goes on with the next poll that is due, which saves making another; but not for ever, because
# where answers come without any delay, nobody else would get a turn.
_POLLS_A_TASK: Final = 16

# Nobody else has a turn while those that are due are gathered, either.
_MOST_AT_ONCE: Final = 2_000

# What is out of date is not worth looking for among so few.
_FEW: Final = 64

# To find the stream that is most overdue, all that are ready have to be looked at for every poll.
# With more than this many, the best of so many will do: each is among them in its turn.
_MOST_COMPARED: Final = 2_000


class Scheduler:
    """All the polling of one client."""

    def __init__(self, known: KnownJobs) -> None:
        """Start with nothing to do, for the event loop that runs."""
        self._known = known
        self._stats = known.stats
        self.streams: dict[str, Stream] = {}  # of all jobs that are waited for, by id
        self._loop = asyncio.get_running_loop()
        # A stream whose `due` has changed is in there twice; what comes too early does not count.
        self._agenda = Agenda()
        # Those whose time has come, but for whom there was no room or no budget yet.
        self._ready: deque[Stream] = deque()
        self._deadlines = Deadlines()
        self._scarce = False
        # Since when each task has been waiting for an answer, and which have been told to stop.
        self._asking: dict[asyncio.Task[None], float] = {}
        self._stopped: set[asyncio.Task[None]] = set()
        self._held_until = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf

    async def close(self) -> None:
        """End every wait with `ClientClosedError`."""
        streams = list(self.streams.values())
        for stream in streams:
            stream.fail(
                ClientClosedError(
                    f"The client was closed while job {stream.job.id} was waited for. The job goes on: "
                    "wait for it from another client, by its id."
                )
            )
        await end_all([stream.task for stream in streams])

    def join(self, waiter: Waiter) -> None:
        """Take in a waiter: what is known already may end its wait, or else the job is asked about."""
        self._stats.waits += 1
        stream = self.streams.get(waiter.job.id) or Stream(waiter.job)
        job = stream.job
        if job.snapshot is not None:
            waiter.see(job.snapshot)
            if waiter.done():
                return
        if job.id not in self.streams:
            self.streams[job.id] = stream
            self._known.hold(job)
            self._stats.jobs += 1
        if waiter.timeout:  # with 0 it is due for its single poll, and not before
            self._deadlines.add(waiter)
        now = self._loop.time()
        if stream.add(waiter, now):
            self._enqueue(stream)
        if stream.ready and self._held_until > now and stream.is_urgent(now):
            self._ready.remove(stream)
            self._put_first(stream, now)
        self._arm()

    async def leave(self, waiter: Waiter) -> None:
        """Let a waiter go; the last one of a stream ends it, and waits until nothing of it runs."""
        task = self.part(waiter)
        if task is not None:
            await end_all([task])

    def part(self, waiter: Waiter) -> "asyncio.Task[None] | None":
        """Let a waiter go; return what polls for nobody now, for `end_all` to end."""
        waiter.leave()
        if not waiter.joined:  # what was known has ended the wait before it began
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
        """Remember when a stream is due."""
        if stream.due is None or stream.ready:
            return
        agenda = self._agenda
        agenda.add(stream.due, stream)
        # Most of it may be out of date.
        if agenda.count > _FEW and agenda.count > 2 * len(self.streams):
            agenda.clear()
            for one in self.streams.values():
                if one.due is not None and not one.ready:
                    agenda.add(one.due, one)

    def _arm(self) -> None:
        """Set the timer, unless it is set to an earlier moment: then it will be set again."""
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
        """Let waiters go whose deadline has come, and send the polls that are due."""
        self._timer, self._timer_at = None, math.inf
        try:
            now = self._loop.time()
            for waiter in self._deadlines.passed(now):
                self.streams[waiter.job.id].time_out(waiter)
            self._gather(now)
            self._forget_unwanted()
            while (
                len(self._asking) < MOST_IN_FLIGHT
                and (next_one := self._next_ready(now)) is not None
            ):
                self._send(next_one, now)
            self._stop_hanging(now)
            self._arm()
        except BaseException as error:  # noqa: BLE001 - raised again where it is no Exception
            self._break(error)

    def _gather(self, now: float) -> None:
        """Put those in line whose time has come."""
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
        """Let a stream that is urgent ask for a turn although the others are held back."""
        self._ready.appendleft(stream)
        self._held_until = now

    def _break(self, error: BaseException) -> None:
        """End every wait because of a mistake of our own, which would else keep all of them for ever."""
        for stream in list(self.streams.values()):
            stream.fail(error)
        if not isinstance(error, Exception):
            raise error

    def _send(self, stream: Stream, now: float) -> None:
        """Make a task that polls a stream; the program's own task factory may do as it likes."""
        work = self._work(stream)
        try:
            task = self._loop.create_task(work, name="bulkverify poll")
        except BaseException as error:
            work.close()
            stream.fail(error)
            if isinstance(error, SystemExit | KeyboardInterrupt):
                raise
        else:
            if not task.done():  # an eager one may be
                self._begin(task, stream, now)

    def _begin(self, task: "asyncio.Task[None]", stream: Stream, now: float) -> None:
        """Take notice of a task; it tells of itself when it has its first turn before anybody knows it."""
        if task not in self._asking:
            self._asking[task] = now
            stream.task = task
            task.add_done_callback(partial(self._tidy_up, stream))

    def _tidy_up(self, stream: Stream, task: "asyncio.Task[None]") -> None:
        """Give back the room of a task that was cancelled before its first turn: it never ran at all."""
        if self._asking.pop(task, None) is None:
            return
        self._stopped.discard(task)
        if stream.task is task:
            stream.task = None
            stream.lose(self._loop.time())
            self._enqueue(stream)
        self._arm()

    def _forget_unwanted(self) -> None:
        """Forget those for whom nobody waits any more, when they have become the most.

        While the budget is short, what is most overdue comes to the front, and they never are.
        """
        ready = self._ready
        if len(ready) <= _FEW or len(ready) <= 2 * len(self.streams):
            return
        self._ready = deque(stream for stream in ready if stream.due is not None)
        for stream in ready:
            stream.ready = stream.due is not None

    def _stop_hanging(self, now: float) -> None:
        """Cancel what has waited for an answer for too long; the longest waits come first."""
        while self._asking:
            task, since = next(iter(self._asking.items()))
            if since + ORDINARY_SECONDS > now:
                return
            self._stopped.add(task)
            task.cancel()
            del self._asking[task]
            self._asking[task] = now  # it may take a moment to end

    def _next_ready(self, now: float) -> Stream | None:
        """Take the stream to poll next, with a turn in the budget.

        While the budget is short, that is the one that is most overdue by its own measure.
        """
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
                    # Others may become urgent meanwhile.
                    self._held_until = now + min(held, URGENT_SECONDS / 2)
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
        if len(ready) >= count:  # others are to be compared the next time
            ready.rotate(1 - count)
        ready.appendleft(stream)

    async def _work(self, stream: Stream) -> None:
        """Poll one stream after the other, as long as there are any that are due."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - it is the one that runs this
        asking, time = self._asking, self._loop.time
        sent_at = time()
        self._begin(task, stream, sent_at)
        try:
            for left in reversed(range(_POLLS_A_TASK)):
                await self._poll(stream, task, sent_at)
                self._enqueue(stream)
                # What is taken must be polled: the last turn of a task takes nothing more.
                now = time()
                following = self._next_ready(now) if left else None
                if following is None:
                    break
                if stream.due is not None and stream.due < self._timer_at:
                    self._arm()
                stream = following
                stream.task = task
                sent_at = now
                del asking[task]  # so that the order stays that of the times
                asking[task] = sent_at
        except Exception as error:  # noqa: BLE001 - it is told to all who wait
            self._break(error)
        finally:
            del asking[task]
            self._stopped.discard(task)
            if not self._loop.is_closed():
                self._arm()

    async def _poll(self, stream: Stream, task: "asyncio.Task[None]", sent_at: float) -> None:
        """Poll one stream, and let all who wait for it know what came of it."""
        time = self._loop.time
        self._stats.polls += 1
        outcome: JobSnapshot | BulkVerifyError
        try:
            try:
                outcome = await self._known.poll(stream.job.id)
            except BulkVerifyError as error:
                outcome = error
            except asyncio.CancelledError:
                outcome = self._given_up(task)
            stream.take(outcome, sent_at, time())
        except asyncio.CancelledError:
            stream.lose(time())  # the last one may have left, or somebody cancels all tasks
            self._enqueue(stream)
            raise
        except BaseException as error:  # a mistake of ours, or of what the session was given
            if self._loop.is_closed():
                raise
            stream.fail(error)
            if isinstance(error, SystemExit | KeyboardInterrupt):
                raise
            _log.error("polling job %s broke", stream.job.id, exc_info=True)
        finally:
            stream.task = None

    def _given_up(self, task: "asyncio.Task[None]") -> TransportError:
        """Return what a poll comes to that was cancelled, unless it is its task that was."""
        if not task.cancelling():
            return ConnectionFailedError("Something cancelled the status call from within.")
        if task not in self._stopped or task.uncancel():
            raise asyncio.CancelledError
        self._stopped.discard(task)
        return RequestTimeoutError("The service did not answer the status call in time.")


def scheduler_of(job: Job) -> Scheduler:
    """Return the scheduler of a job's client; the first call makes it, and the client closes it.

    Raises:
        UsageError: the client belongs to another event loop.
    """
    known = known_of(job.client)
    known.enter_loop()
    if known.scheduler is None:
        known.scheduler = Scheduler(known)
    return cast("Scheduler", known.scheduler)


async def end_all(tasks: Iterable["asyncio.Task[None] | None"]) -> None:
    """Cancel tasks and wait until they are gone; their outcome is of no interest any more."""
    current = asyncio.current_task()
    running = [task for task in tasks if task is not None and task is not current]
    for task in running:
        task.cancel()
    if running:
        await asyncio.wait(running)

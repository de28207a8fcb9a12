"""The machinery behind waiting: a heap of what is due, a stream for each job, a future for each waiter.

There is no task that sleeps: one timer wakes the scheduler when the next poll or deadline is due, and a
task exists only while there are requests to make. That keeps 100,000 waits small and cheap.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Iterable
from typing import Final

from bulkverify.agenda import Agenda
from bulkverify.client import Client
from bulkverify.deadlines import Deadlines
from bulkverify.errors import BulkVerifyError, ClientClosedError
from bulkverify.models import JobSnapshot
from bulkverify.streams import Stream
from bulkverify.waiters import Waiter

_log: Final = logging.getLogger(__name__)

MOST_IN_FLIGHT: Final = 64
"""How many polls of one client may be under way at once."""

# A task goes on with the next poll that is due, which saves making another; but not for ever, because
# where answers come without any delay, nobody else would get a turn.
_POLLS_A_TASK: Final = 16

# Nobody else has a turn while those that are due are gathered, either.
_MOST_AT_ONCE: Final = 2_000

# To find the stream that is most overdue, all that are ready would have to be looked at for every
# poll. With more than this many, the best of some will do: each is among them in its turn.
_MOST_COMPARED: Final = 256


class Scheduler:
    """All the polling of one client."""

    def __init__(self, client: Client) -> None:
        """Start with nothing to do."""
        self._client = client
        self._handles = client.handles
        # A stream whose `due` has changed is in there twice; what comes too early does not count.
        self._agenda: Agenda[Stream] = Agenda()
        # Those whose time has come, but for whom there was no room or no budget yet.
        self._ready: deque[Stream] = deque()
        self._deadlines: Deadlines[Waiter] = Deadlines()
        self._scarce = False
        self._in_flight = 0
        self._held_until = 0.0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def streams(self) -> list[Stream]:
        """The streams of all jobs that are waited for."""
        return [stream for stream in self._handles.holders() if isinstance(stream, Stream)]

    async def close(self) -> None:
        """End every wait with `ClientClosedError`."""
        streams = self.streams
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
        stats, job = self._client.stats, waiter.job
        stats.waits += 1
        known = job.snapshot
        if known is not None:
            waiter.see(known)
            if waiter.done:
                return
        stream = self._handles.holder(job.id)
        if not isinstance(stream, Stream):
            stream = Stream(job)
            self._handles.hold(job.id, stream)
            stats.jobs += 1
        if waiter.timeout:  # with 0 it is due for its single poll, and not before
            self._deadlines.add(waiter)
        if stream.add(waiter, asyncio.get_running_loop().time()):
            self._enqueue(stream)
        self._arm()

    async def leave(self, waiter: Waiter) -> None:
        """Let a waiter go; the last one of a stream ends it, and waits until nothing of it runs."""
        task = self.part(waiter)
        if task is not None:
            await end_all([task])

    def part(self, waiter: Waiter) -> "asyncio.Task[None] | None":
        """Let a waiter go; return what polls for nobody now, for `end_all` to end."""
        waiter.leave()
        stream = waiter.stream
        if not isinstance(stream, Stream):  # what was known has ended the wait before it began
            return None
        if waiter.timeout:
            self._deadlines.discard(waiter)
        stream.remove(waiter)
        if stream.awaited:
            return None
        stream.due = None
        self._handles.release(stream.job.id)
        if not self._handles.held:
            self._agenda.clear()
            self._ready.clear()
            self._deadlines.clear()
            self._arm()
        return stream.task

    def _enqueue(self, stream: Stream) -> None:
        """Remember when a stream is due."""
        if stream.due is None or stream.ready:
            return
        self._agenda.add(stream.due, stream)
        if len(self._agenda) > 2 * self._handles.held + 64:  # most of it is out of date
            self._agenda.clear()
            for one in self.streams:
                if one.due is not None and not one.ready:
                    self._agenda.add(one.due, one)

    def _arm(self) -> None:
        """Set the timer, unless it is set to an earlier moment: then it will be set again."""
        wanted, due = self._deadlines.next(), self._agenda.next()
        if due is not None and (wanted is None or due < wanted):
            wanted = due
        if self._ready and self._in_flight < MOST_IN_FLIGHT:
            wanted = self._held_until if wanted is None else min(wanted, self._held_until)
        if self._timer is not None:
            if wanted is not None and self._timer.when() <= wanted:
                return
            self._timer.cancel()
            self._timer = None
        if wanted is not None:
            self._timer = asyncio.get_running_loop().call_at(wanted, self._wake_up)

    def _wake_up(self) -> None:
        """Let waiters go whose deadline has come, and send the polls that are due."""
        self._timer = None
        loop = asyncio.get_running_loop()
        now = loop.time()
        for waiter in self._deadlines.passed(now):
            if isinstance(waiter.stream, Stream):
                waiter.stream.time_out(waiter)
        gathered = 0
        while gathered < _MOST_AT_ONCE and (due := self._agenda.take(now)):
            gathered += len(due)
            for stream in due:
                if stream.due is not None and stream.due <= now and not stream.ready:
                    stream.ready = True
                    self._ready.append(stream)
        while self._in_flight < MOST_IN_FLIGHT and (next_one := self._next_ready(now)) is not None:
            self._in_flight += 1
            next_one.task = loop.create_task(self._work(next_one), name="bulkverify poll")
        self._arm()

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
                held = self._client.take_turn()
                if held > 0:
                    self._held_until = now + held
                    self._scarce = True
                    return None
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
        if len(ready) > count:
            ready.rotate(-count)
        position = max(range(count), key=lambda index: ready[index].overdue(now))
        ready.rotate(-position)

    async def _work(self, stream: Stream) -> None:
        """Poll one stream after the other, as long as there are any that are due."""
        task = stream.task
        clock = asyncio.get_running_loop().time
        now = clock()
        try:
            for left in reversed(range(_POLLS_A_TASK)):
                try:
                    now = await self._poll(stream, now)
                finally:
                    stream.task = None
                self._enqueue(stream)
                # What is taken must be polled: the last turn of a task takes nothing more.
                following = self._next_ready(now) if left else None
                if following is None:
                    break
                stream = following
                stream.task = task
        finally:
            self._in_flight -= 1
            self._arm()

    async def _poll(self, stream: Stream, sent_at: float) -> float:
        """Poll a stream, and return the time at which its answer was taken."""
        self._client.stats.polls += 1
        clock = asyncio.get_running_loop().time
        outcome: JobSnapshot | BulkVerifyError
        try:
            try:
                outcome = await self._client.poll(stream.job.id)
            except BulkVerifyError as error:
                outcome = error
            now = clock()
            stream.take(outcome, sent_at, now)
        except Exception as error:  # noqa: BLE001 - a mistake of ours must not leave anybody waiting
            _log.error("polling job %s broke", stream.job.id, exc_info=True)
            stream.fail(error)
            now = clock()
        return now


async def end_all(tasks: Iterable["asyncio.Task[None] | None"]) -> None:
    """Cancel tasks and wait until they are gone; their outcome is of no interest any more."""
    current = asyncio.current_task()
    running = [task for task in tasks if task is not None and task is not current]
    for task in running:
        task.cancel()
    if running:
        await asyncio.wait(running)

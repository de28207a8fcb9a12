"""The machinery behind waiting: a heap of what is due, a stream for each job, a future for each waiter.

There is no task that sleeps: one timer wakes the scheduler when the next poll or deadline is due, and a
task exists only while there are requests to make. That keeps 100,000 waits small and cheap.
"""

import asyncio
import heapq
import logging
from collections import deque
from typing import Final

from bulkverify.client import Client
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


class Scheduler:
    """All the polling of one client."""

    def __init__(self, client: Client) -> None:
        """Start with nothing to do."""
        self._client = client
        self._streams: dict[str, Stream] = {}
        self._heap: list[tuple[float, int, Stream]] = []
        self._sequence = 0
        # Those whose time has come, but for whom there was no room or no budget yet.
        self._ready: deque[Stream] = deque()
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
        stream = self._streams.get(waiter.job.id)
        if stream is None:
            stream = self._streams[waiter.job.id] = Stream(waiter.job)
            self._client.stats.jobs += 1
        stream.add(waiter, asyncio.get_running_loop().time())
        self._put(stream)
        self._arm()

    async def leave(self, waiter: Waiter) -> None:
        """Let a waiter go; the last one of a stream ends it, and waits until nothing of it runs."""
        waiter.leave()
        stream = waiter.stream
        if not isinstance(stream, Stream):  # what was known has ended the wait before it began
            return
        stream.remove(waiter)
        if stream.waiting:
            return
        del self._streams[stream.job.id]
        stream.due = stream.wake = None
        if not self._streams:
            self._heap.clear()
            self._ready.clear()
            self._arm()
        await _end([stream.task])

    def _put(self, stream: Stream) -> None:
        """See to it that the heap wakes a stream in time; once too early does no harm."""
        wake = stream.next_wake()
        if wake is not None and (stream.wake is None or wake < stream.wake):
            stream.wake = wake
            self._sequence += 1
            heapq.heappush(self._heap, (wake, self._sequence, stream))
            if len(self._heap) > 2 * len(self._streams) + 64:  # most of it is out of date
                self._heap = [entry for entry in self._heap if entry[2].wake == entry[0]]
                heapq.heapify(self._heap)

    def _arm(self) -> None:
        """Set the timer, unless it is set to an earlier moment: then it will be set again."""
        wanted = None
        if self._heap:
            wanted = self._heap[0][0]
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
        while self._heap and self._heap[0][0] <= now:
            wake, _, stream = heapq.heappop(self._heap)
            if stream.wake != wake:
                continue
            stream.wake = None
            stream.time_out(now)
            if not stream.ready and stream.due is not None and stream.due <= now:
                stream.ready = True
                self._ready.append(stream)
            self._put(stream)
        while self._in_flight < MOST_IN_FLIGHT and (next_one := self._next_ready(now)) is not None:
            self._in_flight += 1
            next_one.task = loop.create_task(self._work(next_one), name="bulkverify poll")
        self._arm()

    def _next_ready(self, now: float) -> Stream | None:
        """Take the stream to poll next, with a turn in the budget.

        While the budget is short, that is the one that is most overdue by its own measure.
        """
        if self._ready and self._held_until > now:
            return None
        while self._ready:
            if self._scarce:
                position = max(
                    range(len(self._ready)), key=lambda index: self._ready[index].overdue(now)
                )
                self._ready.rotate(-position)
            stream = self._ready[0]
            if stream.due is not None:
                held = self._client.take_turn()
                if held > 0:
                    self._held_until = now + held
                    self._scarce = True
                    return None
            self._ready.popleft()
            stream.ready = False
            if stream.due is not None:
                stream.due = None
                return stream
        self._scarce = False
        return None

    async def _work(self, stream: Stream) -> None:
        """Poll one stream after the other, as long as there are any that are due."""
        task = stream.task
        clock = asyncio.get_running_loop().time
        try:
            for left in reversed(range(_POLLS_A_TASK)):
                try:
                    await self._poll(stream)
                finally:
                    stream.task = None
                if stream.due is not None:
                    self._put(stream)
                # What is taken must be polled: the last turn of a task takes nothing more.
                following = self._next_ready(clock()) if left else None
                if following is None:
                    break
                stream = following
                stream.task = task
        finally:
            self._in_flight -= 1
            self._arm()

    async def _poll(self, stream: Stream) -> None:
        self._client.stats.polls += 1
        clock = asyncio.get_running_loop().time
        sent_at = clock()
        outcome: JobSnapshot | BulkVerifyError
        try:
            try:
                outcome = await self._client.poll(stream.job.id)
            except BulkVerifyError as error:
                outcome = error
            stream.take(outcome, sent_at, clock())
        except Exception as error:  # noqa: BLE001 - a mistake of ours must not leave anybody waiting
            _log.error("polling job %s broke", stream.job.id, exc_info=True)
            stream.fail(error)


async def _end(tasks: list["asyncio.Task[None] | None"]) -> None:
    """Cancel tasks and wait until they are gone; their outcome is of no interest any more."""
    current = asyncio.current_task()
    running = [task for task in tasks if task is not None and task is not current]
    for task in running:
        task.cancel()
    if running:
        await asyncio.wait(running)

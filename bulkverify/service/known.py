"""The jobs that one client knows, for its waits."""

import asyncio
import math
from collections.abc import Coroutine
from typing import Any, Final, Protocol
from weakref import WeakValueDictionary

from bulkverify.lifecycle import TERMINAL
from bulkverify.limits import NOT_FOUND_GRACE_SECONDS
from bulkverify.models import JobSnapshot
from bulkverify.service import calls
from bulkverify.service.transport import Stats, Transport

_MISSING_KEPT_SECONDS: Final = 3600.0

MOST_STARTED: Final = 10_000
"""How many started lists are remembered. An account can verify a hundred at once."""


class Handle(Protocol):
    """A user's handle of a job: `client.Job`."""

    @property
    def id(self) -> str:
        """The service's id."""
        ...

    @property
    def snapshot(self) -> JobSnapshot | None:
        """The latest snapshot."""

    def note(self, snapshot: JobSnapshot) -> bool:
        """Keep a snapshot, and return whether it was kept."""
        ...


class KnownJobs:
    """The handles of one client, and which of its jobs were started or not found."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.stats: Final[Stats] = transport.stats
        self.enter_loop: Final = transport.enter_loop
        self.take_turn: Final = transport.take_for_poll
        self.redacted: Final = transport.redacted
        self.tick: float = 0.0
        """Polls with long pauses are sent at multiples of so many seconds, by the clock of the event loop; 0 for
        any time. So those of many clients are sent together, for which the process wakes up less often."""
        self.scheduler: Any = None
        """The `Scheduler` of `waiting`, which imports this module; set by the first wait."""
        # The handles of jobs that are not polled. The streams hold the others, which saves the memory
        # of up to 100,000 weak references.
        self._idle: WeakValueDictionary[str, Handle] = WeakValueDictionary()
        self._started: dict[str, None] = {}  # in the order of the starts
        # For each job that was not found, when its grace period ends; the earliest comes first.
        self._missing: dict[str, float] = {}

    @property
    def is_sandbox(self) -> bool:
        """Whether the service has said that it is bulkverify's sandbox."""
        return self._transport.is_sandbox

    def poll(self, job_id: str) -> Coroutine[object, object, JobSnapshot]:
        """Send one status request without a timeout. `take_turn` must have allowed it.

        The scheduler sets the pace and the timeout of polls. This is a plain function, because another
        coroutine would slow every poll down.
        """
        return self._transport.once(calls.status(job_id), scheduled=True)

    def on_tick(self, time: float) -> float:
        """Return the first time from then on at which the polls of several clients are sent together."""
        return math.ceil(time / self.tick) * self.tick if self.tick else time

    async def close(self) -> None:
        """End every wait."""
        if self.scheduler is not None:
            await self.scheduler.close()

    def handle(self, job_id: str) -> Handle | None:
        """Return the handle of a job, or `None` if it is not in use."""
        if self.scheduler is not None:
            stream = self.scheduler.streams.get(job_id)
            if stream is not None:
                job: Handle = stream.job
                return job
        return self._idle.get(job_id)

    def add(self, handle: Handle) -> None:
        """Remember a handle while it is in use."""
        self._idle[handle.id] = handle

    def forget(self, handle: Handle) -> None:
        """Forget a handle while the stream of its job holds it; `add` remembers it again."""
        self._idle.pop(handle.id, None)

    def note(self, snapshot: JobSnapshot) -> bool:
        """Note a snapshot; return `False` if its status is earlier than the last."""
        job_id = snapshot.job_id
        if snapshot.status in TERMINAL:
            self._started.pop(job_id, None)
        if self._missing:
            self._missing.pop(job_id, None)
        handle = self.handle(job_id)
        return handle is None or handle.note(snapshot)

    def was_started(self, job_id: str) -> bool:
        """Return whether a job is known to be started and has not ended."""
        return job_id in self._started

    def note_start(self, job_id: str) -> None:
        """Remember that a job was started."""
        self._started[job_id] = None
        if len(self._started) > MOST_STARTED:  # the oldest job has ended, but no poll showed it
            del self._started[next(iter(self._started))]

    def note_deletion(self, job_id: str) -> None:
        """Remember that a job was deleted."""
        self._started.pop(job_id, None)
        self._note_missing(job_id, grace=0.0)

    def missing_until(self, job_id: str) -> float:
        """Note that a job was not found; return when a lagging replica can no longer be the cause.

        That is half a minute after the first such answer, in the event loop's time.
        """
        until = self._missing.get(job_id)
        return self._note_missing(job_id, NOT_FOUND_GRACE_SECONDS) if until is None else until

    def _note_missing(self, job_id: str, grace: float) -> float:
        now = asyncio.get_running_loop().time()
        missing = self._missing
        missing.pop(job_id, None)
        missing[job_id] = now + grace
        while missing[oldest := next(iter(missing))] < now - _MISSING_KEPT_SECONDS:
            del missing[oldest]
        return now + grace

"""What one client knows of its jobs, and how its waits ask about them."""

import asyncio
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
"""So many started lists are remembered at most; an account has a hundred under way at once."""


class Handle(Protocol):
    """A job as users hold it: `client.Job`."""

    @property
    def id(self) -> str:
        """The service's id."""
        ...

    @property
    def snapshot(self) -> JobSnapshot | None:
        """The furthest that has been seen of it."""

    def note(self, snapshot: JobSnapshot) -> bool:
        """Keep a snapshot, and return whether it was kept."""
        ...


class KnownJobs:
    """One client's handles, which of its jobs were started or not found, and its polls.

    `Client` writes to it, the scheduler and the streams of the waits read it.

    Attributes:
        scheduler: set by the first wait, and closed with the client.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.stats: Final[Stats] = transport.stats
        self.enter_loop: Final = transport.enter_loop
        self.take_turn: Final = transport.take_for_poll
        self.redacted: Final = transport.redacted
        self.scheduler: Any = (
            None  # a `waiting.scheduler.Scheduler`, which stands above this module
        )
        # While a job is polled, its stream keeps the handle: that saves a weak reference for each of
        # the 100,000 jobs that may be waited for.
        self._idle: WeakValueDictionary[str, Handle] = WeakValueDictionary()
        self._started: dict[str, None] = {}  # in the order of the starts
        # When each job that was not found is gone for good; in the order of these times.
        self._missing: dict[str, float] = {}

    def poll(self, job_id: str) -> Coroutine[object, object, JobSnapshot]:
        """Ask about a job once, with a turn from `take_turn` and without a timeout.

        The scheduler has a pace of its own and watches the time of all polls. This is a plain
        function, because one more frame would slow every poll down.
        """
        return self._transport.once(calls.status(job_id), scheduled=True)

    async def close(self) -> None:
        """End every wait."""
        if self.scheduler is not None:
            await self.scheduler.close()

    def handle(self, job_id: str) -> Handle | None:
        """Return the handle of a job while it is in use anywhere."""
        if self.scheduler is not None:
            stream = self.scheduler.streams.get(job_id)
            if stream is not None:
                job: Handle = stream.job
                return job
        return self._idle.get(job_id)

    def add(self, handle: Handle) -> None:
        """Find a handle by its id from now on, for as long as it is in use."""
        self._idle[handle.id] = handle

    def hold(self, handle: Handle) -> None:
        """Let the stream of a job keep its handle; `add` undoes it."""
        self._idle.pop(handle.id, None)

    def note(self, snapshot: JobSnapshot) -> bool:
        """Take note of any answer about a job; return `False` if the job was further on before."""
        job_id = snapshot.job_id
        if snapshot.status in TERMINAL:
            self._started.pop(job_id, None)
        if self._missing:
            self._missing.pop(job_id, None)
        handle = self.handle(job_id)
        return handle is None or handle.note(snapshot)

    def was_started(self, job_id: str) -> bool:
        """Whether a job is known to be started, and not yet to have ended."""
        return job_id in self._started

    def note_start(self, job_id: str) -> None:
        """Remember that a job was started."""
        self._started[job_id] = None
        if len(self._started) > MOST_STARTED:  # the first of them were never seen to end
            del self._started[next(iter(self._started))]

    def note_deletion(self, job_id: str) -> None:
        """Remember that a job was deleted: it is gone at once."""
        self._started.pop(job_id, None)
        self._note_missing(job_id, grace=0.0)

    def missing_until(self, job_id: str) -> float:
        """Take note that a job was not found; return until when a lagging replica may be the reason.

        That is half a minute from the first such answer, in the event loop's time.
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

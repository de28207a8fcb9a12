"""The waiters for a job: each snapshot may end a wait, with a result or an error."""

import asyncio
import contextvars
from collections import deque
from collections.abc import Callable
from typing import ClassVar

from tenacity.wait import wait_base

from bulkverify.client import Job
from bulkverify.errors import (
    BulkVerifyError,
    IllegalTransitionError,
    JobCancelledError,
    JobFailedError,
    JobNotStartedError,
    LifecycleError,
    UnreachableStatusError,
    WaitTimeoutError,
    plural,
)
from bulkverify.lifecycle import REACHABLE, JobStatus, can_reach, in_words, satisfies
from bulkverify.models import JobSnapshot


class _Changes:
    """Calls back with each snapshot that differs from the last, in the caller's context."""

    __slots__ = ("_context", "_last", "_tell")

    def __init__(
        self, tell: Callable[[JobSnapshot], object], context: contextvars.Context | None
    ) -> None:
        self._tell = tell
        self._context = contextvars.copy_context() if context is None else context
        self._last: JobSnapshot | None = None

    def __call__(self, snapshot: JobSnapshot) -> None:
        if snapshot != self._last:
            self._last = snapshot
            self._context.run(self._tell, snapshot)


class Waiter(asyncio.Future[JobSnapshot]):
    """One wait for a job: a future of the snapshot that ends it.

    There may be 100,000 waiters, so each is small: it is the future itself, and stores nothing that can be
    derived.
    """

    __slots__ = (
        "_report",
        "job",
        "joined",
        "joined_at",
        "newer",
        "older",
        "policy",
        "polls_before",
        "target",
        "timeout",
    )

    waits_for_start: ClassVar[bool] = True
    """Whether the wait ends with an error if the job stays ready and was not started."""

    def __init__(
        self,
        *,
        job: Job,
        target: JobStatus,
        timeout: float | None,
        policy: wait_base,
        on_progress: Callable[[JobSnapshot], object] | None = None,
        context: contextvars.Context | None = None,
        joined_at: float | None = None,
    ) -> None:
        """Wait from `joined_at` on, by default now. A `timeout` of 0 means a single poll.

        `on_progress` is called with every change, in `context` or a copy of the current one.
        """
        loop = asyncio.get_running_loop()
        super().__init__(loop=loop)
        self.job: Job = job
        self.target: JobStatus = target
        self.policy: wait_base = policy
        self.joined_at: float = loop.time() if joined_at is None else joined_at
        self.timeout: float | None = timeout
        self.joined: bool = False  # whether it is in the stream of its job
        self.polls_before: int = 0  # how many polls the stream had made when it joined
        self.newer: Waiter | None = None  # the next newer waiter of the stream
        self.older: Waiter | None = None  # the next older one
        self._report = None if on_progress is None else _Changes(on_progress, context)

    @property
    def deadline(self) -> float | None:
        """When the wait times out, in the loop's time."""
        return None if self.timeout is None else self.joined_at + self.timeout

    @property
    def wants_every_change(self) -> bool:
        """Whether it needs every changed snapshot, and not only those with a new status."""
        return self._report is not None

    def see(self, snapshot: JobSnapshot) -> None:
        """Report a snapshot to the callback, and end the wait if the snapshot decides it."""
        if self.done():
            return
        if self._report is not None:
            try:
                self._report(snapshot)
            except BaseException as error:  # noqa: BLE001 - the callback is the caller's
                self.fail(error)
            if self.done():  # the callback may also have cancelled it
                return
        self._decide(snapshot)

    def fail(self, error: BaseException) -> None:
        """End the wait with an error."""
        if self.done():
            return
        if isinstance(error, StopIteration):  # futures refuse it
            stopped, error = error, RuntimeError("StopIteration was raised.")
            error.__cause__ = stopped
        self.set_exception(error)

    def time_out(self, *, polls: int, last_error: BulkVerifyError | None) -> None:
        """End the wait at its deadline."""
        self.fail(_timed_out(self.job, self.target, polls, last_error))

    def leave(self) -> None:
        """Stop waiting. This also keeps asyncio from logging an error that was not retrieved."""
        self.cancel()

    def _decide(self, snapshot: JobSnapshot) -> None:
        if satisfies(snapshot.status, self.target):
            self.set_result(snapshot)
        elif not can_reach(snapshot.status, self.target):
            self.fail(_unreachable(snapshot, self.target))


class Watcher(Waiter):
    """Yields every change of a job until the job ends."""

    __slots__ = ("_changes", "_wakeup")

    waits_for_start: ClassVar[bool] = False

    def __init__(self, *, job: Job, timeout: float | None, policy: wait_base) -> None:
        self._changes: deque[JobSnapshot] = deque()
        self._wakeup = asyncio.Event()
        super().__init__(
            job=job,
            target=JobStatus.COMPLETED,
            timeout=timeout,
            policy=policy,
            on_progress=self._keep,
        )
        self.add_done_callback(lambda _: self._wakeup.set())

    async def next(self) -> JobSnapshot | None:
        """Return the next change; `None` when the job has ended."""
        while not self._changes:
            if self.done():
                self.result()
                return None
            self._wakeup.clear()
            await self._wakeup.wait()
        return self._changes.popleft()

    def _keep(self, snapshot: JobSnapshot) -> None:
        self._changes.append(snapshot)
        self._wakeup.set()

    def _decide(self, snapshot: JobSnapshot) -> None:
        if snapshot.ended:
            self.set_result(snapshot)


def _unreachable(snapshot: JobSnapshot, target: JobStatus) -> LifecycleError:
    job_id = snapshot.job_id
    said = f" ({snapshot.message.rstrip(' .')})" if snapshot.message else ""
    if snapshot.status is JobStatus.FAILED:
        message = f"Job {job_id} failed{said}. Nothing was verified; correct the list and upload it again."
        return JobFailedError(message, job_id=job_id, snapshot=snapshot)
    if snapshot.status is JobStatus.CANCELLED:
        message = f"Job {job_id} was cancelled{said}. Only the vendor can do that: ask its support."
        return JobCancelledError(message, job_id=job_id, snapshot=snapshot)
    message = f"Job {job_id} is {snapshot.status}, and can no longer be {target}."
    return UnreachableStatusError(message, job_id=job_id, snapshot=snapshot)


def not_started(snapshot: JobSnapshot, seconds: float) -> JobNotStartedError:
    """Return the error for a job that stays ready."""
    return JobNotStartedError(
        f"Job {snapshot.job_id} has been ready for {seconds:.0f} seconds and was not started.",
        job_id=snapshot.job_id,
        snapshot=snapshot,
    ).with_hint(
        "Start it with `await job.start()`, which spends the credits, and wait again.",
        "Starting it spends the credits.",
    )


def went_back(known: JobSnapshot, snapshot: JobSnapshot) -> IllegalTransitionError:
    """Return the error for a job that is reported in an earlier status for too long."""
    following = in_words(REACHABLE[known.status])
    return IllegalTransitionError(
        f"Job {known.job_id} was {known.status}, and the service has reported it as {snapshot.status} for "
        f"a minute, too long for a lagging replica. {f'Only {following}' if following else 'Nothing'} can follow "
        f"{known.status}. Wait for it again later; if that fails too, ask the vendor's support.",
        job_id=known.job_id,
        snapshot=known,
        known=known.status,
        seen=snapshot.status,
    )


def _timed_out(
    job: Job, target: JobStatus, polls: int, last_error: BulkVerifyError | None
) -> WaitTimeoutError:
    snapshot = job.snapshot
    seen = "had no known status" if snapshot is None else f"is still {snapshot.status}"
    if snapshot is not None and snapshot.verified is not None:
        seen += f" ({snapshot.verified} of {snapshot.total} verified)"
    failure = f" The last error: {last_error.message}" if last_error else ""
    return WaitTimeoutError(
        f"Job {job.id} {seen} at the end of the wait for {target}, after {plural(polls, 'poll')}.{failure}",
        job_id=job.id,
        snapshot=snapshot,
        polls=polls,
        last_error=last_error,
    ).with_hint(
        "The job goes on. Wait for it again, in this or another process, with "
        f"`wait_until(client.job({job.id!r}), {target.value!r})`.",
        "",  # the command line adds the command that waits again
    )

"""The functions that wait for jobs. All waits for a job share its polls."""

import asyncio
import contextvars
import inspect
import math
from collections.abc import AsyncGenerator, Callable, Iterable
from functools import partial
from typing import Final

from tenacity.wait import wait_base

from bulkverify.client import Job
from bulkverify.errors import BulkVerifyError, UsageError, clause
from bulkverify.lifecycle import JobStatus, StatusName, parse_status
from bulkverify.limits import DEFAULT_TIMEOUT
from bulkverify.models import JobSnapshot
from bulkverify.waiting.pacing import wait_for_progress
from bulkverify.waiting.scheduler import end_all, scheduler_of
from bulkverify.waiting.waiters import Waiter, Watcher

_DEFAULT_WAIT: Final = wait_for_progress()
_JOINED_AT_ONCE: Final = 500


async def wait_until(
    job: Job,
    status: JobStatus | StatusName = "completed",
    *,
    timeout: float | None = DEFAULT_TIMEOUT,
    wait: wait_base | None = None,
    on_progress: Callable[[JobSnapshot], object] | None = None,
) -> JobSnapshot:
    """Wait until a job has reached a status or passed it, and return the snapshot.

    Any number of tasks may wait for one job, and share its polls. The wait goes on after temporary failures:
    429, 5xx, a timeout, a broken connection, a proxy's page.

    Args:
        job: the job, from `Client.upload` or `Client.job`.
        status: the status to wait for. If it is a text from outside, pass `JobStatus(text)`.
        timeout: seconds for the whole wait; `None` for no limit. The job is polled at least once, unless
            the service asks for a longer pause. With 0 it is polled exactly once, as soon as allowed.
        wait: a tenacity wait strategy for the pauses between polls; by default `wait_for_progress()`.
        on_progress: called with the first snapshot and with every one that differs from the last, in the
            context (`contextvars`) of this call. If it raises, only this wait ends.

    Raises:
        WaitTimeoutError: the timeout came first. The job goes on; you can wait for it again.
        JobFailedError: the service could not use the list.
        JobCancelledError: the vendor has cancelled the job.
        JobNotStartedError: the job has been ready for a minute, and this client has not started it. If
            another process has, use `Client.job(job_id, started=True)`.
        UnreachableStatusError: the job has ended, and the status can no longer come.
        IllegalTransitionError: the service has reported an earlier status for a minute.
        ClientClosedError: the client was closed.
        JobNotFoundError: the service has not known the job for half a minute.
        ServiceError: any other refusal, for example because the key is wrong.
        ProtocolError: this version can't read the answer.
        UsageError: an argument is wrong.
    """
    waiter = _waiting(status, timeout, wait, on_progress)(job=job)
    scheduler = scheduler_of(job)
    try:
        scheduler.join(waiter)
        return await waiter
    finally:
        await scheduler.leave(waiter)


async def wait_all(
    jobs: Iterable[Job],
    status: JobStatus | StatusName = "completed",
    *,
    timeout: float | None = DEFAULT_TIMEOUT,
    wait: wait_base | None = None,
    on_progress: Callable[[JobSnapshot], object] | None = None,
) -> list[JobSnapshot]:
    """Wait for many jobs as `wait_until` does for one, and return their snapshots in the same order.

    The first error is raised and ends all of these waits; the jobs go on. Use `as_completed` to get the
    outcome of each job. The timeout is for all jobs together.
    """
    group = _WaitGroup(_waiting(status, timeout, wait, on_progress))
    try:
        await group.join(jobs)
        for _ in group.waiters:
            ended = await group.ended.get()
            ended.result()
        return [waiter.result() for waiter in group.waiters]
    finally:
        await group.leave()


async def as_completed(
    jobs: Iterable[Job],
    status: JobStatus | StatusName = "completed",
    *,
    timeout: float | None = DEFAULT_TIMEOUT,
    wait: wait_base | None = None,
    on_progress: Callable[[JobSnapshot], object] | None = None,
) -> AsyncGenerator[tuple[Job, JobSnapshot | BulkVerifyError]]:
    """Wait for many jobs as `wait_until` does for one, and yield each as soon as its wait ends.

    Each job comes with its snapshot, or with the error that `wait_until` would have raised, so a failed
    job does not end the other waits. The timeout is for all jobs together. To stop early, use
    `contextlib.aclosing`, which ends all polling at once.

    Raises:
        UsageError: an argument is wrong.
    """
    group = _WaitGroup(_waiting(status, timeout, wait, on_progress))
    try:
        await group.join(jobs)
        for _ in group.waiters:
            waiter = await group.ended.get()
            error = waiter.exception()
            if error is None:
                yield waiter.job, waiter.result()
            elif isinstance(error, BulkVerifyError):
                yield waiter.job, error
            else:
                raise error
    finally:
        await group.leave()


async def watch(
    job: Job,
    *,
    timeout: float | None = DEFAULT_TIMEOUT,
    wait: wait_base | None = None,
) -> AsyncGenerator[JobSnapshot]:
    """Yield every changed snapshot of a job, from the first until the job ends.

    A failed or cancelled job ends the iteration like a completed one: check the last snapshot. To stop
    early, use `contextlib.aclosing`, which ends the polling at once.

    Args:
        job: the job.
        timeout: seconds for the whole iteration; `None` for no limit.
        wait: as for `wait_until`.

    Raises:
        WaitTimeoutError: the timeout came first.
        IllegalTransitionError, ClientClosedError, ServiceError, ProtocolError, UsageError: as for
            `wait_until`.
    """
    watcher = Watcher(job=job, timeout=_check_timeout(timeout), policy=_check_wait(wait))
    scheduler = scheduler_of(job)
    try:
        scheduler.join(watcher)
        while (snapshot := await watcher.next()) is not None:
            yield snapshot
    finally:
        await scheduler.leave(watcher)


class _WaitGroup:
    """The waiters of one call. Each is put into `ended` when its wait ends."""

    def __init__(self, waiting: Callable[..., Waiter]) -> None:
        self._waiting = waiting
        self._context = contextvars.copy_context()  # shared by all callbacks
        self.waiters: list[Waiter] = []
        self.ended: asyncio.Queue[Waiter] = asyncio.Queue()

    async def join(self, jobs: Iterable[Job]) -> None:
        """Begin to wait for all jobs. Other tasks run in between."""
        for count, job in enumerate(jobs, start=1):
            scheduler = scheduler_of(job)  # raises if the client belongs to another event loop
            waiter = self._waiting(job=job)
            self.waiters.append(waiter)
            waiter.add_done_callback(self.ended.put_nowait, context=self._context)
            scheduler.join(waiter)
            if count % _JOINED_AT_ONCE == 0:
                await asyncio.sleep(0)

    async def leave(self) -> None:
        """Remove all waiters, and cancel the polls that are no longer needed."""
        await end_all([scheduler_of(waiter.job).remove(waiter) for waiter in self.waiters])


def _waiting(
    status: str,
    timeout: float | None,
    wait: wait_base | None,
    on_progress: Callable[[JobSnapshot], object] | None,
) -> Callable[..., Waiter]:
    """Return a function that makes a waiter for a `job`. All its waiters begin at the same time."""
    try:
        target = parse_status(status)
    except ValueError as error:
        raise UsageError(f"{clause(error)}.") from None
    plain = callable(on_progress) and not inspect.iscoroutinefunction(on_progress)
    if on_progress is not None and not plain:
        raise UsageError("`on_progress` is not awaited: pass a plain function.")
    return partial(
        Waiter,
        target=target,
        timeout=_check_timeout(timeout),
        policy=_check_wait(wait),
        on_progress=on_progress,
        context=None if on_progress is None else contextvars.copy_context(),
        joined_at=asyncio.get_running_loop().time(),
    )


def _check_wait(wait: wait_base | None) -> wait_base:
    if wait is None:
        return _DEFAULT_WAIT
    if not callable(wait):
        raise UsageError(
            "`wait` must be a tenacity wait strategy, such as `wait_fixed(5)`, "
            f"not {type(wait).__name__}."
        )
    return wait


def _check_timeout(timeout: float | None) -> float | None:
    number = isinstance(timeout, int | float)
    if timeout is not None and not (number and timeout >= 0):  # refuses NaN too
        raise UsageError(f"A timeout must be a number of seconds from 0, or None, not {timeout!r}.")
    return None if timeout == math.inf else timeout

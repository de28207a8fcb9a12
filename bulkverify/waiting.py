"""Waiting for jobs: one poll stream a job, shared by everyone who waits for it."""

import asyncio
import inspect
import math
from collections.abc import AsyncGenerator, Callable, Iterable
from functools import partial
from typing import Final

from tenacity.wait import wait_base

from bulkverify.client import Job
from bulkverify.errors import BulkVerifyError, UsageError
from bulkverify.lifecycle import parse_status
from bulkverify.models import JobSnapshot
from bulkverify.pacing import wait_for_progress
from bulkverify.polling import Scheduler
from bulkverify.waiters import Waiter, Watcher

DEFAULT_TIMEOUT: Final = 24 * 3600.0
"""The seconds after which a wait gives up unless told otherwise."""

_DEFAULT_WAIT: Final = wait_for_progress()


async def wait_until(
    job: Job,
    status: str = "completed",
    *,
    timeout: float | None = DEFAULT_TIMEOUT,
    wait: wait_base | None = None,
    on_progress: Callable[[JobSnapshot], object] | None = None,
) -> JobSnapshot:
    """Wait until a job is in a status or well past it, and return the snapshot that shows it.

    Any number of tasks may wait for one job; its status is asked for once for all of them. Answers
    that are only late or missing (429, 5xx, a broken connection, a proxy's page) are waited out.

    Args:
        job: the job, from `Client.upload` or `Client.job`.
        status: the status to wait for, as a `JobStatus` or its text.
        timeout: seconds for everything, requests included; `None` for no limit. With 0 the job is
            asked about once.
        wait: when to ask again, as any of tenacity's wait strategies; by default the polls follow
            the job's own progress.
        on_progress: called with the first snapshot and with every one that differs from the last.

    Raises:
        WaitTimeoutError: the timeout came first; the job goes on, and can be waited for again.
        JobFailedError: the service could not use the list.
        JobCancelledError: the job was ended from outside.
        JobNotStartedError: it has been ready for a minute, and this client has not started it.
        UnreachableStatusError: it ended well, and the awaited status can no longer come.
        IllegalTransitionError: for a minute the service has reported a step backwards.
        ClientClosedError: the client was closed.
        ServiceError: the service refuses to say, for example because the key is wrong.
        ProtocolError: an answer that this version can't read.
        UsageError: an argument can't be right.
    """
    waiter = _waiters([job], status, timeout, wait, on_progress)[0]
    scheduler = job.client.attached(Scheduler)
    scheduler.join(waiter)
    try:
        return await waiter.result
    finally:
        await scheduler.leave(waiter)


async def wait_all(
    jobs: Iterable[Job],
    status: str = "completed",
    *,
    timeout: float | None = DEFAULT_TIMEOUT,
    wait: wait_base | None = None,
    on_progress: Callable[[JobSnapshot], object] | None = None,
) -> list[JobSnapshot]:
    """Wait for many jobs like `wait_until` for one, and return their snapshots in the same order.

    The first error ends the wait for all of them, and is raised; the jobs go on. To see each job to
    its own end, take `as_completed`. The timeout is for all together.
    """
    waiters = _waiters(jobs, status, timeout, wait, on_progress)
    try:
        for waiter in waiters:
            waiter.job.client.attached(Scheduler).join(waiter)
        if waiters:
            results = [waiter.result for waiter in waiters]
            await asyncio.wait(results, return_when=asyncio.FIRST_EXCEPTION)
            for result in results:
                if result.done():
                    result.result()
        return [waiter.result.result() for waiter in waiters]
    finally:
        await _leave_all(waiters)


async def as_completed(
    jobs: Iterable[Job],
    status: str = "completed",
    *,
    timeout: float | None = DEFAULT_TIMEOUT,
    wait: wait_base | None = None,
    on_progress: Callable[[JobSnapshot], object] | None = None,
) -> AsyncGenerator[tuple[Job, JobSnapshot | BulkVerifyError]]:
    """Wait for many jobs like `wait_until` for one, and give each as soon as its wait is over.

    With each job comes its snapshot, or the error that `wait_until` would have raised: one job that
    fails does not keep the others from being seen. The timeout is for all together. Leave the
    iteration early within `contextlib.aclosing`, which ends all polling at once.

    Raises:
        UsageError: an argument can't be right.
    """
    waiters = _waiters(jobs, status, timeout, wait, on_progress)
    over: asyncio.Queue[Waiter] = asyncio.Queue()
    try:
        for waiter in waiters:
            waiter.result.add_done_callback(partial(_put, over, waiter))
            waiter.job.client.attached(Scheduler).join(waiter)
        for _ in waiters:
            waiter = await over.get()
            error = waiter.result.exception()
            if error is None:
                yield waiter.job, waiter.result.result()
            elif isinstance(error, BulkVerifyError):
                yield waiter.job, error
            else:
                raise error
    finally:
        await _leave_all(waiters)


async def watch(
    job: Job,
    *,
    timeout: float | None = DEFAULT_TIMEOUT,
    wait: wait_base | None = None,
) -> AsyncGenerator[JobSnapshot]:
    """Give every change of a job, from its first snapshot to the one in which it ends.

    A failed or cancelled job ends the iteration like a completed one: look at the last snapshot.
    Leave the iteration early within `contextlib.aclosing`, which ends the polling at once.

    Args:
        job: the job.
        timeout: seconds for everything; `None` for no limit.
        wait: as for `wait_until`.

    Raises:
        WaitTimeoutError: the timeout came first.
        IllegalTransitionError, ClientClosedError, ServiceError, ProtocolError, UsageError: as for
            `wait_until`.
    """
    watcher = Watcher(job=job, timeout=_check_timeout(timeout), policy=wait or _DEFAULT_WAIT)
    scheduler = job.client.attached(Scheduler)
    scheduler.join(watcher)
    try:
        while (snapshot := await watcher.next()) is not None:
            yield snapshot
    finally:
        await scheduler.leave(watcher)


def _waiters(
    jobs: Iterable[Job],
    status: str,
    timeout: float | None,
    wait: wait_base | None,
    on_progress: Callable[[JobSnapshot], object] | None,
) -> list[Waiter]:
    try:
        target = parse_status(status)
    except ValueError as error:
        raise UsageError(f"{error}.") from None
    if inspect.iscoroutinefunction(on_progress):
        raise UsageError("`on_progress` is called, not awaited: give a plain function.")
    timeout = _check_timeout(timeout)
    return [
        Waiter(
            job=job,
            target=target,
            timeout=timeout,
            policy=wait or _DEFAULT_WAIT,
            on_progress=on_progress,
        )
        for job in jobs
    ]


def _put(queue: asyncio.Queue[Waiter], waiter: Waiter, _: asyncio.Future[JobSnapshot]) -> None:
    queue.put_nowait(waiter)


async def _leave_all(waiters: Iterable[Waiter]) -> None:
    for waiter in waiters:
        await waiter.job.client.attached(Scheduler).leave(waiter)


def _check_timeout(timeout: float | None) -> float | None:
    if timeout is not None and (math.isnan(timeout) or timeout < 0):
        raise UsageError(f"A timeout is a number of seconds from 0 on, or None, not {timeout}.")
    return None if timeout == math.inf else timeout

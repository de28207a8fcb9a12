"""The commands that take one step each with a list, an address or the account."""

from contextlib import aclosing
from pathlib import Path
from typing import Annotated

import attrs
from cyclopts import Parameter

from bulkverify.cli.options import ACCOUNT, TIMEOUT, Account, Timeout, read_verdicts
from bulkverify.cli.output import SHOW, Show
from bulkverify.cli.resume import Standing
from bulkverify.cli.text import address_lines, snapshot_line, snapshot_lines
from bulkverify.cli.watching import progress
from bulkverify.errors import JobCancelledError, JobFailedError
from bulkverify.files import check_writable
from bulkverify.lifecycle import JobStatus
from bulkverify.limits import LONGEST_VERIFY_SECONDS
from bulkverify.models import JobSnapshot, Verdict
from bulkverify.waiting.waits import wait_until, watch

JobId = Annotated[str, Parameter(metavar="JOB")]
Output = Annotated[Path, Parameter(alias="-o", metavar="OUT")]
Injected = Annotated[Standing, Parameter(parse=False)]


@attrs.frozen(kw_only=True)
class Downloaded:
    """What a download came to."""

    job_id: str
    rows: int
    destination: str


async def upload(
    source: Annotated[Path, Parameter(name="LIST")],
    /,
    *,
    account: Account = ACCOUNT,
    show: Show = SHOW,
    standing: Injected,
) -> None:
    """Upload a list as it is, and print its job id; this costs nothing yet.

    Args:
        source: a CSV file of at most 10 MB.
        account: whose account.
        show: how to show it.
        standing: kept up to date.
    """
    async with account.open() as client:
        standing.state = (
            "If the list has arrived it is on the service without being started, and cost nothing."
        )
        with progress(show) as line:
            line.show("uploading")
            job = await client.upload(source)
    acknowledgement = {"job_id": job.id}
    show.data(acknowledgement, job.id)
    show.note(
        f"Uploaded {source}. Go on with:\n"
        f"  {standing.other('wait', job.id, '--until', 'ready')}\n"
        f"  {standing.other('start', job.id)}    (spends a credit for each address)"
    )


async def status(
    job: JobId,
    /,
    *,
    watching: Annotated[bool, Parameter(name="--watch")] = False,
    timeout: Timeout = TIMEOUT,
    account: Account = ACCOUNT,
    show: Show = SHOW,
    standing: Injected,
) -> None:
    """Print how a job is doing.

    Args:
        job: the job's id.
        watching: print a line for each change until the job ends.
        timeout: how long to watch at most: 90, 90s, 15m or 6h.
        account: whose account.
        show: how to show it.
        standing: kept up to date.
    """
    async with account.open() as client:
        handle = client.job(job)
        if not watching:
            snapshot = await handle.status()
            show.data(snapshot, snapshot_lines(snapshot))
            return
        snapshot = JobSnapshot(job_id=job, status=JobStatus.PREPARING)
        _note(standing, snapshot)
        async with aclosing(watch(handle, timeout=timeout)) as snapshots:
            async for snapshot in snapshots:
                _note(standing, snapshot)
                show.data(snapshot, snapshot_line(snapshot))
        _require_success(snapshot)


async def start(
    job: JobId,
    /,
    *,
    account: Account = ACCOUNT,
    show: Show = SHOW,
    standing: Injected,
) -> None:
    """Start the verification of a list, which spends one credit for each address, once.

    Args:
        job: the job's id; it must be ready.
        account: whose account.
        show: how to show it.
        standing: kept up to date.
    """
    async with account.open() as client:
        acknowledgement = await client.start(job)
    show.acknowledge(
        acknowledgement, f"Started {job}. Go on with:\n  {standing.other('wait', job)}"
    )


async def wait(
    job: JobId,
    /,
    *,
    until: JobStatus = JobStatus.COMPLETED,
    timeout: Timeout = TIMEOUT,
    account: Account = ACCOUNT,
    show: Show = SHOW,
    standing: Injected,
) -> None:
    """Wait until a job has a status, and print how it is doing then.

    Args:
        job: the job's id.
        until: the status to wait for; one well past it will do too.
        timeout: how long to wait at most: 90, 90s, 15m or 6h; 0 asks once.
        account: whose account.
        show: how to show it.
        standing: kept up to date.
    """
    async with account.open() as client:
        with progress(show) as line:

            def follow(seen: JobSnapshot) -> None:
                line.show(seen.status, seen)
                _note(standing, seen)

            line.show("waiting")
            _note(standing, JobSnapshot(job_id=job, status=JobStatus.PREPARING))
            snapshot = await wait_until(client.job(job), until, timeout=timeout, on_progress=follow)
    show.data(snapshot, snapshot_lines(snapshot))


async def download(
    job: JobId,
    /,
    *,
    output: Output,
    only: Annotated[
        list[Verdict] | None, Parameter(converter=read_verdicts, consume_multiple=True)
    ] = None,
    force: bool = False,
    account: Account = ACCOUNT,
    show: Show = SHOW,
) -> None:
    """Download the results of a completed job.

    Args:
        job: the job's id.
        output: the file to write; it appears when it is complete.
        only: only the rows with one of these verdicts.
        force: replace the file if it exists.
        account: whose account.
        show: how to show it.
    """
    check_writable(output, overwrite=force)
    async with account.open() as client:
        with progress(show) as line:
            line.show("downloading")
            rows = await client.download(job, output, verdicts=only)
    show.acknowledge(
        Downloaded(job_id=job, rows=rows, destination=str(output)),
        f"Wrote {rows:,} rows to {output}.",
    )


async def delete(job: JobId, /, *, account: Account = ACCOUNT, show: Show = SHOW) -> None:
    """Delete a list from the service, with its results.

    Args:
        job: the job's id; it must be ready or completed.
        account: whose account.
        show: how to show it.
    """
    async with account.open() as client:
        acknowledgement = await client.delete(job)
    show.acknowledge(acknowledgement, f"Deleted {job}.")


async def credits_left(*, account: Account = ACCOUNT, show: Show = SHOW) -> None:
    """Print how many credits the account has left."""
    async with account.open() as client:
        credits_ = await client.credits()
    show.data(credits_, f"{credits_.remaining:,} credits")


async def check(
    address: str,
    /,
    *,
    timeout: Timeout = LONGEST_VERIFY_SECONDS,
    account: Account = ACCOUNT,
    show: Show = SHOW,
) -> None:
    """Verify one address, which costs one credit, and print the answer.

    Args:
        address: the address.
        timeout: how long the service may take: 30s to 180s.
        account: whose account.
        show: how to show it.
    """
    async with account.open() as client:
        answer = await client.verify(address, timeout=timeout)
    show.data(answer, address_lines(answer))


def _note(standing: Standing, seen: JobSnapshot) -> None:
    """Keep up to date what to say if the wait does not come to its end."""
    standing.state = f"Job {seen.job_id} goes on at the service by itself."
    standing.resume = [standing.again()]
    if seen.status is JobStatus.READY:
        standing.state = f"Job {seen.job_id} is ready, and goes on once it has been started."
        standing.resume = [standing.other("start", seen.job_id), standing.again()]


def _require_success(snapshot: JobSnapshot) -> None:
    job_id, said = snapshot.job_id, f" ({snapshot.message})" if snapshot.message else ""
    if snapshot.status is JobStatus.FAILED:
        raise JobFailedError(f"Job {job_id} failed{said}.", job_id=job_id, snapshot=snapshot)
    if snapshot.status is JobStatus.CANCELLED:
        raise JobCancelledError(
            f"Job {job_id} was cancelled{said}.", job_id=job_id, snapshot=snapshot
        )

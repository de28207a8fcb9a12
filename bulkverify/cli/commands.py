"""The commands that make one call each, about a list, an address or the account."""

from contextlib import aclosing
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

import bulkverify
from bulkverify.cli.options import ACCOUNT, Account, Timeout, read_verdicts
from bulkverify.cli.output import SHOW, Show
from bulkverify.cli.resume import Standing
from bulkverify.cli.text import address_lines, snapshot_line, snapshot_lines
from bulkverify.files import check_writable
from bulkverify.lifecycle import JobStatus
from bulkverify.limits import DEFAULT_TIMEOUT, LONGEST_VERIFY_SECONDS
from bulkverify.models import JobSnapshot, Verdict

JobId = Annotated[str, Parameter(metavar="JOB")]
Output = Annotated[Path, Parameter(alias="-o", metavar="OUT")]
FromRunner = Annotated[Standing, Parameter(parse=False)]


async def upload(
    source: Annotated[Path, Parameter(name="LIST")],
    /,
    *,
    account: Account = ACCOUNT,
    show: Show = SHOW,
    standing: FromRunner,
) -> None:
    """Upload a list as it is, and print the id of its job. This is free.

    Args:
        source: A CSV file of at most 10 MB.
        account: The account.
        show: What to show.
        standing: How to go on after an error.
    """
    async with account.open() as client:
        standing.state = (
            "If the list has arrived, it is at the service, not started, and has cost nothing."
        )
        with show.progress() as line:
            line.show("uploading")
            job = await client.upload(source)
    show.data({"job_id": job.id}, job.id)
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
    timeout: Timeout = DEFAULT_TIMEOUT,
    account: Account = ACCOUNT,
    show: Show = SHOW,
    standing: FromRunner,
) -> None:
    """Print the status of a job.

    Args:
        job: The id of the job.
        watching: Print a line for each change until the job ends.
        timeout: Give up after this time, such as 90, 90s, 15m or 6h.
        account: The account.
        show: What to show.
        standing: How to go on after an error.
    """
    async with account.open() as client:
        handle = client.job(job)
        if not watching:
            snapshot = await handle.status()
            show.data(snapshot, snapshot_lines(snapshot))
            return
        snapshot = JobSnapshot(job_id=job, status=JobStatus.PREPARING)
        _note(standing, snapshot)
        async with aclosing(bulkverify.watch(handle, timeout=timeout)) as snapshots:
            async for snapshot in snapshots:
                _note(standing, snapshot)
                show.data(snapshot, snapshot_line(snapshot))
        if snapshot.status is not JobStatus.COMPLETED:
            await bulkverify.wait_until(handle, timeout=timeout)  # raises how the job ended


async def start(
    job: JobId,
    /,
    *,
    account: Account = ACCOUNT,
    show: Show = SHOW,
    standing: FromRunner,
) -> None:
    """Start the verification of a list. This spends one credit for each address.

    Args:
        job: The id of the job, which must be ready.
        account: The account.
        show: What to show.
        standing: How to go on after an error.
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
    timeout: Timeout = DEFAULT_TIMEOUT,
    account: Account = ACCOUNT,
    show: Show = SHOW,
    standing: FromRunner,
) -> None:
    """Wait until a job has reached a status, and print its status then.

    Args:
        job: The id of the job.
        until: The status to wait for; a later one is accepted.
        timeout: Give up after this time, such as 90, 90s, 15m or 6h; 0 asks once.
        account: The account.
        show: What to show.
        standing: How to go on after an error.
    """
    async with account.open() as client:
        with show.progress() as line:

            def follow(seen: JobSnapshot) -> None:
                line.show(seen.status, seen)
                _note(standing, seen)

            line.show("waiting")
            _note(standing, JobSnapshot(job_id=job, status=JobStatus.PREPARING))
            snapshot = await bulkverify.wait_until(
                client.job(job), until, timeout=timeout, on_progress=follow
            )
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
        job: The id of the job.
        output: The file to write. It appears when it is complete.
        only: Write only the rows with one of these verdicts.
        force: Replace the file if it exists.
        account: The account.
        show: What to show.
    """
    check_writable(output, overwrite=force)
    async with account.open() as client:
        with show.progress() as line:
            line.show("downloading")
            rows = await client.download(job, output, verdicts=only)
    show.acknowledge(
        {"job_id": job, "rows": rows, "destination": str(output)},
        f"Wrote {rows:,} rows to {output}.",
    )


async def delete(job: JobId, /, *, account: Account = ACCOUNT, show: Show = SHOW) -> None:
    """Delete a list and its results from the service.

    Args:
        job: The id of the job, which must be ready or completed.
        account: The account.
        show: What to show.
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
    """Verify one address, and print the answer. This costs one credit.

    Args:
        address: The address.
        timeout: How long the service may take, from 30s to 180s.
        account: The account.
        show: What to show.
    """
    async with account.open() as client:
        answer = await client.verify(address, timeout=timeout)
    show.data(answer, address_lines(answer))


def _note(standing: Standing, seen: JobSnapshot) -> None:
    """Note what to say if the wait ends early."""
    standing.state = f"Job {seen.job_id} goes on at the service by itself."
    standing.resume = [standing.again()]
    if seen.status is JobStatus.READY:
        standing.state = f"Job {seen.job_id} is ready, and goes on when it is started."
        standing.resume = [standing.other("start", seen.job_id), standing.again()]

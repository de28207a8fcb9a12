"""The commands for a single job, an address or the account."""

import sys
from contextlib import aclosing
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter

import bulkverify
from bulkverify.cli.options import ACCOUNT, Account, Only, Timeout, keep_apart
from bulkverify.cli.output import SHOW, Show, ask
from bulkverify.cli.resume import Recovery
from bulkverify.cli.text import address_lines, snapshot_line, snapshot_lines
from bulkverify.errors import InvalidListError, UsageError, plural
from bulkverify.files import check_writable
from bulkverify.lifecycle import JobStatus
from bulkverify.limits import DEFAULT_TIMEOUT, LONGEST_VERIFY_SECONDS, NOT_FOUND_GRACE_SECONDS
from bulkverify.models import JobSnapshot

JobId = Annotated[str, Parameter(metavar="JOB")]
Output = Annotated[Path, Parameter(alias="-o", metavar="OUT")]
_SILENT_SECONDS: Final = 3.0
_RESULTS: Final = frozenset({"", ".csv"})
"""The ends of a name for results, which are CSV."""

FromRunner = Annotated[Recovery, Parameter(parse=False)]


async def upload(
    source: Annotated[Path, Parameter(name="LIST")],
    /,
    *,
    account: Account = ACCOUNT,
    show: Show = SHOW,
    recovery: FromRunner,
) -> None:
    """Upload a list as it is, and print the id of its job. This is free.

    Args:
        source: A CSV file of at most 10 MB.
    """
    async with account.open() as client:
        recovery.state = "If the list has arrived, it is not started and has cost nothing."
        with show.progress(brief=True) as line:
            line.show("uploading")
            try:
                job = await client.upload(source)
            except (OSError, InvalidListError):  # nothing was sent, or nothing was taken
                recovery.state = ""
                raise
    show.data({"job_id": job.id}, job.id)
    show.note(
        f"Uploaded {source}. Go on with:\n"
        f"  {recovery.other('wait', job.id, '--until', 'ready')}\n"
        f"  {recovery.other('start', job.id)}\n"
        "The start spends a credit for each address."
    )


async def status(
    job: JobId,
    /,
    *,
    watching: Annotated[bool, Parameter(name="--watch")] = False,
    timeout: Timeout = DEFAULT_TIMEOUT,
    account: Account = ACCOUNT,
    show: Show = SHOW,
    recovery: FromRunner,
) -> None:
    """Print the status of a job.

    Args:
        job: The id of the job.
        watching: Print a line for each change until the job ends.
        timeout: Give up after this time, such as 90, 90s, 15m or 6h.
    """
    async with account.open() as client:
        handle = client.job(job)
        if not watching:
            snapshot = await handle.status()
            _show_snapshot(show, recovery, snapshot)
            return
        snapshot = JobSnapshot(job_id=job, status=JobStatus.PREPARING)
        _note(recovery, snapshot)
        as_lines = show.json or not (show.on_terminal and sys.stdout.isatty())
        with show.progress(brief=True) as line:
            async with aclosing(bulkverify.watch(handle, timeout=timeout)) as snapshots:
                async for snapshot in snapshots:
                    _note(recovery, snapshot)
                    line.show(snapshot.status, snapshot)
                    if as_lines:
                        show.data(snapshot, snapshot_line(snapshot))
            if snapshot.status is not JobStatus.COMPLETED:
                await bulkverify.wait_until(handle, timeout=timeout)  # raises the job's error
        if not as_lines:
            _show_snapshot(show, recovery, snapshot)


async def start(
    job: JobId,
    /,
    *,
    account: Account = ACCOUNT,
    show: Show = SHOW,
    recovery: FromRunner,
) -> None:
    """Start the verification of a list. This spends one credit for each address.

    Args:
        job: The id of the job, which must be ready.
    """
    async with account.open() as client:
        acknowledgement = await client.start(job)
    show.acknowledge(
        acknowledgement, f"Started {job}. Go on with:\n  {recovery.other('wait', job)}"
    )


async def wait(
    job: JobId,
    /,
    *,
    until: JobStatus = JobStatus.COMPLETED,
    timeout: Timeout = DEFAULT_TIMEOUT,
    account: Account = ACCOUNT,
    show: Show = SHOW,
    recovery: FromRunner,
) -> None:
    """Wait until a job reaches a status, and print it.

    Args:
        job: The id of the job.
        until: The status to wait for; a later one is accepted.
        timeout: Give up after this time, such as 90, 90s, 15m or 6h; 0 asks once.
    """
    import asyncio  # noqa: PLC0415 - not for --help

    async with account.open() as client:
        with show.progress() as line:
            silence = asyncio.get_running_loop().call_later(
                _SILENT_SECONDS,
                line.say,
                f"There is no status of job {job} yet. A job that is not found is asked for during "
                f"{NOT_FOUND_GRACE_SECONDS:g} s, because it may be new.",
            )

            def follow(seen: JobSnapshot) -> None:
                silence.cancel()
                line.show(seen.status, seen)
                _note(recovery, seen)

            line.show("waiting")
            _note(recovery, JobSnapshot(job_id=job, status=JobStatus.PREPARING))
            try:
                snapshot = await bulkverify.wait_until(
                    client.job(job), until, timeout=timeout, on_progress=follow
                )
            finally:
                silence.cancel()
    _show_snapshot(show, recovery, snapshot)


async def download(
    job: JobId,
    /,
    *,
    output: Output,
    only: Only = None,
    force: bool = False,
    account: Account = ACCOUNT,
    show: Show = SHOW,
) -> None:
    """Download the results of a completed job.

    Args:
        job: The id of the job.
        output: The CSV file to write. It appears when it is complete.
        only: Write only the rows with one of these verdicts, such as deliverable,accept-all.
        force: Replace the file if it exists.
    """
    if output.suffix.lower() not in _RESULTS:
        raise UsageError(
            f"The results are CSV, and {output} ends in {output.suffix!r}: name a file that ends in .csv. "
            "bulkverify filter writes its rows in other formats afterwards."
        )
    keep_apart(output, "the results", [("the API key", account.key_file)])
    check_writable(output, overwrite=force)
    async with account.open() as client:
        with show.progress(brief=True) as line:
            line.show("downloading")
            rows = await client.download(job, output, verdicts=only)
    show.acknowledge(
        {"job_id": job, "rows": rows, "destination": str(output)},
        f"Wrote {rows:,} rows to {output}.",
    )


async def delete(
    job: JobId,
    /,
    *,
    yes: bool = False,
    account: Account = ACCOUNT,
    show: Show = SHOW,
) -> None:
    """Delete a list and its results from the service.

    Args:
        job: The id of the job, which must be ready or completed.
        yes: Do not ask before paid results are deleted. Without a terminal, the command never asks.
    """
    async with account.open() as client:
        if not yes and show.can_ask:
            seen = await client.status(job)
            # The service does not say whether they were downloaded.
            question = (
                f"Job {job} has paid results for {plural(seen.total or 0, 'address', 'addresses')}. If you have "
                "not downloaded them, they are lost. Delete them?"
            )
            if seen.status is JobStatus.COMPLETED and not ask(question):
                raise UsageError(
                    f"Nothing was deleted. To download the results, use bulkverify download {job} -o results.csv."
                )
        acknowledgement = await client.delete(job)
    show.acknowledge(acknowledgement, f"Deleted {job}.")


async def credits_left(*, account: Account = ACCOUNT, show: Show = SHOW) -> None:
    """Print the remaining credits of the account."""
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
    """
    from bulkverify.lists.addresses import is_possible  # noqa: PLC0415 - slow, and not for --help

    if address.strip() and not is_possible(address.strip()):
        raise UsageError(
            f"{address[:80]!r} is not an address: give one such as 'someone@example.com'. Nothing was sent."
        )
    async with account.open() as client:
        answer = await client.verify(address, timeout=timeout)
    show.data(answer, address_lines(answer))


def _show_snapshot(show: Show, recovery: Recovery, snapshot: JobSnapshot) -> None:
    """Print a snapshot, and what to do next."""
    show.data(snapshot, snapshot_lines(snapshot))
    job = snapshot.job_id
    commands = {
        JobStatus.READY: f"{recovery.other('start', job)}\nThe start spends a credit for each address.",
        JobStatus.VERIFYING: recovery.other("wait", job),
        JobStatus.COMPLETED: recovery.other("download", job, "-o", "results.csv"),
    }
    if snapshot.status in commands:
        show.note(f"Go on with:\n  {commands[snapshot.status]}")


def _note(recovery: Recovery, seen: JobSnapshot) -> None:
    """Note what to say if the wait ends early."""
    recovery.state = f"Job {seen.job_id} continues at the service."
    recovery.resume = [recovery.again()]
    if seen.status is JobStatus.READY:
        recovery.state = f"Job {seen.job_id} is ready and has to be started."
        recovery.resume = [recovery.other("start", seen.job_id), recovery.again()]

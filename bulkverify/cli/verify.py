"""The command that does everything: from a list to the same list with a verdict behind every row."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Group, Parameter
from tenacity import wait_fixed

from bulkverify.cli.commands import Injected, Output
from bulkverify.cli.options import ACCOUNT, TIMEOUT, Account, Timeout
from bulkverify.cli.output import SHOW, Show
from bulkverify.cli.standing import Standing
from bulkverify.cli.watching import progress
from bulkverify.client import Client
from bulkverify.errors import UsageError
from bulkverify.run import RunProgress, Stage, verify_list

SANDBOX_SPEED: Final = 6.5
"""So that a list of 200 addresses takes about three seconds."""

_TRYING: Final = Group("Trying it out", sort_key=5)
_STATES: Final = {
    Stage.UPLOADING: "If the list has arrived it is on the service without being started, and cost nothing.",
    Stage.PREPARING: "Job {job} is on the service and has not been started: nothing has been spent on it.",
    Stage.STARTING: "Job {job} was about to be started; to go on is safe and never pays twice.",
    Stage.VERIFYING: "Job {job} is being verified, and goes on at the service by itself.",
    Stage.DOWNLOADING: "Job {job} is verified and paid for; its results are kept at the service.",
    Stage.JOINING: "Job {job} is verified and paid for; its results are kept at the service.",
}


async def verify(
    source: Annotated[Path, Parameter(name="LIST")],
    /,
    *,
    output: Output,
    column: str | None = None,
    delimiter: Annotated[str | None, Parameter(metavar="CHAR")] = None,
    encoding: str = "utf-8-sig",
    force: bool = False,
    max_credits: Annotated[int | None, Parameter(metavar="N")] = None,
    job: Annotated[str | None, Parameter(metavar="ID")] = None,
    delete: bool = False,
    timeout: Timeout = TIMEOUT,
    sandbox: Annotated[bool, Parameter(group=_TRYING)] = False,
    sandbox_speed: Annotated[float, Parameter(group=_TRYING, metavar="N")] = SANDBOX_SPEED,
    account: Account = ACCOUNT,
    show: Show = SHOW,
    standing: Injected,
) -> None:
    """Verify a list, and write it again with a verdict behind every row.

    Each distinct address is sent and paid for once; the other columns stay on this machine.

    Args:
        source: a CSV file.
        output: the file to write; it appears when it is complete.
        column: the name of the address column; found out if left out.
        delimiter: between cells; found out if left out.
        encoding: of the list, such as cp1252.
        force: replace the output if it exists.
        max_credits: refuse to spend more than this.
        job: go on with the upload of an earlier run of this list.
        delete: delete the list from the service afterwards.
        timeout: how long each of the two waits may take (ready, completed): 90, 90s, 15m or 6h.
        sandbox: use a service inside this process: no key, no network, no credits.
        sandbox_speed: how many times faster than the real one it works.
        account: whose account.
        show: how to show it.
        standing: kept up to date.
    """
    if sandbox:
        _refuse_beside_sandbox(job, account)
    async with _sandboxed(sandbox_speed) if sandbox else account.open() as client:
        with progress(show) as line:

            def follow(seen: RunProgress) -> None:
                line.show(seen.stage, seen.snapshot)
                if not sandbox:
                    _note(standing, seen)

            report = await verify_list(
                client,
                source,
                output,
                column=column,
                delimiter=delimiter,
                encoding=encoding,
                max_credits=max_credits,
                job_id=job,
                overwrite=force,
                delete=delete,
                timeout=timeout,
                wait=wait_fixed(0.1) if sandbox else None,
                on_progress=follow,
            )
    if show.json:
        show.data(report, "")
    elif not show.quiet:
        from bulkverify.cli.summary import print_summary  # noqa: PLC0415 - brings rich along

        print_summary(report)


def _note(standing: Standing, seen: RunProgress) -> None:
    """Keep up to date what to say if the run does not come to its end."""
    standing.job_id = seen.job_id
    standing.state = _STATES.get(seen.stage, "").format(job=seen.job_id)
    if seen.job_id:
        waiting = (standing.other("wait", seen.job_id),) if seen.stage is Stage.VERIFYING else ()
        standing.resume = (standing.again(job=seen.job_id), *waiting)


def _refuse_beside_sandbox(job: str | None, account: Account) -> None:
    if job or account.base_url or account.api_key_file:
        raise UsageError(
            "--sandbox brings its own service, empty and with its own key: "
            "leave --job, --base-url and --api-key-file out."
        )


@asynccontextmanager
async def _sandboxed(speed: float) -> AsyncIterator[Client]:
    from bulkverify.sandbox import Sandbox  # noqa: PLC0415 - a web server, seldom needed

    if speed <= 0:
        raise UsageError("--sandbox-speed is a number above 0.")
    async with (
        Sandbox(speed=speed, requests_per_minute=None) as service,
        Client(service.api_key, base_url=service.url, requests_per_minute=None) as client,
    ):
        yield client

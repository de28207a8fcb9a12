"""The command that does everything: from a list to the same list with a verdict behind every row."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Group, Parameter
from tenacity import wait_fixed

from bulkverify.cli.commands import Injected
from bulkverify.cli.options import ACCOUNT, TIMEOUT, Account, Timeout, read_verdicts
from bulkverify.cli.output import SHOW, Show
from bulkverify.cli.resume import Standing
from bulkverify.cli.text import plan_lines
from bulkverify.cli.watching import following
from bulkverify.client import Client
from bulkverify.errors import UsageError
from bulkverify.limits import LONGEST_LIST_ROWS, PARTS_AT_ONCE
from bulkverify.lists import ListFormat
from bulkverify.models import Verdict
from bulkverify.run.errors import IncompleteRunError
from bulkverify.run.models import RunProgress, RunReport, Stage
from bulkverify.run.plan import plan_list
from bulkverify.run.verify import journal_of, verify_list

SANDBOX_SPEED: Final = 6.5
"""So that a list of 200 addresses takes about three seconds."""

_SANDBOX_CREDITS: Final = 1_000_000_000
_STARTED: Final = frozenset({Stage.VERIFYING, Stage.DOWNLOADING, Stage.FETCHED})
_READING: Final = Group("How to read the list", sort_key=2)
_TRYING: Final = Group("Trying it out", sort_key=5)


Only = Annotated[
    list[Verdict] | None,
    Parameter(converter=read_verdicts, metavar="VERDICT,..."),
]


async def verify(
    sources: Annotated[list[Path], Parameter(name="LIST")],
    /,
    *,
    output: Annotated[Path | None, Parameter(alias="-o", metavar="OUT")] = None,
    only: Only = None,
    max_credits: Annotated[int | None, Parameter(metavar="N")] = None,
    dry_run: bool = False,
    force: bool = False,
    excel_safe: bool = False,
    restart: bool = False,
    delete: bool = False,
    send_duplicates: bool = False,
    send_invalid: bool = False,
    largest_part: Annotated[int, Parameter(metavar="N")] = LONGEST_LIST_ROWS,
    parts_at_once: Annotated[int, Parameter(metavar="N")] = PARTS_AT_ONCE,
    timeout: Timeout = TIMEOUT,
    column: Annotated[str | None, Parameter(group=_READING, metavar="NAME")] = None,
    delimiter: Annotated[str | None, Parameter(group=_READING, metavar="CHAR")] = None,
    encoding: Annotated[str, Parameter(group=_READING)] = "utf-8-sig",
    format_: Annotated[ListFormat | None, Parameter(name="--format", group=_READING)] = None,
    sandbox: Annotated[bool, Parameter(group=_TRYING)] = False,
    sandbox_speed: Annotated[float, Parameter(group=_TRYING, metavar="N")] = SANDBOX_SPEED,
    account: Account = ACCOUNT,
    show: Show = SHOW,
    standing: Injected,
) -> None:
    """Verify a list of any size, and write it again with a verdict behind every row.

    Each distinct address is sent and paid for once; the other columns stay on this machine.

    After a crash or Ctrl-C the same command goes on: OUT.progress keeps what was done.

    Args:
        sources: CSV, TSV, TXT, JSON Lines or .xlsx; several files are one list.
        output: the file to write; it appears when it is complete. As JSON Lines if its name ends in .jsonl, else as CSV.
        only: write only the rows with one of these verdicts.
        max_credits: refuse to spend more than this.
        dry_run: only say what would be sent, and what that would cost; this needs no key.
        force: replace the output if it exists.
        excel_safe: let no cell of OUT begin a formula in a spreadsheet: an apostrophe comes before it (CSV only).
        restart: begin anew, whatever an earlier command has sent and paid.
        delete: delete the lists from the service afterwards.
        send_duplicates: send and pay each row, also where an address comes again.
        send_invalid: send and pay also what can't be an address.
        largest_part: how many addresses of the list may be sent at once.
        parts_at_once: how many parts of the list may be on their way at the same time.
        timeout: how long each wait of a part may take (for room, ready, completed): 90, 90s, 15m or 6h.
        column: the name of the address column; found out if left out.
        delimiter: between cells; found out if left out.
        encoding: of the list, such as cp1252.
        format_: of the list, where its name does not tell.
        sandbox: use a service inside this process: no key, no network, no credits.
        sandbox_speed: how many times faster than the real one it works.
        account: whose account.
        show: how to show it.
        standing: kept up to date.
    """
    source = sources[0] if len(sources) == 1 else sources
    if dry_run:
        with following(show) as line:
            plan = await plan_list(
                source,
                column=column,
                delimiter=delimiter,
                encoding=encoding,
                format=format_,
                judge=not send_invalid,
                deduplicate=not send_duplicates,
                largest_part=largest_part,
                on_progress=line.follow,
            )
        show.data(plan, plan_lines(plan))
        return
    if output is None:
        raise UsageError("Name the file to write with --output (-o), or ask with --dry-run first.")
    if sandbox:
        _refuse_beside_sandbox(account)
    async with _sandboxed(sandbox_speed) if sandbox else _hosted(account) as (client, journal):
        with following(show) as line, _incomplete_too(show):

            def follow(seen: RunProgress) -> None:
                line.follow(seen)
                if not sandbox:
                    _note(standing, seen, journal_of(output))

            report = await verify_list(
                client,
                source,
                output,
                column=column,
                delimiter=delimiter,
                encoding=encoding,
                format=format_,
                max_credits=max_credits,
                only=only,
                judge=not send_invalid,
                deduplicate=not send_duplicates,
                largest_part=largest_part,
                parts_at_once=parts_at_once,
                journal=journal,
                restart=restart,
                overwrite=force,
                excel_safe=excel_safe,
                delete=delete,
                timeout=timeout,
                wait=wait_fixed(0.1) if sandbox else None,
                on_progress=follow,
            )
    if report.already_verified_at is not None:
        again = "--restart" if force else "--restart with --force"
        show.note(
            f"{output} was verified already, at {report.already_verified_at:%Y-%m-%d %H:%M} UTC: nothing was sent "
            f"or spent. {again} verifies it again."
        )
    _tell(report, show)


def _tell(report: RunReport, show: Show) -> None:
    if show.json:
        show.data(report, "")
    elif not show.quiet:
        from bulkverify.cli.summary import print_summary  # noqa: PLC0415 - brings rich along

        print_summary(report)


@contextmanager
def _incomplete_too(show: Show) -> Iterator[None]:
    """Show what was written where some parts failed, before the error says so."""
    try:
        yield
    except IncompleteRunError as error:
        if error.report is not None and error.report.written and not show.json:
            _tell(error.report, show)
        raise


def _note(standing: Standing, seen: RunProgress, journal: Path) -> None:
    """Keep up to date what to say if the run does not come to its end."""
    jobs = [part.job_id for part in seen.parts if part.job_id]
    standing.job_id = jobs[0] if len(seen.parts) == 1 and jobs else None
    if seen.part is None or seen.stage is Stage.QUEUED:
        return
    started = [part for part in seen.parts if part.stage in _STARTED]
    spent = sum(part.addresses for part in started)
    standing.state = f"What was done so far is kept in {journal}: to go on pays for nothing twice."
    if not started:
        standing.state += " Nothing has been spent."
    else:
        standing.state += (
            f" {spent:,} addresses are verified, or being verified, by the service itself."
        )
    standing.resume = (standing.again(without="--restart"),)


def _refuse_beside_sandbox(account: Account) -> None:
    if account.base_url or account.api_key_file:
        raise UsageError(
            "--sandbox brings its own service, empty and with its own key: "
            "leave --base-url and --api-key-file out."
        )


@asynccontextmanager
async def _hosted(account: Account) -> AsyncIterator[tuple[Client, Path | None]]:
    async with account.open() as client:
        yield client, None


@asynccontextmanager
async def _sandboxed(speed: float) -> AsyncIterator[tuple[Client, Path | None]]:
    """Give a client of a service that ends with this process, and so does what it has done."""
    from bulkverify.sandbox import Sandbox  # noqa: PLC0415 - a web server, seldom needed

    if speed <= 0:
        raise UsageError("--sandbox-speed is a number above 0.")
    with tempfile.TemporaryDirectory(prefix="bulkverify-") as folder:
        async with (
            Sandbox(speed=speed, requests_per_minute=None, credits=_SANDBOX_CREDITS) as service,
            Client(service.api_key, base_url=service.url, requests_per_minute=None) as client,
        ):
            yield client, Path(folder) / "progress"

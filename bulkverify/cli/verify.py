"""The command that verifies a whole list."""

import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

from cyclopts import Group, Parameter

import bulkverify
from bulkverify.cli.commands import FromRunner
from bulkverify.cli.options import (
    ACCOUNT,
    STDIO,
    Account,
    Format,
    Only,
    Timeout,
    Without,
    matching,
    parse_max_age,
)
from bulkverify.cli.output import SHOW, Show, ask, tell
from bulkverify.cli.reports import check_page_of_run, note_earlier, write_page
from bulkverify.cli.resume import Recovery
from bulkverify.cli.text import earlier_text, most_credits, oddities, plan_lines
from bulkverify.cli.trial import TRIAL, sandboxed
from bulkverify.errors import UsageError
from bulkverify.files import is_same_file
from bulkverify.limits import DEFAULT_TIMEOUT, LONGEST_LIST_ROWS, PARTS_AT_ONCE

if TYPE_CHECKING:
    from bulkverify.cli.watching import Follower

_READING: Final = Group("How to read the list", sort_key=2)
_TRYING: Final = Group("Trying it out", sort_key=5)


async def verify(
    sources: Annotated[list[Path], Parameter(name="LIST")],
    /,
    *,
    output: Annotated[Path | None, Parameter(alias="-o", metavar="OUT")] = None,
    only: Only = None,
    without: Without = None,
    page: Annotated[Path | None, Parameter(name="--report", metavar="PAGE")] = None,
    reuse: Annotated[list[Path] | None, Parameter(consume_multiple=True, metavar="FILE")] = None,
    max_age: Annotated[str | None, Parameter(metavar="AGE")] = None,
    max_credits: Annotated[int | None, Parameter(metavar="N")] = None,
    dry_run: bool = False,
    yes: bool = False,
    force: bool = False,
    excel_safe: bool = False,
    restart: bool = False,
    delete: bool = False,
    send_duplicates: bool = False,
    send_invalid: bool = False,
    largest_part: Annotated[int, Parameter(metavar="N")] = LONGEST_LIST_ROWS,
    parts_at_once: Annotated[int, Parameter(metavar="N")] = PARTS_AT_ONCE,
    timeout: Timeout = DEFAULT_TIMEOUT,
    column: Annotated[str | None, Parameter(group=_READING, metavar="NAME")] = None,
    header_row: Annotated[int | None, Parameter(group=_READING, metavar="N")] = None,
    sheet: Annotated[str | None, Parameter(group=_READING, metavar="NAME")] = None,
    delimiter: Annotated[str | None, Parameter(group=_READING, metavar="CHAR")] = None,
    encoding: Annotated[str, Parameter(group=_READING)] = "utf-8-sig",
    format_: Annotated[Format | None, Parameter(name="--format", group=_READING)] = None,
    database: Annotated[str | None, Parameter(metavar="URL")] = None,
    sandbox: Annotated[bool, Parameter(group=_TRYING)] = False,
    sandbox_speed: Annotated[float | None, Parameter(group=_TRYING, metavar="N")] = None,
    account: Account = ACCOUNT,
    show: Show = SHOW,
    recovery: FromRunner,
) -> None:
    """Verify a list of any size, and write a copy with a verdict in every row.

    Args:
        sources: A CSV, TSV, TXT, JSON Lines or .xlsx file; - is stdin. Several files are read as one list.
        output: The file to write, or - for stdout. It appears when it is complete. Its name ends in .csv, .tsv, .xlsx or .jsonl.
        only: Write only the rows with one of these verdicts, such as deliverable,accept-all.
        without: Leave out the rows with one of these flags, such as disposable,role-based,spamtrap.
        page: Write a page about the list, too, for readers who did not write it, such as report.html.
        reuse: Do not send addresses with a recent verdict in these earlier outputs or results, such as 'verified-*.csv'.
        max_age: How old such a verdict may be, such as 30d, or deliverable=30d,undeliverable=90d. By default 30d.
        max_credits: Refuse to spend more credits than this.
        dry_run: Print what would be sent and what that would cost. This needs no key.
        yes: Do not ask before credits are spent. Without a terminal, the command never asks.
        force: Replace OUT if it exists.
        excel_safe: Put an apostrophe before each cell that a spreadsheet would take for a formula (CSV only).
        restart: Start over. Addresses that an earlier command paid for are paid for again.
        delete: Delete the lists from the service when OUT is complete.
        send_duplicates: Send and pay for an address once for each of its rows.
        send_invalid: Also send and pay for text that can't be an address.
        largest_part: Send at most this many addresses in one list.
        parts_at_once: Keep at most this many lists on the service at the same time.
        timeout: Give up a part when one of its waits takes longer than this, such as 90, 90s, 15m or 6h.
        column: The name of the address column, or its place, such as 3. Found automatically by default.
        header_row: The number of the header row, from 1; 0 if there is no header. Found automatically by default.
        sheet: The sheet of a workbook. By default the first that has addresses and is not hidden.
        delimiter: The character between two cells. Found automatically by default.
        encoding: The encoding of the list, such as cp1252.
        format_: The format of the list, if the file's name does not show it.
        database: Keep the progress in an SQLite database, such as sqlite:///runs.db, as a run that the other commands for runs know.
        sandbox: Use a sandbox in this process: no key, no network, no credits.
        sandbox_speed: The sandbox's speed, as a multiple of the service's. By default 6.5.
    """
    # The SDK should not be loaded for --help.
    from bulkverify.cli.pipes import KEPT, ends_of, send_rows  # noqa: PLC0415
    from bulkverify.run.selection import unwanted_flags, wanted_verdicts  # noqa: PLC0415
    from bulkverify.run.source import ListReader  # noqa: PLC0415

    piped = output == STDIO
    _check(
        sandbox_speed,
        sources,
        output,
        account,
        show,
        dry_run=dry_run,
        sandbox=sandbox,
        excel_safe=excel_safe,
    )
    if database is not None:
        _check_durable(
            files=not piped and STDIO not in sources, tried=dry_run or sandbox, reuse=reuse
        )
    wanted_verdicts(only)  # refuses wrong ones before anything is spent
    unwanted_flags(without or ())
    earlier, oldest = matching(reuse), parse_max_age(max_age, reuse=reuse)
    if database is not None:
        assert output is not None  # noqa: S101 - `_check` requires one
        check_page_of_run(page, output, sources, earlier, key=account.key_file, database=database)
        # An extra, and slow to load.
        from bulkverify.cli.durable_options import ListOptions  # noqa: PLC0415
        from bulkverify.cli.durable_verify import verify_durably  # noqa: PLC0415

        with _summing_up_failures(show, page):
            report = await verify_durably(
                database,
                sources,
                output,
                options=ListOptions(
                    only=only,
                    without=without,
                    max_credits=max_credits,
                    force=force,
                    excel_safe=excel_safe,
                    restart=restart,
                    delete=delete,
                    send_duplicates=send_duplicates,
                    send_invalid=send_invalid,
                    largest_part=largest_part,
                    timeout=timeout,
                    column=column,
                    header_row=header_row,
                    sheet=sheet,
                    delimiter=delimiter,
                    encoding=encoding,
                    format_=format_,
                ),
                domains=page is not None or show.json,
                parts_at_once=parts_at_once,
                confirm=partial(_confirm, show, yes=yes),
                account=account,
                show=show,
                recovery=recovery,
            )
        note_earlier(report, str(output), show, force=force)
        _hand_over(report, show, page)
        return
    how_to_read: dict[str, Any] = {
        "column": column,
        "header_row": header_row,
        "sheet": sheet,
        "delimiter": delimiter,
        "encoding": encoding,
        "format": format_,
    }
    what_to_send: dict[str, Any] = how_to_read | {
        "reuse": earlier,
        "max_age": oldest,
        "judge": not send_invalid,
        "deduplicate": not send_duplicates,
        "largest_part": largest_part,
    }
    # Whether a piped row is written is decided later, from all rows.
    what_to_write: dict[str, Any] = {
        "max_credits": max_credits,
        "only": None if piped else only,
        "without": () if piped else without or (),
        "restart": restart,
        "overwrite": force or piped,
        "excel_safe": excel_safe,
    }
    async with ends_of(
        sources, output, partial(ListReader, **how_to_read), kept=not sandbox, dry=dry_run
    ) as (source, target):
        if dry_run:
            with show.following() as line:
                if target is None:
                    plan = await bulkverify.plan_list(
                        source,
                        **what_to_send,
                        on_progress=line.follow,
                    )
                else:
                    from bulkverify.run.dry import plan_rest  # noqa: PLC0415 - imports the client

                    plan = await plan_rest(
                        source,
                        target,
                        **what_to_send,
                        **what_to_write,
                        base_url=account.base_url,
                        on_progress=line.follow,
                    )
            show.data(plan, plan_lines(plan))
            return
        assert target is not None  # noqa: S101 - `_check` requires an output
        check_page_of_run(page, target, sources, earlier, key=account.key_file, database=database)
        # From here on the command needs the whole SDK, which --help and --dry-run should not load.
        from tenacity import wait_fixed  # noqa: PLC0415

        from bulkverify.run.journal import journal_of  # noqa: PLC0415

        async with (
            sandboxed(sandbox_speed, show, recovery) if sandbox else _hosted(account) as (
                client,
                journal,
            )
        ):
            with show.following() as line, _summing_up_failures(show, page):
                line.earlier = "" if sandbox or restart else _earlier(target)

                def follow(seen: bulkverify.RunProgress) -> None:
                    line.follow(seen)
                    if not sandbox:
                        _note(recovery, seen, journal_of(target), stdin=STDIO in sources)

                report = await bulkverify.verify_list(
                    client,
                    source,
                    target,
                    **what_to_send,
                    **what_to_write,
                    parts_at_once=parts_at_once,
                    journal=journal,
                    domains=page is not None or show.json,
                    delete=delete,
                    timeout=timeout,
                    wait=wait_fixed(0.1) if sandbox else None,
                    confirm=None if sandbox else partial(_confirm, show, line, yes=yes),
                    on_progress=follow,
                )
        note_earlier(report, "The list" if piped else str(output), show, force=force or piped)
        if piped:
            recovery.state = "" if sandbox else KEPT
            report = await send_rows(
                report, target, only, without or (), show=show, kept=recovery.state
            )
        _hand_over(report, show, page, trial=sandbox)


def _check(
    sandbox_speed: float | None,
    sources: list[Path],
    output: Path | None,
    account: Account,
    show: Show,
    *,
    dry_run: bool,
    sandbox: bool,
    excel_safe: bool,
) -> None:
    """Refuse options that don't go together."""
    if sandbox_speed is not None and not sandbox:
        raise UsageError("--sandbox-speed needs --sandbox. Nothing was sent or spent.")
    for number, source in enumerate(sources):
        if any(is_same_file(source, other) for other in sources[:number]):
            raise UsageError(f"{source} is named twice, so each of its rows would be there twice.")
    if STDIO in sources and account.api_key_file == "-":
        raise UsageError("stdin can't be both the list and the API key: name a file for one.")
    if output is None and not dry_run:
        raise UsageError(
            "Name the file to write with --output (-o), or use --dry-run to see the cost first."
        )
    if sandbox and not dry_run and (account.base_url or account.api_key_file):
        raise UsageError(
            "--sandbox has its own service and key: leave out --base-url and --api-key-file."
        )
    if output == STDIO and not dry_run and (show.json or excel_safe):
        raise UsageError(
            "-o - writes the rows to stdout: leave out --json and --excel-safe, or name a file."
        )


def _check_durable(*, files: bool, tried: bool, reuse: list[Path] | None) -> None:
    """Refuse what a run in a database can't do."""
    if not files or tried:
        raise UsageError(
            "--database needs files, and no sandbox or dry run: leave out -, --sandbox and --dry-run."
        )
    if reuse is not None:
        raise UsageError(
            "A run in a database can't reuse earlier verdicts: leave out --database, or --reuse to buy them all again."
        )


def _hand_over(
    report: "bulkverify.RunReport", show: Show, page: Path | None, *, trial: bool = False
) -> None:
    """Write the page of a report, and show the report."""
    write_page(page, report)
    _show_report(report, show, page)
    if trial:
        show.note(TRIAL)


def _show_report(report: "bulkverify.RunReport", show: Show, page: Path | None) -> None:
    if show.json:
        show.data(report, "")
    elif not show.quiet:
        from bulkverify.cli.summary import print_summary  # noqa: PLC0415 - imports rich

        print_summary(report, page)


@contextmanager
def _summing_up_failures(show: Show, page: Path | None) -> Iterator[None]:
    """Print the summary of what was written, even if some parts failed."""
    try:
        yield
    except bulkverify.IncompleteRunError as error:
        if error.report is not None and error.report.written:
            write_page(page, error.report)
            if not show.json:
                _show_report(error.report, show, page)
        raise


def _confirm(show: Show, line: "Follower", plan: "bulkverify.RunPlan", *, yes: bool) -> bool:
    """Show the plan on a terminal, and ask whether to go on."""
    with line.paused():
        line.announce()
        # Until here, stderr may be a stand-in of rich, which in older versions is no terminal.
        asking = not yes and show.can_ask
        if show.on_terminal:
            tell(sys.stderr, plan_lines(plan))
        if not asking:
            return True
        for oddity in oddities(plan):
            tell(sys.stderr, f"Please check: {oddity}.")
        return ask(f"Spend {most_credits(plan)}?")


def _earlier(output: Path) -> str:
    """Say what an earlier command has done, if this one goes on with it."""
    from bulkverify.run.journal import journal_of, read_record  # noqa: PLC0415 - imports the client

    with suppress(bulkverify.JournalError, OSError, ValueError):  # the run reports it
        record = read_record(journal_of(output))
        if record is not None and record.sent and not record.finished:
            return earlier_text(record)
    return ""


def _note(
    recovery: Recovery, seen: "bulkverify.RunProgress", journal: Path, *, stdin: bool
) -> None:
    """Note what to say if the run ends early."""
    stage = bulkverify.Stage
    jobs = [part.job_id for part in seen.parts if part.job_id]
    recovery.job_id = jobs[0] if len(seen.parts) == 1 and jobs else None
    if seen.part is None or seen.stage is stage.QUEUED:
        return
    paid = {stage.VERIFYING, stage.DOWNLOADING, stage.FETCHED}
    started = [part for part in seen.parts if part.stage in paid]
    spent = sum(part.addresses for part in started)
    recovery.state = f"The progress is kept in {journal}. Nothing is paid twice."
    if not started:
        recovery.state += " Nothing has been spent."
    else:
        recovery.state += f" {spent:,} addresses are paid for, and the service continues with them."
    if stdin:
        recovery.state += " Give the same list to the command:"
    recovery.resume = (recovery.again(without="--restart"),)


@asynccontextmanager
async def _hosted(account: Account) -> AsyncIterator[tuple["bulkverify.Client", Path | None]]:
    async with account.open() as client:
        yield client, None

"""The two calls that verify a list: into a file, or row by row."""

import errno
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection
from contextlib import AsyncExitStack, asynccontextmanager, closing
from itertools import islice
from pathlib import Path
from typing import Final

from tenacity.wait import wait_base

from bulkverify.client import Client
from bulkverify.errors import UsageError
from bulkverify.files import check_writable, is_within, require_replaceable
from bulkverify.limits import DEFAULT_TIMEOUT, LONGEST_LIST_ROWS, PARTS_AT_ONCE
from bulkverify.lists import JoinedRow, ListFormat
from bulkverify.models import FlagName, Verdict, VerdictName
from bulkverify.run.earlier import DEFAULT_MAX_AGE, MaxAge, ReuseSource, given_sources
from bulkverify.run.journal import Journal, journal_of
from bulkverify.run.models import Confirm, RunProgress, RunReport
from bulkverify.run.output import Output
from bulkverify.run.run import Run, RunSettings
from bulkverify.run.selection import unwanted_flags, wanted_verdicts
from bulkverify.run.source import ListReader, RunSource, require_path, temporary_folder
from bulkverify.run.threads import in_thread
from bulkverify.run.written import note_of

_ROWS_A_TURN: Final = 1000


async def verify_list(
    client: Client,
    source: RunSource,
    destination: str | os.PathLike[str],
    *,
    column: str | None = None,
    header_row: int | None = None,
    sheet: str | None = None,
    delimiter: str | None = None,
    encoding: str = "utf-8-sig",
    format: ListFormat | None = None,  # noqa: A002 - the usual name
    max_credits: int | None = None,
    only: Collection[Verdict | VerdictName] | None = None,
    without: Collection[FlagName] = (),
    reuse: Collection[ReuseSource] = (),
    max_age: MaxAge = DEFAULT_MAX_AGE,
    judge: bool = True,
    deduplicate: bool = True,
    largest_part: int = LONGEST_LIST_ROWS,
    parts_at_once: int = PARTS_AT_ONCE,
    journal: str | os.PathLike[str] | None = None,
    restart: bool = False,
    overwrite: bool = False,
    excel_safe: bool = False,
    domains: bool = False,
    delete: bool = False,
    timeout: float | None = DEFAULT_TIMEOUT,
    wait: wait_base | None = None,
    confirm: Confirm | None = None,
    on_progress: Callable[[RunProgress], object] | None = None,
) -> RunReport:
    """Verify a list of any size, and write it again with a verdict in every row.

    Text around an address, such as a name, is not sent. A cell with several addresses is not sent
    either, and gets no verdict.

    Each distinct address is sent and paid for once, in as many parts as the service needs. The other
    columns are not sent. The output has the rows of the list in their order with all their columns,
    then `verdict`, the five flags as `Y` or `N`, and `verified_at`. It appears when it is complete.

    Until then the progress is kept in a folder beside the output, `verified.csv.progress`. After a
    crash, an error or Ctrl-C the same call goes on from there, and sends and pays nothing twice. For
    six days after the end, a note beside the output (`.verified.csv.done`) lets the same call return
    the report at once.

    Args:
        client: the account.
        source: the list: a CSV, TSV, TXT, JSON Lines or `.xlsx` file, several of them as one list; an
            iterable of addresses or of mappings; or a frame or series of pandas or polars.
        destination: the output. Its name ends in `.csv`, in `.tsv` for tabs between the cells, in `.xlsx` for a
            workbook of text cells, or in `.jsonl` for JSON Lines. Text is UTF-8.
        column: the name of the address column, or its place from 1; detected by default.
        header_row: the number of the header row, from 1, counting empty rows; 0 if there is no header;
            detected by default.
        sheet: the name of the sheet of a workbook; by default the first that has addresses and is not
            hidden.
        delimiter: between the cells of a CSV file; detected by default.
        encoding: of the list.
        format: of the list; detected by its name or beginning by default.
        max_credits: refuse if this call could spend more than this.
        only: write only the rows with one of these verdicts. For a text that is known only at run
            time: `Verdict(text)`.
        without: leave out the rows with one of these flags.
        reuse: earlier outputs, results of the service (`.csv`, `.tsv`, `.jsonl`, `.xlsx`), or rows such as
            `ResultRow`. An address with a deliverable, undeliverable or accept-all verdict in one of them is
            not sent, and its rows get the latest verdict with its own time. Once something was sent, a later
            call goes by the verdicts that the first one found.
        max_age: how old such a verdict may be when the call begins, also by verdict:
            `{"deliverable": timedelta(days=30), "undeliverable": timedelta(days=90)}`. Verdicts without a time,
            or with one in the future, are not reused.
        judge: send only cells that can be addresses; the others count as undeliverable, and cost nothing.
        deduplicate: send an address once, even if several rows have it.
        largest_part: the most addresses of a part; with 2, the last part may have 3.
        parts_at_once: how many parts may be verified at the same time.
        journal: a folder to keep the progress in, instead of the one beside the output.
        restart: start over, and forget what an earlier call has sent, paid for and written.
        overwrite: replace an output that exists.
        excel_safe: for CSV only, put an apostrophe before each cell and column name that a spreadsheet
            would take for a formula (it begins with `=`, `+`, `-`, `@`, a tab or a line end). Such
            cells are changed, addresses like `+1@example.com` too.
        domains: count the rows of each domain, for `RunReport.domains` and the page of the report.
        delete: delete the lists from the service when the output is complete, unless rows are missing.
        timeout: seconds for each wait of a part (for room, until it is ready, until it is completed);
            `None` for no limit.
        wait: when to ask again, as for `wait_until`.
        confirm: called with the plan before anything is sent, if the run costs credits. If it returns
            `False`, the run ends. It may be asynchronous.
        on_progress: called with each change.

    Raises:
        FileExistsError: the output exists, and was not written by the same call.
        InvalidListError: the list can't be used; the message names the line.
        JournalError: an earlier call for this output had another list, or is still at work.
        UsageError: an argument is invalid, the run would cost more than `max_credits`, or `confirm` refused.
        InsufficientCreditsError: the account has too few credits; the same call goes on later.
        IncompleteRunError: some parts got no verdicts. The output has the verdicts of the other parts,
            and the same call goes on. A list of a single part raises the error of that part instead,
            and writes nothing.
        LifecycleError, ServiceError, TransportError: as for `Client` and `wait_until`.
        OSError: a file can't be read or written.
    """
    path = Path(destination)
    require_path(path)
    require_replaceable(path)  # before `journal_of`: a folder such as . has no name
    folder = journal_of(path) if journal is None else Path(journal)
    reader = ListReader(
        source=source,
        column=column,
        header_row=header_row,
        sheet=sheet,
        delimiter=delimiter,
        encoding=encoding,
        format=format,
        reuse=given_sources(reuse),
    )
    _keep_apart(folder, reader, path)
    # Whether the output may be replaced is decided when the journal is open.
    check_writable(path, overwrite=True)
    check_writable(note_of(path), overwrite=True)
    settings = RunSettings(
        splitting=reader.splitting(
            judge=judge, deduplicate=deduplicate, largest_part=largest_part, max_age=max_age
        ),
        parts_at_once=parts_at_once,
        max_credits=max_credits,
        timeout=timeout,
        wait=wait,
        confirm=confirm,
    )
    output = Output(
        path=path,
        only=wanted_verdicts(only),
        without=unwanted_flags(without),
        overwrite=overwrite,
        in_place=reader.is_at(path),
        restart=restart,
        excel_safe=excel_safe,
        domains=domains,
    )
    if restart and not overwrite and path.exists():  # before the journal is emptied
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
    async with _opened(client, folder, reader, settings, on_progress, restart=restart) as run:
        return await output.write(run, delete=delete)


async def verify_rows(
    client: Client,
    source: RunSource,
    *,
    column: str | None = None,
    header_row: int | None = None,
    sheet: str | None = None,
    delimiter: str | None = None,
    encoding: str = "utf-8-sig",
    format: ListFormat | None = None,  # noqa: A002 - the usual name
    max_credits: int | None = None,
    only: Collection[Verdict | VerdictName] | None = None,
    without: Collection[FlagName] = (),
    reuse: Collection[ReuseSource] = (),
    max_age: MaxAge = DEFAULT_MAX_AGE,
    judge: bool = True,
    deduplicate: bool = True,
    largest_part: int = LONGEST_LIST_ROWS,
    parts_at_once: int = PARTS_AT_ONCE,
    journal: str | os.PathLike[str] | None = None,
    restart: bool = False,
    delete: bool = False,
    timeout: float | None = DEFAULT_TIMEOUT,
    wait: wait_base | None = None,
    on_progress: Callable[[RunProgress], object] | None = None,
) -> AsyncGenerator[JoinedRow]:
    """Verify a list like `verify_list`, and give its rows one by one instead of writing them.

    The rows come in the order of the list, once the whole list is verified. With `journal`, the same
    call can continue until it has given the last row. Without it the progress is lost if the call does not
    finish, and the list must be paid for again. To leave the iteration early, use
    `contextlib.aclosing`.

    Raises:
        IncompleteRunError: after the last row, if some parts failed; their rows came without verdicts.
            With `journal`, the same call goes on.
        Exception: as `verify_list`.
    """
    wanted, unwanted = wanted_verdicts(only), unwanted_flags(without)
    reader = ListReader(
        source=source,
        column=column,
        header_row=header_row,
        sheet=sheet,
        delimiter=delimiter,
        encoding=encoding,
        format=format,
        reuse=given_sources(reuse),
    )
    settings = RunSettings(
        splitting=reader.splitting(
            judge=judge, deduplicate=deduplicate, largest_part=largest_part, max_age=max_age
        ),
        parts_at_once=parts_at_once,
        max_credits=max_credits,
        timeout=timeout,
        wait=wait,
    )
    async with AsyncExitStack() as stack:
        if journal:
            folder = Path(journal)
        else:
            folder = await stack.enter_async_context(temporary_folder()) / "run"
        _keep_apart(folder, reader)
        run = await stack.enter_async_context(
            _opened(client, folder, reader, settings, on_progress, restart=restart)
        )
        await run.verify()
        with closing(await run.rows(wanted, unwanted)) as rows:
            while batch := await in_thread(lambda: list(islice(rows, _ROWS_A_TURN))):
                for row in batch:
                    yield row
        if run.failures:
            raise run.incomplete(None, "Their rows came without verdicts.")
        if delete:
            await run.delete(run.job_ids())
        await run.finish(delivered=delete)


@asynccontextmanager
async def _opened(
    client: Client,
    folder: Path,
    reader: ListReader,
    settings: RunSettings,
    on_progress: Callable[[RunProgress], object] | None,
    *,
    restart: bool,
) -> AsyncIterator[Run]:
    """Open the journal of a run; afterwards delete it if there is nothing to go on with."""
    with Journal(folder, restart=restart) as journal:
        run = Run(
            client=client, journal=journal, reader=reader, settings=settings, tell=on_progress
        )
        try:
            yield run
        finally:
            await run.end()


def _keep_apart(folder: Path, reader: ListReader, output: Path | None = None) -> None:
    """Refuse a list or an output in the folder of the journal, whose files are deleted at the end."""
    if output is not None and is_within(output, folder):
        raise UsageError(
            f"{output} would be in {folder}, where the progress is kept until the output is complete."
        ).with_hint("Name another output or `journal`.", "Name another output.")
    for source in (*reader.paths(), *reader.earlier_paths()):
        if is_within(source, folder):
            raise UsageError(
                f"{source} is in {folder}, where the progress is kept until the output is complete."
            ).with_hint(
                "Move the list, or name another output or `journal`.",
                "Move the list, or name another output.",
            )
    if output is not None and reader.is_at(note_of(output)):
        raise UsageError(
            f"{note_of(output)} is reserved for the note about {output}: rename the list, or name another output."
        )

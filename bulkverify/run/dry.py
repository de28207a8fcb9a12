"""The plan of a call, less what earlier calls have paid. Nothing is changed."""

from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path

import attrs

from bulkverify.errors import UsageError
from bulkverify.limits import LONGEST_LIST_ROWS
from bulkverify.lists import ListFormat, Table, has_reused
from bulkverify.lists.layout import reused_path
from bulkverify.models import FlagName, Verdict, VerdictName
from bulkverify.run.costs import check_allowed, check_cost, priced
from bulkverify.run.earlier import DEFAULT_MAX_AGE, MaxAge, ReuseSource, given_sources
from bulkverify.run.journal import has_lost_record, journal_of, lost_record, read_record
from bulkverify.run.models import RunPlan, RunProgress
from bulkverify.run.output import Output
from bulkverify.run.resume import ComparedList
from bulkverify.run.selection import unwanted_flags, wanted_verdicts
from bulkverify.run.source import ListReader, RunSource, Splitting, require_path
from bulkverify.run.threads import in_thread
from bulkverify.service.key import check_base_url


async def plan_rest(
    source: RunSource,
    destination: Path,
    *,
    column: str | None = None,
    header_row: int | None = None,
    sheet: str | None = None,
    delimiter: str | None = None,
    encoding: str = "utf-8-sig",
    format: ListFormat | None = None,  # noqa: A002 - the usual name
    only: Collection[Verdict | VerdictName] | None = None,
    without: Collection[FlagName] = (),
    reuse: Collection[ReuseSource] = (),
    max_age: MaxAge = DEFAULT_MAX_AGE,
    judge: bool = True,
    deduplicate: bool = True,
    largest_part: int = LONGEST_LIST_ROWS,
    max_credits: int | None = None,
    overwrite: bool = False,
    restart: bool = False,
    excel_safe: bool = False,
    base_url: str | None = None,
    on_progress: Callable[[RunProgress], object] | None = None,
) -> RunPlan:
    """Say what `verify_list` with the same arguments would send and spend; `base_url` is as for `Client`.

    Raises:
        InvalidListError, JournalError, UsageError, FileExistsError, OSError: as for `verify_list`.
    """
    require_path(destination)
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
    splitting = reader.splitting(
        judge=judge, deduplicate=deduplicate, largest_part=largest_part, max_age=max_age
    )
    checked = check_base_url(base_url, allow_http=True)
    if isinstance(checked, UsageError):
        raise checked
    check_allowed(max_credits)
    folder = journal_of(destination)
    output = Output(
        path=destination,
        only=wanted_verdicts(only),
        without=unwanted_flags(without),
        overwrite=overwrite,
        in_place=reader.is_at(destination),
        restart=restart,
        excel_safe=excel_safe,
    )

    async def amend(table: Table, plan: RunPlan) -> RunPlan:
        await output.check(table)
        if restart:
            output.require_free(None)
            check_cost(table.title, plan.addresses, max_credits, sent=False)
            return plan
        listed = ComparedList(
            reader=reader, splitting=splitting, base_url=checked, folder=folder, table=table
        )
        plan = await _with_earlier(plan, output, listed)
        if plan.already_verified_at is None:
            sent = bool(plan.spent_before)
            check_cost(table.title, plan.cost + plan.uncertain, max_credits, sent=sent)
        return plan

    return await priced(
        *(reader, splitting, on_progress, amend), await _reused(folder, splitting, restart=restart)
    )


async def _reused(folder: Path, splitting: Splitting, *, restart: bool) -> Path | None:
    """Return the earlier verdicts that a run to be continued has chosen."""
    record = None if restart else read_record(folder)
    if record is None or not record.sent or record.finished:
        return None
    same = record.splitting.max_ages == splitting.max_ages is not None
    intact = same and await in_thread(partial(has_reused, folder, record.split))
    return reused_path(folder) if intact else None


async def _with_earlier(plan: RunPlan, output: Output, listed: ComparedList) -> RunPlan:
    """Count in the plan what earlier calls have paid."""
    record = read_record(listed.folder)
    if (written := await output.done(record, listed)) is not None:
        report = written.report
        return attrs.evolve(
            plan,
            cost=0,
            spent_before=report.credits_spent + report.credits_spent_before,
            already_verified_at=written.written_at,
        )
    output.require_free(record)
    if has_lost_record(listed.folder):
        raise lost_record(listed.folder)
    if record is None or not record.sent or record.finished:
        return plan
    await listed.require_same(await listed.open(), record)
    return attrs.evolve(
        plan,
        reused=record.split.reused,
        cost=record.owed,
        spent_before=record.credits,
        uncertain=record.uncertain,
    )

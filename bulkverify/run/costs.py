"""What a list would cost, and how it was read."""

from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeAlias

import attrs

from bulkverify.errors import UsageError, plural
from bulkverify.lists import CellExample, Examples, Split, Table
from bulkverify.run.models import PlannedList, RunPlan, RunProgress, Stage
from bulkverify.run.progress import Tracker
from bulkverify.run.source import ListReader, Splitting, temporary_folder
from bulkverify.service.logs import SafeLogger

_log: Final = SafeLogger(__name__)

Amend: TypeAlias = Callable[[Table, RunPlan], Awaitable[RunPlan]]


async def priced(
    reader: ListReader,
    splitting: Splitting,
    on_progress: Callable[[RunProgress], object] | None,
    amend: Amend | None = None,
    reused: Path | None = None,
) -> RunPlan:
    """Read a list and say what it would cost; `amend` may change the plan while the list is open.

    If an earlier call has chosen the verdicts to reuse, `reused` is the file that it wrote.
    """
    tracker, began_at = Tracker(on_progress), datetime.now(UTC)
    tracker.tell(Stage.READING)
    async with temporary_folder() as folder:
        table = await reader.open(folder)
        examples = Examples()
        split = await reader.split(
            table, folder, splitting, tracker, examples, began_at=began_at, reused=reused
        )
        plan = plan_of(table, split, examples)
        return plan if amend is None else await amend(table, plan)


def check_allowed(allowed: int | None) -> None:
    """Raise `UsageError` if a limit on the credits is below 0."""
    if allowed is not None and allowed < 0:
        raise UsageError(f"A limit on the credits is at least 0, not {allowed}.").with_hint(
            "Correct `max_credits`.", "Correct --max-credits."
        )


def check_cost(title: str, cost: int, allowed: int | None, *, sent: bool) -> None:
    """Raise `UsageError` if the rest of a list costs more credits than allowed.

    Args:
        title: names the list.
        cost: the most that can still be spent on it.
        allowed: the most that may be spent.
        sent: whether an earlier call has sent something.
    """
    if allowed is not None and cost > allowed:
        would = (
            "could still cost"
            if sent
            else f"has {plural(cost, 'distinct address', 'distinct addresses')} and would cost"
        )
        raise UsageError(
            f"{title} {would} {plural(cost, 'credit')}, more than the {allowed:,} allowed. "
            f"Nothing {'more ' * sent}was sent."
        )


def plan_of(
    table: Table,
    split: Split,
    examples: Iterable[CellExample] = (),
    *,
    cost: int | None = None,
    spent_before: int = 0,
    uncertain: int = 0,
    balance: int | None = None,
    already_verified_at: datetime | None = None,
) -> RunPlan:
    """Describe a list that was split; without `cost`, each address would cost a credit."""
    return RunPlan(
        lists=planned_lists(table),
        rows=split.rows,
        addresses=split.addresses,
        duplicates=split.duplicates,
        invalid=split.invalid,
        blank=split.blank,
        short=split.short,
        parts=len(split.parts),
        unclear=split.unclear,
        unwrapped=split.unwrapped,
        stray=split.stray,
        stray_at=split.stray_at,
        examples=tuple(examples),
        reused=split.reused,
        cost=split.addresses if cost is None else cost,
        spent_before=spent_before,
        uncertain=uncertain,
        balance=balance,
        already_verified_at=already_verified_at,
    )


def log_plan(plan: RunPlan) -> None:
    """Log how a list is read, and what it costs."""
    for taken in plan.lists:
        others = f", not of {', '.join(map(repr, taken.others))}" if taken.others else ""
        _log.info(
            "%s (%s): taking the addresses of column %r%s",
            *(taken.title, taken.format, taken.column, others),
        )
        if taken.sheet:
            _log.info(
                "reading sheet %r, not %s; %s rows are hidden, and %s formulas were never calculated",
                *(taken.sheet, list(taken.other_sheets), taken.hidden_rows, taken.uncalculated),
            )
    _log.info(
        "%s rows, %s addresses to send, %s known, %s repeated, %s invalid, %s blank: %s credits of %s",
        *(plan.rows, plan.addresses, plan.reused.addresses, plan.duplicates, plan.invalid),
        *(plan.blank, plan.cost, plan.balance),
    )


def planned_lists(table: Table) -> tuple[PlannedList, ...]:
    """Describe how each list of a table is read."""
    return tuple(map(_planned, table.lists))


def _planned(table: Table) -> PlannedList:
    planned = PlannedList(
        title=table.title,
        format=table.format,
        encoding="" if table.format in {"xlsx", "rows"} else table.encoding,
        column=table.names[table.column],
        place=table.column + 1,
        others=tuple(table.names[place] for place in table.others),
    )
    if table.sheet is None:
        return planned
    return attrs.evolve(
        planned,
        sheet=table.sheet.name,
        other_sheets=table.sheet.others,
        hidden_sheets=table.sheet.hidden_sheets,
        hidden_rows=table.hidden_rows,
        uncalculated=table.sheet.all_uncalculated.cells,
        uncalculated_at=table.sheet.all_uncalculated.first,
    )

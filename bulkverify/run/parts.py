"""All parts of a list: several at a time, and a part that fails does not end the others."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from copy import copy
from functools import partial
from typing import Final, TypeAlias

from bulkverify.client import known_of
from bulkverify.errors import (
    AccountRestrictedError,
    AuthenticationError,
    BulkVerifyError,
    ClientClosedError,
    InsufficientCreditsError,
    JobCancelledError,
    JobFailedError,
    JobNotFoundError,
    UsageError,
    VerifyUncertainError,
)
from bulkverify.lists import Part
from bulkverify.run.account import Account
from bulkverify.run.alone import LoneRun
from bulkverify.run.journal import Records, RunRecord, restart_hints
from bulkverify.run.models import PartFailure, Stage
from bulkverify.run.part import PartRun
from bulkverify.run.progress import Tracker
from bulkverify.run.record import UNPAID, PartRecord, PartState

AnyRun: TypeAlias = PartRun | LoneRun

_STOPPING: Final = (
    AccountRestrictedError,
    AuthenticationError,
    ClientClosedError,
    InsufficientCreditsError,
    UsageError,
)
"""Errors that every other part would meet too."""

_FURTHEST_FIRST: Final = tuple(reversed(PartState))


def part_runs(
    account: Account,
    journal: Records,
    record: RunRecord,
    *,
    tracker: Tracker,
    check: Callable[[], Awaitable[object]],
    title: str,
) -> list[AnyRun]:
    """Return the work on each part, the most advanced first, because started parts cost nothing more."""
    runs: list[AnyRun] = []
    count = len(record.parts)
    for part, noted in zip(record.split.parts, record.parts, strict=True):
        runs.append(
            kind_of(part, noted)(
                account=account,
                notes=journal,
                tell=partial(tracker.tell_part, part.number),
                check=check,
                title=part_title(title, part.number, count),
                part=part,
                record=noted,
            )
        )
    return sorted(runs, key=lambda run: _FURTHEST_FIRST.index(run.record.state))


def kind_of(part: Part, record: PartRecord) -> type[PartRun] | type[LoneRun]:
    """Return how a part is verified: a single address needs no list, unless it has one already."""
    return LoneRun if part.addresses == 1 and record.job_id is None else PartRun


async def verify_parts(
    runs: Sequence[AnyRun], journal: Records, parts_at_once: int
) -> Mapping[int, BulkVerifyError]:
    """Verify every part, and return the errors of those that failed, by number.

    An error that concerns all parts is raised at once, and the parts that are left stay as they are.
    """
    failed: dict[int, BulkVerifyError] = {}
    left = iter(runs)

    async def work() -> None:
        for run in left:
            try:
                await _verify(run, journal)
            except _STOPPING:
                raise
            except BulkVerifyError as error:
                failed[run.part.number] = known_of(run.account.client).redacted(error)
                run.tell(Stage.FAILED, note=error.message)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(parts_at_once, len(runs))):
                group.create_task(work(), name="bulkverify part")
    except BaseExceptionGroup as several:
        first = several.exceptions[0]
    else:
        return failed
    if isinstance(first, _CancelledWithinError) and first.__cause__ is not None:
        raise first.__cause__
    raise first


async def _verify(run: AnyRun, journal: Records) -> None:
    """Verify a part. If it may have been paid for, the error says how to give it up."""
    try:
        await run.run()
    except VerifyUncertainError as error:
        again = "To ask again, for one credit, use "
        raise copy(error).with_hint(
            f"{again}`restart=True`, or delete {journal.folder}.",
            f"{again}--restart, or delete {journal.folder}.",
        ) from error
    except (JobFailedError, JobCancelledError, JobNotFoundError) as error:
        if run.record.state in UNPAID or journal.record is None:
            raise
        out, shell_out = restart_hints(journal.folder, journal.record.credits)
        raise copy(error).with_hint(
            f"The same call asks about it again. {out}",
            f"The same command asks about it again. {shell_out}",
        ) from error
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise _CancelledWithinError from error


class _CancelledWithinError(Exception):
    """A callback, a strategy or a middleware raised `CancelledError`, although the part was not cancelled.

    A task group would take that as the regular end of the task.
    """


def failures(record: RunRecord, failed: Mapping[int, BulkVerifyError]) -> tuple[PartFailure, ...]:
    """Describe the failed parts."""
    return tuple(
        PartFailure(
            number=part.number,
            addresses=part.addresses,
            first_row=part.first_row,
            last_row=part.last_row,
            job_id=noted.job_id,
            paid=noted.state not in UNPAID,
            error=type(failed[part.number]).__name__,
            message=failed[part.number].message,
        )
        for part, noted in zip(record.split.parts, record.parts, strict=True)
        if part.number in failed
    )


def part_title(title: str, number: int, count: int) -> str:
    """Return the title of a part's upload, such as `list-2-of-9.csv`."""
    if count == 1:
        return title
    stem, dot, suffix = title.rpartition(".")
    if not stem:
        stem, dot, suffix = title, "", ""
    return f"{stem}-{number:0{len(str(count))}}-of-{count}{dot}{suffix}"

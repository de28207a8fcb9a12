"""All parts of a list at once: as many at a time as wanted, and one that fails does not end the others."""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Final

from bulkverify.client import known_of
from bulkverify.errors import (
    AccountRestrictedError,
    AuthenticationError,
    BulkVerifyError,
    ClientClosedError,
    InsufficientCreditsError,
    UsageError,
)
from bulkverify.run.journal import UNPAID, PartRecord, PartState
from bulkverify.run.models import PartFailure, Stage
from bulkverify.run.part import Crew, PartRun

_STOPPING: Final = (
    AccountRestrictedError,
    AuthenticationError,
    ClientClosedError,
    InsufficientCreditsError,
    UsageError,
)
"""What one part meets, every other would meet too."""

_FURTHEST_FIRST: Final = tuple(reversed(PartState))


async def see_through(crew: Crew, parts_at_once: int) -> Mapping[int, BulkVerifyError]:
    """See every part to its end, and return the errors of those that failed, by number.

    Raises:
        BulkVerifyError: the account as a whole is refused; the other parts are left where they are.
        OSError: something can't be kept on this machine.
    """
    failed: dict[int, BulkVerifyError] = {}
    runs = iter(_in_order(crew))

    async def work() -> None:
        for run in runs:
            try:
                await _done(run)
            except _STOPPING:
                raise
            except BulkVerifyError as error:
                failed[run.part.number] = known_of(crew.client).redacted(error)
                crew.board.tell_part(run.part.number, Stage.FAILED, note=str(error))

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(parts_at_once, len(crew.record.parts))):
                group.create_task(work(), name="bulkverify part")
    except BaseExceptionGroup as several:
        first = next(_errors(several))
    else:
        return failed
    if isinstance(first, _CancelledWithinError) and first.__cause__ is not None:
        raise first.__cause__
    raise first


async def _done(run: PartRun) -> None:
    try:
        await run.run()
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise _CancelledWithinError from error


class _CancelledWithinError(Exception):
    """A callback, a strategy or a middleware raised `CancelledError`, and the part was not cancelled.

    A task group takes such a task for one that has done its work.
    """


def failures(crew: Crew, failed: Mapping[int, BulkVerifyError]) -> tuple[PartFailure, ...]:
    """Say which rows the failed parts held, and why there is nothing about them."""
    return tuple(
        PartFailure(
            number=part.number,
            addresses=part.addresses,
            first_row=part.first_row,
            last_row=part.last_row,
            job_id=record.job_id,
            paid=record.state not in UNPAID,
            error=type(failed[part.number]).__name__,
            message=str(failed[part.number]),
        )
        for part, record in zip(crew.record.split.parts, crew.record.parts, strict=True)
        if part.number in failed
    )


def _in_order(crew: Crew) -> list[PartRun]:
    """Take those first that are furthest: what may have been started already owes nothing more."""

    def place(record: PartRecord) -> tuple[int, int]:
        return _FURTHEST_FIRST.index(record.state), record.number

    parts = {part.number: part for part in crew.record.split.parts}
    return [
        PartRun(crew=crew, part=parts[record.number], record=record)
        for record in sorted(crew.record.parts, key=place)
    ]


def _errors(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _errors(error)
        else:
            yield error

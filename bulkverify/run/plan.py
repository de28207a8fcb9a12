"""The call that says what verifying a list would send and cost. It needs no client."""

from collections.abc import Callable, Collection

from bulkverify.limits import LONGEST_LIST_ROWS
from bulkverify.lists import ListFormat
from bulkverify.run.costs import priced
from bulkverify.run.earlier import DEFAULT_MAX_AGE, MaxAge, ReuseSource, given_sources
from bulkverify.run.models import RunPlan, RunProgress
from bulkverify.run.source import ListReader, RunSource


async def plan_list(
    source: RunSource,
    *,
    column: str | None = None,
    header_row: int | None = None,
    sheet: str | None = None,
    delimiter: str | None = None,
    encoding: str = "utf-8-sig",
    format: ListFormat | None = None,  # noqa: A002 - the usual name
    reuse: Collection[ReuseSource] = (),
    max_age: MaxAge = DEFAULT_MAX_AGE,
    judge: bool = True,
    deduplicate: bool = True,
    largest_part: int = LONGEST_LIST_ROWS,
    on_progress: Callable[[RunProgress], object] | None = None,
) -> RunPlan:
    """Say what `verify_list` would send and cost; nothing is sent.

    Raises:
        InvalidListError, UsageError, OSError: as for `verify_list`.
    """
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
    return await priced(reader, splitting, on_progress)

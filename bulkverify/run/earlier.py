"""The earlier verdicts that a caller gives, so that a run does not buy them again."""

import os
from collections.abc import AsyncIterable, Collection, Iterable, Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias

from bulkverify.errors import UsageError
from bulkverify.lists import REUSABLE, EarlierVerdict, Rows, SpooledRows
from bulkverify.lists.layout import source_path
from bulkverify.models import Verdict, VerdictName
from bulkverify.run.threads import in_thread

ReuseSource: TypeAlias = (
    str | os.PathLike[str] | Iterable[EarlierVerdict] | AsyncIterable[EarlierVerdict]
)
"""A file that a run or a download has written, or rows with verdicts, async or not."""

MaxAge: TypeAlias = timedelta | Mapping[Verdict | VerdictName, timedelta]
"""How old a verdict may be to be reused; with a mapping, only the verdicts that it names are."""

DEFAULT_MAX_AGE: Final = timedelta(days=30)

Given: TypeAlias = Path | Iterable[EarlierVerdict] | AsyncIterable[EarlierVerdict]

_WRONG: Final = "Earlier verdicts come as a list of files, or of iterables of rows with verdicts."
_FIRST_SPOOLED: Final = 2_000_000
_ROWS_A_TURN: Final = 1000


def given_sources(reuse: Collection[ReuseSource]) -> tuple[Given, ...]:
    """Return files as paths, and refuse what is neither a file nor rows."""
    sources: object = (reuse,) if isinstance(reuse, str | os.PathLike) else reuse
    if not isinstance(sources, Iterable):
        raise UsageError(_WRONG)
    found: list[Given] = []
    for source in sources:
        if isinstance(source, str | os.PathLike):
            found.append(Path(source))
        elif isinstance(source, Iterable | AsyncIterable):
            found.append(source)
        else:
            raise UsageError(_WRONG)
    return tuple(found)


def seconds_by_verdict(max_age: MaxAge) -> dict[str, float]:
    """Return the seconds that each verdict may be old."""
    if isinstance(max_age, timedelta):
        ages = dict.fromkeys(map(str, REUSABLE), max_age.total_seconds())
    else:
        ages = {str(verdict): age.total_seconds() for verdict, age in max_age.items()}
    for verdict, seconds in ages.items():
        if verdict not in REUSABLE:
            raise UsageError(f"{verdict!r} can't be reused; {', '.join(REUSABLE)} can.").with_hint(
                "Correct `max_age`.", "Correct --max-age."
            )
        if seconds <= 0:
            raise UsageError("An earlier verdict is older than no time at all.").with_hint(
                "Make `max_age` longer.", "Make --max-age longer."
            )
    return ages


async def drained(sources: Iterable[Given], spool: Path) -> list[Path | Rows]:
    """Return sources for a thread: those that only a loop can read are copied."""
    found: list[Path | Rows] = []
    for number, source in enumerate(sources, start=_FIRST_SPOOLED):
        if isinstance(source, Path):
            found.append(source)
        elif isinstance(source, AsyncIterable):
            found.append(await _spooled(source, source_path(spool, number, ".jsonl")))
        else:
            found.append(Rows(source))
    return found


async def _spooled(source: AsyncIterable[EarlierVerdict], path: Path) -> SpooledRows:
    spooled = SpooledRows(path)
    rows: list[EarlierVerdict] = []
    async for row in source:
        rows.append(row)
        if len(rows) >= _ROWS_A_TURN:
            await in_thread(partial(spooled.extend, rows))
            rows = []
    await in_thread(partial(spooled.extend, rows))
    return spooled

"""The earlier verdicts that a caller gives, so that a run does not buy them again."""

import os
from collections.abc import AsyncIterable, Collection, Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Final, TypeAlias

from bulkverify.errors import UsageError
from bulkverify.lists import REUSABLE, EarlierVerdict, Rows, SpooledRows
from bulkverify.lists.frames import frame_rows
from bulkverify.lists.layout import source_path
from bulkverify.models import Verdict, VerdictName, parse_verdict
from bulkverify.run.threads import drain

ReuseSource: TypeAlias = (
    str | os.PathLike[str] | Iterable[EarlierVerdict] | AsyncIterable[EarlierVerdict]
)
"""A file that a run or a download has written, or rows with verdicts, async or not."""

MaxAge: TypeAlias = timedelta | Mapping[Verdict | VerdictName, timedelta]
"""How old a verdict may be to be reused; with a mapping, only the verdicts that it names are."""

DEFAULT_MAX_AGE: Final = timedelta(days=30)

Given: TypeAlias = Path | Iterable[EarlierVerdict] | AsyncIterable[EarlierVerdict]

_WRONG: Final = "Earlier verdicts come as a list of files, or of iterables of rows with verdicts."
_CORRECT: Final = ("Correct `max_age`.", "Correct --max-age.")
_FIRST_SPOOLED: Final = 2_000_000


def given_sources(reuse: Collection[ReuseSource]) -> tuple[Given, ...]:
    """Return files as paths, and refuse what is neither a file nor rows."""
    sources: object = (reuse,) if isinstance(reuse, str | os.PathLike) else reuse
    if frame_rows(sources) is not None:
        raise UsageError(_WRONG).with_hint(
            "Pass `[frame.itertuples()]`.", "Write it to a file, and name that."
        )
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
    given: Mapping[Verdict | VerdictName, object] = (
        max_age if isinstance(max_age, Mapping) else dict.fromkeys(REUSABLE, max_age)
    )
    ages: dict[str, float] = {}
    for said, age in given.items():
        try:
            verdict = parse_verdict(said)
        except ValueError:
            verdict = Verdict.UNKNOWN
        if verdict not in REUSABLE:
            raise UsageError(f"{said!r} can't be reused; {', '.join(REUSABLE)} can.").with_hint(
                *_CORRECT
            )
        if not isinstance(age, timedelta) or age <= timedelta():
            raise UsageError(
                f"A verdict can be reused for a time (a timedelta above 0), not for {age!r}."
            ).with_hint(*_CORRECT)
        if verdict in ages:
            raise UsageError(f"{verdict} has two ages.").with_hint(*_CORRECT)
        ages[str(verdict)] = age.total_seconds()
    if not ages:
        raise UsageError("No verdict has an age, so none would be reused.").with_hint(*_CORRECT)
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
    await drain(source, spooled.extend)
    return spooled

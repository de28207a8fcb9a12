"""Progress where there is no terminal: a line for each stage, and one for each 10 % or minute.

The lines go to stderr. If it is a full pipe, lines are left out; if its reader is gone, the run goes on
without them.
"""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from math import ceil
from time import monotonic
from typing import Final, Self

from bulkverify.cli.shown import Shown, clock
from bulkverify.cli.streams import has_room
from bulkverify.run.models import Stage
from bulkverify.service.answers import printable

_EVERY_SECONDS: Final = 60.0
_FASTEST_SECONDS: Final = 1.0
_STEPS: Final = 10
_NO_NEWS: Final = frozenset({"waiting", Stage.READING, Stage.QUEUED, Stage.FETCHED, Stage.DONE})
"""These get a line only after a minute."""


class Lines:
    """Writes a line when there is news, while the context is open."""

    def __init__(self) -> None:
        self._shown: Shown | None = None
        self._stages: set[str] = set()
        self._notes: set[tuple[int, str]] = set()
        self._step = 0
        self._told_at = 0.0
        self._lost = False
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> Self:
        self._wind()
        return self

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Do nothing: lines are in the way of no question."""
        yield

    def show(self, shown: Shown) -> None:
        """Write a line if this is a new stage, another 10 %, or news of a part."""
        self._shown = shown
        for part in shown.parts:
            if part.note and (part.number, part.note) not in self._notes:
                self._notes.add((part.number, part.note))
                self.say(f"part {part.number}: {printable(part.note)}")
        step = shown.done * _STEPS // shown.total if shown.total else 0
        if shown.stage not in _NO_NEWS:
            further = step > self._step and monotonic() - self._told_at >= _FASTEST_SECONDS
            if shown.stage not in self._stages or further:
                self._tell(shown)
                self._step = step
        self._stages.add(shown.stage)
        self._step = min(self._step, step)

    def say(self, text: str) -> None:
        """Write a line that begins with the time."""
        line = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}  {text}\n"
        try:
            if not self._lost and has_room(sys.stderr, milliseconds=0):
                sys.stderr.write(line)
                sys.stderr.flush()
        except OSError:
            self._lost = True

    def _tell(self, shown: Shown) -> None:
        self._told_at = monotonic()
        self.say(describe(shown))
        self._wind()

    def _wind(self) -> None:
        """Write the next line in a minute, unless there is news before."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(_EVERY_SECONDS, self._tick)

    def _tick(self) -> None:
        if self._shown is not None:
            self._tell(self._shown)
        else:
            self._wind()


def describe(shown: Shown) -> str:
    """Describe a moment in one line."""
    words = [shown.stage]
    if shown.words:
        words.append(shown.words)
    if shown.total:
        percent = 100 * shown.done // shown.total
        words.append(f"{shown.done:,} of {shown.total:,} ({percent}%)")
    if shown.left and shown.done != shown.total:
        words.append(f"{clock(ceil(shown.left))} left")
    if shown.stage in {"verifying", "completed"}:
        words += [f"{count:,} {verdict}" for verdict, count in shown.verdicts.items()]
    return ", ".join(words)

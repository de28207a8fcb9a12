"""Progress on a terminal: one line for a job; for a run, one line and one for each active part.

This module imports rich, so it is imported only if stderr is a terminal.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.table import Column
from rich.text import Text

from bulkverify.models import JobSnapshot
from bulkverify.run.models import PartProgress, RunProgress, Stage
from bulkverify.run.progress import Forecast

_ACTIVE: Final = frozenset(
    {Stage.UPLOADING, Stage.PREPARING, Stage.STARTING, Stage.VERIFYING, Stage.DOWNLOADING}
)
_OVER: Final = frozenset({Stage.FETCHED, Stage.FAILED})


def clock(seconds: float | None) -> str:
    """Write a time as h:mm:ss, or as m:ss below an hour."""
    if seconds is None:
        return "-:--"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class Numbers(ProgressColumn):
    """Percent, counts, rate, time passed and time left, as far as they are known.

    A task without a `forecast` shows the first two only.
    """

    def __init__(self) -> None:
        super().__init__(Column(no_wrap=True))

    def render(self, task: Task) -> Text:
        """Write the numbers of one line."""
        passed = clock(task.elapsed)
        if task.total is None:
            return Text(passed, style="progress.elapsed")
        done, total = int(task.completed), int(task.total)
        counts = Text.assemble(
            (f"{int(task.percentage):>3}%", "progress.percentage"), f"  {done:,}/{total:,}"
        )
        forecast: Forecast | None = task.fields.get("forecast")
        if forecast is None:
            return counts
        rate = forecast.rate
        pace = "" if rate is None else f"  {rate:,.{0 if rate >= 10 else 1}f}/s"  # noqa: PLR2004 - a digit
        left = clock(forecast.left(task.get_time(), total))
        return Text.assemble(
            counts,
            f"{pace}  ",
            (passed, "progress.elapsed"),
            (f", {left} left", "progress.remaining"),
        )


class ProgressLines:
    """Lines of progress on stderr while the context is open; `words` is rich's format of their text."""

    def __init__(self, words: str) -> None:
        self._forecast = Forecast()
        self._progress = Progress(
            TextColumn(words),
            BarColumn(bar_width=None),
            Numbers(),
            console=Console(stderr=True),
            expand=True,
            transient=True,
        )

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def say(self, text: str) -> None:
        """Write a line above the others."""
        self._progress.console.print(text, markup=False, highlight=False)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Hide the lines while the block runs."""
        self._progress.stop()
        try:
            yield
        finally:
            self._progress.start()


class Bar(ProgressLines):
    """One line about one job."""

    def __init__(self) -> None:
        super().__init__("{task.description:<11}")
        self._task = self._progress.add_task("", total=None, forecast=self._forecast)

    def show(self, stage: str, snapshot: JobSnapshot | None = None) -> None:
        """Show the stage, and the counts while a list is verifying."""
        total = completed = None
        if snapshot is not None and snapshot.verified is not None and stage == "verifying":
            total, completed = snapshot.total, snapshot.verified
            self._forecast.see(self._progress.get_time(), snapshot.verified)
        task = self._progress.tasks[0]
        if total is None and task.total is not None:
            self._progress.remove_task(task.id)
            started = task.start_time
            self._task = self._progress.add_task("", total=None, forecast=self._forecast)
            self._progress.tasks[0].start_time = started
        self._progress.update(
            self._task,
            description=stage.capitalize(),
            total=total,
            completed=completed,
            refresh=True,
        )


class Bars(ProgressLines):
    """One line for a run, and one for each of its active parts."""

    def __init__(self) -> None:
        super().__init__("{task.description}")
        self._line = self._progress.add_task("", total=None)
        self._length: int | None = None
        self._of_rows = True
        self._parts: dict[int, TaskID] = {}

    def follow(self, seen: RunProgress) -> None:
        """Show the state of a run."""
        if seen.part is not None and len(seen.parts) > 1:
            self._show_part(seen.part, len(seen.parts))
        words, total, completed = _whole(seen)
        of_rows = seen.part is None
        if of_rows is not self._of_rows:  # rows are counted until there are parts, then addresses
            self._of_rows = of_rows
            self._forecast = Forecast()
        if total is None and self._length is not None:
            # rich can't remove the length of a bar.
            self._progress.remove_task(self._line)
            self._line = self._progress.add_task("", total=None)
        elif total is not None:
            self._forecast.see(self._progress.get_time(), completed)
        self._length = total
        self._progress.update(
            self._line,
            description=f"{words:<11}",
            total=total,
            completed=completed,
            forecast=self._forecast,
            refresh=True,
        )

    def _show_part(self, part: PartProgress, count: int) -> None:
        """Show a line for a part while it is active."""
        task = self._parts.get(part.number)
        if part.stage not in _ACTIVE and not part.note:
            if task is not None:
                self._progress.remove_task(self._parts.pop(part.number))
            return
        words = f"{part.number:>{len(str(count))}} {part.note or part.stage}"[:30].ljust(11)
        if task is None:
            task = self._parts[part.number] = self._progress.add_task(words, total=part.addresses)
        self._progress.update(task, description=words, completed=part.verified)


def _whole(seen: RunProgress) -> tuple[str, int | None, int]:
    """Return the text of the line for a run, its total if known, and how much is done."""
    stage = seen.stage.capitalize()
    if seen.stage is Stage.READING:
        return (f"Read {seen.rows_done:,}" if seen.rows_done else stage), None, 0
    if seen.part is None:
        return stage, seen.rows or None, seen.rows_done
    if len(seen.parts) > 1:
        done = sum(part.stage in _OVER for part in seen.parts)
        return f"{done}/{len(seen.parts)} parts", seen.addresses, seen.verified
    if seen.stage is Stage.VERIFYING and seen.verified:
        return stage, seen.addresses, seen.verified
    return stage, None, 0

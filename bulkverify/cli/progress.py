"""Progress for somebody who watches: one line on stderr, gone when the work is done.

This module brings rich with it, so it is imported only where stderr is a terminal.
"""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.table import Column
from rich.text import Text

from bulkverify.cli.forecast import Forecast, clock
from bulkverify.models import JobSnapshot


class Numbers(ProgressColumn):
    """Percent, how many of how many, rate, time passed and time left, as far as they are known.

    A task without a `forecast` shows the first two only.
    """

    def __init__(self) -> None:
        """Take what fits, in one line."""
        super().__init__(Column(no_wrap=True))

    def render(self, task: Task) -> Text:
        """Write it."""
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


class Shown:
    """Lines of progress on stderr, from entering to leaving."""

    def __init__(self, words: str) -> None:
        """Prepare them; nothing is shown yet.

        Args:
            words: how rich is to write what a line is about.
        """
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
        """Show them."""
        self._progress.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Take them away."""
        self._progress.stop()


class Bar(Shown):
    """One line, about one job."""

    def __init__(self) -> None:
        """Prepare it."""
        super().__init__("{task.description:<11}")
        self._task = self._progress.add_task("", total=None, forecast=self._forecast)

    def show(self, stage: str, snapshot: JobSnapshot | None = None) -> None:
        """Say what is going on; counts are shown while a list verifies."""
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

"""The progress of a run for somebody who watches: a bar in total, and one for each active part.

This module brings rich with it, so it is imported only where stderr is a terminal.
"""

from typing import Final

from rich.progress import TaskID

from bulkverify.cli.forecast import Forecast
from bulkverify.cli.progress import Shown
from bulkverify.run.models import PartProgress, RunProgress, Stage

_ACTIVE: Final = frozenset(
    {Stage.UPLOADING, Stage.PREPARING, Stage.STARTING, Stage.VERIFYING, Stage.DOWNLOADING}
)
_OVER: Final = frozenset({Stage.FETCHED, Stage.FAILED})


class Bars(Shown):
    """Some lines, about the parts of a run and all of it."""

    def __init__(self) -> None:
        """Prepare them."""
        super().__init__("{task.description}")
        self._line = self._progress.add_task("", total=None)
        self._length: int | None = None
        self._of_rows = True
        self._parts: dict[int, TaskID] = {}

    def follow(self, seen: RunProgress) -> None:
        """Show what a run tells."""
        if seen.part is not None and len(seen.parts) > 1:
            self._show_part(seen.part, len(seen.parts))
        words, total, completed = _whole(seen)
        if (
            seen.part is None
        ) is not self._of_rows:  # what is counted from here on is something else
            self._of_rows = not self._of_rows
            self._forecast = Forecast()
        if total is None and self._length is not None:
            # rich has no way back from a bar with a length to one without.
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
        """Show a line for a part as long as it is active."""
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
    """Say what the line in total shows: its words, its length if there is one, and how much is done."""
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

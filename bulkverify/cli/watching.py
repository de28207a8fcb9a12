"""Progress of a command: bars on a terminal, lines elsewhere, and a log of each stage for `--verbose`."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Final, Literal, Protocol, TypeAlias

from bulkverify.cli.shown import Shown, of_job, of_run
from bulkverify.cli.text import counts
from bulkverify.lifecycle import JobStatus
from bulkverify.models import JobSnapshot
from bulkverify.run.models import PartProgress, RunProgress, Stage
from bulkverify.run.progress import Forecast
from bulkverify.service.logs import SafeLogger

Kind: TypeAlias = Literal["bars", "lines", "nothing"]
"""How progress is shown."""

_log: Final = SafeLogger(__name__)


class Display(Protocol):
    """Shows progress on stderr."""

    def show(self, shown: Shown) -> object:
        """Show this from now on."""

    def say(self, text: str) -> object:
        """Write a line."""

    def paused(self) -> AbstractContextManager[None]:
        """Hide the display while the block runs."""
        ...


class Line:
    """Follows one job: logs each new stage and all counts, and updates the display."""

    def __init__(self, display: Display | None) -> None:
        self._display = display
        self._forecast = Forecast()
        self._logged = ""

    def show(self, stage: str, snapshot: JobSnapshot | None = None) -> None:
        """Show the stage, and the snapshot if there is one."""
        news = f"{stage}, job {snapshot.job_id}" if snapshot else stage
        if news != self._logged:
            self._logged = news
            _log.info(news)
        if snapshot is not None and snapshot.verified is not None:
            _log.debug("%s of %s verified", snapshot.verified, snapshot.total)
        if self._display is not None:
            self._display.show(of_job(stage, snapshot, self._forecast))

    def say(self, text: str) -> None:
        """Write a line."""
        if self._display is not None:
            self._display.say(text)


class Follower:
    """Follows a run: logs each new stage of each part and all counts, and updates the display."""

    def __init__(self, display: Display | None) -> None:
        self.earlier: str = ""
        """What an earlier command has done; it is said before this one goes on with it."""
        self._display = display
        self._logged: dict[int, str] = {}
        self._analysed: set[int] = set()

    def paused(self) -> AbstractContextManager[None]:
        """Hide the display while the block runs, so that the user can be asked."""
        return nullcontext() if self._display is None else self._display.paused()

    def announce(self) -> None:
        """Say once what an earlier command has done."""
        text, self.earlier = self.earlier, ""
        if text:
            _log.info(text)
            if self._display is not None:
                self._display.say(text)

    def follow(self, seen: RunProgress) -> None:
        """Show the state of the run."""
        if seen.stage not in {Stage.READING, Stage.DONE}:  # the list was compared with the record
            self.announce()
        part = seen.part
        number = 0 if part is None else part.number
        news = str(seen.stage)
        if part is not None:
            news += f", job {part.job_id}" if part.job_id else ""
            news += f", part {number} of {len(seen.parts)}" if len(seen.parts) > 1 else ""
            news += f": {part.note}" if part.note else ""
        if news != self._logged.get(number):
            self._logged[number] = news
            _log.info(news)
        if part is not None and part.snapshot is not None:
            self._show_analysis(part, part.snapshot, several=len(seen.parts) > 1)
        if part is not None and part.snapshot is not None and part.snapshot.verified is not None:
            _log.debug("%s of %s verified", part.snapshot.verified, part.snapshot.total)
        if self._display is not None:
            self._display.show(of_run(seen))

    def _show_analysis(self, part: PartProgress, snapshot: JobSnapshot, *, several: bool) -> None:
        """Show what the service has noticed in a list before it is started."""
        if (
            snapshot.analysis is not None
            and snapshot.status is JobStatus.READY
            and part.number not in self._analysed
        ):
            self._analysed.add(part.number)
            found = counts(snapshot.analysis, zeros=False)
            where = f"in part {part.number} before its start" if several else "before the start"
            text = f"Noticed {where}: {found or 'nothing'}"
            _log.info(text)
            if self._display is not None and found:
                self._display.say(text)


@contextmanager
def progress(kind: Kind) -> Iterator[Line]:
    """Follow one job while the block runs."""
    with _display(kind) as display:
        yield Line(display)


@contextmanager
def following(kind: Kind) -> Iterator[Follower]:
    """Follow a run while the block runs."""
    with _display(kind) as display:
        yield Follower(display)


@contextmanager
def _display(kind: Kind) -> Iterator[Display | None]:
    if kind == "bars":
        from bulkverify.cli.progress import Bars  # noqa: PLC0415 - imports rich, for terminals only

        with Bars() as bars:
            yield bars
    elif kind == "lines":
        from bulkverify.cli.lines import Lines  # noqa: PLC0415 - imports asyncio, not for --dry-run

        with Lines() as lines:
            yield lines
    else:
        yield None

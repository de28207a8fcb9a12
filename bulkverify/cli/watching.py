"""Progress of a command: lines on a terminal, and a log of each stage for `--verbose`."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Final

from bulkverify.cli.text import counts
from bulkverify.lifecycle import JobStatus
from bulkverify.models import JobSnapshot
from bulkverify.run.models import PartProgress, RunProgress
from bulkverify.service.logs import SafeLogger

_log: Final = SafeLogger(__name__)


class Line:
    """Follows one job: logs each new stage and all counts, and updates the bar."""

    def __init__(self, bar: Callable[[str, JobSnapshot | None], None] | None = None) -> None:
        self._bar = bar
        self._logged = ""

    def show(self, stage: str, snapshot: JobSnapshot | None = None) -> None:
        """Show the stage, and the snapshot if there is one."""
        news = f"{stage}, job {snapshot.job_id}" if snapshot else stage
        if news != self._logged:
            self._logged = news
            _log.info(news)
        if snapshot is not None and snapshot.verified is not None:
            _log.debug("%s of %s verified", snapshot.verified, snapshot.total)
        if self._bar is not None:
            self._bar(stage, snapshot)


class Follower:
    """Follows a run: logs each new stage of each part and all counts, and updates the bars."""

    def __init__(
        self,
        bars: Callable[[RunProgress], None] | None = None,
        paused: Callable[[], AbstractContextManager[None]] = nullcontext,
        say: Callable[[str], None] | None = None,
    ) -> None:
        self.paused = paused
        """Hides the bars while the block runs, so that the user can be asked."""
        self._bars = bars
        self._say = say
        self._logged: dict[int, str] = {}
        self._analysed: set[int] = set()

    def follow(self, seen: RunProgress) -> None:
        """Show the state of the run."""
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
            self._show_analysis(part, part.snapshot)
        if part is not None and part.snapshot is not None and part.snapshot.verified is not None:
            _log.debug("%s of %s verified", part.snapshot.verified, part.snapshot.total)
        if self._bars is not None:
            self._bars(seen)

    def _show_analysis(self, part: PartProgress, snapshot: JobSnapshot) -> None:
        """Show the service's counts for a list before it is started."""
        if (
            snapshot.analysis is not None
            and snapshot.status is JobStatus.READY
            and part.number not in self._analysed
        ):
            self._analysed.add(part.number)
            text = f"Part {part.number} before its start: {counts(snapshot.analysis)}"
            _log.info(text)
            if self._say is not None:
                self._say(text)


@contextmanager
def progress(*, on_terminal: bool) -> Iterator[Line]:
    """Follow one job while the block runs."""
    if not on_terminal:
        yield Line()
        return
    from bulkverify.cli.progress import Bar  # noqa: PLC0415 - imports rich, for terminals only

    with Bar() as bar:
        yield Line(bar.show)


@contextmanager
def following(*, on_terminal: bool) -> Iterator[Follower]:
    """Follow a run while the block runs."""
    if not on_terminal:
        yield Follower()
        return
    from bulkverify.cli.progress import Bars  # noqa: PLC0415 - imports rich, for terminals only

    with Bars() as bars:
        yield Follower(bars.follow, bars.paused, bars.say)

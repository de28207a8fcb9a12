"""How far the work is: a line where somebody watches, and the log for whoever asked for it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Protocol

from bulkverify.cli.output import Show
from bulkverify.models import JobSnapshot
from bulkverify.run.models import RunProgress
from bulkverify.service.logs import SafeLogger

_log: Final = SafeLogger(__name__)


class Line(Protocol):
    """What can be told how far the work is."""

    def show(self, stage: str, snapshot: JobSnapshot | None = None) -> None:
        """Say what is going on."""


class _Log:
    """Logs each stage once, and the counts of each answer; hands everything on to a line, if there is one."""

    def __init__(self, line: Line | None = None) -> None:
        self._line = line
        self._logged = ""

    def show(self, stage: str, snapshot: JobSnapshot | None = None) -> None:
        news = f"{stage}, job {snapshot.job_id}" if snapshot else stage
        if news != self._logged:
            self._logged = news
            _log.info(news)
        if snapshot is not None and snapshot.verified is not None:
            _log.debug("%s of %s verified", snapshot.verified, snapshot.total)
        if self._line is not None:
            self._line.show(stage, snapshot)


@contextmanager
def progress(show: Show) -> Iterator[Line]:
    """Give a line that lasts as long as the block."""
    if not show.on_terminal:
        yield _Log()
        return
    from bulkverify.cli.progress import Bar  # noqa: PLC0415 - brings rich along, for terminals only

    with Bar() as bar:
        yield _Log(bar)


class Follower(Protocol):
    """What can be told how far a run is."""

    def follow(self, seen: RunProgress) -> None:
        """Take what a run tells."""


class _RunLog:
    """Logs each stage of each part once; hands everything on to bars, if there are any."""

    def __init__(self, bars: Follower | None = None) -> None:
        self._bars = bars
        self._logged: dict[int, str] = {}

    def follow(self, seen: RunProgress) -> None:
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
        if part is not None and part.snapshot is not None and part.snapshot.verified is not None:
            _log.debug("%s of %s verified", part.snapshot.verified, part.snapshot.total)
        if self._bars is not None:
            self._bars.follow(seen)


@contextmanager
def following(show: Show) -> Iterator[Follower]:
    """Give what follows a run, for as long as the block lasts."""
    if not show.on_terminal:
        yield _RunLog()
        return
    from bulkverify.cli.bars import Bars  # noqa: PLC0415 - brings rich along, for terminals only

    with Bars() as bars:
        yield _RunLog(bars)

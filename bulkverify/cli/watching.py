"""Progress of a command: lines on a terminal, and a log of each stage for `--verbose`."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Protocol

from bulkverify.models import JobSnapshot
from bulkverify.run.models import RunProgress
from bulkverify.service.logs import SafeLogger

_log: Final = SafeLogger(__name__)


class Line(Protocol):
    """Follows one job."""

    def show(self, stage: str, snapshot: JobSnapshot | None = None) -> None:
        """Show the stage, and the snapshot if there is one."""


class Follower(Protocol):
    """Follows a run."""

    def follow(self, seen: RunProgress) -> None:
        """Show the state of the run."""


class _Log:
    """Logs each stage once and every count, and passes everything on to `line`."""

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


class _RunLog:
    """Logs each stage of each part once and every count, and passes everything on to `bars`."""

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
def progress(*, on_terminal: bool) -> Iterator[Line]:
    """Follow one job while the block runs."""
    if not on_terminal:
        yield _Log()
        return
    from bulkverify.cli.progress import Bar  # noqa: PLC0415 - imports rich, for terminals only

    with Bar() as bar:
        yield _Log(bar)


@contextmanager
def following(*, on_terminal: bool) -> Iterator[Follower]:
    """Follow a run while the block runs."""
    if not on_terminal:
        yield _RunLog()
        return
    from bulkverify.cli.progress import Bars  # noqa: PLC0415 - imports rich, for terminals only

    with Bars() as bars:
        yield _RunLog(bars)

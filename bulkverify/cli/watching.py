"""How far the work is: a line where somebody watches, and the log for whoever asked for it."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Protocol

from bulkverify.cli.output import Show
from bulkverify.models import JobSnapshot

_log: Final = logging.getLogger(__name__)


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

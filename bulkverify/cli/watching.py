"""A progress line where somebody watches, and nothing where nobody does."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from bulkverify.cli.output import Show
from bulkverify.models import JobSnapshot


class Line(Protocol):
    """What can be told how far the work is."""

    def show(self, stage: str, snapshot: JobSnapshot | None = None) -> None:
        """Say what is going on."""


class _Nothing:
    def show(self, stage: str, snapshot: JobSnapshot | None = None) -> None:
        pass


@contextmanager
def progress(show: Show) -> Iterator[Line]:
    """Give a line that lasts as long as the block."""
    if not show.on_terminal:
        yield _Nothing()
        return
    from bulkverify.cli.progress import Bar  # noqa: PLC0415 - brings rich along, for terminals only

    with Bar() as bar:
        yield bar

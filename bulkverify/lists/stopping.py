"""Counts the rows of work in a thread, and stops the work."""

from contextvars import ContextVar
from threading import Event
from typing import Final

import attrs


class StoppedError(Exception):
    """Ends work that was stopped."""


@attrs.define(eq=False)
class RowCount:
    """Counts the rows that a thread reads, and stops the thread."""

    rows: int = 0
    stopped: Event = attrs.field(factory=Event)


COUNTER: Final[ContextVar[RowCount | None]] = ContextVar("bulkverify_counter", default=None)
"""The counter of the work that runs in this context."""


def checkpoint(rows: int = 0) -> None:
    """Count rows, or raise if the work was stopped.

    It is called after each read that may block and before each write. So a thread that was abandoned in
    a blocked read never writes again.

    Raises:
        StoppedError: the work was stopped.
    """
    counter = COUNTER.get()
    if counter is not None:
        if counter.stopped.is_set():
            raise StoppedError
        counter.rows += rows

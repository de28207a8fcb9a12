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
    """Count rows, and raise `StoppedError` if the work is not wanted any more.

    It is called after each read that may block and before each write. So work that was left behind
    in a blocked read never writes again.
    """
    counter = COUNTER.get()
    if counter is not None:
        if counter.stopped.is_set():
            raise StoppedError
        counter.rows += rows

"""Work on a list in a thread: counts the rows, and ends when it is not wanted any more."""

from contextvars import ContextVar
from threading import Event
from typing import Final

import attrs


class StoppedError(Exception):
    """Ends work whose result is not wanted any more."""


@attrs.define(eq=False)
class RowCount:
    """Counts the rows that a thread reads, and stops the thread."""

    rows: int = 0
    stopped: Event = attrs.field(factory=Event)


COUNTER: Final[ContextVar[RowCount | None]] = ContextVar("bulkverify_counter", default=None)
"""The counter of the work that runs in this context."""


def checkpoint(rows: int = 0) -> None:
    """Count rows, and go on only if the work is still wanted.

    It is called after each read that may block and before each write. So work that was left behind
    in a blocked read never writes again.

    Raises:
        StoppedError: the work is not wanted any more.
    """
    counter = COUNTER.get()
    if counter is not None:
        if counter.stopped.is_set():
            raise StoppedError
        counter.rows += rows

"""Tells work on a list that it is not wanted any more."""

from contextvars import ContextVar
from threading import Event
from typing import Final

_STOP: Final[ContextVar[Event | None]] = ContextVar("bulkverify_stop", default=None)


class StoppedError(Exception):
    """Ends work whose result is not wanted any more."""


def stop_with(event: Event) -> None:
    """Let `checkpoint` raise in this context once the event is set."""
    _STOP.set(event)


def checkpoint() -> None:
    """Go on only if the work is still wanted.

    It is called after each read that may block and before each write. So work that was left behind
    in a blocked read never writes again.

    Raises:
        StoppedError: the work is not wanted any more.
    """
    event = _STOP.get()
    if event is not None and event.is_set():
        raise StoppedError

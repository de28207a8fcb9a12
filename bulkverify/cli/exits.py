"""What the process says with its exit code."""

import signal
from enum import IntEnum
from typing import Final, Self

from cyclopts import CycloptsError

from bulkverify.cli.interrupts import Interrupted
from bulkverify.errors import (
    InvalidListError,
    LifecycleError,
    ServiceError,
    TransportError,
    UsageError,
    WaitTimeoutError,
)
from bulkverify.run.errors import IncompleteRunError


class Exit(IntEnum):
    """Every exit code, with its meaning as the help has it."""

    meaning: str

    def __new__(cls, code: int, meaning: str) -> Self:
        """Take the code as the value, and keep the meaning beside it."""
        member = int.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        return member

    DONE = 0, "done"
    DEFECT = 1, "an error that nobody foresaw: run it with -vv, and report it"
    USAGE = 2, "bad usage or input: an option, the list, or a file"
    REFUSED = 3, "the service refused: the key, the credits, no such job, not ready"
    LIFECYCLE = 4, "the job failed, was cancelled or has not been started"
    TIMEOUT = 5, "the time to wait was over; the job goes on"
    NO_ANSWER = 6, "no usable answer came from the service"
    INCOMPLETE = 7, "parts of the list got no verdicts; the same command goes on"
    INTERRUPTED = 130, "interrupted by Ctrl-C; the job goes on"
    BROKEN_PIPE = 141, "whoever read the output went away"
    TERMINATED = 143, "ended by SIGTERM; the job goes on"


_FAMILIES: Final[tuple[tuple[type[BaseException], Exit], ...]] = (
    (WaitTimeoutError, Exit.TIMEOUT),
    (LifecycleError, Exit.LIFECYCLE),
    (TransportError, Exit.NO_ANSWER),
    (ServiceError, Exit.REFUSED),
    (IncompleteRunError, Exit.INCOMPLETE),
    (UsageError, Exit.USAGE),
    (CycloptsError, Exit.USAGE),
    (OSError, Exit.USAGE),
)
"""The first that fits counts: some errors belong to two families."""


def exit_of(error: BaseException) -> Exit:
    """Find the exit code of an error."""
    if isinstance(error, Interrupted):
        return Exit.TERMINATED if error.signum == signal.SIGTERM else Exit.INTERRUPTED
    if isinstance(error, KeyboardInterrupt):
        return Exit.INTERRUPTED
    if isinstance(error, InvalidListError) and error.status is None:
        return Exit.USAGE  # found out here, before anything was sent
    return next((exit_ for family, exit_ in _FAMILIES if isinstance(error, family)), Exit.DEFECT)


def table() -> str:
    """List the exit codes for the help."""
    return "\n".join(f"  {exit_.value:>3}  {exit_.meaning}" for exit_ in Exit)

"""The exit codes, and the code of each error."""

import signal
from enum import IntEnum
from typing import Self

from cyclopts import CycloptsError

import bulkverify
from bulkverify.cli.interrupts import Interrupted


class Exit(IntEnum):
    """An exit code, with its meaning for the help."""

    meaning: str

    def __new__(cls, code: int, meaning: str) -> Self:
        """Make the code the value, and keep the meaning beside it."""
        member = int.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        return member

    DONE = 0, "done"
    DEFECT = 1, "a bug in bulkverify: please report it with the output of -vv"
    USAGE = 2, "a wrong option, list or file"
    REFUSED = 3, "the service refused: wrong key, too few credits, unknown job, not ready"
    LIFECYCLE = 4, "the job failed, was cancelled or has not been started"
    TIMEOUT = 5, "the wait timed out; the job continues"
    NO_ANSWER = 6, "the service gave no usable answer"
    INCOMPLETE = 7, "parts of the list have no verdicts; the same command continues"
    INTERRUPTED = 130, "interrupted by Ctrl-C; the job continues"
    BROKEN_PIPE = 141, "the output was closed by its reader"
    TERMINATED = 143, "ended by SIGTERM; the job continues"


def exit_of(error: BaseException) -> Exit:
    """Return the exit code of an error."""
    if isinstance(error, Interrupted):
        return Exit.TERMINATED if error.signum == signal.SIGTERM else Exit.INTERRUPTED
    if isinstance(error, KeyboardInterrupt):
        return Exit.INTERRUPTED
    if isinstance(error, bulkverify.InvalidListError) and error.status is None:
        return Exit.USAGE  # refused here, before anything was sent
    families: tuple[tuple[type[BaseException], Exit], ...] = (
        (bulkverify.WaitTimeoutError, Exit.TIMEOUT),
        (bulkverify.LifecycleError, Exit.LIFECYCLE),
        (bulkverify.TransportError, Exit.NO_ANSWER),
        (bulkverify.VerifyTimeoutError, Exit.NO_ANSWER),
        (bulkverify.ServiceError, Exit.REFUSED),
        (bulkverify.IncompleteRunError, Exit.INCOMPLETE),
        (bulkverify.UsageError, Exit.USAGE),
        (CycloptsError, Exit.USAGE),
        (OSError, Exit.USAGE),
    )
    # Some errors belong to two families; the first match counts.
    return next((exit_ for family, exit_ in families if isinstance(error, family)), Exit.DEFECT)


def table() -> str:
    """List the exit codes for the help."""
    return "\n".join(f"  {exit_.value:>3}  {exit_.meaning}" for exit_ in Exit)

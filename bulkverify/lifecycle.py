"""The statuses of a list, and the table of their transitions. The rest is derived from the table."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Literal, TypeAlias


class JobStatus(StrEnum):
    """The status of a job. Each member equals the text that the service sends."""

    PREPARING = "preparing"
    """The service reads the list."""
    READY = "ready"
    """The list can be started; nothing has been paid."""
    VERIFYING = "verifying"
    """The job was started and paid for, and is being verified."""
    COMPLETED = "completed"
    """The results can be downloaded. This status is final."""
    FAILED = "failed"
    """The service could not use the list. This status is final."""
    CANCELLED = "cancelled"
    """The vendor cancelled the job. This status is final."""


StatusName: TypeAlias = Literal[
    "preparing", "ready", "verifying", "completed", "failed", "cancelled"
]
"""The text of a `JobStatus`. For a text that is not known until run time, write `JobStatus(text)`."""

TRANSITIONS: Final[Mapping[JobStatus, tuple[JobStatus, ...]]] = MappingProxyType(
    {
        JobStatus.PREPARING: (JobStatus.READY, JobStatus.FAILED, JobStatus.CANCELLED),
        JobStatus.READY: (JobStatus.VERIFYING, JobStatus.FAILED, JobStatus.CANCELLED),
        JobStatus.VERIFYING: (JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED),
        JobStatus.COMPLETED: (),
        JobStatus.FAILED: (),
        JobStatus.CANCELLED: (),
    }
)
"""For each status, those that may follow it directly. The first leads towards completion."""


def _follow_first(status: JobStatus) -> tuple[JobStatus, ...]:
    following = TRANSITIONS[status]
    return (status, *_follow_first(following[0])) if following else (status,)


def _closure(status: JobStatus) -> frozenset[JobStatus]:
    """Return the statuses that can come after `status`, in any number of steps."""
    direct = TRANSITIONS[status]
    return frozenset(direct).union(*(_closure(following) for following in direct))


INITIAL: Final = next(iter(TRANSITIONS))
"""The status in which every list begins."""

TERMINAL: Final = frozenset(status for status, following in TRANSITIONS.items() if not following)
"""The final statuses."""

MAIN_LINE: Final = _follow_first(INITIAL)
"""The statuses of a list that completes, in order."""

REACHABLE: Final[Mapping[JobStatus, frozenset[JobStatus]]] = MappingProxyType(
    {status: _closure(status) for status in TRANSITIONS}
)
"""For each status, the statuses that can still come after it."""

SATISFYING: Final[Mapping[JobStatus, frozenset[JobStatus]]] = MappingProxyType(
    {
        target: frozenset({target, *(REACHABLE[target] & frozenset(MAIN_LINE))})
        for target in TRANSITIONS
    }
)
"""For each target of a wait, the statuses that end the wait: the target, and those after it in `MAIN_LINE`."""

OUT_OF_REACH: Final[Mapping[JobStatus, frozenset[JobStatus]]] = MappingProxyType(
    {
        target: frozenset(
            seen for seen in TRANSITIONS if not SATISFYING[target] & {seen, *REACHABLE[seen]}
        )
        for target in TRANSITIONS
    }
)
"""For each target of a wait, the statuses from which it can't be reached."""


def parse_status(status: str) -> JobStatus:
    """Parse a status; an unknown one raises `ValueError`."""
    try:
        return JobStatus(status)
    except ValueError:
        message = f"{status!r} is not a job status; the six are {in_words(JobStatus)}"
        raise ValueError(message) from None


def can_follow(known: JobStatus, seen: JobStatus) -> bool:
    """Return whether the status `seen` may follow `known`.

    The same status may come again, and polls may miss the steps in between.
    """
    return seen is known or seen in REACHABLE[known]


def satisfies(seen: JobStatus, target: JobStatus) -> bool:
    """Return whether the status `seen` is `target` or past it."""
    return seen in SATISFYING[target]


def can_reach(seen: JobStatus, target: JobStatus) -> bool:
    """Return whether a job with the status `seen` can still reach `target` or pass it."""
    return seen not in OUT_OF_REACH[target]


def in_words(statuses: Iterable[JobStatus]) -> str:
    """List statuses as text, in the order of the table."""
    chosen = frozenset(statuses)
    return ", ".join(status for status in TRANSITIONS if status in chosen)

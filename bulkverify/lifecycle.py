"""How a list may move: one table of legal steps, and everything else derived from it."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Literal, TypeAlias


class JobStatus(StrEnum):
    """The six statuses that the service gives a list; each equals its wire spelling."""

    PREPARING = "preparing"
    READY = "ready"
    VERIFYING = "verifying"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


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
"""Which status may directly follow which; the first of each row is the step of a list that does well."""


def _follow_first(status: JobStatus) -> tuple[JobStatus, ...]:
    following = TRANSITIONS[status]
    return (status, *_follow_first(following[0])) if following else (status,)


def _closure(status: JobStatus) -> frozenset[JobStatus]:
    """Everything that can come after `status`, in any number of steps."""
    direct = TRANSITIONS[status]
    return frozenset(direct).union(*(_closure(following) for following in direct))


INITIAL: Final = next(iter(TRANSITIONS))
"""The status in which every list begins."""

TERMINAL: Final = frozenset(status for status, following in TRANSITIONS.items() if not following)
"""The statuses that nothing leaves."""

MAIN_LINE: Final = _follow_first(INITIAL)
"""The way of a list that does well, in order."""

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
"""For each target of a wait, the statuses that fulfil it: itself, and what lies past it on the main line."""

OUT_OF_REACH: Final[Mapping[JobStatus, frozenset[JobStatus]]] = MappingProxyType(
    {
        target: frozenset(
            seen for seen in TRANSITIONS if not SATISFYING[target] & {seen, *REACHABLE[seen]}
        )
        for target in TRANSITIONS
    }
)
"""For each target of a wait, the statuses after which nothing can fulfil it any more."""


def parse_status(status: str) -> JobStatus:
    """Turn what a caller typed into a `JobStatus`.

    Raises:
        ValueError: it is none of the six.
    """
    try:
        return JobStatus(status)
    except ValueError:
        message = f"{status!r} is not a job status; the six are {in_words(JobStatus)}"
        raise ValueError(message) from None


def can_follow(known: JobStatus, seen: JobStatus) -> bool:
    """Tell whether a job known to be `known` may later be seen as `seen`.

    Staying is allowed, and so is jumping ahead: a poll is a sample and may miss what lies between.
    """
    return seen is known or seen in REACHABLE[known]


def satisfies(seen: JobStatus, target: JobStatus) -> bool:
    """Tell whether a wait for `target` is over once a job is `seen`: it is there, or well past it."""
    return seen in SATISFYING[target]


def can_reach(seen: JobStatus, target: JobStatus) -> bool:
    """Tell whether a wait for `target` can still be fulfilled by a job that is `seen`."""
    return seen not in OUT_OF_REACH[target]


def in_words(statuses: Iterable[JobStatus]) -> str:
    """Name some statuses in the order of the table."""
    chosen = frozenset(statuses)
    return ", ".join(status for status in TRANSITIONS if status in chosen)

"""The handles in use, each found again by its id."""

from typing import Generic, Protocol, TypeVar
from weakref import WeakValueDictionary

HandleT = TypeVar("HandleT")
HandleT_co = TypeVar("HandleT_co", covariant=True)


class Holder(Protocol[HandleT_co]):
    """Somebody who needs a handle for as long as something is under way, such as the polls of a job."""

    @property
    def job(self) -> HandleT_co:
        """The handle."""


class Handles(Generic[HandleT]):
    """One handle an id, for as long as anybody has it.

    While a handle is held, its holder stands in for it: that saves a weak reference for each of the
    100,000 jobs that may be waited for, and the holder is found by the id too.
    """

    __slots__ = ("_held", "_idle")

    def __init__(self) -> None:
        """Start with none."""
        self._held: dict[str, Holder[HandleT]] = {}
        self._idle: WeakValueDictionary[str, HandleT] = WeakValueDictionary()

    def get(self, job_id: str) -> HandleT | None:
        """Return the handle of this id, if there is one."""
        holder = self._held.get(job_id)
        return self._idle.get(job_id) if holder is None else holder.job

    def add(self, job_id: str, handle: HandleT) -> None:
        """Take in a new handle."""
        self._idle[job_id] = handle

    def hold(self, job_id: str, holder: Holder[HandleT]) -> None:
        """Let a holder keep the handle alive until it releases it."""
        self._held[job_id] = holder
        self._idle.pop(job_id, None)

    def release(self, job_id: str) -> None:
        """Let go of a handle, which then lives for as long as anybody else has it."""
        self._idle[job_id] = self._held.pop(job_id).job

    def holder(self, job_id: str) -> Holder[HandleT] | None:
        """Return who holds the handle of this id."""
        return self._held.get(job_id)

    def holders(self) -> list[Holder[HandleT]]:
        """Return all who hold one."""
        return list(self._held.values())

    @property
    def held(self) -> int:
        """How many handles are held."""
        return len(self._held)

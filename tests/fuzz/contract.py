"""The contract as a small model: the expected answers and payments at any moment."""

from collections.abc import Iterator, Sequence
from typing import Final

import attrs

from bulkverify import (
    AlreadyStartedError,
    BulkVerifyError,
    InsufficientCreditsError,
    InvalidListError,
    JobCancelledError,
    JobFailedError,
    JobNotFoundError,
    ListLimitError,
    NotReadyError,
    ServiceError,
    UnreachableStatusError,
    WaitTimeoutError,
)

CREDITS: Final = 15
MOST_LISTS: Final = 4
MOST_VERIFYING: Final = 2
PREPARING, START_DELAY, VERIFYING, FINISHING = 2, 1, 10, 2
MAIN_LINE: Final = ["preparing", "ready", "verifying", "completed"]
BAD_ENDS: Final = {"failed": JobFailedError, "cancelled": JobCancelledError}


@attrs.define
class Listed:
    """A list as the contract sees it; times are the service's seconds."""

    addresses: list[str]
    created: int
    usable: bool = True
    automatic: bool = False
    started: int | None = None
    ended: str | None = None
    deleted: bool = False

    @property
    def total(self) -> int:
        return len(self.addresses)

    def status(self, now: int) -> str:
        if self.ended is not None:
            return self.ended
        if now < self.created + PREPARING:
            return "preparing"
        if not self.usable:
            return "failed"
        if self.started is None or now < self.started + START_DELAY:
            return "ready"
        lasts = START_DELAY + VERIFYING + FINISHING
        return "verifying" if now < self.started + lasts else "completed"

    def verified(self, now: int) -> int:
        assert self.started is not None
        return min(self.total, self.total * (now - self.started - START_DELAY) // VERIFYING)


class Contract:
    """One account; methods named like calls return the expected error, or `None` for success."""

    def __init__(self) -> None:
        self.now = 0
        self.lists: dict[str, Listed] = {}
        self.spent = 0
        self.starts: list[str] = []
        self.deletes: list[str] = []
        self.verified: list[str] = []

    def status(self, job_id: str) -> str:
        return self.lists[job_id].status(self.now)

    def _open(self) -> Iterator[Listed]:
        for one in self.lists.values():
            if not one.deleted and one.status(self.now) not in {"completed", *BAD_ENDS}:
                yield one

    def _active(self) -> int:
        return sum(one.automatic or one.started is not None for one in self._open())

    def advance(self, seconds: int) -> None:
        """Let time pass; lists with `auto_verify` start when they become ready."""
        for _ in range(seconds):
            self.now += 1
            for job_id, one in self.lists.items():
                if one.automatic and self.now == one.created + PREPARING:
                    one.automatic = False
                    if self.status(job_id) == "ready" and CREDITS - self.spent >= one.total:
                        self.pay(job_id)

    def pay(self, job_id: str) -> None:
        self.lists[job_id].started = self.now
        self.spent += self.lists[job_id].total
        self.starts.append(job_id)

    def upload(self, *, automatic: bool) -> type[BulkVerifyError] | None:
        full = len(list(self._open())) >= MOST_LISTS
        busy = automatic and self._active() >= MOST_VERIFYING
        return ListLimitError if full or busy else None

    def note_upload(
        self, job_id: str, addresses: list[str], *, usable: bool, automatic: bool
    ) -> None:
        self.lists[job_id] = Listed(addresses, self.now, usable=usable, automatic=automatic)

    def rows(self, job_id: str, verdicts: Sequence[str] | None) -> list[str]:
        """Return the addresses that the results must have."""
        addresses = self.lists[job_id].addresses
        return [one for one in addresses if verdicts is None or one.partition("+")[0] in verdicts]

    def start(self, job_id: str) -> type[BulkVerifyError] | None:
        one, status = self.lists[job_id], self.status(job_id)
        if one.deleted:
            return JobNotFoundError
        if status == "preparing":
            return NotReadyError
        if status in BAD_ENDS:
            return ServiceError
        if one.started is not None:
            return AlreadyStartedError
        if self._active() >= MOST_VERIFYING:
            return ListLimitError
        return None if CREDITS - self.spent >= one.total else InsufficientCreditsError

    def download(self, job_id: str) -> type[BulkVerifyError] | None:
        if self.lists[job_id].deleted:
            return JobNotFoundError
        errors = {"completed": None, "failed": InvalidListError, "cancelled": ServiceError}
        return errors.get(self.status(job_id), NotReadyError)

    def delete(self, job_id: str) -> type[BulkVerifyError] | None:
        one, status = self.lists[job_id], self.status(job_id)
        if one.deleted:
            return JobNotFoundError
        deletable = status == "completed" or (status == "ready" and one.started is None)
        return None if deletable else NotReadyError

    def wait(self, job_id: str, target: str, known: str | None) -> type[BulkVerifyError] | None:
        """Return how a wait ends if the service's clock stands still; `known` is the last status seen."""
        status = self.status(job_id)
        for seen in [known, *([] if self.lists[job_id].deleted else [status])]:
            if seen == target or (
                seen in MAIN_LINE
                and target in MAIN_LINE
                and MAIN_LINE.index(seen) > MAIN_LINE.index(target)
            ):
                return None
            if seen in BAD_ENDS:
                return BAD_ENDS[seen]
            if seen == "completed":
                return UnreachableStatusError
        return JobNotFoundError if self.lists[job_id].deleted else WaitTimeoutError

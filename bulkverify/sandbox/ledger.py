"""The sandbox's ledger: the requests that arrived and the credits that were spent."""

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Final, Literal, get_args

import attrs

Endpoint = Literal["upload", "status", "start", "download", "delete", "verify", "credits"]
"""The endpoints of the service; each has its own rate limit."""

ENDPOINTS: Final[tuple[Endpoint, ...]] = get_args(Endpoint)


@attrs.frozen(kw_only=True)
class Upload:
    """A list that was accepted, as a file or as rows."""

    job_id: str
    """The id of the list."""
    total: int
    """The number of its rows."""
    filename: str | None
    """The name of its file; `None` for rows."""
    title: str | None
    """The title of rows; `None` for a file."""
    time: datetime
    """When it was accepted, by the sandbox's clock."""


@attrs.frozen(kw_only=True)
class Injected:
    """A fault that took effect."""

    kind: str
    """The kind of the fault."""
    endpoint: Endpoint
    """The endpoint of the request that it hit."""
    job_id: str | None
    """The list of that request; `None` if it had none."""
    time: datetime
    """When it happened, by the sandbox's clock."""


@attrs.define(kw_only=True, eq=False)
class _Books:
    """The counts that are kept both for a list and for the account."""

    requests: Counter[str] = attrs.field(factory=Counter)
    """Requests by endpoint, answered or not; those about a list do not include its upload."""
    throttled: Counter[str] = attrs.field(factory=Counter)
    """Requests that were answered 429, by endpoint."""
    faults: Counter[str] = attrs.field(factory=Counter)
    """Requests that a fault hit, by kind of fault."""

    @property
    def polls(self) -> int:
        """How often a status was polled."""
        return self.requests["status"]


@attrs.define(kw_only=True, eq=False)
class JobBooks(_Books):
    """Everything that happened to one list."""

    starts: int = 0
    """Accepted starts, including those by `auto_verify`."""
    downloads: int = 0
    """How often its results were downloaded."""
    credits_spent: int = 0
    """What the list cost."""


@attrs.define(kw_only=True, eq=False)
class Ledger(_Books):
    """Everything that happened, for tests to check."""

    uploads: list[Upload] = attrs.field(factory=list)
    """The accepted lists, in order."""
    starts: list[str] = attrs.field(factory=list)
    """The ids of started lists, including those by `auto_verify`."""
    downloads: list[str] = attrs.field(factory=list)
    """The ids of downloaded lists."""
    deletes: list[str] = attrs.field(factory=list)
    """The ids of deleted lists."""
    verified_addresses: list[str] = attrs.field(factory=list)
    """The addresses that were verified one by one, as they were sent."""
    injected: list[Injected] = attrs.field(factory=list)
    """Every fault that took effect, in order."""
    credits_spent: int = 0
    """All credits spent."""
    _jobs: dict[str, JobBooks] = attrs.field(factory=dict, repr=False)
    _paid: Counter[str] = attrs.field(factory=Counter, repr=False)
    _bills: list[Callable[[], Iterable[str]]] = attrs.field(factory=list, repr=False)

    def __str__(self) -> str:
        """Summarise the ledger in a few lines, without addresses."""
        lines = [
            f"uploads {len(self.uploads)}, starts {len(self.starts)}, downloads {len(self.downloads)}",
            f"credits spent {self.credits_spent}, addresses paid twice {len(self.paid_twice)}",
            f"requests: {_listed(self.requests)}",
            f"throttled: {_listed(self.throttled)}",
            f"faults: {_listed(self.faults)}",
        ]
        for upload in self.uploads:
            books = self.job(upload.job_id)
            lines.append(
                f"{upload.job_id}: {upload.total} rows, {books.starts} starts, "
                f"{books.credits_spent} credits, {books.polls} polls, {books.downloads} downloads"
            )
        return "\n".join(lines)

    def job(self, job_id: str) -> JobBooks:
        """Return what happened to one list; the books are empty if it does not exist."""
        return self._jobs.get(job_id) or JobBooks()

    def spent_on(self, job_id: str) -> int:
        """Return the credits spent on one list."""
        return self.job(job_id).credits_spent

    @property
    def paid(self) -> Counter[str]:
        """How often each address was paid for, by its stripped lower-case form.

        It is counted when read, because the largest lists take about a second.
        """
        while self._bills:
            self._paid.update(self._bills.pop()())
        return self._paid

    @property
    def paid_twice(self) -> list[str]:
        """The addresses that were paid for more than once; there should be none."""
        return [address for address, times in self.paid.items() if times > 1]

    def note_request(self, endpoint: Endpoint, job_id: str | None) -> None:
        """Count a request that has arrived."""
        self.requests[endpoint] += 1
        if job_id:
            self._of(job_id).requests[endpoint] += 1

    def note_throttled(self, endpoint: Endpoint, job_id: str | None) -> None:
        """Count a request that was answered 429."""
        self.throttled[endpoint] += 1
        if job_id:
            self._of(job_id).throttled[endpoint] += 1

    def note_fault(self, injected: Injected) -> None:
        """Note a fault that took effect."""
        self.faults[injected.kind] += 1
        self.injected.append(injected)
        if injected.job_id:
            self._of(injected.job_id).faults[injected.kind] += 1

    def note_start(self, job_id: str, cost: int, addresses: Callable[[], Iterable[str]]) -> None:
        """Note that a list was started; `addresses` is called when `paid` is read."""
        self.starts.append(job_id)
        self._of(job_id).starts += 1
        self._of(job_id).credits_spent += cost
        self.credits_spent += cost
        self._bills.append(addresses)

    def note_download(self, job_id: str) -> None:
        """Note that the results of a list were downloaded."""
        self.downloads.append(job_id)
        self._of(job_id).downloads += 1

    def note_address(self, address: str, normal: str) -> None:
        """Note that a single address was verified."""
        self.verified_addresses.append(address)
        self.credits_spent += 1
        self._paid[normal] += 1

    def _of(self, job_id: str) -> JobBooks:
        return self._jobs.setdefault(job_id, JobBooks())


def _listed(counter: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counter.items()) or "none"

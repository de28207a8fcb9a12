"""The sandbox's books: what was asked of it, and what was paid."""

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Final, Literal, get_args

import attrs

Endpoint = Literal["upload", "status", "start", "download", "delete", "verify", "credits"]
"""What can be asked of the service; each has its own allowance of requests."""

ENDPOINTS: Final[tuple[Endpoint, ...]] = get_args(Endpoint)


@attrs.frozen(kw_only=True)
class Upload:
    """A list that was accepted; `filename` comes with a file, `title` with rows."""

    job_id: str
    total: int
    filename: str | None
    title: str | None
    time: datetime


@attrs.define(kw_only=True, eq=False)
class Ledger:
    """Everything that happened, for a test to assert.

    Attributes:
        requests: how many requests arrived, by endpoint, whatever became of them.
        throttled: how many of them were answered 429, by endpoint.
        uploads: the lists that were accepted, in order.
        starts: the ids of the lists whose start was accepted, also through `auto_verify`.
        downloads: the ids of the lists whose results were handed out.
        deletes: the ids of the lists that were deleted.
        verified_addresses: the addresses that were verified one by one, as they were asked for.
        faults: how many injected faults took effect, by kind.
        credits_spent: what all of it cost.
    """

    requests: Counter[str] = attrs.field(factory=Counter)
    throttled: Counter[str] = attrs.field(factory=Counter)
    uploads: list[Upload] = attrs.field(factory=list)
    starts: list[str] = attrs.field(factory=list)
    downloads: list[str] = attrs.field(factory=list)
    deletes: list[str] = attrs.field(factory=list)
    verified_addresses: list[str] = attrs.field(factory=list)
    faults: Counter[str] = attrs.field(factory=Counter)
    credits_spent: int = 0
    _spent: Counter[str] = attrs.field(factory=Counter, repr=False)
    _paid: Counter[str] = attrs.field(factory=Counter, repr=False)
    _bills: list[Callable[[], Iterable[str]]] = attrs.field(factory=list, repr=False)

    def spent_on(self, job_id: str) -> int:
        """The credits that went into one list."""
        return self._spent[job_id]

    @property
    def paid(self) -> Counter[str]:
        """How many times each address has been paid, by its stripped lower-case form.

        Counted when somebody asks, because it takes a second or so for the largest lists.
        """
        while self._bills:
            self._paid.update(self._bills.pop()())
        return self._paid

    def note_start(self, job_id: str, cost: int, addresses: Callable[[], Iterable[str]]) -> None:
        """Write down that a list was started; `addresses` is called when somebody wants to know."""
        self.starts.append(job_id)
        self._spent[job_id] += cost
        self.credits_spent += cost
        self._bills.append(addresses)

    def note_address(self, address: str, normal: str) -> None:
        """Write down that a single address was verified."""
        self.verified_addresses.append(address)
        self.credits_spent += 1
        self._paid[normal] += 1

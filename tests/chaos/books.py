"""The books of a storm: outcomes, broken promises, and requests a minute."""

import asyncio
from collections import Counter, defaultdict, deque

import attrs

from bulkverify.sandbox import Ledger
from bulkverify.sandbox.clock import Clock
from bulkverify.sandbox.ledger import Endpoint

PERIOD = 60.0
LATE = 1.0
"""The seconds by which a wait may outlive its deadline, or its cancellation."""


@attrs.define(kw_only=True, eq=False)
class WatchfulLedger(Ledger):
    """Counts the requests of any minute as they arrive, before anything can delay or drop them.

    `most` has the highest count for each endpoint.
    """

    clock: Clock
    most: Counter[str] = attrs.field(factory=Counter)
    _moments: defaultdict[str, deque[float]] = attrs.field(factory=lambda: defaultdict(deque))

    def note_request(self, endpoint: Endpoint, job_id: str | None) -> None:
        """Count a request that has arrived."""
        # attrs replaces the class, which super() without arguments does not know.
        Ledger.note_request(self, endpoint, job_id)
        moments, now = self._moments[endpoint], self.clock.now()
        moments.append(now)
        while moments[0] <= now - PERIOD:
            moments.popleft()
        self.most[endpoint] = max(self.most[endpoint], len(moments))


@attrs.define
class Books:
    """The outcomes that the clients saw.

    Attributes:
        outcomes: how the jobs and runs ended.
        waits: how the waits ended.
        paid_for: the addresses of lists that completed, and so were paid once.
        broken: the promises that were broken; there should be none.
    """

    outcomes: Counter[str] = attrs.field(factory=Counter)
    waits: Counter[str] = attrs.field(factory=Counter)
    paid_for: list[str] = attrs.field(factory=list)
    broken: list[str] = attrs.field(factory=list)

    def check(self, kept: bool, otherwise: str) -> None:  # noqa: FBT001 - like an assertion
        """Note a promise that was broken."""
        if not kept:
            self.broken.append(otherwise)

    def check_time(self, began: float, allowed: float, what: str) -> None:
        """Note a wait or a cancellation that took longer than allowed."""
        took = asyncio.get_running_loop().time() - began
        self.check(took <= allowed + LATE, f"{what}: {took:.2f} s where {allowed:.2f} are allowed")

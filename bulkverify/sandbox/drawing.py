"""Decides which requests the injected faults hit."""

import random
from collections.abc import Callable, Mapping

import attrs

from bulkverify.sandbox.faults import TABLE, Fault
from bulkverify.sandbox.ledger import Endpoint


def at_random(rates: Mapping[str, float | Mapping[Endpoint, float]]) -> list[Fault]:
    """Make faults that hit requests at random, any number of times. The sandbox's seed decides which.

    `rates` has the probability of each kind, from 0 to 1, for all endpoints or by endpoint.
    """
    return [
        Fault(kind=kind, endpoint=endpoint, rate=share, times=None)
        for kind, rate in rates.items()
        for endpoint, share in (rate.items() if isinstance(rate, Mapping) else [(None, rate)])
    ]


@attrs.define(eq=False)
class _Armed:
    """An injected fault, how many requests it could hit, and how many it hit."""

    fault: Fault
    chance: random.Random
    seen: int = 0
    hits: int = 0
    lasts_until: float | None = None

    def hit(self, now: float) -> bool:
        """Decide whether to hit a request that fits the fault."""
        fault = self.fault
        if self.lasts_until is not None:
            if now < self.lasts_until:
                return True
            self.lasts_until = None
        if fault.times is not None and self.hits >= fault.times:
            return False
        self.seen += 1
        place = self.seen - fault.skip
        if place <= 0 or place % fault.every or self.chance.random() >= fault.rate:
            return False
        self.hits += 1
        if fault.lasting:
            self.lasts_until = now + fault.lasting
        return True


@attrs.define(eq=False)
class Faults:
    """The injected faults, in order.

    Each has its own random generator, so that adding a fault does not change what the others hit.
    """

    seed: int
    _injected: list[_Armed] = attrs.field(factory=list, init=False)

    def inject(self, fault: Fault) -> None:
        """Add a fault."""
        chance = random.Random(f"{self.seed}, {len(self._injected)}")  # noqa: S311 - not for security
        self._injected.append(_Armed(fault, chance))

    def draw(
        self, endpoint: Endpoint, job_id: str | None, now: float, *, verifying: Callable[[], bool]
    ) -> Fault | None:
        """Return the first fault that hits this request; `verifying` tells whether its list is being verified."""
        for armed in self._injected:
            fault = armed.fault
            able = fault.fits(endpoint, job_id) and (not TABLE[fault.kind].verifying or verifying())
            if able and armed.hit(now):
                return fault
        return None

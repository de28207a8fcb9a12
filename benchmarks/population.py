"""Jobs as a service might run them: how long each takes, and what its counters show.

The size of a list says nothing about its duration, so that no rule can profit from the size.
"""

import math
from bisect import bisect_right
from collections.abc import Callable
from itertools import accumulate
from random import Random
from typing import Final, TypeAlias

import attrs

SHORTEST: Final = 10.0
LONGEST: Final = 4 * 3600.0
STRETCHES: Final = 20


@attrs.frozen(kw_only=True)
class Work:
    """One list at the service. Its times count from the start of the wait.

    `times` and `shares` are the corners of its progress, which is linear in between.
    """

    total: int
    times: list[float]
    shares: list[float]
    ends_at: float
    fails: bool
    # How its counters are shown: the seconds between refreshes, the number of steps, the most seconds
    # that a replica lags behind, or not at all.
    refresh: float = 0.0
    steps: int = 0
    replica_lag: float = 0.0
    silent: bool = False
    phase: float = 0.0

    def verified(self, at: float) -> int:
        """Return how many addresses the service shows as verified at the time `at`."""
        if self.silent:
            return 0
        if self.replica_lag:
            # About every other poll meets a lagging replica. The lag depends on the time.
            noise = math.sin(at * 12.9898 + self.phase) * 43758.5453 % 1.0
            at -= self.replica_lag * max(0.0, 2 * noise - 1)
        if self.refresh:
            at = math.floor((at - self.phase) / self.refresh) * self.refresh + self.phase
        share = self._share(at)
        if self.steps:
            share = math.floor(share * self.steps + 1e-9) / self.steps
        return math.floor(share * self.total + 1e-9)

    def _share(self, at: float) -> float:
        if at <= self.times[0]:
            return 0.0
        if at >= self.times[-1]:
            return 1.0
        corner = bisect_right(self.times, at) - 1
        begin, end = self.times[corner], self.times[corner + 1]
        low, high = self.shares[corner], self.shares[corner + 1]
        return low + (high - low) * (at - begin) / (end - begin)


Maker: TypeAlias = Callable[[Random], Work]


@attrs.frozen(kw_only=True)
class Population:
    """Jobs of one kind. The defaults are those of the design."""

    title: str
    sigma: float = 0.3
    acceleration: float = 1.0
    total: int | None = None
    refresh: float = 0.0
    steps: int = 0
    replica_lag: float = 0.0
    silent: bool = False
    pause: float = 0.0
    long_finish: bool = False
    failing: float = 0.03

    def draw(self, count: int, seed: int) -> list[Work]:
        """Make jobs. The same seed makes the same jobs, with the same durations in each population."""
        return [
            self._draw(Random(f"{seed}/{number}"), number / count, (number + 1) / count)  # noqa: S311 - no secret
            for number in range(count)
        ]

    def _draw(self, random: Random, low: float, high: float) -> Work:
        # Stratified, so that the mean duration and the polls of a job hardly depend on the seed.
        duration = SHORTEST * (LONGEST / SHORTEST) ** random.uniform(low, high)
        quiet = min(random.uniform(1, 30), 0.3 * duration)
        finish = random.uniform(0, min(10, 0.05 * duration))
        fails_at = random.uniform(0, duration) if random.random() < self.failing else None
        total = round(math.exp(random.uniform(math.log(100), math.log(500_000))))
        phase = random.random()
        longer = random.uniform(0.1, 0.5)
        if self.long_finish:
            finish = longer * (duration - quiet)
        # Each stretch is a twentieth of the list, and its weight is the inverse of its speed.
        weights = [
            math.exp(-self.sigma * random.gauss(0, 1))
            / self.acceleration ** ((stretch + 0.5) / STRETCHES)
            for stretch in range(STRETCHES)
        ]
        shares = [stretch / STRETCHES for stretch in range(STRETCHES + 1)]
        if self.pause:
            after = random.randrange(1, STRETCHES)
            weights.insert(after, self.pause / (1 - self.pause) * sum(weights))
            shares.insert(after, shares[after])
        second = (duration - quiet - finish) / sum(weights)
        return Work(
            total=self.total or total,
            times=list(accumulate((weight * second for weight in weights), initial=quiet)),
            shares=shares,
            ends_at=duration if fails_at is None else fails_at,
            fails=fails_at is not None,
            refresh=self.refresh,
            steps=self.steps,
            replica_lag=self.replica_lag,
            silent=self.silent,
            phase=phase * (self.refresh or 1.0),
        )


BASE: Final = Population(title="the design's")

# For the lag of a failure. With only 3 % of 8,000 jobs it would be uncertain by 2 s.
FAILING: Final = Population(title="the design's, all fail", failing=1.0)

WEAK_SPOTS: Final = (
    Population(title="speeds vary wildly (sigma 1)", sigma=1.0),
    Population(title="accelerates tenfold", acceleration=10.0),
    Population(title="counters refreshed every 30 s", refresh=30.0),
    Population(title="100 addresses", total=100),
    Population(title="no progress shown", silent=True),
    Population(title="stalls for 30 % of the time", pause=0.3),
    Population(title="counters in 10 jumps", steps=10),
    Population(title="counters go back by up to 60 s", replica_lag=60.0),
    Population(title="verified == total long before", long_finish=True),
    Population(title="2 addresses", total=2),
    Population(title="500,000 addresses", total=500_000),
)

"""How late waits notice an end, and with how many polls, in virtual time with the real strategies.

Run with `python -m benchmarks.pacing`, which prints Markdown tables. After each poll, a strategy gets
the same `PollState` as from the scheduler.
"""

import argparse
import itertools
import math
import os
import platform
import random
import statistics
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Final

import attrs
from tenacity import RetryCallState, wait_exponential_jitter, wait_fixed
from tenacity.wait import wait_base

from benchmarks.population import (
    BASE,
    FAILING,
    LONGEST,
    SHORTEST,
    WEAK_SPOTS,
    Population,
    Work,
)
from bulkverify import JobSnapshot, JobStatus, PollState, wait_for_progress
from bulkverify.waiting.pacing import Progress

LATENCY: Final = 0.1
JOBS: Final = 8_000
SEED: Final = 1
OTHER_SEEDS: Final = (2, 3, 4)


class design_rule(wait_base):  # noqa: N801 - tenacity's strategies are written like this
    """The rule of the first design, for one job. It counts the polls that show all as verified."""

    def __init__(self) -> None:
        """Begin with a job."""
        self._first: tuple[float, int] | None = None
        self._all_verified = -1

    def __call__(self, retry_state: RetryCallState) -> float:
        """Return the seconds until the next poll."""
        assert isinstance(retry_state, PollState)  # noqa: S101 - the simulation gives no other
        assert retry_state.snapshot is not None  # noqa: S101 - likewise
        waited = retry_state.seconds_since_start or 0.0
        verified, total = retry_state.snapshot.verified or 0, retry_state.snapshot.total or 0
        longest = min(120.0, waited / 2)
        if self._first is None and verified > 0:
            self._first = waited, verified
        if verified >= total:
            self._all_verified += 1
            return max(1.0, min(1.3 ** min(self._all_verified, 40), longest))
        if self._first is None or verified <= self._first[1]:
            return max(1.0, min(0.2 * waited, 60.0, waited / 2))
        rate = (verified - self._first[1]) / (waited - self._first[0])
        return max(1.0, min(0.7 * (total - verified) / rate, longest))


POLICIES: Final[dict[str, Callable[[], wait_base]]] = {
    "fixed 15 s": lambda: wait_fixed(15),
    "exponential + jitter, 1 to 60 s": lambda: wait_exponential_jitter(max=60),
    "the first design's rule": design_rule,
    "`wait_for_progress`": wait_for_progress,
}
FIXED, EXPONENTIAL, DESIGN, OURS = POLICIES


@attrs.frozen(kw_only=True)
class Outcome:
    """The result of a policy for a population. Lags are in seconds."""

    lag: float
    p95: float
    polls: float


def wait_for(work: Work, policy: wait_base) -> tuple[float, int]:
    """Poll one job until an answer shows its end. Return the lag in seconds, and the polls."""
    sent_at, progress = 0.0, None
    for polls in itertools.count(1):
        # The service reads the state half-way between request and answer.
        looked_at, now = sent_at + LATENCY / 2, sent_at + LATENCY
        if looked_at >= work.ends_at:
            return now - work.ends_at, polls
        verified = work.verified(looked_at)
        if progress is not None:
            progress.note(now, verified)
        elif verified > 0:
            progress = Progress(now, verified)
        snapshot = JobSnapshot(
            job_id="job",
            status=JobStatus.VERIFYING,
            total=work.total,
            verified=verified,
            pending=work.total - verified,
        )
        state = PollState(
            started_at=0.0,
            now=now,
            polls=polls,
            outcome=snapshot,
            snapshot=snapshot,
            progress=progress,
            failures=0,
        )
        sent_at = now + policy(state)
    raise AssertionError


def measure(task: tuple[Population, str, int, int]) -> Outcome:
    """Let one policy wait for all jobs of a population.

    The lag is that of the jobs that complete, or of all jobs if all fail.
    """
    population, policy, seed, count = task
    random.seed(seed)  # for the jitter
    make = POLICIES[policy]
    lags, polls = [], 0
    for work in population.draw(count, seed):
        lag, needed = wait_for(work, make())
        polls += needed
        if not work.fails or population.failing == 1.0:
            lags.append(lag)
    lags.sort()
    return Outcome(
        lag=statistics.fmean(lags), p95=lags[math.ceil(0.95 * len(lags)) - 1], polls=polls / count
    )


def least_blind_lag(polls: float) -> float:
    """Return the lowest mean lag in seconds of any schedule that sees no progress.

    f is the density of the end, and S the share that has not ended yet. Gaps of g(t) cost the integral of
    S / g in polls, and the integral of f g / 2 in lag. By Cauchy and Schwarz, the product is at least half
    the square of the integral of sqrt(f S), even for a schedule that is made for the population.
    """
    steps = 100_000
    log_range = math.log(LONGEST / SHORTEST)
    width = log_range / steps
    root = 0.0
    for step in range(steps):
        log_left = (step + 0.5) * width  # log(LONGEST / time)
        time = LONGEST * math.exp(-log_left)
        root += math.sqrt(log_left / time) / log_range * time * width
    # The first poll, at the start of the wait, finds nothing.
    return root**2 / 2 / (polls - 1)


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    """Print a markdown table."""
    head = list(head)
    for cells in (head, ["---"] * len(head), *rows):
        print("|", " | ".join(cells), "|")  # noqa: T201 - what the command is for
    print()  # noqa: T201 - likewise


def main() -> None:
    """Measure everything and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--jobs", type=int, default=JOBS, help="in each population")
    jobs = parser.parse_args().jobs
    populations = (BASE, *WEAK_SPOTS)
    tasks = [
        (population, policy, SEED, jobs) for population in (BASE, FAILING) for policy in POLICIES
    ]
    tasks += [(spot, policy, SEED, jobs) for spot in WEAK_SPOTS for policy in (DESIGN, OURS)]
    tasks += [
        (population, OURS, seed, jobs // 2)
        for population in (*populations, FAILING)
        for seed in OTHER_SEEDS
    ]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        results = dict(zip(tasks, pool.map(measure, tasks), strict=True))
    versions = f"Python {platform.python_version()}, tenacity {version('tenacity')}"
    print(f"{datetime.now(UTC):%Y-%m-%d}, {versions}, {jobs:,} jobs.\n")  # noqa: T201 - likewise

    rows = []
    for policy in POLICIES:
        base, failing = (results[population, policy, SEED, jobs] for population in (BASE, FAILING))
        rows.append(
            [
                policy,
                f"{base.lag:.2f} s",
                f"{base.p95:.1f} s",
                f"{base.polls:.1f}",
                f"{failing.lag:.1f} s",
            ]
        )
    table(["policy", "mean lag", "p95", "polls per job", "lag of a failure"], rows)

    # Exponential waits depend only on the ends, which are the same in each population.
    exponential = results[BASE, EXPONENTIAL, SEED, jobs]
    rows = []
    for population in populations:
        design, ours = (results[population, policy, SEED, jobs] for policy in (DESIGN, OURS))
        rows.append(
            [
                population.title,
                *(f"{lag:.1f} s" for lag in (exponential.lag, design.lag)),
                f"**{ours.lag:.2f} s**",
                f"{exponential.lag / ours.lag:.1f} x",
                f"{ours.p95:.1f} s",
                *(f"{polls:.1f}" for polls in (exponential.polls, design.polls)),
                f"**{ours.polls:.1f}**",
            ]
        )
    table(
        [
            "population",
            "lag: exponential",
            "design",
            "ours",
            "less than exponential",
            "ours, p95",
            "polls: exponential",
            "design",
            "ours",
        ],
        rows,
    )

    print(  # noqa: T201 - likewise
        f"With no progress shown and {exponential.polls:.1f} polls a job, no schedule has a mean lag below "
        f"{least_blind_lag(exponential.polls):.1f} s, not even one made for these durations.\n"
    )

    rows = []
    for population in (*populations, FAILING):
        seeds = [results[population, OURS, SEED, jobs]]
        seeds += [results[population, OURS, seed, jobs // 2] for seed in OTHER_SEEDS]
        rows.append([population.title, *(f"{seed.lag:.2f} s, {seed.polls:.1f}" for seed in seeds)])
    table(
        ["ours: mean lag, polls per job", *(f"seed {seed}" for seed in (SEED, *OTHER_SEEDS))], rows
    )


if __name__ == "__main__":
    main()

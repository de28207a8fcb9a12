"""One account under its limit of 120 requests a minute, in virtual time: many jobs, many clients.

The real client, scheduler, budget and strategies run on a virtual clock. Only the request is replaced,
by a service that counts arrivals as the hosted one does.
"""

import argparse
import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from statistics import fmean, quantiles

import attrs
from tenacity import wait_exponential, wait_random
from tenacity.wait import wait_base

from benchmarks.population import BASE, Work
from benchmarks.virtual import run_virtually
from bulkverify import (
    BulkVerifyError,
    Client,
    JobSnapshot,
    JobStatus,
    RateLimitedError,
    wait_for_progress,
    wait_until,
)
from bulkverify.client import known_of

LIMIT = 120
PERIOD = 60.0
LATENCY = 0.1
EXPONENTIAL = wait_exponential(multiplier=1, max=60) + wait_random(0, 1)
"""A usual retry loop around a status call: tenacity's exponential + jitter, 1 to 60 s."""


class Service:
    """Counts the requests of all clients in any 60 seconds."""

    def __init__(self) -> None:
        """Start without requests."""
        self._arrivals: deque[float] = deque()
        self.refused: list[float] = []

    def admit(self, now: float) -> bool:
        """Count a request, or refuse it if there are too many."""
        while self._arrivals and self._arrivals[0] <= now - PERIOD:
            self._arrivals.popleft()
        if len(self._arrivals) >= LIMIT:
            self.refused.append(now)
            return False
        self._arrivals.append(now)
        return True


class VirtualClient(Client):
    """A client that gets its answers from a population, in which all jobs started at 0."""

    def __init__(self, service: Service, works: dict[str, Work]) -> None:
        """Keep the jobs, by id."""
        super().__init__("key")
        self._service = service
        self._works = works
        known = known_of(self)
        known.poll = self._poll  # type: ignore[method-assign]
        for job_id in works:
            known.note_start(job_id)

    async def _poll(self, job_id: str) -> JobSnapshot:
        """Answer with the state of a job half a latency from now."""
        loop = asyncio.get_running_loop()
        await asyncio.sleep(LATENCY / 2)
        if not self._service.admit(loop.time()):
            await asyncio.sleep(LATENCY / 2)
            self._transport._budget.throttled("status", None)  # noqa: SLF001 - as the transport does
            raise RateLimitedError("429", status=429)
        work = self._works[job_id]
        now = loop.time()
        await asyncio.sleep(LATENCY / 2)
        status = JobStatus.VERIFYING
        if now >= work.ends_at:
            status = JobStatus.FAILED if work.fails else JobStatus.COMPLETED
        verified = work.total if status is JobStatus.COMPLETED else work.verified(now)
        return JobSnapshot(job_id=job_id, status=status, total=work.total, verified=verified)


@attrs.frozen(kw_only=True)
class Outcome:
    """The result of a run: lags by client, polls, and the times of the 429s."""

    lags: list[list[float]]
    polls: int
    refused: list[float]

    @property
    def mean_lag(self) -> float:
        """The mean of the seconds from the end of a job until its waiter knows."""
        return fmean(lag for lags in self.lags for lag in lags)

    @property
    def p95_lag(self) -> float:
        """The 95th percentile of these seconds."""
        return quantiles([lag for lags in self.lags for lag in lags], n=20)[-1]

    @property
    def worst_client(self) -> float:
        """The mean lag of the worst client, divided by the mean of all."""
        return max(map(fmean, self.lags)) / self.mean_lag


async def run_account(works: Sequence[Work], clients: int, policy: wait_base) -> Outcome:
    """Wait for `works` with several clients of one account, each with its own budget."""
    service = Service()
    loop = asyncio.get_running_loop()
    lags: list[list[float]] = [[] for _ in range(clients)]
    polls = 0

    async def one(client: Client, number: int, work: Work) -> None:
        with suppress(BulkVerifyError):
            await wait_until(client.job(f"job{number}"), timeout=None, wait=policy)
        lags[number % clients].append(loop.time() - work.ends_at)

    made = [
        VirtualClient(service, {f"job{n}": w for n, w in enumerate(works) if n % clients == index})
        for index in range(clients)
    ]
    async with asyncio.TaskGroup() as group:
        for number, work in enumerate(works):
            group.create_task(one(made[number % clients], number, work))
    for client in made:
        polls += client.stats.polls
        await client.close()
    return Outcome(lags=lags, polls=polls, refused=service.refused)


def simulate(works: Sequence[Work], clients: int, policy: wait_base) -> Outcome:
    """Run an account on a virtual clock."""
    return run_virtually(run_account(works, clients, policy))


def many_jobs(seed: int) -> list[str]:
    """Report lag and polls of one client with more and more jobs, compared with exponential + jitter."""
    rows = [
        "| jobs | mean lag | p95 | polls a job | 429s | exponential: mean lag | p95 | polls a job | 429s | ratio |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for count in (10, 50, 100, 500):
        works = BASE.draw(count, seed)
        ours = simulate(works, 1, wait_for_progress())
        theirs = simulate(works, 1, EXPONENTIAL)
        rows.append(
            f"| {count} | {ours.mean_lag:.1f} s | {ours.p95_lag:.1f} s | {ours.polls / count:.0f} | {len(ours.refused)} "
            f"| {theirs.mean_lag:.1f} s | {theirs.p95_lag:.1f} s | {theirs.polls / count:.0f} | {len(theirs.refused)} "
            f"| {theirs.mean_lag / ours.mean_lag:.1f} x |"
        )
    return rows


def many_clients(seed: int) -> list[str]:
    """Report the lag of independent clients with one key, 50 jobs each."""
    rows = [
        "| clients | mean lag | worst client / mean | 429s in minutes 0-5 | 5-30 | 30-60 | later, per hour |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for clients in (1, 2, 4, 8):
        works = BASE.draw(50 * clients, seed)
        outcome = simulate(works, clients, wait_for_progress())
        hours = max(work.ends_at for work in works) / 3600 - 1
        counts = [
            sum(low <= moment < high for moment in outcome.refused)
            for low, high in ((0, 300), (300, 1800), (1800, 3600), (3600, 1e9))
        ]
        rows.append(
            f"| {clients} | {outcome.mean_lag:.1f} s | {outcome.worst_client:.2f} | {counts[0]} | {counts[1]} "
            f"| {counts[2]} | {counts[3] / hours:.1f} |"
        )
    return rows


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    seed = parser.parse_args().seed
    print("\n".join(["## One account, many jobs", "", *many_jobs(seed), ""]))  # noqa: T201
    print("\n".join(["## One key, many clients", "", *many_clients(seed), ""]))  # noqa: T201


if __name__ == "__main__":
    main()

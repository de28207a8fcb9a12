"""A client whose polls are scripted, for hours of waiting on a virtual clock."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import attrs

from bulkverify import Analysis, Client, JobSnapshot, JobStatus, VerdictCounts

JOB_ID = "r374aki32rnatv868nntpxloc7dkilszc3eu"

Step: TypeAlias = JobSnapshot | Exception
Script: TypeAlias = Callable[[float], Step]


class ScriptedClient(Client):
    """Answers each poll from a script after `latency` seconds, and records when each was sent."""

    def __init__(
        self,
        script: Script | Sequence[Step],
        *,
        latency: float = 0.0,
        requests_per_minute: int | None = None,
    ) -> None:
        super().__init__("scripted-key", requests_per_minute=requests_per_minute)
        self._known.poll = self.poll  # type: ignore[method-assign]
        self._script = script
        self._steps: Iterator[Step] = iter(()) if callable(script) else iter(script)
        self._last: Step | None = None
        self.latency = latency
        self.polled_at: list[float] = []
        self.in_flight = 0
        self.most_in_flight = 0

    async def poll(self, job_id: str) -> JobSnapshot:
        now = asyncio.get_running_loop().time()
        self.polled_at.append(now)
        self.in_flight += 1
        self.most_in_flight = max(self.in_flight, self.most_in_flight)
        try:
            if self.latency:
                await asyncio.sleep(self.latency)
        finally:
            self.in_flight -= 1
        step = self._step(asyncio.get_running_loop().time())
        if isinstance(step, Exception):
            raise step
        return attrs.evolve(step, job_id=job_id)

    def _step(self, now: float) -> Step:
        if callable(self._script):
            return self._script(now)
        self._last = next(self._steps, self._last)
        assert self._last is not None
        return self._last

    def mark_started(self, job_id: str = JOB_ID) -> None:
        self.job(job_id, started=True)


def seen(
    status: str, verified: int | None = None, total: int | None = None, *, job_id: str = JOB_ID
) -> JobSnapshot:
    """Make a snapshot with the fields that its status has."""
    full = status in {"verifying", "completed"}
    total = (100 if full else None) if total is None else total
    verified = (total if status == "completed" else 0) if full and verified is None else verified
    return JobSnapshot(
        job_id=job_id,
        status=JobStatus(status),
        total=total,
        verified=verified,
        pending=None if verified is None or total is None else total - verified,
        analysis=Analysis(common_isp=0, role_based=0, disposable=0, spamtrap=0, syntax_error=0)
        if full
        else None,
        results=VerdictCounts(deliverable=verified or 0, undeliverable=0, accept_all=0, unknown=0)
        if full
        else None,
    )

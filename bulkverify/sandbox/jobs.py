"""A list at the service. Its status is computed from its history and the time."""

import math
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import attrs

from bulkverify.errors import IllegalTransitionError
from bulkverify.lifecycle import INITIAL, MAIN_LINE, TERMINAL, JobStatus, can_follow
from bulkverify.models import JobSnapshot
from bulkverify.sandbox.answers import MESSAGES
from bulkverify.sandbox.reading import AddressList


@attrs.frozen(kw_only=True)
class Timings:
    """How long the service takes, in seconds of the sandbox's clock."""

    preparing: float = attrs.field(default=2.0, validator=attrs.validators.ge(0))
    """How long a list is `preparing`."""
    preparing_per_address: float = attrs.field(default=20e-6, validator=attrs.validators.ge(0))
    """How much longer it is `preparing` for each row."""
    start_delay: float = attrs.field(default=1.0, validator=attrs.validators.ge(0))
    """How long a started list still shows `ready`."""
    verifying: float = attrs.field(default=10.0, validator=attrs.validators.ge(0))
    """How long a list is `verifying`."""
    verifying_per_address: float = attrs.field(default=0.02, validator=attrs.validators.ge(0))
    """How much longer it is `verifying` for each row."""
    finishing: float = attrs.field(default=2.0, validator=attrs.validators.ge(0))
    """How long a list still shows `verifying` once nothing is pending."""


@attrs.frozen
class Step:
    """A status, and the time at which it began."""

    status: JobStatus
    since: float


@attrs.define(kw_only=True, eq=False)
class Job:
    """A list and its history. Times are seconds of the sandbox's clock.

    An `endless` list never completes. A `will_fail` list fails after its start. A list that
    `shows_total` has its total also while it is preparing. `stuck_at` is the number of verified rows
    that a fault keeps reporting.
    """

    job_id: str
    addresses: AddressList
    created: float
    created_at: datetime
    timings: Timings
    automatic: bool = False
    endless: bool = False
    will_fail: bool = False
    shows_total: bool = False
    stuck_at: int | None = None
    started: float | None = None
    _ending: Step | None = None

    @property
    def total(self) -> int:
        """The number of rows, which is the price in credits."""
        return self.addresses.total

    @property
    def prepared(self) -> float:
        """The time at which the list becomes ready."""
        timings = self.timings
        return self.created + timings.preparing + timings.preparing_per_address * self.total

    def status(self, now: float) -> JobStatus:
        """Return the status at the time `now`."""
        return self.history(now)[-1].status

    def is_open(self, now: float) -> bool:
        """Return whether the list counts as not yet verified."""
        return self.status(now) not in TERMINAL

    def is_active(self, now: float) -> bool:
        """Return whether the list is open, and has been started or starts by itself."""
        return (self.started is not None or self.automatic) and self.is_open(now)

    def is_idle_since(self, moment: float, now: float) -> bool:
        """Return whether nothing happened to the list after `moment`, and nothing will by itself."""
        return self.history(now)[-1].since <= moment and not self.is_active(now)

    def end(self, status: JobStatus, now: float) -> None:
        """End the list; raise `IllegalTransitionError` if it has ended with another status."""
        known = self.status(now)
        if not can_follow(known, status):
            raise IllegalTransitionError(
                f"Job {self.job_id} is {known} and cannot become {status}.",
                job_id=self.job_id,
                known=known,
                seen=status,
            )
        if status is not known:
            self._ending = Step(status, now)

    def history(self, now: float) -> list[Step]:
        """Return the steps so far, in order."""
        ending = self._ending
        last = now if ending is None else ending.since
        steps = [step for step in self._steps() if step.since <= last]
        return steps if ending is None else [*steps, ending]

    def snapshot(self, now: float) -> JobSnapshot:
        """Return the service's answer to a poll."""
        return self._describe(self.status(now), now)

    def stale_snapshot(self, now: float) -> JobSnapshot:
        """Return the answer of a replica that has missed the latest step."""
        history = self.history(now)
        if len(history) == 1:
            return self.snapshot(now)
        return self._describe(history[-2].status, math.nextafter(history[-1].since, -math.inf))

    def verified_at(self, place: int) -> float:
        """Return the time at which the row at `place` of a started list gets its verdict."""
        begin, end = self._verifying()
        return begin + (end - begin) * (place + 1) / self.total

    def _steps(self) -> Iterator[Step]:
        """Yield the past steps and the future ones that are already certain."""
        if not self.addresses.usable:
            yield Step(INITIAL, self.created)
            yield Step(JobStatus.FAILED, self.prepared)
            return
        moments = [self.created, self.prepared]
        if self.started is not None:
            begin, end = self._verifying()
            moments += [begin, math.inf if self.endless else end + self.timings.finishing]
            if self.will_fail:
                yield from map(Step, MAIN_LINE, moments[:2])
                yield Step(JobStatus.FAILED, begin)
                return
        for status, moment in zip(MAIN_LINE, moments, strict=False):
            yield Step(status, moment)

    def _verifying(self) -> tuple[float, float]:
        timings = self.timings
        begin = (self.started or 0.0) + timings.start_delay
        return begin, begin + timings.verifying + timings.verifying_per_address * self.total

    def _verified(self, now: float) -> int:
        begin, end = self._verifying()
        if now >= end or begin == end:
            return self.total
        return max(0, int(self.total * (now - begin) / (end - begin)))

    def _describe(self, status: JobStatus, now: float) -> JobSnapshot:
        facts: dict[str, Any] = {}
        if status is not INITIAL or self.shows_total:
            facts["total"] = 0 if status is JobStatus.FAILED else self.total
        if status in MAIN_LINE[1:]:
            facts["analysis"] = self.addresses.analysis
        if status in MAIN_LINE[2:]:
            facts["verified"] = verified = self._verified(now)
            facts["pending"] = self.total - verified
            facts["results"] = self.addresses.count(verified)
        return JobSnapshot(
            job_id=self.job_id,
            status=status,
            created_at=self.created_at,
            message=MESSAGES[status],
            **facts,
        )

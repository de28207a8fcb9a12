"""An account at the service: its lists, its credits and its limits."""

import random
import re
import string
from collections import defaultdict, deque
from collections.abc import Iterator
from heapq import heappop, heappush
from itertools import count
from typing import Final

import attrs

from bulkverify.lifecycle import TERMINAL, JobStatus
from bulkverify.limits import WINDOW_SECONDS
from bulkverify.models import JobSnapshot, Verdict
from bulkverify.sandbox import answers
from bulkverify.sandbox.answers import Refusal, RefusedError
from bulkverify.sandbox.clock import Clock
from bulkverify.sandbox.jobs import Job, Timings
from bulkverify.sandbox.ledger import Ledger, Upload
from bulkverify.sandbox.reading import AddressList
from bulkverify.sandbox.verdicts import Flag, judge, normalise

_JOB_ID: Final = re.compile(r"[A-Za-z0-9]{36}")
_JOB_ID_LETTERS: Final = string.ascii_lowercase + string.digits
_JOB_ID_LENGTH: Final = 36


@attrs.define(kw_only=True, eq=False)
class Account:
    """The one account that the sandbox serves.

    Its methods carry out requests, or raise `RefusedError`. They call `settle` first, because lists
    with `auto_verify` start by themselves.
    """

    clock: Clock
    ledger: Ledger
    timings: Timings
    credits: int
    max_lists: int
    max_verifying: int
    retention_seconds: float
    ids: random.Random
    single_record_fails: bool = False
    total_while_preparing: bool = False
    restricted: bool = False
    _jobs: dict[str, Job] = attrs.field(factory=dict)
    _open: dict[str, Job] = attrs.field(factory=dict)
    _automatic: list[tuple[float, int, Job]] = attrs.field(factory=list)
    _order: Iterator[int] = attrs.field(factory=count)

    def settle(self) -> float:
        """Start the `auto_verify` lists that are due, and return the current time."""
        now = self.clock.now()
        while self._automatic and self._automatic[0][0] <= now:
            moment, _, job = heappop(self._automatic)
            if job.status(now) is JobStatus.READY:
                job.automatic = False
                if not self.restricted and self.credits >= job.total:
                    self._spend_on(job, moment)
        return now

    def upload(
        self,
        addresses: AddressList,
        *,
        auto_verify: bool,
        filename: str | None = None,
        title: str | None = None,
    ) -> Job:
        """Accept a list."""
        now = self.settle()
        if self._count_open(now) >= self.max_lists:
            raise RefusedError(answers.TOO_MANY_LISTS)
        if auto_verify and self._count_active(now) >= self.max_verifying:
            raise RefusedError(answers.TOO_MANY_ACTIVE)
        job = Job(
            job_id="".join(self.ids.choices(_JOB_ID_LETTERS, k=_JOB_ID_LENGTH)),
            addresses=addresses,
            created=now,
            created_at=self.clock.at(now),
            timings=self.timings,
            automatic=auto_verify and addresses.usable,
            will_fail=self.single_record_fails and addresses.total == 1,
            shows_total=self.total_while_preparing,
        )
        self._jobs[job.job_id] = self._open[job.job_id] = job
        if job.automatic:
            heappush(self._automatic, (job.prepared, next(self._order), job))
        self.ledger.uploads.append(
            Upload(
                job_id=job.job_id,
                total=job.total,
                filename=filename,
                title=title,
                time=job.created_at,
            )
        )
        return job

    def status(self, job_id: str) -> JobSnapshot:
        """Return the status of a list."""
        now, job = self._find(job_id)
        return job.snapshot(now)

    def job(self, job_id: str) -> Job:
        """Return a list, or raise `KeyError`."""
        return self._jobs[job_id]

    def is_verifying(self, job_id: str | None) -> bool:
        """Return whether this list exists and is verifying."""
        job = self._jobs.get(job_id or "")
        return job is not None and job.status(self.settle()) is JobStatus.VERIFYING

    def start(self, job_id: str) -> None:
        """Start a list and spend its credits."""
        now, job = self._find(job_id)
        status = job.status(now)
        if status is JobStatus.PREPARING:
            raise RefusedError(answers.NOT_READY)
        if status in TERMINAL and status is not JobStatus.COMPLETED:
            raise RefusedError(Refusal(answers.MESSAGES[status]))
        if job.started is not None:
            raise RefusedError(answers.ALREADY_STARTED)
        if self.restricted:
            raise RefusedError(answers.VERIFY_RESTRICTED)
        if self._count_active(now) >= self.max_verifying:
            raise RefusedError(answers.TOO_MANY_ACTIVE)
        if self.credits < job.total:
            raise RefusedError(answers.NO_CREDITS)
        self._spend_on(job, now)

    def download(self, job_id: str) -> Job:
        """Return a completed list, and note the download."""
        now, job = self._find(job_id)
        if self.restricted:
            raise RefusedError(answers.DOWNLOAD_RESTRICTED)
        status = job.status(now)
        if status in answers.NO_DOWNLOAD:
            raise RefusedError(answers.NO_DOWNLOAD[status])
        self.ledger.note_download(job_id)
        return job

    def delete(self, job_id: str) -> None:
        """Delete a list. A started list can be deleted only once it is completed."""
        now, job = self._find(job_id, unknown=answers.ALREADY_DELETED)
        status = job.status(now)
        waiting = status is JobStatus.READY and job.started is None
        if not waiting and status is not JobStatus.COMPLETED:
            raise RefusedError(answers.NOT_DELETABLE)
        del self._jobs[job_id]
        self._open.pop(job_id, None)
        self.ledger.deletes.append(job_id)

    def verify(self, address: str) -> tuple[Verdict, Flag]:
        """Verify one address, for one credit; a malformed one is refused and costs nothing."""
        self.settle()
        verdict, flags = judge(address)
        if Flag.SYNTAX_ERROR in flags:
            raise RefusedError(answers.EMAIL_REQUIRED)
        if self.credits < 1:
            raise RefusedError(answers.NO_CREDITS)
        self.credits -= 1
        self.ledger.note_address(address, normalise(address))
        return verdict, flags

    def end(self, job_id: str, status: JobStatus) -> None:
        """End a list with `status`. Its credits are not refunded."""
        now = self.settle()
        self.job(job_id).end(status, now)

    def _find(self, job_id: str, *, unknown: Refusal = answers.JOB_NOT_FOUND) -> tuple[float, Job]:
        now = self.settle()
        if not _JOB_ID.fullmatch(job_id):
            raise RefusedError(answers.INVALID_JOB_ID)
        job = self._jobs.get(job_id)
        if job is None or self._has_expired(job, now):
            raise RefusedError(unknown)
        return now, job

    def _spend_on(self, job: Job, moment: float) -> None:
        job.started = moment
        self.credits -= job.total
        self.ledger.note_start(job.job_id, job.total, job.addresses.addresses)

    def _count_open(self, now: float) -> int:
        # Lists that have ended or expired stay so, and are not checked again.
        self._open = {
            job_id: job
            for job_id, job in self._open.items()
            if job.is_open(now) and not self._has_expired(job, now)
        }
        return len(self._open)

    def _has_expired(self, job: Job, now: float) -> bool:
        # Ours: the days count from the last change of status, and a started list is kept until it ends.
        return job.is_idle_since(now - self.retention_seconds, now)

    def _count_active(self, now: float) -> int:
        self._count_open(now)
        return sum(job.is_active(now) for job in self._open.values())


@attrs.define(kw_only=True, eq=False)
class Allowance:
    """The rate limit of each endpoint. Rejected requests do not count."""

    requests_per_minute: int | None
    _moments: defaultdict[str, deque[float]] = attrs.field(factory=lambda: defaultdict(deque))

    def take(self, endpoint: str, now: float) -> bool:
        """Return whether a request is accepted, and count it if so."""
        if self.requests_per_minute is None:
            return True
        moments = self._moments[endpoint]
        while moments and moments[0] <= now - WINDOW_SECONDS:
            moments.popleft()
        if len(moments) >= self.requests_per_minute:
            return False
        moments.append(now)
        return True

"""One part of a list, from the upload to its results, in five steps.

    upload -> see_ready -> start -> see_completed -> fetch

The record of the part is saved before and after each step that may cost something. Another process
that has the record can take the next step, see `bulkverify.run.record`.

The service refuses a second start of a list and charges for the first one only, so nothing is paid
twice.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

import attrs

from bulkverify.client import Job
from bulkverify.errors import (
    AlreadyStartedError,
    BulkVerifyError,
    IncompleteDownloadError,
    JobCancelledError,
    JobFailedError,
    JobNotFoundError,
    ProtocolError,
    ServiceError,
    TransportError,
    UploadUncertainError,
)
from bulkverify.lifecycle import JobStatus
from bulkverify.limits import UPLOAD_GRACE_SECONDS
from bulkverify.lists import compare, file_digest
from bulkverify.models import JobSnapshot
from bulkverify.run.models import Stage
from bulkverify.run.record import UNPAID, PartState, PartWork
from bulkverify.run.threads import in_thread
from bulkverify.service.answers import Endpoint
from bulkverify.service.logs import SafeLogger
from bulkverify.service.money import may_be_paid
from bulkverify.waiting.waits import wait_until

_log: Final = SafeLogger(__name__)

_FETCHES: Final = 3
"""How often results are fetched if they do not fit the list, because a replica may be behind."""


@attrs.define(kw_only=True, eq=False)
class PartRun(PartWork):
    """Takes one part through the service."""

    cost: int | None = attrs.field(default=None, init=False)
    """The credits that the start costs by the service's count; known once the list is ready."""
    _job: Job | None = attrs.field(default=None, init=False)
    _uncertain: bool = attrs.field(default=False, init=False)

    async def run(self) -> None:
        """Take all steps that are left."""
        if self.record.state is PartState.DOWNLOADED:
            self.tell(Stage.FETCHED)
            return
        await self.upload()
        await self.start()
        await self.see_completed()
        await self.fetch()

    async def upload(self) -> None:
        """Upload the part, unless its list is on the service.

        Raises:
            UploadUncertainError: the answer was lost; another upload costs nothing.
            BulkVerifyError, OSError: nothing arrived.
        """
        if self.record.job_id is not None:
            return
        self._take_over()
        self.tell(Stage.QUEUED)
        async with self.account.uploading:
            job = await self.account.outages.retry(self._send, partial(self._held_up, Stage.QUEUED))
        self.tell(Stage.PREPARING, job_id=job.id)

    async def see_ready(self) -> bool:
        """Wait until the list can be started, and return `False` if it has been started before.

        Raises:
            ProtocolError: the service counts more addresses than were sent.
            BulkVerifyError: as `wait_until`.
        """
        with self._ending():
            return await self._see_ready()

    async def intend(self) -> None:
        """Note that the list may be started from now on, once the credits for it are there.

        `start` does so itself, unless an earlier process has.

        Raises:
            InsufficientCreditsError: nothing was noted.
        """
        assert self.cost is not None  # noqa: S101 - `see_ready` comes first
        if self.record.state in UNPAID:
            await self.check()
        self.tell(Stage.STARTING)
        # An earlier start may be paid, so its credits are never lowered.
        self._note(PartState.STARTING, credits=max(self.cost, self.record.credits))

    async def start(self) -> None:
        """Start the list once it is ready, which spends the credits, unless it has been started before.

        Raises:
            InsufficientCreditsError: nothing was spent.
            BulkVerifyError: as `see_ready` and `Client.start`.
        """
        with self._ending():
            if not await self._see_ready():
                return
            async with self.account.starting:
                await self.account.outages.retry(
                    self._start, partial(self._held_up, Stage.PREPARING)
                )

    async def see_completed(self) -> None:
        """Wait until all addresses have been verified."""
        with self._ending():
            await self._wait(JobStatus.COMPLETED, Stage.VERIFYING)
        self.account.outages.list_ended()

    async def fetch(self) -> None:
        """Download the results, and compare them with what was sent.

        Raises:
            IncompleteDownloadError, ProtocolError: the results do not fit the list.
            BulkVerifyError, OSError: as `Client.download`.
        """
        self.tell(Stage.DOWNLOADING)
        path = self.notes.results_of(self.part.number)
        with self._ending():
            for fetches_left in reversed(range(_FETCHES)):
                await self.account.outages.retry(
                    partial(self.job.download, path), partial(self._held_up, Stage.DOWNLOADING)
                )
                try:
                    await self._compare()
                    break
                except TransportError as error:
                    if not fetches_left:
                        raise
                    _log.info("the results of job %s are fetched again: %s", self.job.id, error)
        digest = await in_thread(partial(file_digest, path))
        self._note(PartState.DOWNLOADED, results=digest)
        self.tell(Stage.FETCHED)

    @property
    def job(self) -> Job:
        """The list on the service, once the part has been uploaded."""
        assert self.record.job_id is not None  # noqa: S101 - `upload` comes first
        if self._job is None or self._job.id != self.record.job_id:
            # Another process may have started it, and its status may not show that yet.
            started = self.record.state is PartState.STARTED
            self._job = self.account.client.job(self.record.job_id, started=started)
        return self._job

    async def _send(self) -> Job:
        self.tell(Stage.UPLOADING)
        self._note(PartState.UPLOADING)
        path = self.notes.list_of(self.part.number)
        try:
            job = await self.account.client.upload(path, title=self.title)
        except UploadUncertainError:
            raise  # the record already says so
        except (BulkVerifyError, OSError):  # it never arrived
            self._note(PartState.PENDING)
            raise
        # Nothing is awaited between the answer and its note, so no cancellation comes between them.
        self._note(PartState.UPLOADED, job_id=job.id, uploaded_at=_now())
        return job

    async def _see_ready(self) -> bool:
        snapshot = await self._wait(JobStatus.READY, Stage.PREPARING)
        if snapshot.status is JobStatus.READY:
            self.cost = self._cost_of(snapshot)
            return True
        if self.record.state is not PartState.STARTED:
            total = self.part.addresses if snapshot.total is None else snapshot.total
            self._note(PartState.STARTED, credits=self.record.credits or total)
        return False

    def _cost_of(self, snapshot: JobSnapshot) -> int:
        """Return the credits that a start costs by the service's count, which may be below ours."""
        cost = self.part.addresses if snapshot.total is None else snapshot.total
        if cost > self.part.addresses:
            raise ProtocolError(
                f"The service counts {cost:,} addresses in job {snapshot.job_id}, but {self.part.addresses:,} were sent: "
                "it reads the list differently, and would charge for more. It was not started.",
                path="total",
            )
        return cost

    async def _start(self) -> None:
        assert self.cost is not None  # noqa: S101 - the list is ready
        cost, before = self.cost, self.record.state
        await self.intend()
        try:
            await self.job.start()
        except AlreadyStartedError:
            # It was started by an earlier attempt of this object, by another process, or by hand.
            spent = cost if self._uncertain else 0
        except (TransportError, ServiceError) as error:
            if may_be_paid(error, Endpoint.START):
                self._uncertain = True
            elif before in UNPAID:  # the service refused, or was not reached
                self._note(before, credits=0)
            if ServiceError in {type(error), type(error.__cause__)}:  # the list may have ended
                await self.job.status()
                await self._wait(JobStatus.READY, Stage.PREPARING)
            raise
        else:
            spent = cost
        self._note(PartState.STARTED)
        self._spend(spent)

    async def _wait(self, status: JobStatus, stage: Stage) -> JobSnapshot:
        self.tell(stage, job_id=self.job.id)
        return await wait_until(
            self.job,
            status,
            timeout=self.account.timeout,
            wait=self.account.wait,
            on_progress=lambda seen: self.tell(stage, snapshot=seen),
        )

    async def _compare(self) -> None:
        """Compare the results with what was sent: each address must have a verdict."""
        number = self.part.number
        listed, results = self.notes.list_of(number), self.notes.results_of(number)
        async with self.account.comparing:
            match = await in_thread(partial(compare, self.part, listed, results))
        # The service may have taken fewer addresses than were sent, and says so in the total.
        total = self.job.snapshot.total if self.job.snapshot else None
        expected = min(match.sent, total or match.sent)
        if match.matched < expected:
            raise IncompleteDownloadError(
                f"The results of job {self.job.id} do not fit the list: {expected - match.matched:,} of "
                f"{expected:,} addresses have no verdict, {match.doubled:,} rows repeat an address, "
                f"{match.foreign:,} have one that was not sent, and {match.contested:,} addresses have rows "
                f"that contradict each other.",
                received=match.matched,
                expected=expected,
            ).with_hint(
                "The same call fetches them again; `job.download` keeps them as they are.",
                f"The same command fetches them again; `bulkverify download {self.job.id}` keeps them as they are.",
            )

    @contextmanager
    def _ending(self) -> Iterator[None]:
        """Update the record after the list failed, was cancelled or is gone."""
        try:
            yield
        except (JobFailedError, JobCancelledError, JobNotFoundError) as error:
            self.account.outages.list_ended()
            if self.record.state not in UNPAID:
                longer = copy(error)
                said = (
                    f"{error.message} It was or may have been started, so its {self.record.credits:,} credits "
                    "may be spent, and its addresses are not sent again."
                )
                longer.args = (said,)
                raise longer from error
            if not self._may_be_late(error):
                # Such a list costs nothing and is of no use; the next upload makes another one.
                self._note(PartState.PENDING, job_id=None)
                self.cost = None
            raise

    def _may_be_late(self, error: BulkVerifyError) -> bool:
        """Whether the list was uploaded so recently that some replicas may not find it yet."""
        sent_at = self.record.uploaded_at
        return (
            isinstance(error, JobNotFoundError)
            and sent_at is not None
            and _now() - sent_at < timedelta(seconds=UPLOAD_GRACE_SECONDS)
        )


def _now() -> datetime:
    return datetime.now(UTC)

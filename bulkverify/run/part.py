"""One part of a list on its way through the service; what is done is written down before and after.

What the journal says at each point at which the process may die, and what the next one makes of it:

    the journal says   the service has                        the next call
    pending            nothing of it                          uploads it
    uploading          nothing, or a list of unknown id       uploads it; the other one costs nothing
    uploaded           a list that nobody has paid for        goes on with it
    starting           the same list, started or not          asks; starts it if it is still ready
    started            a list that is paid for                waits for it
    downloaded         its results, which are here too        needs the service no more

The only address of a list is verified without a list: it goes from pending to starting to downloaded,
and what is found as starting, without its answer, is not asked for again, because each time costs a
credit.

A start that comes twice is refused by the service as such and charged once, so nothing is paid twice.
"""

import asyncio
from copy import copy
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

import attrs
from tenacity.wait import wait_base

from bulkverify.client import Client, Job
from bulkverify.errors import (
    AlreadyStartedError,
    BulkVerifyError,
    IncompleteDownloadError,
    InsufficientCreditsError,
    JobCancelledError,
    JobFailedError,
    JobNotFoundError,
    LifecycleError,
    ProtocolError,
    ServiceError,
    TransportError,
    UploadUncertainError,
    VerifyUncertainError,
)
from bulkverify.lifecycle import JobStatus
from bulkverify.limits import UPLOAD_GRACE_SECONDS
from bulkverify.lists import Part, compare
from bulkverify.models import JobSnapshot
from bulkverify.run.alone import answer_of, keep, only_address, require_answer_for
from bulkverify.run.journal import UNPAID, Journal, PartRecord, PartState, Record, ways_out
from bulkverify.run.models import Stage
from bulkverify.run.outages import Patience
from bulkverify.run.progress import Board
from bulkverify.run.threads import RowCount, in_thread
from bulkverify.service.answers import Endpoint
from bulkverify.service.logs import SafeLogger
from bulkverify.service.money import may_be_paid
from bulkverify.waiting.waits import wait_until

_log: Final = SafeLogger(__name__)

_FETCHES: Final = 3
"""How often results are fetched that are not those of the list: a replica may be behind."""


@attrs.define(kw_only=True, eq=False)
class Crew:
    """What the parts of one run share: the account, the journal, and whose turn it is.

    `spent` is how many credits they have cost in this call.
    """

    client: Client
    journal: Journal
    record: Record
    board: Board
    title: str
    timeout: float | None
    wait: wait_base | None
    patience: Patience
    spent: int = 0
    # One upload at a time: a process that dies then leaves at most one list that nobody knows of.
    # One start at a time: nobody else of us spends the credits that have just been counted.
    uploading: asyncio.Lock = attrs.field(factory=asyncio.Lock)
    starting: asyncio.Lock = attrs.field(factory=asyncio.Lock)
    # One comparison at a time: it takes memory for each address of the part.
    comparing: asyncio.Lock = attrs.field(factory=asyncio.Lock)

    def owed(self) -> int:
        """What is still to be paid: the addresses of all parts that nobody has started."""
        return sum(
            part.addresses
            for part, record in zip(self.record.split.parts, self.record.parts, strict=True)
            if record.state in UNPAID
        )

    async def check_credits(self) -> None:
        """Compare what the account has with what is still to be paid.

        Raises:
            InsufficientCreditsError: it has too few.
        """
        owed = self.owed()
        if not owed:
            return
        account = await self.client.credits()
        if account.remaining < owed:
            so_far = (
                f"{self.record.credits:,} have been spent on it so far"
                if self.record.credits
                else "nothing was spent"
            )
            raise InsufficientCreditsError(
                f"{self.title} costs {owed:,} credits and the account has {account.remaining:,}: "
                f"{owed - account.remaining:,} are missing, and {so_far}. Order credits, then make the same call "
                "again: it goes on from here."
            )

    def held_up(self, why: str) -> None:
        """Say of the first part that is not here yet why nothing is sent."""
        for record in self.record.parts:
            if record.state is not PartState.DOWNLOADED:
                self.board.tell_part(record.number, Stage.QUEUED, note=why)
                return


@attrs.define(kw_only=True, eq=False)
class PartRun:
    """Sees one part through to its results."""

    crew: Crew
    part: Part
    record: PartRecord
    _uncertain: bool = attrs.field(default=False, init=False)

    async def run(self) -> None:
        """Do whatever is still to be done about the part.

        Raises:
            BulkVerifyError: it gets no results, at least not now.
            OSError: they can't be kept.
        """
        if self.record.state is PartState.DOWNLOADED:
            self._tell(Stage.FETCHED)
            return
        try:
            await self._see_through()
        except (JobFailedError, JobCancelledError, JobNotFoundError) as error:
            self.crew.patience.one_is_over()
            if self.record.state not in UNPAID:
                raise self._with_ways_out(error) from error
            if not self._may_be_late(error):
                # Such a list is of no use, and costs nothing; the next call sends another.
                self._note(PartState.PENDING, job_id=None)
            raise

    async def _see_through(self) -> None:
        if self.part.addresses == 1 and self.record.job_id is None:
            await self._verify_alone()
            return
        if self.record.job_id is None:
            await self._upload()
        assert self.record.job_id is not None  # noqa: S101 - it has just been noted
        job = self.crew.client.job(self.record.job_id)
        await self._see_started(job)
        snapshot = await self._wait(job, JobStatus.COMPLETED, Stage.VERIFYING)
        self.crew.patience.one_is_over()
        self._tell(Stage.DOWNLOADING)
        for fetches_left in reversed(range(_FETCHES)):
            await self.crew.patience.until_done(
                partial(job.download, self.crew.journal.results_of(self.part.number)),
                partial(self._held_up, Stage.DOWNLOADING),
            )
            try:
                await self._compare(job, snapshot.total)
                break
            except TransportError as error:
                if not fetches_left:
                    raise
                _log.info("the results of job %s are fetched again: %s", job.id, error)
        digest = partial(self.crew.journal.digest_of_results, self.part.number)
        self._fetched(await in_thread(digest, RowCount()))

    def _fetched(self, results: str | None) -> None:
        self._note(PartState.DOWNLOADED, results=results)
        self._tell(Stage.FETCHED)

    async def _verify_alone(self) -> None:
        """Have the only address of a list verified by the call for one.

        Raises:
            VerifyUncertainError: it was asked for, now or by an earlier call, and the answer was lost.
        """
        crew, answer = self.crew, self.record.answer
        if answer is None and self.record.state is PartState.STARTING:
            raise VerifyUncertainError(f"The answer for one address was lost. {self._once_only()}")
        listed = partial(only_address, crew.journal.list_of(self.part.number))
        address = await in_thread(listed, RowCount())
        if answer is not None:  # it could be noted, and no more
            self._keep(address, answer)
            return
        await crew.patience.until_done(
            partial(self._ask, address), partial(self._held_up, Stage.QUEUED)
        )

    async def _ask(self, address: str) -> None:
        self._tell(Stage.VERIFYING)
        with self.crew.journal.room() as make_room:
            self._note(PartState.STARTING, credits=1)
            try:
                verdict = await self.crew.client.verify(address)
                self.crew.spent += 1
                require_answer_for(address, verdict)
            except VerifyUncertainError as error:
                raise VerifyUncertainError(f"{error} {self._once_only()}") from error
            except BulkVerifyError:  # the service said no, or was not reached
                self._note(PartState.PENDING, credits=0)
                raise
            # Nothing is awaited between the answer and the notes of it, so no cancellation comes
            # between. Either of them is enough for the next call, should the other fail.
            make_room()
            answer = answer_of(verdict)
            try:
                self._note(PartState.STARTING, answer=answer)
            finally:
                self._keep(address, answer)

    def _keep(self, address: str, answer: tuple[str, ...]) -> None:
        keep(self.crew.journal.results_of(self.part.number), address, answer)
        self._fetched(self.crew.journal.digest_of_results(self.part.number))

    def _once_only(self) -> str:
        return (
            f"It is the only address of {self.crew.title}, and is not asked for again by itself, because a "
            "credit may have been spent on it. To ask again, for one credit, use `restart=True`, or delete "
            f"{self.crew.journal.folder}."
        )

    async def _compare(self, job: Job, total: int | None) -> None:
        """Compare the results with what was sent: each address has to have a verdict.

        Raises:
            IncompleteDownloadError: some have none.
            ProtocolError: the results can't be read.
        """
        crew, counter = self.crew, RowCount()
        work = partial(
            compare,
            crew.record.split,
            self.part,
            crew.journal.folder,
            crew.journal.results_of(self.part.number),
            on_piece=partial(counter.passed, []),
        )
        async with crew.comparing:
            match = await in_thread(work, counter)
        # A service may have taken fewer addresses than were sent, and says so in the total.
        expected = min(match.sent, total or match.sent)
        if match.matched < expected:
            raise IncompleteDownloadError(
                f"The results of job {job.id} are not those of the list: {expected - match.matched:,} of "
                f"{expected:,} addresses have no verdict, {match.doubled:,} rows repeat an address, "
                f"{match.foreign:,} have one that was not sent, and {match.contested:,} addresses have rows "
                f"that contradict each other. The same call fetches them again; `bulkverify download "
                f"{job.id}` keeps them as they are.",
                received=match.matched,
                expected=expected,
            )

    async def _upload(self) -> None:
        crew = self.crew
        self._tell(Stage.QUEUED)
        async with crew.uploading:
            job = await crew.patience.until_done(self._send, partial(self._held_up, Stage.QUEUED))
        self._tell(Stage.PREPARING, job_id=job.id)

    async def _send(self) -> Job:
        crew = self.crew
        self._tell(Stage.UPLOADING)
        self._note(PartState.UPLOADING)
        try:
            job = await crew.client.upload(
                crew.journal.list_of(self.part.number), title=self._title()
            )
        except UploadUncertainError:
            raise  # the journal goes on saying so
        except (BulkVerifyError, OSError):  # it never arrived
            self._note(PartState.PENDING)
            raise
        # Nothing is awaited between the answer and the note of it, so no cancellation comes between.
        self._note(PartState.UPLOADED, job_id=job.id, uploaded_at=_now())
        return job

    async def _see_started(self, job: Job) -> None:
        """Start the job unless it has been, which its status may not show at once."""
        snapshot = await self._wait(job, JobStatus.READY, Stage.PREPARING)
        if snapshot.status is not JobStatus.READY:
            if self.record.state is not PartState.STARTED:
                total = self.part.addresses if snapshot.total is None else snapshot.total
                self._note(PartState.STARTED, credits=self.record.credits or total)
            return
        crew, cost = self.crew, self._cost(snapshot)
        async with crew.starting:
            await crew.patience.until_done(
                partial(self._start, job, cost), partial(self._held_up, Stage.PREPARING)
            )

    async def _start(self, job: Job, cost: int) -> None:
        before = self.record.state
        if before in UNPAID:
            await self.crew.check_credits()
        self._tell(Stage.STARTING)
        # What an earlier start may have cost was counted then, and does not become less.
        self._note(PartState.STARTING, credits=max(cost, self.record.credits))
        try:
            await job.start()
        except AlreadyStartedError:
            # By an earlier attempt of ours, or else by an earlier call, or by hand.
            spent = cost if self._uncertain else 0
        except (TransportError, ServiceError) as error:
            if may_be_paid(error, Endpoint.START):
                self._uncertain = True
            elif before in UNPAID:  # the service said no, or was not reached
                self._note(before, credits=0)
            if ServiceError in {type(error), type(error.__cause__)}:  # the list may have ended
                await job.status()
                await self._wait(job, JobStatus.READY, Stage.PREPARING)
            raise
        else:
            spent = cost
        self._note(PartState.STARTED)
        self.crew.spent += spent

    async def _wait(self, job: Job, status: JobStatus, stage: Stage) -> JobSnapshot:
        self._tell(stage, job_id=job.id)
        return await wait_until(
            job,
            status,
            timeout=self.crew.timeout,
            wait=self.crew.wait,
            on_progress=lambda seen: self._tell(stage, snapshot=seen),
        )

    def _with_ways_out(self, error: LifecycleError | JobNotFoundError) -> BulkVerifyError:
        """Say of a list that was started, or may have been, what giving it up costs."""
        out = ways_out(self.crew.journal.folder, self.crew.record.credits)
        said = (
            f"{error} A start of it was sent, so its {self.record.credits:,} credits may be spent, and "
            f"its addresses are not sent again: the same call asks about it again. {out}"
        )
        told = copy(error)
        told.args = (said,)
        return told

    def _may_be_late(self, error: BulkVerifyError) -> bool:
        """Whether a list that is not found may only not be known everywhere yet."""
        sent_at = self.record.uploaded_at
        return (
            isinstance(error, JobNotFoundError)
            and sent_at is not None
            and _now() - sent_at < timedelta(seconds=UPLOAD_GRACE_SECONDS)
        )

    def _cost(self, snapshot: JobSnapshot) -> int:
        """Say what a start costs, by the service's own count; that may be less than ours, not more."""
        cost = self.part.addresses if snapshot.total is None else snapshot.total
        if cost > self.part.addresses:
            raise ProtocolError(
                f"Job {snapshot.job_id} has {cost:,} addresses by the service's count, and {self.part.addresses:,} were sent: "
                "it reads the list otherwise than we do, and would charge for more. It was not started.",
                path="total",
            )
        return cost

    def _title(self) -> str:
        """Name the upload after its list, and after its place in it."""
        count = len(self.crew.record.parts)
        if count == 1:
            return self.crew.title
        stem, dot, suffix = self.crew.title.rpartition(".")
        if not stem:
            stem, dot, suffix = self.crew.title, "", ""
        return f"{stem}-{self.part.number:0{len(str(count))}}-of-{count}{dot}{suffix}"

    def _note(self, state: PartState, **facts: object) -> None:
        self.record.state = state
        for name, value in facts.items():
            setattr(self.record, name, value)
        self.crew.journal.save()

    def _held_up(self, stage: Stage, why: str) -> None:
        self._tell(stage, note=why)

    def _tell(
        self,
        stage: Stage,
        *,
        job_id: str | None = None,
        snapshot: JobSnapshot | None = None,
        note: str = "",
    ) -> None:
        self.crew.board.tell_part(
            self.part.number, stage, job_id=job_id, snapshot=snapshot, note=note
        )


def _now() -> datetime:
    return datetime.now(UTC)

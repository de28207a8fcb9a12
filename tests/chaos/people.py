"""Programs that use the client as people do: impatient, cancelled, and with bugs."""

import asyncio
import csv
import random
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any, TypeVar

import attrs

from bulkverify import (
    AlreadyStartedError,
    BulkVerifyError,
    Client,
    Job,
    JobCancelledError,
    JobFailedError,
    JobNotFoundError,
    JobSnapshot,
    ListLimitError,
    NotReadyError,
    RateLimitedError,
    ServerError,
    ServiceError,
    TransportError,
    UploadUncertainError,
    WaitTimeoutError,
    wait_until,
    watch,
)
from bulkverify.lifecycle import JobStatus, satisfies
from bulkverify.limits import WINDOW_SECONDS
from bulkverify.service.retrying import LONGEST_RETRY_AFTER
from bulkverify.service.sessions import ORDINARY_SECONDS

from .books import Books
from .weather import NoStaff, Staff

T = TypeVar("T")

PATIENT = 4 * 3600.0
LONGEST_POLL = LONGEST_RETRY_AFTER + WINDOW_SECONDS + ORDINARY_SECONDS
"""A pause that the service asks for, a turn in the budget, and the request."""
MOST_ATTEMPTS = 60
MOST_WAITS = 60
VERDICTS = ("deliverable", "undeliverable", "accept-all", "unknown")
_PASSES = (TransportError, RateLimitedError, ServerError, ListLimitError)
_MANNERS = {"patient": 4, "impatient": 3, "cancelled": 2, "raising": 2, "watching": 2, "crowd": 1}


class CallbackError(Exception):
    """Raised by a callback with a bug."""


class GaveUpError(Exception):
    """Raised when a call has failed so long that no program would go on."""


@attrs.define(kw_only=True, eq=False)
class Person:
    """A user with a list and random habits."""

    number: str
    client: Client
    others: list[Client]
    chance: random.Random
    books: Books
    staff: Staff | NoStaff
    folder: Path

    def addresses(self, count: int) -> list[str]:
        """Make addresses that no other list has."""
        return [
            f"{VERDICTS[n % len(VERDICTS)]}+{self.number}.{n}@example.com" for n in range(count)
        ]

    async def see_a_list_through(self) -> None:
        """Upload, wait, start, wait, fetch, and sometimes delete."""
        size = 1500 if self.chance.random() < 0.01 else self.chance.randrange(1, 40)
        addresses = self.addresses(size)
        try:
            outcome = await self._whole_way(addresses)
        except (JobFailedError, JobCancelledError) as error:
            ended = error.job_id in self.staff.ended
            self.books.check(ended, f"{self.number}: the staff had not ended it, but {error!r}")
            outcome = "ended by the service"
        except UploadUncertainError:
            outcome = "uncertain with auto_verify, left alone"
        except GaveUpError:
            outcome = "given up"
        except (BulkVerifyError, OSError) as error:
            self.books.check(False, f"{self.number}: {error!r}")  # noqa: FBT003 - it is not kept
            outcome = "an unexpected error"
        self.books.outcomes[outcome] += 1

    async def _whole_way(self, addresses: list[str]) -> str:
        automatic = self.chance.random() < 0.1
        job = await self._upload(addresses, automatic=automatic)
        if not automatic:
            await self._wait(job, JobStatus.READY)
            if self.chance.random() < 0.03:
                await self._delete(job)
                return "deleted before the start"
            await self._start(job)
            if self.chance.random() < 0.03:
                return "started and left"
        await self._wait(job, JobStatus.COMPLETED)
        self.books.paid_for += addresses
        if self.chance.random() < 0.2:  # another process fetches the results
            job = self.chance.choice(self.others).job(job.id)
        await self._fetch(job, addresses)
        if self.chance.random() < 0.3:
            await self._delete(job)
            return "completed, fetched, deleted"
        return "completed, fetched"

    async def _upload(self, addresses: list[str], *, automatic: bool) -> Job:
        async def upload() -> Job:
            try:
                return await self.client.upload(addresses, auto_verify=automatic)
            except UploadUncertainError:
                if automatic:  # it may be verified and paid for by now
                    raise
                return await self.client.upload(addresses)

        return await self._persist(upload, but=UploadUncertainError if automatic else None)

    async def _start(self, job: Job) -> None:
        async def start() -> None:
            # A delayed request whose caller has given up may have started it.
            with suppress(AlreadyStartedError):
                await job.start()

        try:
            await self._persist(start)
        except ServiceError as error:
            if job.id not in self.staff.ended:
                raise
            raise JobCancelledError(job_id=job.id) from error

    async def _delete(self, job: Job) -> None:
        try:
            await self._persist(job.delete)
        except JobNotFoundError:  # an earlier attempt did arrive
            self.books.check(self.staff.has_no_list(job.id), f"{self.number}: lost its list")
        except NotReadyError:
            # The status came from a lagging replica, or the staff has ended the list.
            self.books.check(
                job.id in self.staff.ended or (job.snapshot is not None and not job.snapshot.ended),
                f"{self.number}: could not be deleted",
            )

    async def _persist(
        self, act: Callable[[], Awaitable[T]], *, but: type[BaseException] | None = None
    ) -> T:
        """Repeat a call until it succeeds, while its errors are temporary."""
        for _ in range(MOST_ATTEMPTS):
            try:
                return await act()
            except _PASSES as error:
                if but is not None and isinstance(error, but):
                    raise
            await asyncio.sleep(self.chance.uniform(1, 60))
        raise GaveUpError

    async def _fetch(self, job: Job, addresses: list[str]) -> None:
        for _ in range(MOST_ATTEMPTS):
            manner = self.chance.choice(["file", "file", "rows", "some rows", "cancelled"])
            try:
                if manner == "some rows":
                    async with aclosing(job.rows()) as rows:
                        seen = [(await anext(rows)).email]
                        self.books.check(seen == addresses[:1], f"{self.number}: wrong row {seen}")
                elif manner == "cancelled":
                    path = self.folder / f"{self.number}.left.csv"
                    await self._break_off(job.download(path), self.chance.uniform(0, 3))
                    path.unlink(missing_ok=True)
                else:
                    found = await (self._saved(job) if manner == "file" else self._read(job))
                    self.books.check(found == addresses, f"{self.number}: wrong rows by {manner}")
                    return
            except _PASSES:
                await asyncio.sleep(self.chance.uniform(1, 60))
        raise GaveUpError

    async def _saved(self, job: Job) -> list[str]:
        path = self.folder / f"{self.number}.csv"
        await job.download(path)
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        path.unlink()
        self._check_verdicts([(row["email"], row["Verification Result"]) for row in rows])
        return [row["email"] for row in rows]

    async def _read(self, job: Job) -> list[str]:
        rows = [row async for row in job.rows()]
        self._check_verdicts([(row.email, row.verdict.replace("_", "-")) for row in rows])
        return [row.email for row in rows]

    def _check_verdicts(self, rows: list[tuple[str, str]]) -> None:
        wrong = [row for row in rows if row[0].partition("+")[0] != row[1]]
        self.books.check(not wrong, f"{self.number}: wrong verdicts {wrong[:3]}")

    async def _wait(self, job: Job, status: JobStatus) -> None:
        """Wait in one way after another until the status is reached."""
        for _ in range(MOST_WAITS):
            (manner,) = self.chance.choices(list(_MANNERS), list(_MANNERS.values()))
            try:
                seen = await self._wait_once(job, status, manner)
            except WaitTimeoutError:
                outcome = "timed out"
            except CallbackError:
                outcome = "broken by a callback"
            else:
                outcome = "broken off" if seen is None else "got there"
                self.books.waits[f"{manner}: {outcome}"] += 1
                if seen is not None and satisfies(seen.status, status):
                    return
                continue
            self.books.waits[f"{manner}: {outcome}"] += 1
        raise GaveUpError

    async def _wait_once(self, job: Job, status: JobStatus, manner: str) -> JobSnapshot | None:
        chance = self.chance
        match manner:
            case "impatient":
                timeout = chance.choice([0.0, chance.uniform(0, 2), chance.uniform(0, 60)])
                # With 0 there is one poll, as soon as one is allowed.
                allowed = timeout or LONGEST_POLL
                return await self._timed(wait_until(job, status, timeout=timeout), allowed)
            case "cancelled":
                return await self._break_off(wait_until(job, status), chance.uniform(0, 60))
            case "raising":
                left = chance.randrange(4)

                def report(_: JobSnapshot) -> None:
                    nonlocal left
                    left -= 1
                    if left < 0:
                        raise CallbackError

                wait = wait_until(job, status, timeout=PATIENT, on_progress=report)
                return await self._timed(wait, PATIENT)
            case "watching":
                return await self._timed(self._watch(job, status, chance.randrange(1, 6)), PATIENT)
            case "crowd":
                return await self._wait_together(job, status)
            case _:
                return await self._timed(wait_until(job, status, timeout=PATIENT), PATIENT)

    async def _watch(self, job: Job, status: JobStatus, changes: int) -> JobSnapshot | None:
        async with aclosing(watch(job, timeout=PATIENT)) as seen:
            async for snapshot in seen:
                changes -= 1
                if not changes or satisfies(snapshot.status, status):
                    return snapshot
        if job.id in self.staff.ended:  # watching ends with any end
            return await wait_until(job, JobStatus.COMPLETED, timeout=PATIENT)
        return job.snapshot

    async def _wait_together(self, job: Job, status: JobStatus) -> JobSnapshot:
        """Wait beside waits that time out, are cancelled, or use another client."""
        short = self.chance.uniform(0, 30)
        elsewhere = self.chance.choice(self.others).job(job.id)
        others: list[Coroutine[Any, Any, object]] = [
            self._timed(wait_until(job, status, timeout=short), short),
            self._break_off(wait_until(job, status), self.chance.uniform(0, 30)),
            self._break_off(wait_until(elsewhere, status), self.chance.uniform(0, 30)),
        ]
        beside = [asyncio.create_task(other) for other in others]
        try:
            return await self._timed(wait_until(job, status, timeout=PATIENT), PATIENT)
        finally:
            for ended in await asyncio.gather(*beside, return_exceptions=True):
                expected = (WaitTimeoutError, JobFailedError, JobCancelledError, JobSnapshot)
                fine = ended is None or isinstance(ended, expected)
                self.books.check(fine, f"{self.number}: beside others {ended!r}")

    async def _timed(self, wait: Coroutine[Any, Any, T], timeout: float) -> T:
        began = asyncio.get_running_loop().time()
        try:
            return await wait
        finally:
            self.books.check_time(began, timeout, f"{self.number}: a wait")

    async def _break_off(self, call: Coroutine[Any, Any, T], after: float) -> T | None:
        """Cancel a call after a while; return its result if it was faster."""
        task = asyncio.create_task(call)
        await asyncio.wait({task}, timeout=after)
        if not task.done():
            began = asyncio.get_running_loop().time()
            task.cancel()
            await asyncio.wait({task})
            self.books.check_time(began, 0.0, f"{self.number}: a cancellation")
        return None if task.cancelled() else task.result()

"""The calls a user makes: `Client` for the account, and with `Job` for one list."""

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Final, Protocol, Self, TypeVar, cast

import aiohttp
from tenacity.wait import wait_base

from bulkverify.errors import AlreadyStartedError, BulkVerifyError, UsageError
from bulkverify.job import Job
from bulkverify.lifecycle import TERMINAL
from bulkverify.limits import NOT_FOUND_GRACE_SECONDS, REQUESTS_PER_MINUTE
from bulkverify.models import (
    Acknowledgement,
    AddressVerdict,
    Credits,
    JobSnapshot,
    ResultRow,
    Verdict,
    VerdictName,
)
from bulkverify.results.downloads import save_results, stream_rows
from bulkverify.service import calls as wire
from bulkverify.service import money, uploads
from bulkverify.service.key import check_base_url, read_key
from bulkverify.service.known import Handles
from bulkverify.service.stats import Stats
from bulkverify.service.transport import Transport
from bulkverify.service.uploads import UploadSource

DEFAULT_BASE_URL: Final = "https://api.bouncify.io/v1"
_MISSING_KEPT_SECONDS: Final = 3600.0

MOST_STARTED: Final = 10_000
"""So many lists are remembered as started at most; an account has a hundred under way at once."""


class Attachment(Protocol):
    """Something that serves one client for as long as that is open, such as the waiter's scheduler."""

    async def close(self) -> None:
        """End its work; called before the client's session is closed."""


AttachmentT = TypeVar("AttachmentT", bound=Attachment)


class Client:
    """One account of a verification service.

    Use it as `async with Client() as client:`, or call `close` when done. One client serves any
    number of tasks of one event loop.

    Args:
        api_key: the account's key; else BULKVERIFY_API_KEY.
        base_url: of the service; else BULKVERIFY_BASE_URL, else Bouncify's.
        session: the caller's own session, used and never closed. Its middlewares run, and see no
            key. Its idle connections are used as they are, and an upload over one that the service
            has closed without a word is uncertain: `TCPConnector(force_close=True)` prevents that.
        attempts: how often at most a request is sent that failed and can be repeated without harm.
        backoff: a tenacity wait strategy for the time between attempts; it never undercuts what the
            service asks for in `Retry-After`.
        requests_per_minute: the budget of each endpoint; the account has 120 and shares them among
            all who use its key. `None` is for services without a limit.
        allow_http: send the key unencrypted to a host that is not this machine.

    Raises:
        UsageError: there is no key, or the base URL can't be right.
    """

    def __init__(
        self,
        api_key: str | None = None,
        *,
        base_url: str | None = None,
        session: aiohttp.ClientSession | None = None,
        attempts: int = 4,
        backoff: wait_base | None = None,
        requests_per_minute: int | None = REQUESTS_PER_MINUTE,
        allow_http: bool = False,
    ) -> None:
        """Keep the settings; nothing is opened or sent yet."""
        secret = read_key(os.environ.get("BULKVERIFY_API_KEY", "") if api_key is None else api_key)
        del api_key  # what is raised from here on shows the locals
        if isinstance(secret, UsageError):
            raise secret
        if attempts < 1 or (requests_per_minute is not None and requests_per_minute < 1):
            raise UsageError("`attempts` and `requests_per_minute` must be at least 1.")
        checked = check_base_url(
            base_url or os.environ.get("BULKVERIFY_BASE_URL") or DEFAULT_BASE_URL,
            allow_http=allow_http,
        )
        del base_url  # it may be the documentation's, key and all
        if isinstance(checked, UsageError):
            raise checked
        self._base_url: str = checked
        self._transport = Transport(
            secret=secret,
            base_url=self._base_url,
            session=session,
            attempts=attempts,
            backoff=backoff,
            requests_per_minute=requests_per_minute,
        )
        # For the scheduler of the waits: the handles, and a turn in the budget for a poll.
        self.handles: Handles[Job] = Handles()
        self.take_turn: Final = self._transport.take_for_poll
        self._started: dict[str, None] = {}  # in the order of their starts
        # Since when each job was not found, as the end of its grace; in the order of those ends.
        self._missing: dict[str, float] = {}
        self._attachments: dict[Callable[[Client], Attachment], Attachment] = {}

    def __repr__(self) -> str:
        # In the traceback of a refused argument there is no base URL yet.
        return f"<Client of {getattr(self, '_base_url', 'no service')}>"

    async def __aenter__(self) -> Self:
        self._transport.enter_loop()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End every wait with `ClientClosedError`, and close the session unless it is the caller's.

        No request leaves any more once it was called, not even where it is cancelled.
        """
        await self._transport.close(self._close_attachments)

    async def _close_attachments(self) -> None:
        async with (
            AsyncExitStack() as stack
        ):  # each is closed even if closing another was cancelled
            for attachment in self._attachments.values():
                stack.push_async_callback(attachment.close)

    def attached(self, kind: "Callable[[Client], AttachmentT]") -> AttachmentT:
        """Return this client's one object of a kind, made at the first call and closed with the client.

        Raises:
            UsageError: the client belongs to another event loop.
        """
        self._transport.enter_loop()
        attachment = self._attachments.get(kind)
        if attachment is None:
            attachment = self._attachments[kind] = kind(self)
        return cast("AttachmentT", attachment)

    @property
    def base_url(self) -> str:
        """The service that this client talks to."""
        return self._base_url

    def job(self, job_id: str, *, started: bool = False) -> Job:
        """Return the handle of a job by its id, without a request; the same one while it is in use.

        Args:
            job_id: the job.
            started: say that it has been started, for example by another process. Its status may stay
                `ready` for a while after a start; a wait then goes on instead of raising
                `JobNotStartedError`.

        Raises:
            UsageError: the id can't be one.
        """
        job = self.handles.get(job_id)
        if job is None:
            wire.check_job_id(job_id)
            job = Job(self, job_id)
            self.handles.add(job_id, job)
        if started:
            self._remember_start(job_id)
        return job

    async def upload(
        self, source: UploadSource, *, auto_verify: bool = False, title: str | None = None
    ) -> Job:
        """Upload a list, which costs nothing until it is started.

        Args:
            source: the path of a CSV file, its content as bytes, an iterable of addresses, or an
                iterable of mappings that have their address under `email`.
            auto_verify: start it as soon as it is ready, which spends one credit an address. Without
                it, an upload whose answer is lost costs nothing.
            title: names the list; a file is named by its file name otherwise.

        Raises:
            UsageError: the source can't be a list.
            InvalidListError: the list is empty, not text, over 10 MB or over 500,000 addresses.
            UploadUncertainError: the answer was lost, and the upload is not repeated.
            ListLimitError: the account has 500 lists that are not verified yet.
            ServiceError: any other refusal.
            TransportError: nothing was sent, for the reason given.
            OSError: the file can't be read.
        """
        call = await uploads.prepare(source, auto_verify=auto_verify, title=title)
        acknowledgement = await money.upload(self._transport, call, auto_verify=auto_verify)
        if auto_verify:
            self._remember_start(acknowledgement.job_id)
        return self.job(acknowledgement.job_id)

    async def status(self, job_id: str) -> JobSnapshot:
        """Ask how a job is doing.

        Raises:
            JobNotFoundError: the account has no such list.
            ServiceError: any other refusal.
            TransportError: no usable answer.
        """
        return self._note(await self._transport.call(wire.status(job_id)))

    async def poll(self, job_id: str) -> JobSnapshot:
        """Ask like `status`, but exactly once, with a turn that `take_turn` has taken, and without a timeout.

        For the scheduler of the waits, which has a pace of its own, and watches the time of all of them.
        """
        return self._note(await self._transport.once(wire.status(job_id), scheduled=True))

    async def start(self, job_id: str) -> Acknowledgement:
        """Start the verification of a job that is ready, which spends one credit an address, once.

        A start whose answer was lost is looked up before it is repeated, so it never pays twice.

        Raises:
            NotReadyError: the list is still being prepared.
            AlreadyStartedError: somebody else has started it.
            InsufficientCreditsError: nothing was started and nothing spent.
            ListLimitError: 100 lists are being verified already.
            AccountRestrictedError: the account is under review.
            StartUncertainError: no answer told whether it arrived, as after a redirect or a refusal in
                unknown words; call it again.
            JobFailedError, JobCancelledError: an answer was lost, and the job has ended since.
            ServiceError: any other refusal.
            TransportError: nothing was sent, for the reason given.
        """
        try:
            acknowledgement = await money.start(self._transport, job_id)
        except AlreadyStartedError:
            # It is under way, even if the status stays `ready` for a while.
            self._remember_start(job_id)
            raise
        self._remember_start(job_id)
        return acknowledgement

    async def download(
        self,
        job_id: str,
        destination: str | os.PathLike[str],
        *,
        verdicts: Iterable[Verdict | VerdictName] | None = None,
    ) -> int:
        """Download the results of a completed job into a file, and return how many rows it has.

        The file appears under its name only when it is complete, with the rows and the bytes that
        the service sent; an existing one is replaced. Only its owner can read it.

        Args:
            job_id: the job.
            destination: the path of the file.
            verdicts: only rows of these; all when left out.

        Raises:
            IncompleteDownloadError: fewer rows came than the list has; no file was written.
            NotReadyError: the job has not completed.
            ServiceError: any other refusal.
            TransportError: no usable answer.
            OSError: the file can't be written, for example because the disk is full.
        """
        chosen = None if verdicts is None else list(verdicts)
        expected = await self._expected_rows(job_id, chosen)
        call = wire.download(job_id, chosen)
        return await self._transport.retrying(
            lambda: save_results(self._transport, call, destination, expected), repeatable=True
        )

    def rows(
        self,
        job_id: str,
        *,
        verdicts: Iterable[Verdict | VerdictName] | None = None,
        encoding: str = "utf-8-sig",
    ) -> AsyncGenerator[ResultRow]:
        """Give the results of a completed job as typed rows, while they arrive.

        Where a connection breaks they are asked for again, within the client's `attempts`, and go on
        with the next row.

        Leave it early within `contextlib.aclosing`, which ends the download at once.

        Args:
            job_id: the job.
            verdicts: only rows of these; all when left out.
            encoding: of the list as it was uploaded.

        Raises:
            IncompleteDownloadError: fewer rows came than the list has; those that came are right.
            ProtocolError: the results can't be read (`download` keeps them as they are), or changed
                while they were asked for again.
            NotReadyError: the job has not completed.
            ServiceError: any other refusal.
            TransportError: no usable answer.
        """
        chosen = None if verdicts is None else list(verdicts)
        return stream_rows(
            self._transport,
            wire.download(job_id, chosen),
            expected=lambda: self._expected_rows(job_id, chosen),
            encoding=encoding,
        )

    async def delete(self, job_id: str) -> Acknowledgement:
        """Delete a list from the service, results and all; only ready and completed ones can go.

        Raises:
            NotReadyError: the list is being processed.
            JobNotFoundError: there is none, or no longer.
            ServiceError: any other refusal.
            TransportError: no usable answer.
        """
        acknowledgement = await money.delete(self._transport, job_id)
        self._started.pop(job_id, None)
        self._remember_missing(job_id, grace=0.0)
        return acknowledgement

    async def verify(self, address: str, *, timeout: float | None = None) -> AddressVerdict:
        """Verify one address, which costs one credit.

        Args:
            address: the address.
            timeout: the seconds the service may take, 30 to 180; 180 when left out.

        Raises:
            VerifyUncertainError: the answer was lost, or was a refusal in unknown words; asking again
                may cost another credit.
            InsufficientCreditsError: nothing was spent.
            ServiceError: any other refusal.
            TransportError: nothing was sent, for the reason given.
        """
        return await money.verify(self._transport, wire.verify(address, timeout=timeout))

    async def credits(self) -> Credits:
        """Ask what the account can still spend.

        Raises:
            ServiceError: a refusal.
            TransportError: no usable answer.
        """
        return await self._transport.call(wire.credits_left())

    def redacted(self, error: BulkVerifyError) -> BulkVerifyError:
        """Return an error without the key, which the service may have echoed in results that a run reads."""
        return self._transport.redacted(error)

    @property
    def stats(self) -> Stats:
        """What this client has done so far."""
        return self._transport.stats

    def was_started(self, job_id: str) -> bool:
        """Tell whether this client has started a job that has not ended since."""
        return job_id in self._started

    def missing_until(self, job_id: str) -> float:
        """Take note that a job was not found; return until when a lagging replica may be the reason.

        That is half a minute from the first such answer, in the event loop's time. Only what this client
        has deleted itself is gone at once.
        """
        until = self._missing.get(job_id)
        return self._remember_missing(job_id, NOT_FOUND_GRACE_SECONDS) if until is None else until

    def _remember_missing(self, job_id: str, grace: float) -> float:
        now = asyncio.get_running_loop().time()
        missing = self._missing
        missing.pop(job_id, None)
        missing[job_id] = now + grace
        while missing[oldest := next(iter(missing))] < now - _MISSING_KEPT_SECONDS:
            del missing[oldest]
        return now + grace

    def _remember_start(self, job_id: str) -> None:
        self._started[job_id] = None
        if len(self._started) > MOST_STARTED:  # nobody has seen the first of them end
            del self._started[next(iter(self._started))]

    def _note(self, snapshot: JobSnapshot) -> JobSnapshot:
        if snapshot.status in TERMINAL:
            self._started.pop(snapshot.job_id, None)
        if self._missing:
            self._missing.pop(snapshot.job_id, None)
        job = self.handles.get(snapshot.job_id)
        if job is not None:
            job.note(snapshot)
        return snapshot

    async def _expected_rows(
        self, job_id: str, verdicts: Iterable[Verdict | VerdictName] | None
    ) -> int | None:
        """Say how many rows a download of all verdicts must have, asking for it where need be."""
        if verdicts is not None and {*map(str, verdicts)} != {*map(str, Verdict)}:
            return None
        job = self.handles.get(job_id)
        if job is not None and job.snapshot is not None and job.snapshot.ended:
            return job.snapshot.total
        # A lagging replica may not know yet that it has completed, but how many rows it has.
        return (await self.status(job_id)).total

"""The calls a user makes: `Client` for the account, and with `Job` for one list."""

import os
from collections.abc import AsyncGenerator, Iterable
from types import TracebackType
from typing import Final, Self, cast

import aiohttp
from tenacity.wait import wait_base

from bulkverify.errors import AlreadyStartedError, UsageError
from bulkverify.lifecycle import can_follow
from bulkverify.limits import REQUESTS_PER_MINUTE
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
from bulkverify.service.known import KnownJobs
from bulkverify.service.transport import Stats, Transport
from bulkverify.service.uploads import UploadSource

DEFAULT_BASE_URL: Final = "https://api.bouncify.io/v1"


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
            raise UsageError("Attempts and requests a minute must be at least 1.").with_hint(
                "Correct `attempts` or `requests_per_minute`.", "Correct --requests-per-minute."
            )
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
        self._known = KnownJobs(self._transport)

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
        await self._transport.close(self._known.close)

    @property
    def base_url(self) -> str:
        """The service that this client talks to."""
        return self._base_url

    def job(self, job_id: str, *, started: bool = False) -> "Job":
        """Return the handle of a job by its id, without a request; the same one while it is in use.

        Args:
            job_id: the job.
            started: say that it has been started, for example by another process. Its status may stay
                `ready` for a while after a start; a wait then goes on instead of raising
                `JobNotStartedError`.

        Raises:
            UsageError: the id can't be one.
        """
        job = cast("Job | None", self._known.handle(job_id))
        if job is None:
            wire.check_job_id(job_id)
            job = Job(self, job_id)
            self._known.add(job)
        if started:
            self._known.note_start(job_id)
        return job

    async def upload(
        self, source: UploadSource, *, auto_verify: bool = False, title: str | None = None
    ) -> "Job":
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
            self._known.note_start(acknowledgement.job_id)
        return self.job(acknowledgement.job_id)

    async def status(self, job_id: str) -> JobSnapshot:
        """Ask how a job is doing.

        Raises:
            JobNotFoundError: the account has no such list.
            ServiceError: any other refusal.
            TransportError: no usable answer.
        """
        snapshot = await self._transport.call(wire.status(job_id))
        self._known.note(snapshot)
        return snapshot

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
            self._known.note_start(job_id)
            raise
        self._known.note_start(job_id)
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
        call = wire.download(job_id, chosen)
        expected = await self._expected_rows(job_id, chosen)
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
        self._known.note_deletion(job_id)
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

    @property
    def stats(self) -> Stats:
        """What this client has done so far."""
        return self._transport.stats

    async def _expected_rows(
        self, job_id: str, verdicts: Iterable[Verdict | VerdictName] | None
    ) -> int | None:
        """Say how many rows a download of all verdicts must have, asking for it where need be."""
        if verdicts is not None and {*map(Verdict, verdicts)} != {*Verdict}:
            return None
        job = self._known.handle(job_id)
        if job is not None and job.snapshot is not None and job.snapshot.ended:
            return job.snapshot.total
        # A lagging replica may not know yet that it has completed, but how many rows it has.
        return (await self.status(job_id)).total


class Job:
    """A list on the service; made by `Client.upload` and `Client.job`.

    `snapshot` is the furthest that has been seen of it, or `None` before the first answer.
    """

    __slots__ = ("__weakref__", "_client", "_id", "_snapshot")

    def __init__(self, client: Client, job_id: str) -> None:
        """Hold on to the client; `Client.job` makes sure that there is one handle a job."""
        self._client = client
        self._id = job_id
        self._snapshot: JobSnapshot | None = None

    def __repr__(self) -> str:
        return f"<Job {self._id}: {self._snapshot.status if self._snapshot else 'not asked yet'}>"

    @property
    def id(self) -> str:
        """The service's id of the list: with it, `Client.job` finds it again from anywhere."""
        return self._id

    @property
    def client(self) -> Client:
        """The client that this job belongs to."""
        return self._client

    @property
    def snapshot(self) -> JobSnapshot | None:
        """The furthest that has been seen of the job; no answer from a lagging replica sets it back."""
        return self._snapshot

    def note(self, snapshot: JobSnapshot) -> bool:
        """Keep a snapshot unless the job was further on before; return whether it was kept."""
        if self._snapshot is not None and not can_follow(self._snapshot.status, snapshot.status):
            return False
        self._snapshot = snapshot
        return True

    async def status(self) -> JobSnapshot:
        """Ask how the job is doing; see `Client.status`."""
        return await self._client.status(self._id)

    async def start(self) -> Acknowledgement:
        """Start the verification, which spends the credits; see `Client.start`."""
        return await self._client.start(self._id)

    async def download(
        self,
        destination: str | os.PathLike[str],
        *,
        verdicts: Iterable[Verdict | VerdictName] | None = None,
    ) -> int:
        """Download the results into a file; see `Client.download`."""
        return await self._client.download(self._id, destination, verdicts=verdicts)

    def rows(
        self,
        *,
        verdicts: Iterable[Verdict | VerdictName] | None = None,
        encoding: str = "utf-8-sig",
    ) -> AsyncGenerator[ResultRow]:
        """Give the results as typed rows; see `Client.rows`."""
        return self._client.rows(self._id, verdicts=verdicts, encoding=encoding)

    async def delete(self) -> Acknowledgement:
        """Delete the list from the service; see `Client.delete`."""
        return await self._client.delete(self._id)


def known_of(client: Client) -> KnownJobs:
    """Return what the waits and runs need of a client, and its users don't."""
    return client._known  # noqa: SLF001 - this keeps it off the users' completion lists

"""The calls a user makes: `Client` for the account, `Job` for one list."""

import os
from collections.abc import AsyncGenerator, Iterable
from typing import Self, cast

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
from bulkverify.service.budget import Budget
from bulkverify.service.key import check_base_url, read_key
from bulkverify.service.known import KnownJobs
from bulkverify.service.transport import Stats, Transport
from bulkverify.service.uploads import UploadSource


class Client:
    """One account of a verification service.

    Use it as `async with Client() as client:`, or call `close` when done. One client serves any
    number of tasks of one event loop.

    HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY apply, except to this machine.

    Args:
        api_key: the account's key; by default BULKVERIFY_API_KEY.
        base_url: the service's URL; by default BULKVERIFY_BASE_URL, else Bouncify's.
        session: a session of your own. It is never closed, its middlewares never see the key, and its own proxy
            applies. If
            an upload uses an idle connection that has died, its outcome is unknown;
            `TCPConnector(force_close=True)` prevents that.
        attempts: how often one request may be sent. Only requests that are safe to repeat are sent again.
        backoff: a tenacity wait strategy for the pauses between attempts; `Retry-After` always applies.
        requests_per_minute: the limit for each endpoint; `None` for no limit. The service allows 120 per key.
        allow_http: send the key unencrypted to a host that is not this machine, and to a proxy on the way.

    Raises:
        UsageError: there is no key, or the base URL or the proxy is wrong.
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
        secret = read_key(os.environ.get("BULKVERIFY_API_KEY", "") if api_key is None else api_key)
        del api_key  # tracebacks of later errors show the locals
        if isinstance(secret, UsageError):
            raise secret
        if attempts < 1 or (requests_per_minute is not None and requests_per_minute < 1):
            raise UsageError("Attempts and requests a minute must be at least 1.").with_hint(
                "Correct `attempts` or `requests_per_minute`.", "Correct --requests-per-minute."
            )
        checked = check_base_url(base_url, allow_http=allow_http)
        del base_url  # it may hold the key, if it was copied from the documentation
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
        # A traceback shows this even if an argument was refused before the base URL was set.
        return f"<Client of {getattr(self, '_base_url', 'no service')}>"

    async def __aenter__(self) -> Self:
        self._transport.enter_loop()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End every wait with `ClientClosedError`, and close the session unless it is your own.

        No request is sent from then on, even if `close` is cancelled.
        """
        await self._transport.close(self._known.close)

    @property
    def base_url(self) -> str:
        """The service that this client talks to."""
        return self._base_url

    def job(self, job_id: str, *, started: bool = False) -> "Job":
        """Return a job's handle, always the same one while it is in use. Nothing is sent.

        Args:
            job_id: the job.
            started: whether another process has started it. Waits then raise no `JobNotStartedError`.

        Raises:
            UsageError: the id is malformed.
        """
        job = cast("Job | None", self._known.handle(job_id))  # only this method makes handles
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
            auto_verify: start it as soon as it is ready, which spends one credit per address. Without
                it, an upload whose answer is lost costs nothing.
            title: the name of the list; by default its file name.

        Raises:
            UsageError: the source is not a list.
            InvalidListError: the list is empty, not text, over 10 MB or over 500,000 addresses.
            UploadUncertainError: the answer was lost. The upload is not repeated.
            ListLimitError: the account has 500 lists that are not verified yet.
            ServiceError: any other refusal.
            TransportError: nothing was sent.
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
        """Start the verification of a ready job, which spends one credit per address.

        It never pays twice: after a lost answer, the job is looked up before the start is repeated.

        Raises:
            NotReadyError: the list is still being prepared.
            AlreadyStartedError: it was started before.
            InsufficientCreditsError: nothing was started and nothing spent.
            ListLimitError: 100 lists are being verified already.
            AccountRestrictedError: the account is under review.
            StartUncertainError: the answer was lost, or was a redirect or an unknown refusal. Start the job again.
            JobFailedError, JobCancelledError: an answer was lost, and the job has ended since.
            ServiceError: any other refusal.
            TransportError: nothing was sent.
        """
        try:
            acknowledgement = await money.start(self._transport, job_id)
        except AlreadyStartedError:
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

        The file appears only when it is complete, and replaces an existing one. Its content is exactly
        as the service sent it. Only its owner can read it.

        Args:
            job_id: the job.
            destination: the path of the file.
            verdicts: the verdicts of the rows to get, such as `"deliverable"`; by default all.

        Raises:
            IncompleteDownloadError: fewer rows arrived than the list has; no file was written.
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
        """Yield the results of a completed job as typed rows, while they arrive.

        If a connection breaks, the results are requested again, up to the client's `attempts`, and the
        iteration goes on with the next row. To stop early, use `contextlib.aclosing`, which ends the
        download at once.

        Args:
            job_id: the job.
            verdicts: the verdicts of the rows to get, such as `"deliverable"`; by default all.
            encoding: the encoding of the uploaded list.

        Raises:
            IncompleteDownloadError: fewer rows arrived than the list has; those that arrived are right.
            ProtocolError: the results can't be read (`download` saves them as they are), or have changed.
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
        """Delete a ready or completed list and its results from the service.

        Raises:
            NotReadyError: the list is being processed.
            JobNotFoundError: there is no such list, or it was deleted before.
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
            timeout: the seconds that the service may take, 30 to 180; by default 180.

        Raises:
            VerifyUncertainError: the answer was lost, or was an unknown refusal. Another call may cost a second credit.
            InsufficientCreditsError: nothing was spent.
            VerifyTimeoutError: the service ran out of time, also when it was asked again.
            ServiceError: any other refusal.
            TransportError: nothing was sent.
        """
        return await money.verify(self._transport, wire.verify(address, timeout=timeout))

    async def credits(self) -> Credits:
        """Ask how many credits the account has left.

        Raises:
            ServiceError: a refusal.
            TransportError: no usable answer.
        """
        return await self._transport.call(wire.credits_left())

    @property
    def stats(self) -> Stats:
        """What this client has done so far, in numbers."""
        return self._transport.stats

    async def _expected_rows(
        self, job_id: str, verdicts: Iterable[Verdict | VerdictName] | None
    ) -> int | None:
        """Return how many rows a download must have; `None` if some verdicts are left out."""
        if verdicts is not None and {*map(Verdict, verdicts)} != {*Verdict}:
            return None
        job = self._known.handle(job_id)
        if job is not None and job.snapshot is not None and job.snapshot.ended:
            return job.snapshot.total
        # The status may come from a lagging replica, but the total is right.
        return (await self.status(job_id)).total


class Job:
    """A list on the service; `Client.upload` and `Client.job` return it."""

    __slots__ = ("__weakref__", "_client", "_id", "_snapshot")

    def __init__(self, client: Client, job_id: str) -> None:
        """Use `Client.job` instead, which makes one handle per job."""
        self._client = client
        self._id = job_id
        self._snapshot: JobSnapshot | None = None

    def __repr__(self) -> str:
        return f"<Job {self._id}: {self._snapshot.status if self._snapshot else 'not asked yet'}>"

    @property
    def id(self) -> str:
        """The service's id of the list. `Client.job` accepts it, also in another process."""
        return self._id

    @property
    def client(self) -> Client:
        """The client that this job belongs to."""
        return self._client

    @property
    def snapshot(self) -> JobSnapshot | None:
        """The latest snapshot, or `None`. An earlier status from a lagging replica is ignored."""
        return self._snapshot

    def note(self, snapshot: JobSnapshot) -> bool:
        """Keep a snapshot unless its status is earlier than the last; return whether it was kept."""
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
        """Yield the results as typed rows; see `Client.rows`."""
        return self._client.rows(self._id, verdicts=verdicts, encoding=encoding)

    async def delete(self) -> Acknowledgement:
        """Delete the list from the service; see `Client.delete`."""
        return await self._client.delete(self._id)


def known_of(client: Client) -> KnownJobs:
    """Return a client's record of its jobs, for waits and runs."""
    return client._known  # noqa: SLF001 - private, so that editors don't offer it to users


def budget_of(client: Client) -> Budget:
    """Return a client's request budget, for processes that share an account."""
    return client._transport.budget  # noqa: SLF001 - likewise

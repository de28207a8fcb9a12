"""One list on the service, as its owner holds on to it: the calls of `Client`, without the id."""

import os
from collections.abc import AsyncGenerator, Iterable
from typing import TYPE_CHECKING

from bulkverify.lifecycle import can_follow
from bulkverify.models import Acknowledgement, JobSnapshot, ResultRow, Verdict, VerdictName

if TYPE_CHECKING:  # a client makes its jobs, and so stands above them
    from bulkverify.client import Client


class Job:
    """A list on the service; made by `Client.upload` and `Client.job`.

    `snapshot` is the furthest that has been seen of it, or `None` before the first answer.
    """

    __slots__ = ("__weakref__", "_client", "_id", "_snapshot")

    def __init__(self, client: "Client", job_id: str) -> None:
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
    def client(self) -> "Client":
        """The client that this job belongs to."""
        return self._client

    @property
    def snapshot(self) -> JobSnapshot | None:
        """The furthest that has been seen of the job; no answer from a lagging replica sets it back."""
        return self._snapshot

    def note(self, snapshot: JobSnapshot) -> None:
        """Keep a snapshot, unless the job was further on before."""
        if self._snapshot is None or can_follow(self._snapshot.status, snapshot.status):
            self._snapshot = snapshot

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

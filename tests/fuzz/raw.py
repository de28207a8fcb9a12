"""A server that answers with any bytes for many examples, and its clients."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import aclosing, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeAlias, TypeVar

from tenacity import wait_none

from bulkverify import Client, wait_until

T = TypeVar("T")
KEY: Final = "s3cr3t-Key/with+odd&chars"
JOB_ID: Final = "r374aki32rnatv868nntpxloc7dkilszc3eu"
LONGEST_SECONDS: Final = 10.0

Pieces: TypeAlias = Callable[[], AsyncIterator[bytes]]
"""Yields an answer, with its status line, piece by piece."""


async def nothing() -> AsyncIterator[bytes]:
    """Answer without any bytes."""
    yield b""


def whole(answer: bytes) -> Pieces:
    """Answer with these bytes at once."""

    async def pieces() -> AsyncIterator[bytes]:
        yield answer

    return pieces


def head(*lines: bytes, status: bytes = b"200 OK") -> bytes:
    """Return the status line and headers of an answer."""
    return b"\r\n".join([b"HTTP/1.1 " + status, *lines, b"", b""])


class RawServer:
    """Answers every request with `pieces`, and then closes; `sent` counts the bytes sent."""

    def __init__(self) -> None:
        self.pieces: Pieces = nothing
        self.requests = 0
        self.sent = 0
        self._server: asyncio.Server | None = None
        self._answering: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()
        for task in self._answering:
            task.cancel()
        if self._answering:
            await asyncio.wait(self._answering)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._answer(reader, writer))
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._answer_once(reader, writer)
        finally:
            writer.transport.abort()

    async def _answer_once(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            request = await reader.readuntil(b"\r\n\r\n")
            lengths = [
                int(line.partition(b":")[2])
                for line in request.lower().split(b"\r\n")
                if line.startswith(b"content-length:")
            ]
            await reader.readexactly(sum(lengths))
            self.requests += 1
            async with aclosing(self.pieces()) as pieces:  # type: ignore[type-var]
                async for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
                    self.sent += len(piece)
            writer.close()
            await writer.wait_closed()


class Bench:
    """One loop and one server for all examples of a test.

    Each call has its own client, so that a `Retry-After` of one example can't delay the next.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server = RawServer()
        self.problems: list[dict[str, Any]] = []
        self._runner = asyncio.Runner()

    def __enter__(self) -> Self:
        self._runner.__enter__()
        loop = self._runner.get_loop()
        loop.set_exception_handler(lambda _, context: self.problems.append(context))
        self._runner.run(self.server.__aenter__())
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._runner.run(self.server.__aexit__(None, None, None))
        self._runner.__exit__(exc_type, exc, traceback)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the loop within the time limit."""

        async def bounded() -> T:
            return await asyncio.wait_for(work, LONGEST_SECONDS)

        return self._runner.run(bounded())

    def call(self, name: str) -> object:
        """Make one of the calls."""

        async def call() -> object:
            async with self.client() as client:
                return await calls_of(client, self.folder)[name]()

        return self.run(call())

    def client(self, attempts: int = 1) -> Client:
        """Make a client without pauses or a budget."""
        return Client(
            KEY,
            base_url=self.server.url,
            attempts=attempts,
            backoff=wait_none(),
            requests_per_minute=None,
        )


def calls_of(client: Client, folder: Path) -> dict[str, Callable[[], Awaitable[object]]]:
    """Return every call of a client by name."""
    job = client.job(JOB_ID)

    async def rows() -> int:
        count = 0
        async with aclosing(job.rows(verdicts=["unknown"])) as found:
            async for _ in found:
                count += 1
        return count

    return {
        "upload": lambda: client.upload(["a@example.com"]),
        "upload a file": lambda: client.upload(b"email\na@example.com\n"),
        "status": job.status,
        "start": job.start,
        # With all verdicts, rows are counted, which needs a status request first.
        "download": lambda: job.download(folder / "out.csv", verdicts=["unknown"]),
        "rows": rows,
        "download all": lambda: job.download(folder / "out.csv"),
        "delete": job.delete,
        "verify": lambda: client.verify("a@example.com"),
        "credits": client.credits,
        "wait": lambda: wait_until(job, timeout=0),
    }


CALLS: Final = tuple(calls_of(Client("any"), Path()))

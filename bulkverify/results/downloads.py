"""Downloads a job's results, to a file or as rows while they arrive."""

import asyncio
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO, Final

from bulkverify.errors import BulkVerifyError, IncompleteDownloadError, ProtocolError
from bulkverify.files import flush_to_disk, replacing
from bulkverify.models import ResultRow
from bulkverify.results.rows import ResultsReader
from bulkverify.service.calls import Call
from bulkverify.service.counting import RowCounter
from bulkverify.service.transport import Body, Transport

_PIECE_BYTES: Final = 256 * 1024


async def save_results(
    transport: Transport,
    call: Call[None],
    destination: str | os.PathLike[str],
    expected: int | None,
) -> int:
    """Download a results file and return its number of rows. An incomplete file is removed."""
    body = await transport.open(call)
    try:
        with replacing(destination) as file:
            count = await _write(body, file)
            _require(count, expected)
            await asyncio.to_thread(flush_to_disk, file)  # this may take seconds
    finally:
        body.close()
    return count


async def stream_rows(
    transport: Transport,
    call: Call[None],
    *,
    expected: Callable[[], Awaitable[int | None]],
    encoding: str,
) -> AsyncGenerator[ResultRow]:
    """Yield the rows of a results file while it arrives, and check at the end that none is missing."""
    results = ResultsReader(encoding)  # checks the encoding before anything is sent
    total = await expected()

    def check_end() -> None:
        try:
            pending = results.pending()
        except ProtocolError:
            pending = 0  # unless rows are missing, `finish` raises this error later
        _require(results.count + pending, total)

    try:
        async with aclosing(_Resumed(transport, call).pieces(check_end)) as pieces:
            async for piece in pieces:
                for row in results.feed(piece):
                    yield row
        for row in results.finish():
            yield row
    except BulkVerifyError as error:
        failure = transport.redacted(error)
    else:
        return
    # Tracebacks show locals, and the service may have echoed the key in its results.
    results, piece = ResultsReader(), b""
    raise failure


class _Resumed:
    """The bytes of a results file, requested again if an answer breaks off.

    The results of a completed list do not change. So the bytes that were yielded before are skipped, if
    their digest is the same.
    """

    def __init__(self, transport: Transport, call: Call[None]) -> None:
        self._transport = transport
        self._call = call
        self._size = 0
        self._digest = blake2b()
        self._opened = 0
        self._failure: BulkVerifyError | None = None

    async def pieces(self, check_end: Callable[[], None]) -> AsyncGenerator[bytes]:
        """Yield the file in pieces; results that have changed raise `ProtocolError`.

        `check_end` is called at the end of an answer, and raises `IncompleteDownloadError` if it was cut off.
        """
        while True:
            body = await self._transport.retrying(
                self._open, repeatable=True, made=max(0, self._opened - 1)
            )
            try:
                async with aclosing(self._new(body)) as pieces:
                    async for piece in pieces:
                        yield piece
                check_end()
            except BulkVerifyError as error:
                self._failure = error
            else:
                return
            finally:
                body.close()

    async def _open(self) -> Body:
        if self._failure is not None:  # raised here, it counts as an attempt and may be retried
            failure, self._failure = self._failure, None
            raise failure
        self._opened += 1
        return await self._transport.open(self._call)

    async def _new(self, body: Body) -> AsyncGenerator[bytes]:
        """Yield the bytes that were not yielded before."""
        left = self._size
        same = blake2b()
        async with aclosing(body.pieces()) as pieces:
            async for piece in pieces:
                if left:
                    same.update(piece[:left])
                    left, piece = max(0, left - len(piece)), piece[left:]  # noqa: PLW2901 - the rest
                    if not left and same.digest() != self._digest.digest():
                        raise ProtocolError(
                            "The results changed while they were read, and the rows so far are outdated. "
                            "Read them again from the beginning."
                        )
                if piece:
                    self._size += len(piece)
                    self._digest.update(piece)
                    yield piece
        if left:
            raise IncompleteDownloadError(
                "The results were requested again, and cut off even earlier. Download them again."
            )


def read_rows(path: Path) -> Iterator[ResultRow]:
    """Yield the rows of a downloaded results file."""
    results = ResultsReader()
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            yield from results.feed(piece)
    yield from results.finish()


async def _write(body: Body, file: BinaryIO) -> int:
    """Write a body and return its number of rows; an end inside a row raises `IncompleteDownloadError`."""
    rows = RowCounter()
    async with aclosing(body.pieces()) as pieces:
        async for piece in pieces:
            file.write(piece)
            rows.feed(piece)
    return rows.finish()


def _require(count: int, expected: int | None) -> None:
    if expected is not None and count < expected:
        raise IncompleteDownloadError(
            f"The results have {count:,} rows, and the list has {expected:,}: they were cut off. "
            "Download them again.",
            received=count,
            expected=expected,
        )

"""A job's results on their way in: to a file in one piece, or as rows while they arrive."""

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
    """Write a results file and return its number of rows; nothing is left of one that is not complete."""
    body = await transport.open(call)
    try:
        with replacing(destination) as file:
            count = await _write(body, file)
            _require(count, expected)
            await asyncio.to_thread(flush_to_disk, file)  # a large one takes its time
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
    """Give the rows of a results file while it arrives, and check at its end that all have come."""
    # Refuses an encoding that there is not before anything is sent.
    results = ResultsReader(encoding)
    total = await expected()

    def check_end() -> None:
        try:
            pending = results.pending()
        except ProtocolError:
            pending = 0  # `finish` says so, unless rows are missing: then it comes of the cut
        _require(results.count + pending, total)

    piece = b""
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
    # An error shows its frames' locals, and the service may have echoed the key in its results.
    results, piece = ResultsReader(), b""
    raise failure


class _Resumed:
    """The bytes of a results file, each given once, over as many answers as that takes.

    The results of a completed list do not change. So where an answer breaks off they are asked for
    again, and what was given before is skipped, once its digest has shown that it is the same.
    """

    def __init__(self, transport: Transport, call: Call[None]) -> None:
        self._transport = transport
        self._call = call
        self._size = 0
        self._digest = blake2b()
        self._opened = 0
        self._failure: BulkVerifyError | None = None

    async def pieces(self, check_end: Callable[[], None]) -> AsyncGenerator[bytes]:
        """Give the file piece by piece.

        Args:
            check_end: called where an answer ends; raises IncompleteDownloadError if it was cut off.

        Raises:
            ProtocolError: the results are others than those that were given.
            TransportError: too many answers have broken off.
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
        if (
            self._failure is not None
        ):  # counts as the first attempt, and says whether there is another
            failure, self._failure = self._failure, None
            raise failure
        self._opened += 1
        return await self._transport.open(self._call)

    async def _new(self, body: Body) -> AsyncGenerator[bytes]:
        """Give what was not given before."""
        left = self._size
        same = blake2b()
        async with aclosing(body.pieces()) as pieces:
            async for piece in pieces:
                if left:
                    same.update(piece[:left])
                    left, piece = max(0, left - len(piece)), piece[left:]  # noqa: PLW2901 - the rest
                    if not left and same.digest() != self._digest.digest():
                        raise ProtocolError(
                            "The results changed while they were read: the rows so far are of what "
                            "the service gave before. Read them again from the beginning."
                        )
                if piece:
                    self._size += len(piece)
                    self._digest.update(piece)
                    yield piece
        if left:
            raise IncompleteDownloadError(
                "The results were cut off even earlier when they were asked for again. Download them again."
            )


def read_rows(path: Path) -> Iterator[ResultRow]:
    """Give the rows of a results file that has been downloaded."""
    results = ResultsReader()
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            yield from results.feed(piece)
    yield from results.finish()


async def _write(body: Body, file: BinaryIO) -> int:
    """Write a body, and return its rows; one that ends inside a row raises `IncompleteDownloadError`."""
    rows = RowCounter()
    async with aclosing(body.pieces()) as pieces:
        async for piece in pieces:
            file.write(piece)
            rows.feed(piece)
    return rows.finish()


def _require(count: int, expected: int | None) -> None:
    if expected is not None and count < expected:
        raise IncompleteDownloadError(
            f"The results have {count:,} rows where the list has {expected:,}: they were cut off. "
            "Download them again.",
            received=count,
            expected=expected,
        )

"""A job's results on their way in: to a file in one piece, or as rows while they arrive."""

import asyncio
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import BinaryIO, Final

from bulkverify.csvstream import RecordReader
from bulkverify.errors import IncompleteDownloadError, ProtocolError
from bulkverify.files import flush_to_disk, replacing
from bulkverify.models import ResultRow
from bulkverify.results import ResultsReader
from bulkverify.transport import Body, Transport
from bulkverify.wire import Call

_PIECE_BYTES: Final = 256 * 1024


async def save_results(
    transport: Transport,
    call: Call[None],
    destination: str | os.PathLike[str],
    expected: int | None,
) -> int:
    """Write a results file and return its number of rows; it gets its name when it is complete.

    Raises:
        IncompleteDownloadError: it has fewer rows than `expected`; nothing is left of it.
        OSError: it can't be written; nothing is left of it.
    """
    body = await transport.open(call)
    try:
        with replacing(destination) as file:
            count = await _write(body, file)
            _require(count, expected)
            await asyncio.to_thread(flush_to_disk, file)  # a large one takes its time
    finally:
        body.close()
    return count or 0


async def stream_rows(
    transport: Transport,
    call: Call[None],
    *,
    expected: Callable[[], Awaitable[int | None]],
    encoding: str,
) -> AsyncGenerator[ResultRow]:
    """Give the rows of a results file while it arrives, and check at its end that all have come."""
    results = ResultsReader(
        encoding
    )  # refuses an encoding that there is not before anything is sent
    total = await expected()
    body = await transport.retrying(lambda: transport.open(call), repeatable=True)
    try:
        async with aclosing(body.pieces()) as pieces:
            async for piece in pieces:
                for row in results.feed(piece):
                    yield row
        for row in results.finish():
            yield row
        _require(results.count, total)
    finally:
        body.close()


def read_rows(path: Path) -> Iterator[ResultRow]:
    """Give the rows of a results file that has been downloaded."""
    results = ResultsReader()
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            yield from results.feed(piece)
    yield from results.finish()


async def _write(body: Body, file: BinaryIO) -> int | None:
    """Write a body; return its rows, or `None` where they can't be counted."""
    # Any bytes are latin-1, and commas, quotes and line ends stay where they are.
    records: RecordReader | None = RecordReader("latin-1")
    count = -1  # the header is no row
    async with aclosing(body.pieces()) as pieces:
        async for piece in pieces:
            file.write(piece)
            if records is not None:
                try:
                    count += len(records.feed(piece))
                except ProtocolError:  # a cell beyond csv's limit: the bytes are good all the same
                    records = None
    if records is None:
        return None
    return max(0, count + len(records.finish()))


def _require(count: int | None, expected: int | None) -> None:
    if count is not None and expected is not None and count < expected:
        raise IncompleteDownloadError(
            f"The results have {count:,} rows where the list has {expected:,}: they were cut off. "
            "Download them again.",
            received=count,
            expected=expected,
        )

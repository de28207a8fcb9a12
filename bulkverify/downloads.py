"""A job's results on their way in: to a file in one piece, or as rows while they arrive."""

import asyncio
import os
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from pathlib import Path
from typing import BinaryIO

from bulkverify.csvstream import RecordReader
from bulkverify.errors import BulkVerifyError, IncompleteDownloadError, ProtocolError
from bulkverify.models import ResultRow
from bulkverify.results import RowReader
from bulkverify.transport import Body, Transport
from bulkverify.wire import Call


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
    path = Path(destination)
    body = await transport.open(call)
    try:
        # In the same folder, because a rename is atomic only within one file system; mkstemp lets
        # nobody but the owner read it.
        descriptor, partial = tempfile.mkstemp(
            prefix=f".{path.name}.", suffix=".part", dir=path.parent
        )
        try:
            with os.fdopen(descriptor, "wb") as file:
                count = await _write(body, file)
                await asyncio.to_thread(os.fsync, file.fileno())
            _require(count, expected)
            Path(partial).replace(path)
        except BaseException:
            with suppress(FileNotFoundError):
                Path(partial).unlink()
            raise
    except BulkVerifyError:  # some of ours are a TimeoutError, which is an OSError
        raise
    except OSError as error:
        if error.filename is None:  # a full disk does not say which file it was
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
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
    total = await expected()
    records = RecordReader(encoding)
    body = await transport.retrying(lambda: transport.open(call), repeatable=True)
    reader: RowReader | None = None
    count = 0
    try:
        async with aclosing(body.pieces()) as pieces:
            async for piece in pieces:
                ready = records.feed(piece)
                if reader is None and ready:
                    reader = RowReader(ready.pop(0))
                if reader is not None:
                    for row in reader.rows(ready):
                        count += 1
                        yield row
        ready = records.finish()
        if reader is None and ready:
            reader = RowReader(ready.pop(0))
        if reader is not None:
            for row in reader.rows(ready):
                count += 1
                yield row
        _require(count, total)
    finally:
        body.close()


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
    file.flush()
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

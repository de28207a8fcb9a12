"""Answers that try to fill the memory or the disk, or never end, are rejected early and cheaply."""

import asyncio
import gc
import time
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import aiohttp
import pytest

from bulkverify import (
    BulkVerifyError,
    ConnectionFailedError,
    ProtocolError,
    RequestTimeoutError,
    UnreadableAnswerError,
    WaitTimeoutError,
    wait_until,
)

from .effort import patient
from .raw import JOB_ID, Bench, Pieces, head, whole

pytestmark = patient

MEGABYTE = 1024 * 1024
PIECE = b" " * 65536
CHUNKED = b"Transfer-Encoding: chunked"
RESULTS = b'"Email","Verification Result"\n'
CSV = b"Content-Type: text/csv"


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with Bench(tmp_path_factory.mktemp("hostile")) as bench:
        yield bench


@pytest.fixture(autouse=True)
def _small_results(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bulkverify.service.transport.LARGEST_RESULTS_BYTES", MEGABYTE // 2)


@pytest.fixture
def _short_of_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "bulkverify.service.sessions._ORDINARY_TIMEOUT", aiohttp.ClientTimeout(total=0.2)
    )
    monkeypatch.setattr("bulkverify.service.transport.BEGINNING_SECONDS", 0.2)
    monkeypatch.setattr("bulkverify.service.transport.READ_TIMEOUT", 0.2)


@pytest.fixture(autouse=True)
def _in_little_memory(bench: Bench) -> Iterator[None]:
    bench.server.sent = 0
    gc.collect()
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < 32 * MEGABYTE
    finally:
        tracemalloc.stop()
    assert bench.problems == []
    assert not list(bench.folder.glob(".*"))


def endless(beginning: bytes, piece: bytes, *, most: int = 1024 * MEGABYTE) -> Pieces:
    """Answer with a beginning, and then with the same piece up to a gigabyte."""

    async def pieces() -> AsyncIterator[bytes]:
        yield beginning
        for _ in range(most // len(piece)):
            yield piece

    return pieces


def compressed(encoding: str) -> tuple[bytes, bytes]:
    """Make the beginning of a compression bomb, and a piece that unpacks to a megabyte of spaces."""
    packer = zlib.compressobj(wbits={"gzip": 31, "deflate": 15, "raw": -15}[encoding])
    beginning = packer.compress(RESULTS) + packer.flush(zlib.Z_FULL_FLUSH)
    # After a full flush the piece does not depend on earlier bytes, so it can be repeated.
    return beginning, packer.compress(b" " * MEGABYTE) + packer.flush(zlib.Z_FULL_FLUSH)


@contextmanager
def refused(*kinds: type[BulkVerifyError], match: str | None = None) -> Iterator[None]:
    with pytest.raises(kinds, match=match):
        yield


def test_a_gigabyte_of_status_is_not_read(bench: Bench) -> None:
    bench.server.pieces = endless(head(b"Content-Length: %d" % (1024 * MEGABYTE)), PIECE)
    with refused(UnreadableAnswerError, match="was not read"):
        bench.call("status")
    assert bench.server.sent < 16 * MEGABYTE


@pytest.mark.parametrize("call", ["status", "rows", "download", "upload"])
@pytest.mark.parametrize("encoding", ["gzip", "deflate", "raw"])
def test_a_compression_bomb_is_not_unpacked(bench: Bench, call: str, encoding: str) -> None:
    beginning, piece = compressed(encoding)
    name = b"gzip" if encoding == "gzip" else b"deflate"
    start = head(CSV, b"Content-Encoding: " + name, b"Connection: close") + beginning
    bench.server.pieces = endless(start, piece * 64, most=4 * MEGABYTE)
    with refused(BulkVerifyError, match="was not read|more than"):
        bench.call(call)


@pytest.mark.parametrize("call", ["status", "rows", "download"])
@pytest.mark.parametrize("encoding", [b"br", b"zstd", b"gzip", b"deflate"])
def test_an_answer_that_cannot_be_unpacked_is_an_error(
    bench: Bench, call: str, encoding: bytes
) -> None:
    bench.server.pieces = whole(
        head(CSV, b"Content-Encoding: " + encoding, b"Content-Length: 64")
        + b"\xde\xad\xbe\xef" * 16
    )
    with refused(ConnectionFailedError, UnreadableAnswerError):
        bench.call(call)


CHUNK = b"10000\r\n" + PIECE + b"\r\n"
ENDLESS = {
    "chunks": endless(head(CHUNKED), CHUNK),
    "trailers": endless(head(CHUNKED) + b"0\r\n", b"X-A: b\r\n" * 8192),
    "headers": endless(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n" * 8192),
    "one header": endless(b"HTTP/1.1 200 OK\r\nX-A: ", b"x" * 65536),
    "a header's name": endless(b"HTTP/1.1 200 OK\r\n", b"x" * 65536),
    "reasons": endless(b"HTTP/1.1 200 ", b"x" * 65536),
    "no HTTP": endless(b"", b"x" * 65536),
}


@pytest.mark.parametrize("call", ["status", "rows", "download"])
@pytest.mark.parametrize("part", ENDLESS)
def test_no_part_of_an_answer_may_be_endless(bench: Bench, part: str, call: str) -> None:
    bench.server.pieces = ENDLESS[part]
    with refused(BulkVerifyError):
        bench.call(call)
    assert bench.server.sent < 64 * MEGABYTE


@pytest.mark.parametrize(
    "line",
    [b"X: " + b"y" * 4 * MEGABYTE, b"\r\n".join([b"X-%d: y" % n for n in range(200_000)])],
    ids=["one long", "many"],  # an id made from the header would use memory itself
)
def test_a_header_of_megabytes_is_refused(bench: Bench, line: bytes) -> None:
    bench.server.pieces = whole(head(line) + b"{}")
    with refused(UnreadableAnswerError, ConnectionFailedError):
        bench.call("credits")


@pytest.mark.parametrize("quote", [b"", b'"'])
def test_a_cell_of_100_megabytes_is_refused(bench: Bench, quote: bytes) -> None:
    cell = endless(
        head(CSV, b"Connection: close") + RESULTS + quote, b"x" * 65536, most=100 * MEGABYTE
    )
    bench.server.pieces = cell
    with refused(ProtocolError, match="more than|field larger"):
        bench.call("rows")
    assert bench.server.sent < 16 * MEGABYTE


def test_a_cell_of_100_megabytes_can_be_downloaded(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bulkverify.service.transport.LARGEST_RESULTS_BYTES", 1024 * MEGABYTE)
    beginning = RESULTS + b"a@x.com,"
    start = head(CSV, b"Connection: close") + beginning
    bench.server.pieces = endless(start, b"x" * 65536, most=100 * MEGABYTE)
    bench.call("download")
    target = bench.folder / "out.csv"
    assert target.stat().st_size == len(beginning) + 100 * MEGABYTE
    target.unlink()


@pytest.mark.parametrize("call", ["rows", "download"])
@pytest.mark.parametrize("piece", [b"x" * 65536, b"\n" * 65536, b"a@x.com,unknown\n" * 4096])
def test_endless_results_are_an_error_and_leave_no_file(
    bench: Bench, call: str, piece: bytes
) -> None:
    bench.server.pieces = endless(head(CSV) + RESULTS, piece)
    with refused(ProtocolError, match="more than"):
        bench.call(call)
    assert bench.server.sent < 64 * MEGABYTE
    assert not list(bench.folder.iterdir())


def flood(beginning: bytes, piece: bytes) -> Pieces:
    """Repeat a piece without content for ever; unlike `endless`, it fills no memory."""
    return endless(beginning, piece, most=1024**5)


FLOODS = {
    "a chunk's size": flood(head(CSV, CHUNKED) + b"1;", b"x" * 65536),
    "zeros of a chunk's size": flood(head(CSV, CHUNKED), b"0" * 65536),
    "empty lines": flood(b"", b"\r\n" * 32768),
    "going on": flood(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
    "going on, with a body": whole(
        b"HTTP/1.1 152 Any\r\nContent-Length: 4000000\r\n\r\n" + b"x" * 4_000_000
    ),
}


@pytest.mark.parametrize("call", ["status", "rows", "download"])
@pytest.mark.parametrize("part", FLOODS)
@pytest.mark.usefixtures("_short_of_time")
def test_an_endless_answer_without_content_times_out(bench: Bench, part: str, call: str) -> None:
    bench.server.pieces = FLOODS[part]
    with refused(RequestTimeoutError):
        bench.call(call)


def trickle(beginning: bytes, piece: bytes) -> Pieces:
    async def pieces() -> AsyncIterator[bytes]:
        yield beginning
        while True:
            await asyncio.sleep(0.005)
            yield piece

    return pieces


TRICKLES = {
    "a body": trickle(head(b"Content-Length: 1000000"), b" "),
    "chunks": trickle(head(CHUNKED), b"1\r\n \r\n"),
    "headers": trickle(b"HTTP/1.1 200 OK\r\nX: ", b"x"),
    "going on": trickle(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
}


@pytest.mark.parametrize("part", TRICKLES)
def test_a_wait_keeps_its_deadline_while_an_answer_trickles(bench: Bench, part: str) -> None:
    bench.server.pieces = TRICKLES[part]

    async def wait() -> float:
        async with bench.client() as client:
            began = time.monotonic()
            with pytest.raises(WaitTimeoutError):
                await wait_until(client.job(JOB_ID), timeout=0.2)
            return time.monotonic() - began

    assert 0.2 <= bench.run(wait()) < 30


@pytest.mark.parametrize("part", TRICKLES)
@pytest.mark.usefixtures("_short_of_time")
def test_a_call_ends_in_time_while_its_answer_trickles(bench: Bench, part: str) -> None:
    bench.server.pieces = TRICKLES[part]
    with refused(RequestTimeoutError):
        bench.call("credits")

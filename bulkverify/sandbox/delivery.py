"""Sending an answer: as it should be, or as a fault has it."""

import asyncio
import zlib
from collections.abc import Iterator
from typing import Final

import attrs
from aiohttp import web
from multidict import CIMultiDict

from bulkverify.sandbox.faults import Fault, FaultKind
from bulkverify.sandbox.results import ROWS_PER_CHUNK

_PADDING_BYTES: Final = 256 * 1024
_GZIP: Final = 31  # zlib's number for it


@attrs.frozen(kw_only=True)
class Answer:
    """What the work came to: JSON, or the chunks of a file of so many rows."""

    status: int = 200
    body: dict[str, object] = attrs.field(factory=dict)
    headers: dict[str, str] = attrs.field(factory=dict)
    chunks: Iterator[bytes] | None = None
    rows: int = 0


async def deliver(
    request: web.Request, answer: Answer, fault: Fault | None = None
) -> web.StreamResponse:
    """Send an answer, with a fault of the sending if there is one."""
    match fault and fault.kind:
        case FaultKind.TRUNCATE if answer.chunks is not None:
            return await _send_half(request, answer.chunks)
        case FaultKind.TRICKLE if fault is not None:
            return await _trickle(request, _whole(answer), fault)
        case FaultKind.HUGE | FaultKind.BOMB if fault is not None and answer.chunks is None:
            return await _inflate(request, _whole(answer), fault)
    if answer.chunks is None or answer.rows <= ROWS_PER_CHUNK:
        return _whole(answer)
    stream = web.StreamResponse(headers={"Content-Type": "text/csv; charset=utf-8"})
    await stream.prepare(request)
    for chunk in answer.chunks:
        if chunk:
            await stream.write(chunk)
        await asyncio.sleep(0)
    await stream.write_eof()
    return stream


def answer_of(fault: Fault) -> web.Response:
    """Make the answer that a fault has brought along."""
    headers = CIMultiDict(fault.headers)
    headers.setdefault("Content-Type", "text/html; charset=utf-8")
    body = fault.body.encode() if isinstance(fault.body, str) else fault.body
    return web.Response(status=fault.status, body=body, headers=headers)


def hang_up(request: web.Request) -> web.Response:
    """Close the connection."""
    if request.transport is not None:
        request.transport.close()
    return web.Response()  # which can no longer be sent


def _whole(answer: Answer) -> web.Response:
    if answer.chunks is not None:
        return web.Response(body=b"".join(answer.chunks), content_type="text/csv", charset="utf-8")
    bad = answer.status == web.HTTPBadRequest.status_code
    return web.json_response(
        answer.body,
        status=answer.status,
        reason="BadRequest" if bad else None,
        headers=answer.headers,
    )


def _like(whole: web.Response) -> tuple[web.StreamResponse, bytes]:
    """Return an answer of the same kind that is still to be filled, and what the other one holds."""
    assert isinstance(whole.body, bytes)  # noqa: S101 - it is what `_whole` has put there
    stream = web.StreamResponse(status=whole.status, reason=whole.reason, headers=whole.headers)
    return stream, whole.body


async def _send_half(request: web.Request, chunks: Iterator[bytes]) -> web.StreamResponse:
    stream = web.StreamResponse(headers={"Content-Type": "text/csv; charset=utf-8"})
    body = bytearray()
    for chunk in chunks:
        body += chunk
        await asyncio.sleep(0)
    await stream.prepare(request)
    await stream.write(bytes(body[: len(body) // 2]))
    hang_up(request)
    return stream


async def _trickle(request: web.Request, whole: web.Response, fault: Fault) -> web.StreamResponse:
    stream, body = _like(whole)
    await stream.prepare(request)
    for begin in range(0, len(body), fault.piece_bytes):
        await asyncio.sleep(fault.delay)
        await stream.write(body[begin : begin + fault.piece_bytes])
    await stream.write_eof()
    return stream


async def _inflate(request: web.Request, whole: web.Response, fault: Fault) -> web.StreamResponse:
    """Send JSON that is true, and far longer than it needs to be."""
    stream, body = _like(whole)
    squeeze = zlib.compressobj(1, wbits=_GZIP) if fault.kind is FaultKind.BOMB else None
    if squeeze is not None:
        stream.headers["Content-Encoding"] = "gzip"
    await stream.prepare(request)
    for chunk in _padded(body, fault.size_bytes):
        sent = chunk if squeeze is None else squeeze.compress(chunk)
        if sent:
            await stream.write(sent)
        await asyncio.sleep(0)
    if squeeze is not None:
        await stream.write(squeeze.flush())
    await stream.write_eof()
    return stream


def _padded(body: bytes, size_bytes: int) -> Iterator[bytes]:
    yield b'{"padding": "'
    for begin in range(0, size_bytes, _PADDING_BYTES):
        yield b" " * min(_PADDING_BYTES, size_bytes - begin)
    yield b'", ' + body[1:]

"""Replies, and how they are sent."""

import asyncio
from collections.abc import Mapping
from typing import Final

import attrs
from aiohttp import web

from bulkverify.sandbox.answers import Refusal
from bulkverify.sandbox.results import ROWS_PER_CHUNK, Results

_CSV: Final = {"Content-Type": "text/csv; charset=utf-8"}


@attrs.frozen(kw_only=True)
class Reply:
    """The answer to a request: JSON, or the results of a list."""

    status: int = 200
    body: Mapping[str, object] = attrs.field(factory=dict)
    headers: Mapping[str, str] = attrs.field(factory=dict)
    results: Results | None = None

    @property
    def refused(self) -> bool:
        """Whether the service refused the request."""
        return self.status >= web.HTTPBadRequest.status_code

    @property
    def job_id(self) -> str:
        """The job id in its JSON."""
        return str(self.body["job_id"])

    def response(self) -> web.Response:
        """Make a response from its JSON."""
        bad = self.status == web.HTTPBadRequest.status_code
        return web.json_response(
            self.body,
            status=self.status,
            reason="BadRequest" if bad else None,
            headers=self.headers,
        )


def refuse(refusal: Refusal, headers: Mapping[str, str] | None = None) -> Reply:
    """Make the reply for a refusal."""
    return Reply(status=refusal.status, body=refusal.body(), headers=headers or {})


def retry_after(seconds: float | None) -> dict[str, str]:
    """Return the `Retry-After` header; no header if `seconds` is `None`."""
    return {} if seconds is None else {"Retry-After": f"{seconds:g}"}


async def send(request: web.Request, reply: Reply) -> web.StreamResponse:
    """Send a reply. Large results are streamed, without a length."""
    if reply.results is None:
        return reply.response()
    if reply.results.job.total <= ROWS_PER_CHUNK:
        return web.Response(body=b"".join(reply.results.chunks()), headers=_CSV)
    stream = web.StreamResponse(headers=_CSV)
    await stream.prepare(request)
    for chunk in reply.results.chunks():
        if chunk:
            await stream.write(chunk)
        await asyncio.sleep(0)
    await stream.write_eof()
    return stream


async def unsent(reply: Reply) -> tuple[web.StreamResponse, bytes]:
    """Return a response that is not sent yet, and its body."""
    if reply.results is None:
        whole = reply.response()
        assert isinstance(whole.body, bytes)  # noqa: S101 - it is JSON
        stream = web.StreamResponse(status=whole.status, reason=whole.reason, headers=whole.headers)
        return stream, whole.body
    body = bytearray()
    for chunk in reply.results.chunks():
        body += chunk
        await asyncio.sleep(0)
    return web.StreamResponse(headers=_CSV), bytes(body)


def hang_up(request: web.Request) -> web.Response:
    """Close the connection."""
    if request.transport is not None:
        request.transport.close()
    return web.Response()  # never sent

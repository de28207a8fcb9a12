"""Replies: JSON, or the results of a list as CSV, and how they are sent."""

import asyncio
import csv
import io
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import datetime
from itertools import islice
from typing import Final

import attrs
from aiohttp import web

from bulkverify.models import Verdict
from bulkverify.sandbox.answers import Refusal
from bulkverify.sandbox.clock import iso_text
from bulkverify.sandbox.jobs import Job
from bulkverify.sandbox.vendors import ACCEPT_ALL_PLACE, Vendor, columns
from bulkverify.sandbox.verdicts import Flag

_CSV: Final = {"Content-Type": "text/csv; charset=utf-8"}

_ROWS_PER_CHUNK: Final = 1000
# The flags of `Flag` have the order of the columns.
_CELLS: Final = tuple(
    tuple("Y" if flag & value else "N" for flag in Flag) for value in range(2 * Flag.TRAP)
)


@attrs.frozen(kw_only=True)
class Results:
    """The results of a completed list. `at` turns a time into a date; a fault lowers `share`."""

    job: Job
    vendor: Vendor
    accept_all_column: bool
    at: Callable[[float], datetime]
    wanted: Collection[Verdict]
    share: float = 1.0

    def chunks(self) -> Iterator[bytes]:
        """Yield the header, then a chunk for every thousand rows. It holds only the wanted ones, if any."""
        job = self.job
        added = columns(self.vendor, accept_all=self.accept_all_column)
        yield _text([[*job.addresses.header, *added]])
        every = enumerate(zip(job.addresses.rows(), job.addresses.findings(), strict=True))
        found = islice(every, int(job.total * self.share))
        while part := list(islice(found, _ROWS_PER_CHUNK)):
            rows = []
            for place, (row, (verdict, flags)) in part:
                if verdict in self.wanted:
                    when = iso_text(self.at(job.verified_at(place)))
                    rows.append([*row, *self._added(verdict, flags, when)])
            yield _text(rows)

    def _added(self, verdict: Verdict, flags: int, when: str) -> tuple[str, ...]:
        cells = _CELLS[flags]
        if self.accept_all_column:
            mark = "Y" if verdict is Verdict.ACCEPT_ALL else "N"
            cells = (*cells[:ACCEPT_ALL_PLACE], mark, *cells[ACCEPT_ALL_PLACE:])
        return (verdict, *cells, when) if self.vendor == "bouncify" else (verdict, when, *cells)


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
    if reply.results.job.total <= _ROWS_PER_CHUNK:
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


def _text(rows: Iterable[Iterable[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()

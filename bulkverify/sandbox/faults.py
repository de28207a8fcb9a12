"""The faults that can be injected; each kind has a row in `TABLE`.

A row has the function that causes the fault, the endpoints that it can hit, and the fields of `Fault`
that it uses. To add a fault, add a member of `FaultKind`, a row and a function.
"""

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from email.utils import format_datetime
from functools import partial
from types import MappingProxyType
from typing import Final

import attrs
from aiohttp import web
from multidict import CIMultiDict

from bulkverify.errors import IllegalTransitionError
from bulkverify.lifecycle import JobStatus
from bulkverify.sandbox import allowed, answers
from bulkverify.sandbox.account import Account
from bulkverify.sandbox.answers import Refusal
from bulkverify.sandbox.delivery import Reply, hang_up, refuse, retry_after, send, unsent
from bulkverify.sandbox.jobs import Job
from bulkverify.sandbox.kinds import FaultKind, kind_of
from bulkverify.sandbox.ledger import ENDPOINTS, Endpoint

_PROXY_PAGE: Final = (
    b"<!DOCTYPE html>\n<html><head><title>502 Bad Gateway</title></head>"
    b"<body><h1>502 Bad Gateway</h1></body></html>\n"
)
_HUGE_BYTES: Final = 64 * 1024 * 1024
_PADDING_BYTES: Final = 256 * 1024
_GZIP: Final = 31  # zlib's `wbits` for gzip
_ROWS_PER_EXTRA: Final = 10


def _check_endpoint(fault: "Fault", _: object, value: object) -> None:
    endpoints = TABLE[fault.kind].endpoints
    if value not in (None, *endpoints):
        raise ValueError(f"endpoint is {value!r}; it must be one of {', '.join(endpoints)}.")


def _usual_status(fault: "Fault") -> int:
    return TABLE[fault.kind].status


@attrs.frozen(kw_only=True)
class Fault:
    """A fault to inject; an invalid value of a field raises `ValueError`."""

    kind: FaultKind = attrs.field(converter=kind_of)
    """What happens to the request."""
    endpoint: Endpoint | None = attrs.field(default=None, validator=_check_endpoint)
    """The endpoint that it hits; `None` for all that `kind` can hit."""
    job_id: str | None = attrs.field(default=None, validator=allowed.JOB_ID)
    """The list whose requests it hits; `None` for all requests."""
    skip: int = attrs.field(default=0, validator=allowed.FROM_0)
    """How many of these requests to let pass first."""
    every: int = attrs.field(default=1, validator=allowed.FROM_1)
    """Hit only every n-th of the rest: with 5, the fifth, the tenth and so on."""
    rate: float = attrs.field(default=1.0, validator=allowed.SHARE)
    """The share of these to hit at random: with 0.1, about one in ten."""
    times: int | None = attrs.field(default=1, validator=allowed.TIMES)
    """How many times it happens; `None` for no limit."""
    lasting: float = attrs.field(default=0.0, validator=allowed.SECONDS)
    """Once it happens, it hits all requests of its endpoint and list for this many sandbox seconds. All count as one."""
    delay: float = attrs.field(default=0.0, validator=allowed.SECONDS)
    """Seconds before it takes effect, in the event loop's time."""
    status: int = attrs.field(
        default=attrs.Factory(_usual_status, takes_self=True), validator=allowed.STATUS
    )
    """The HTTP status of the answer: by default 502, of a `VERIFY_TIMEOUT` 400 (the real one is not known)."""
    body: bytes | str = attrs.field(default=_PROXY_PAGE, validator=allowed.TEXT)
    """The body of the answer."""
    headers: Mapping[str, str] = attrs.field(factory=dict, validator=allowed.TEXTS)
    """The headers of the answer."""
    retry_after: float | None = attrs.field(
        default=None, validator=attrs.validators.optional(allowed.SECONDS)
    )
    """The seconds in the `Retry-After` header of a `THROTTLE`; `None` for no header."""
    retry_after_date: bool = attrs.field(default=False, validator=allowed.FLAG)
    """Write `Retry-After` as a date, by the sandbox's clock."""
    size_bytes: int = attrs.field(default=_HUGE_BYTES, validator=allowed.FROM_1)
    """How many bytes of padding the answer has."""
    piece_bytes: int = attrs.field(default=16, validator=allowed.FROM_1)
    """How many bytes of the answer come in one piece."""
    jump: float = attrs.field(default=3600.0, validator=allowed.OFFSET)
    """How many seconds the service's dates are off; negative for the past."""

    def fits(self, endpoint: Endpoint, job_id: str | None) -> bool:
        """Return whether it can hit this request."""
        endpoints = TABLE[self.kind].endpoints if self.endpoint is None else (self.endpoint,)
        return endpoint in endpoints and self.job_id in {None, job_id}


@attrs.frozen(kw_only=True)
class Exchange:
    """A request that a fault hits; `work` carries it out."""

    request: web.Request
    fault: Fault
    endpoint: Endpoint
    job_id: str | None
    account: Account
    work: Callable[[], Awaitable[Reply]]

    async def pause(self) -> None:
        """Wait for the fault's delay."""
        await asyncio.sleep(self.fault.delay)

    async def work_late(self) -> Reply:
        """Do the work after the delay."""
        await self.pause()
        return await self.work()


Effect = Callable[[Exchange], Awaitable[web.StreamResponse]]
"""Handles a request that a fault hits."""


# Builders of effects, which order the work, the delay and the response.


def _instead(respond: Callable[[Exchange], web.StreamResponse]) -> Effect:
    """Respond after the delay, without the work."""

    async def effect(exchange: Exchange) -> web.StreamResponse:
        await exchange.pause()
        await exchange.request.release()
        return respond(exchange)

    return effect


def _after(respond: Callable[[Exchange], web.StreamResponse]) -> Effect:
    """Do the work, then respond after the delay."""

    async def effect(exchange: Exchange) -> web.StreamResponse:
        await exchange.work()
        await exchange.pause()
        return respond(exchange)

    return effect


def _altered(alter: Callable[[Exchange, Reply], Reply]) -> Effect:
    """Do the work after the delay, then alter its reply; a refusal stays as it is."""

    async def effect(exchange: Exchange) -> web.StreamResponse:
        reply = await exchange.work_late()
        return await send(exchange.request, reply if reply.refused else alter(exchange, reply))

    return effect


def _counting(count: Callable[[Job, int], int]) -> Effect:
    """Report `count(job, verified)` as the number of verified rows."""

    def alter(exchange: Exchange, reply: Reply) -> Reply:
        job, verified = exchange.account.job(reply.job_id), reply.body.get("verified")
        if not isinstance(verified, int):
            return reply  # the list was cancelled during the delay
        reported = count(job, verified)
        body = {**reply.body, "verified": reported, "pending": max(0, job.total - reported)}
        return attrs.evolve(reply, body=body)

    return _altered(alter)


# The effects of the faults.


def _answer(exchange: Exchange) -> web.Response:
    fault = exchange.fault
    headers = CIMultiDict(fault.headers)
    headers.setdefault("Content-Type", "text/html; charset=utf-8")
    body = fault.body.encode() if isinstance(fault.body, str) else fault.body
    return web.Response(status=fault.status, body=body, headers=headers)


def _throttle(exchange: Exchange) -> web.Response:
    exchange.account.ledger.note_throttled(exchange.endpoint, exchange.job_id)
    seconds = exchange.fault.retry_after
    headers = retry_after(seconds)
    if seconds is not None and exchange.fault.retry_after_date:
        now = exchange.account.clock.date()
        dates = {"Date": now, "Retry-After": now + timedelta(seconds=seconds)}
        headers = {name: format_datetime(date, usegmt=True) for name, date in dates.items()}
    refusal = answers.worded(answers.TOO_MANY_REQUESTS, exchange.endpoint)
    return refuse(refusal, headers).response()


def _refusal(refusal: Refusal) -> Callable[[Exchange], web.Response]:
    def respond(exchange: Exchange) -> web.Response:
        return refuse(attrs.evolve(refusal, status=exchange.fault.status)).response()

    return respond


def _drop(exchange: Exchange) -> web.Response:
    return hang_up(exchange.request)


async def _hang(exchange: Exchange) -> web.StreamResponse:
    if not exchange.fault.delay:
        await asyncio.Event().wait()  # until the sandbox closes and cancels this
    return await _instead(_drop)(exchange)


async def _delay(exchange: Exchange) -> web.StreamResponse:
    return await send(exchange.request, await exchange.work_late())


def _ending(status: JobStatus) -> Effect:
    """End the list with a status, then do the work after the delay."""

    async def effect(exchange: Exchange) -> web.StreamResponse:
        with suppress(KeyError, IllegalTransitionError):  # there is no such list, or it has ended
            exchange.account.end(exchange.job_id or "", status)
        return await _delay(exchange)

    return effect


async def _jump_clock(exchange: Exchange) -> web.StreamResponse:
    exchange.account.clock.skew = exchange.fault.jump
    return await _delay(exchange)


async def _trickle(exchange: Exchange) -> web.StreamResponse:
    stream, body = await unsent(await exchange.work())
    await stream.prepare(exchange.request)
    for begin in range(0, len(body), exchange.fault.piece_bytes):
        await exchange.pause()
        await stream.write(body[begin : begin + exchange.fault.piece_bytes])
    await stream.write_eof()
    return stream


async def _truncate(exchange: Exchange) -> web.StreamResponse:
    reply = await exchange.work_late()
    if reply.refused:
        return reply.response()
    stream, body = await unsent(reply)
    await stream.prepare(exchange.request)
    await stream.write(body[: len(body) // 2])
    hang_up(exchange.request)
    return stream


def _halve(_: Exchange, reply: Reply) -> Reply:
    return attrs.evolve(reply, results=reply.results and attrs.evolve(reply.results, share=0.5))


async def _inflate(exchange: Exchange, *, compress: bool = False) -> web.StreamResponse:
    stream, body = await unsent(await exchange.work_late())
    gzip = zlib.compressobj(1, wbits=_GZIP)
    if compress:
        stream.headers["Content-Encoding"] = "gzip"
    await stream.prepare(exchange.request)

    async def write(part: bytes) -> None:
        if packed := gzip.compress(part) if compress else part:
            await stream.write(packed)
        await asyncio.sleep(0)

    size = exchange.fault.size_bytes
    await write(b'{"padding": "')
    for begin in range(0, size, _PADDING_BYTES):
        await write(b" " * min(_PADDING_BYTES, size - begin))
    await write(b'", ' + body[1:])
    if compress:
        await stream.write(gzip.flush())
    await stream.write_eof()
    return stream


def _make_stale(exchange: Exchange, reply: Reply) -> Reply:
    account = exchange.account
    snapshot = account.job(reply.job_id).stale_snapshot(account.settle())
    return attrs.evolve(reply, body=answers.status_answer(snapshot))


def _make_endless(exchange: Exchange, reply: Reply) -> Reply:
    exchange.account.job(reply.job_id).endless = True
    return reply


def _too_many(job: Job, _: int) -> int:
    return job.total + max(1, job.total // _ROWS_PER_EXTRA)


def _as_before(job: Job, verified: int) -> int:
    if job.stuck_at is None:
        job.stuck_at = verified
    return job.stuck_at


@attrs.frozen
class Row:
    """A kind of fault."""

    effect: Effect
    """The function that causes it."""
    endpoints: tuple[Endpoint, ...] = ENDPOINTS
    """The endpoints that it can hit."""
    fields: tuple[str, ...] = ()
    """The fields of `Fault` that it uses, besides the common ones."""
    status: int = attrs.field(default=502, kw_only=True)
    """The HTTP status of its answer, if `Fault` names none."""
    verifying: bool = attrs.field(default=False, kw_only=True)
    """Whether it hits only lists that are verifying."""


_ANSWER: Final = ("status", "body", "headers")
_JSON: Final[tuple[Endpoint, ...]] = tuple(
    endpoint for endpoint in ENDPOINTS if endpoint != "download"
)
TABLE: Final[Mapping[FaultKind, Row]] = MappingProxyType(
    {
        # Instead of the work.
        FaultKind.ANSWER: Row(_instead(_answer), fields=_ANSWER),
        FaultKind.THROTTLE: Row(_instead(_throttle), fields=("retry_after", "retry_after_date")),
        FaultKind.DENY: Row(_instead(_refusal(answers.DENIED)), status=answers.DENIED.status),
        FaultKind.VERIFY_TIMEOUT: Row(
            _instead(_refusal(answers.VALIDATION_TIMED_OUT)), ("verify",), ("status",), status=400
        ),
        FaultKind.DROP: Row(_instead(_drop)),
        FaultKind.HANG: Row(_hang),
        # Before the work.
        FaultKind.DELAY: Row(_delay),
        FaultKind.FAIL: Row(_ending(JobStatus.FAILED), ("status", "start")),
        FaultKind.CANCEL: Row(_ending(JobStatus.CANCELLED), ("status", "start")),
        FaultKind.CLOCK_JUMP: Row(_jump_clock, fields=("jump",)),
        # After the work, instead of its reply.
        FaultKind.ANSWER_AFTER: Row(_after(_answer), fields=_ANSWER),
        FaultKind.DROP_AFTER: Row(_after(_drop)),
        # After the work, with its reply.
        FaultKind.TRICKLE: Row(_trickle, fields=("piece_bytes",)),
        FaultKind.TRUNCATE: Row(_truncate, ("download",)),
        FaultKind.TRUNCATE_CLEANLY: Row(_altered(_halve), ("download",)),
        FaultKind.HUGE: Row(_inflate, _JSON, ("size_bytes",)),
        FaultKind.BOMB: Row(partial(_inflate, compress=True), _JSON, ("size_bytes",)),
        FaultKind.STALE: Row(_altered(_make_stale), ("status",)),
        FaultKind.COUNTERS_JUMP: Row(
            _counting(lambda job, _: job.total), ("status",), verifying=True
        ),
        FaultKind.COUNTERS_BACK: Row(
            _counting(lambda _, verified: verified // 2), ("status",), verifying=True
        ),
        FaultKind.COUNTERS_OVER: Row(_counting(_too_many), ("status",), verifying=True),
        FaultKind.COUNTERS_STUCK: Row(_counting(_as_before), ("status",), verifying=True),
        FaultKind.ENDLESS: Row(_altered(_make_endless), ("upload", "start")),
    }
)

"""The service's face: from HTTP to the account and back, with the faults in between."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Final

import attrs
from aiohttp import web
from multidict import CIMultiDict

from bulkverify.models import Verdict
from bulkverify.sandbox import answers
from bulkverify.sandbox.account import Account
from bulkverify.sandbox.allowance import Allowance
from bulkverify.sandbox.answers import Refusal, RefusedError, acknowledgement
from bulkverify.sandbox.faults import Fault, FaultKind, Faults
from bulkverify.sandbox.intake import read_json, receive
from bulkverify.sandbox.ledger import Endpoint
from bulkverify.sandbox.results import ROWS_PER_CHUNK, Vendor, result_chunks

_INSTEAD: Final = frozenset({FaultKind.ANSWER, FaultKind.DROP, FaultKind.HANG})
_AFTER: Final = frozenset({FaultKind.ANSWER_AFTER, FaultKind.DROP_AFTER})
_WITH_ANSWER: Final = frozenset({FaultKind.ANSWER, FaultKind.ANSWER_AFTER})
_WITHOUT_ANSWER: Final = frozenset({FaultKind.DROP, FaultKind.DROP_AFTER, FaultKind.HANG})


@attrs.frozen(kw_only=True)
class _Answer:
    """What the work came to: JSON, or the chunks of a file of so many rows."""

    status: int = 200
    body: dict[str, object] = attrs.field(factory=dict)
    chunks: Iterator[bytes] | None = None
    rows: int = 0


_Work = Callable[[web.Request, FaultKind | None], Awaitable[_Answer]]


@attrs.define(kw_only=True, eq=False)
class Front:
    """Answers requests: checks the key and the allowance, then lets the account do the work."""

    account: Account
    allowance: Allowance
    faults: Faults
    api_key: str = attrs.field(repr=False)
    vendor: Vendor
    upload_status: int
    retry_after: float | None
    _in_progress: set[asyncio.Task[None]] = attrs.field(factory=set)

    def application(self) -> web.Application:
        """Build the application; a list's id may be in the path, or be a parameter as documented."""
        application = web.Application(client_max_size=0)  # lists have a limit of their own
        router = application.router
        for path in ("/v1/bulk", "/v1/bulk/{job_id}"):
            router.add_get(path, self._handler("status", self._status), allow_head=False)
            router.add_patch(path, self._handler("start", self._start))
            router.add_delete(path, self._handler("delete", self._delete))
        router.add_post("/v1/bulk", self._handler("upload", self._upload))
        router.add_post("/v1/download", self._handler("download", self._download))
        router.add_get("/v1/verify", self._handler("verify", self._verify), allow_head=False)
        router.add_get("/v1/info", self._handler("credits", self._credits), allow_head=False)
        return application

    def abandon(self) -> None:
        """Drop every request in progress."""
        for task in self._in_progress:
            task.cancel()

    def _handler(
        self, endpoint: Endpoint, work: _Work
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            self._in_progress.add(request.task)
            try:
                return await self._respond(endpoint, work, request)
            except ConnectionError:  # the client has left, which is nothing to log
                return _hang_up(request)
            finally:
                self._in_progress.discard(request.task)

        return handle

    async def _respond(
        self, endpoint: Endpoint, work: _Work, request: web.Request
    ) -> web.StreamResponse:
        self.account.ledger.requests[endpoint] += 1
        fault = self.faults.draw(endpoint, _job_id(request) or request.query.get("jobId"))
        if fault is None:
            return await self._deliver(request, await self._do(endpoint, work, request, None))
        kind = fault.kind
        self.account.ledger.faults[kind] += 1
        answer = _Answer()
        if kind in _AFTER:
            answer = await self._do(endpoint, work, request, kind)
        await _pass_time(fault)
        if kind in _INSTEAD:
            await request.release()
        elif kind not in _AFTER:
            answer = await self._do(endpoint, work, request, kind)
        if kind in _WITH_ANSWER:
            return _faulty_answer(fault)
        if kind in _WITHOUT_ANSWER:
            return _hang_up(request)
        return await self._deliver(request, answer, cut=kind is FaultKind.TRUNCATE)

    async def _do(
        self, endpoint: Endpoint, work: _Work, request: web.Request, kind: FaultKind | None
    ) -> _Answer:
        try:
            self._admit(endpoint, request)
            return await work(request, kind)
        except RefusedError as error:
            await request.release()
            return _Answer(status=error.refusal.status, body=error.refusal.body())

    def _admit(self, endpoint: Endpoint, request: web.Request) -> None:
        if request.query.get("apikey") != self.api_key:
            raise RefusedError(answers.INVALID_KEY)
        if not self.allowance.take(endpoint, self.account.clock.now()):
            self.account.ledger.throttled[endpoint] += 1
            raise RefusedError(answers.TOO_MANY_REQUESTS)

    async def _deliver(
        self, request: web.Request, answer: _Answer, *, cut: bool = False
    ) -> web.StreamResponse:
        if answer.chunks is None:
            response = web.json_response(
                answer.body,
                status=answer.status,
                reason="BadRequest" if answer.status == web.HTTPBadRequest.status_code else None,
            )
            if (
                answer.status == web.HTTPTooManyRequests.status_code
                and self.retry_after is not None
            ):
                response.headers["Retry-After"] = f"{self.retry_after:g}"
            return response
        if not cut and answer.rows <= ROWS_PER_CHUNK:
            return web.Response(
                body=b"".join(answer.chunks), content_type="text/csv", charset="utf-8"
            )
        stream = web.StreamResponse(headers={"Content-Type": "text/csv; charset=utf-8"})
        if cut:
            return await _send_half(request, stream, answer.chunks)
        await stream.prepare(request)
        for chunk in answer.chunks:
            if chunk:
                await stream.write(chunk)
            await asyncio.sleep(0)
        await stream.write_eof()
        return stream

    async def _upload(self, request: web.Request, _: FaultKind | None) -> _Answer:
        received = await receive(request)
        job = self.account.upload(
            received.addresses,
            auto_verify=received.auto_verify,
            filename=received.filename,
            title=received.title,
        )
        message = answers.UPLOADED_AUTO_VERIFY if received.auto_verify else answers.UPLOADED
        return _Answer(status=self.upload_status, body=acknowledgement(job.job_id, message))

    async def _status(self, request: web.Request, kind: FaultKind | None) -> _Answer:
        snapshot = self.account.status(_job_id(request), stale=kind is FaultKind.STALE)
        return _Answer(body=answers.status_answer(snapshot))

    async def _start(self, request: web.Request, _: FaultKind | None) -> _Answer:
        body = await _read_body(request, answers.INVALID_ACTION)
        if body.get("action") != "start":
            raise RefusedError(answers.INVALID_ACTION)
        job_id = _job_id(request)
        self.account.start(job_id)
        return _Answer(body=acknowledgement(job_id, answers.STARTED))

    async def _delete(self, request: web.Request, _: FaultKind | None) -> _Answer:
        job_id = _job_id(request)
        self.account.delete(job_id)
        return _Answer(body=acknowledgement(job_id, answers.DELETED))

    async def _download(self, request: web.Request, kind: FaultKind | None) -> _Answer:
        body = await _read_body(request, answers.INVALID_FILTER)
        wanted = _wanted(body.get("filterResult", list(Verdict)))
        job = self.account.download(request.query.get("jobId", ""))
        chunks = result_chunks(
            job,
            vendor=self.vendor,
            at=self.account.clock.at,
            wanted=wanted,
            share=0.5 if kind is FaultKind.TRUNCATE_CLEANLY else 1.0,
        )
        return _Answer(chunks=chunks, rows=job.total)

    async def _verify(self, request: web.Request, _: FaultKind | None) -> _Answer:
        return _Answer(body=self.account.verify(request.query.get("email", "")))

    async def _credits(self, _: web.Request, __: FaultKind | None) -> _Answer:
        self.account.settle()
        remaining = {"credits_remaining": self.account.credits}
        return _Answer(body={"success": True, "credits_info": remaining})


def _job_id(request: web.Request) -> str:
    return request.match_info.get("job_id") or request.query.get("job_id", "")


async def _read_body(request: web.Request, refusal: Refusal) -> Mapping[str, object]:
    try:
        return await read_json(request)
    except ValueError:
        raise RefusedError(refusal) from None


def _wanted(options: object) -> frozenset[Verdict]:
    if not isinstance(options, list) or not options:
        raise RefusedError(answers.INVALID_FILTER)
    try:
        return frozenset(Verdict(option) for option in options)
    except ValueError:
        raise RefusedError(answers.INVALID_FILTER) from None


async def _pass_time(fault: Fault) -> None:
    if fault.kind is FaultKind.HANG and not fault.delay:
        await asyncio.Event().wait()
    await asyncio.sleep(fault.delay)


def _faulty_answer(fault: Fault) -> web.Response:
    headers = CIMultiDict(fault.headers)
    headers.setdefault("Content-Type", "text/html; charset=utf-8")
    body = fault.body.encode() if isinstance(fault.body, str) else fault.body
    return web.Response(status=fault.status, body=body, headers=headers)


def _hang_up(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.close()
    return web.Response()  # which can no longer be sent


async def _send_half(
    request: web.Request, stream: web.StreamResponse, chunks: Iterator[bytes]
) -> web.StreamResponse:
    body = bytearray()
    for chunk in chunks:
        body += chunk
        await asyncio.sleep(0)
    await stream.prepare(request)
    await stream.write(bytes(body[: len(body) // 2]))
    _hang_up(request)
    return stream

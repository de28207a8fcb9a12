"""The service's face: from HTTP to the account and back, with the faults in between."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from email.utils import format_datetime
from typing import Final

import attrs
from aiohttp import web

from bulkverify.models import Verdict
from bulkverify.sandbox import answers
from bulkverify.sandbox.account import Account
from bulkverify.sandbox.allowance import Allowance
from bulkverify.sandbox.answers import Refusal, RefusedError, acknowledgement
from bulkverify.sandbox.counters import Miscounter
from bulkverify.sandbox.delivery import Answer, answer_of, deliver, hang_up
from bulkverify.sandbox.faults import Fault, FaultKind, Faults
from bulkverify.sandbox.intake import read_json, receive
from bulkverify.sandbox.ledger import Endpoint, Injected
from bulkverify.sandbox.results import Vendor, result_chunks

_INSTEAD: Final = frozenset({FaultKind.ANSWER, FaultKind.THROTTLE, FaultKind.DROP, FaultKind.HANG})
_AFTER: Final = frozenset({FaultKind.ANSWER_AFTER, FaultKind.DROP_AFTER})
_WITH_ANSWER: Final = frozenset({FaultKind.ANSWER, FaultKind.ANSWER_AFTER})
_WITHOUT_ANSWER: Final = frozenset({FaultKind.DROP, FaultKind.DROP_AFTER, FaultKind.HANG})


_Work = Callable[[web.Request, FaultKind | None], Awaitable[Answer]]


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
    miscounter: Miscounter = attrs.field(factory=Miscounter)
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
                return hang_up(request)
            finally:
                self._in_progress.discard(request.task)

        return handle

    async def _respond(
        self, endpoint: Endpoint, work: _Work, request: web.Request
    ) -> web.StreamResponse:
        job_id = _job_id(request) or request.query.get("jobId")
        self.account.ledger.note_request(endpoint, job_id)
        fault = self.faults.draw(
            endpoint,
            job_id,
            self.account.settle(),
            counts=lambda: job_id is not None and self.account.counts(job_id),
        )
        if fault is None:
            return await deliver(request, await self._do(endpoint, work, request, None))
        kind = fault.kind
        self._note(fault, endpoint, job_id)
        answer = Answer()
        if kind is FaultKind.CLOCK_JUMP:
            self.account.clock.skew = fault.jump
        if kind in _AFTER:
            answer = await self._do(endpoint, work, request, kind)
        if kind is not FaultKind.TRICKLE:
            await _pass_time(fault)
        if kind in _INSTEAD:
            await request.release()
        elif kind not in _AFTER:
            answer = await self._do(endpoint, work, request, kind)
        if kind is FaultKind.THROTTLE:
            self.account.ledger.note_throttled(endpoint, job_id)
            return await deliver(request, self._throttled(fault))
        if kind in _WITH_ANSWER:
            return answer_of(fault)
        if kind in _WITHOUT_ANSWER:
            return hang_up(request)
        return await deliver(request, answer, fault)

    def _note(self, fault: Fault, endpoint: Endpoint, job_id: str | None) -> None:
        clock = self.account.clock
        self.account.ledger.note_fault(
            Injected(
                kind=fault.kind,
                endpoint=endpoint,
                job_id=job_id or None,
                time=clock.at(clock.now()),
            )
        )

    def _throttled(self, fault: Fault) -> Answer:
        """Make the 429 of a storm."""
        headers = {}
        if fault.retry_after is not None and fault.retry_after_date:
            clock = self.account.clock
            now = clock.at(clock.now())
            again = now + timedelta(seconds=fault.retry_after)
            headers = {
                "Date": format_datetime(now, usegmt=True),
                "Retry-After": format_datetime(again, usegmt=True),
            }
        elif fault.retry_after is not None:
            headers = {"Retry-After": f"{fault.retry_after:g}"}
        refusal = answers.TOO_MANY_REQUESTS
        return Answer(status=refusal.status, body=refusal.body(), headers=headers)

    async def _do(
        self, endpoint: Endpoint, work: _Work, request: web.Request, kind: FaultKind | None
    ) -> Answer:
        try:
            self._admit(endpoint, request)
            return await work(request, kind)
        except RefusedError as error:
            await request.release()
            refusal = error.refusal
            pause = refusal is answers.TOO_MANY_REQUESTS and self.retry_after is not None
            headers = {"Retry-After": f"{self.retry_after:g}"} if pause else {}
            return Answer(status=refusal.status, body=refusal.body(), headers=headers)

    def _admit(self, endpoint: Endpoint, request: web.Request) -> None:
        if request.query.get("apikey") != self.api_key:
            raise RefusedError(answers.INVALID_KEY)
        if not self.allowance.take(endpoint, self.account.clock.now()):
            job_id = _job_id(request) or request.query.get("jobId")
            self.account.ledger.note_throttled(endpoint, job_id)
            raise RefusedError(answers.TOO_MANY_REQUESTS)

    async def _upload(self, request: web.Request, kind: FaultKind | None) -> Answer:
        received = await receive(request)
        job = self.account.upload(
            received.addresses,
            auto_verify=received.auto_verify,
            filename=received.filename,
            title=received.title,
            endless=kind is FaultKind.ENDLESS,
        )
        message = answers.UPLOADED_AUTO_VERIFY if received.auto_verify else answers.UPLOADED
        return Answer(status=self.upload_status, body=acknowledgement(job.job_id, message))

    async def _status(self, request: web.Request, kind: FaultKind | None) -> Answer:
        snapshot = self.account.status(_job_id(request), stale=kind is FaultKind.STALE)
        snapshot = self.miscounter.miscount(snapshot, kind)
        return Answer(body=answers.status_answer(snapshot))

    async def _start(self, request: web.Request, kind: FaultKind | None) -> Answer:
        body = await _read_body(request, answers.INVALID_ACTION)
        if body.get("action") != "start":
            raise RefusedError(answers.INVALID_ACTION)
        job_id = _job_id(request)
        self.account.start(job_id, endless=kind is FaultKind.ENDLESS)
        return Answer(body=acknowledgement(job_id, answers.STARTED))

    async def _delete(self, request: web.Request, _: FaultKind | None) -> Answer:
        job_id = _job_id(request)
        self.account.delete(job_id)
        return Answer(body=acknowledgement(job_id, answers.DELETED))

    async def _download(self, request: web.Request, kind: FaultKind | None) -> Answer:
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
        return Answer(chunks=chunks, rows=job.total)

    async def _verify(self, request: web.Request, _: FaultKind | None) -> Answer:
        return Answer(body=self.account.verify(request.query.get("email", "")))

    async def _credits(self, _: web.Request, __: FaultKind | None) -> Answer:
        self.account.settle()
        remaining = {"credits_remaining": self.account.credits}
        return Answer(body={"success": True, "credits_info": remaining})


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

"""The HTTP application: it passes requests to the account, and injects faults."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Final

import attrs
from aiohttp import web

from bulkverify.models import Verdict
from bulkverify.sandbox import answers
from bulkverify.sandbox.account import Account, Allowance
from bulkverify.sandbox.answers import Refusal, RefusedError, acknowledgement
from bulkverify.sandbox.delivery import Reply, Results, hang_up, refuse, retry_after, send
from bulkverify.sandbox.drawing import Faults
from bulkverify.sandbox.faults import TABLE, Exchange
from bulkverify.sandbox.intake import read_json, receive
from bulkverify.sandbox.ledger import Endpoint, Injected
from bulkverify.sandbox.vendors import Vendor

_Work = Callable[[web.Request], Awaitable[Reply]]


@attrs.define(kw_only=True, eq=False)
class Front:
    """Checks the key and the rate limit of a request, then calls the account."""

    account: Account
    allowance: Allowance
    faults: Faults
    api_key: str = attrs.field(repr=False)
    vendor: Vendor
    accept_all_column: bool
    upload_status: int
    retry_after: float | None
    _in_progress: set[asyncio.Task[None]] = attrs.field(factory=set)

    def application(self) -> web.Application:
        """Build the application. The job id is in the path or, as documented, in the query."""
        application = web.Application(client_max_size=0)  # lists have their own limit
        router = application.router
        for path in ("/v1/bulk", "/v1/bulk/{job_id}"):
            router.add_get(path, self._handler("status", self._status), allow_head=False)
            router.add_patch(path, self._handler("start", self._start))
            router.add_delete(path, self._handler("delete", self._delete))
        router.add_post("/v1/bulk", self._handler("upload", self._upload))
        router.add_post("/v1/download", self._handler("download", self._download))
        router.add_get("/v1/verify", self._handler("verify", self._verify), allow_head=False)
        router.add_options("/v1/verify", _preflight)
        router.add_get("/v1/info", self._handler("credits", self._credits), allow_head=False)
        application.on_response_prepare.append(_label)
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
            except ConnectionError:  # the client has disconnected
                return hang_up(request)
            finally:
                self._in_progress.discard(request.task)

        return handle

    async def _respond(
        self, endpoint: Endpoint, work: _Work, request: web.Request
    ) -> web.StreamResponse:
        account = self.account
        job_id = _job_id(request) or request.query.get("jobId") or None
        account.ledger.note_request(endpoint, job_id)
        do_work = partial(self._do, endpoint, job_id, work, request)
        fault = self.faults.draw(
            endpoint, job_id, account.settle(), verifying=partial(account.is_verifying, job_id)
        )
        if fault is None:
            return await send(request, await do_work())
        account.ledger.note_fault(
            Injected(kind=fault.kind, endpoint=endpoint, job_id=job_id, time=account.clock.date())
        )
        return await TABLE[fault.kind].effect(
            Exchange(
                request=request,
                fault=fault,
                endpoint=endpoint,
                job_id=job_id,
                account=account,
                work=do_work,
            )
        )

    async def _do(
        self, endpoint: Endpoint, job_id: str | None, work: _Work, request: web.Request
    ) -> Reply:
        try:
            if request.query.get("apikey") != self.api_key:
                reply = refuse(answers.worded(answers.INVALID_KEY, endpoint))
            elif self.allowance.take(endpoint, self.account.clock.now()):
                return await work(request)
            else:
                self.account.ledger.note_throttled(endpoint, job_id)
                refusal = answers.worded(answers.TOO_MANY_REQUESTS, endpoint)
                reply = refuse(refusal, retry_after(self.retry_after))
        except RefusedError as error:
            reply = refuse(answers.worded(error.refusal, endpoint))
        await request.release()
        return reply

    async def _upload(self, request: web.Request) -> Reply:
        received = await receive(request)
        job = self.account.upload(
            received.addresses,
            auto_verify=received.auto_verify,
            filename=received.filename,
            title=received.title,
        )
        message = answers.UPLOADED_AUTO_VERIFY if received.auto_verify else answers.UPLOADED
        return Reply(status=self.upload_status, body=acknowledgement(job.job_id, message))

    async def _status(self, request: web.Request) -> Reply:
        return Reply(body=answers.status_answer(self.account.status(_job_id(request))))

    async def _start(self, request: web.Request) -> Reply:
        body = await _read_body(request, answers.INVALID_ACTION)
        if body.get("action") != "start":
            raise RefusedError(answers.INVALID_ACTION)
        job_id = _job_id(request)
        self.account.start(job_id)
        return Reply(body=acknowledgement(job_id, answers.STARTED))

    async def _delete(self, request: web.Request) -> Reply:
        job_id = _job_id(request)
        self.account.delete(job_id)
        return Reply(body=acknowledgement(job_id, answers.DELETED))

    async def _download(self, request: web.Request) -> Reply:
        body = await _read_body(request, answers.INVALID_FILTER)
        wanted = _wanted(body.get("filterResult", list(_FILTERS)))
        job = self.account.download(request.query.get("jobId", ""))
        return Reply(
            results=Results(
                job=job,
                vendor=self.vendor,
                accept_all_column=self.accept_all_column,
                at=self.account.clock.at,
                wanted=wanted,
            )
        )

    async def _verify(self, request: web.Request) -> Reply:
        address = request.query.get("email", "")
        verdict, flags = self.account.verify(address)
        return Reply(body=answers.verdict_answer(address, verdict, flags, self.vendor))

    async def _credits(self, _: web.Request) -> Reply:
        self.account.settle()
        remaining = {"credits_remaining": self.account.credits}
        return Reply(body={"success": True, "credits_info": remaining})


async def _label(request: web.Request, response: web.StreamResponse) -> None:
    """Say that this is the sandbox, and let pages of any origin read the answers about single addresses."""
    response.headers["Server"] = "bulkverify"
    if request.path == "/v1/verify":
        response.headers.setdefault("Access-Control-Allow-Origin", "*")


async def _preflight(request: web.Request) -> web.Response:
    """Answer a browser that asks whether a page may send headers of its own."""
    headers = {"Access-Control-Allow-Methods": "GET"}
    if wanted := request.headers.get("Access-Control-Request-Headers"):
        headers["Access-Control-Allow-Headers"] = wanted
    return web.Response(status=204, headers=headers)


def _job_id(request: web.Request) -> str:
    return request.match_info.get("job_id") or request.query.get("job_id", "")


async def _read_body(request: web.Request, refusal: Refusal) -> Mapping[str, object]:
    try:
        return await read_json(request)
    except ValueError:
        raise RefusedError(refusal) from None


_FILTERS: Final = {verdict.name.lower(): verdict for verdict in Verdict}


def _wanted(options: object) -> frozenset[Verdict]:
    if not isinstance(options, list) or not options:
        raise RefusedError(answers.INVALID_FILTER)
    try:
        return frozenset(_FILTERS[option] for option in options)
    except (KeyError, TypeError):
        raise RefusedError(answers.INVALID_FILTER) from None

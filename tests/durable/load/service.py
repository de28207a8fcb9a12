"""The service in a process of its own: a sandbox for each account behind one URL, and its own books.

    python -m tests.durable.load.service '{"keys": {"acme": "key-of-acme"}}'

It prints its two ports as JSON. The second one is for the harness, and has no limits:

    GET /books      what happened in each account
    GET /truth      the results of all started lists, in the service's own words
    POST /inject    faults for all accounts, as a list of their fields
    POST /credits   the credits of accounts, by their names
    POST /away      stop serving for so many seconds
"""

import asyncio
import contextlib
import json
import sys
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from bulkverify.models import Verdict
from bulkverify.sandbox import Fault, Sandbox, Timings
from bulkverify.sandbox.delivery import Results
from tests.chaos.books import WatchfulLedger

REFUSED: Final = 400
LOST: Final = "drop_after"


class Account:
    """A sandbox, and the counts that it keeps none of."""

    def __init__(self, key: str, settings: Mapping[str, Any]) -> None:
        self.sandbox = Sandbox(api_key=key, **settings)
        self.front, self.account = self.sandbox._front, self.sandbox._account
        self.account.ledger = WatchfulLedger(clock=self.account.clock)
        self.routes = self.front.application().router
        self.refusals: Counter[str] = Counter()
        self.most_verifying = self.most_open = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        route = await self.routes.resolve(request)
        request._match_info = route  # as an application does
        answer = await route.handler(request)
        if answer.status >= REFUSED and isinstance(answer, web.Response):
            self.refusals[f"{request.method} {answer.status} {answer.text}"] += 1
        if request.method in {"PATCH", "POST"}:
            now = self.account.settle()
            self.most_verifying = max(self.most_verifying, self.account._count_active(now))
            self.most_open = max(self.most_open, len(self.account._open))
        return answer

    def books(self) -> dict[str, Any]:
        ledger = self.sandbox.ledger
        assert isinstance(ledger, WatchfulLedger)
        ended = {*ledger.starts, *ledger.deletes}
        lost = Counter(one.endpoint for one in ledger.injected if one.kind == LOST)
        return {
            "uploads": len(ledger.uploads),
            "starts": len(ledger.starts),
            "deletes": len(ledger.deletes),
            "unstarted": sum(one.job_id not in ended for one in ledger.uploads),
            "paid": len(ledger.paid),
            "paid_twice": len(ledger.paid_twice),
            "credits_spent": ledger.credits_spent,
            "credits": self.sandbox.credits,
            "requests": dict(ledger.requests),
            "most_a_minute": dict(ledger.most),
            "most_verifying": self.most_verifying,
            "most_open": self.most_open,
            "throttled": dict(ledger.throttled),
            "refusals": dict(self.refusals),
            "lost": dict(lost),
        }

    def truth(self) -> str:
        """Return the rows of all started lists, with their results."""
        chunks = b""
        for job_id in self.account.ledger.starts:
            results = Results(
                job=self.account.job(job_id),
                vendor="bouncify",
                accept_all_column=False,
                at=self.account.clock.at,
                wanted=[*Verdict],
            )
            chunks += b"".join(results.chunks())
        return chunks.decode()


class Service:
    """All accounts behind one URL: the key of a request decides which."""

    def __init__(self, keys: Mapping[str, str], **settings: Any) -> None:  # noqa: ANN401 - of the sandbox
        timings = Timings(**settings.pop("timings", {}))
        self.names = {key: name for name, key in keys.items()}
        self.accounts = {
            name: Account(key, {"timings": timings, **settings}) for name, key in keys.items()
        }
        self.runner: web.AppRunner | None = None
        self.port = 0

    async def serve(self) -> None:
        application = web.Application(client_max_size=0)
        application.router.add_route("*", "/{path:.*}", self._answer)
        self.runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self.runner.setup()
        await web.TCPSite(self.runner, "0.0.0.0", self.port, backlog=1024).start()  # noqa: S104 - also for other network namespaces
        self.port = self.runner.addresses[0][1]

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        name = self.names.get(request.query.get("apikey", ""))
        if name is None:
            return web.json_response({"result": "Invalid API Key", "success": False}, status=401)
        return await self.accounts[name].answer(request)

    async def leave(self, seconds: float) -> None:
        assert self.runner is not None
        for account in self.accounts.values():
            account.front.abandon()
        await self.runner.cleanup()
        await asyncio.sleep(seconds)
        await self.serve()

    # --- for the harness

    async def control(self) -> int:
        application = web.Application()
        application.router.add_get("/books", self._books)
        application.router.add_get("/truth", self._truth)
        application.router.add_post("/inject", self._inject)
        application.router.add_post("/credits", self._credits)
        application.router.add_post("/away", self._away)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port: int = runner.addresses[0][1]
        return port

    async def _books(self, _: web.Request) -> web.Response:
        found = {name: account.books() for name, account in self.accounts.items()}
        return web.json_response(found)

    async def _truth(self, _: web.Request) -> web.Response:
        return web.Response(text="".join(one.truth() for one in self.accounts.values()))

    async def _inject(self, request: web.Request) -> web.Response:
        for fields in await request.json():
            for account in self.accounts.values():
                account.sandbox.inject(Fault(**fields))
        return web.Response()

    async def _credits(self, request: web.Request) -> web.Response:
        for name, value in (await request.json()).items():
            self.accounts[name].sandbox.credits = value
        return web.Response()

    async def _away(self, request: web.Request) -> web.Response:
        self.leaving = asyncio.create_task(self.leave(float(await request.text())))
        return web.Response()


async def main(settings: dict[str, Any]) -> None:
    service = Service(settings.pop("keys"), **settings)
    loop = asyncio.get_running_loop()
    for account in service.accounts.values():
        account.account.clock.run(loop.time)
    await service.serve()
    ports = {"port": service.port, "control": await service.control()}
    sys.stdout.write(f"{json.dumps(ports)}\n")
    sys.stdout.flush()
    # stdin ends when the harness is done or dead.
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(json.loads(sys.argv[1])))

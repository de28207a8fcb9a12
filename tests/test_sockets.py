"""The real client on real sockets: many at once, faults, deadlines, and nothing left behind."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from tenacity import wait_fixed, wait_none

from bulkverify import (
    Client,
    ClientClosedError,
    ConnectionFailedError,
    IncompleteDownloadError,
    Job,
    JobCancelledError,
    JobFailedError,
    JobNotFoundError,
    NotReadyError,
    RateLimitedError,
    RequestTimeoutError,
    ServerError,
    UnexpectedRedirectError,
    UnreadableAnswerError,
    UsageError,
    Verdict,
    WaitTimeoutError,
    verify_list,
    wait_until,
    watch,
)
from bulkverify.sandbox import FaultKind, Sandbox
from tests.served import ADDRESSES, FAST, completed, fault, served, uploaded

pytestmark = pytest.mark.asyncio

PROMPT_SECONDS = 15.0
"""Much less than a call or wait takes that does not end by itself, also on a busy machine."""


def open_sockets() -> int:
    """Count this process's sockets; the loop has some of its own."""
    found = 0
    for link in list(Path("/proc/self/fd").iterdir()):
        with suppress(FileNotFoundError):  # the descriptor of this listing is closed by now
            found += str(link.readlink()).startswith("socket:")
    return found


async def test_fifty_lists_at_once_each_get_their_own_verdicts() -> None:
    before = open_sockets()
    async with served(speed=200) as (sandbox, client):

        async def whole_job(number: int) -> None:
            addresses = [f"deliverable+{number}.{n}@example.com" for n in range(number + 1)]
            job = await client.upload(addresses, title=f"list {number}")
            ready = await wait_until(job, "ready", wait=wait_fixed(0.05))
            assert ready.job_id == job.id
            assert ready.total == number + 1
            await job.start()
            snapshots = [s async for s in watch(job, wait=wait_fixed(0.05))]
            assert {s.job_id for s in snapshots} == {job.id}
            assert snapshots[-1].status == "completed"
            assert snapshots[-1].verified == number + 1
            assert [row.email async for row in job.rows()] == addresses

        await asyncio.gather(*(whole_job(number) for number in range(50)))
        total = sum(range(1, 51))
        assert sandbox.ledger.credits_spent == total
        assert len(sandbox.ledger.paid) == total
        assert set(sandbox.ledger.paid.values()) == {1}
    assert asyncio.all_tasks() == {asyncio.current_task()}
    await asyncio.sleep(0)
    assert open_sockets() <= before


FAULTS = [
    pytest.param(FaultKind.ANSWER, {"status": 502}, id="502"),
    pytest.param(FaultKind.ANSWER, {"status": 200}, id="a page"),
    pytest.param(FaultKind.ANSWER, {"status": 403}, id="a firewall's page"),
    pytest.param(FaultKind.DROP, {}, id="dropped"),
    pytest.param(
        FaultKind.ANSWER,
        {"status": 429, "body": b'{"success":"false","result":"Too Many Requests"}'},
        id="429",
    ),
    pytest.param(
        FaultKind.ANSWER, {"status": 429, "headers": {"Retry-After": "0"}}, id="429 with a pause"
    ),
    pytest.param(FaultKind.STALE, {}, id="stale"),
]


@pytest.mark.parametrize(("kind", "options"), FAULTS)
async def test_a_wait_survives_temporary_faults(
    kind: FaultKind, options: dict[str, object]
) -> None:
    async with served() as (sandbox, client):
        job = await uploaded(client)
        await job.start()
        sandbox.inject(fault("status", kind, times=5, **options))
        snapshot = await wait_until(job, "completed", timeout=20, wait=wait_fixed(0.01))
        assert snapshot.verified == len(ADDRESSES)
        assert sandbox.ledger.faults[kind] == 5


@pytest.mark.parametrize("end", ["cancelled", "failed"])
async def test_a_bad_end_is_raised_by_the_poll_that_shows_it(end: str) -> None:
    async with served(speed=0) as (sandbox, client):
        job = await client.upload(ADDRESSES)
        sandbox.advance(60)
        await job.start()
        sandbox.advance(5)
        wait = asyncio.create_task(wait_until(job, "completed", wait=wait_fixed(0.01)))
        async with aclosing(watch(job)) as changes:
            await anext(changes)
        (sandbox.cancel if end == "cancelled" else sandbox.fail)(job.id)
        with pytest.raises(JobCancelledError if end == "cancelled" else JobFailedError):
            await wait


async def test_another_process_can_wait_right_after_an_upload() -> None:
    async with served() as (sandbox, client):
        uploaded = await client.upload(ADDRESSES)
        lagging = {"status": 400, "body": '{"success": false, "result": "Job not found"}'}
        sandbox.inject(fault("status", FaultKind.ANSWER, times=3, **lagging))
        async with Client(sandbox.api_key, base_url=sandbox.url) as another:
            wait = wait_until(another.job(uploaded.id), "ready", wait=wait_fixed(0.01))
            assert (await wait).status == "ready"
        assert sandbox.ledger.requests["status"] >= 4


async def test_a_list_that_was_deleted_here_is_not_waited_for() -> None:
    async with served() as (sandbox, client):
        job = await completed(client)
        await job.delete()
        with pytest.raises(JobNotFoundError):
            await wait_until(Job(client, job.id), "completed")
        assert sandbox.ledger.requests["status"]


@pytest.mark.parametrize("hang", [False, True], ids=["answering", "hanging"])
async def test_a_timeout_comes_on_time_and_leaves_nothing_open(*, hang: bool) -> None:
    async with served(speed=0) as (sandbox, client):
        job = await client.upload(ADDRESSES)
        if hang:
            sandbox.inject(fault("status", FaultKind.HANG, times=None))
        began = time.monotonic()
        with pytest.raises(WaitTimeoutError) as caught:
            await wait_until(job, "ready", timeout=0.3, wait=wait_fixed(0.02))
        assert 0.3 <= time.monotonic() - began < 0.3 + PROMPT_SECONDS
        assert (caught.value.snapshot is None) is hang
        polls = sandbox.ledger.requests["status"]
        await asyncio.sleep(0.1)
        assert sandbox.ledger.requests["status"] == polls


@pytest.mark.parametrize("hang", [False, True], ids=["between polls", "during a poll"])
async def test_a_cancelled_wait_returns_on_time_and_leaves_nothing_open(*, hang: bool) -> None:
    async with served(speed=0) as (sandbox, client):
        job = await client.upload(ADDRESSES)
        if hang:
            sandbox.inject(fault("status", FaultKind.HANG, times=None))
        before = asyncio.all_tasks()
        task = asyncio.create_task(wait_until(job, "ready", wait=wait_fixed(60)))
        while not sandbox.ledger.requests["status"]:  # noqa: ASYNC110 - the sandbox has no event
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.02)
        began = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert time.monotonic() - began < PROMPT_SECONDS
        left = {t for t in asyncio.all_tasks() - before if "bulkverify poll" in t.get_name()}
        assert not left


@pytest.mark.parametrize(
    "call",
    ["status", "download", "rows", "upload", "verify", "start", "delete", "credits"],
)
async def test_every_call_can_be_cancelled_at_once(call: str, tmp_path: Path) -> None:
    async with served() as (sandbox, client):
        job = await completed(client)
        endpoint = {"rows": "download"}.get(call, call)
        sandbox.inject(fault(endpoint, FaultKind.HANG, times=None))

        async def read_rows() -> None:
            async for _ in job.rows():
                pass

        calls = {
            "status": job.status,
            "download": lambda: job.download(tmp_path / "out.csv"),
            "rows": read_rows,
            "upload": lambda: client.upload(ADDRESSES),
            "verify": lambda: client.verify("a@example.com"),
            "start": job.start,
            "delete": job.delete,
            "credits": client.credits,
        }
        arrived = sandbox.ledger.requests[endpoint]
        task = asyncio.ensure_future(calls[call]())
        while sandbox.ledger.requests[endpoint] == arrived:  # noqa: ASYNC110 - no event for it
            await asyncio.sleep(0.001)
        began = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert time.monotonic() - began < PROMPT_SECONDS
        assert list(tmp_path.iterdir()) == []


async def test_idempotent_calls_are_repeated_until_they_succeed(tmp_path: Path) -> None:
    async with served() as (sandbox, client):
        job = await completed(client)
        for endpoint in ("status", "credits", "download"):
            sandbox.inject(fault(endpoint, FaultKind.ANSWER, status=503))
            sandbox.inject(fault(endpoint, FaultKind.DROP))
            sandbox.inject(fault(endpoint, FaultKind.ANSWER, status=429))
        assert (await job.status()).ended
        assert (await client.credits()).remaining == sandbox.credits
        assert await job.download(tmp_path / "out.csv") == len(ADDRESSES)


async def test_idempotent_calls_give_up_after_the_last_attempt() -> None:
    async with served(attempts=3) as (sandbox, client):
        sandbox.inject(fault("credits", FaultKind.ANSWER, times=None))
        with pytest.raises(ServerError) as caught:
            await client.credits()
        assert caught.value.status == 502
        assert sandbox.ledger.requests["credits"] == 3


async def test_each_attempt_is_one_request() -> None:
    # aiohttp itself repeats a GET when its connection breaks, past the budget.
    async with served(attempts=1) as (sandbox, client):
        sandbox.inject(fault("credits", FaultKind.DROP, times=None))
        with pytest.raises(ConnectionFailedError):
            await client.credits()
        assert sandbox.ledger.requests["credits"] == 1


async def test_a_pause_that_is_too_long_is_an_error_at_once() -> None:
    async with served() as (sandbox, client):
        sandbox.inject(
            fault("credits", FaultKind.ANSWER, status=429, headers={"Retry-After": "86400"})
        )
        with pytest.raises(RateLimitedError) as caught:
            await client.credits()
        assert caught.value.retry_after == 86400
        assert sandbox.ledger.requests["credits"] == 1


@pytest.mark.parametrize("kind", [FaultKind.TRUNCATE, FaultKind.TRUNCATE_CLEANLY])
async def test_a_download_that_is_cut_off_is_repeated(kind: FaultKind, tmp_path: Path) -> None:
    addresses = [f"deliverable+{n}@example.com" for n in range(1000)]
    async with served() as (sandbox, client):
        job = await completed(client, addresses)
        sandbox.inject(fault("download", kind, times=2))
        assert await job.download(tmp_path / "out.csv") == 1000
        assert sandbox.ledger.faults[kind] == 2
        assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        (FaultKind.TRUNCATE, ConnectionFailedError),
        (FaultKind.TRUNCATE_CLEANLY, IncompleteDownloadError),
    ],
)
async def test_a_download_that_stays_cut_off_is_an_error_and_leaves_no_file(
    kind: FaultKind, error: type[Exception], tmp_path: Path
) -> None:
    target = tmp_path / "out.csv"
    target.write_text("what was here before")
    async with served() as (sandbox, client):
        job = await completed(client, [f"deliverable+{n}@example.com" for n in range(1000)])
        sandbox.inject(fault("download", kind, times=None))
        with pytest.raises(error):
            await job.download(target)
        with pytest.raises(error):
            async for _ in job.rows():
                pass
    assert target.read_text() == "what was here before"
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]


async def test_rows_are_typed_and_complete() -> None:
    async with served() as (_, client):
        job = await completed(client)
        rows = [row async for row in job.rows()]
        assert [row.email for row in rows] == ADDRESSES
        assert [row.verdict for row in rows] == ["deliverable", "undeliverable", "unknown"]
        chosen = [row.email async for row in job.rows(verdicts=[Verdict.UNKNOWN, "deliverable"])]
        assert chosen == [ADDRESSES[0], ADDRESSES[2]]


async def test_results_before_the_end_are_refused(tmp_path: Path) -> None:
    async with served(speed=0) as (sandbox, client):
        job = await client.upload(ADDRESSES)
        for seconds, text in ((0, "being prepared"), (60, "is ready for verification")):
            sandbox.advance(seconds)
            with pytest.raises(NotReadyError, match=text):
                await job.download(tmp_path / "out.csv")
        with pytest.raises(NotReadyError):
            await anext(job.rows())
        assert list(tmp_path.iterdir()) == []


async def test_the_callers_session_is_used_and_stays_open() -> None:
    async with Sandbox(speed=2000) as sandbox, aiohttp.ClientSession() as session:
        async with Client(sandbox.api_key, base_url=sandbox.url, session=session) as client:
            await client.credits()
        assert not session.closed
        await session.close()
        async with Client(sandbox.api_key, base_url=sandbox.url, session=session) as client:
            with pytest.raises(ClientClosedError):
                await client.credits()


async def test_a_session_that_raises_for_status_changes_nothing() -> None:
    async with (
        Sandbox() as sandbox,
        aiohttp.ClientSession(raise_for_status=True) as session,
        Client("wrong key", base_url=sandbox.url, session=session) as client,
    ):
        with pytest.raises(Exception, match="401 Invalid API key") as caught:
            await client.credits()
        assert type(caught.value).__name__ == "AuthenticationError"


async def test_a_closed_client_refuses_calls() -> None:
    async with served() as (_, client):
        job = await client.upload(ADDRESSES)
        await client.close()
        with pytest.raises(ClientClosedError, match="async with Client"):
            await client.credits()
        with pytest.raises(ClientClosedError):
            await wait_until(job, "ready")


async def test_a_run_over_a_bad_connection_pays_once(tmp_path: Path) -> None:
    source = tmp_path / "list.csv"
    source.write_text("email\n" + "".join(f"deliverable+{n}@example.com\n" for n in range(500)))
    async with served() as (sandbox, client):
        for endpoint in ("status", "credits", "download"):
            sandbox.inject(fault(endpoint, FaultKind.ANSWER, times=2))
        sandbox.inject(fault("start", FaultKind.DROP_AFTER))
        sandbox.inject(fault("download", FaultKind.TRUNCATE))
        report = await verify_list(client, source, tmp_path / "out.csv", wait=FAST)
        assert report.verdicts.deliverable == 500
        assert sandbox.ledger.credits_spent == 500
        assert len(sandbox.ledger.uploads) == len(sandbox.ledger.starts) == 1


@pytest_asyncio.fixture
async def odd_server() -> AsyncIterator[str]:
    """Serve answers that no service should give, each at its own path."""

    async def redirect(_: web.Request) -> web.Response:
        raise web.HTTPTemporaryRedirect("https://elsewhere.example/steal")

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        try:
            for _ in range(10_000):
                await response.write(b" " * 65536)
        except ConnectionResetError:
            pass
        return response

    async def trickle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/csv"})
        await response.prepare(request)
        for piece in (b"<", b"htm", b"l>busy</html>"):
            await response.write(piece)
            await asyncio.sleep(0.02)
        return response

    async def bomb(_: web.Request) -> web.Response:
        import gzip  # noqa: PLC0415 - only here

        body = gzip.compress(b" " * (200 * 1024 * 1024), 1)
        return web.Response(body=body, headers={"Content-Encoding": "gzip"})

    app = web.Application()
    for name, handler in (
        ("redirect", redirect),
        ("endless", endless),
        ("bomb", bomb),
        ("trickle", trickle),
    ):
        app.router.add_route("*", f"/{name}/{{rest:.*}}", handler)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    yield f"http://127.0.0.1:{port}"
    await runner.cleanup()


async def test_a_redirect_is_not_followed(odd_server: str) -> None:
    async with Client("key", base_url=f"{odd_server}/redirect") as client:
        with pytest.raises(UnexpectedRedirectError, match="was not followed") as caught:
            await client.credits()
        assert caught.value.status == 307
        with pytest.raises(UnexpectedRedirectError):
            await client.upload(ADDRESSES)


async def test_a_trickling_page_is_not_taken_for_results(odd_server: str, tmp_path: Path) -> None:
    async with Client("key", base_url=f"{odd_server}/trickle", attempts=1) as client:
        with pytest.raises(UnreadableAnswerError):
            await client.download("job1", tmp_path / "out.csv", verdicts=["unknown"])
    assert list(tmp_path.iterdir()) == []


async def test_an_address_with_half_a_character_is_refused() -> None:
    async with Client("key") as client:
        with pytest.raises(UsageError, match="half of a surrogate pair"):
            await client.verify("\ud800@example.com")


@pytest.mark.parametrize("path", ["endless", "bomb"])
async def test_an_endless_answer_is_not_read(odd_server: str, path: str) -> None:
    async with Client("key", base_url=f"{odd_server}/{path}", attempts=1) as client:
        with pytest.raises(UnreadableAnswerError, match="was not read"):
            await client.credits()


async def test_a_request_to_a_hanging_server_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "bulkverify.service.sessions._ORDINARY_TIMEOUT", aiohttp.ClientTimeout(total=0.2)
    )
    async with served() as (sandbox, client):
        sandbox.inject(fault("credits", FaultKind.HANG, times=None))
        with pytest.raises(RequestTimeoutError):
            await client.credits()


async def test_a_hanging_poll_is_repeated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bulkverify.waiting.scheduler.ORDINARY_SECONDS", 0.2)
    async with served() as (sandbox, client):
        job = await client.upload(ADDRESSES)
        sandbox.inject(fault("status", FaultKind.HANG))
        snapshot = await wait_until(job, "ready", wait=wait_none())
        assert snapshot.status == "ready"
        assert sandbox.ledger.faults[FaultKind.HANG] == 1


async def test_an_answer_other_than_http_is_an_error() -> None:
    async def babble(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example.com ESMTP\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with Client("key", base_url=f"http://127.0.0.1:{port}", backoff=wait_none()) as client:
        with pytest.raises(UnreadableAnswerError, match="is not valid HTTP"):
            await client.credits()
    server.close()
    await server.wait_closed()

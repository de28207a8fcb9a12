import asyncio
import logging
from datetime import UTC, datetime
from urllib.parse import urlsplit

import aiohttp
import pytest

from bulkverify.models import parse_timestamp
from bulkverify.sandbox import Fault, FaultKind, Sandbox

from .caller import Caller, Serve

pytestmark = pytest.mark.asyncio


async def test_it_can_be_started_and_closed_by_hand() -> None:
    sandbox = await Sandbox().start()
    assert sandbox.url.startswith("http://127.0.0.1:")
    assert sandbox.url.endswith("/v1")
    assert sandbox.api_key == "sandbox"
    await sandbox.close()
    await sandbox.close()


async def test_its_url_is_that_of_the_running_server() -> None:
    sandbox = Sandbox()
    with pytest.raises(RuntimeError, match="not been started"):
        _ = sandbox.url
    async with sandbox:
        assert sandbox.url
        with pytest.raises(RuntimeError, match="already serving"):
            await sandbox.start()
    with pytest.raises(RuntimeError, match="was closed"):
        _ = sandbox.url


async def test_it_listens_on_the_given_host_and_port() -> None:
    async with Sandbox(host="::1") as sandbox:
        assert sandbox.url.startswith("http://[::1]:")
        port = urlsplit(sandbox.url).port
        assert port is not None
        with pytest.raises(OSError, match="address"):
            await Sandbox(host="::1", port=port).start()


async def test_it_keeps_its_lists_over_an_outage(caller: Caller) -> None:
    job_id = await caller.upload("a@example.com\n")
    await caller.sandbox.close()
    caller.sandbox.advance(2.5)
    await caller.sandbox.start()
    assert (await caller.status(job_id))["status"] == "ready"


async def test_its_clock_follows_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    sandbox = Sandbox(speed=60)
    loop = asyncio.get_running_loop()
    moments = [loop.time()]
    monkeypatch.setattr(loop, "time", lambda: moments[-1])
    await sandbox.start()
    assert sandbox._account.clock.now() == 0
    moments.append(moments[-1] + 2)
    assert sandbox._account.clock.now() == pytest.approx(120)
    monkeypatch.undo()
    await sandbox.close()


async def test_its_clock_begins_now_by_default() -> None:
    async with Sandbox() as sandbox, aiohttp.ClientSession() as session:
        caller = Caller(sandbox, session)
        found = await caller.status(await caller.upload("a@example.com\n"))
    age = datetime.now(UTC) - parse_timestamp(found["created_at"])
    assert abs(age.total_seconds()) < 60


async def test_pages_of_any_origin_may_read_the_answers_about_single_addresses(
    caller: Caller,
) -> None:
    origin = {"Origin": "https://shop.example"}
    for params in ({"email": "deliverable@example.com"}, {"email": "x"}, {"apikey": "wrong"}):
        answer = await caller.ask("GET", "/verify", params, headers=origin)
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
    other = await caller.ask("GET", "/info", headers=origin)
    assert "Access-Control-Allow-Origin" not in other.headers


async def test_a_browser_may_ask_first_whether_a_page_may_send_headers(caller: Caller) -> None:
    asked = {
        "Origin": "https://shop.example",
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "content-type",
    }
    answer = await caller.ask("OPTIONS", "/verify", headers=asked)
    assert (answer.status, answer.content) == (204, b"")
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.headers["Access-Control-Allow-Methods"] == "GET"
    assert answer.headers["Access-Control-Allow-Headers"] == "content-type"
    assert caller.sandbox.ledger.requests == {}


async def test_an_unknown_vendor_is_refused() -> None:
    with pytest.raises(ValueError, match="'acme' is not a vendor; use bouncify or validto"):
        Sandbox(vendor="acme")  # type: ignore[arg-type]


async def test_it_closes_at_once_with_requests_in_progress() -> None:
    loop = asyncio.get_running_loop()
    async with Sandbox() as sandbox, aiohttp.ClientSession() as session:
        session._retry_connection = False
        caller = Caller(sandbox, session)
        await caller.ask("GET", "/info")  # leaves an idle connection
        sandbox.inject(Fault(kind=FaultKind.HANG, times=3))
        sandbox.inject(Fault(kind=FaultKind.DELAY, delay=60, times=3))
        requests = [asyncio.ensure_future(caller.ask("GET", "/info")) for _ in range(6)]
        reading = asyncio.ensure_future(caller.send_file("a@example.com\n" * 300_000))
        await caller.until_asked("credits", 7)
        await caller.until_asked("upload")
        begin = loop.time()
        await sandbox.close()
        assert loop.time() - begin < 30  # the delays go on for longer
        results = await asyncio.gather(*requests, reading, return_exceptions=True)
        assert {type(result) for result in results} <= {
            aiohttp.ServerDisconnectedError,
            aiohttp.ClientOSError,
        }
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_client_that_leaves_in_the_middle_of_an_upload_leaves_no_trace(
    caller: Caller,
) -> None:
    address = urlsplit(caller.sandbox.url)
    for _ in range(2):
        _, writer = await asyncio.open_connection(address.hostname, address.port)
        writer.write(
            b"POST /v1/bulk?apikey=sandbox HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n"
            b"Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\n"
            b'Content-Disposition: form-data; name="local_file"; filename="a.csv"\r\n\r\na@x.com\n'
        )
        await writer.drain()
        writer.close()
        await writer.wait_closed()
    await caller.until_asked("upload", 2)
    assert (await caller.ask("GET", "/info")).status == 200
    assert caller.sandbox.ledger.uploads == []


async def test_a_client_that_leaves_in_the_middle_of_a_download_leaves_no_trace(
    caller: Caller,
) -> None:
    job_id = await caller.bring("a@example.com\n" * 50_000, "completed")
    for _ in range(2):
        async with caller.session.post(
            caller.sandbox.url + "/download", params={"apikey": "sandbox", "jobId": job_id}
        ) as response:
            await response.content.readany()
            response.close()
    assert (await caller.ask("GET", "/info")).status == 200


async def test_nothing_logs_the_key(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    caller = await serve(api_key="s3cret")
    with caplog.at_level(logging.DEBUG):
        await caller.bring("a@example.com\n", "completed")
        caller.sandbox.inject(Fault(kind=FaultKind.DROP))
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await caller.ask("GET", "/info")
        await caller.ask("GET", "/nowhere")
        await caller.sandbox.close()
    assert "s3cret" not in caplog.text
    caplog.clear()

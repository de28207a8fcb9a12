"""Time jumps, and never past work in progress."""

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web

from bulkverify import Client, RequestTimeoutError, wait_until
from bulkverify.sandbox import Fault, FaultKind, Sandbox, Timings
from bulkverify.testing import VirtualClock, virtual_clock

pytestmark = pytest.mark.asyncio

HOURS = 3600.0


@pytest_asyncio.fixture
async def clock() -> AsyncIterator[VirtualClock]:
    with virtual_clock() as clock:
        yield clock


@pytest_asyncio.fixture
async def sandbox(clock: VirtualClock) -> AsyncIterator[Sandbox]:
    async with Sandbox(timings=Timings(verifying=6 * HOURS)) as sandbox:
        assert clock.skipped == 0
        yield sandbox


@pytest_asyncio.fixture
async def client(sandbox: Sandbox) -> AsyncIterator[Client]:
    async with Client(sandbox.api_key, base_url=sandbox.url, attempts=1) as client:
        yield client


async def test_sleeping_takes_no_time(clock: VirtualClock) -> None:
    loop, begin = asyncio.get_running_loop(), clock.now
    await asyncio.gather(asyncio.sleep(5 * HOURS), asyncio.sleep(30 * HOURS))
    assert loop.time() - begin == pytest.approx(30 * HOURS)
    assert clock.skipped == pytest.approx(30 * HOURS)


async def test_timers_fire_in_order(clock: VirtualClock) -> None:
    order = []

    async def note(seconds: float) -> None:
        await asyncio.sleep(seconds)
        order.append((seconds, round(clock.now - begin, 3)))

    begin = clock.now
    await asyncio.gather(*map(note, (300, 0.5, 20, 1000)))
    assert order == [(0.5, 0.5), (20, 20), (300, 300), (1000, 1000)]


async def test_time_stands_still_while_there_is_work(clock: VirtualClock) -> None:
    begin = clock.now
    for _ in range(100):
        await asyncio.sleep(0)
    assert clock.now == begin


async def test_six_hours_of_verification_take_no_time(
    sandbox: Sandbox, client: Client, clock: VirtualClock
) -> None:
    begin = clock.now
    job = await client.upload(["deliverable@example.com"] * 100)
    await wait_until(job, "ready")
    await job.start()
    await wait_until(job, "completed", timeout=7 * HOURS)
    assert [row.verdict async for row in job.rows()] == ["deliverable"] * 100
    assert clock.now - begin > 6 * HOURS
    assert clock.skipped > 6 * HOURS - 60
    assert sandbox.ledger.job(job.id).polls > 10


async def test_a_request_is_never_overtaken(sandbox: Sandbox, clock: VirtualClock) -> None:
    # A jump would go to the next timer, which is that of the request.
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session:
        for _ in range(50):
            async with session.get(f"{sandbox.url}/info?apikey=sandbox") as response:
                assert response.status == 200
    assert clock.skipped == 0


async def test_a_large_upload_and_its_download_are_not_overtaken(
    sandbox: Sandbox, client: Client, clock: VirtualClock
) -> None:
    async with asyncio.timeout(HOURS):
        job = await client.upload([f"a{number}@example.com" for number in range(100_000)])
    await wait_until(job, "ready")
    await job.start()
    await wait_until(job, "completed", timeout=None)
    begin = clock.now
    assert len([row async for row in job.rows()]) == 100_000
    assert clock.now - begin < 10
    assert sandbox.ledger.downloads == [job.id]


async def test_an_answer_that_is_late_on_purpose_takes_its_time(
    sandbox: Sandbox, client: Client, clock: VirtualClock
) -> None:
    begin = clock.now
    sandbox.inject(Fault(kind=FaultKind.DELAY, delay=70))
    await client.credits()
    assert clock.now - begin == pytest.approx(70, abs=0.5)
    sandbox.inject(Fault(kind=FaultKind.HANG))
    with pytest.raises(RequestTimeoutError):
        await client.credits()
    assert clock.now - begin == pytest.approx(145, abs=2)


async def test_a_thread_is_waited_for(clock: VirtualClock) -> None:
    async with asyncio.timeout(10):
        await asyncio.to_thread(time.sleep, 0.05)
    assert clock.skipped == 0


async def test_a_name_is_looked_up_in_a_thread(sandbox: Sandbox, clock: VirtualClock) -> None:
    by_name = sandbox.url.replace("127.0.0.1", "localhost")
    async with Client(sandbox.api_key, base_url=by_name) as client:
        assert (await client.credits()).remaining == 1_000_000
    assert clock.skipped < 60


async def test_another_thread_can_wake_the_loop(clock: VirtualClock) -> None:
    loop, event = asyncio.get_running_loop(), asyncio.Event()
    thread = threading.Timer(0.05, lambda: loop.call_soon_threadsafe(event.set))
    thread.start()
    await event.wait()  # without any timer there is nothing to jump to
    thread.join()
    assert clock.skipped == 0


async def test_another_process_may_take_a_moment(
    clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Long enough for a busy machine: a jump would come first otherwise.
    monkeypatch.setattr("bulkverify.testing.clock._FOREIGN_SECONDS", 60.0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                time.sleep(0.005)
                connection.sendall(b"here")

        thread = threading.Thread(target=answer)
        thread.start()
        async with asyncio.timeout(10):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            assert await reader.read() == b"here"
        writer.close()
        await writer.wait_closed()
        thread.join()
    assert clock.skipped == 0


async def test_the_clock_jumps_over_another_process_that_takes_longer(clock: VirtualClock) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.getsockname()[1])
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(HOURS):
                await reader.read()
        writer.close()
        await writer.wait_closed()
    assert clock.skipped == pytest.approx(HOURS, abs=1)


async def test_a_reader_that_pauses_does_not_hold_up_the_clock(clock: VirtualClock) -> None:
    async def flood(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(200):
            await response.write(b"x" * 65536)
        return response

    app = web.Application()
    app.router.add_get("/", flood)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as session,
        session.get(f"http://127.0.0.1:{runner.addresses[0][1]}/") as response,
    ):
        await asyncio.sleep(30 * HOURS)  # the pipe is full, and not read
        assert clock.skipped >= 30 * HOURS - 1
        assert len(await response.read()) == 200 * 65536
    await runner.cleanup()


def ahead() -> tuple[float, float]:
    """Return bounds for how far the loop's time is ahead of the machine's."""
    before = time.monotonic()
    now = asyncio.get_running_loop().time()
    return now - time.monotonic(), now - before


async def test_real_time_passes_afterwards_and_never_goes_back() -> None:
    loop = asyncio.get_running_loop()
    with virtual_clock() as clock:
        await asyncio.sleep(HOURS)
    begin = loop.time()
    assert begin >= clock.now
    low, high = ahead()
    await asyncio.sleep(0.02)
    lower, higher = ahead()
    assert max(low, lower) <= min(high, higher)
    with virtual_clock() as again:
        assert again.now >= begin
        await asyncio.sleep(HOURS)


async def test_a_loop_has_one_virtual_clock() -> None:
    with virtual_clock(), pytest.raises(RuntimeError, match="already virtual"), virtual_clock():
        pass


async def test_another_kind_of_loop_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Other(asyncio.AbstractEventLoop):
        pass

    monkeypatch.setattr(asyncio, "get_running_loop", Other)
    with pytest.raises(TypeError, match="virtual=False, speed=600"), virtual_clock():
        pass

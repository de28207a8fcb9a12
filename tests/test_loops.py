"""A client serves one event loop, and sends nothing once it is closed."""

import asyncio
import gc
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import aiohttp
import pytest
from tenacity import wait_none

from bulkverify import (
    Client,
    ClientClosedError,
    Job,
    UsageError,
    as_completed,
    verify_list,
    wait_all,
    wait_until,
    watch,
)
from tests.test_keyless import assert_keyless, texts_of
from tests.wire import CREDITS, UPLOADED, Arrived, http, never, wire

KEY = "s3cr3t-Key/with+odd&chars=äöü"
READY = b'{"success": true, "job_id": "job1", "status": "ready", "total": 1}'

Use = Callable[[Client, Path], Awaitable[object]]


async def watched(job: Job) -> None:
    async for _ in watch(job):
        pass


async def all_completed(job: Job) -> None:
    async for _ in as_completed([job]):
        pass


async def all_rows(job: Job) -> None:
    async for _ in job.rows():
        pass


USES: dict[str, Use] = {
    "credits": lambda client, _: client.credits(),
    "upload": lambda client, _: client.upload(["a@example.com"]),
    "start": lambda client, _: client.start("job1"),
    "status": lambda client, _: client.status("job1"),
    "verify": lambda client, _: client.verify("a@example.com"),
    "download": lambda client, folder: client.download("job1", folder / "out.csv"),
    "rows": lambda client, _: all_rows(client.job("job1")),
    "delete": lambda client, _: client.delete("job1"),
    "wait": lambda client, _: wait_until(client.job("job1"), timeout=1),
    "wait for all": lambda client, _: wait_all([client.job("job1")], timeout=1),
    "as completed": lambda client, _: all_completed(client.job("job1")),
    "watch": lambda client, _: watched(client.job("job1")),
    "enter": lambda client, _: client.__aenter__(),
    "run": lambda client, folder: verify_list(client, ["a@example.com"] * 2, folder / "v.csv"),
}


class Elsewhere:
    """A loop in its own thread, for the server and sometimes a client."""

    def __enter__(self) -> Self:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()
        return self

    def run(self, awaitable: Awaitable[Any]) -> Any:  # noqa: ANN401 - its result
        async def wait() -> Any:  # noqa: ANN401 - likewise
            return await awaitable

        return asyncio.run_coroutine_threadsafe(wait(), self.loop).result(30)

    def __exit__(self, *_: object) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("first", ["over", "alive", "entered"])
def test_a_client_in_a_second_loop_is_refused_before_any_request(
    use: str, first: str, tmp_path: Path
) -> None:
    with Elsewhere() as elsewhere:
        serving = wire()
        url, arrived = elsewhere.run(serving.__aenter__())
        client = Client(KEY, base_url=url)
        if first == "alive":
            elsewhere.run(client.credits())
        elif first == "entered":
            elsewhere.run(client.__aenter__())
        else:
            asyncio.run(client.credits())
        sent = len(arrived)

        async def second() -> None:
            with pytest.raises(
                UsageError, match=r"A client works in one loop only: open it with"
            ) as caught:
                await USES[use](client, tmp_path)
            assert_keyless(texts_of(caught.value))
            await client.close()

        asyncio.run(second())
        assert len(arrived) == sent
        assert client._transport._sessions.closed
        if first != "entered":
            assert client._transport._sessions._kept.closed  # type: ignore[union-attr]
        elsewhere.run(client.close())
        elsewhere.run(serving.__aexit__(None, None, None))
    gc.collect()  # the sockets of the closed loop are collected here, with their warnings


def test_a_session_of_another_loop_is_refused_before_any_request() -> None:
    with Elsewhere() as elsewhere:
        serving = wire()
        url, arrived = elsewhere.run(serving.__aenter__())

        async def session() -> aiohttp.ClientSession:
            return aiohttp.ClientSession()

        given = elsewhere.run(session())

        async def use() -> None:
            async with (
                aiohttp.ClientSession() as own,
                Client(KEY, base_url=url, session=own) as good,
            ):
                await good.credits()
            with pytest.raises(UsageError, match="The session of this client belongs to another"):
                await Client(KEY, base_url=url, session=given).credits()

        asyncio.run(use())
        assert len(arrived) == 1
        elsewhere.run(given.close())
        elsewhere.run(serving.__aexit__(None, None, None))


def test_a_client_made_outside_a_loop_belongs_to_the_first_that_uses_it() -> None:
    async def use() -> None:
        async with wire() as (url, arrived):
            client._transport._authority = url.removeprefix("http://")
            for _ in range(3):
                await client.credits()
            await client.close()
            assert len(arrived) == 3

    client = Client(KEY, base_url="http://127.0.0.1:1")
    asyncio.run(use())
    with pytest.raises(ClientClosedError, match="closed"):
        asyncio.run(_close_and_ask())


def test_a_client_closed_after_its_loop_has_ended_leaves_no_connection_open() -> None:
    async def use() -> Client:
        async def respond(arrived: Arrived) -> bytes:
            return http(UPLOADED if arrived.method == "POST" else CREDITS)

        async with wire(respond) as (url, _):
            client = Client(KEY, base_url=url)
            await client.credits()
            await client.upload(["a@example.com"])
            return client

    client = asyncio.run(use())
    sessions = client._transport._sessions
    connectors = [one.connector for one in (sessions._kept, sessions._fresh) if one is not None]
    asyncio.run(client.close())
    assert [one is not None and one.closed for one in connectors] == [True, True]


async def _close_and_ask() -> None:
    client = Client(KEY)
    await client.close()
    await client.credits()


@pytest.mark.asyncio
@pytest.mark.parametrize("cancels", [1, 2, 3])
async def test_a_cancelled_close_still_closes(cancels: int) -> None:
    async def respond(arrived: Arrived) -> bytes | None:
        if "/job1" not in arrived.target:
            await never(arrived)
        return http(READY)

    async with wire(respond) as (url, arrived):
        client = Client(KEY, base_url=url, requests_per_minute=None)
        waits = [
            asyncio.ensure_future(wait_until(client.job(f"job{n}"), wait=wait_none()))
            for n in (1, 2, 3)
        ]
        await client.status("job1")
        while len({one.target for one in arrived}) < 3:  # noqa: ASYNC110 - the server has no event
            await asyncio.sleep(0.001)
        closing = asyncio.ensure_future(client.close())
        for _ in range(cancels):
            await asyncio.sleep(0)
            closing.cancel()
        with suppress(asyncio.CancelledError):
            await closing
        sent = len(arrived)
        for call in (client.credits, lambda: client.upload(["a@example.com"])):
            with pytest.raises(ClientClosedError):
                await call()
        await asyncio.sleep(0.05)
        assert len(arrived) == sent
        assert client._transport._sessions._kept.closed  # type: ignore[union-attr]
        await client.close()
        for outcome in await asyncio.gather(*waits, return_exceptions=True):
            assert isinstance(outcome, ClientClosedError)


@pytest.mark.asyncio
async def test_a_call_pausing_between_attempts_sends_nothing_after_the_close() -> None:
    async def respond(_: Arrived) -> bytes:
        return http(b"busy", 503)

    async with wire(respond) as (url, arrived):
        client = Client(KEY, base_url=url, backoff=wait_none())
        task = asyncio.ensure_future(client.credits())
        while not arrived:  # noqa: ASYNC110 - the server has no event
            await asyncio.sleep(0)
        await client.close()
        with pytest.raises(ClientClosedError):
            await task
        assert len(arrived) < 4

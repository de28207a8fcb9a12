"""The key is only on the wire: sessions, middlewares, tracers and tracebacks don't show it."""

import asyncio
import functools
import gc
import traceback
import types
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, quote_plus, urlsplit

import aiohttp
import pytest
from tenacity import wait_none

from bulkverify import (
    BulkVerifyError,
    Client,
    ConnectionFailedError,
    TransportError,
    UnreadableAnswerError,
    UploadUncertainError,
    UsageError,
    verify_list,
)
from bulkverify.service.key import Secret
from tests.wire import CREDITS, UPLOADED, Arrived, Respond, http, never, wire

KEY = "s3cr3t-Key/with+odd&chars=äöü"
SPELLINGS = (KEY, quote(KEY), quote(KEY, safe=""), quote_plus(KEY), KEY[1:-1], "s3cr3t")
PARTS = ("uploads.csv", "rows.bin", "run.json")


def reachable(value: object, depth: int, known: set[int]) -> Iterator[str]:
    """Yield the texts of a value and of all values within a number of steps."""
    if id(value) in known or isinstance(value, Secret):  # it may hold the key
        return
    known.add(id(value))
    if isinstance(value, str | bytes):
        yield str(value)
        return
    if isinstance(value, types.ModuleType | type | asyncio.AbstractEventLoop | asyncio.Task):
        return
    yield repr(value)
    for part in parts_of(value) if depth else ():
        yield from reachable(part, depth - 1, known)


def parts_of(value: object) -> list[object]:
    """Return the values that a value refers to directly."""
    if isinstance(value, dict):
        return [*value.keys(), *value.values()]
    if isinstance(value, list | tuple | set | frozenset):
        return list(value)
    if isinstance(value, functools.partial):
        return [value.func, *value.args, *value.keywords.values()]
    if isinstance(value, types.FunctionType):
        return gc.get_referents(*value.__closure__ or ())
    if isinstance(value, types.MethodType):
        return [value.__self__]
    slots = [name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())]
    return [*getattr(value, "__dict__", {}).values()] + [
        getattr(value, name, None) for name in slots
    ]


def texts_of(error: BaseException) -> str:
    """Return the texts of an error, its chain, and the locals of all frames except the tests'."""
    shown: list[str] = []
    pending: list[BaseException] = [error]
    known: set[int] = set()
    while pending:
        current = pending.pop()
        if id(current) in known:
            continue
        known.add(id(current))
        shown += [str(current), repr(current), repr(vars(current))]
        for frame, _ in traceback.walk_tb(current.__traceback__):
            if "/tests/" in frame.f_code.co_filename:
                continue
            shown.append(frame.f_code.co_qualname)
            for value in frame.f_locals.values():
                shown += reachable(value, 4, set())
        pending += [one for one in (current.__cause__, current.__context__) if one is not None]
        pending += [one for one in vars(current).values() if isinstance(one, BaseException)]
    return "\n".join(shown)


def assert_keyless(text: str) -> None:
    for spelling in SPELLINGS:
        assert spelling not in text


def calls_of(client: Client, folder: Path) -> dict[str, Callable[[], Awaitable[object]]]:
    job = client.job("job1")
    source = folder / "list.csv"
    source.write_text("email\na@example.com\nb@example.com\n")

    async def rows() -> None:
        async for _ in job.rows():
            pass

    return {
        "status": job.status,
        "credits": client.credits,
        "upload": lambda: client.upload(["a@example.com"]),
        "upload a file": lambda: client.upload(source),
        "start": job.start,
        "download": lambda: job.download(folder / "out.csv", verdicts=["unknown"]),
        "rows": rows,
        "verify": lambda: client.verify("a@example.com"),
        "delete": job.delete,
        "verify_list": lambda: verify_list(client, source, folder / "verified.csv"),
    }


CALLS = [
    "status",
    "credits",
    "upload",
    "upload a file",
    "start",
    "download",
    "rows",
    "verify",
    "delete",
    "verify_list",
]


async def refuse(_: Arrived) -> bytes:
    return http(b'{"success": false, "result": "Invalid API Key"}', 401)


async def begin_and_hang(_: Arrived) -> bytes | None:
    return http(CREDITS).replace(b"Content-Length: ", b"Content-Length: 9")


@pytest.mark.asyncio
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    "how", ["timed out", "cancelled", "half an answer", "refused", "no server"]
)
async def test_no_frame_of_an_interrupted_call_shows_the_key(
    call: str, how: str, tmp_path: Path
) -> None:
    asyncio.get_running_loop().set_debug(True)
    respond: Respond = {"refused": refuse, "half an answer": begin_and_hang}.get(how, never)
    async with wire(respond) as (url, arrived):
        base_url = "http://127.0.0.1:9" if how == "no server" else url
        async with Client(KEY, base_url=base_url, attempts=1, backoff=wait_none()) as client:
            task = asyncio.ensure_future(calls_of(client, tmp_path)[call]())
            caught: BaseException | None = None
            try:
                if how in {"timed out", "half an answer"}:
                    async with asyncio.timeout(0.3):
                        await task
                else:
                    if how == "cancelled":
                        while not arrived:  # noqa: ASYNC110 - the server has no event
                            await asyncio.sleep(0.001)
                        task.cancel()
                    async with asyncio.timeout(0.3 if call == "verify_list" else 30):
                        await task
            except BaseException as error:  # noqa: BLE001 - any error is examined
                caught = error
            assert caught is not None
            assert_keyless(texts_of(caught))
            if arrived:
                assert parse_qs(urlsplit(arrived[0].target).query)["apikey"] == [KEY]


@pytest.mark.asyncio
async def test_no_tracer_sees_the_key() -> None:
    told: list[tuple[str, Any]] = []

    def listen(name: str) -> Any:  # noqa: ANN401 - one of aiohttp's signals
        async def hear(_: object, __: object, params: object) -> None:
            told.append((name, params))
            told.extend((name, text) for text in reachable(params, 3, set()))

        return hear

    tracing = aiohttp.TraceConfig()
    names = [name for name in dir(tracing) if name.startswith("on_")]
    for name in names:
        getattr(tracing, name).append(listen(name))

    async def respond(arrived: Arrived) -> bytes | None:
        if arrived.method == "POST":
            return http(UPLOADED)
        if arrived.method == "DELETE":
            return None
        if arrived.method == "PATCH":
            return http(b"", 302, headers=f"Location: http://x.example{arrived.target}\r\n")
        return http(CREDITS)

    async with (
        wire(respond) as (url, arrived),
        aiohttp.ClientSession(trace_configs=[tracing]) as session,
        Client(KEY, base_url=url, session=session, attempts=1) as client,
    ):
        await client.credits()
        await client.upload(["a@example.com"] * 5000)
        for call in (client.job("job1").delete, client.job("job1").start):
            with pytest.raises(BulkVerifyError):
                await call()
    assert all("apikey=" in one.target for one in arrived)
    heard = {name for name, _ in told}
    assert heard >= {
        "on_request_start",
        "on_request_headers_sent",
        "on_request_chunk_sent",
        "on_request_end",
        "on_request_exception",
    }
    assert_keyless("\n".join(str(what) for _, what in told))


@pytest.mark.asyncio
async def test_the_callers_middlewares_run_and_do_not_see_the_key() -> None:
    seen: list[object] = []

    async def sign(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        request.headers["X-Proxy-Token"] = "mine"
        seen.append(request)
        try:
            response = await handler(request)
        except aiohttp.ClientError as error:
            seen.append(error)
            raise
        seen.append(response)
        seen.append(response.request_info)
        return response

    async def again(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        try:
            return await handler(request)
        except aiohttp.ClientError as error:
            seen.append(error)
            return await handler(request)

    async def respond(arrived: Arrived) -> bytes | None:
        return http(CREDITS) if arrived.connection > 1 else None

    async with (
        wire(respond) as (url, arrived),
        aiohttp.ClientSession(middlewares=[sign, again]) as session,
        Client(KEY, base_url=url, session=session, attempts=1) as client,
    ):
        assert (await client.credits()).remaining == 100
        shown = [text for one in seen for text in reachable(one, 4, set())]
    assert len(arrived) == 2
    assert all(b"X-Proxy-Token: mine" in one.head for one in arrived)
    assert all(one.target.count("apikey=") == 1 for one in arrived)
    assert_keyless("\n".join(shown))
    assert len(seen) == 4


@pytest.mark.asyncio
async def test_an_answer_other_than_http_that_repeats_the_url_shows_no_middleware_the_key() -> None:
    seen: list[aiohttp.ClientResponseError] = []

    async def look(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        try:
            return await handler(request)
        except aiohttp.ClientResponseError as error:
            seen.append(error)
            raise

    async def respond(arrived: Arrived) -> bytes:
        return f"NO {arrived.target}\r\n\r\n".encode()

    async with (
        wire(respond) as (url, _),
        aiohttp.ClientSession(middlewares=[look]) as session,
        Client(KEY, base_url=url, session=session, attempts=1) as client,
    ):
        with pytest.raises(UnreadableAnswerError):
            await client.credits()
    [error] = seen
    assert "/info" in error.message
    assert_keyless(error.message)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "answer", [None, http(b"broken", 500), http(b"busy", 503)], ids=["dropped", "500", "503"]
)
async def test_no_middleware_repeats_an_upload_with_a_lost_answer(
    answer: bytes | None,
) -> None:
    async def stubborn(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        try:
            response = await handler(request)
            if response.status < 500:
                return response
        except aiohttp.ClientError:
            pass
        return await handler(request)

    async def respond(_: Arrived) -> bytes | None:
        return answer

    async with (
        wire(respond) as (url, arrived),
        aiohttp.ClientSession(middlewares=[stubborn]) as session,
        Client(KEY, base_url=url, session=session, backoff=wait_none()) as client,
    ):
        with pytest.raises(UploadUncertainError, match="was kept from sending it again"):
            await client.upload(["a@example.com"])
    assert len(arrived) == 1


@pytest.mark.asyncio
async def test_a_middleware_may_repeat_a_refused_request() -> None:
    async def login(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        response = await handler(request)
        if response.status != 407:
            return response
        request.headers["X-Login"] = "me"
        return await handler(request)

    async def respond(arrived: Arrived) -> bytes:
        return http(UPLOADED) if b"X-Login" in arrived.head else http(b"", 407)

    async with (
        wire(respond) as (url, arrived),
        aiohttp.ClientSession(middlewares=[login]) as session,
        Client(KEY, base_url=url, session=session) as client,
    ):
        assert (await client.upload(["a@example.com"])).id == "job1"
    assert len(arrived) == 2
    assert arrived[0].body == arrived[1].body


@pytest.mark.asyncio
async def test_the_key_reaches_the_service_through_a_proxy() -> None:
    async with (
        wire() as (proxy, arrived),
        aiohttp.ClientSession(proxy=proxy) as session,
        Client(KEY, base_url="http://api.localhost/v1", session=session) as client,
    ):
        await client.credits()
    assert arrived[0].target == f"http://api.localhost/v1/info?apikey={quote_plus(KEY)}"


@pytest.mark.asyncio
async def test_a_refusing_proxy_gets_no_key_and_its_error_shows_none() -> None:
    async def respond(_: Arrived) -> bytes:
        return http(b"", 403)

    errors: list[BaseException] = []

    async def listen(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        try:
            return await handler(request)
        except BaseException as error:
            errors.append(error)
            raise

    async with (
        wire(respond) as (proxy, arrived),
        aiohttp.ClientSession(proxy=proxy, middlewares=[listen]) as session,
        Client(KEY, base_url="https://api.example", session=session, attempts=1) as client,
    ):
        with pytest.raises(ConnectionFailedError, match="Nothing was sent") as caught:
            await client.upload(["a@example.com"])
        assert not caught.value.sent
        assert isinstance(errors[0], aiohttp.ClientHttpProxyError)
        assert_keyless(texts_of(errors[0]) + texts_of(caught.value))
    assert [(one.method, one.target) for one in arrived] == [("CONNECT", "api.example:443")]
    assert b"apikey" not in arrived[0].head


@pytest.mark.parametrize(
    "options",
    [
        {"attempts": 0},
        {"requests_per_minute": 0},
        {"base_url": "api.example"},
        {"base_url": f"https://api.example/?apikey={KEY}"},
        {"base_url": "http://api.example"},
        {"base_url": "https://a..b.com"},
        {"base_url": f"https://{'a' * 64}.com"},
    ],
    ids=lambda options: str(next(iter(options.items())))[:30],
)
def test_a_client_that_refuses_its_arguments_shows_no_key(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as caught:
        Client(KEY, **options)
    shown = texts_of(caught.value)
    assert "Client.__init__" in shown
    assert "<Client of no service>" in shown or "<Client of http" in shown
    assert_keyless(shown)


def test_a_key_of_bytes_is_refused_and_not_shown() -> None:
    with pytest.raises(UsageError, match="decode") as caught:
        Client(KEY.encode())  # type: ignore[arg-type]
    assert_keyless(texts_of(caught.value))


def test_a_key_other_than_utf_8_is_refused_and_not_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BULKVERIFY_API_KEY", f"{KEY}\udcff")
    for given in (f"{KEY}\udcff", None):
        with pytest.raises(UsageError, match="not UTF-8") as caught:
            Client(given)
        assert_keyless(texts_of(caught.value))


@pytest.mark.asyncio
async def test_a_foreign_error_of_the_look_up_is_translated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bulkverify.client.check_base_url", lambda url, **_: url)
    async with Client(KEY, base_url="https://a..b.com", attempts=1) as client:
        for call in (client.credits, lambda: client.upload(["a@example.com"])):
            with pytest.raises(TransportError, match="Unicode") as caught:
                await call()
            assert_keyless(texts_of(caught.value))


@pytest.mark.asyncio
async def test_a_connection_that_takes_too_long_shows_no_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "bulkverify.service.sessions._ORDINARY_TIMEOUT", aiohttp.ClientTimeout(sock_connect=0.01)
    )

    async def connect(*_: object) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", connect)
    errors: list[BaseException] = []
    tracing = aiohttp.TraceConfig()

    async def listen(_: object, __: object, params: aiohttp.TraceRequestExceptionParams) -> None:
        errors.append(params.exception)

    tracing.on_request_exception.append(listen)
    async with (
        aiohttp.ClientSession(trace_configs=[tracing]) as session,
        Client(KEY, base_url="http://127.0.0.1:9", session=session, attempts=1) as client,
    ):
        with pytest.raises(TransportError, match="nothing was sent") as caught:
            await client.credits()
        assert isinstance(errors[0], aiohttp.ConnectionTimeoutError)
        assert "apikey=***" in str(errors[0])
        assert_keyless(texts_of(errors[0]) + texts_of(caught.value))

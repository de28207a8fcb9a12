"""No error, chain, traceback, log or repr shows the key."""

import asyncio
import copy
import inspect
import io
import json
import logging
import pickle
import ssl
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus, urlencode

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from tenacity import wait_none

from bulkverify import BulkVerifyError, Client, TransportError, UsageError, wait_until, watch
from bulkverify.sandbox import FaultKind
from bulkverify.service.key import Secret
from bulkverify.service.translation import translate
from tests.served import ADDRESSES, fault, served

KEY = "s3cr3t-Key/with+odd&chars=äöü"
SPELLINGS = (KEY, quote(KEY), quote(KEY, safe=""), quote_plus(KEY))


def texts_of(error: BaseException) -> str:
    """Return the texts of an error: its chain, locals and attributes."""
    parts: list[str] = []
    pending: list[BaseException] = [error]
    known: set[int] = set()
    while pending:
        current = pending.pop()
        if id(current) in known:
            continue
        known.add(id(current))
        parts += [str(current), repr(current), repr(current.args), repr(vars(current))]
        parts += traceback.TracebackException.from_exception(current, capture_locals=True).format()
        parts += traceback.format_exception(current)
        pending += [e for e in (current.__cause__, current.__context__) if e is not None]
        pending += [v for v in vars(current).values() if isinstance(v, BaseException)]
    # The test's own frames may hold the key.
    return "\n".join(line for line in "\n".join(parts).split("\n") if "KEY" not in line)


def assert_secret(text: str) -> None:
    for spelling in SPELLINGS:
        assert spelling not in text


@pytest.fixture
def logged() -> Any:  # noqa: ANN401 - a generator fixture
    """Gather the records of every logger at DEBUG."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    quiet = [logging.getLogger(name) for name in ("asyncio", "aiohttp", "bulkverify")]
    for logger in quiet:
        logger.setLevel(logging.DEBUG)
    yield stream
    root.removeHandler(handler)
    root.setLevel(level)
    for logger in quiet:
        logger.setLevel(logging.NOTSET)


@pytest_asyncio.fixture
async def hostile() -> AsyncIterator[str]:
    """Serve answers that echo the whole request with its key; the path gives the status."""

    async def echo(request: web.Request) -> web.StreamResponse:
        kind = request.match_info["kind"]
        said = f"{request.method} {request.raw_path} {request.query['apikey']}"
        if kind == "drop":
            assert request.transport is not None
            request.transport.abort()
        if kind == "json":
            return web.json_response({"success": False, "result": said}, status=400)
        if kind == "id":
            return web.json_response({"success": True, "job_id": said, "status": said})
        if kind == "redirect":
            return web.Response(status=302, headers={"Location": str(request.url)})
        if kind == "cut":
            response = web.StreamResponse(headers={"Content-Type": "text/csv"})
            response.content_length = 10_000
            await response.prepare(request)
            await response.write(b'"Email","Verification Result"\n')
            assert request.transport is not None
            request.transport.abort()
            return response
        return web.Response(text=f"<html>{said}</html>", status=int(kind))

    app = web.Application()
    app.router.add_route("*", "/{kind}/{rest:.*}", echo)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


def calls_of(client: Client, folder: Path) -> dict[str, Callable[[], Awaitable[object]]]:
    job = client.job("job1")

    async def rows() -> None:
        async for _ in job.rows():
            pass

    async def changes() -> None:
        async for _ in watch(job, timeout=0):
            pass

    return {
        "upload": lambda: client.upload(ADDRESSES),
        "upload a file": lambda: client.upload(b"email\na@example.com\n"),
        "status": job.status,
        "start": job.start,
        "download": lambda: job.download(folder / "out.csv"),
        "rows": rows,
        "delete": job.delete,
        "verify": lambda: client.verify("a@example.com"),
        "credits": client.credits,
        "wait": lambda: wait_until(job, timeout=0),
        "watch": changes,
    }


CALLS = list(calls_of(Client("any"), Path()))
KINDS = ["401", "402", "403", "404", "429", "500", "502", "200", "json", "id", "redirect"]


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", [*KINDS, "drop", "cut"])
@pytest.mark.parametrize("call", CALLS)
async def test_no_error_of_any_call_shows_the_key(
    hostile: str, kind: str, call: str, tmp_path: Path, logged: io.StringIO
) -> None:
    asyncio.get_running_loop().set_debug(True)
    async with Client(KEY, base_url=f"{hostile}/{kind}", attempts=2, backoff=wait_none()) as client:
        with pytest.raises(BulkVerifyError) as caught:
            await calls_of(client, tmp_path)[call]()
        said = texts_of(caught.value)
        assert_secret(said + repr(client) + logged.getvalue())
        assert_secret(texts_of(pickle.loads(pickle.dumps(caught.value))))  # noqa: S301 - ours
        assert_secret(repr(copy.copy(caught.value)))
        assert not any(part.startswith("aiohttp") for part in chain_modules(caught.value))


@pytest.mark.asyncio
async def test_a_success_that_echoes_the_url_does_not_show_the_key(
    tmp_path: Path, logged: io.StringIO
) -> None:
    echo = {"success": True, "job_id": "job1", "status": "ready", "message": f"see ?apikey={KEY}"}
    async with (
        served() as (sandbox, _),
        Client(KEY, base_url=sandbox.url, requests_per_minute=None) as client,
    ):
        for endpoint in ("status", "start", "delete", "verify"):
            answer = echo | ({"result": "unknown"} if endpoint == "verify" else {})
            sandbox.inject(
                fault(endpoint, FaultKind.ANSWER, status=200, times=None, body=json.dumps(answer))
            )
        calls = calls_of(client, tmp_path)
        told = [await calls[name]() for name in ("status", "start", "delete", "verify")]
        told.append(await wait_until(client.job("job1"), "ready", timeout=0))
        assert "?apikey=***" in repr(told)
        assert_secret(repr(told) + logged.getvalue())
        assert_secret(repr(pickle.loads(pickle.dumps(told))))  # noqa: S301 - ours


def chain_modules(error: BaseException | None) -> list[str]:
    modules = []
    while error is not None:
        modules.append(type(error).__module__)
        error = error.__cause__ or error.__context__
    return modules


@pytest.mark.asyncio
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("base_url", ["http://127.0.0.1:9", "https://nowhere.invalid/v1"])
async def test_no_failure_to_connect_shows_the_key(
    call: str, base_url: str, tmp_path: Path, logged: io.StringIO
) -> None:
    async with Client(KEY, base_url=base_url, attempts=2, backoff=wait_none()) as client:
        with pytest.raises(BulkVerifyError) as caught:
            await calls_of(client, tmp_path)[call]()
        assert_secret(texts_of(caught.value) + logged.getvalue())


@pytest.mark.asyncio
async def test_a_whole_run_logs_and_shows_no_key(logged: io.StringIO, tmp_path: Path) -> None:
    asyncio.get_running_loop().set_debug(True)
    async with served() as (sandbox, _):
        sandbox.inject(fault("status", FaultKind.ANSWER, times=2))
        sandbox.inject(fault("start", FaultKind.DROP_AFTER))
        async with Client(
            sandbox.api_key,
            base_url=sandbox.url,
            backoff=wait_none(),
            requests_per_minute=None,
        ) as client:
            job = await client.upload(ADDRESSES)
            ready = await wait_until(job, "ready", wait=wait_none())
            acknowledgement = await job.start()
            done = await wait_until(job, "completed", wait=wait_none())
            await job.download(tmp_path / "out.csv")
            shown = "".join(map(repr, (client, job, ready, done, acknowledgement)))
            transport = client._transport
            shown += repr(vars(transport)) + repr(vars(client))
        said = logged.getvalue()
        assert f"job {job.id} is ready" in said
        assert f"apikey={sandbox.api_key}" not in said + shown
        assert "apikey" not in said + shown


def foreign_errors() -> list[BaseException]:
    """Make one of every exception of aiohttp and the system, each with the key in its text."""
    url = f"https://api.example/v1/info?apikey={KEY}"
    info = aiohttp.RequestInfo(url, "GET", {}, url)  # type: ignore[arg-type]
    key = aiohttp.client_reqrep.ConnectionKey("host", 443, True, True, None, None, None)  # noqa: FBT003 - positional there
    system = OSError(111, f"refused {url}")
    made: dict[type[BaseException], BaseException] = {
        aiohttp.ClientResponseError: aiohttp.ClientResponseError(info, (), message=url),
        aiohttp.ServerFingerprintMismatch: aiohttp.ServerFingerprintMismatch(b"a", b"b", url, 1),
        aiohttp.ClientConnectorCertificateError: aiohttp.ClientConnectorCertificateError(
            key, ssl.SSLCertVerificationError(1, url)
        ),
    }
    for kind in vars(aiohttp.client_exceptions).values():
        if not (inspect.isclass(kind) and issubclass(kind, aiohttp.ClientError)) or kind in made:
            continue
        if issubclass(kind, aiohttp.client_exceptions.UnixClientConnectorError):
            made[kind] = kind(url, key, system)
        elif issubclass(kind, aiohttp.ClientConnectorError):
            made[kind] = kind(key, system)
        elif issubclass(kind, aiohttp.ClientResponseError):
            made[kind] = kind(info, (), message=url)
        elif issubclass(kind, aiohttp.InvalidURL):
            made[kind] = kind(url, "bad")
        else:
            made[kind] = kind(url)
    return [*made.values(), TimeoutError(url), system, ConnectionResetError(104, url)]


@pytest.mark.parametrize("error", foreign_errors(), ids=lambda error: type(error).__name__)
def test_every_foreign_error_is_translated_without_the_key(error: BaseException) -> None:
    ours = translate(error, endpoint="status")
    assert isinstance(ours, TransportError)
    assert ours.__cause__ is ours.__context__ is None
    text = f"{ours} {vars(ours)}"
    if not isinstance(error, OSError) or not error.strerror:
        assert_secret(text)


@pytest.mark.parametrize(
    ("error", "sent"),
    [
        (aiohttp.ConnectionTimeoutError("x"), False),
        (aiohttp.ServerFingerprintMismatch(b"", b"", "h", 1), False),
        (aiohttp.SocketTimeoutError("x"), True),
        (aiohttp.ServerDisconnectedError("x"), True),
        (aiohttp.ClientOSError(104, "reset"), True),
        (aiohttp.ClientPayloadError("x"), True),
        (TimeoutError("x"), True),
        (ConnectionResetError(104, "reset"), True),
    ],
    ids=lambda value: type(value).__name__,
)
def test_only_a_request_that_provably_never_left_counts_as_unsent(
    error: BaseException, *, sent: bool
) -> None:
    assert getattr(translate(error, endpoint="upload"), "sent") is sent  # noqa: B009 - on two classes


def test_a_secret_shows_asterisks() -> None:
    secret = Secret(KEY)
    assert f"{secret} {secret!r} {[secret]}" == "*** *** [***]"
    assert_secret(secret.redact(" ".join(SPELLINGS)))
    assert secret.query == f"apikey={quote_plus(KEY)}"


@pytest.mark.parametrize("key", ["", "   ", None])
def test_a_missing_key_is_an_error(key: str | None) -> None:
    with pytest.raises(UsageError, match="BULKVERIFY_API_KEY"):
        Client(key)


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BULKVERIFY_API_KEY", f" {KEY}\n")
    monkeypatch.setenv("BULKVERIFY_BASE_URL", "https://api.validto.com/v1/")
    client = Client()
    assert repr(client) == "<Client of https://api.validto.com/v1>"
    assert client._transport._secret.query == urlencode({"apikey": KEY})


@pytest.mark.parametrize(
    "base_url",
    [
        "http://127.0.0.1:80/v1",
        "http://[::1]:80",
        "http://localhost",
        "http://a.localhost",
        "https://x.y",
    ],
)
def test_plain_http_is_allowed_only_to_this_machine(base_url: str) -> None:
    assert Client("key", base_url=f"{base_url}/").base_url == base_url.replace(":80", "")


@pytest.mark.parametrize(
    ("base_url", "text"),
    [
        ("http://api.bouncify.io/v1", "unencrypted"),
        ("http://10.0.0.1", "unencrypted"),
        ("ftp://x.y", "must begin with https:// and a host"),
        ("api.bouncify.io", "must begin with https:// and a host"),
        ("https://", "must begin with https:// and a host"),
        ("https://[::1", "must begin with https:// and a host"),
        (f"https://x.y/?apikey={quote(KEY)}", "no user, query"),
        ("https://user:secret@x.y", "no user, query"),
        ("https://x.y/#f", "no user, query"),
    ],
)
def test_a_base_url_that_endangers_the_key_is_refused(base_url: str, text: str) -> None:
    with pytest.raises(UsageError, match=text) as caught:
        Client(KEY, base_url=base_url)
    assert_secret(str(caught.value))
    assert "secret" not in str(caught.value)


def test_plain_http_elsewhere_can_be_allowed() -> None:
    client = Client("key", base_url="http://10.0.0.1/v1", allow_http=True)
    assert client.base_url == "http://10.0.0.1/v1"


@pytest.mark.parametrize("option", [{"attempts": 0}, {"requests_per_minute": 0}])
def test_settings_that_allow_no_request_are_refused(option: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="at least 1"):
        Client("key", **option)  # type: ignore[arg-type]

"""Proxies: which one is chosen, what is sent to it, and what is told if it refuses."""

import base64
import netrc
import traceback
from pathlib import Path

import aiohttp
import pytest
from tenacity import wait_none
from yarl import URL

import bulkverify
from bulkverify import (
    AuthenticationError,
    BulkVerifyError,
    Client,
    ConnectionFailedError,
    ServerError,
    UnreadableAnswerError,
    UsageError,
)
from bulkverify.service.proxies import Proxy, find_proxy
from bulkverify.service.translation import translate
from tests.test_transport import KEY as CONNECTION
from tests.wire import Arrived, http, wire

PACKAGE = str(Path(bulkverify.__file__).parent)
KEY = "s3cr3t-key-of-mine"
HERE = "0.0.0.0"  # noqa: S104 - leads to this machine, but is no loopback address
PASSWORD = "p4ss/w@rd"
LOGIN = f"me:{PASSWORD}"
TOKEN = base64.b64encode(LOGIN.encode()).decode()

CHOSEN: list[tuple[dict[str, str], str, str | None]] = [
    ({"HTTPS_PROXY": "http://proxy:1"}, "https://api.example", "http://proxy:1"),
    ({"https_proxy": "http://proxy:1"}, "https://api.example", "http://proxy:1"),
    ({"https_proxy": "http://a:1", "HTTPS_PROXY": "http://b:1"}, "https://api.example", "http://a:1"),
    ({"HTTPS_PROXY": "http://proxy:1"}, "http://api.example", None),
    ({"HTTP_PROXY": "http://proxy:1"}, "http://api.example", "http://proxy:1"),
    ({"HTTP_PROXY": "http://proxy:1"}, "https://api.example", None),
    ({"ALL_PROXY": "http://proxy:1"}, "https://api.example", "http://proxy:1"),
    ({"all_proxy": "http://a:1", "HTTPS_PROXY": "http://b:1"}, "https://api.example", "http://b:1"),
    ({"HTTPS_PROXY": "", "ALL_PROXY": ""}, "https://api.example", None),
    ({"HTTPS_PROXY": "proxy:3128"}, "https://api.example", "http://proxy:3128"),
    ({"HTTPS_PROXY": "https://proxy"}, "https://api.example", "https://proxy"),
    ({"HTTPS_PROXY": "http://proxy:1"}, "https://localhost:8000", None),
    ({"ALL_PROXY": "socks5://proxy:1"}, "http://127.0.0.1:8000", None),
    ({"HTTPS_PROXY": "http://proxy:1"}, "https://[::1]:8000", None),
    *(
        ({"HTTPS_PROXY": "http://proxy:1", "NO_PROXY": no}, "https://api.example.com/v1", chosen)
        for no, chosen in {
            "*": None,
            "api.example.com": None,
            "a.com, API.example.com": None,
            ".example.com": None,
            "example.com": None,
            "example.com:443": None,
            "example.com:444": "http://proxy:1",
            "ample.com": "http://proxy:1",
            "www.api.example.com": "http://proxy:1",
            "": "http://proxy:1",
        }.items()
    ),
    ({"HTTPS_PROXY": "http://proxy:1", "no_proxy": "10.0.0.0/8"}, "https://10.1.2.3", None),
    ({"HTTPS_PROXY": "http://proxy:1", "no_proxy": "10.1.2.3"}, "https://10.1.2.3", None),
    ({"HTTPS_PROXY": "http://proxy:1", "no_proxy": "10.0.0.0/8"}, "https://11.1.2.3", "http://proxy:1"),
    ({"HTTPS_PROXY": "http://proxy:1", "no_proxy": "fd00::/8"}, "https://[fd00::1]", None),
]  # fmt: skip


@pytest.mark.parametrize(("named", "url", "chosen"), CHOSEN)
def test_the_environment_names_the_proxy(
    monkeypatch: pytest.MonkeyPatch, named: dict[str, str], url: str, chosen: str | None
) -> None:
    for name, value in named.items():
        monkeypatch.setenv(name, value)
    found = find_proxy(URL(url))
    assert not isinstance(found, UsageError)
    assert (found and found.url) == (chosen and URL(chosen))


@pytest.mark.parametrize(
    "value",
    [
        f"http://{LOGIN}:3128",
        f"http://me:{PASSWORD}@:3128",
        "http://me:p4ss@proxy:99999",
        "http://me:p4ss@proxy:p4ss",
        "http://me:p4ss%E2%82%AC@proxy",
        "http://me%3Ap4ss@proxy",
        "/p4ss",
        "socks5://me:p4ss@proxy:1080",
        "ftp://me:p4ss@proxy:1080",
    ],
)
@pytest.mark.parametrize("name", ["HTTPS_PROXY", "all_proxy"])
def test_a_proxy_that_cannot_be_used_is_refused_without_its_password(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=f"{name.upper()} (is not|names)") as caught:
        Client(KEY, base_url="https://api.example")
    shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    assert "p4ss" not in str(caught.value)
    frames = [frame for frame in shown.stack if frame.filename.startswith(PACKAGE)]
    assert frames
    assert "p4ss" not in str([frame.locals for frame in frames])


@pytest.mark.asyncio
async def test_a_session_of_the_caller_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://proxy:1")
    async with (
        wire() as (url, arrived),
        aiohttp.ClientSession() as session,
        Client(
            KEY, base_url=url.replace("127.0.0.1", HERE), session=session, allow_http=True
        ) as client,
    ):
        assert (await client.credits()).remaining == 100
    assert arrived[0].target.startswith("/info")


@pytest.mark.asyncio
async def test_passwords_of_the_netrc_file_are_never_sent(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / ".netrc"
    path.write_text(
        "".join(f"machine {host} login me password p4ss\n" for host in ("127.0.0.1", HERE))
    )
    path.chmod(0o600)
    assert netrc.netrc(str(path)).authenticators(HERE)
    monkeypatch.setenv("NETRC", str(path))
    monkeypatch.setenv("HOME", str(tmp_path))
    async with wire() as (url, arrived):
        monkeypatch.setenv("HTTP_PROXY", url)
        for base_url in (url, "http://0.0.0.0/v1"):
            async with Client(KEY, base_url=base_url, allow_http=True) as client:
                await client.credits()
    assert [one.target.partition("?")[0] for one in arrived] == ["/info", "http://0.0.0.0/v1/info"]
    assert not any(b"uthorization" in one.head for one in arrived)


@pytest.mark.asyncio
async def test_an_http_proxy_gets_the_whole_request_and_its_own_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with wire() as (url, arrived):
        monkeypatch.setenv("HTTP_PROXY", url.replace("//", "//me:p4ss%2Fw%40rd@"))
        async with Client(KEY, base_url="http://api.example/v1", allow_http=True) as client:
            await client.credits()
    assert arrived[0].target == f"http://api.example/v1/info?apikey={KEY}"
    assert f"Proxy-Authorization: Basic {TOKEN}".encode() in arrived[0].head


REFUSALS = {
    401: "wants another user and password (401). Nothing was sent; write them in HTTPS_PROXY",
    407: "wants another user and password (407). Nothing was sent; write them in HTTPS_PROXY",
    502: "did not connect to api.example (502 Bad Gateway). Nothing was sent; check the base URL",
    403: "did not connect to api.example (403 Forbidden). Nothing was sent; check the base URL",
    599: "did not connect to api.example (599). Nothing was sent; check the base URL",
}


@pytest.mark.asyncio
@pytest.mark.parametrize("status", REFUSALS)
async def test_the_refusal_of_a_proxy_is_told_as_its_own(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    async def respond(arrived: Arrived) -> bytes:
        head = arrived.head.decode()  # says everything back that it was sent
        said = head.replace("\r\n", " ")
        return f"HTTP/1.1 {status} {said} {LOGIN}\r\nContent-Length: 0\r\n\r\n".encode()

    caplog.set_level("DEBUG")
    async with wire(respond) as (url, arrived):
        monkeypatch.setenv("HTTPS_PROXY", url.replace("//", "//me:p4ss%2Fw%40rd@"))
        address = url.removeprefix("http://")
        options = {"attempts": 2, "backoff": wait_none()}
        async with Client(KEY, base_url="https://api.example", **options) as client:  # type: ignore[arg-type]
            with pytest.raises(ConnectionFailedError) as caught:
                await client.upload(["a@example.com"])
    assert not caught.value.sent
    assert f"the proxy {address} {REFUSALS[status]}" in str(caught.value)
    shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    told = f"{caught.value!r}{caught.value.hint}{vars(caught.value)}{caplog.text}"
    frames = [frame for frame in shown.stack if frame.filename.startswith(PACKAGE)]
    assert frames
    for secret in ("p4ss", TOKEN, KEY):
        assert secret not in told + str([frame.locals for frame in frames])
    assert {one.method for one in arrived} == {"CONNECT"}
    assert len(arrived) == 2
    assert KEY.encode() not in b"".join(one.head for one in arrived)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("status", "kind", "told"),
    [
        (
            407,
            UnreadableAnswerError,
            "A proxy refused the credits call, because it wants another user",
        ),
        (
            401,
            AuthenticationError,
            "The service, or a proxy, refused the credits call: 401 Sorry.",
        ),
        (502, ServerError, "A proxy, most likely, could not answer the credits call: 502 Sorry."),
        (
            403,
            UnreadableAnswerError,
            "is not JSON but '403 Sorry', most likely a proxy's error page",
        ),
    ],
)
async def test_a_page_of_an_http_proxy_is_told_as_its_own(
    monkeypatch: pytest.MonkeyPatch, status: int, kind: type[BulkVerifyError], told: str
) -> None:
    async def respond(arrived: Arrived) -> bytes:
        echo = arrived.head if status == 407 else b""
        return http(b"<html><h1>Sorry</h1>" + echo, status, "text/html")

    async with wire(respond) as (url, _):
        monkeypatch.setenv("HTTP_PROXY", url.replace("//", "//me:p4ss%2Fw%40rd@"))
        options = {"attempts": 1, "allow_http": True}
        async with Client(KEY, base_url="http://api.example", **options) as client:  # type: ignore[arg-type]
            with pytest.raises(kind) as caught:
                await client.credits()
    assert told in str(caught.value)
    assert TOKEN not in f"{caught.value!r}{vars(caught.value)}"
    assert KEY not in f"{caught.value!r}{vars(caught.value)}"


@pytest.mark.asyncio
async def test_a_proxy_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://me:p4ss@127.0.0.1:9")
    async with Client(KEY, base_url="https://api.example", attempts=1) as client:
        with pytest.raises(ConnectionFailedError) as caught:
            await client.credits()
    assert str(caught.value) == (
        "There was no connection for the credits call: the proxy 127.0.0.1:9 can't be reached: Connection refused. "
        "Nothing was sent; check HTTPS_PROXY and the network."
    )


def unknown(host: str) -> aiohttp.ClientConnectorDNSError:
    key = CONNECTION._replace(host=host)
    return aiohttp.ClientConnectorDNSError(key, OSError(-2, "Name or service not known"))


def test_an_unknown_host_is_named_and_whether_a_proxy_is_set() -> None:
    said = str(translate(unknown("api.example"), endpoint="credits"))
    assert "the host api.example was not found (Name or service not known)" in said
    assert said.endswith("No proxy is used; HTTPS_PROXY or the session would name one.")


def test_the_unknown_host_of_a_proxy_is_told_as_its_own() -> None:
    proxy = Proxy(URL("http://me:p4ss@proxy.example:1"), "HTTPS_PROXY", "api.example")
    assert "p4ss" not in repr(proxy)
    said = str(translate(unknown("proxy.example"), endpoint="credits", proxy=proxy))
    assert "the proxy proxy.example:1 can't be reached: Name or service not known" in said
    assert said.endswith("check HTTPS_PROXY and the network.")
    late = str(translate(aiohttp.ConnectionTimeoutError(), endpoint="credits", proxy=proxy))
    assert "no connection through the proxy proxy.example:1 for the credits call" in late


def test_a_proxy_that_a_middleware_chose_is_told_as_a_proxy() -> None:
    failed = aiohttp.ClientProxyConnectionError(CONNECTION, OSError(111, "Connection refused"))
    said = str(translate(failed, endpoint="credits"))
    assert "the proxy can't be reached: Connection refused" in said


@pytest.mark.asyncio
@pytest.mark.parametrize("as_url", [str, URL])
async def test_the_proxy_of_a_session_is_named(as_url: type) -> None:
    async def respond(_: Arrived) -> bytes:
        return http(b"", 407)

    async with wire(respond) as (url, _):
        proxy = as_url(url.replace("//", "//me:p4ss@"))
        async with (
            aiohttp.ClientSession(proxy=proxy) as session,
            Client(KEY, base_url="https://api.example", session=session, attempts=1) as client,
        ):
            with pytest.raises(ConnectionFailedError) as caught:
                await client.credits()
    address = url.removeprefix("http://")
    assert f"the proxy {address} wants another user" in str(caught.value)
    assert "write them in the session, such as" in str(caught.value)
    assert "p4ss" not in str(caught.value)

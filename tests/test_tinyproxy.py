"""The command and the client behind a real proxy, with TLS where it belongs."""

import asyncio
import os
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import attrs
import pytest
from tenacity import wait_none
from yarl import URL

from bulkverify import Client, ConnectionFailedError
from tests.cli.service import KEY, Service

ROOT = Path(__file__).parents[1]
CERTIFICATE = Path(__file__).parent / "tls" / "proxies.pem"
HERE = "0.0.0.0"  # noqa: S104 - leads to this machine, but is no loopback address
MAIN = [sys.executable, "-W", "error", "-c", "from bulkverify.cli.main import main; main()"]
KEY_ON_THE_WIRE = "s3cr3t"

pytestmark = pytest.mark.skipif(
    shutil.which("tinyproxy") is None, reason="needs tinyproxy: apt-get install tinyproxy-bin"
)


@attrs.frozen
class Tinyproxy:
    """A proxy that wants a password."""

    port: int
    path: Path

    @property
    def login(self) -> str:
        return f"me:p4ss@127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return self.path.read_text()


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Tinyproxy]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    log, config = tmp_path / "tinyproxy.log", tmp_path / "tinyproxy.conf"
    config.write_text(
        f'Port {port}\nListen 127.0.0.1\nLogFile "{log}"\nLogLevel Info\nBasicAuth me p4ss\n'
    )
    with subprocess.Popen(["tinyproxy", "-d", "-c", str(config)], stdout=subprocess.DEVNULL) as it:  # noqa: S603, S607 - ours, from PATH
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
        yield Tinyproxy(port, log)
        it.terminate()


@pytest.fixture
def service() -> Iterator[Service]:
    with Service() as service:
        yield service


@pytest.fixture
def with_tls(service: Service) -> Iterator[Callable[[int], int]]:
    """Return a function that serves a port with TLS on another one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)

    def serve(port: int) -> int:
        async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            there, back = await asyncio.open_connection("127.0.0.1", port)
            await asyncio.gather(pump(reader, back), pump(there, writer))

        server = service.do(lambda: asyncio.start_server(relay, "127.0.0.1", 0, ssl=context))
        stack.callback(service.do, server.close)
        found: int = server.sockets[0].getsockname()[1]
        return found

    with ExitStack() as stack:
        yield serve


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
    writer.close()


def port_of(service: Service) -> int:
    port = URL(service.url).port
    assert port is not None
    return port


@attrs.frozen
class Shell:
    """Runs the command as a process with these variables."""

    folder: Path

    def __call__(self, *tokens: str, **variables: str) -> subprocess.CompletedProcess[str]:
        settings = {"PYTHONPATH": str(ROOT), "SSL_CERT_FILE": str(CERTIFICATE)}
        return subprocess.run(  # noqa: S603 - ours
            [*MAIN, *tokens],
            env=os.environ | settings | {"BULKVERIFY_API_KEY": KEY} | variables,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    (tmp_path / "list.csv").write_text("email\ndeliverable@a.com\nunknown@a.com\n")
    return Shell(tmp_path)


VERIFY = ("verify", "list.csv", "-o", "verified.csv")


@pytest.mark.parametrize("encrypted", [False, True], ids=["http proxy", "https proxy"])
def test_a_list_is_verified_through_a_proxy_that_never_sees_the_key(
    proxy: Tinyproxy,
    service: Service,
    with_tls: Callable[[int], int],
    shell: Shell,
    encrypted: bool,  # noqa: FBT001 - a row of the table
) -> None:
    target = with_tls(port_of(service))
    login = proxy.login
    if encrypted:
        login = login.replace(str(proxy.port), str(with_tls(proxy.port)))
    done = shell(
        *VERIFY,
        BULKVERIFY_BASE_URL=f"https://{HERE}:{target}/v1",
        HTTPS_PROXY=f"http{'s' * encrypted}://{login}",
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert (shell.folder / "verified.csv").read_text().count("\n") == 3
    assert service.sandbox.ledger.credits_spent == 2
    assert f"CONNECT {HERE}:{target} HTTP/1.1" in proxy.log
    assert "apikey" not in proxy.log
    assert KEY_ON_THE_WIRE not in proxy.log + done.stderr


def test_without_tls_the_log_of_a_proxy_has_the_key(
    proxy: Tinyproxy, service: Service, shell: Shell
) -> None:
    done = shell(
        *("credits", "--allow-http"),
        BULKVERIFY_BASE_URL=f"http://{HERE}:{port_of(service)}/v1",
        http_proxy=f"http://{proxy.login}",
    )
    assert done.returncode == 0, done.stderr
    assert f"http://{HERE}:{port_of(service)}/v1/info?apikey={KEY_ON_THE_WIRE}" in proxy.log


@pytest.mark.parametrize("exempt", [f"example.com,{HERE}", "*", "10.0.0.0/8, 0.0.0.0/8"])
def test_an_exempt_host_is_reached_directly(
    proxy: Tinyproxy,
    service: Service,
    with_tls: Callable[[int], int],
    shell: Shell,
    exempt: str,
) -> None:
    done = shell(
        "credits",
        BULKVERIFY_BASE_URL=f"https://{HERE}:{with_tls(port_of(service))}/v1",
        ALL_PROXY=f"http://{proxy.login}",
        NO_PROXY=exempt,
    )
    assert done.returncode == 0, done.stderr
    assert "Request" not in proxy.log


def test_the_sandbox_works_behind_a_proxy_that_is_down(shell: Shell) -> None:
    down = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), "http://127.0.0.1:9")
    done = shell(*VERIFY, "--sandbox", **down)
    assert done.returncode == 0, done.stderr


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("base_url", "login", "told"),
    [
        ("https://0.0.0.0:9", "me:wr0ng", "wants another user and password (401)"),
        ("https://0.0.0.0:9", "", "wants another user and password (407)"),
        ("https://0.0.0.0:9", "me:p4ss", "did not connect to 0.0.0.0 (500 Internal Server Error)"),
        ("https://no.invalid", "me:p4ss", "did not connect to no.invalid (500 Internal"),
    ],
)
async def test_the_refusals_of_a_proxy_name_it(
    proxy: Tinyproxy, monkeypatch: pytest.MonkeyPatch, base_url: str, login: str, told: str
) -> None:
    address = f"127.0.0.1:{proxy.port}"
    monkeypatch.setenv("HTTPS_PROXY", f"http://{login}@{address}" if login else address)
    async with Client(KEY, base_url=base_url, backoff=wait_none(), attempts=2) as client:
        with pytest.raises(ConnectionFailedError) as caught:
            await client.upload(["a@example.com"])
    assert f"the proxy {address} {told}" in str(caught.value)
    assert not caught.value.sent
    assert "wr0ng" not in str(caught.value)
    assert "p4ss" not in str(caught.value)

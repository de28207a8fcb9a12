"""The options of the command `sandbox`, as programs in other languages see them."""

import json
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlencode, urlsplit

import attrs
import pytest

from bulkverify.cli.sandbox import PACE
from bulkverify.sandbox import Timings

from .conftest import Cli, Shell, finish

AT_ONCE = [
    word
    for step in ("preparing", "start-delay", "verifying", "verifying-per-address", "finishing")
    for word in (f"--{step}", "0")
]


@attrs.frozen
class Answer:
    status: int
    headers: dict[str, str]
    text: str

    @property
    def body(self) -> Any:  # noqa: ANN401 - JSON
        return json.loads(self.text)


@attrs.frozen
class Service:
    connection: HTTPConnection

    def ask(self, method: str, path: str, body: object = None, **query: str) -> Answer:
        headers = {} if body is None else {"Content-Type": "application/json"}
        self.connection.request(
            method,
            f"/v1{path}?{urlencode({'apikey': 'sandbox', **query})}",
            None if body is None else json.dumps(body),
            headers,
        )
        response = self.connection.getresponse()
        return Answer(response.status, dict(response.headers), response.read().decode())

    def upload(self, *addresses: str) -> Answer:
        return self.ask("POST", "/bulk", {"emails": [{"email": address} for address in addresses]})


@contextmanager
def serving(shell: Shell, *options: str) -> Iterator[Service]:
    process = shell("sandbox", "--port", "0", "--json", *options)
    assert process.stdout is not None
    address = urlsplit(json.loads(process.stdout.readline())["url"])
    assert address.hostname is not None
    connection = HTTPConnection(address.hostname, address.port, timeout=30)
    yield Service(connection)
    connection.close()
    process.send_signal(signal.SIGINT)
    assert finish(process).code == 0


def test_options_choose_the_answers_of_a_vendor(shell: Shell) -> None:
    options = ["--vendor", "validto", "--upload-status", "200", "--accept-all-column", *AT_ONCE]
    with serving(shell, *options) as service:
        uploaded = service.upload("deliverable@a.com", "accept-all@a.com")
        assert uploaded.status == 200
        job_id = uploaded.body["job_id"]
        assert service.ask("PATCH", f"/bulk/{job_id}", {"action": "start"}).status == 200
        assert service.ask("GET", f"/bulk/{job_id}").body["status"] == "completed"
        lines = service.ask("POST", "/download", jobId=job_id).text.splitlines()
        assert lines[0] == (
            '"email","Verification Result","Verified At","Syntax Error","ISP","Role","Accept-all",'
            '"Disposable","Trap"'
        )
        assert lines[2].endswith('"N","N","N","Y","N","N"')
        verified = service.ask("GET", "/verify", email="accept-all@a.com")
        assert verified.body["result"] == "accept-all"


def test_options_set_limits_and_what_a_status_shows(shell: Shell) -> None:
    options = ["--requests-per-minute", "2", "--retry-after", "7", "--max-lists", "1"]
    options += ["--preparing", "1h", "--total-while-preparing"]
    with serving(shell, *options) as service:
        uploaded = service.upload("a@a.com", "b@a.com")
        assert uploaded.status == 201
        refused = service.upload("a@a.com", "b@a.com")
        assert refused.body["message"] == "The maximum number of lists has been reached."
        path = f"/bulk/{uploaded.body['job_id']}"
        seen = service.ask("GET", path).body
        assert (seen["status"], seen["total"]) == ("preparing", 2)
        service.ask("GET", path)
        throttled = service.ask("GET", path)
        assert (throttled.status, throttled.headers["Retry-After"]) == (429, "7")


def test_options_make_lists_fail_and_last(shell: Shell) -> None:
    options = ["--single-record-fails", "--max-verifying", "1", "--retention-days", "0"]
    options += ["--speed", "1000000000", "--verifying", "1000000h"]
    with serving(shell, *options) as service:
        lone = service.upload("a@a.com").body["job_id"]
        pair, other = (service.upload("a@a.com", "b@a.com").body["job_id"] for _ in range(2))
        service.ask("PATCH", f"/bulk/{lone}", {"action": "start"})
        assert service.ask("GET", f"/bulk/{lone}").body["status"] == "failed"
        service.ask("PATCH", f"/bulk/{pair}", {"action": "start"})
        assert service.ask("GET", f"/bulk/{pair}").body["status"] == "verifying"
        refused = service.ask("PATCH", f"/bulk/{other}", {"action": "start"})
        assert refused.body["message"].startswith("The maximum number of active verification lists")


@pytest.mark.parametrize(
    "options",
    [["--vendor", "acme"], ["--upload-status", "204"], ["--max-lists", "-1"], ["--verifying", "x"]],
)
def test_an_impossible_option_is_a_usage_error(cli: Cli, options: list[str]) -> None:
    outcome = cli("sandbox", "--port", "0", *options)
    assert outcome.code == 2
    assert options[0] in outcome.err


def test_its_usual_pace_is_that_of_the_sandbox() -> None:
    assert Timings(**attrs.asdict(PACE)) == Timings()


def test_a_port_in_use_is_named(cli: Cli) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        outcome = cli("sandbox", "--port", str(port))
    assert outcome.code == 2
    assert f"Port {port} of 127.0.0.1 is in use: name another one with --port" in outcome.err

"""Ctrl-C and SIGTERM, sent to a real process at a moment that it has logged."""

import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import LIMIT, Cli, Shell, finish, read_until
from .service import Service


@pytest.fixture
def slow(serve: Callable[..., Service], environment: Callable[[Service], None]) -> Service:
    """A service in which nothing happens unless its clock is moved."""
    slow = serve(speed=0)
    environment(slow)
    return slow


def test_an_interrupted_verify_says_how_to_go_on(
    slow: Service, shell: Shell, contacts: Path
) -> None:
    process = shell("verify", str(contacts), "-o", "out.csv", "-v")
    before = read_until(process, "preparing, job")
    process.send_signal(signal.SIGINT)
    outcome = finish(process, before)
    [upload] = slow.sandbox.ledger.uploads
    assert (outcome.code, outcome.out) == (130, "")
    assert "bulkverify: interrupted\n" in outcome.err
    assert "Nothing has been spent" in outcome.err
    assert "kept in out.csv.progress" in outcome.err
    command = f"bulkverify verify {contacts} -o out.csv -v"
    assert outcome.err.splitlines()[-1].strip() == command
    assert [path.name for path in contacts.parent.glob("*out.csv*")] == ["out.csv.progress"]
    assert upload.job_id in (contacts.parent / "out.csv.progress" / "run.json").read_text()


def test_a_terminated_verify_says_so_in_json_while_the_job_goes_on(
    slow: Service, shell: Shell, contacts: Path
) -> None:
    process = shell("verify", str(contacts), "-o", "out.csv", "-v", "--json")
    read_until(process, "preparing, job")
    slow.do(lambda: slow.sandbox.advance(10))
    read_until(process, "verifying, job")
    process.send_signal(signal.SIGTERM)
    outcome = finish(process)
    [upload] = slow.sandbox.ledger.uploads
    error = json.loads(outcome.out)["error"]
    assert outcome.code == 143
    assert (error["type"], error["job_id"]) == ("Interrupted", upload.job_id)
    assert "3 addresses are paid for, and the service continues with them." in error["hint"]
    assert error["resume"] == [f"bulkverify verify {contacts} -o out.csv -v --json"]
    assert slow.sandbox.credits == 1_000_000 - 3


@pytest.mark.usefixtures("slow")
def test_an_interrupted_wait_stops_at_once(
    shell: Shell,
    cli: Cli,
    contacts: Path,
) -> None:
    job = cli("upload", str(contacts)).out.strip()
    process = shell("wait", job, "-v")
    read_until(process, "preparing, job")
    process.send_signal(signal.SIGINT)
    outcome = finish(process)
    assert outcome.code == 130
    assert outcome.err.splitlines()[-1] == f"    bulkverify wait {job} -v"


@pytest.mark.usefixtures("slow")
def test_an_interrupted_watch_has_given_its_lines(
    shell: Shell,
    cli: Cli,
    contacts: Path,
) -> None:
    job = cli("upload", str(contacts)).out.strip()
    process = shell("status", job, "--watch", "--json")
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["status"] == "preparing"
    process.send_signal(signal.SIGINT)
    outcome = finish(process)
    assert outcome.code == 130
    assert outcome.error["job_id"] == job


def test_the_sandbox_ends_well_with_ctrl_c(shell: Shell) -> None:
    process = shell("sandbox", "--port", "0")
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(5)]
    process.send_signal(signal.SIGINT)
    outcome = finish(process)
    assert (outcome.code, outcome.out) == (0, "")
    url = lines[0].split()[1]
    assert lines[1] == "key  sandbox\n"
    assert lines[3:] == [
        f"export BULKVERIFY_BASE_URL={url}\n",
        "export BULKVERIFY_API_KEY=sandbox\n",
    ]


def test_the_sandbox_serves_what_it_says(shell: Shell, cli: Cli, tmp_path: Path) -> None:
    options = ["--credits", "7", "--api-key", "a key", "--requests-per-minute", "0"]
    process = shell("sandbox", "--port", "0", "--speed", "100", "--json", *options)
    assert process.stdout is not None
    served = json.loads(process.stdout.readline())
    (tmp_path / "key").write_text("akey")
    assert served["api_key"] == "a key"
    refused = cli("credits", "--base-url", served["url"], "--api-key-file", "key")
    assert refused.code == 3
    process.send_signal(signal.SIGTERM)
    outcome = finish(process)
    assert outcome.code == 143
    assert outcome.error["message"] == "ended by SIGTERM"


def test_the_sandbox_warns_when_others_can_reach_it(shell: Shell) -> None:
    process = shell("sandbox", "--port", "0", "--host", "0.0.0.0")  # noqa: S104 - that is the point
    assert process.stdout is not None
    url = process.stdout.readline().split()[1]
    process.send_signal(signal.SIGINT)
    outcome = finish(process)
    assert outcome.err.startswith("bulkverify: warning: 0.0.0.0 can be reached")
    assert url.startswith("http://127.0.0.1:")


def test_a_reader_that_goes_away_is_no_error(
    slow: Service, shell: Shell, cli: Cli, contacts: Path
) -> None:
    job = cli("upload", str(contacts)).out.strip()
    process = shell("status", job, "--watch")
    assert process.stdout is not None
    assert "preparing" in process.stdout.readline()
    process.stdout.close()
    process.stdout = None
    slow.do(lambda: slow.sandbox.advance(10))
    assert process.wait(LIMIT) == 141
    assert finish(process).err == ""


def test_help_survives_a_reader_that_goes_away(shell: Shell) -> None:
    process = shell("--help", stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    outcome = finish(process)
    assert outcome.err == ""
    assert outcome.code == 141

"""The service's texts can't control the terminal, and odd streams end no paid run."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from bulkverify.sandbox import Fault

from .conftest import LIMIT, MAIN, Cli
from .service import Service

STEERING = "bad\x1b[2J\x1b]0;title\x07\nsecond"


@pytest.mark.parametrize("command", ["status", "wait"])
def test_a_message_of_the_service_cannot_control_the_terminal(
    service: Service, cli: Cli, contacts: Path, command: str
) -> None:
    job = cli("upload", str(contacts)).out.strip()
    body = {"job_id": job, "status": "failed", "total": 0, "success": True, "message": STEERING}
    service.do(
        lambda: service.sandbox.inject(
            Fault(
                endpoint="status",
                kind="answer",
                status=200,
                body=json.dumps(body).encode(),
                times=None,
            )
        )
    )
    outcome = cli(command, job)
    shown = outcome.out + outcome.err
    assert "bad [2J" in shown
    assert "\x1b" not in shown
    assert "\nsecond" not in shown


def test_a_refusal_of_the_service_cannot_control_the_terminal(service: Service, cli: Cli) -> None:
    body = json.dumps({"success": False, "result": STEERING}).encode()
    service.do(
        lambda: service.sandbox.inject(
            Fault(endpoint="credits", kind="answer", status=400, body=body)
        )
    )
    outcome = cli("credits")
    assert outcome.code == 3
    assert "\x1b" not in outcome.err


@pytest.mark.usefixtures("service")
@pytest.mark.parametrize("json_wanted", [False, True], ids=["for people", "as JSON"])
def test_an_output_that_lacks_a_character_ends_no_run(
    contacts: Path, tmp_path: Path, *, json_wanted: bool
) -> None:
    target = tmp_path / "verĭfied-ü.csv"
    arguments = ["verify", str(contacts), "-o", str(target), *(["--json"] if json_wanted else [])]
    done = subprocess.run(  # noqa: S603 - our own command
        [*MAIN, *arguments],
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        capture_output=True,
        timeout=LIMIT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert target.exists()
    if json_wanted:
        assert json.loads(done.stdout)["destination"] == str(target)


@pytest.mark.usefixtures("service")
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-"])
def test_a_closed_stream_ends_no_command(closed: str) -> None:
    words = " ".join(f"'{word}'" for word in MAIN)
    done = subprocess.run(  # noqa: S603 - our own command
        ["/bin/sh", "-c", f"{words} credits {closed}"],
        capture_output=True,
        timeout=LIMIT,
        check=False,
    )
    assert done.returncode == 0, done.stderr

"""The command line as tests use it: within this process, or as a process of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import attrs
import pytest

from bulkverify.cli.runner import run

from .service import AT_ONCE, KEY, Service

ROOT = Path(__file__).parents[2]
MAIN = [sys.executable, "-W", "error", "-c", "from bulkverify.cli.main import main; main()"]
LIMIT = 30


@attrs.frozen
class Outcome:
    """What a command left behind; the key is in none of it."""

    code: int
    out: str
    err: str

    def __attrs_post_init__(self) -> None:
        assert "s3cr3t" not in self.out + self.err
        assert "Traceback" not in self.out + self.err

    @property
    def document(self) -> Any:  # noqa: ANN401 - it is JSON
        """The one JSON document on stdout, with nothing beside it."""
        assert self.err == ""
        assert self.out.count("\n") == 1
        return json.loads(self.out)

    @property
    def error(self) -> Any:  # noqa: ANN401 - it is JSON
        return self.document["error"]


Cli = Callable[..., Outcome]
Shell = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def serve() -> Iterator[Callable[..., Service]]:
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(Service(**options))


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[Service], None]:
    """Point the command line at a service."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("NO_COLOR", raising=False)

    def point(service: Service) -> None:
        monkeypatch.setenv("BULKVERIFY_API_KEY", KEY)
        monkeypatch.setenv("BULKVERIFY_BASE_URL", service.url)

    return point


@pytest.fixture
def service(serve: Callable[..., Service], environment: Callable[[Service], None]) -> Service:
    """A quick service, with the command line pointed at it."""
    service = serve(timings=AT_ONCE)
    environment(service)
    return service


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str]) -> Cli:
    """Run a command within this process."""

    def call(*tokens: str) -> Outcome:
        capfd.readouterr()
        code = run([*tokens])
        return Outcome(code, *capfd.readouterr())

    return call


@pytest.fixture
def shell(environment: object) -> Iterator[Shell]:  # noqa: ARG001 - sets up where it runs
    """Start a command as a process of its own; whatever still runs at the end is killed."""
    with ExitStack() as stack:

        def start(*tokens: str, **options: Any) -> "subprocess.Popen[str]":  # noqa: ANN401 - handed on
            pipes: dict[str, Any] = {
                "stdin": subprocess.DEVNULL,
                "stdout": subprocess.PIPE,
                "stderr": subprocess.PIPE,
                "text": True,
            }
            process = stack.enter_context(
                subprocess.Popen([*MAIN, *tokens], env=os.environ, **pipes | options)  # noqa: S603 - ours
            )
            stack.callback(process.kill)
            return process

        yield start


def finish(process: "subprocess.Popen[str]", before: str = "") -> Outcome:
    """Wait for a process; `before` is what was read of its stderr already."""
    out, err = process.communicate(timeout=LIMIT)
    return Outcome(process.returncode, out or "", before + (err or ""))


def read_until(process: "subprocess.Popen[str]", text: str) -> str:
    """Read stderr up to the line that has a text."""
    assert process.stderr is not None
    lines = ""
    for line in process.stderr:
        lines += line
        if text in line:
            return lines
    raise AssertionError(f"no {text!r} in {lines}")


@pytest.fixture
def contacts(tmp_path: Path) -> Path:
    """A list with a duplicate and a row without an address."""
    path = tmp_path / "contacts.csv"
    path.write_text(
        "name,email\nAnna,deliverable@example.com\nBo,undeliverable@example.com\n"
        "Anna again,deliverable@EXAMPLE.com\nCarl,unknown@example.org\nNobody,\n"
    )
    return path

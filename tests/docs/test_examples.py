"""The examples run as their users would run them, as processes that talk to a sandbox."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("nbclient", reason="the documentation's tools are not installed")

import jupytext
import nbclient

from tests.docs.blocks import ROOT, served

EXAMPLES = ROOT / "examples"


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    with served() as url:
        yield {
            **{name: text for name, text in os.environ.items() if not name.startswith("COV")},
            "BULKVERIFY_API_KEY": "sandbox",
            "BULKVERIFY_BASE_URL": url,
            "HOME": str(tmp_path),
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(EXAMPLES)]),
        }


@contextlib.contextmanager
def running(*command: object, env: dict[str, str], cwd: Path) -> Iterator[None]:
    log = cwd / "log.txt"
    with log.open("w") as out:
        process = subprocess.Popen(  # noqa: S603 - our own
            [sys.executable, *map(str, command)], env=env, cwd=cwd, stdout=out, stderr=out
        )
    try:
        yield
    except BaseException as error:
        error.add_note(log.read_text())
        raise
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def eventually(check: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not check():
        assert time.monotonic() < end, "it did not happen within a minute"
        time.sleep(0.1)


@pytest.mark.parametrize("with_key", [True, False])
def test_the_script_verifies_a_list(
    with_key: bool,  # noqa: FBT001 - a parameter
    environment: dict[str, str],
    tmp_path: Path,
) -> None:
    if not with_key:
        del environment["BULKVERIFY_API_KEY"], environment["BULKVERIFY_BASE_URL"]
    done = subprocess.run(  # noqa: S603 - our own
        [sys.executable, EXAMPLES / "script.py", EXAMPLES / "contacts.csv", "out.csv"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    assert done.stdout == ("184 rows, 175 addresses, 175 credits\n128 can be mailed: out.csv\n")


def test_the_web_service_verifies_a_list(environment: dict[str, str], tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    def ask(path: str, body: object = None, *, method: str = "GET") -> tuple[int, str]:
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - likewise
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def serves() -> bool:
        with contextlib.suppress(OSError):
            return ask("/docs")[0] == 200
        return False

    def has(path: str, status: str) -> Callable[[], bool]:
        return lambda: json.loads(ask(path)[1])["status"] == status

    with running(
        "-m", "uvicorn", "fastapi_service:app", "--port", port, env=environment, cwd=tmp_path
    ):
        eventually(serves)
        code, said = ask("/lists", ["deliverable@a.com", "unknown@a.com"], method="POST")
        assert code == 201
        path = f"/lists/{json.loads(said)['id']}"
        eventually(has(path, "ready"))
        assert ask(f"{path}/rows") == (400, ask(f"{path}/rows")[1])
        assert ask(f"{path}/start", method="POST") == (200, '{"started":true}')
        eventually(has(path, "completed"))
        assert ask(f"{path}/start", method="POST") == (200, '{"started":false}')
        assert ask(f"{path}/rows") == (
            200,
            "deliverable@a.com,deliverable\nunknown@a.com,unknown\n",
        )
        code, said = ask("/lists/nosuchlist")
        assert code == 400
        assert "not found" in said.lower()


def test_the_worker_takes_lists_and_puts_unusable_ones_aside(
    environment: dict[str, str], tmp_path: Path
) -> None:
    inbox, outbox = tmp_path / "inbox", tmp_path / "outbox"
    inbox.mkdir()
    outbox.mkdir()
    (outbox / "0.csv").write_text("the output of an earlier list\n")
    shutil.copy(EXAMPLES / "contacts.csv", inbox / "0.csv")
    shutil.copy(EXAMPLES / "contacts.csv", inbox / "a.csv")
    (inbox / "b.csv").write_text("name\nno address here\n")
    with running(EXAMPLES / "worker.py", inbox, outbox, env=environment, cwd=tmp_path):
        eventually(lambda: {"a.csv.done", "b.csv.refused"} <= {one.name for one in inbox.iterdir()})
    assert {path.name for path in inbox.iterdir()} == {"0.csv", "a.csv.done", "b.csv.refused"}
    assert (outbox / "0.csv").read_text() == "the output of an earlier list\n"
    assert (outbox / "a.csv").read_text(encoding="utf-8-sig").count(",deliverable,") == 128


def test_a_worker_leaves_a_list_alone_that_another_one_verifies(
    environment: dict[str, str], tmp_path: Path
) -> None:
    inbox, outbox = tmp_path / "inbox", tmp_path / "outbox"
    inbox.mkdir()
    shutil.copy(EXAMPLES / "contacts.csv", inbox / "a.csv")
    worker = EXAMPLES / "worker.py", inbox, outbox
    with (
        running(*worker, env=environment, cwd=tmp_path),
        running(*worker, env=environment, cwd=tmp_path),
    ):
        eventually((inbox / "a.csv.done").exists)
    assert [path.name for path in inbox.iterdir()] == ["a.csv.done"]
    assert [path.name for path in outbox.iterdir() if path.suffix == ".csv"] == ["a.csv"]


def test_a_celery_worker_does_the_task(environment: dict[str, str], tmp_path: Path) -> None:
    queue = tmp_path / "queue"
    queue.mkdir()
    (tmp_path / "results").mkdir()
    environment |= {
        "CELERY_BROKER_URL": "filesystem://",
        "CELERY_RESULT_BACKEND": f"file://{tmp_path / 'results'}",
    }
    # The file system stands in for a broker.
    (tmp_path / "celeryconfig_of_the_test.py").write_text(
        "import celery_task\n"
        f"celery_task.app.conf.broker_transport_options = dict(data_folder_in={str(queue)!r}, "
        f"data_folder_out={str(queue)!r}, control_folder={str(tmp_path / 'control')!r})\n"
        "app = celery_task.app\n"
    )
    environment["PYTHONPATH"] += os.pathsep + str(tmp_path)
    worker = ["-m", "celery", "--app", "celeryconfig_of_the_test", "worker", "--pool", "solo"]
    send = (
        "from celeryconfig_of_the_test import app; from celery_task import verify; "
        f"print(verify.delay({str(EXAMPLES / 'contacts.csv')!r}, 'out.csv').get(timeout=60))"
    )
    with running(*worker, env=environment, cwd=tmp_path):
        done = subprocess.run(  # noqa: S603 - our own
            [sys.executable, "-c", send],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
    assert (done.stdout, done.returncode) == ("128\n", 0), done.stderr


def test_the_notebook_runs_and_plots(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(EXAMPLES / "contacts.csv", tmp_path)
    for name in ("HOME", "PYTHONPATH"):
        monkeypatch.setenv(name, environment[name])
    notebook = jupytext.read(EXAMPLES / "notebook.py")
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "", "language": "python"}
    nbclient.NotebookClient(
        notebook, timeout=100, resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    shown = [
        kind
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        for kind in output.get("data", {})
    ]
    assert shown.count("image/png") == 2
    assert "text/html" in shown

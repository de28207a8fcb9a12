"""The commands for durable runs: in processes of their own, as their users start them."""

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from bulkverify.cli.runner import run
from bulkverify.durable.database import Database
from bulkverify.run.journal import journal_of
from bulkverify.sandbox import Fault, FaultKind, Sandbox
from tests.run.lists import numbered

from .commands import MAIN, ROOT, Commands, ended, noted
from .made import engine, left_on, require_all_verified, require_paid_once


@pytest.mark.timeout(300)  # four processes, each of which imports DBOS
@pytest.mark.asyncio
async def test_workers_make_what_was_submitted(
    database: str, sandbox: Sandbox, source: Path, output: Path
) -> None:
    source.write_text(numbered(12))
    sandbox.inject(Fault(endpoint="start", kind=FaultKind.DELAY, delay=0.5, times=None))
    commands = Commands(sandbox, database, output.parent)
    words = ("submit", source.name, "-o", output.name, "--account", "acme", "--largest-part", "2")
    submitted = await commands.call(*words, "--id", "monday")
    assert (submitted.code, submitted.out) == (0, "monday\n")
    assert "bulkverify run monday --watch" in submitted.err
    assert ("No worker is alive" in submitted.err) is database.startswith("postgresql")
    async with commands.started("worker", "--accounts", "acme") as worker:
        await noted(worker, "takes work of acme from")
        while not sandbox.ledger.requests["start"]:  # noqa: ASYNC110 - of another process
            await asyncio.sleep(0.02)
        worker.send_signal(signal.SIGTERM)
        stopped = await ended(worker)
    assert (stopped.code, stopped.out) == (0, "")
    assert "What it has not finished" in stopped.err
    paid = sandbox.ledger.credits_spent
    assert 0 < paid < 12
    async with (
        commands.started("worker") as worker,
        commands.started("run", "monday", "--watch") as watch,
    ):
        watched = await ended(watch)
        await noted(worker, "Run monday is done: ")
        worker.send_signal(signal.SIGTERM)
        assert (await ended(worker)).code == 0
    assert watched.code == 0
    assert "6 of 6 parts ended, 6 started" in watched.out.splitlines()[-1]
    assert "  done  " in watched.out.splitlines()[-1]
    assert "credits spent  12" in watched.err
    require_all_verified(output, 12)
    require_paid_once(sandbox, 12)
    assert left_on(sandbox) == 0


@pytest.mark.timeout(300)
@pytest.mark.asyncio
async def test_verify_with_a_database_goes_on_after_ctrl_c(
    sqlite: str, sandbox: Sandbox, source: Path, output: Path
) -> None:
    sandbox.inject(Fault(endpoint="start", kind=FaultKind.DELAY, delay=0.5, times=None))
    commands = Commands(sandbox, sqlite, output.parent)
    words = ("verify", source.name, "-o", output.name, "--database", sqlite, "--largest-part", "2")
    async with commands.started(*words) as process:
        while not sandbox.ledger.starts:  # noqa: ASYNC110 - of another process
            await asyncio.sleep(0.02)
        process.send_signal(signal.SIGINT)
        first = await ended(process)
    assert (first.code, first.out) == (130, "")
    assert "Nothing is paid twice" in first.err
    assert first.err.splitlines()[-1].strip() == f"bulkverify {' '.join(words)}"
    second = await commands.call(*words)
    assert second.code == 0
    require_all_verified(output, 7)
    require_paid_once(sandbox, 7)
    assert not journal_of(output).exists()
    async with commands.started("worker", "--keep-days", "0") as worker:
        await noted(worker, "Forgot 1 run ")
        worker.send_signal(signal.SIGINT)
        assert (await ended(worker)).code == 0
    assert (await commands.call("runs")).out == ""


@pytest.mark.asyncio
async def test_verify_with_a_database_does_not_wait_for_another_key(
    sqlite: str, sandbox: Sandbox, source: Path, output: Path
) -> None:
    sandbox.inject(Fault(endpoint="credits", kind=FaultKind.DENY))
    commands = Commands(sandbox, sqlite, output.parent)
    refused = await commands.call("verify", source.name, "-o", output.name, "--database", sqlite)
    assert (refused.code, refused.out) == (3, "")
    assert "The service refused the credits call" in refused.err


@pytest.mark.asyncio
async def test_a_run_that_no_worker_takes_is_pointed_out(
    postgresql: str, sandbox: Sandbox, source: Path, output: Path
) -> None:
    async with engine(postgresql, sandbox) as working:
        run = await working.submit(source, output, account="acmee")
        opened = Database(postgresql)
        long_ago = sa.update(opened.status).values(created_at=opened.status.c.created_at - 60_000)
        await asyncio.to_thread(opened.transaction, lambda to: to.execute(long_ago))
        opened.close()
        commands = Commands(sandbox, postgresql, output.parent)
        told = await commands.call("runs")
    assert f"{run.id} is still queued: does a worker have a key of account acmee?" in told.err


def command(capfd: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    """Run a command in this process, and return its code and all that it printed."""
    code = run([*words])
    return code, "".join(capfd.readouterr())


def test_a_run_is_submitted_once(
    sqlite: str, source: Path, output: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ("submit", str(source), "-o", str(output), "--account", "acme", "--database", sqlite)
    for _ in range(2):
        assert command(capfd, *words, "--id", "monday", "-q") == (0, "monday\n")
    code, said = command(capfd, *words)
    assert code == 2
    assert f"Run monday is at work on {output}" in said
    assert "`bulkverify cancel monday` cancels it" in said
    [known] = json.loads(command(capfd, "runs", "--json", "--database", sqlite)[1])["runs"]
    assert (known["id"], known["state"], known["account"]) == ("monday", "queued", "acme")


def test_a_cancelled_run_says_what_is_promised(
    sqlite: str, source: Path, output: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    place = ("--database", sqlite)
    command(capfd, "submit", str(source), "-o", str(output), "--id", "monday", *place)
    code, said = command(capfd, "cancel", "monday", *place)
    assert code == 0
    assert f"Nothing new is uploaded or started, and {output} is not written." in said
    assert "are paid for" in said
    assert "can still send this one" in said
    assert "cancelled" in command(capfd, "run", "monday", *place)[1]
    assert command(capfd, "run", "monday", "--watch", *place)[0] == 4
    assert command(capfd, "run", "tuesday", *place)[0] == 2


@pytest.mark.parametrize("words", [(), ("-vv",), ("--json",)], ids=" ".join)
@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:sek%40ret@127.0.0.1:1/x",
        "postgresql://me:sek/ret@127.0.0.1:1/x",
        "postgresql://me:sek:ret@127.0.0.1:port/x",
        "postgres+psycopg://me@127.0.0.1:1/x?password=sekret",
        "mysql://me:sekret@127.0.0.1/x",
    ],
)
def test_the_password_of_a_database_is_never_printed(  # noqa: PLR0917 - fixtures
    url: str,
    words: tuple[str, ...],
    source: Path,
    output: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = (
        ("runs", "--database", url),
        ("run", "monday", "--watch", "--database", url),
        ("runs", f"--databse={url}"),
        ("runs", url),
        ("submit", str(source), "-o", str(output), f"--database={url}"),
        ("verify", str(source), "-o", str(output), f"--database={url}"),
        ("worker", "--migrate", "--database", url),
    )
    for call in calls:
        code, said = command(capfd, *call, *words)
        assert code == 2, said
        assert "sek" not in said
    monkeypatch.setenv("BULKVERIFY_DATABASE", url)
    assert "sek" not in command(capfd, "runs", *words)[1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("runs",), "set BULKVERIFY_DATABASE"),
        (("runs", "--database", "sqlite:///none.db"), "There is no database none.db"),
        (("submit", "none.csv", "-o", "out.csv", "--database", "sqlite:///x.db"), "none.csv"),
        (("worker", "--database", "sqlite:///x.db"), "set BULKVERIFY_API_KEY__ACME"),
        (
            ("worker", "--database", "sqlite:///x.db", "--accounts", "acme,beta"),
            "set BULKVERIFY_API_KEY__ACME",
        ),
        (("worker", "--database", "sqlite:///no/x.db", "--migrate"), "unable to open"),
        (("verify", "-", "-o", "x", "--database", "sqlite:///x.db"), "--database needs files"),
    ],
)
def test_what_is_missing_is_said(
    words: tuple[str, ...],
    said: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("BULKVERIFY_DATABASE", "BULKVERIFY_API_KEY", "BULKVERIFY_API_KEY__ACME"):
        monkeypatch.delenv(name, raising=False)
    code, text = command(capfd, *words)
    assert code == 2
    assert said in text


@pytest.mark.parametrize("module", ["dbos", "sqlalchemy", "psycopg"])
def test_without_the_extra_it_says_what_to_install(module: str) -> None:
    code = f"import sys; sys.modules[{module!r}] = None; "
    command_, imported = (
        subprocess.run(  # noqa: S603 - ours
            [sys.executable, "-c", code + rest, "runs", "--database", "sqlite:///x.db"],
            env={"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        for rest in (MAIN, "import bulkverify.durable")
    )
    said = f'Durable runs need {module}: pip install "bulkverify[durable]"'
    assert (command_.returncode, command_.stdout) == (2, "")
    assert said in command_.stderr
    assert "Traceback" not in command_.stderr
    assert imported.stderr.splitlines()[-1] == f"ImportError: {said}"


@pytest.mark.asyncio
async def test_tables_are_made_apart_from_the_work(
    sqlite: str, sandbox: Sandbox, tmp_path: Path
) -> None:
    commands = Commands(sandbox, sqlite, tmp_path)
    done = await commands.call("worker", "--migrate")
    assert (done.code, done.out) == (0, "")
    assert "are up to date" in done.err
    assert (await commands.call("runs")).code == 0

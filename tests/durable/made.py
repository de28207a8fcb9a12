"""Engines, worker processes and what the tests expect of a run."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from tenacity import wait_fixed

from bulkverify.durable import Engine
from bulkverify.sandbox import Fault, FaultKind, Sandbox
from tests.run.lists import name, table, verdicts_of

WORKER = Path(__file__).with_name("worker.py")


def engine(database: str, sandbox: Sandbox, **options: Any) -> Engine:  # noqa: ANN401 - of the engine
    return Engine(
        database,
        **{
            "accounts": {"acme": sandbox.api_key},
            "base_url": sandbox.url,
            "requests_per_minute": None,
            "wait": wait_fixed(0.05),
            "lease": 3.0,
            **options,
        },
    )


@asynccontextmanager
async def worker(
    database: str, sandbox: Sandbox, *words: str, folder: Path | None = None
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Start a process that takes work; kill it at the end if it is still there.

    Its own folder is made in `folder`.
    """
    if folder is not None:
        folder.mkdir()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", str(WORKER), database, sandbox.url, *words),
        stdout=asyncio.subprocess.PIPE,
        env={
            **os.environ,
            "PYTHONPATH": str(Path(__file__).parents[2]),
            **({} if folder is None else {"TMPDIR": str(folder)}),
        },
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
            process.send_signal(signal.SIGCONT)
        await process.wait()


async def said(process: asyncio.subprocess.Process, word: str) -> None:
    """Wait until a worker has written a line."""
    assert process.stdout is not None
    async with asyncio.timeout(30):
        while (line := await process.stdout.readline()).strip() != word.encode():
            assert line, f"the worker ended before it said {word}"


async def stopped(process: asyncio.subprocess.Process) -> None:
    """End a worker as an operator does."""
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(30):
        assert await process.wait() == 0


def refuse_second_upload(sandbox: Sandbox) -> None:
    """Let one part of a list fail; the others are verified."""
    refusal = '{"success": false, "result": "No"}'
    sandbox.inject(
        Fault(endpoint="upload", kind=FaultKind.ANSWER, skip=1, status=400, body=refusal)
    )


def require_all_verified(output: Path, count: int) -> None:
    assert verdicts_of(table(output)[1:]) == [name(n).partition("+")[0] for n in range(count)]


def require_paid_once(sandbox: Sandbox, count: int) -> None:
    assert set(sandbox.ledger.paid.values()) == {1}
    assert sandbox.ledger.credits_spent == count


def left_on(sandbox: Sandbox) -> int:
    """Return how many lists were uploaded, and neither started nor deleted."""
    ledger = sandbox.ledger
    return len({one.job_id for one in ledger.uploads} - {*ledger.starts} - {*ledger.deletes})

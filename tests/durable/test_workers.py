"""Worker processes that are killed, frozen and ended; the sandbox counts what was paid."""

import asyncio
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bulkverify.durable import RunCancelledError
from bulkverify.sandbox import Fault, FaultKind, Sandbox
from tests.run.lists import numbered

from .made import (
    engine,
    left_on,
    require_all_verified,
    require_paid_once,
    said,
    stopped,
    worker,
)


@pytest.mark.asyncio
async def test_another_process_goes_on_after_a_kill(
    database: str, sandbox: Sandbox, source: Path, output: Path
) -> None:
    source.write_text(numbered(24))
    sandbox.inject(Fault(endpoint="start", kind=FaultKind.DELAY, delay=0.1, times=None))
    async with engine(database, sandbox, work=False) as submitting:
        run = await submitting.submit(source, output, account="acme", largest_part=2)
        async with worker(database, sandbox) as first:
            while len(sandbox.ledger.starts) < 4:  # noqa: ASYNC110 - of another process
                await asyncio.sleep(0.02)
            first.kill()
            await first.wait()
        async with worker(database, sandbox) as second:
            report = await asyncio.wait_for(run.wait(), 100)
            await stopped(second)
    require_all_verified(output, 24)
    require_paid_once(sandbox, 24)
    assert report.orphans <= 1
    assert left_on(sandbox) <= 1


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "point",
    [
        "before:upload",
        "after:upload",
        "after:credits",
        "before:start",
        "after:start",
        "before:rename",
    ],
)
async def test_a_frozen_worker_that_comes_back_does_no_harm(
    postgresql: str, sandbox: Sandbox, source: Path, output: Path, point: str
) -> None:
    source.write_text(numbered(2))
    async with engine(postgresql, sandbox, work=False) as submitting:
        run = await submitting.submit(source, output, account="acme")
        async with worker(postgresql, sandbox, point) as frozen:
            await said(frozen, "frozen")
            async with worker(postgresql, sandbox) as heir:
                await asyncio.wait_for(run.wait(), 100)
                written = output.stat().st_mtime_ns
                frozen.send_signal(signal.SIGCONT)
                await said(frozen, "thawed")
                while point == "after:upload" and not sandbox.ledger.deletes:  # noqa: ASYNC110 - of another process
                    await asyncio.sleep(0.02)
                await stopped(frozen)
                await stopped(heir)
    require_all_verified(output, 2)
    require_paid_once(sandbox, 2)
    assert output.stat().st_mtime_ns == written
    assert left_on(sandbox) == 0


@pytest.mark.asyncio
async def test_an_heir_knows_the_output_of_a_worker_that_died_right_after_it(
    sqlite: str, sandbox: Sandbox, source: Path, output: Path
) -> None:
    async with engine(sqlite, sandbox, work=False) as submitting:
        run = await submitting.submit(source, output, account="acme", largest_part=2)
    async with worker(sqlite, sandbox, "after:deliver") as killed:
        await said(killed, "frozen")
    written = output.read_bytes()
    async with engine(sqlite, sandbox) as heir:
        assert (await heir.run(run.id).wait()).rows == 7
    assert output.read_bytes() == written
    require_paid_once(sandbox, 7)


@pytest.mark.asyncio
async def test_a_restored_database_costs_nothing_if_its_runs_are_cancelled_first(
    sqlite: str, sandbox: Sandbox, source: Path, output: Path
) -> None:
    file = Path(sqlite.removeprefix("sqlite:///"))
    async with engine(sqlite, sandbox, work=False) as submitting:
        run = await submitting.submit(source, output, account="acme", largest_part=2)
    async with worker(sqlite, sandbox, "before:upload") as killed:
        await said(killed, "frozen")
    with closing(sqlite3.connect(file)) as there, closing(sqlite3.connect(f"{file}.copy")) as copy:
        there.backup(copy)
    async with engine(sqlite, sandbox) as heir:
        await heir.run(run.id).wait()
    for old in file.parent.glob("runs.db-*"):
        old.unlink()
    Path(f"{file}.copy").replace(file)

    async with engine(sqlite, sandbox, work=False) as submitting:
        [state] = await submitting.runs()
        assert (state.id, state.state, state.parts) == (run.id, "running", 3)
        await submitting.cancel(run.id)
    async with engine(sqlite, sandbox) as working:
        with pytest.raises(RunCancelledError):
            await working.run(run.id).wait()
        report = await (await working.submit(source, output, account="acme", largest_part=2)).wait()
    assert report.already_verified_at is not None
    require_all_verified(output, 7)
    require_paid_once(sandbox, 7)


@pytest.mark.asyncio
@pytest.mark.parametrize("point", ["before:upload", "after:upload", "before:start"])
async def test_a_frozen_worker_that_comes_back_after_a_cancel_starts_nothing_new(
    postgresql: str, sandbox: Sandbox, source: Path, output: Path, point: str
) -> None:
    async with engine(postgresql, sandbox, work=False) as submitting:
        run = await submitting.submit(source, output, account="acme", largest_part=2)
        async with worker(postgresql, sandbox, point) as frozen:
            await said(frozen, "frozen")
            before = len(sandbox.ledger.starts)
            await run.cancel()
            frozen.send_signal(signal.SIGCONT)
            await said(frozen, "thawed")
            with pytest.raises(RunCancelledError):
                await run.wait()
            # A list that was about to be started is left to the next run.
            while point != "before:start" and left_on(sandbox):  # noqa: ASYNC110 - of another process
                await asyncio.sleep(0.02)
            await stopped(frozen)
    assert len(sandbox.ledger.starts) - before <= int(point == "before:start")
    assert not output.exists()
    async with engine(postgresql, sandbox) as working:
        await (await working.submit(source, output, account="acme", largest_part=2)).wait()
    require_all_verified(output, 7)
    require_paid_once(sandbox, 7)
    assert left_on(sandbox) == 0


@pytest.mark.asyncio
async def test_a_worker_that_is_told_to_end_leaves_nothing_half_paid(
    postgresql: str, sandbox: Sandbox, source: Path, output: Path
) -> None:
    source.write_text(numbered(24))
    for endpoint in ("upload", "start"):
        sandbox.inject(Fault(endpoint=endpoint, kind=FaultKind.DELAY, delay=0.3, times=None))
    async with engine(postgresql, sandbox, work=False) as submitting:
        run = await submitting.submit(source, output, account="acme", largest_part=2)
        for _ in range(3):
            before = sandbox.ledger.requests["start"]
            async with worker(postgresql, sandbox) as ended:
                await said(ended, "working")
                async with asyncio.timeout(20):
                    while sandbox.ledger.requests["start"] == before:  # noqa: ASYNC110 - of another process
                        await asyncio.sleep(0.02)
                await stopped(ended)
        async with worker(postgresql, sandbox) as last:
            report = await asyncio.wait_for(run.wait(), 100)
            await stopped(last)
    require_paid_once(sandbox, 24)
    assert report.orphans == 0
    assert left_on(sandbox) == 0

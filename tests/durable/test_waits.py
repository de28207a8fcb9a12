"""Long waits need no execution of their part, and end with the list, the run or the process."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from bulkverify import IncompleteRunError
from bulkverify.durable import Engine, RunCancelledError, here, waits
from bulkverify.durable.here import Here
from bulkverify.durable.names import Execution
from bulkverify.sandbox import Fault, FaultKind, Sandbox, Timings

from .made import engine, require_all_verified, require_paid_once, said, worker


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """End the executions of this process as soon as their lists are started."""
    monkeypatch.setattr(waits, "SHORT", 0.01)


@pytest_asyncio.fixture
async def slow() -> AsyncIterator[Sandbox]:
    """A service that verifies each list for a second."""
    timings = Timings(
        preparing=0,
        preparing_per_address=0,
        start_delay=0,
        verifying=1,
        verifying_per_address=0,
        finishing=0,
    )
    async with Sandbox(requests_per_minute=None, timings=timings) as sandbox:
        yield sandbox


@pytest.mark.asyncio
async def test_a_list_that_is_waited_for_needs_no_execution(
    database: str, slow: Sandbox, source: Path, output: Path
) -> None:
    async with engine(database, slow) as working:
        run = await working.submit(source, output, account="acme", largest_part=2)
        ours = here_of(working)
        await until(lambda: ours.waits.count("acme") == 3 and set(+ours.running) == {run.id})
        stats = await working.stats()
        assert (stats.parts_running, stats.parts_waiting) == (3, 0)
        report = await run.wait()
        assert (ours.waits.total(), ours.waits.count("acme")) == (0, 0)
    require_all_verified(output, 7)
    require_paid_once(slow, 7)
    assert (report.credits_spent, report.orphans) == (7, 0)


@pytest.mark.asyncio
async def test_the_waits_of_a_cancelled_run_end(
    postgresql: str, slow: Sandbox, source: Path, output: Path
) -> None:
    slow.inject(Fault(endpoint="start", kind=FaultKind.ENDLESS, times=None))
    async with engine(postgresql, slow, lease=1.0) as working:
        run = await working.submit(source, output, account="acme", largest_part=2)
        ours = here_of(working)
        await until(lambda: ours.waits.total() == 3)
        await run.cancel()
        with pytest.raises(RunCancelledError):
            await run.wait()
        await until(lambda: ours.waits.total() == 0)
        asked = slow.ledger.requests["status"]
        await asyncio.sleep(0.3)
        assert slow.ledger.requests["status"] == asked
        assert +ours.running == {}
    assert not output.exists()


@pytest.mark.asyncio
async def test_a_list_that_fails_during_a_wait_is_told(
    sqlite: str, slow: Sandbox, source: Path, output: Path
) -> None:
    async with engine(sqlite, slow) as working:
        run = await working.submit(source, output, account="acme", largest_part=2)
        await until(lambda: here_of(working).waits.total() == 3)
        slow.inject(Fault(endpoint="status", kind=FaultKind.FAIL, times=1))
        with pytest.raises(IncompleteRunError, match="1 of 3 parts") as caught:
            await run.wait()
    [failure] = caught.value.failures
    assert "may be spent, and its addresses are not sent again" in failure.message
    assert len(slow.ledger.starts) == 3


@pytest.mark.asyncio
async def test_a_wait_has_one_timeout(
    sqlite: str, slow: Sandbox, source: Path, output: Path
) -> None:
    slow.inject(Fault(endpoint="start", kind=FaultKind.ENDLESS, times=None))
    async with engine(sqlite, slow) as working:
        run = await working.submit(source, output, account="acme", largest_part=3, timeout=1)
        async with asyncio.timeout(20):
            with pytest.raises(IncompleteRunError) as caught:
                await run.wait()
    assert {failure.error for failure in caught.value.failures} == {"WaitTimeoutError"}


@pytest.mark.asyncio
async def test_an_engine_that_closes_gives_its_waits_to_the_next(
    postgresql: str, slow: Sandbox, source: Path, output: Path
) -> None:
    async with engine(postgresql, slow) as working:
        run = await working.submit(source, output, account="acme", largest_part=2)
        await until(lambda: here_of(working).waits.total() == 3)
    async with engine(postgresql, slow) as working:
        report = await working.run(run.id).wait()
    require_all_verified(output, 7)
    require_paid_once(slow, 7)
    assert (report.orphans, len(slow.ledger.uploads)) == (0, 3)


@pytest.mark.asyncio
async def test_a_worker_with_a_malformed_key_leaves_the_parts_to_others(
    sqlite: str, slow: Sandbox, source: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(here, "_FIRST_PAUSE", 0.1)
    async with engine(sqlite, slow) as working:
        run = await working.submit(source, output, account="acme", largest_part=2)
        await until(lambda: here_of(working).waits.total() == 3)
    async with engine(sqlite, slow, accounts={"acme": "two words"}) as wrong:
        async with asyncio.timeout(20):
            while "tried again" not in (await wrong.run(run.id).state()).message:  # noqa: ASYNC110 - of another thread
                await asyncio.sleep(0.05)
    async with engine(sqlite, slow) as working:
        await working.run(run.id).wait()
    require_all_verified(output, 7)
    require_paid_once(slow, 7)


@pytest.mark.asyncio
@pytest.mark.parametrize("frozen", [False, True])
async def test_waits_of_a_worker_that_dies_or_is_frozen_are_taken_over(
    postgresql: str, slow: Sandbox, source: Path, output: Path, *, frozen: bool
) -> None:
    async with (
        engine(postgresql, slow, work=False) as submitting,
        worker(postgresql, slow) as first,
    ):
        await said(first, "working")
        run = await submitting.submit(source, output, account="acme", largest_part=2)
        await until(lambda: len(slow.ledger.starts) == 3)
        await asyncio.sleep(0.7)  # longer than its executions stay
        first.send_signal(signal.SIGSTOP if frozen else signal.SIGKILL)
        async with engine(postgresql, slow, lease=1.0) as working:
            report = await working.run(run.id).wait()
            if frozen:  # it comes back, and its lists have ended
                first.send_signal(signal.SIGCONT)
                await asyncio.sleep(1)
                assert first.returncode is None
    require_all_verified(output, 7)
    require_paid_once(slow, 7)
    assert (report.orphans, len(slow.ledger.uploads), len(slow.ledger.starts)) == (0, 3, 3)


@pytest.mark.asyncio
async def test_a_wait_of_a_part_that_others_have_is_forgotten() -> None:
    resumed: list[Execution] = []

    async def resume(execution: Execution) -> bool:
        resumed.append(execution)
        return False

    async def wait() -> waits.Waited:
        await ended.wait()
        return {"number": 1}, None

    ended, ours = asyncio.Event(), waits.Waits(resume)
    assert await ours.take(Execution("run.1", "token"), "acme", wait) is None
    assert (ours.parts(ended=False), ours.count("acme"), ours.total()) == ({"run.1"}, 1, 1)
    ended.set()
    await until(lambda: ours.total() == 0)
    assert resumed == [Execution("run.1", "token")]
    assert ours.count("acme") == 0


@pytest.mark.asyncio
async def test_no_wait_begins_after_the_end() -> None:
    async def wait() -> waits.Waited:
        await asyncio.sleep(100)
        return {}, None

    async def resume(_: Execution) -> bool:
        return True

    ours = waits.Waits(resume)
    taken = asyncio.create_task(ours.take(Execution("run.1", "token"), "acme", wait))
    await asyncio.sleep(0)
    await ours.end()
    for one in (taken, ours.take(Execution("run.2", "token"), "acme", wait)):
        with pytest.raises(asyncio.CancelledError):
            await one
    assert ours.total() == 0
    assert not [one for one in asyncio.all_tasks() if one.get_name() == "bulkverify wait"]


async def until(what: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not what():  # noqa: ASYNC110 - of other threads and processes
            await asyncio.sleep(0.02)


def here_of(working: Engine) -> Here:
    assert working._process is not None
    return working._process._here

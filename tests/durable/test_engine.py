"""Runs within one process: what is submitted, what it comes to, and what the loop of the program notices."""

import asyncio
import sqlite3
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from dbos import DBOS
from sqlalchemy.exc import OperationalError
from tenacity import wait_none

from bulkverify import (
    ClientClosedError,
    ConnectionFailedError,
    IncompleteRunError,
    InvalidListError,
    JournalError,
    UsageError,
)
from bulkverify.durable import (
    DurableRun,
    Engine,
    RunCancelledError,
    RunState,
    accounts,
    here,
    names,
)
from bulkverify.run import outages
from bulkverify.run.journal import journal_of
from bulkverify.sandbox import Fault, FaultKind, Sandbox
from bulkverify.service import retrying
from tests.run.lists import left_behind, numbered, table

from .made import (
    engine,
    left_on,
    refuse_second_upload,
    require_all_verified,
    require_paid_once,
    said,
    worker,
)


@pytest.mark.asyncio
async def test_a_run_is_verified_and_leaves_nothing_behind(
    database: str, sandbox: Sandbox, source: Path, output: Path
) -> None:
    async with engine(database, sandbox) as working:
        run = await working.submit(source, output, account="acme", largest_part=2)
        report = await run.wait()
        state = await run.state()
    require_all_verified(output, 7)
    require_paid_once(sandbox, 7)
    assert (report.rows, report.credits_spent, report.orphans, len(report.parts)) == (7, 7, 0, 3)
    took = report.durations
    assert min(took.reading, took.uploading, took.preparing, took.verifying) > 0
    assert report.seconds >= took.preparing
    assert report.began_at is not None
    assert report.began_at >= state.submitted_at.replace(microsecond=0)
    assert [report.curve[0].verified, report.curve[-1].verified] == [0, 7]
    assert report.trial
    assert (state.state, state.parts, state.parts_left) == ("done", 3, 0)
    assert [one for one in left_behind(output) if not one.startswith("runs.db")] == []


@pytest.mark.asyncio
async def test_a_single_address_is_verified_without_a_list(
    database: str, sandbox: Sandbox, source: Path, output: Path
) -> None:
    source.write_text(numbered(1))
    async with engine(database, sandbox) as working:
        report = await (await working.submit(source, output, account="acme")).wait()
    require_all_verified(output, 1)
    assert (sandbox.ledger.requests["verify"], sandbox.ledger.requests["upload"]) == (1, 0)
    assert report.credits_spent == 1


@pytest.mark.asyncio
async def test_the_program_keeps_its_executor_and_its_loop(
    database: str, sandbox: Sandbox, source: Path, output: Path
) -> None:
    loop = asyncio.get_running_loop()
    await asyncio.to_thread(int)
    executor = loop._default_executor  # type: ignore[attr-defined]
    async with engine(database, sandbox) as working:
        run = await working.submit(source, output, account="acme", largest_part=2)
        assert await asyncio.to_thread(int) == 0
        await run.wait()
        assert loop._default_executor is executor  # type: ignore[attr-defined]
    assert await asyncio.to_thread(int) == 0
    assert loop._default_executor is executor  # type: ignore[attr-defined]


@pytest.mark.asyncio
async def test_beginning_to_work_does_not_hold_up_the_loop(database: str, sandbox: Sandbox) -> None:
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0)
            longest = max(longest, time.perf_counter() - began)
            await asyncio.sleep(0.005)

    watching = asyncio.create_task(watch())
    for _ in range(5):  # on a busy machine, any step may take long
        longest = 0.0
        async with engine(database, sandbox):
            blocked = longest
        if blocked < 0.1:
            break
    watching.cancel()
    assert blocked < 0.1


@pytest.mark.asyncio
async def test_the_same_call_with_the_same_id_is_the_same_run(
    sqlite: str, sandbox: Sandbox, source: Path, output: Path
) -> None:
    async with engine(sqlite, sandbox) as working:
        runs = [await working.submit(source, output, account="acme", id="monday") for _ in range(2)]
        reports = [await run.wait() for run in runs]
        with pytest.raises(UsageError, match="another run with the id 'monday'"):
            await working.submit(source, output, account="acme", id="monday", only=["unknown"])
        assert [one.id for one in await working.runs()] == ["monday"]
    assert reports[0] == reports[1]
    assert len(sandbox.ledger.uploads) == 1


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "words", [{"id": ""}, {"id": "-x"}, {"id": "a b"}, {"account": "Acme"}, {"account": "a-b"}]
)
async def test_names_that_commands_or_environments_confuse_are_refused(
    sqlite: str, sandbox: Sandbox, source: Path, output: Path, words: dict[str, Any]
) -> None:
    async with engine(sqlite, sandbox, work=False) as submitting:
        with pytest.raises(UsageError, match="can't be the"):
            await submitting.submit(source, output, **words)
        assert await submitting.runs() == []


@pytest.mark.asyncio
async def test_a_new_database_is_private(sqlite: str, sandbox: Sandbox) -> None:
    async with engine(sqlite, sandbox, work=False) as submitting:
        await submitting.runs()
        path = Path(submitting._database.name)
        assert {oct(one.stat().st_mode & 0o777) for one in path.parent.glob("runs.db*")} == {
            "0o600"
        }


@pytest.mark.asyncio
async def test_another_process_may_make_the_tables_at_the_same_time(
    sqlite: str, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, there = names.migrate, sqlite3.OperationalError("table worker already exists")

    def raced(client: object) -> None:
        make(client)
        if not made:
            made.append(client)
            raise OperationalError("create table worker", {}, there)

    made: list[object] = []
    monkeypatch.setattr(names, "migrate", raced)
    async with engine(sqlite, sandbox, work=False) as submitting:
        assert await submitting.runs() == []
    assert made


@pytest.mark.asyncio
async def test_another_process_leaves_the_log_of_the_database_alone(
    sqlite: str, sandbox: Sandbox, source: Path, output: Path
) -> None:
    file = sqlite.removeprefix("sqlite:///")
    other = f"import sqlite3; c = sqlite3.connect({file!r}); c.execute('pragma table_info(output)').fetchall(); c.close()"
    async with engine(sqlite, sandbox) as working:
        for number in range(3):
            await asyncio.gather(*(working.runs() for _ in range(4)))  # several connections
            process = await asyncio.create_subprocess_exec(sys.executable, "-c", other)
            assert await process.wait() == 0
            assert Path(f"{file}-wal").exists()
            run = await working.submit(source, output.with_name(f"{number}.csv"), account="acme")
            await run.wait()


@pytest.mark.asyncio
async def test_an_output_that_became_a_link_costs_nothing(
    sqlite: str, sandbox: Sandbox, source: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(here, "_FIRST_PAUSE", 0.2)
    async with engine(sqlite, sandbox, work=False) as submitting:
        run = await submitting.submit(source, output, account="acme")
    output.symlink_to(output.with_name("elsewhere"))
    async with engine(sqlite, sandbox) as working:
        run = working.run(run.id)
        async with asyncio.timeout(20):
            while "links are not followed" not in (await run.state()).message:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        assert not sandbox.ledger.uploads
        output.unlink()
        await run.wait()
    require_all_verified(output, 7)


@pytest.mark.asyncio
async def test_two_runs_for_one_output_are_refused(
    database: str, sandbox: Sandbox, source: Path, output: Path
) -> None:
    async with engine(database, sandbox, work=False) as submitting:
        first = await submitting.submit(source, output, account="acme")
        with pytest.raises(UsageError, match=f"Run {first.id} is at work"):
            await submitting.submit(source, output, account="acme")
        await first.cancel()
        second = await submitting.submit(source, output, account="acme")
        assert (await second.state()).state == "queued"
        with pytest.raises(RunCancelledError):
            await first.wait()


@pytest.mark.asyncio
async def test_an_output_is_the_same_however_it_is_spelled(
    sqlite: str, sandbox: Sandbox, source: Path, output: Path
) -> None:
    link = output.with_name("link")
    link.symlink_to(output.parent, target_is_directory=True)
    async with engine(sqlite, sandbox, work=False) as submitting:
        first = await submitting.submit(source, output)
        stored = await submitting.submit(source, "s3://lists/out.csv")
        for spelled, at_work in (
            (link / output.name, first),
            (output.parent / "link" / ".." / output.parent.name / output.name, first),
            ("S3A://lists/out.csv", stored),
        ):
            with pytest.raises(UsageError, match=f"Run {at_work.id} is at work"):
                await submitting.submit(source, spelled)
        link.unlink()
        link.symlink_to(output)
        with pytest.raises(OSError, match="links are not followed"):
            await submitting.submit(source, link.rename(output.with_name("link.csv")))
        assert len(await submitting.runs()) == 2


@pytest.mark.asyncio
async def test_an_unusable_list_is_an_error_as_in_verify_list(
    sqlite: str, sandbox: Sandbox, source: Path, output: Path
) -> None:
    source.write_text("name\nAnna\n")
    async with engine(sqlite, sandbox) as working:
        run = await working.submit(source, output, account="acme")
        with pytest.raises(InvalidListError):
            await run.wait()
        assert (await run.state()).state == "failed"


@pytest.mark.asyncio
async def test_an_output_that_exists_is_kept(
    sqlite: str, sandbox: Sandbox, source: Path, output: Path
) -> None:
    output.write_text("mine")
    async with engine(sqlite, sandbox) as working:
        with pytest.raises(FileExistsError):
            await (await working.submit(source, output, account="acme")).wait()
    assert output.read_text() == "mine"
    assert not journal_of(output).exists()
    assert not sandbox.ledger.uploads


@pytest.mark.asyncio
async def test_a_file_that_appears_at_the_output_is_kept_and_costs_nothing(
    sqlite: str, sandbox: Sandbox, source: Path, output: Path
) -> None:
    async with engine(sqlite, sandbox) as working:
        run = await working.submit(source, output, account="acme", largest_part=2)
        async with asyncio.timeout(30):
            while not sandbox.ledger.uploads:  # noqa: ASYNC110 - of another service
                await asyncio.sleep(0.01)
        output.write_text("mine")
        with pytest.raises(FileExistsError, match="Move it away, and submit the list again"):
            await run.wait()
        assert output.read_text() == "mine"
        output.unlink()
        report = await (await working.submit(source, output, account="acme", largest_part=2)).wait()
    require_all_verified(output, 7)
    require_paid_once(sandbox, 7)
    assert (report.credits_spent, report.credits_spent_before) == (0, 7)
    assert [one for one in left_behind(output) if not one.startswith("runs.db")] == []


@pytest.mark.asyncio
async def test_a_run_that_finds_its_output_complete_leaves_nothing_behind(
    sqlite: str, sandbox: Sandbox, source: Path, output: Path
) -> None:
    async with engine(sqlite, sandbox) as working:
        reports = [
            await (await working.submit(source, output, account="acme")).wait() for _ in range(2)
        ]
    assert [report.credits_spent for report in reports] == [7, 0]
    assert not journal_of(output).exists()
    require_paid_once(sandbox, 7)


@pytest.mark.asyncio
async def test_a_part_that_fails_does_not_end_the_others(
    sqlite: str, sandbox: Sandbox, source: Path, output: Path
) -> None:
    sandbox.inject(Fault(endpoint="start", kind=FaultKind.ENDLESS))
    async with engine(sqlite, sandbox) as working:
        run = await working.submit(source, output, account="acme", largest_part=2)
        while not sandbox.ledger.starts:  # noqa: ASYNC110 - of another service
            await asyncio.sleep(0.001)
        sandbox.fail(sandbox.ledger.starts[0])
        with pytest.raises(IncompleteRunError) as caught:
            await run.wait()
        assert (await run.state()).state == "incomplete"
    [failure] = caught.value.failures
    assert (failure.error, failure.paid) == ("JobFailedError", True)
    assert caught.value.report is not None
    assert caught.value.report.missing == failure.addresses
    assert sum(row[-7] != "" for row in table(output)[1:]) == 7 - failure.addresses


@pytest.mark.asyncio
async def test_another_run_for_the_output_goes_on_with_an_incomplete_one(
    sqlite: str, sandbox: Sandbox, source: Path, output: Path
) -> None:
    refuse_second_upload(sandbox)
    async with engine(sqlite, sandbox) as working:
        first = await working.submit(source, output, account="acme", largest_part=2)
        with pytest.raises(IncompleteRunError):
            await first.wait()
        assert 0 < sandbox.ledger.credits_spent < 7
        report = await (await working.submit(source, output, account="acme", largest_part=2)).wait()
    require_all_verified(output, 7)
    require_paid_once(sandbox, 7)
    assert len(sandbox.ledger.starts) == 3
    assert report.missing == 0


@pytest.mark.asyncio
async def test_an_incomplete_output_is_replaced_after_a_cancel_between(
    sqlite: str, sandbox: Sandbox, source: Path, output: Path
) -> None:
    refuse_second_upload(sandbox)
    async with engine(sqlite, sandbox) as working:
        with pytest.raises(IncompleteRunError):
            await (await working.submit(source, output, account="acme", largest_part=2)).wait()
        assert output.exists()
        sandbox.inject(Fault(endpoint="download", kind=FaultKind.DELAY, delay=2, times=3))
        second = await working.submit(source, output, account="acme", largest_part=2)
        while len(sandbox.ledger.starts) < 3:  # noqa: ASYNC110 - of another service
            await asyncio.sleep(0.02)
        await second.cancel()
        await (await working.submit(source, output, account="acme", largest_part=2)).wait()
    require_all_verified(output, 7)
    require_paid_once(sandbox, 7)


@pytest.mark.asyncio
async def test_a_cancelled_run_is_not_paid_for_again(
    database: str, sandbox: Sandbox, source: Path, output: Path
) -> None:
    sandbox.inject(Fault(endpoint="download", kind=FaultKind.DELAY, delay=2, times=3))
    async with engine(database, sandbox) as working:
        first = await working.submit(source, output, account="acme", largest_part=2)
        while len(sandbox.ledger.starts) < 2:  # noqa: ASYNC110 - of another service
            await asyncio.sleep(0.02)
        await first.cancel()
        await (await working.submit(source, output, account="acme", largest_part=2)).wait()
    require_all_verified(output, 7)
    require_paid_once(sandbox, 7)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("options", "added", "refused"),
    [
        ({"largest_part": 3}, "", JournalError),
        ({"deduplicate": False}, "", JournalError),
        ({}, "7,more@example.com\n", JournalError),
        ({"account": "beta"}, "", UsageError),
    ],
    ids=["parts", "duplicates", "list", "account"],
)
async def test_what_would_pay_again_after_a_cancel_is_refused(  # noqa: PLR0917 - fixtures
    sqlite: str,
    sandbox: Sandbox,
    source: Path,
    output: Path,
    options: dict[str, Any],
    added: str,
    refused: type[Exception],
) -> None:
    same: dict[str, Any] = {"account": "acme", "largest_part": 2}
    keys = dict.fromkeys(("acme", "beta"), sandbox.api_key)
    async with engine(sqlite, sandbox, accounts=keys) as working:
        first = await working.submit(source, output, **same)
        while len(sandbox.ledger.starts) < 3:  # noqa: ASYNC110 - of another service
            await asyncio.sleep(0.01)
        await first.cancel()
        listed = source.read_text()
        source.write_text(listed + added)
        with pytest.raises(refused, match=f"Run {first.id} .* restart"):
            await (await working.submit(source, output, **{**same, **options})).wait()
        source.write_text(listed)
        report = await (await working.submit(source, output, **same)).wait()
        assert (report.credits_spent, report.credits_spent_before) == (0, 7)
    require_all_verified(output, 7)
    require_paid_once(sandbox, 7)
    assert [one for one in left_behind(output) if not one.startswith("runs.db")] == []


@pytest.mark.asyncio
async def test_a_run_that_is_cancelled_again_and_again_is_paid_once(
    database: str, sandbox: Sandbox, source: Path, output: Path
) -> None:
    source.write_text(numbered(24))
    sandbox.inject(Fault(endpoint="upload", kind=FaultKind.DELAY, delay=0.05, times=None))
    async with engine(database, sandbox) as working:
        for uploads in (4, 4, 8, 8):  # every second one is cancelled before it has sent anything
            run = await working.submit(source, output, account="acme", largest_part=2)
            while not (await run.state()).parts or len(sandbox.ledger.uploads) < uploads:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            await run.cancel()
        await (await working.submit(source, output, account="acme", largest_part=2)).wait()
    require_all_verified(output, 24)
    require_paid_once(sandbox, 24)


@pytest.mark.asyncio
async def test_a_run_that_has_paid_nothing_can_be_submitted_otherwise(
    sqlite: str, sandbox: Sandbox, source: Path, output: Path
) -> None:
    async with engine(sqlite, sandbox) as working:
        first = await working.submit(source, output, account="beta")
        await first.cancel()
        await (await working.submit(source, output, account="acme", largest_part=3)).wait()
    require_paid_once(sandbox, 7)


@pytest.mark.asyncio
async def test_a_run_waits_while_the_service_does_not_tell_the_credits(
    sqlite: str, sandbox: Sandbox, source: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outages, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(retrying, "_BACKOFF", wait_none())
    for skip in (0, 1):  # before the parts are sent, and before they are started
        fault = Fault(
            endpoint="credits", kind=FaultKind.ANSWER, status=503, skip=skip, times=20, body="{}"
        )
        sandbox.inject(fault)
    async with engine(sqlite, sandbox) as working:
        await (await working.submit(source, output, account="acme", largest_part=2)).wait()
    require_all_verified(output, 7)
    require_paid_once(sandbox, 7)
    assert sandbox.ledger.requests["credits"] > 40


@pytest.mark.asyncio
async def test_a_run_is_held_until_there_are_enough_credits(
    database: str, source: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accounts, "CREDITS_SECONDS", 0.1)
    async with (
        Sandbox(speed=1000, requests_per_minute=None, credits=6) as sandbox,
        engine(database, sandbox) as working,
    ):
        run = await working.submit(source, output, account="acme", largest_part=2)
        state = await until_held(run)
        assert "needs 7 credits, and account acme has fewer. Order credits" in state.message
        while sandbox.ledger.requests["credits"] < 4:  # noqa: ASYNC110 - of another service
            await asyncio.sleep(0.05)
        assert not sandbox.ledger.uploads
        assert (await run.state()).state == "held"
        sandbox.credits += 1
        await run.wait()
        state = await run.state()
        assert (state.state, state.message) == ("done", "")
        require_paid_once(sandbox, 7)


@pytest.mark.asyncio
async def test_a_run_waits_while_its_worker_reaches_something_else(
    sqlite: str, sandbox: Sandbox, source: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accounts, "_FIRST_PAUSE", 0.1)
    sandbox.inject(Fault(endpoint="credits", kind=FaultKind.ANSWER, status=404, body="a proxy"))
    async with engine(sqlite, sandbox) as working:
        await (await working.submit(source, output, account="acme")).wait()
    require_paid_once(sandbox, 7)


@pytest.mark.asyncio
async def test_a_run_says_what_is_wrong_with_its_worker(
    database: str, sandbox: Sandbox, source: Path, output: Path
) -> None:
    async with engine(database, sandbox, accounts=lambda _: None) as working:
        run = await working.submit(source, output, account="acme")
        async with asyncio.timeout(20):
            while not (await run.state()).message:  # noqa: ASYNC110 - of another thread
                await asyncio.sleep(0.05)
        state = await run.state()
    assert state.message == "It is tried again: There is no key for account 'acme'."
    assert state.state == "queued"
    async with engine(database, sandbox) as working:
        await working.run(run.id).wait()
        assert (await working.run(run.id).state()).message == ""


@pytest.mark.asyncio
async def test_a_run_that_can_not_go_on_does_not_hold_up_the_others(
    database: str, sandbox: Sandbox, source: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(here, "_FIRST_PAUSE", 0.2)
    missing = source.with_name("missing.csv")
    async with engine(database, sandbox) as working:
        bad = await working.submit(missing, output.with_name("bad.csv"), account="acme")
        async with asyncio.timeout(20):
            while not (await bad.state()).message:  # noqa: ASYNC110 - of another thread
                await asyncio.sleep(0.02)
        await (await working.submit(source, output, account="acme", largest_part=2)).wait()
        state = await bad.state()
        assert (state.state, state.message) == (
            "queued",
            f"It is tried again: {missing}: No such file or directory.",
        )
        assert (await working.stats()).runs == {"queued": 1, "running": 0, "held": 0}
        missing.write_text("email\nz@example.com\n")
        assert (await bad.wait()).rows == 1
    require_paid_once(sandbox, 8)


@pytest.mark.asyncio
async def test_a_key_that_is_denied_here_leaves_the_parts_to_others(
    sqlite: str, sandbox: Sandbox, source: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accounts, "_FIRST_PAUSE", 0.1)
    denied = '{"success": false, "result": "Access denied"}'
    for endpoint in ("upload", "start", "status", "download"):
        sandbox.inject(Fault(endpoint=endpoint, kind=FaultKind.ANSWER, status=403, body=denied))
    async with engine(sqlite, sandbox) as working:
        report = await (await working.submit(source, output, account="acme", largest_part=2)).wait()
    assert report.missing == 0
    require_paid_once(sandbox, 7)


@pytest.mark.asyncio
async def test_what_was_paid_before_does_not_count_as_cost(
    sqlite: str, sandbox: Sandbox, source: Path, output: Path
) -> None:
    async with engine(sqlite, sandbox) as working:
        options: dict[str, Any] = {"account": "acme", "largest_part": 2}
        with pytest.raises(UsageError, match="would cost 7 credits, more than the 6 allowed"):
            await (await working.submit(source, output, max_credits=6, **options)).wait()
        assert not sandbox.ledger.uploads
        first = await working.submit(source, output, **options)
        while len(sandbox.ledger.starts) < 2:  # noqa: ASYNC110 - of another service
            await asyncio.sleep(0.01)
        await first.cancel()
        await (await working.submit(source, output, max_credits=6, **options)).wait()
    require_paid_once(sandbox, 7)
    assert [one for one in left_behind(output) if not one.startswith("runs.db")] == []


@pytest.mark.asyncio
async def test_an_outage_of_the_database_is_an_error_of_ours(
    sqlite: str, sandbox: Sandbox, source: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with engine(sqlite, sandbox, work=False) as submitting:
        run = await submitting.submit(source, output, account="acme")

        def away(*_: object, **__: object) -> None:
            raise OperationalError("select 1", None, Exception("the server is gone\nHINT: no"))

        with monkeypatch.context() as patched:
            patched.setattr(submitting._database, "counts", away)
            patched.setattr(submitting._database, "status_of", away)
            with pytest.raises(
                ConnectionFailedError, match=r"can't be reached: the server is gone\.$"
            ):
                await run.state()
            waiting = asyncio.create_task(run.wait())
            await asyncio.sleep(0.3)
            assert not waiting.done()
        await run.cancel()
        with pytest.raises(RunCancelledError):
            await waiting


@pytest.mark.asyncio
async def test_a_second_worker_in_a_process_is_refused(
    sqlite: str, sandbox: Sandbox, tmp_path: Path
) -> None:
    other = engine(f"sqlite:///{tmp_path}/other.db", sandbox)
    async with engine(sqlite, sandbox) as working:
        with pytest.raises(UsageError, match="Another engine of this process"):
            await other.__aenter__()
        await working.runs()


@pytest.mark.asyncio
@pytest.mark.parametrize("work", [False, True])
async def test_a_closed_engine_says_so(
    database: str, sandbox: Sandbox, source: Path, output: Path, *, work: bool
) -> None:
    sandbox.inject(Fault(endpoint="download", kind=FaultKind.DELAY, delay=1, times=None))
    async with engine(database, sandbox, work=work) as submitting:
        run = await submitting.submit(source, output, account="acme")
        waiting = asyncio.create_task(run.wait())
        await asyncio.sleep(0)
    for late in (waiting, run.state(), submitting.submit(source, output), submitting.__aenter__()):
        with pytest.raises(ClientClosedError, match="The engine is closed"):
            await late


@pytest.mark.asyncio
async def test_a_run_is_held_while_its_parts_lack_credits(
    sqlite: str, source: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accounts, "CREDITS_SECONDS", 0.1)
    async with (
        Sandbox(speed=1000, requests_per_minute=None, credits=7) as sandbox,
        engine(sqlite, sandbox) as working,
    ):
        sandbox.inject(Fault(endpoint="upload", kind=FaultKind.DELAY, delay=0.2))
        run = await working.submit(source, output, account="acme", largest_part=4)
        while not sandbox.ledger.requests["upload"]:  # noqa: ASYNC110 - of another service
            await asyncio.sleep(0.01)
        sandbox.credits = 3  # another program has spent some
        state = await until_held(run)
        assert "needs 4 credits" in state.message
        sandbox.credits += 4
        await run.wait()
        require_paid_once(sandbox, 7)


async def until_held(run: DurableRun) -> RunState:
    async with asyncio.timeout(20):
        while (state := await run.state()).state != "held":  # noqa: ASYNC110 - of another service
            await asyncio.sleep(0.02)
    return state


@pytest.mark.asyncio
async def test_a_cancelled_run_starts_nothing_more(
    database: str, sandbox: Sandbox, source: Path, output: Path
) -> None:
    sandbox.inject(Fault(endpoint="upload", kind=FaultKind.DELAY, delay=0.5))
    async with engine(database, sandbox) as working:
        run = await working.submit(source, output, account="acme", largest_part=2)
        while not sandbox.ledger.requests["upload"]:  # noqa: ASYNC110 - of another service
            await asyncio.sleep(0.02)
        await run.cancel()
        with pytest.raises(RunCancelledError):
            await run.wait()
        while left_on(sandbox) or not sandbox.ledger.deletes:  # noqa: ASYNC110 - of another service
            await asyncio.sleep(0.05)
    assert not sandbox.ledger.starts
    assert not output.exists()


@pytest.mark.asyncio
async def test_a_program_that_uses_dbos_itself_is_told(sqlite: str, tmp_path: Path) -> None:
    DBOS(config={"name": "theirs", "system_database_url": f"sqlite:///{tmp_path}/theirs.db"})
    try:
        with pytest.raises(UsageError, match="already uses DBOS"):
            await Engine(sqlite).__aenter__()
    finally:
        DBOS.destroy()


@pytest.mark.asyncio
async def test_sqlite_serves_one_process_at_a_time(sqlite: str, sandbox: Sandbox) -> None:
    async with worker(sqlite, sandbox) as first:
        await said(first, "working")
        with pytest.raises(UsageError, match="SQLite serves one at a time"):
            await engine(sqlite, sandbox).__aenter__()


@pytest.mark.asyncio
async def test_a_database_that_may_lose_commits_is_refused(postgresql: str) -> None:
    made = sa.create_engine(postgresql, isolation_level="AUTOCOMMIT")
    with made.connect() as connection:
        name = sa.make_url(postgresql).database
        connection.execute(sa.text(f"alter database {name} set synchronous_commit = off"))
    made.dispose()
    with pytest.raises(UsageError, match="synchronous_commit=off"):
        await Engine(postgresql).__aenter__()


@pytest.mark.parametrize("database", ["mysql://x/y", "runs.db", "sqlite://", "sqlite:///:memory:"])
def test_other_databases_are_refused(database: str) -> None:
    with pytest.raises(UsageError, match=r"sqlite:///runs\.db"):
        Engine(database)

"""The same call goes on from each point at which a call may end, and refuses another list."""

import asyncio
import json
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bulkverify import (
    Client,
    IncompleteRunError,
    InvalidListError,
    JobNotFoundError,
    JournalError,
    RunProgress,
    RunSource,
    Stage,
    verify_list,
    wait_until,
)
from bulkverify.run import part as parts_module
from bulkverify.run.journal import Journal
from bulkverify.sandbox import Fault, FaultKind, Sandbox, Timings

from .lists import (
    FAST,
    A,
    D,
    K,
    U,
    journal_at,
    left_behind,
    name,
    numbered,
    states,
    table,
    verdicts_of,
    verified,
)

SENDING = [Stage.UPLOADING, Stage.PREPARING, Stage.STARTING, Stage.VERIFYING, Stage.DOWNLOADING]


class StopError(Exception):
    """Ends a call at a moment that the test chooses."""


def stop_at(stage: Stage, part: int = 1) -> Callable[[RunProgress], None]:
    def stop(seen: RunProgress) -> None:
        if seen.stage is stage and (seen.part is None or seen.part.number == part):
            raise StopError

    return stop


@pytest.fixture
def many(source: Path) -> Path:
    source.write_text(numbered(6))
    return source


@pytest.mark.asyncio
@pytest.mark.parametrize("stage", [*SENDING, Stage.FETCHED, Stage.JOINING])
@pytest.mark.parametrize("parts", [1, 3])
async def test_a_run_goes_on_after_each_stage(  # noqa: PLR0917 - fixtures
    sandbox: Sandbox, client: Client, many: Path, output: Path, parts: int, stage: Stage
) -> None:
    options: dict[str, Any] = {"largest_part": 6 // parts}
    with pytest.raises(StopError):
        await verified(client, many, output, **options, on_progress=stop_at(stage, parts))
    assert not output.exists()
    report = await verified(client, many, output, **options)
    assert verdicts_of(table(output)[1:]) == [name(number).partition("+")[0] for number in range(6)]
    ledger = sandbox.ledger
    assert set(ledger.paid.values()) == {1}
    assert report.credits_spent + report.credits_spent_before == ledger.credits_spent == 6
    assert len(ledger.uploads) == parts
    assert left_behind(output) == []


@pytest.mark.asyncio
@pytest.mark.parametrize("stage", SENDING)
async def test_a_run_whose_task_is_cancelled_goes_on(
    sandbox: Sandbox, client: Client, many: Path, output: Path, stage: Stage
) -> None:
    def cancel(seen: RunProgress) -> None:
        if seen.stage is stage:
            run.cancel()

    run = asyncio.create_task(verified(client, many, output, largest_part=2, on_progress=cancel))
    with pytest.raises(asyncio.CancelledError):
        await run
    report = await verified(client, many, output, largest_part=2)
    assert set(sandbox.ledger.paid.values()) == {1}
    assert len(sandbox.ledger.uploads) - 3 <= report.orphans <= 1
    assert len(table(output)) == 7


@pytest.mark.asyncio
async def test_a_start_that_the_status_does_not_show_yet_is_not_paid_again(
    source: Path, output: Path
) -> None:
    timings = Timings(start_delay=36e5)
    options: dict[str, Any] = {"timings": timings, "credits": 2, "retention_days": None}
    async with Sandbox(speed=1000, requests_per_minute=None, **options) as sandbox:
        settings: dict[str, Any] = {"base_url": sandbox.url, "requests_per_minute": None}
        async with Client(sandbox.api_key, **settings) as earlier:
            with pytest.raises(StopError):
                await verified(earlier, source, output, on_progress=stop_at(Stage.VERIFYING))

        def show_it(seen: RunProgress) -> None:
            if seen.stage is Stage.VERIFYING:
                sandbox.advance(36e5)

        async with Client(sandbox.api_key, **settings) as client:
            report = await verified(client, source, output, on_progress=show_it)
        assert (report.credits_spent, report.credits_spent_before) == (0, 2)
        assert sandbox.ledger.credits_spent == 2
        assert sandbox.ledger.requests["start"] == 2


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", [FaultKind.HANG, FaultKind.ANSWER, FaultKind.DROP_AFTER])
async def test_a_start_that_was_not_noted_is_found(  # noqa: PLR0917 - fixtures
    sandbox: Sandbox, client: Client, source: Path, output: Path, folder: Path, kind: FaultKind
) -> None:
    # A process that dies during its start leaves the journal like this.
    sandbox.inject(Fault(endpoint="start", kind=kind))
    run = asyncio.create_task(verified(client, source, output))
    while not sandbox.ledger.requests["start"]:  # noqa: ASYNC110 - the sandbox changes it
        await asyncio.sleep(0.001)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert states(folder) == ["starting"]
    report = await verified(client, source, output)
    assert sandbox.ledger.credits_spent == 2
    assert report.credits_spent + report.credits_spent_before == 2


@pytest.mark.asyncio
async def test_a_list_started_by_hand_is_not_started_again(
    sandbox: Sandbox, client: Client, source: Path, output: Path, folder: Path
) -> None:
    with pytest.raises(StopError):
        await verified(client, source, output, on_progress=stop_at(Stage.STARTING))
    assert states(folder) == ["uploaded"]
    [upload] = sandbox.ledger.uploads
    await client.start(upload.job_id)
    await wait_until(client.job(upload.job_id), wait=FAST)
    report = await verified(client, source, output)
    assert (report.credits_spent, report.credits_spent_before) == (0, 2)
    assert sandbox.ledger.requests["start"] == 1


@pytest.mark.asyncio
async def test_fetched_results_need_no_request(
    sandbox: Sandbox, client: Client, source: Path, output: Path
) -> None:
    with pytest.raises(StopError):
        await verified(client, source, output, on_progress=stop_at(Stage.JOINING))
    before = sandbox.ledger.requests.total()
    await verified(client, source, output)
    assert sandbox.ledger.requests.total() == before
    assert verdicts_of(table(output)) == ["verdict", D, U, D]


@pytest.mark.asyncio
async def test_a_failed_deletion_is_repeated_by_the_next_call(
    sandbox: Sandbox, client: Client, source: Path, output: Path
) -> None:
    sandbox.inject(Fault(endpoint="delete", kind=FaultKind.ANSWER, times=4))
    with pytest.raises(Exception, match="delete"):
        await verified(client, source, output, delete=True)
    assert len(table(output)) == 4
    report = await verified(client, source, output, delete=True)
    assert sandbox.ledger.deletes == [report.parts[0].job_id]
    assert left_behind(output) == []


@pytest.mark.asyncio
async def test_a_list_verified_in_place_goes_on_too(
    sandbox: Sandbox, client: Client, source: Path
) -> None:
    sandbox.inject(Fault(endpoint="delete", kind=FaultKind.ANSWER, times=4))
    options: dict[str, Any] = {"overwrite": True, "delete": True}
    with pytest.raises(Exception, match="delete"):
        await verified(client, source, source, **options)
    written = source.read_bytes()
    report = await verified(client, source, source, **options)
    assert source.read_bytes() == written
    assert (report.rows, len(sandbox.ledger.deletes)) == (3, 1)
    assert sandbox.ledger.credits_spent == 2
    assert left_behind(source) == []


@pytest.mark.asyncio
async def test_a_resumed_run_keeps_an_output_that_it_did_not_write(
    client: Client, source: Path, output: Path
) -> None:
    with pytest.raises(StopError):
        await verified(client, source, output, on_progress=stop_at(Stage.VERIFYING))
    output.write_text("before")
    with pytest.raises(FileExistsError):
        await verified(client, source, output)
    assert output.read_text() == "before"
    await verified(client, source, output, overwrite=True)
    assert len(table(output)) == 4


@pytest.mark.asyncio
@pytest.mark.parametrize("late", [False, True])
async def test_an_unpaid_list_that_is_gone_is_sent_again_unless_replicas_may_be_late(  # noqa: PLR0917 - fixtures
    sandbox: Sandbox,
    client: Client,
    source: Path,
    output: Path,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    late: bool,  # noqa: FBT001 - a row of the table
) -> None:
    with pytest.raises(StopError):
        await verified(client, source, output, on_progress=stop_at(Stage.STARTING))
    await client.delete(sandbox.ledger.uploads[0].job_id)
    if not late:
        monkeypatch.setattr(parts_module, "UPLOAD_GRACE_SECONDS", 0.0)
    async with Client(sandbox.api_key, base_url=sandbox.url) as other:
        with pytest.raises(JobNotFoundError):
            await verified(other, source, output)
    if late:
        assert states(folder) == ["uploaded"]
        return
    report = await verified(client, source, output)
    assert (report.credits_spent, len(sandbox.ledger.uploads)) == (2, 2)


@pytest.mark.asyncio
async def test_a_paid_list_that_is_gone_is_not_paid_again(
    sandbox: Sandbox, client: Client, source: Path, output: Path
) -> None:
    await stopped(client, source, output)
    [upload] = sandbox.ledger.uploads
    await wait_until(client.job(upload.job_id), wait=FAST)
    await client.delete(upload.job_id)
    for _ in range(2):
        async with Client(sandbox.api_key, base_url=sandbox.url) as other:
            with pytest.raises(JobNotFoundError):
                await verified(other, source, output)
    assert sandbox.ledger.credits_spent == 2
    assert len(sandbox.ledger.uploads) == 1


@pytest.mark.asyncio
async def test_a_failed_part_leaves_a_list_verified_in_place_unchanged(
    sandbox: Sandbox, client: Client, source: Path
) -> None:
    source.write_text(numbered(4))
    before = source.read_bytes()
    options: dict[str, Any] = {"overwrite": True, "largest_part": 2}
    sandbox.inject(Fault(endpoint="upload", kind=FaultKind.DROP_AFTER))
    with pytest.raises(IncompleteRunError, match="Nothing was written"):
        await verified(client, source, source, **options)
    assert source.read_bytes() == before
    await verified(client, source, source, **options)
    assert verdicts_of(table(source)) == ["verdict", D, U, A, K]
    assert sandbox.ledger.credits_spent == 4


@pytest.mark.asyncio
async def test_an_incomplete_output_that_was_changed_by_hand_is_kept(
    sandbox: Sandbox, client: Client, source: Path, output: Path
) -> None:
    source.write_text(numbered(4))
    sandbox.inject(Fault(endpoint="upload", kind=FaultKind.DROP_AFTER))
    with pytest.raises(IncompleteRunError):
        await verified(client, source, output, largest_part=2)
    output.write_text("mine now")
    with pytest.raises(FileExistsError):
        await verified(client, source, output, largest_part=2)
    assert output.read_text() == "mine now"


@pytest.mark.asyncio
@pytest.mark.parametrize("still", [False, True])
async def test_the_same_call_recognises_the_earlier_output_after_any_death_in_writing(  # noqa: PLR0917 - fixtures
    sandbox: Sandbox,
    client: Client,
    source: Path,
    output: Path,
    still: bool,  # noqa: FBT001 - a row of the table
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """The second output is complete, or `still` incomplete like the first."""
    source.write_text(numbered(6))
    sandbox.inject(Fault(endpoint="upload", kind=FaultKind.DROP_AFTER, skip=1, times=2))
    options: dict[str, Any] = {"largest_part": 2, "parts_at_once": 1}
    with pytest.raises(IncompleteRunError):
        await verified(client, source, output, **options)
    if not still:
        sandbox._front.faults._injected.clear()
    kept_in = tmp_path_factory.mktemp("kept")
    with monkeypatch.context() as patched:
        _remember_each_state(patched, output.parent, kept_in)
        try:
            await verified(client, source, output, **options)
        except IncompleteRunError:
            assert still
    kept = sorted(kept_in.iterdir(), key=lambda path: int(path.name))
    assert len(kept) > 20
    for state in kept:
        shutil.rmtree(output.parent)
        shutil.copytree(state, output.parent)
        spent = sandbox.ledger.credits_spent
        report = await verified(client, source, output, **options)
        assert verdicts_of(table(output)) == ["verdict", D, U, A, K, D, U], state
        assert left_behind(output) == [], state
        assert sandbox.ledger.credits_spent - spent == report.credits_spent
        assert report.credits_spent <= (2 if still else 0), state


def _remember_each_state(patched: pytest.MonkeyPatch, folder: Path, kept: Path) -> None:
    """Copy a folder before and after each operation on a file, once the results are read."""

    def observed(operation: Callable[..., Any]) -> Callable[..., Any]:
        def operate(*args: Any, **options: Any) -> Any:  # noqa: ANN401 - handed on
            with one_at_a_time:
                remember()
                done = operation(*args, **options)
                remember()
                return done

        return operate

    one_at_a_time = threading.Lock()

    def remember() -> None:
        if (folder / "verified.csv.progress" / "part-0003.results.csv").exists():
            shutil.copytree(folder, kept / str(len(os.listdir(kept))))  # noqa: PTH208 - only counted

    patched.setattr(os, "fsync", observed(os.fsync))
    for operation in (Path.replace, Path.unlink, Path.rmdir):
        patched.setattr(Path, operation.__name__, observed(operation))


# Refused


async def stopped(client: Client, source: RunSource, output: Path) -> None:
    with pytest.raises(StopError):
        await verified(client, source, output, on_progress=stop_at(Stage.VERIFYING))


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "change", [("Bob", "Rob"), ("\n", "\r\n"), ("Anna", "Anna,,"), ("email", "mail")]
)
async def test_a_list_that_changed_is_refused(
    sandbox: Sandbox, client: Client, source: Path, output: Path, change: tuple[str, str]
) -> None:
    await stopped(client, source, output)
    content = source.read_bytes()
    before_it, after_it = change
    source.write_bytes(content.replace(before_it.encode(), after_it.encode()))
    before = sandbox.ledger.requests.total()
    with pytest.raises(Exception, match=r"list\.csv"):
        await verified(client, source, output)
    assert sandbox.ledger.requests.total() == before
    source.write_bytes(content)
    report = await verified(client, source, output)
    assert report.credits_spent_before == sandbox.ledger.credits_spent == 2


@pytest.mark.asyncio
@pytest.mark.parametrize("change", [("Bob", "Rob"), ("Bob", "Bob,,,"), ("\nBob", "\n")])
async def test_a_list_that_changes_during_the_run_is_noticed_when_its_rows_are_joined(
    sandbox: Sandbox, client: Client, source: Path, output: Path, change: tuple[str, str]
) -> None:
    def change_it(seen: RunProgress) -> None:
        if seen.stage is Stage.JOINING:
            source.write_bytes(content.replace(change[0].encode(), change[1].encode()))

    content = source.read_bytes()
    with pytest.raises(InvalidListError, match=r"list\.csv"):
        await verified(client, source, output, on_progress=change_it)
    assert not output.exists()
    source.write_bytes(content)
    report = await verified(client, source, output)
    assert report.credits_spent_before == sandbox.ledger.credits_spent == 2


@pytest.mark.asyncio
async def test_the_refusal_says_how_to_restart_and_what_that_costs(
    client: Client, source: Path, output: Path, folder: Path
) -> None:
    await stopped(client, source, output)
    source.write_text(numbered(3))
    with pytest.raises(JournalError, match="the 2 credits spent on it") as info:
        await verified(client, source, output)
    assert info.value.path == str(folder)
    assert f"use `restart=True`, or delete {folder}" in str(info.value)
    report = await verified(client, source, output, restart=True)
    assert (report.rows, report.credits_spent, report.credits_spent_before) == (3, 3, 0)


@pytest.mark.asyncio
@pytest.mark.parametrize("options", [{"judge": False}, {"deduplicate": False}])
async def test_other_options_for_the_rows_to_send_are_refused(
    client: Client, source: Path, output: Path, options: dict[str, bool]
) -> None:
    await stopped(client, source, output)
    with pytest.raises(
        JournalError, match=r"other options.*Use the same `judge` and `deduplicate`"
    ):
        await verified(client, source, output, **options)


@pytest.mark.asyncio
async def test_options_of_the_output_may_change(client: Client, source: Path, output: Path) -> None:
    source.write_text(numbered(4))
    await stopped(client, source, output)
    report = await verified(client, source, output, only=[U], largest_part=2, parts_at_once=3)
    assert (report.written, len(report.parts)) == (1, 1)


@pytest.mark.asyncio
async def test_another_service_is_refused(client: Client, source: Path, output: Path) -> None:
    await stopped(client, source, output)
    async with Client("k", base_url="http://127.0.0.1:9/v1") as elsewhere:
        with pytest.raises(JournalError, match=rf"was begun for {source} at http://127\.0\.0\.1"):
            await verified(elsewhere, source, output)


@pytest.mark.asyncio
async def test_another_list_is_refused_with_the_name_of_the_list_that_was_begun(
    client: Client, source: Path, output: Path, folder: Path
) -> None:
    await stopped(client, source, output)
    other = source.with_name("april.csv")
    other.write_text(numbered(9))
    with pytest.raises(JournalError, match=f"{folder} belongs to {source}, and its verdicts"):
        await verified(client, other, output)
    record = journal_at(folder)
    del record["title"]  # as earlier versions wrote it
    (folder / "run.json").write_text(json.dumps(record))
    with pytest.raises(JournalError, match=f"{other} has changed since"):
        await verified(client, other, output)
    assert (await verified(client, source, output)).credits_spent_before


@pytest.mark.asyncio
async def test_a_list_under_another_name_goes_on(
    client: Client, source: Path, output: Path
) -> None:
    await stopped(client, source, output)
    renamed = source.rename(source.with_name("april.csv"))
    assert (await verified(client, renamed, output)).credits_spent_before


@pytest.mark.asyncio
async def test_an_iterable_has_no_name_in_the_record(
    client: Client, output: Path, folder: Path
) -> None:
    await stopped(client, ["a@example.com", "b@example.com"], output)
    assert journal_at(folder)["title"] == ""


@pytest.mark.asyncio
async def test_a_second_call_at_the_same_time_is_refused(
    sandbox: Sandbox, client: Client, source: Path, output: Path, folder: Path
) -> None:
    await stopped(client, source, output)
    requests = sandbox.ledger.requests.total()
    with Journal(folder), pytest.raises(JournalError, match=f"in use: process {os.getpid()} "):
        await verified(client, source, output)
    assert sandbox.ledger.requests.total() == requests
    await verified(client, source, output)


@pytest.mark.asyncio
async def test_another_version_of_the_journal_is_left_alone(
    client: Client, source: Path, output: Path, folder: Path
) -> None:
    await stopped(client, source, output)
    later = journal_at(folder) | {"version": 99}
    (folder / "run.json").write_text(json.dumps(later))
    with pytest.raises(JournalError, match=r"another version of bulkverify \(format 99\)"):
        await verified(client, source, output)
    assert journal_at(folder) == later


@pytest.mark.asyncio
async def test_only_one_of_two_calls_for_an_output_runs(
    sandbox: Sandbox, client: Client, source: Path, output: Path
) -> None:
    calls = [verify_list(client, source, output, wait=FAST) for _ in range(3)]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(one).__name__ for one in outcomes].count("RunReport") == 1
    assert sandbox.ledger.credits_spent == 2

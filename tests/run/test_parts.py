"""A list of many parts: several at the same time, within the limits of the account, and some that fail."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tenacity import wait_none

from bulkverify import (
    AuthenticationError,
    Client,
    IncompleteDownloadError,
    IncompleteRunError,
    Job,
    JobFailedError,
    JobSnapshot,
    ListLimitError,
    ProtocolError,
    RunProgress,
    Stage,
    UploadUncertainError,
    UsageError,
    WaitTimeoutError,
    wait_until,
)
from bulkverify.run import part as part_module
from bulkverify.run import run as run_module
from bulkverify.run.account import Account
from bulkverify.run.journal import Journal, Records
from bulkverify.run.outages import Outages
from bulkverify.run.parts import _verify, part_runs
from bulkverify.run.progress import Tracker
from bulkverify.run.record import PartRecord, PartState
from bulkverify.run.source import Splitting
from bulkverify.sandbox import Fault, FaultKind, Sandbox, Timings

from .lists import D, journal_at, left_behind, name, numbered, states, table, verdicts_of, verified
from .test_progress import split_of


@asynccontextmanager
async def served(**options: Any) -> AsyncIterator[tuple[Sandbox, Client]]:  # noqa: ANN401 - handed on
    settings: dict[str, Any] = {"speed": 1000, "requests_per_minute": None} | options
    async with (
        Sandbox(**settings) as sandbox,
        Client(
            sandbox.api_key, base_url=sandbox.url, requests_per_minute=None, backoff=wait_none()
        ) as client,
    ):
        yield sandbox, client


@pytest.fixture
def many(source: Path) -> Path:
    """Write a list of twelve addresses, and the first two again."""
    lines = numbered(12).splitlines(keepends=True)
    source.write_text("".join([*lines, *lines[1:3]]))
    return source


def expected(missing: range = range(0)) -> list[str]:
    verdicts = ["" if number in missing else name(number).partition("+")[0] for number in range(12)]
    return [*verdicts, *verdicts[:2]]


@pytest.mark.asyncio
async def test_a_list_is_sent_in_parts_and_comes_back_in_one_piece(
    sandbox: Sandbox, client: Client, many: Path, output: Path
) -> None:
    report = await verified(client, many, output, largest_part=5)
    assert verdicts_of(table(output)[1:]) == expected()
    assert [row[:2] for row in table(output)] == [row[:2] for row in table(many)]
    assert sorted(upload.total for upload in sandbox.ledger.uploads) == [2, 5, 5]
    assert {upload.filename for upload in sandbox.ledger.uploads} == {
        f"list-{number}-of-3.csv" for number in (1, 2, 3)
    }
    assert set(sandbox.ledger.paid.values()) == {1}
    assert (report.addresses, report.duplicates, report.credits_spent) == (12, 2, 12)
    assert [(part.first_row, part.last_row, part.credits) for part in report.parts] == [
        (1, 5, 5),
        (6, 10, 5),
        (11, 12, 2),
    ]
    assert {part.job_id for part in report.parts} == set(sandbox.ledger.starts)
    assert left_behind(output) == []


@pytest.mark.asyncio
@pytest.mark.parametrize("at_once", [1, 3])
async def test_no_more_parts_than_allowed_are_under_way(
    client: Client, many: Path, output: Path, at_once: int
) -> None:
    most = 0

    def count(seen: RunProgress) -> None:
        nonlocal most
        idle = {Stage.QUEUED, Stage.FETCHED}
        most = max(most, sum(part.stage not in idle for part in seen.parts))

    await verified(client, many, output, largest_part=2, parts_at_once=at_once, on_progress=count)
    assert most == at_once


@pytest.mark.asyncio
async def test_one_part_is_uploaded_at_a_time(client: Client, many: Path, output: Path) -> None:
    most = 0

    def count(seen: RunProgress) -> None:
        nonlocal most
        most = max(most, sum(part.stage is Stage.UPLOADING for part in seen.parts))

    await verified(client, many, output, largest_part=2, on_progress=count)
    assert most == 1


# The account's limits


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("limits", "stage"),
    [({"max_verifying": 2}, Stage.PREPARING), ({"max_lists": 2}, Stage.QUEUED)],
)
async def test_a_full_account_is_waited_out(
    many: Path, output: Path, limits: dict[str, int], stage: Stage
) -> None:
    notes: set[tuple[Stage, str]] = set()

    def note(seen: RunProgress) -> None:
        if seen.part and seen.part.note:
            notes.add((seen.part.stage, seen.part.note.partition(":")[0]))

        if notes:  # until then no list ends
            sandbox.advance(3600)

    timings = Timings(preparing=0, preparing_per_address=0, verifying=400)
    async with served(speed=0, timings=timings, **limits) as (sandbox, client):
        report = await verified(client, many, output, largest_part=2, on_progress=note)
        assert len(sandbox.ledger.uploads) == len(sandbox.ledger.starts) == 6
        assert sandbox.ledger.requests["upload"] + sandbox.ledger.requests["start"] > 12
    assert verdicts_of(table(output)[1:]) == expected()
    assert report.orphans == 0
    assert notes == {(stage, "waits for room")}


@pytest.mark.asyncio
async def test_other_lists_of_the_account_are_waited_for_too(many: Path, output: Path) -> None:
    async with served(max_lists=1, speed=0) as (sandbox, client):
        await client.upload([f"{D}@elsewhere.com"])

        def move(seen: RunProgress) -> None:
            if seen.part and seen.part.note:  # the other part ends
                sandbox.cancel(sandbox.ledger.uploads[0].job_id)
            sandbox.advance(3600)

        report = await verified(client, many, output, on_progress=move)
    assert report.credits_spent == 12


@pytest.mark.asyncio
async def test_an_account_that_stays_full_ends_the_wait_at_its_timeout(
    many: Path, output: Path
) -> None:
    async with served(max_lists=1, speed=0) as (sandbox, client):
        await client.upload([f"{D}@elsewhere.com"])
        with pytest.raises(ListLimitError, match="maximum number of lists"):
            await verified(client, many, output, timeout=0.1)
        assert len(sandbox.ledger.uploads) == 1
    assert left_behind(output) == []


# Parts that fail


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("fault", "kind", "state", "paid"),
    [
        (Fault(endpoint="upload", kind=FaultKind.DROP_AFTER, skip=1), UploadUncertainError, "uploading", False),
        (
            Fault(endpoint="download", kind=FaultKind.TRUNCATE_CLEANLY, skip=2, times=4),
            IncompleteDownloadError,
            "started",
            True,
        ),
    ],
)  # fmt: skip
async def test_a_part_that_fails_does_not_end_the_others(  # noqa: PLR0917 - a row of the table
    sandbox: Sandbox,
    client: Client,
    many: Path,
    output: Path,
    folder: Path,
    fault: Fault,
    kind: type[Exception],
    state: str,
    paid: bool,  # noqa: FBT001 - likewise
) -> None:
    sandbox.inject(fault)
    with pytest.raises(IncompleteRunError) as info:
        await verified(client, many, output, largest_part=4, parts_at_once=1)
    [failure] = info.value.failures
    lost = range(failure.first_row - 1, failure.last_row)
    assert len(lost) == failure.addresses == 4
    assert (failure.error, failure.paid) == (kind.__name__, paid)
    assert verdicts_of(table(output)[1:]) == expected(lost)
    report = info.value.report
    assert report is not None
    assert report.failures == (failure,)
    assert report.missing == verdicts_of(table(output)[1:]).count("")
    assert f"(rows {failure.first_row} to {failure.last_row}): {kind.__name__}" in str(info.value)
    assert sorted(states(folder)) == sorted(["downloaded", "downloaded", state])

    report = await verified(client, many, output, largest_part=4)
    assert verdicts_of(table(output)[1:]) == expected()
    assert set(sandbox.ledger.paid.values()) == {1}
    assert sandbox.ledger.credits_spent == 12
    assert report.credits_spent == (0 if paid else 4)
    assert report.orphans == len(sandbox.ledger.uploads) - 3
    assert left_behind(output) == []


@pytest.mark.asyncio
@pytest.mark.parametrize("end", ["fail", "cancel"])
async def test_a_part_that_ends_unpaid_is_sent_again_by_the_next_call(
    many: Path, output: Path, folder: Path, end: str
) -> None:
    def end_it(seen: RunProgress) -> None:
        if seen.part and seen.part.number == 2 and seen.part.job_id and not ended:
            ended.append(seen.part.job_id)
            getattr(sandbox, end)(seen.part.job_id)

    ended: list[str] = []
    async with served() as (sandbox, client):
        with pytest.raises(IncompleteRunError) as info:
            await verified(
                client, many, output, largest_part=4, parts_at_once=1, on_progress=end_it
            )
        [failure] = info.value.failures
        assert (failure.number, failure.paid) == (2, False)
        assert states(folder) == ["downloaded", "pending", "downloaded"]
        report = await verified(client, many, output, largest_part=4)
        assert (report.credits_spent, report.credits_spent_before, report.orphans) == (4, 8, 0)
        assert set(sandbox.ledger.paid.values()) == {1}
    assert verdicts_of(table(output)[1:]) == expected()


@pytest.mark.asyncio
async def test_a_part_that_fails_after_it_is_paid_is_never_sent_again(
    many: Path, output: Path, folder: Path
) -> None:
    def fail_it(seen: RunProgress) -> None:
        part = seen.part
        if part and part.number == 2 and part.stage is Stage.VERIFYING and part.job_id:
            sandbox.fail(part.job_id)

    async with served(timings=Timings(verifying=100)) as (sandbox, client):
        for _ in range(2):
            with pytest.raises(IncompleteRunError, match="JobFailedError") as info:
                await verified(client, many, output, largest_part=4, on_progress=fail_it)
            [failure] = info.value.failures
            assert (failure.number, failure.paid) == (2, True)
            assert journal_at(folder)["parts"][1]["job_id"] == failure.job_id
        assert len(sandbox.ledger.uploads) == 3
        assert sandbox.ledger.credits_spent == 12
    assert verdicts_of(table(output)[1:]) == expected(range(4, 8))


@pytest.mark.asyncio
@pytest.mark.parametrize("parts", [1, 3])
async def test_results_that_can_not_be_read_are_fetched_again_by_the_next_call(  # noqa: PLR0917 - fixtures
    sandbox: Sandbox, client: Client, many: Path, output: Path, folder: Path, parts: int
) -> None:
    rows = "".join(f"{number},x\n" for number in range(12))
    sandbox.inject(
        Fault(
            endpoint="download",
            kind=FaultKind.ANSWER,
            status=200,
            body=f"email,Nonsense\n{rows}",
            headers={"Content-Type": "text/csv"},
            times=3,
        )
    )
    with pytest.raises(ProtocolError if parts == 1 else IncompleteRunError, match="no column"):
        await verified(client, many, output, largest_part=12 // parts, parts_at_once=1)
    assert states(folder) == ["started", *["downloaded"] * (parts - 1)]
    assert output.exists() is (parts > 1)
    await verified(client, many, output, largest_part=12 // parts)
    assert verdicts_of(table(output)[1:]) == expected()
    assert sandbox.ledger.credits_spent == 12


@pytest.mark.asyncio
async def test_an_error_of_results_that_can_be_read_is_raised_at_once(
    sandbox: Sandbox, client: Client, many: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0

    def fail(*_: object, **__: object) -> None:
        nonlocal calls
        calls += 1
        raise ProtocolError("No.")

    with monkeypatch.context() as patched:
        patched.setattr(run_module, "join", fail)
        with pytest.raises(ProtocolError, match=r"^No\.$"):
            await verified(client, many, output)
    assert (calls, output.exists()) == (1, False)
    await verified(client, many, output)
    assert sandbox.ledger.requests["download"] == 1


@pytest.mark.asyncio
async def test_nothing_is_written_if_every_part_fails(
    sandbox: Sandbox, client: Client, many: Path, output: Path, folder: Path
) -> None:
    sandbox.inject(Fault(endpoint="download", kind=FaultKind.TRUNCATE_CLEANLY, times=None))
    with pytest.raises(IncompleteRunError, match="Nothing was written") as info:
        await verified(client, many, output, largest_part=6)
    assert len(info.value.failures) == 2
    assert info.value.report is not None
    assert info.value.report.missing == 14
    assert left_behind(output) == [folder.name]
    assert not output.exists()


@pytest.mark.asyncio
async def test_rows_that_were_not_sent_are_not_missing_if_every_part_fails(
    sandbox: Sandbox, client: Client, source: Path, output: Path
) -> None:
    source.write_text(
        f"{numbered(4)}5,\n6,no address\n7,a@x.com b@x.com\n8,{name(0)}@example.com\n"
    )
    sandbox.inject(Fault(endpoint="download", kind=FaultKind.TRUNCATE_CLEANLY, times=None))
    with pytest.raises(IncompleteRunError, match="Nothing was written") as info:
        await verified(client, source, output, largest_part=2)
    report = info.value.report
    assert report is not None
    assert (report.rows, report.missing, report.unclear) == (8, 5, 1)
    assert (report.verdicts.undeliverable, report.flags.syntax_error) == (2, 2)


@pytest.mark.asyncio
async def test_a_part_that_takes_too_long_fails_alone(
    many: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[int, str]] = []
    slow: set[str] = set()

    async def hurried(job: Job, *more: Any, timeout: float, **options: Any) -> JobSnapshot:  # noqa: ANN401 - passed on
        assert timeout == 7200
        return await wait_until(job, *more, timeout=0.1 if job.id in slow else None, **options)

    monkeypatch.setattr(part_module, "wait_until", hurried)

    def slow_down(seen: RunProgress) -> None:
        if seen.part and seen.stage is Stage.FAILED:
            told.append((seen.part.number, seen.part.note))
        if seen.part and seen.part.number == 2 and seen.stage is Stage.VERIFYING:
            assert seen.part.job_id is not None
            slow.add(seen.part.job_id)
            sandbox.inject(
                Fault(endpoint="status", kind=FaultKind.ANSWER, job_id=seen.part.job_id, times=None)
            )

    async with served() as (sandbox, client):
        with pytest.raises(IncompleteRunError) as info:
            await verified(
                client, many, output, largest_part=4, timeout=7200, on_progress=slow_down
            )
    [failure] = info.value.failures
    assert failure.error == WaitTimeoutError.__name__
    assert told == [(2, failure.message)]


@pytest.mark.asyncio
async def test_an_authentication_error_stops_the_whole_run(
    sandbox: Sandbox, client: Client, many: Path, output: Path, folder: Path
) -> None:
    sandbox.inject(
        Fault(
            endpoint="download",
            kind=FaultKind.ANSWER,
            status=401,
            body='{"result": "Invalid API Key", "success": false}',
            headers={"Content-Type": "application/json"},
            times=None,
        )
    )
    with pytest.raises(AuthenticationError):
        await verified(client, many, output, largest_part=4)
    assert not output.exists()
    assert left_behind(output) == [folder.name]


@pytest.mark.asyncio
async def test_a_group_of_errors_of_a_callback_is_raised_as_it_is(
    client: Client, many: Path, output: Path
) -> None:
    group = ExceptionGroup("Two.", [ValueError("one"), LookupError("two")])

    def fail(seen: RunProgress) -> None:
        if seen.part is not None:
            raise group

    with pytest.raises(ExceptionGroup) as caught:
        await verified(client, many, output, on_progress=fail)
    assert caught.value is group


@pytest.mark.asyncio
async def test_the_cause_of_an_error_that_stops_a_run_does_not_take_its_place(
    client: Client, many: Path, output: Path
) -> None:
    def fail(seen: RunProgress) -> None:
        if seen.part is not None:
            raise LookupError("mine") from ValueError("its cause")

    with pytest.raises(LookupError, match="mine"):
        await verified(client, many, output, on_progress=fail, largest_part=2)


@pytest.mark.asyncio
async def test_a_part_that_is_cancelled_ends_as_cancelled(tmp_path: Path) -> None:
    class Slow:
        async def run(self) -> None:
            await asyncio.sleep(3600)

    slow: Any = Slow()
    task = asyncio.create_task(_verify(slow, Records(tmp_path)))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


@pytest.mark.asyncio
async def test_a_list_of_one_part_raises_its_own_error(many: Path, output: Path) -> None:
    def fail_it(seen: RunProgress) -> None:
        if seen.part and seen.part.job_id:
            sandbox.fail(seen.part.job_id)

    async with served() as (sandbox, client):
        with pytest.raises(JobFailedError) as info:
            await verified(client, many, output, on_progress=fail_it)
    assert "restart" not in str(info.value)  # there is nothing to give up
    assert left_behind(output) == []  # nothing was paid, and the list is useless


@pytest.mark.asyncio
async def test_the_error_names_the_first_of_many_failed_parts(
    sandbox: Sandbox, client: Client, many: Path, output: Path
) -> None:
    sandbox.inject(Fault(endpoint="upload", kind=FaultKind.DROP_AFTER, skip=1, times=None))
    with pytest.raises(
        IncompleteRunError, match=r"5 of 6 parts, with 10 .*\. And 2 more\."
    ) as info:
        await verified(client, many, output, largest_part=2, parts_at_once=1)
    assert len(info.value.failures) == 5
    assert str(info.value).endswith("goes on with them, and pays for nothing twice.")


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"parts_at_once": 0}, "At least 1 part must be sent at once, not 0"),
        ({"largest_part": 1}, "A part has 2 to 500,000 addresses, not 1"),
        ({"largest_part": 500_001}, "A part has 2 to 500,000 addresses, not 500,001"),
        ({"only": ["good"]}, "'good' is not a valid Verdict; verdicts are deliverable, "),
        ({"only": []}, "No verdict is selected"),
    ],
)
async def test_invalid_options_are_refused(  # noqa: PLR0917 - a row of the table
    sandbox: Sandbox,
    client: Client,
    many: Path,
    output: Path,
    options: dict[str, Any],
    message: str,
) -> None:
    with pytest.raises(UsageError, match=message):
        await verified(client, many, output, **options)
    assert sandbox.ledger.requests.total() == 0
    assert left_behind(output) == []


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("called", "count", "first"),
    [
        ("list", 4, "list-1-of-2.csv"),
        ("a.b.csv", 4, "a.b-1-of-2.csv"),
        (".csv", 4, ".csv-1-of-2.csv"),
        ("list.csv", 20, "list-01-of-10.csv"),
        ("list.csv", 2, "list.csv"),
    ],
)
async def test_the_title_of_a_part_has_the_name_of_the_list_and_the_number_of_the_part(  # noqa: PLR0917 - fixtures
    sandbox: Sandbox,
    client: Client,
    source: Path,
    output: Path,
    called: str,
    count: int,
    first: str,
) -> None:
    path = source.with_name(called)
    path.write_text(numbered(count))
    await verified(client, path, output, largest_part=2)
    assert min(str(upload.filename) for upload in sandbox.ledger.uploads) == first


@pytest.mark.asyncio
async def test_parts_that_were_started_go_before_those_that_still_cost_something(
    client: Client, folder: Path
) -> None:
    states_ = [PartState.PENDING, PartState.STARTED, PartState.UPLOADED, PartState.STARTING]
    account = Account(client=client, timeout=None, wait=None, outages=Outages(None))

    async def check() -> None:
        return None

    with Journal(folder) as journal:
        record = journal.begin(split_of(4), client.base_url, Splitting())
        record.parts = [
            PartRecord(number=number, state=state, job_id=f"j{number}")
            for number, state in enumerate(states_, start=1)
        ]
        runs = part_runs(
            account, journal, record, tracker=Tracker(None), check=check, title="list.csv"
        )
    assert [run.part.number for run in runs] == [2, 4, 3, 1]

"""The steps of a part, each made by another process that got the record as JSON."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import attrs
import pytest
from tenacity import wait_fixed

from bulkverify import (
    Client,
    InsufficientCreditsError,
    JobCancelledError,
    JobFailedError,
    JobSnapshot,
    JobStatus,
    Stage,
    VerifyUncertainError,
)
from bulkverify.lists import Part, Split, Table, join, open_table, part_path, results_path, split
from bulkverify.run.account import Account
from bulkverify.run.alone import LoneRun, spare_path
from bulkverify.run.outages import Outages
from bulkverify.run.part import PartRun
from bulkverify.run.record import UNPAID, PartRecord, PartState
from bulkverify.sandbox import Fault, FaultKind, Sandbox, Timings
from bulkverify.service.converter import converter
from bulkverify.waiting import streams

from .lists import D, name, numbered, table, verdicts_of

STEPS: Final = ("upload", "see_ready", "start", "see_completed", "fetch")


class JSONNotes:
    """Keeps every record that was noted, as JSON texts; the last one of a part counts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.texts: dict[int, list[str]] = {}

    def note(self, record: PartRecord) -> None:
        text = json.dumps(converter.unstructure(record))
        self.texts.setdefault(record.number, []).append(text)

    def list_of(self, number: int) -> Path:
        return part_path(self.folder, number)

    def results_of(self, number: int) -> Path:
        return results_path(self.folder, number)

    def record(self, number: int) -> PartRecord:
        return converter.structure(json.loads(self.texts[number][-1]), PartRecord)


@pytest.fixture
def opened(source: Path, tmp_path: Path) -> tuple[Table, Split]:
    """Split a list of seven addresses into three parts."""
    source.write_text(numbered(7))
    found = open_table(source, spool=tmp_path)
    return found, split(found, tmp_path, largest_rows=2)


@pytest.fixture
def notes(tmp_path: Path, opened: tuple[Table, Split]) -> JSONNotes:
    notes = JSONNotes(tmp_path)
    for part in opened[1].parts:
        notes.note(PartRecord(number=part.number))
    return notes


async def made(
    sandbox: Sandbox, notes: JSONNotes, part: Part, kind: type[Any], *steps: str
) -> None:
    """Make steps as another process would: from the noted record, with a client of its own."""
    async with Client(
        sandbox.api_key, base_url=sandbox.url, requests_per_minute=None, backoff=wait_fixed(0.01)
    ) as client:
        account = Account(client=client, timeout=60, wait=wait_fixed(0.01), outages=Outages(60))

        async def check() -> None:
            await account.check_credits(part.addresses, title="list.csv", spent=0)

        run = run_of(kind, account, notes, part, check)
        for step in steps:
            await getattr(run, step)()


def run_of(
    kind: type[Any],
    account: Account,
    notes: JSONNotes,
    part: Part,
    check: Callable[[], Awaitable[object]],
) -> Any:  # noqa: ANN401 - of this kind
    return kind(
        account=account,
        notes=notes,
        tell=lambda *_, **__: None,
        check=check,
        title="list.csv",
        part=part,
        record=notes.record(part.number),
    )


def written(opened: tuple[Table, Split], notes: JSONNotes, output: Path) -> list[str]:
    results = {part.number: notes.results_of(part.number) for part in opened[1].parts}
    with output.open("wb") as file:
        join(*opened, notes.folder, results, file)
    return verdicts_of(table(output)[1:])


def late(credits_: int) -> Sandbox:
    """Serve an account whose lists stay ready for a while after their start."""
    timings = Timings(start_delay=100)
    return Sandbox(speed=1000, requests_per_minute=None, timings=timings, credits=credits_)


@pytest.mark.asyncio
async def test_each_step_may_be_made_by_another_process(
    opened: tuple[Table, Split],
    notes: JSONNotes,
    output: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(streams, "UNSTARTED_SECONDS", 0.0)  # as if ready for a minute
    async with late(7) as sandbox:
        for step in STEPS:
            for part in opened[1].parts:
                await made(sandbox, notes, part, PartRun, step)
        assert written(opened, notes, output) == [name(n).partition("+")[0] for n in range(7)]
        assert (len(sandbox.ledger.uploads), sandbox.ledger.requests["start"]) == (3, 3)
        assert set(sandbox.ledger.paid.values()) == {1}
        assert sandbox.ledger.credits_spent == 7
    for part in opened[1].parts:
        record = notes.record(part.number)
        assert (record.state, record.credits) == (PartState.DOWNLOADED, part.addresses)


@pytest.mark.asyncio
async def test_a_step_with_a_lost_record_is_repeated_and_nothing_is_paid_twice(
    opened: tuple[Table, Split],
    notes: JSONNotes,
    output: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(streams, "UNSTARTED_SECONDS", 0.0)
    async with late(7) as sandbox:  # exactly the cost of the list
        for step in STEPS:
            for part in opened[1].parts:
                noted = len(notes.texts[part.number])
                await made(sandbox, notes, part, PartRun, step)
                if len(notes.texts[part.number]) > noted:
                    notes.texts[part.number].pop()
                await made(sandbox, notes, part, PartRun, step)
        assert written(opened, notes, output) == [name(n).partition("+")[0] for n in range(7)]
        assert len(sandbox.ledger.uploads) == 6
        assert set(sandbox.ledger.paid.values()) == {1}
        assert sandbox.ledger.credits_spent == 7
    assert [notes.record(part.number).orphans for part in opened[1].parts] == [1, 1, 1]
    assert [notes.record(part.number).credits for part in opened[1].parts] == [2, 2, 3]


@pytest.mark.asyncio
async def test_a_start_without_enough_credits_leaves_the_list_unchanged(
    opened: tuple[Table, Split], notes: JSONNotes
) -> None:
    part = opened[1].parts[0]
    async with late(1) as sandbox:
        await made(sandbox, notes, part, PartRun, "upload")
        with pytest.raises(InsufficientCreditsError):
            await made(sandbox, notes, part, PartRun, "start")
        assert sandbox.ledger.requests["start"] == 0
    assert notes.record(1).state is PartState.UPLOADED


@pytest.mark.asyncio
async def test_a_start_that_may_be_paid_is_settled_without_a_look_at_the_credits(
    opened: tuple[Table, Split], notes: JSONNotes
) -> None:
    part = opened[1].parts[0]
    async with late(2) as sandbox:
        await made(sandbox, notes, part, PartRun, "upload", "start")
        notes.note(attrs.evolve(notes.record(1), state=PartState.STARTING))
        assert sandbox.credits == 0
        await made(sandbox, notes, part, PartRun, "start")
        assert sandbox.ledger.credits_spent == 2
    assert notes.record(1).state is PartState.STARTED


@pytest.mark.asyncio
async def test_the_noted_cost_of_a_start_never_decreases(
    opened: tuple[Table, Split], notes: JSONNotes
) -> None:
    part = opened[1].parts[0]
    async with late(7) as sandbox:
        await made(sandbox, notes, part, PartRun, "upload", "see_ready", "start", "see_completed")
        started = notes.record(1)
        assert started.credits == 2
        notes.note(attrs.evolve(started, state=PartState.STARTING, credits=5))
        await made(sandbox, notes, part, PartRun, "see_ready")
    assert notes.record(1) == attrs.evolve(started, credits=5)


@pytest.mark.asyncio
async def test_counted_credits_are_not_spent_by_another_start(
    opened: tuple[Table, Split], notes: JSONNotes, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    start = Client.start

    async def note(self: Client, job_id: str) -> Any:  # noqa: ANN401 - as it is
        answer = await start(self, job_id)
        order.append("started")
        return answer

    async def check() -> None:
        order.append("counted")

    monkeypatch.setattr(Client, "start", note)
    async with (
        late(7) as sandbox,
        Client(sandbox.api_key, base_url=sandbox.url, requests_per_minute=None) as client,
    ):
        account = Account(client=client, timeout=60, wait=wait_fixed(0.01), outages=Outages(60))
        runs = [run_of(PartRun, account, notes, part, check) for part in opened[1].parts]
        for run in runs:
            await run.upload()
            await run.see_ready()
        await asyncio.gather(*(run.start() for run in runs))
    assert order == ["counted", "started"] * 3


@pytest.mark.asyncio
@pytest.mark.parametrize("end", ["fail", "cancel"])
async def test_a_list_that_ends_unpaid_is_uploaded_again_by_the_next_process(
    opened: tuple[Table, Split], notes: JSONNotes, end: str
) -> None:
    part = opened[1].parts[0]
    async with late(7) as sandbox:
        await made(sandbox, notes, part, PartRun, "upload")
        getattr(sandbox, end)(sandbox.ledger.uploads[0].job_id)
        with pytest.raises(Exception, match="Job"):
            await made(sandbox, notes, part, PartRun, "see_ready")
        assert notes.record(1).state is PartState.PENDING
        await made(sandbox, notes, part, PartRun, *STEPS)
        assert (len(sandbox.ledger.uploads), sandbox.ledger.credits_spent) == (2, 2)


@pytest.mark.asyncio
async def test_a_list_that_failed_is_not_asked_for_once_another_is_uploaded(
    opened: tuple[Table, Split], notes: JSONNotes
) -> None:
    part = opened[1].parts[0]
    async with (
        late(7) as sandbox,
        Client(sandbox.api_key, base_url=sandbox.url, requests_per_minute=None) as client,
    ):
        account = Account(client=client, timeout=60, wait=wait_fixed(0.01), outages=Outages(60))
        run = run_of(PartRun, account, notes, part, client.credits)
        await run.upload()
        sandbox.fail(run.job.id)
        with pytest.raises(JobFailedError):
            await run.see_ready()
        await run.upload()
        assert await run.see_ready()
        assert run.job.id == sandbox.ledger.uploads[1].job_id


@pytest.mark.asyncio
@pytest.mark.parametrize(("end", "kind"), [("fail", JobFailedError), ("cancel", JobCancelledError)])
async def test_a_list_that_ended_before_its_start_is_given_up_at_once(
    opened: tuple[Table, Split], notes: JSONNotes, end: str, kind: type[Exception]
) -> None:
    part = opened[1].parts[0]
    async with (
        late(7) as sandbox,
        Client(sandbox.api_key, base_url=sandbox.url, requests_per_minute=None) as client,
    ):
        account = Account(client=client, timeout=60, wait=wait_fixed(0.01), outages=Outages(60))
        run = run_of(PartRun, account, notes, part, client.credits)
        await run.upload()
        await run.see_ready()
        getattr(sandbox, end)(run.job.id)
        with pytest.raises(kind):
            await run.start()
    assert (notes.record(1).state, notes.record(1).job_id) == (PartState.PENDING, None)


@pytest.mark.asyncio
async def test_a_list_that_fails_after_its_start_names_what_may_be_spent(
    opened: tuple[Table, Split], notes: JSONNotes
) -> None:
    part = opened[1].parts[0]
    async with late(7) as sandbox:
        await made(sandbox, notes, part, PartRun, "upload", "start")
        sandbox.fail(sandbox.ledger.uploads[0].job_id)
        with pytest.raises(JobFailedError, match="its 2 credits may be spent"):
            await made(sandbox, notes, part, PartRun, "see_completed")
    assert notes.record(1).state is PartState.STARTED


@pytest.mark.asyncio
async def test_a_wait_is_told_with_its_list_before_the_first_answer(
    opened: tuple[Table, Split], notes: JSONNotes
) -> None:
    part, told = opened[1].parts[0], []
    async with (
        late(7) as sandbox,
        Client(sandbox.api_key, base_url=sandbox.url, requests_per_minute=None) as client,
    ):
        await made(sandbox, notes, part, PartRun, "upload", "start")
        account = Account(client=client, timeout=60, wait=wait_fixed(0.01), outages=Outages(60))
        run = run_of(PartRun, account, notes, part, client.credits)
        run.tell = lambda stage, **facts: told.append((stage, facts))
        await run.see_completed()
    assert told[0] == (Stage.VERIFYING, {"job_id": run.job.id})
    assert told[1][1].keys() == {"snapshot"}


@pytest.mark.asyncio
@pytest.mark.parametrize(("total", "credits_"), [(None, 2), (1, 1)])
async def test_a_list_that_was_started_by_hand_costs_what_the_service_counts(
    opened: tuple[Table, Split], notes: JSONNotes, total: int | None, credits_: int
) -> None:
    part = opened[1].parts[0]
    async with (
        late(7) as sandbox,
        Client(sandbox.api_key, base_url=sandbox.url, requests_per_minute=None) as client,
    ):
        account = Account(client=client, timeout=60, wait=wait_fixed(0.01), outages=Outages(60))
        run = run_of(PartRun, account, notes, part, client.credits)
        await run.upload()
        run.job.note(JobSnapshot(job_id=run.job.id, status=JobStatus.VERIFYING, total=total))
        assert not await run.see_ready()
    assert notes.record(1).state is PartState.STARTED
    assert notes.record(1).credits == credits_


@pytest.mark.asyncio
async def test_what_a_dead_process_left_of_a_lone_address_stops_no_other(
    source: Path, tmp_path: Path
) -> None:
    source.write_text(f"email\n{D}@x.com\n")
    [part] = split(open_table(source, spool=tmp_path), tmp_path).parts
    notes = JSONNotes(tmp_path)
    notes.note(PartRecord(number=1))
    spare_path(notes.results_of(1)).write_bytes(b"reserved")
    async with late(9) as sandbox:
        await made(sandbox, notes, part, LoneRun, "run")
    assert notes.record(1).state is PartState.DOWNLOADED
    assert not spare_path(notes.results_of(1)).exists()


@pytest.mark.asyncio
async def test_a_lone_address_needs_no_journal_either(source: Path, tmp_path: Path) -> None:
    source.write_text(f"email\n{D}@x.com\n")
    [part] = split(open_table(source, spool=tmp_path), tmp_path).parts
    notes = JSONNotes(tmp_path)
    notes.note(PartRecord(number=1))
    async with late(9) as sandbox:
        sandbox.inject(Fault(endpoint="verify", kind=FaultKind.DROP_AFTER))
        for _ in range(2):  # a lost answer is not asked for again
            with pytest.raises(VerifyUncertainError):
                await made(sandbox, notes, part, LoneRun, "run")
        notes.note(PartRecord(number=1))
        await made(sandbox, notes, part, LoneRun, "run")
        assert (sandbox.ledger.requests["verify"], sandbox.ledger.credits_spent) == (2, 2)
        assert D in notes.results_of(1).read_text()


def full(state: PartState) -> PartRecord:
    return PartRecord(
        number=3,
        state=state,
        job_id="j3",
        credits=2,
        orphans=1,
        uploaded_at=datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
        results="0a",
        answer=(D, "", "N", "N", "N", "N", "2026-01-02T03:04:05.678Z"),
    )


@pytest.mark.parametrize("made_of", [full, lambda state: PartRecord(number=1, state=state)])
@pytest.mark.parametrize("state", PartState)
def test_a_record_survives_json(
    state: PartState, made_of: Callable[[PartState], PartRecord]
) -> None:
    record = made_of(state)
    found = converter.structure(json.loads(json.dumps(converter.unstructure(record))), PartRecord)
    assert found == record
    assert type(found.state) is PartState


@pytest.mark.parametrize("state", PartState)
def test_a_process_that_takes_over_counts_an_upload_under_way_as_lost(state: PartState) -> None:
    record = PartRecord(number=1, state=state, credits=2)
    heir = record.taken_over()
    if state is PartState.UPLOADING:
        assert (heir.state, heir.orphans, heir.credits) == (PartState.PENDING, 1, 2)
    else:
        assert heir is record
    assert (heir.state in UNPAID) == (state in UNPAID)

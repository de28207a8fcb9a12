"""The progress that a callback gets, and the durations in the report."""

from pathlib import Path

import attrs
import pytest

import bulkverify
from bulkverify import (
    Client,
    JobSnapshot,
    JobStatus,
    PartProgress,
    RunPlan,
    RunProgress,
    RunReport,
    Stage,
)
from bulkverify.run import threads
from bulkverify.run.progress import Tracker
from bulkverify.sandbox import Sandbox
from bulkverify.service.converter import converter

from .lists import numbered, verified

STAGES = [
    Stage.READING,
    Stage.QUEUED,
    Stage.UPLOADING,
    Stage.PREPARING,
    Stage.STARTING,
    Stage.VERIFYING,
    Stage.DOWNLOADING,
    Stage.FETCHED,
    Stage.JOINING,
    Stage.DONE,
]


@pytest.mark.asyncio
async def test_a_run_reports_its_stages(client: Client, source: Path, output: Path) -> None:
    seen: list[RunProgress] = []
    report = await verified(client, source, output, on_progress=seen.append)
    stages = [progress.stage for progress in seen]
    assert list(dict.fromkeys(stages)) == STAGES
    assert stages == sorted(stages, key=STAGES.index)
    assert seen[0] == RunProgress(stage=Stage.READING)
    sending = [progress for progress in seen if progress.part]
    assert {(progress.rows, progress.addresses) for progress in sending} == {(3, 2)}
    assert all(progress.parts == (progress.part,) for progress in sending)
    [part] = sending[-1].parts
    assert (part.number, part.job_id, part.verified) == (1, report.parts[0].job_id, 2)
    assert part.snapshot is not None
    assert part.snapshot.status == "completed"


@pytest.mark.asyncio
async def test_each_part_reports_its_own_stages(client: Client, source: Path, output: Path) -> None:
    source.write_text(numbered(9))
    seen: list[RunProgress] = []
    await verified(client, source, output, largest_part=3, on_progress=seen.append)
    for number in (1, 2, 3):
        own = [one.stage for one in seen if one.part and one.part.number == number]
        assert list(dict.fromkeys(own)) == STAGES[1:-2]
    sending = [one for one in seen if one.part]
    verified_so_far = [one.verified for one in sending]
    assert verified_so_far == sorted(verified_so_far)
    assert (verified_so_far[0], verified_so_far[-1]) == (0, 9)


@pytest.mark.asyncio
async def test_parts_that_an_earlier_call_has_fetched_are_done_from_the_start(
    sandbox: Sandbox, client: Client, source: Path, output: Path
) -> None:
    def stop(progress: RunProgress) -> None:
        if progress.stage is Stage.JOINING:
            raise RuntimeError("stopped")

    source.write_text(numbered(4))
    with pytest.raises(RuntimeError):
        await verified(client, source, output, largest_part=2, on_progress=stop)
    seen: list[RunProgress] = []
    await verified(client, source, output, largest_part=2, on_progress=seen.append)
    assert next(one.verified for one in seen if one.parts) == 4
    assert sandbox.ledger.credits_spent == 4


@pytest.mark.asyncio
async def test_rows_are_counted_while_they_are_read_and_joined(
    client: Client, source: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "_TICK_SECONDS", 0.001)
    source.write_text(numbered(20_000))
    seen: list[RunProgress] = []
    await verified(client, source, output, on_progress=seen.append)
    for stage in (Stage.READING, Stage.JOINING):
        done = [one.rows_done for one in seen if one.stage is stage]
        assert done == sorted(done)
        assert done[-1] > done[0] == 0
    assert seen[-1].rows_done == seen[-1].rows == 20_000


@pytest.mark.asyncio
@pytest.mark.parametrize("stage", [Stage.READING, Stage.JOINING])
async def test_a_run_stopped_while_it_reads_rows_leaves_no_thread(
    client: Client, source: Path, output: Path, monkeypatch: pytest.MonkeyPatch, stage: Stage
) -> None:
    def stop(progress: RunProgress) -> None:
        if progress.stage is stage and progress.rows_done:
            raise RuntimeError("stopped")

    monkeypatch.setattr(threads, "_TICK_SECONDS", 0.001)
    source.write_text(numbered(50_000))
    with pytest.raises(RuntimeError, match="stopped"):
        await verified(client, source, output, on_progress=stop)
    assert not output.exists()
    assert not [path for path in output.parent.iterdir() if path.suffix == ".part"]


def snapshot(verified_: int | None) -> JobSnapshot:
    return JobSnapshot(job_id="r1", status=JobStatus.VERIFYING, total=9, verified=verified_)


@pytest.mark.parametrize(
    ("stage", "verified_", "counts"),
    [
        (Stage.PREPARING, 4, 0),
        (Stage.VERIFYING, None, 0),
        (Stage.VERIFYING, 4, 4),
        (Stage.VERIFYING, -1, 0),
        (Stage.VERIFYING, 12, 9),
        (Stage.DOWNLOADING, 4, 9),
        (Stage.FETCHED, 4, 9),
        (Stage.FAILED, 4, 0),
    ],
)
def test_how_much_of_a_part_is_verified(stage: Stage, verified_: int | None, counts: int) -> None:
    part = PartProgress(number=1, addresses=9, stage=stage, snapshot=snapshot(verified_))
    assert part.verified == counts
    assert RunProgress(stage=stage, parts=(part, part)).verified == 2 * counts


def test_a_part_without_a_snapshot_has_nothing_verified() -> None:
    assert PartProgress(number=1, addresses=9, stage=Stage.VERIFYING).verified == 0


def test_overlapping_stages_are_each_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("bulkverify.run.progress.monotonic", lambda: now)
    tracker = Tracker(None)
    tracker.tell(Stage.READING)
    now = 1.0
    tracker.set_parts(split_of(2))
    tracker.tell_part(1, Stage.VERIFYING)
    now = 2.0
    tracker.tell_part(2, Stage.VERIFYING)
    now = 4.0
    tracker.tell_part(1, Stage.DOWNLOADING)
    now = 5.0
    tracker.tell_part(2, Stage.FETCHED)
    durations = tracker.durations()
    assert (durations.reading, durations.verifying, durations.downloading) == (1.0, 4.0, 1.0)
    assert durations.joining == 0.0


def split_of(parts: int, addresses: int = 1) -> bulkverify.lists.Split:
    return bulkverify.lists.Split(
        rows=parts * addresses,
        addresses=parts * addresses,
        duplicates=0,
        blank=0,
        invalid=0,
        parts=tuple(
            bulkverify.lists.Part(
                number=number, addresses=addresses, size_bytes=9, first_row=number, last_row=number
            )
            for number in range(1, parts + 1)
        ),
        content="",
        fingerprint="",
    )


@pytest.mark.parametrize("cls", [RunProgress, RunReport, RunPlan, PartProgress])
def test_progress_and_reports_are_keyword_only_and_slotted(cls: type) -> None:
    assert attrs.has(cls)
    assert all(field.kw_only for field in attrs.fields(cls))
    assert not hasattr(cls.__new__(cls), "__dict__")


@pytest.mark.asyncio
async def test_a_report_survives_json(client: Client, source: Path, output: Path) -> None:
    report = await verified(client, source, output)
    assert converter.structure(converter.unstructure(report), RunReport) == report


def test_a_stage_is_written_as_it_is_called() -> None:
    assert [stage.value for stage in Stage] == [stage.name.lower() for stage in Stage]

"""What the report of a run counts, and what it keeps over several calls."""

import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from unittest.mock import Mock

import pytest

from bulkverify import Client, CurvePoint, RunProgress, Stage, Verdict
from bulkverify.run import curve as curve_module
from bulkverify.run.curve import MOST_POINTS, Curve
from bulkverify.run.progress import Tracker
from bulkverify.run.written import note_of
from bulkverify.sandbox import Sandbox

from .lists import D, U, journal_at, numbered, verified
from .test_progress import snapshot, split_of


class StopError(Exception):
    """Ends a call."""


@pytest.mark.asyncio
async def test_a_report_says_when_and_where_it_ran_and_what_it_found(
    sandbox: Sandbox, client: Client, source: Path, output: Path
) -> None:
    before = datetime.now(UTC)
    report = await verified(client, source, output)
    assert report.began_at is not None
    assert report.ended_at is not None
    assert before <= report.began_at < report.ended_at <= datetime.now(UTC)
    assert report.service == sandbox.url
    assert [(one.verdict, one.rows, one.addresses) for one in report.findings] == [
        (Verdict.DELIVERABLE, 2, 1),
        (Verdict.UNDELIVERABLE, 1, 1),
    ]
    assert report.curve[0].verified == 0
    assert report.curve[-1].verified == 2


@pytest.mark.asyncio
async def test_domains_are_in_the_report_only_if_asked(
    client: Client, source: Path, output: Path
) -> None:
    source.write_text(f"email\n{D}@x.com\n{U}@x.com\n{U}@y.com\n{D}@X.com\n")
    assert (await verified(client, source, output)).domains is None
    report = await verified(client, source, output, domains=True, restart=True, overwrite=True)
    assert report.domains is not None
    assert [(one.domain, one.rows, one.undeliverable) for one in report.domains.counts] == [
        ("x.com", 3, 1),
        ("y.com", 1, 1),
    ]
    again = await verified(client, source, output)
    assert again.already_verified_at is not None
    assert (again.domains, again.findings, again.curve) == (
        report.domains,
        report.findings,
        report.curve,
    )


@pytest.mark.asyncio
async def test_the_curve_and_the_beginning_survive_an_interruption(
    client: Client, source: Path, output: Path, folder: Path
) -> None:
    def stop(seen: RunProgress) -> None:
        if seen.part is not None and seen.part.number == 2 and seen.stage is Stage.STARTING:
            raise StopError

    source.write_text(numbered(6))
    with pytest.raises(StopError):
        await verified(client, source, output, largest_part=3, parts_at_once=1, on_progress=stop)
    noted = journal_at(folder)
    assert noted["curve"][-1]["verified"] == 3
    report = await verified(client, source, output, largest_part=3)
    assert report.began_at == datetime.fromisoformat(noted["began_at"])
    before = [(point["seconds"], point["verified"]) for point in noted["curve"][:-1]]
    assert [(point.seconds, point.verified) for point in report.curve][: len(before)] == before
    counts = [point.verified for point in report.curve]
    assert counts == sorted(counts)
    assert counts[-1] == 6


@pytest.mark.asyncio
async def test_a_journal_and_a_note_of_an_earlier_version_open(
    sandbox: Sandbox, client: Client, source: Path, output: Path, folder: Path
) -> None:
    def stop(seen: RunProgress) -> None:
        if seen.stage is Stage.VERIFYING:
            raise StopError

    with pytest.raises(StopError):
        await verified(client, source, output, on_progress=stop)
    record = journal_at(folder)
    del record["curve"], record["began_at"]
    (folder / "run.json").write_text(json.dumps(record))
    report = await verified(client, source, output)
    assert (report.verdicts.deliverable, sandbox.ledger.credits_spent) == (2, 2)

    note = json.loads(note_of(output).read_text())
    for name in ("version", "began_at", "ended_at", "service", "findings", "domains", "curve"):
        del note["report"][name]
    note_of(output).write_text(json.dumps(note))
    again = await verified(client, source, output)
    assert (again.rows, again.findings, again.domains, again.curve) == (3, (), None, ())
    assert sandbox.ledger.credits_spent == 2


def test_a_curve_keeps_few_points_from_all_of_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    points: list[CurvePoint] = []
    began = datetime(2026, 11, 26, tzinfo=UTC)
    now = began

    monkeypatch.setattr(curve_module, "datetime", Mock(now=lambda _: now))
    curve = Curve(points, began, lambda: None)
    for count in range(1, 20_001):
        now = began + timedelta(seconds=count)
        curve.add(count)
        assert len(points) <= MOST_POINTS
    assert len(points) > MOST_POINTS // 3
    assert points[0] == CurvePoint(seconds=0, verified=0)
    assert points[-1] == CurvePoint(seconds=20_000, verified=20_000)
    assert all(point.verified == point.seconds for point in points)
    longest = max(b.seconds - a.seconds for a, b in pairwise(points))
    assert longest < 20_000 / MOST_POINTS * 4


def test_a_clock_that_was_set_back_does_not_make_a_curve_grow() -> None:
    points: list[CurvePoint] = []
    curve = Curve(points, datetime.now(UTC) + timedelta(hours=1), lambda: None)
    for count in range(3 * MOST_POINTS):
        curve.add(count)
    assert len(points) <= MOST_POINTS
    assert points[-1] == CurvePoint(seconds=0, verified=3 * MOST_POINTS - 1)


def test_a_level_stretch_of_a_curve_is_two_points() -> None:
    points: list[CurvePoint] = []
    curve = Curve(points, datetime.now(UTC) - timedelta(hours=1), lambda: None)
    for _ in range(50):
        curve.add(0)
    assert len(points) == 2


def test_a_curve_falls_neither_in_time_nor_in_count() -> None:
    points = [CurvePoint(seconds=0, verified=0), CurvePoint(seconds=9e9, verified=7)]
    Curve(points, datetime.now(UTC), lambda: None).add(3)
    assert points[-1] == CurvePoint(seconds=9e9, verified=7)


def test_a_curve_is_saved_now_and_then_and_outlives_a_full_disk(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, saves = 0.0, 0

    def save() -> None:
        nonlocal saves
        saves += 1
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("bulkverify.run.curve.monotonic", lambda: now)
    curve = Curve([], datetime.now(UTC), save)
    for second in range(181):
        now = float(second)
        curve.add(second)
    assert saves == 3


def test_progress_tells_the_share_the_rate_and_the_time_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, seen = 0.0, list[RunProgress]()
    monkeypatch.setattr("bulkverify.run.progress.monotonic", lambda: now)
    tracker = Tracker(seen.append)
    tracker.tell(Stage.READING)
    assert (seen[-1].fraction, seen[-1].rate, seen[-1].seconds_left) == (None, None, None)
    tracker.set_parts(split_of(1, addresses=9))
    tracker.tell_part(1, Stage.STARTING)
    assert (seen[-1].fraction, seen[-1].rate) == (0, None)
    now = 4.0
    tracker.tell_part(1, Stage.VERIFYING, snapshot=snapshot(2))
    assert seen[-1].fraction == pytest.approx(2 / 9)
    assert (seen[-1].rate, seen[-1].seconds_left) == (0.5, 14)
    now = 6.0
    tracker.tell_part(1, Stage.VERIFYING, snapshot=snapshot(2))
    assert seen[-1].seconds_left == 12
    tracker.tell_part(1, Stage.FETCHED)
    tracker.tell(Stage.JOINING)
    assert seen[-1].fraction == 1
    assert seen[-1].seconds_left is None


def test_what_an_earlier_call_verified_does_not_count_in_the_rate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, seen = 0.0, list[RunProgress]()
    monkeypatch.setattr("bulkverify.run.progress.monotonic", lambda: now)
    tracker = Tracker(seen.append)
    tracker.set_parts(split_of(1, addresses=9))
    tracker.tell_part(1, Stage.VERIFYING)
    now = 1.0
    tracker.tell_part(1, Stage.VERIFYING, snapshot=snapshot(6))
    assert seen[-1].fraction == pytest.approx(2 / 3)
    assert seen[-1].rate is None
    now = 3.0
    tracker.tell_part(1, Stage.VERIFYING, snapshot=snapshot(7))
    assert seen[-1].rate == pytest.approx(0.5)
    assert seen[-1].seconds_left == pytest.approx(4)

"""What is shown of a run: how far it is, how far it should be by now, and a line now and then."""

import asyncio
import re
from collections import Counter

import attrs
import pytest

from bulkverify.cli.lines import Lines, describe
from bulkverify.cli.shown import Shown, of_run
from bulkverify.lifecycle import JobStatus
from bulkverify.models import JobSnapshot, Verdict, VerdictCounts
from bulkverify.run.models import PartProgress, RunProgress, Stage

HALF = Shown(stage="verifying", done=50, total=100, rate=2.0, left=25.0, at=10.0)


@pytest.mark.parametrize(
    ("now", "expected", "left"), [(10, 50, 25), (15, 60, 20), (34, 98, 1), (99, 99, None)]
)
def test_the_bar_moves_on_between_two_polls_and_never_ends_by_itself(
    now: float, expected: float, left: float | None
) -> None:
    assert HALF.expected(now) == expected
    assert HALF.seconds_left(now) == left


def test_a_complete_list_has_no_time_left() -> None:
    done = attrs.evolve(HALF, done=100, left=0.0)
    assert (done.expected(99), done.seconds_left(99)) == (100, None)


def test_before_the_rate_is_known_the_bar_stands_at_what_was_reported() -> None:
    assert attrs.evolve(HALF, rate=None, left=None).expected(1e9) == 50


def part(
    number: int, stage: Stage, *, deliverable: int | None = None, note: str = ""
) -> PartProgress:
    snapshot = None
    if deliverable is not None:
        results = VerdictCounts(deliverable=deliverable, undeliverable=1, accept_all=0, unknown=0)
        snapshot = JobSnapshot(
            job_id=f"r{number}",
            status=JobStatus.VERIFYING,
            total=100,
            verified=deliverable + 1,
            results=results,
        )
    return PartProgress(number=number, addresses=100, stage=stage, snapshot=snapshot, note=note)


def test_verdicts_are_added_up_and_those_of_an_earlier_call_are_told_apart() -> None:
    parts = (
        part(1, Stage.FETCHED),
        part(2, Stage.VERIFYING, deliverable=40),
        part(3, Stage.DOWNLOADING, deliverable=99),
        part(4, Stage.QUEUED, note="waits for room"),
    )
    shown = of_run(
        RunProgress(stage=Stage.VERIFYING, addresses=400, part=parts[1], parts=parts, rate=1.0)
    )
    assert (shown.done, shown.total, shown.earlier) == (241, 400, 100)
    assert shown.verdicts == Counter({Verdict.DELIVERABLE: 139, Verdict.UNDELIVERABLE: 2})
    assert (shown.words, [one.number for one in shown.parts]) == ("1/4 parts", [2, 3, 4])
    assert describe(shown) == (
        "verifying, 1/4 parts, 241 of 400 (60%), 139 deliverable, 2 undeliverable"
    )


def lines_of(capfd: pytest.CaptureFixture[str]) -> list[str]:
    lines = capfd.readouterr().err.splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ  ", line) for line in lines)
    return [line.partition("  ")[2] for line in lines]


@pytest.mark.asyncio
async def test_a_line_comes_for_each_stage_and_each_ten_percent(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 10.0
    monkeypatch.setattr("bulkverify.cli.lines.monotonic", lambda: now)
    with Lines() as lines:
        lines.show(Shown(stage="reading"))
        lines.show(Shown(stage="preparing"))
        lines.show(Shown(stage="preparing"))
        for done in range(1000):
            now += 0.02
            lines.show(Shown(stage="verifying", done=done, total=1000))
        held_up = Shown(stage="queued", parts=(part(2, Stage.QUEUED, note="waits for room"),))
        lines.show(held_up)
        lines.show(held_up)
    told = lines_of(capfd)
    assert told[:2] == ["preparing", "verifying, 0 of 1,000 (0%)"]
    assert told[2:-1] == [f"verifying, {n}00 of 1,000 ({n}0%)" for n in range(1, 10)]
    assert told[-1] == "part 2: waits for room"


@pytest.mark.asyncio
async def test_a_short_list_gets_at_most_a_line_a_second(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 10.0
    monkeypatch.setattr("bulkverify.cli.lines.monotonic", lambda: now)
    with Lines() as lines:
        for done in range(101):
            lines.show(Shown(stage="verifying", done=done, total=100))
            now += 0.03
    told = lines_of(capfd)
    assert told[0] == "verifying, 0 of 100 (0%)"
    assert told[1:] == [f"verifying, {n} of 100 ({n}%)" for n in (34, 68)]


@pytest.mark.asyncio
@pytest.mark.looptime
async def test_a_line_comes_each_minute_although_nothing_happens(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with Lines() as lines:
        lines.show(Shown(stage="preparing"))
        await asyncio.sleep(150)
    assert lines_of(capfd) == ["preparing"] * 3
    await asyncio.sleep(150)
    assert lines_of(capfd) == []

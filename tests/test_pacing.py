"""The time of the next poll: its bounds for any history, and the forecast."""

import math
import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tenacity import AsyncRetrying, RetryCallState, wait_chain, wait_combine, wait_fixed

from bulkverify import JobSnapshot, PollState, ServerError, wait_for_progress
from bulkverify.waiting.pacing import Progress
from tests.scripted import seen

RULE = wait_for_progress(jitter=0)
BEGAN = 1000.0


def history(*rises: tuple[float, int]) -> Progress | None:
    """Make the progress of a job from times and the counter first seen at them."""
    if not rises:
        return None
    progress = Progress(BEGAN + rises[0][0], rises[0][1])
    for at, verified in rises[1:]:
        progress.note(BEGAN + at, verified)
    return progress


def state(
    waited: float,
    snapshot: JobSnapshot | None = None,
    progress: Progress | None = None,
    *,
    failures: int = 0,
) -> PollState:
    return PollState(
        started_at=BEGAN,
        now=BEGAN + waited,
        polls=3,
        outcome=ServerError("502") if failures or snapshot is None else snapshot,
        snapshot=snapshot,
        progress=progress,
        failures=failures,
    )


# A list of 1,000: one address a second from second 100 on, seen every 100 seconds.
STEADY = history((100, 1), (200, 101), (300, 201))


@pytest.mark.parametrize(
    ("waited", "snapshot", "progress", "expected"),
    [
        pytest.param(0, seen("preparing"), None, 1, id="just begun"),
        pytest.param(4, seen("preparing"), None, 4, id="the time waited"),
        pytest.param(100, seen("preparing"), None, 33, id="with the root of the time waited"),
        pytest.param(1000, seen("ready"), None, 67, id="about a minute with nothing to see"),
        pytest.param(100, seen("verifying", 0, 1000), None, 33, id="no progress yet"),
        pytest.param(100, None, None, 33, id="nothing was ever heard"),
        pytest.param(
            300,
            seen("verifying", 201, 1000),
            STEADY,
            2.0 * (300 + 799 - 25) ** 0.5,
            id="far from the end",
        ),
        pytest.param(
            300,
            seen("verifying", 401, 1000),
            history((100, 1), (200, 101), (300, 401)),
            2.0 * (300 + 599 / (0.53 * 2 + 0.47 * 3) - 25) ** 0.5,
            id="an average of 2 a second, and 3 at last",
        ),
        pytest.param(
            1000,
            seen("verifying", 901, 1000),
            history((100, 1), (900, 801), (1000, 901)),
            0.45 * (99 - 25),
            id="a share of the remainder",
        ),
        pytest.param(
            1098,
            seen("verifying", 999, 1000),
            history((100, 1), (1097, 998), (1098, 999)),
            1.58,
            id="the root of the remainder",
        ),
        pytest.param(
            1800,
            seen("verifying", 901, 1000),
            history((100, 1), (900, 801), (1000, 901)),
            1.58 * (99 + 0.45 * (800 - 99 + 25)) ** 0.5,
            id="overdue",
        ),
        pytest.param(
            100_000,
            seen("verifying", 2, 2000),
            history((10, 1), (100_000, 2)),
            120,
            id="the ceiling",
        ),
        pytest.param(
            1000,
            seen("verifying", 500, 1000),
            history((1000, 500)),
            2.0 * 1500**0.5,
            id="one rise",
        ),
        pytest.param(
            1000,
            seen("verifying", 500, 1000),
            history((900, 500)),
            2.0 * (1000 + 0.5 * 500 * 900 / 500 - 100) ** 0.5,
            id="one rise, a while ago",
        ),
        pytest.param(
            10,
            seen("verifying", 500, 100_000),
            history((-5, 400), (10, 500)),
            10,
            id="a wait that has only begun",
        ),
        pytest.param(
            0.1,
            seen("verifying", 500, 1000),
            history((-1000, 1), (-500, 500)),
            1,
            id="others saw it",
        ),
        pytest.param(
            1000, seen("verifying", 1000, 1000), history((9, 1), (1000, 1000)), 1, id="all verified"
        ),
        pytest.param(
            1010,
            seen("verifying", 1000, 1000),
            history((9, 1), (1000, 1000)),
            6.5,
            id="for a while",
        ),
        pytest.param(
            9999, seen("verifying", 1000, 1000), history((9, 1), (1000, 1000)), 92, id="for long"
        ),
        pytest.param(
            2, seen("verifying", 9, 9), history((-5000, 9)), 2, id="for long, but not here"
        ),
        pytest.param(100, seen("verifying", 90, 80), history((9, 1), (100, 90)), 1, id="too many"),
    ],
)
def test_the_wait_follows_the_rule(
    waited: float, snapshot: JobSnapshot | None, progress: Progress | None, expected: float
) -> None:
    assert RULE(state(waited, snapshot, progress)) == pytest.approx(expected)


def test_a_faster_pace_brings_the_next_poll_forward() -> None:
    slow, fast = (
        history((100, 100), (200, 200), (300, 300)),
        history((100, 100), (200, 120), (300, 300)),
    )
    snapshot = seen("verifying", 300, 400)
    assert RULE(state(300, snapshot, fast)) < RULE(state(300, snapshot, slow))


def test_a_counter_that_falls_and_rises_again_is_not_progress() -> None:
    progress = Progress(10, 5)
    for at, verified in [(20, 8), (30, 3), (40, 8), (50, 0)]:
        progress.note(at, verified)
    assert (progress.verified_at, progress.verified) == (20, 8)
    assert (progress.previous_at, progress.previous) == (10, 5)
    assert (progress.first_at, progress.first) == (10, 5)


@pytest.mark.parametrize(
    ("failures", "expected"), [(1, 1), (2, 2), (3, 4), (5, 16), (6, 30), (99, 30)]
)
def test_polls_after_failures_back_off(failures: int, expected: float) -> None:
    assert RULE(state(5000, seen("verifying", 1), failures=failures)) == expected


counts = st.none() | st.integers(-(2**63), 2**63) | st.integers(0, 1000)
polls = st.lists(
    st.tuples(
        st.floats(0, 1e6) | st.just(0.0) | st.just(5e-324), counts, counts, st.integers(0, 3)
    ),
    min_size=1,
    max_size=30,
)


@given(
    polls=polls,
    early=st.floats(0, 1e6),
    floor=st.floats(0.001, 100),
    span=st.floats(1, 1000),
    jitter=st.floats(0, 1),
    seed=st.integers(0, 99),
    status=st.sampled_from(["preparing", "ready", "verifying", "completed"]),
)
def test_the_wait_is_finite_and_within_its_bounds_for_any_history(  # noqa: PLR0917 - drawn
    polls: list[tuple[float, int | None, int | None, int]],
    early: float,
    floor: float,
    span: float,
    jitter: float,
    seed: int,
    status: str,
) -> None:
    random.seed(seed)
    rule = wait_for_progress(floor=floor, ceiling=floor * span, jitter=jitter)
    now, progress = -early, None  # an earlier wait may have seen the job
    for pause, verified, total, failures in polls:
        now += pause
        if verified is not None and verified > 0:
            if progress is None:
                progress = Progress(BEGAN + now, verified)
            else:
                progress.note(BEGAN + now, verified)
        delay = rule(state(now, seen(status, verified, total), progress, failures=failures))
        assert math.isfinite(delay)
        assert floor <= delay <= floor * span


@given(
    verified=st.integers(1, 999),
    more=st.integers(1, 999),
    at=st.floats(10, 1e5),
    steps=st.integers(1, 20),
)
def test_the_nearer_the_predicted_end_the_sooner_the_next_poll(
    verified: int, more: int, at: float, steps: int
) -> None:
    delays = []
    for remaining in sorted({1, more, more * steps}):
        progress = history((at / 2, verified), (at, verified + more))
        total = verified + more + remaining
        delays.append(RULE(state(at, seen("verifying", verified + more, total), progress)))
    assert all(nearer <= farther for nearer, farther in pairwise(delays))


@given(
    waits=st.lists(st.floats(0, 1e7), min_size=2, max_size=9),
    status=st.sampled_from(["preparing", "ready"]),
)
def test_without_progress_the_wait_only_grows(waits: list[float], status: str) -> None:
    delays = [RULE(state(waited, seen(status))) for waited in sorted(waits)]
    assert delays == sorted(delays)


@given(since=st.lists(st.floats(0, 1e7), min_size=2, max_size=9), total=st.sampled_from([200, 100]))
def test_the_longer_an_end_is_overdue_the_longer_the_wait(since: list[float], total: int) -> None:
    snapshot, progress = seen("verifying", 100, total), history((50, 50), (100, 100))
    overdue = [100 + 100 + seconds for seconds in sorted(since)]
    delays = [RULE(state(waited, snapshot, progress)) for waited in overdue]
    assert delays == sorted(delays)


def test_the_default_wait_is_a_second_to_two_minutes_with_a_tenth_of_jitter() -> None:
    rule = wait_for_progress()
    settings = (rule.floor, rule.ceiling, rule.share, rule.growth, rule.jitter)
    assert settings == (1.0, 120.0, 0.45, 1.0, 0.1)


def test_jitter_makes_waits_differ_by_its_share_at_most() -> None:
    rule = wait_for_progress(jitter=0.2)
    delays = [rule(state(100, seen("preparing"))) for _ in range(200)]
    assert 33 * 0.8 <= min(delays) < 33 * 0.9
    assert 33 * 1.1 < max(delays) <= 33 * 1.2


def test_the_strategy_combines_with_those_of_tenacity() -> None:
    shown = state(100, seen("preparing"))
    assert (RULE + wait_fixed(3))(shown) == pytest.approx(36)
    assert wait_combine(wait_fixed(4), RULE)(shown) == pytest.approx(37)
    assert wait_chain(wait_fixed(1), wait_fixed(2), RULE)(shown) == pytest.approx(33)


def test_the_strategy_works_without_a_job() -> None:
    plain = RetryCallState(AsyncRetrying(), None, (), {})
    assert RULE(plain) == 1
    plain.start_time, plain.outcome_timestamp = 0.0, 100.0
    assert RULE(plain) == 33


def test_a_strategy_sees_the_state_of_tenacity_and_the_job() -> None:
    shown = state(12, seen("verifying", 7))
    assert shown.seconds_since_start == 12
    assert shown.attempt_number == 3
    assert shown.outcome is not None
    assert shown.outcome is shown.outcome
    assert shown.outcome.result().verified == 7
    failed = state(12, seen("verifying", 7), failures=1)
    assert failed.outcome is not None
    assert isinstance(failed.outcome.exception(), ServerError)
    assert failed.snapshot is not None
    assert failed.progress is None


def test_a_state_has_everything_that_tenacitys_has() -> None:
    shown = state(12, seen("verifying", 7))
    plain = RetryCallState(AsyncRetrying(), None, (), {})
    assert [name for name in vars(plain) if not hasattr(shown, name)] == []
    for name in ("fn", "args", "kwargs", "idle_for", "next_action", "upcoming_sleep"):
        assert getattr(shown, name) == getattr(plain, name)
    assert "returned" in repr(shown)
    shown.prepare_for_next_attempt()
    assert shown.outcome is None
    assert shown.attempt_number == 4


@pytest.mark.parametrize(
    ("floor", "ceiling"), [(0, 1), (-1, 1), (2, 1), (1, math.inf), (math.nan, 1)]
)
def test_impossible_bounds_are_refused(floor: float, ceiling: float) -> None:
    with pytest.raises(ValueError, match="floor"):
        wait_for_progress(floor=floor, ceiling=ceiling)


@pytest.mark.parametrize(
    ("share", "growth", "jitter"),
    [
        (0, 1, 0),
        (-1, 1, 0),
        (1.1, 1, 0),
        (0.5, 0, 0),
        (0.5, -1, 0),
        (0.5, math.inf, 0),
        (0.5, 1, -0.1),
        (0.5, 1, math.nan),
    ],
)
def test_impossible_shares_are_refused(share: float, growth: float, jitter: float) -> None:
    with pytest.raises(ValueError, match="share"):
        wait_for_progress(share=share, growth=growth, jitter=jitter)


@pytest.mark.parametrize(("share", "jitter"), [(1, 0), (1, 1), (1e-9, 0)])
def test_the_limits_of_the_shares_are_allowed(share: float, jitter: float) -> None:
    assert wait_for_progress(share=share, jitter=jitter).share == share

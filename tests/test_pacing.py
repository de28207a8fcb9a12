"""When to ask again: bounds for any history, and the forecast where there is one."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tenacity import AsyncRetrying, RetryCallState, wait_fixed

from bulkverify import JobSnapshot, PollState, ServerError, wait_for_progress
from tests.scripted import seen

RULE = wait_for_progress()


def state(
    waited: float,
    snapshot: JobSnapshot | None = None,
    *,
    first: tuple[float, int] | None = None,
    failures: int = 0,
) -> PollState:
    return PollState(
        started_at=1000.0,
        now=1000.0 + waited,
        polls=3,
        outcome=ServerError("502") if failures or snapshot is None else snapshot,
        snapshot=snapshot,
        first_progress=first,
        failures=failures,
    )


@pytest.mark.parametrize(
    ("waited", "snapshot", "first", "expected"),
    [
        pytest.param(0, seen("preparing"), None, 1, id="just begun"),
        pytest.param(100, seen("preparing"), None, 20, id="a fifth of the time waited"),
        pytest.param(1000, seen("ready"), None, 60, id="at most a minute without a rate"),
        pytest.param(100, seen("verifying", 0, 1000), None, 20, id="no progress yet"),
        pytest.param(
            100, seen("verifying", 400, 1000), (50, 100), 50, id="half of the time waited"
        ),
        pytest.param(100, seen("verifying", 900, 1000), (0, 0), 0.7 * 100 / 9, id="the forecast"),
        pytest.param(500, seen("verifying", 10, 100_000), (0, 0), 120, id="the ceiling"),
        pytest.param(100, seen("verifying", 999, 1000), (0, 0), 1, id="the floor"),
        pytest.param(100, seen("verifying", 1000, 1000), (0, 0), 1, id="all but completed"),
        pytest.param(
            100, seen("verifying", 100, 1000), (90, 100), 20, id="stalled since the first"
        ),
        pytest.param(100, seen("verifying", 50, 1000), (90, 100), 20, id="counters went back"),
        pytest.param(10, seen("verifying", 500, 1000), (-1000, 0), 5, id="others saw it before"),
    ],
)
def test_the_wait_follows_the_rule(
    waited: float, snapshot: JobSnapshot, first: tuple[float, int] | None, expected: float
) -> None:
    assert RULE(state(waited, snapshot, first=first)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("failures", "expected"), [(1, 1), (2, 2), (3, 4), (5, 16), (6, 30), (99, 30)]
)
def test_failures_are_asked_about_again_with_backoff(failures: int, expected: float) -> None:
    assert RULE(state(5000, seen("verifying", 1), failures=failures)) == expected


counts = st.none() | st.integers(-(2**63), 2**63)


@given(
    waited=st.floats(0, 1e9),
    verified=counts,
    total=counts,
    first=st.none() | st.tuples(st.floats(-1e9, 1e9), st.integers(-(2**63), 2**63)),
    failures=st.integers(0, 10_000),
    floor=st.floats(0.001, 100),
    span=st.floats(1, 1000),
    status=st.sampled_from(["preparing", "ready", "verifying", "completed"]),
)
def test_the_wait_is_finite_and_within_its_bounds_for_any_history(  # noqa: PLR0917 - drawn
    waited: float,
    verified: int | None,
    total: int | None,
    first: tuple[float, int] | None,
    failures: int,
    floor: float,
    span: float,
    status: str,
) -> None:
    rule = wait_for_progress(floor=floor, ceiling=floor * span)
    snapshot = seen(status, verified, total)
    delay = rule(state(waited, snapshot, first=first, failures=failures))
    assert math.isfinite(delay)
    assert floor <= delay <= floor * span or delay == pytest.approx(floor)


def test_it_combines_with_tenacitys_own() -> None:
    combined = RULE + wait_fixed(3)
    assert combined(state(100, seen("preparing"))) == pytest.approx(23)


def test_it_serves_where_there_is_no_job_too() -> None:
    plain = RetryCallState(AsyncRetrying(), None, (), {})
    assert RULE(plain) == 1
    plain.start_time, plain.outcome_timestamp = 0.0, 50.0
    assert RULE(plain) == 10


def test_a_strategy_sees_what_tenacity_shows_and_the_job() -> None:
    shown = state(12, seen("verifying", 7))
    assert shown.seconds_since_start == 12
    assert shown.attempt_number == 3
    assert shown.outcome is not None
    assert shown.outcome.result().verified == 7
    failed = state(12, seen("verifying", 7), failures=1)
    assert failed.outcome is not None
    assert isinstance(failed.outcome.exception(), ServerError)
    assert failed.snapshot is not None


@pytest.mark.parametrize(
    ("floor", "ceiling"), [(0, 1), (-1, 1), (2, 1), (1, math.inf), (math.nan, 1)]
)
def test_bounds_that_are_none_are_refused(floor: float, ceiling: float) -> None:
    with pytest.raises(ValueError, match="floor"):
        wait_for_progress(floor=floor, ceiling=ceiling)

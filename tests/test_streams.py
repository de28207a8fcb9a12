"""The urgency of the next poll of a job when the budget is short."""

import asyncio
import logging
import math

import pytest
from tenacity import RetryCallState, wait_fixed
from tenacity.wait import wait_base

from bulkverify import IllegalTransitionError, ServerError, wait_for_progress
from bulkverify.lifecycle import JobStatus
from bulkverify.waiting.pacing import PollState
from bulkverify.waiting.streams import URGENT_SECONDS, Stream
from bulkverify.waiting.waiters import Waiter
from tests.scripted import JOB_ID, ScriptedClient, seen

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]


def joined(stream: Stream, timeout: float | None = None, pause: float = 10.0) -> Waiter:
    """Add a waiter that waits from now on."""
    waiter = Waiter(
        job=stream.job, target=JobStatus.COMPLETED, timeout=timeout, policy=wait_fixed(pause)
    )
    stream.add(waiter, asyncio.get_running_loop().time())
    return waiter


async def test_a_new_job_is_as_urgent_as_one_polled_once_a_minute() -> None:
    stream = Stream(ScriptedClient([]).job(JOB_ID))
    joined(stream)
    assert stream.overdue(30) == 0.5
    assert stream.overdue(120) == 2
    assert not stream.is_urgent(1e9)


async def test_lateness_is_measured_in_the_jobs_own_delays() -> None:
    for pause, late in ((10.0, 2.0), (25.0, 0.2), (0.0, 300.0)):
        stream = Stream(ScriptedClient([]).job(JOB_ID))
        joined(stream, pause=pause)
        stream.take(seen("verifying"), 1000.0, 1000.0)
        assert stream.overdue(1030) == pytest.approx(late)
    stream.due = None
    assert stream.overdue(30) == 0


async def test_the_first_poll_of_a_wait_becomes_urgent_towards_its_deadline() -> None:
    stream = Stream(ScriptedClient([]).job(JOB_ID))
    joined(stream, timeout=200)
    joined(stream, timeout=100)
    joined(stream, timeout=10).cancel()
    assert stream.overdue(20) == pytest.approx(20 / 60)
    assert stream.overdue(70) == pytest.approx(70 / 30)
    assert stream.overdue(100 - URGENT_SECONDS) == math.inf
    assert [stream.is_urgent(at) for at in (90, 95)] == [False, True]


async def test_a_wait_is_no_longer_urgent_after_an_answer() -> None:
    stream = Stream(ScriptedClient([]).job(JOB_ID))
    joined(stream, timeout=100)
    assert stream.is_urgent(99)
    stream.take(seen("verifying"), 0.0, 0.0)
    assert not stream.is_urgent(99)
    joined(stream, timeout=50)
    assert stream.is_urgent(49)


async def test_a_waiter_that_joins_after_an_answer_polls_a_second_after_it() -> None:
    stream = Stream(ScriptedClient([]).job(JOB_ID))
    joined(stream, pause=3600)
    now = asyncio.get_running_loop().time()
    stream.take(seen("verifying"), now, now + 0.5)
    joined(stream, pause=3600)
    assert stream.due == now + 1.5


async def test_a_new_waiter_does_not_delay_a_late_poll() -> None:
    stream = Stream(ScriptedClient([]).job(JOB_ID))
    joined(stream)
    due = stream.due
    await asyncio.sleep(30)
    joined(stream)
    assert stream.due == due == asyncio.get_running_loop().time() - 30


async def test_each_failure_in_a_row_doubles_the_pause() -> None:
    failed = ServerError("Broken.", status=502)
    stream = Stream(ScriptedClient([]).job(JOB_ID))
    waiter = Waiter(
        job=stream.job,
        target=JobStatus.COMPLETED,
        timeout=None,
        policy=wait_for_progress(jitter=0),
    )
    stream.add(waiter, 0.0)
    pauses = []
    for _ in range(4):
        stream.take(failed, 1000.0, 1000.0)
        assert stream.due is not None
        pauses.append(stream.due - 1000.0)
    assert pauses == [1, 2, 4, 8]
    stream.take(seen("verifying"), 1000.0, 1000.0)
    stream.take(failed, 1000.0, 1000.0)
    assert stream.due == 1001
    waiter.cancel()


async def test_a_strategy_sees_the_progress_since_the_first_rise() -> None:
    told: list[tuple[float, ...] | None] = []

    class Telling(wait_base):
        def __call__(self, retry_state: RetryCallState) -> float:
            assert isinstance(retry_state, PollState)
            if (so_far := retry_state.progress) is None:
                told.append(None)
            else:
                first = (so_far.first_at, so_far.first)
                previous = (so_far.previous_at, so_far.previous)
                told.append((*first, *previous, so_far.verified_at, so_far.verified))
            return 10.0

    stream = Stream(ScriptedClient([]).job(JOB_ID))
    waiter = Waiter(job=stream.job, target=JobStatus.COMPLETED, timeout=None, policy=Telling())
    stream.add(waiter, 0.0)
    for at, verified in enumerate((0, 20, 20, 50, 60)):
        stream.take(seen("verifying", verified), at, at)
    assert told == [
        None,
        (1, 20, 1, 20, 1, 20),
        (1, 20, 1, 20, 1, 20),
        (1, 20, 1, 20, 3, 50),
        (1, 20, 3, 50, 4, 60),
    ]
    waiter.cancel()


async def test_only_the_third_stale_answer_is_proof_however_far_apart_they_are() -> None:
    stream = Stream(ScriptedClient([]).job(JOB_ID))
    waiter = joined(stream)
    stream.take(seen("verifying"), 0.0, 0.0)
    for at in (100.0, 1000.0):
        stream.take(seen("ready"), at, at)
        assert not waiter.done()
    stream.take(seen("ready"), 1001.0, 1001.0)
    assert isinstance(waiter.exception(), IllegalTransitionError)


async def test_after_the_end_no_poll_is_planned() -> None:
    stream = Stream(ScriptedClient([]).job(JOB_ID))
    waiter = joined(stream)
    stream.take(seen("completed"), 0.0, 0.0)
    assert (waiter.done(), stream.due) == (True, None)


async def test_a_pause_that_the_service_asks_for_overrides_the_pace() -> None:
    stream = Stream(ScriptedClient([]).job(JOB_ID))
    waiter = joined(stream, pause=1)
    for failed, due in [
        (ServerError("503", status=503, retry_after=90.0), 90),
        (ServerError("503", status=503), 1),
    ]:
        stream.take(failed, 1000.0, 1000.0)
        assert stream.due == 1000 + due
    waiter.cancel()


async def test_a_strategy_sees_how_many_polls_in_a_row_have_failed() -> None:
    told: list[int] = []

    class Telling(wait_base):
        def __call__(self, retry_state: RetryCallState) -> float:
            assert isinstance(retry_state, PollState)
            told.append(retry_state.failures)
            return 10.0

    failed = ServerError("Broken.", status=502)
    stream = Stream(ScriptedClient([]).job(JOB_ID))
    waiter = Waiter(job=stream.job, target=JobStatus.COMPLETED, timeout=None, policy=Telling())
    stream.add(waiter, 0.0)
    for outcome in (seen("verifying"), failed, failed, seen("verifying")):
        stream.take(outcome, 0.0, 0.0)
    assert told == [0, 1, 2, 0]
    waiter.cancel()


async def test_each_status_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    stream = Stream(ScriptedClient([]).job(JOB_ID))
    waiter = joined(stream)
    with caplog.at_level(logging.INFO, "bulkverify"):
        for status in ("ready", "verifying", "verifying", "verifying"):
            stream.take(seen(status), 0.0, 0.0)
    assert caplog.messages == [f"job {JOB_ID} is {status}" for status in ("ready", "verifying")]
    waiter.cancel()

"""How a wait reacts to each poll, on a virtual clock."""

import asyncio
from collections import Counter
from contextlib import aclosing
from contextvars import ContextVar
from typing import Any

import pytest
from tenacity import RetryCallState, wait_chain, wait_fixed
from tenacity.wait import wait_base

import bulkverify as bv
from bulkverify import (
    BulkVerifyError,
    ClientClosedError,
    ConnectionFailedError,
    IllegalTransitionError,
    JobCancelledError,
    JobFailedError,
    JobNotFoundError,
    JobNotStartedError,
    JobSnapshot,
    JobStatus,
    ProtocolError,
    RateLimitedError,
    RequestTimeoutError,
    ServerError,
    StatusName,
    UnreachableStatusError,
    UnreadableAnswerError,
    UsageError,
    WaitTimeoutError,
    as_completed,
    wait_all,
    wait_until,
    watch,
)
from bulkverify.client import known_of
from bulkverify.service.sessions import ORDINARY_SECONDS
from bulkverify.waiting.scheduler import MOST_IN_FLIGHT, scheduler_of
from bulkverify.waiting.waiters import Waiter
from tests.scripted import JOB_ID, ScriptedClient, Step, seen

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]

STEADY = wait_fixed(5)


def now() -> float:
    return asyncio.get_running_loop().time()


def assert_idle(client: ScriptedClient) -> None:
    """Check that nothing is scheduled, polled or timed any more."""
    scheduler = scheduler_of(client.job(JOB_ID))
    assert not scheduler.streams
    assert not scheduler._agenda.count
    assert scheduler._timer is None
    assert not scheduler._asking
    assert not scheduler._stopped
    assert client.in_flight == 0
    timers = [
        timer
        for timer in asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]
        if not timer.cancelled()
    ]
    assert not timers


@pytest.mark.parametrize("target", ["preparing", "ready", "verifying", "completed"])
async def test_a_wait_ends_with_the_first_snapshot_that_is_at_its_target(
    target: StatusName,
) -> None:
    order = ["preparing", "ready", "verifying", "completed"]
    async with ScriptedClient([seen(status) for status in order]) as client:
        client.mark_started()
        snapshot = await wait_until(client.job(JOB_ID), target, wait=STEADY)
        assert snapshot.status == target
        assert len(client.polled_at) == order.index(target) + 1
        assert_idle(client)


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("preparing", "ready"),
        ("preparing", "completed"),
        ("ready", "verifying"),
        ("ready", "completed"),
        ("verifying", "completed"),
    ],
)
async def test_a_wait_ends_when_the_job_has_passed_its_target(
    target: StatusName, status: str
) -> None:
    async with ScriptedClient([seen(status)]) as client:
        snapshot = await wait_until(client.job(JOB_ID), target, wait=STEADY)
        assert snapshot.status == status


@pytest.mark.parametrize("before", ["preparing", "ready", "verifying"])
@pytest.mark.parametrize(
    ("end", "error"), [("failed", JobFailedError), ("cancelled", JobCancelledError)]
)
async def test_a_job_that_goes_wrong_ends_the_wait_at_once(
    before: str, end: str, error: type[BulkVerifyError]
) -> None:
    async with ScriptedClient([seen(before), seen(end)]) as client:
        with pytest.raises(error) as caught:
            await wait_until(client.job(JOB_ID), "completed", wait=STEADY)
        assert caught.value.job_id == JOB_ID  # type: ignore[attr-defined]
        assert caught.value.snapshot.status == end  # type: ignore[attr-defined]
        assert JOB_ID in str(caught.value)
        assert len(client.polled_at) == 2
        assert_idle(client)


@pytest.mark.parametrize("target", ["failed", "cancelled"])
async def test_a_wait_for_a_bad_end_fails_when_the_job_ends_well(target: StatusName) -> None:
    async with ScriptedClient([seen("verifying"), seen("completed")]) as client:
        with pytest.raises(UnreachableStatusError, match=f"no longer be {target}"):
            await wait_until(client.job(JOB_ID), target, wait=STEADY)


@pytest.mark.parametrize("target", ["failed", "cancelled"])
async def test_a_bad_end_can_be_waited_for(target: StatusName) -> None:
    async with ScriptedClient([seen("verifying"), seen(target)]) as client:
        assert (await wait_until(client.job(JOB_ID), target, wait=STEADY)).status == target


async def test_a_known_end_is_answered_without_a_request() -> None:
    async with ScriptedClient([seen("completed")]) as client:
        job = client.job(JOB_ID)
        first = await wait_until(job, "completed")
        again = await wait_until(job, JobStatus.COMPLETED)
        earlier = await wait_until(job, "ready")
        assert first is again is earlier
        assert len(client.polled_at) == 1


async def test_a_known_failure_is_raised_without_a_request() -> None:
    async with ScriptedClient([seen("failed")]) as client:
        job = client.job(JOB_ID)
        for _ in range(2):
            with pytest.raises(JobFailedError):
                await wait_until(job, "completed")
        assert len(client.polled_at) == 1


@pytest.mark.parametrize(
    "error",
    [
        ServerError("502", status=502),
        RateLimitedError("429", status=429),
        ConnectionFailedError("broke"),
        RequestTimeoutError("slow"),
        UnreadableAnswerError("a proxy's page"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_temporary_errors_are_waited_out(error: BulkVerifyError) -> None:
    async with ScriptedClient([error, error, error, seen("completed")]) as client:
        snapshot = await wait_until(client.job(JOB_ID), "completed", wait=STEADY)
        assert snapshot.status == "completed"
        assert len(client.polled_at) == 4
        assert_idle(client)


@pytest.mark.parametrize(
    "error",
    [
        bv.AuthenticationError("401", status=401),
        bv.InsufficientCreditsError("402", status=402),
        bv.AccountRestrictedError("400", status=400),
        bv.ServiceError("418", status=418),
        ProtocolError("misfit", path="total"),
        bv.UnexpectedRedirectError("302", status=302),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_permanent_errors_end_the_wait_at_once(error: BulkVerifyError) -> None:
    async with ScriptedClient([seen("verifying"), error]) as client:
        with pytest.raises(type(error)) as caught:
            await wait_until(client.job(JOB_ID), "completed", wait=STEADY)
        assert str(caught.value) == str(error)
        assert vars(caught.value) == vars(error)
        assert len(client.polled_at) == 2
        assert_idle(client)


async def test_a_pause_that_the_service_asks_for_is_kept() -> None:
    steps: list[Step] = [RateLimitedError("429", retry_after=42.0), seen("completed")]
    async with ScriptedClient(steps) as client:
        await wait_until(client.job(JOB_ID), "completed", wait=wait_fixed(1))
        assert client.polled_at[1] - client.polled_at[0] == pytest.approx(42)


MISSING = JobNotFoundError("Job not found", status=400)
PACES = [None, STEADY, wait_fixed(600)]


@pytest.mark.parametrize("wait", PACES, ids=["default", "5 s", "600 s"])
async def test_a_missing_job_is_polled_for_half_a_minute(
    wait: wait_base | None,
) -> None:
    async with ScriptedClient([MISSING]) as client:
        with pytest.raises(JobNotFoundError):
            await wait_until(client.job(JOB_ID), "ready", wait=wait)
        assert now() == pytest.approx(30, abs=0.1)
        with pytest.raises(JobNotFoundError):  # the half minute is over for all waits
            await wait_until(client.job(JOB_ID), "ready", wait=wait)
        assert now() == pytest.approx(30, abs=0.1)
        assert_idle(client)


@pytest.mark.parametrize("wait", PACES, ids=["default", "5 s", "600 s"])
@pytest.mark.parametrize("known_at", [0.5, 14.0, 29.0])
async def test_any_client_waits_for_a_replica_that_does_not_know_a_job_yet(
    wait: wait_base | None, known_at: float
) -> None:
    async with ScriptedClient(lambda at: MISSING if at < known_at else seen("ready")) as client:
        snapshot = await wait_until(client.job(JOB_ID), "ready", wait=wait)
        assert snapshot.status == "ready"
        assert known_at <= now() <= 30.1
        if wait is None:  # the default pace polls again as after any failure
            assert now() <= 2.3 * known_at + 1.2


async def test_a_job_that_was_seen_may_be_unknown_to_a_replica() -> None:
    steps: list[Step] = [seen("verifying"), MISSING, seen("verifying"), *[MISSING] * 5]
    async with ScriptedClient([*steps, seen("completed")]) as client:
        assert (await wait_until(client.job(JOB_ID), wait=STEADY)).ended
        assert now() == pytest.approx(
            40, abs=0.1
        )  # the half minute restarts whenever the job is seen


async def test_a_job_that_is_gone_ends_its_waits_after_half_a_minute() -> None:
    async with ScriptedClient([seen("verifying"), MISSING]) as client:
        with pytest.raises(JobNotFoundError):
            await wait_until(client.job(JOB_ID), wait=STEADY)
        assert now() == pytest.approx(35, abs=0.1)


async def test_a_job_that_this_client_has_deleted_is_gone_at_once() -> None:
    async with ScriptedClient([MISSING]) as client:
        known_of(client).note_deletion(JOB_ID)
        with pytest.raises(JobNotFoundError):
            await wait_until(client.job(JOB_ID), wait=STEADY)
        assert now() == 0


async def test_the_half_minute_ends_with_the_deadline() -> None:
    async with ScriptedClient([MISSING]) as client:
        with pytest.raises(WaitTimeoutError, match="had no known status") as caught:
            await wait_until(client.job(JOB_ID), timeout=10)
        assert isinstance(caught.value.last_error, JobNotFoundError)
        assert now() == pytest.approx(10, abs=0.1)


async def test_short_waits_in_a_row_end_when_a_job_is_gone() -> None:
    async with ScriptedClient([MISSING]) as client:
        job = client.job(JOB_ID)
        outcomes: list[type[BaseException]] = []
        while not outcomes or outcomes[-1] is WaitTimeoutError:
            with pytest.raises((WaitTimeoutError, JobNotFoundError)) as caught:
                await wait_until(job, timeout=len(outcomes) % 2 * 4)
            outcomes.append(caught.type)
            await asyncio.sleep(4)
        assert outcomes[-1] is JobNotFoundError
        assert 30 <= now() <= 40


async def test_ids_that_were_never_found_are_forgotten() -> None:
    async with ScriptedClient([MISSING]) as client:
        for number in range(500):
            with pytest.raises(WaitTimeoutError):
                await wait_until(client.job(f"job{number}"), timeout=0)
            await asyncio.sleep(60)
        assert len(known_of(client)._missing) <= 62
    async with ScriptedClient([MISSING, seen("ready")]) as client:
        await wait_until(client.job(JOB_ID), "ready")
        assert not known_of(client)._missing


async def test_a_step_backwards_is_ignored() -> None:
    steps = [seen("verifying", 10), seen("ready"), seen("preparing"), seen("completed")]
    async with ScriptedClient(steps) as client:
        told: list[str] = []
        await wait_until(
            client.job(JOB_ID),
            "completed",
            wait=STEADY,
            on_progress=lambda s: told.append(s.status),
        )
        assert told == ["verifying", "completed"]


async def test_a_step_backwards_that_persists_is_an_error() -> None:
    steps = [seen("verifying", 10), seen("ready")]
    async with ScriptedClient(steps) as client:
        client.mark_started()
        began = now()
        with pytest.raises(IllegalTransitionError) as caught:
            await wait_until(client.job(JOB_ID), "completed", wait=STEADY)
        assert 60 <= now() - began <= 75
        assert (caught.value.known, caught.value.seen) == ("verifying", "ready")
        assert caught.value.snapshot is not None
        assert caught.value.snapshot.verified == 10


async def test_one_good_answer_resets_the_count_of_steps_backwards() -> None:
    back_and_forth: list[Step] = [seen("verifying", 10), *([seen("ready")] * 10)] * 5
    async with ScriptedClient([*back_and_forth, seen("completed")]) as client:
        client.mark_started()
        assert (await wait_until(client.job(JOB_ID), "completed", wait=STEADY)).ended


async def test_a_ready_job_that_is_not_started_is_an_error_after_a_minute() -> None:
    async with ScriptedClient([seen("preparing"), seen("ready")]) as client:
        began = now()
        with pytest.raises(JobNotStartedError, match=r"job\.start\(\)") as caught:
            await wait_until(client.job(JOB_ID), "completed", wait=STEADY)
        assert 60 <= now() - began <= 75
        assert caught.value.job_id == JOB_ID


async def test_a_ready_job_that_was_started_here_is_waited_for() -> None:
    steps: list[Step] = [*([seen("ready")] * 50), seen("completed")]
    async with ScriptedClient(steps) as client:
        client.mark_started()
        assert (await wait_until(client.job(JOB_ID), "completed", wait=STEADY)).ended


async def test_a_ready_job_that_another_process_has_started_is_waited_for() -> None:
    steps: list[Step] = [*([seen("ready")] * 50), seen("completed")]
    async with ScriptedClient(steps) as client:
        job = client.job(JOB_ID)
        assert client.job(JOB_ID, started=True) is job
        assert (await wait_until(job, "completed", wait=STEADY)).ended


async def test_a_wait_for_ready_needs_no_start() -> None:
    async with ScriptedClient([*([seen("preparing")] * 50), seen("ready")]) as client:
        assert (await wait_until(client.job(JOB_ID), "ready", wait=STEADY)).status == "ready"


async def test_a_timeout_carries_the_last_snapshot_and_error() -> None:
    steps: list[Step] = [seen("verifying", 30), ServerError("502 Bad Gateway", status=502)]
    async with ScriptedClient(steps) as client:
        began = now()
        with pytest.raises(WaitTimeoutError) as caught:
            await wait_until(client.job(JOB_ID), "completed", timeout=100, wait=wait_fixed(40))
        assert now() - began == pytest.approx(100, abs=0.05)
        error = caught.value
        assert isinstance(error, TimeoutError)
        assert error.snapshot is not None
        assert error.snapshot.verified == 30
        assert isinstance(error.last_error, ServerError)
        assert error.polls == len(client.polled_at)
        assert "30 of 100 verified" in str(error)
        assert f"wait_until(client.job('{JOB_ID}'), 'completed')" in str(error)
        assert_idle(client)


async def test_the_last_sleep_is_shortened_for_one_more_poll() -> None:
    async with ScriptedClient([seen("verifying"), seen("completed")], latency=0.1) as client:
        snapshot = await wait_until(
            client.job(JOB_ID), "completed", timeout=10, wait=wait_fixed(3600)
        )
        assert snapshot.ended
        assert 9 < client.polled_at[1] - client.polled_at[0] < 10


async def test_the_last_poll_is_not_repeated_until_the_deadline() -> None:
    async with ScriptedClient([seen("verifying")], latency=0.1) as client:
        with pytest.raises(WaitTimeoutError):
            await wait_until(client.job(JOB_ID), timeout=10, wait=wait_fixed(3600))
        assert len(client.polled_at) == 2


async def test_a_poll_that_never_answers_does_not_delay_the_deadline() -> None:
    async with ScriptedClient([seen("ready")], latency=1e6) as client:
        began = now()
        with pytest.raises(WaitTimeoutError, match="had no known status"):
            await wait_until(client.job(JOB_ID), timeout=0.2)
        assert now() - began == pytest.approx(0.2, abs=0.05)
        assert_idle(client)


async def test_a_timeout_of_0_polls_once() -> None:
    async with ScriptedClient([seen("verifying"), seen("completed")], latency=0.5) as client:
        job = client.job(JOB_ID)
        with pytest.raises(WaitTimeoutError) as caught:
            await wait_until(job, "completed", timeout=0)
        assert caught.value.polls == 1
        assert (await wait_until(job, "completed", timeout=0)).ended
        assert_idle(client)


async def test_a_timeout_of_0_polls_once_beside_other_waits() -> None:
    async with ScriptedClient([seen("verifying")]) as client:
        job = client.job(JOB_ID)
        other = asyncio.create_task(
            wait_until(job, "completed", wait=wait_fixed(600), timeout=None)
        )
        await asyncio.sleep(0.5)
        began = now()
        with pytest.raises(WaitTimeoutError):
            await wait_until(job, "completed", timeout=0, wait=wait_fixed(600))
        assert now() - began < 0.1
        other.cancel()
        with pytest.raises(asyncio.CancelledError):
            await other


@pytest.mark.parametrize("timeout", [-1, float("nan"), -0.001, "5", b"5"])
async def test_an_impossible_timeout_is_refused(timeout: float) -> None:
    async with ScriptedClient([seen("ready")]) as client:
        with pytest.raises(UsageError, match="timeout"):
            await wait_until(client.job(JOB_ID), "ready", timeout=timeout)
        assert client.polled_at == []


@pytest.mark.parametrize("timeout", [None, float("inf")])
async def test_the_timeout_can_be_none(timeout: float | None) -> None:
    steps: list[Step] = [*([seen("verifying")] * 1000), seen("completed")]
    async with ScriptedClient(steps) as client:
        snapshot = await wait_until(client.job(JOB_ID), timeout=timeout, wait=wait_fixed(3600))
        assert snapshot.ended


async def test_a_status_that_does_not_exist_is_refused() -> None:
    async with ScriptedClient([seen("ready")]) as client:
        with pytest.raises(UsageError, match="'done' is not a job status; the six are preparing"):
            await wait_until(client.job(JOB_ID), "done")  # type: ignore[arg-type]


async def test_an_async_callback_is_refused() -> None:
    async def on_progress(_: JobSnapshot) -> None: ...

    async with ScriptedClient([seen("ready")]) as client:
        with pytest.raises(UsageError, match="plain function"):
            await wait_until(client.job(JOB_ID), "ready", on_progress=on_progress)


async def test_progress_is_reported_once_for_each_change() -> None:
    steps = [seen("ready"), seen("ready"), seen("verifying", 1), seen("verifying", 1)]
    async with ScriptedClient([*steps, seen("verifying", 2), seen("completed")]) as client:
        told: list[tuple[str, int | None]] = []
        await wait_until(
            client.job(JOB_ID),
            wait=STEADY,
            on_progress=lambda s: told.append((s.status.value, s.verified)),
        )
        assert told == [("ready", None), ("verifying", 1), ("verifying", 2), ("completed", 100)]


@pytest.mark.parametrize("error", [ValueError("mine"), StopIteration("odd"), KeyError("k")])
async def test_an_error_of_a_callback_does_not_end_other_waits(error: Exception) -> None:
    def broken(_: JobSnapshot) -> None:
        raise error

    async with ScriptedClient([seen("verifying"), seen("completed")]) as client:
        job = client.job(JOB_ID)
        other = asyncio.create_task(wait_until(job, wait=STEADY))
        with pytest.raises((type(error), RuntimeError)) as caught:
            await wait_until(job, wait=STEADY, on_progress=broken)
        assert error in {caught.value, caught.value.__cause__}
        assert (await other).ended
        assert_idle(client)


async def test_an_error_of_a_strategy_does_not_end_other_waits() -> None:
    class broken(wait_base):  # noqa: N801 - as tenacity writes them
        def __call__(self, retry_state: RetryCallState) -> float:
            return 1 / (retry_state.attempt_number - 1)

    async with ScriptedClient([seen("verifying"), seen("completed")]) as client:
        job = client.job(JOB_ID)
        other = asyncio.create_task(wait_until(job, wait=STEADY))
        with pytest.raises(ZeroDivisionError):
            await wait_until(job, wait=broken())
        assert (await other).ended
        assert_idle(client)


async def test_a_bug_of_the_library_leaves_no_wait_hanging(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with ScriptedClient([seen("verifying")]) as client:

        def broken(*_: Any) -> None:  # noqa: ANN401 - any arguments
            raise AttributeError("a mistake")

        monkeypatch.setattr("bulkverify.waiting.streams.Stream.take", broken)
        with pytest.raises(AttributeError, match="a mistake"):
            await wait_until(client.job(JOB_ID), wait=STEADY)
        assert_idle(client)


async def test_a_thousand_waits_for_ten_jobs_are_ten_streams_and_the_last_is_undisturbed() -> None:
    ends_at = now() + 1000

    def script(moment: float) -> Step:
        return seen(
            "completed" if moment >= ends_at else "verifying", 10 if moment < ends_at else 100
        )

    async with ScriptedClient(script) as client:
        jobs = [client.job(f"job{number}") for number in range(10)]
        tasks = [
            asyncio.create_task(wait_until(jobs[number % 10], wait=STEADY))
            for number in range(1000)
        ]
        await asyncio.sleep(101)
        assert len(scheduler_of(client.job(JOB_ID)).streams) == 10
        assert len(client.polled_at) == 10 * 21
        for task in tasks[:-1]:
            task.cancel()
        await asyncio.wait(tasks[:-1])
        assert len(scheduler_of(client.job(JOB_ID)).streams) == 1
        before = len(client.polled_at)
        assert (await tasks[-1]).ended
        assert len(client.polled_at) - before == 180
        assert_idle(client)


async def test_waiters_of_one_job_have_their_own_targets_and_deadlines() -> None:
    steps: list[Step] = [seen("preparing"), seen("preparing"), seen("ready"), seen("verifying")]
    async with ScriptedClient([*steps, *[seen("verifying")] * 20, seen("completed")]) as client:
        client.mark_started()
        job = client.job(JOB_ID)
        ready = asyncio.create_task(wait_until(job, "ready", wait=STEADY))
        verifying = asyncio.create_task(wait_until(job, "verifying", wait=STEADY))
        short = asyncio.create_task(wait_until(job, "completed", wait=STEADY, timeout=30))
        completed = asyncio.create_task(wait_until(job, "completed", wait=STEADY))
        assert (await ready).status == "ready"
        assert (await verifying).status == "verifying"
        with pytest.raises(WaitTimeoutError):
            await short
        assert (await completed).status == "completed"
        assert_idle(client)


async def test_errors_are_not_shared_between_waiters() -> None:
    async with ScriptedClient([bv.AuthenticationError("401", status=401)], latency=1) as client:
        job = client.job(JOB_ID)
        results = await asyncio.gather(*(wait_until(job) for _ in range(3)), return_exceptions=True)
        assert len({id(result) for result in results}) == 3
        assert {type(result) for result in results} == {bv.AuthenticationError}


async def test_the_most_eager_waiter_sets_the_pace() -> None:
    async with ScriptedClient([seen("verifying")]) as client:
        job = client.job(JOB_ID)
        slow = asyncio.create_task(wait_until(job, wait=wait_fixed(100), timeout=None))
        await asyncio.sleep(1050)
        assert len(client.polled_at) == 11
        with pytest.raises(WaitTimeoutError):
            await wait_until(job, wait=wait_fixed(10), timeout=100)
        fast_polls = len(client.polled_at) - 11
        assert 10 <= fast_polls <= 13
        await asyncio.sleep(1000)
        assert len(client.polled_at) - fast_polls <= 23
        slow.cancel()
        await asyncio.wait([slow])
        assert_idle(client)


async def test_any_strategy_of_tenacity_sets_the_pace() -> None:
    chain = wait_chain(wait_fixed(1), wait_fixed(2), wait_fixed(4))
    async with ScriptedClient([*[seen("verifying")] * 5, seen("completed")]) as client:
        await wait_until(client.job(JOB_ID), wait=chain)
        gaps = [b - a for a, b in zip(client.polled_at, client.polled_at[1:], strict=False)]
        assert gaps == pytest.approx([1, 2, 4, 4, 4])


@pytest.mark.parametrize("latency", [0.0, 0.1])
async def test_every_job_is_polled_although_many_are_due_at_once(latency: float) -> None:
    async with ScriptedClient([seen("verifying")], latency=latency) as client:
        jobs = [client.job(f"job{number}") for number in range(2000)]
        tasks = []
        for number, job in enumerate(jobs):
            tasks.append(asyncio.create_task(wait_until(job, wait=wait_fixed(100), timeout=None)))
            if number % 50 == 0:
                await asyncio.sleep(0)
        await asyncio.sleep(50)
        assert len(client.polled_at) == 2000
        await asyncio.sleep(100)
        assert len(client.polled_at) == 4000
        assert scheduler_of(client.job(JOB_ID))._agenda.count <= 2 * 2000 + 64
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert_idle(client)


@pytest.mark.parametrize("compared", [2, 16, 150, 199, 200, 2000])
async def test_every_job_gets_turns_when_the_budget_is_short(
    monkeypatch: pytest.MonkeyPatch, compared: int
) -> None:
    monkeypatch.setattr("bulkverify.waiting.scheduler._MOST_COMPARED", compared)
    counts: Counter[str] = Counter()

    class Counting(ScriptedClient):
        async def poll(self, job_id: str) -> JobSnapshot:
            counts[job_id] += 1
            return await super().poll(job_id)

    async with Counting([seen("verifying")], requests_per_minute=120) as client:
        tasks = [
            asyncio.create_task(wait_until(client.job(f"job{number}"), wait=wait_fixed(60)))
            for number in range(200)
        ]
        await asyncio.sleep(1200)
        assert client.stats.polls >= 2000
        assert len(counts) == 200
        assert min(counts.values()) >= max(counts.values()) - 3
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert_idle(client)


@pytest.mark.parametrize("throttles", [0, 10])
@pytest.mark.parametrize("timeout", [0, 0.01, 2, 5.5, 30, 100])
async def test_every_wait_polls_before_its_deadline_when_the_budget_is_short(
    timeout: float, throttles: int
) -> None:
    async with ScriptedClient([seen("verifying")], requests_per_minute=24) as client:
        others = [
            asyncio.create_task(wait_until(client.job(f"job{number}"), wait=wait_fixed(60)))
            for number in range(100)
        ]
        await asyncio.sleep(600)
        for _ in range(throttles):  # the smallest share ever left for polls
            client._transport.budget.throttled("status", None)
            await asyncio.sleep(16)
        for job_id in ("unseen", "job7"):
            began = now()
            with pytest.raises(WaitTimeoutError) as caught:
                await wait_until(client.job(job_id), timeout=timeout, wait=wait_fixed(60))
            assert caught.value.polls >= 1
            assert now() - began == pytest.approx(timeout, abs=0.1)
        for other in others:
            other.cancel()
        await asyncio.wait(others)
        assert_idle(client)


@pytest.mark.parametrize("limit", [None, 120])
async def test_a_pause_that_the_service_asks_for_is_kept_by_every_wait(limit: int | None) -> None:
    refusal = RateLimitedError("429", retry_after=100.0)
    async with ScriptedClient([seen("verifying")], requests_per_minute=limit) as client:
        client._transport.budget.throttled("status", refusal.retry_after)
        job = client.job(JOB_ID)
        with pytest.raises(WaitTimeoutError) as caught:
            await wait_until(job, timeout=50)
        assert now() == pytest.approx(50, abs=0.1)
        assert caught.value.polls == 0
        with pytest.raises(WaitTimeoutError) as caught:
            await wait_until(job, timeout=0)  # polls once, as soon as that is allowed
        assert now() == pytest.approx(100, abs=0.1)
        assert caught.value.polls == 1


async def test_an_error_counts_the_polls_of_its_own_wait() -> None:
    async with ScriptedClient([seen("verifying")]) as client:
        job = client.job(JOB_ID)
        other = asyncio.create_task(wait_until(job, wait=STEADY))
        await asyncio.sleep(101)
        with pytest.raises(WaitTimeoutError, match="after 3 polls") as caught:
            await wait_until(job, wait=STEADY, timeout=9)
        assert caught.value.polls == 3
        other.cancel()
        await asyncio.wait([other])


async def test_no_more_polls_than_allowed_are_under_way_at_once() -> None:
    count = MOST_IN_FLIGHT * 5
    async with ScriptedClient([seen("completed")], latency=1) as client:
        await asyncio.gather(*(wait_until(client.job(f"job{n}")) for n in range(count)))
        assert client.most_in_flight == MOST_IN_FLIGHT
        assert len(client.polled_at) == count
        assert_idle(client)


class Hanging(ScriptedClient):
    """A client whose first poll of one job never returns."""

    hung = 0

    async def poll(self, job_id: str) -> JobSnapshot:
        if job_id == "job0" and not self.hung:
            self.hung += 1
            await asyncio.Event().wait()
        return await super().poll(job_id)


async def test_a_hanging_poll_is_repeated() -> None:
    async with Hanging([seen("completed")]) as client:
        assert (await wait_until(client.job("job0"))).ended
        assert ORDINARY_SECONDS <= now() < ORDINARY_SECONDS + 2
        assert client.stats.polls == 2
        assert_idle(client)


async def test_a_hanging_poll_delays_no_other_job() -> None:
    async with Hanging([seen("verifying")]) as client:
        tasks = [
            asyncio.create_task(wait_until(client.job(f"job{number}"), wait=STEADY))
            for number in (1, 2, 3, 0)
        ]
        await asyncio.sleep(1001)
        assert client.hung == 1
        polls = len(client.polled_at)
        assert polls == 3 * 201 + (1001 - ORDINARY_SECONDS) // 5
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert_idle(client)


async def test_a_waiter_can_leave_while_its_poll_is_abandoned() -> None:
    async with Hanging([seen("verifying")]) as client:
        task = asyncio.create_task(wait_until(client.job("job0"), wait=STEADY))
        await asyncio.sleep(ORDINARY_SECONDS - 1e-6)
        scheduler_of(client.job(JOB_ID))._cancel_late_polls(now() + 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert client.polled_at == []
        assert_idle(client)


async def test_a_poll_that_cancels_itself_is_repeated() -> None:
    class Cancelled(ScriptedClient):
        async def poll(self, job_id: str) -> JobSnapshot:
            if not self.polled_at:
                self.polled_at.append(now())
                raise asyncio.CancelledError
            return await super().poll(job_id)

    async with Cancelled([seen("completed")]) as client:
        assert (await wait_until(client.job(JOB_ID))).ended
        assert len(client.polled_at) == 2
        assert_idle(client)


async def test_a_wait_names_the_error_that_ended_its_poll() -> None:
    class Ending(ScriptedClient):
        async def poll(self, job_id: str) -> JobSnapshot:
            if job_id == "within":
                raise asyncio.CancelledError
            if job_id == "hanging":
                await asyncio.Event().wait()
            return await super().poll(job_id)

    async with Ending([seen("verifying")], latency=10) as client:

        async def last_error(job_id: str) -> BulkVerifyError | None:
            with pytest.raises(WaitTimeoutError) as caught:
                await wait_until(client.job(job_id), timeout=100, wait=wait_fixed(1000))
            return caught.value.last_error

        waits = [asyncio.create_task(last_error(name)) for name in ("within", "hanging", "outside")]
        await asyncio.sleep(5)
        poll = scheduler_of(client.job(JOB_ID)).streams["outside"].task
        assert poll is not None
        poll.cancel()
        within, hanging, outside = await asyncio.gather(*waits)
        assert poll.cancelled()
        assert isinstance(within, ConnectionFailedError)
        assert "other code cancelled the status call" in str(within)
        assert isinstance(hanging, RequestTimeoutError)
        assert outside is None


async def test_a_poll_cancelled_before_its_first_step_is_repeated() -> None:
    async with ScriptedClient([seen("completed")]) as client:
        wait = asyncio.create_task(wait_until(client.job(JOB_ID), timeout=60))
        await asyncio.sleep(0)
        scheduler = scheduler_of(client.job(JOB_ID))
        scheduler._wake_up()
        [poll] = scheduler._asking
        poll.cancel()
        assert (await wait).ended
        assert now() == pytest.approx(1, abs=0.1)
        assert not scheduler._asking


async def test_a_wait_that_joins_after_a_poll_was_cancelled_unsent_is_polled_in_time() -> None:
    async with ScriptedClient([seen("completed")]) as client:
        first = asyncio.create_task(wait_until(client.job(JOB_ID), timeout=60))
        await asyncio.sleep(0)
        scheduler = scheduler_of(client.job(JOB_ID))
        scheduler._wake_up()
        [poll] = scheduler._asking
        poll.cancel()
        await asyncio.wait([poll])
        assert (await wait_until(client.job(JOB_ID), timeout=0.5)).ended
        assert now() == 0
        assert (await first).ended


async def test_the_turn_of_an_abandoned_job_sends_nothing() -> None:
    async with ScriptedClient([seen("verifying")]) as client:
        other = asyncio.create_task(wait_until(client.job("other"), wait=wait_fixed(100)))
        with pytest.raises(WaitTimeoutError):  # its next poll is due at 50
            await wait_until(client.job(JOB_ID), wait=wait_fixed(50), timeout=49)
        await asyncio.sleep(21)
        assert not other.done()
        assert len(client.polled_at) == 3
        other.cancel()
        await asyncio.wait([other])


async def test_many_abandoned_waits_leave_no_trace() -> None:
    async with ScriptedClient([seen("verifying")], requests_per_minute=2) as client:
        patient = [  # enough that one is always in line
            asyncio.create_task(wait_until(client.job(f"patient{number}"), wait=STEADY))
            for number in range(3)
        ]
        hasty = [
            asyncio.create_task(wait_until(client.job(f"job{number}"))) for number in range(500)
        ]
        await asyncio.sleep(10)
        assert len(scheduler_of(client.job(JOB_ID))._ready) > 490
        for task in hasty:
            task.cancel()
        await asyncio.sleep(100)
        assert len(scheduler_of(client.job(JOB_ID))._ready) <= 64
        for task in patient:
            assert not task.done()
            task.cancel()
        await asyncio.wait(patient)


async def test_remaining_waits_are_not_forgotten_when_many_leave() -> None:
    async with ScriptedClient([seen("completed")], requests_per_minute=2) as client:
        stay = [
            asyncio.create_task(wait_until(client.job(f"stay{number}"))) for number in range(20)
        ]
        leave = [
            asyncio.create_task(wait_until(client.job(f"job{number}"))) for number in range(500)
        ]
        await asyncio.sleep(10)
        for task in leave:
            task.cancel()
        snapshots = await asyncio.gather(*stay)
        assert {snapshot.job_id for snapshot in snapshots} == {f"stay{n}" for n in range(20)}
        await asyncio.wait(leave)
        assert len(client.polled_at) < 40
        # A job that is waited for again is polled as usual.
        assert (await wait_until(client.job("job499"))).ended


async def test_cancelling_every_other_task_ends_no_wait() -> None:
    async with ScriptedClient([seen("completed")], latency=10) as client:
        wait = asyncio.create_task(wait_until(client.job(JOB_ID)))
        await asyncio.sleep(5)
        others = asyncio.all_tasks() - {asyncio.current_task(), wait}
        assert [task.get_name() for task in others] == ["bulkverify poll"]
        for task in others:
            task.cancel()
        assert (await wait).ended
        assert len(client.polled_at) == 2
        assert_idle(client)


async def test_a_second_handle_of_a_job_gets_the_known_snapshot() -> None:
    async with ScriptedClient([seen("ready")]) as client:
        other = asyncio.create_task(wait_until(client.job(JOB_ID), "verifying", wait=STEADY))
        await asyncio.sleep(1)
        own = bv.Job(client, JOB_ID)
        assert (await wait_until(own, "ready", wait=STEADY, timeout=30)).status == "ready"
        other.cancel()
        await asyncio.wait([other])
        assert_idle(client)


async def test_a_callback_may_begin_another_wait_for_its_job() -> None:
    async with ScriptedClient([seen("verifying"), seen("completed")]) as client:
        job = client.job(JOB_ID)
        assert job.note(seen("verifying"))
        scheduler = scheduler_of(job)
        begun: list[Waiter] = []

        def begin(_: JobSnapshot) -> None:  # at once, as an eager task does
            if not begun:
                begun.append(
                    Waiter(job=job, target=JobStatus.COMPLETED, timeout=None, policy=STEADY)
                )
                scheduler.join(begun[0])

        assert (await wait_until(job, wait=STEADY, on_progress=begin)).ended
        assert (await begun[0]).ended
        await scheduler.leave(begun[0])
        assert len(client.polled_at) == 2
        assert_idle(client)


@pytest.mark.parametrize("latency", [0.0, 1e6], ids=["between polls", "during a poll"])
async def test_a_cancelled_wait_stops_at_once_and_leaves_nothing_scheduled(latency: float) -> None:
    async with ScriptedClient([seen("verifying")], latency=latency) as client:
        task = asyncio.create_task(wait_until(client.job(JOB_ID), wait=wait_fixed(1000)))
        await asyncio.sleep(10)
        began = now()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert now() == began
        assert_idle(client)
        assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_failing_task_group_cancels_its_waits() -> None:
    async with ScriptedClient([seen("verifying")], latency=0.5) as client:

        async def break_off() -> None:
            await asyncio.sleep(7.2)
            raise LookupError("elsewhere")

        async def wait_for_all() -> None:
            async with asyncio.TaskGroup() as group:
                for number in range(100):
                    group.create_task(wait_until(client.job(f"job{number}"), wait=STEADY))
                group.create_task(break_off())

        with pytest.raises(ExceptionGroup) as caught:
            await wait_for_all()
        assert [type(error) for error in caught.value.exceptions] == [LookupError]
        assert_idle(client)
        assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("latency", [0.0, 1e6], ids=["between polls", "during a poll"])
async def test_closing_the_client_wakes_all_waiters(latency: float) -> None:
    client = ScriptedClient([seen("verifying")], latency=latency)
    waits = [asyncio.create_task(wait_until(client.job(f"job{n}"))) for n in range(3)]
    await asyncio.sleep(10)
    await client.close()
    results = await asyncio.gather(*waits, return_exceptions=True)
    assert {type(result) for result in results} == {ClientClosedError}
    assert "by its id" in str(results[0])
    assert_idle(client)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_cancellation_beside_an_error_is_not_lost() -> None:
    async with ScriptedClient([bv.AuthenticationError("401")], latency=1) as client:
        task = asyncio.create_task(wait_until(client.job(JOB_ID)))
        await asyncio.sleep(0.5)
        scheduler = scheduler_of(client.job(JOB_ID))
        scheduler.streams[JOB_ID].fail(bv.AuthenticationError("401"))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert_idle(client)


async def test_watching_gives_every_change_until_the_end() -> None:
    steps = [seen("preparing"), seen("preparing"), seen("ready"), seen("verifying", 50)]
    async with ScriptedClient([*steps, seen("completed")]) as client:
        changes = [s.status.value async for s in watch(client.job(JOB_ID), wait=STEADY)]
        assert changes == ["preparing", "ready", "verifying", "completed"]
        assert_idle(client)


@pytest.mark.parametrize("end", ["failed", "cancelled"])
async def test_watching_a_job_that_goes_wrong_ends_with_that_snapshot(end: str) -> None:
    async with ScriptedClient([seen("verifying"), seen(end)]) as client:
        changes = [s.status.value async for s in watch(client.job(JOB_ID), wait=STEADY)]
        assert changes == ["verifying", end]


async def test_watching_goes_on_for_a_job_that_is_not_started() -> None:
    async with ScriptedClient([*([seen("ready")] * 100), seen("cancelled")]) as client:
        changes = [s.status.value async for s in watch(client.job(JOB_ID), wait=STEADY)]
        assert changes == ["ready", "cancelled"]


async def test_watching_an_ended_job_gives_its_last_snapshot() -> None:
    async with ScriptedClient([seen("completed")]) as client:
        job = client.job(JOB_ID)
        last = await wait_until(job)
        assert [snapshot async for snapshot in watch(job)] == [last]
        assert len(client.polled_at) == 1


async def test_a_slow_watcher_misses_no_change() -> None:
    steps = [seen("verifying", number) for number in range(1, 6)]
    async with ScriptedClient([*steps, seen("completed")]) as client:
        changes = []
        async for snapshot in watch(client.job(JOB_ID), wait=STEADY):
            changes.append(snapshot.verified)
            await asyncio.sleep(100)
        assert changes == [1, 2, 3, 4, 5, 100]


async def test_watching_ends_with_the_error_after_the_changes_before_it() -> None:
    async with ScriptedClient([seen("verifying", 1), bv.AuthenticationError("401")]) as client:
        changes = watch(client.job(JOB_ID), wait=STEADY)
        assert (await anext(changes)).verified == 1
        with pytest.raises(bv.AuthenticationError):
            await anext(changes)
        assert_idle(client)


async def test_watching_has_a_deadline() -> None:
    async with ScriptedClient([seen("verifying", 1)]) as client:
        changes = watch(client.job(JOB_ID), wait=STEADY, timeout=20)
        assert (await anext(changes)).verified == 1
        with pytest.raises(WaitTimeoutError):
            await anext(changes)
        assert now() == pytest.approx(20, abs=0.05)
        assert_idle(client)


async def test_leaving_a_watch_early_ends_its_polling() -> None:
    async with ScriptedClient([seen("verifying")]) as client:
        async with aclosing(watch(client.job(JOB_ID), wait=STEADY)) as changes:
            async for _ in changes:
                break
        assert_idle(client)


async def test_the_client_has_one_handle_for_each_job() -> None:
    async with ScriptedClient([seen("verifying"), seen("completed")]) as client:
        job = client.job(JOB_ID)
        assert client.job(JOB_ID) is job
        await wait_until(client.job(JOB_ID), wait=STEADY)
        assert job.snapshot is not None
        assert job.snapshot.ended


def steps_by_job(now_at: float, job_id: str) -> Step:
    """Let job N complete after 10 N seconds, but let job 3 fail."""
    number = int(job_id.removeprefix("job"))
    if now_at < 10 * number:
        return seen("verifying", 1)
    return seen("failed" if number == 3 else "completed")


class ManyJobs(ScriptedClient):
    async def poll(self, job_id: str) -> JobSnapshot:
        self._script = lambda moment: steps_by_job(moment, job_id)
        return await super().poll(job_id)


async def test_waiting_for_all_returns_the_snapshots_in_their_order() -> None:
    async with ManyJobs(lambda _: seen("ready")) as client:
        jobs = [client.job(f"job{number}") for number in (5, 1, 4, 2)]
        snapshots = await wait_all(jobs, wait=wait_fixed(1))
        assert [s.job_id for s in snapshots] == ["job5", "job1", "job4", "job2"]
        assert now() == pytest.approx(50, abs=1)
        assert await wait_all([]) == []
        assert client.stats.jobs == client.stats.waits == 4
        assert client.stats.polls == len(client.polled_at)
        assert_idle(client)


async def test_waiting_for_all_ends_with_the_first_error() -> None:
    async with ManyJobs(lambda _: seen("ready")) as client:
        with pytest.raises(JobFailedError):
            await wait_all([client.job(f"job{n}") for n in range(1, 6)], wait=wait_fixed(1))
        assert now() == pytest.approx(30, abs=1)
        assert_idle(client)


async def test_other_tasks_run_while_many_waits_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bulkverify.waiting.waits._JOINED_AT_ONCE", 5)
    begun: list[int] = []

    async with ScriptedClient([seen("completed")], latency=1) as client:

        async def count() -> None:
            while client.stats.waits < 20:
                begun.append(client.stats.waits)
                await asyncio.sleep(0)

        counting = asyncio.create_task(count())
        await wait_all([client.job(f"job{number}") for number in range(20)])
        await counting
    assert [number for number in begun if number] == [5, 10, 15]


async def test_the_callbacks_of_one_call_share_a_context() -> None:
    count, counts = ContextVar("count", default=0), list[int]()

    def on_progress(_: JobSnapshot) -> None:
        count.set(count.get() + 1)
        counts.append(count.get())

    async with ScriptedClient([seen("completed")]) as client:
        await wait_all([client.job(f"job{number}") for number in range(3)], on_progress=on_progress)
    assert (counts, count.get()) == ([1, 2, 3], 0)


async def test_errors_after_the_first_are_not_reported_to_the_loop() -> None:
    # A fixture of all tests looks for reports.
    async with ScriptedClient([seen("failed")]) as client:
        with pytest.raises(JobFailedError):
            await wait_all([client.job(f"job{number}") for number in range(3)])


async def test_jobs_come_as_they_complete_and_a_failed_one_is_among_them() -> None:
    async with ManyJobs(lambda _: seen("ready")) as client:
        jobs = [client.job(f"job{number}") for number in (5, 3, 1)]
        came = [
            (job.id, type(result).__name__, round(now()))
            async for job, result in as_completed(jobs, wait=wait_fixed(1))
        ]
        assert came == [
            ("job1", "JobSnapshot", 10),
            ("job3", "JobFailedError", 30),
            ("job5", "JobSnapshot", 50),
        ]
        assert_idle(client)


async def test_one_timeout_covers_all_jobs() -> None:
    async with ManyJobs(lambda _: seen("ready")) as client:
        jobs = [client.job(f"job{number}") for number in (1, 4, 5)]
        results = [r async for _, r in as_completed(jobs, timeout=25, wait=wait_fixed(1))]
        assert [type(result).__name__ for result in results] == [
            "JobSnapshot",
            "WaitTimeoutError",
            "WaitTimeoutError",
        ]
        assert now() == pytest.approx(25, abs=0.1)


async def test_leaving_early_or_an_error_of_a_callback_ends_all_the_waits() -> None:
    def broken(_: JobSnapshot) -> None:
        raise LookupError("mine")

    async with ManyJobs(lambda _: seen("ready")) as client:
        jobs = [client.job(f"job{number}") for number in range(1, 6)]
        async with aclosing(as_completed(jobs, wait=STEADY)) as results:
            await anext(results)
        assert_idle(client)
        with pytest.raises(LookupError):
            await anext(as_completed(jobs[1:], wait=STEADY, on_progress=broken))
        await asyncio.sleep(0)
        task = asyncio.create_task(wait_all(jobs[1:], wait=STEADY))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert_idle(client)

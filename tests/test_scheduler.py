"""The times and the order of the polls of one client, on a virtual clock."""

import asyncio
from collections import deque
from typing import Any

import attrs
import pytest
from tenacity import wait_fixed

from bulkverify import JobSnapshot, WaitTimeoutError, as_completed, wait_until
from bulkverify.client import known_of
from bulkverify.lifecycle import JobStatus
from bulkverify.service.sessions import ORDINARY_SECONDS
from bulkverify.waiting import scheduler as module
from bulkverify.waiting.scheduler import scheduler_of
from bulkverify.waiting.waiters import Waiter
from tests.scripted import JOB_ID, ScriptedClient, seen

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]


def now() -> float:
    return asyncio.get_running_loop().time()


def joined(client: ScriptedClient, job_id: str, timeout: float | None = None) -> Waiter:
    """Add a waiter for a job; the job is polled every ten seconds."""
    job = client.job(job_id)
    waiter = Waiter(job=job, target=JobStatus.COMPLETED, timeout=timeout, policy=wait_fixed(10.0))
    scheduler_of(job).join(waiter)
    return waiter


def leave(*waiters: Waiter) -> None:
    for waiter in waiters:
        scheduler_of(waiter.job).remove(waiter)


async def test_remaining_waits_are_polled_after_many_have_left() -> None:
    def completed_in_the_end(at: float) -> JobSnapshot:
        return seen("completed" if at > 500 else "verifying")

    async with ScriptedClient(completed_in_the_end) as client:
        stay = [
            asyncio.create_task(wait_until(client.job(f"stay{pause}"), wait=wait_fixed(pause)))
            for pause in (100, 130, 170)
        ]
        many = [
            asyncio.create_task(wait_until(client.job(f"job{number}"), wait=wait_fixed(9000)))
            for number in range(200)
        ]
        await asyncio.sleep(10)
        for task in many:
            task.cancel()
        await asyncio.wait(many)
        agenda = scheduler_of(client.job(JOB_ID))._agenda
        assert agenda.count > 200
        await asyncio.sleep(100)
        assert agenda.count < 10
        assert all([(await wait).ended for wait in stay])
        assert now() == pytest.approx(600, abs=1)


async def test_an_interrupt_among_the_polls_ends_all_waits_and_the_program(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    async with ScriptedClient([seen("verifying")]) as client:
        waiters = [joined(client, "a"), joined(client, "b")]
        scheduler = scheduler_of(client.job("a"))
        with monkeypatch.context() as patched:
            patched.setattr(scheduler, "_gather", interrupted)
            with pytest.raises(KeyboardInterrupt):
                scheduler._wake_up()
        assert all(isinstance(one.exception(), KeyboardInterrupt) for one in waiters)
        leave(*waiters)


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
async def test_an_interrupt_while_a_task_is_made_ends_the_wait_and_the_program(
    kind: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise kind

    async with ScriptedClient([seen("verifying")]) as client:
        waiter = joined(client, "a")
        scheduler = scheduler_of(client.job("a"))
        with monkeypatch.context() as patched:
            patched.setattr(scheduler._loop, "create_task", interrupted)
            with pytest.raises(kind):
                scheduler._send(scheduler.streams["a"], now())
        assert isinstance(waiter.exception(), kind)
        leave(waiter)


async def test_an_ended_job_is_not_polled_among_others() -> None:
    def completed_later(at: float) -> JobSnapshot:
        return seen("completed" if at > 15 else "verifying")

    async with ScriptedClient(completed_later) as client:
        ended, going_on = client.job("ended"), client.job("goes_on")
        assert ended.note(seen("completed", job_id="ended"))
        came = [job.id async for job, _ in as_completed([ended, going_on], wait=wait_fixed(10))]
        assert came == ["ended", "goes_on"]
        assert len(client.polled_at) == 3  # at 0, 10 and 20
        assert (client.stats.waits, client.stats.jobs) == (2, 1)


async def test_waits_and_their_jobs_are_counted() -> None:
    async with ScriptedClient([seen("completed")]) as client:
        for name in ("a", "b"):
            await asyncio.gather(wait_until(client.job(name)), wait_until(client.job(name)))
        assert (client.stats.waits, client.stats.jobs, client.stats.polls) == (4, 2, 2)


async def test_only_a_wait_close_to_its_deadline_overtakes_held_polls() -> None:
    async with ScriptedClient([seen("verifying")]) as client:
        first = joined(client, "first")
        scheduler = scheduler_of(client.job("first"))
        held_until = scheduler._held_until = now() + 100
        second = joined(client, "second")
        await asyncio.sleep(20)
        assert [stream.job.id for stream in scheduler._ready] == ["first", "second"]
        another = joined(client, "second")  # while it is in line
        await asyncio.sleep(20)
        assert [stream.job.id for stream in scheduler._ready] == ["first", "second"]
        assert scheduler._held_until == held_until
        assert not client.polled_at

        close = joined(client, "second", timeout=4)  # while it is in line
        await asyncio.sleep(1)
        assert client.polled_at[0] == 40
        leave(first, second, another, close)


async def test_a_new_wait_close_to_its_deadline_overtakes_held_polls() -> None:
    polled: list[str] = []

    class Names(ScriptedClient):
        async def poll(self, job_id: str) -> JobSnapshot:
            polled.append(job_id)
            return await super().poll(job_id)

    async with Names([seen("verifying")]) as client:
        waiters = [joined(client, f"job{number}") for number in range(3)]
        scheduler_of(client.job("close"))._held_until = now() + 100
        await asyncio.sleep(20)
        waiters.append(joined(client, "close", timeout=4))
        await asyncio.sleep(1)
        assert polled[0] == "close"
        leave(*waiters)


async def test_the_deadlines_of_ended_waits_are_forgotten_early() -> None:
    async with ScriptedClient([seen("verifying")]) as client:
        stays = joined(client, "stays")
        for number in range(1000):
            leave(joined(client, f"job{number}", timeout=86_400))
        assert scheduler_of(client.job("stays"))._deadlines._kept < 200
        leave(stays)


async def test_the_number_of_polls_queued_at_once_is_limited(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_MOST_AT_ONCE", 3)
    async with ScriptedClient([seen("verifying")]) as client:
        waiters = [joined(client, f"job{number}") for number in range(10)]
        scheduler = scheduler_of(client.job("a"))
        scheduler._agenda.clear()
        for moment, stream in enumerate(scheduler.streams.values()):
            stream.due = float(moment)
            scheduler._agenda.add(stream.due, stream)
        scheduler._gather(100.0)
        assert len(scheduler._ready) == 3
        scheduler._gather(100.0)
        assert len(scheduler._ready) == 6
        leave(*waiters)


async def test_a_wait_is_polled_early_enough_for_an_answer_before_its_deadline() -> None:
    async with ScriptedClient([seen("verifying")], latency=2.0, requests_per_minute=24) as client:
        waiters = [joined(client, f"job{number}") for number in range(100)]
        for _ in range(10):  # the smallest share ever left for polls
            client._transport.budget.throttled("status", None)
            await asyncio.sleep(16)
        for tenths in range(0, 50, 7):  # looked at with any time left
            with pytest.raises(WaitTimeoutError) as caught:
                await wait_until(client.job(f"new{tenths}"), timeout=10 + tenths / 10)
            assert caught.value.polls == 1
        leave(*waiters)


@attrs.define(eq=False)
class Late:
    """A stand-in for a stream, late by a given amount."""

    late: float

    def overdue(self, at: float) -> float:  # noqa: ARG002 - as of a stream
        return self.late


async def test_a_long_line_is_compared_in_turns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_MOST_COMPARED", 3)
    async with ScriptedClient([]) as client:
        scheduler: Any = scheduler_of(client.job(JOB_ID))
        last = Late(9)
        scheduler._ready = deque([Late(1) for _ in range(6)] + [last] + [Late(0)])
        there = set(scheduler._ready)
        for _ in range(4):
            scheduler._bring_most_overdue_to_front(0.0)
            assert set(scheduler._ready) == there
            assert len(scheduler._ready) == 8
        assert scheduler._ready[0] is last
        scheduler._ready.clear()


async def test_only_streams_without_waiters_leave_the_line() -> None:
    async with ScriptedClient([]) as client:
        scheduler: Any = scheduler_of(client.job(JOB_ID))
        waiters = [joined(client, f"job{number}") for number in range(100)]
        streams = list(scheduler.streams.values())
        scheduler._gather(now())
        leave(*waiters[10:])
        scheduler._remove_unwanted()
        assert list(scheduler._ready) == streams[:10]
        assert [stream.ready for stream in streams] == [True] * 10 + [False] * 90
        leave(*waiters[:10])


class Slow(ScriptedClient):
    """Takes five seconds for each poll of `a`, and forever for those of other jobs."""

    def __init__(self) -> None:
        super().__init__([seen("verifying")])
        self.polled: list[tuple[str, float]] = []

    async def poll(self, job_id: str) -> JobSnapshot:
        self.polled.append((job_id, now()))
        await asyncio.sleep(5 if job_id == "a" else 86_400)
        return await super().poll(job_id)


async def test_a_wait_that_ends_cancels_its_poll_in_a_task_that_began_with_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MOST_IN_FLIGHT", 1)
    async with Slow() as client:
        first, second = joined(client, "a"), joined(client, "b")
        scheduler = scheduler_of(first.job)
        await asyncio.sleep(6)
        assert client.polled == [("a", 0), ("b", 5)]
        await scheduler.leave(second)
        await asyncio.sleep(10)
        assert client.polled == [("a", 0), ("b", 5), ("a", 15)]
        await scheduler.leave(first)


async def test_a_poll_times_out_in_time_although_an_older_task_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MOST_IN_FLIGHT", 2)
    async with Slow() as client:
        waiters = [joined(client, name) for name in "abc"]
        await asyncio.sleep(1 + ORDINARY_SECONDS + 10)
        begun = ORDINARY_SECONDS + 10
        assert [at for name, at in client.polled if name == "b"] == [0, begun]
        for waiter in waiters:
            await scheduler_of(waiter.job).leave(waiter)


async def test_a_job_that_is_abandoned_in_line_is_not_polled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MOST_IN_FLIGHT", 1)
    async with Slow() as client:
        first, second = joined(client, "a"), joined(client, "b")
        await asyncio.sleep(2)
        leave(second)
        await asyncio.sleep(10)
        assert client.polled == [("a", 0)]
        await scheduler_of(first.job).leave(first)


async def test_long_pauses_of_several_clients_end_together() -> None:
    async with (
        ScriptedClient([seen("verifying")]) as first,
        ScriptedClient([seen("verifying")]) as second,
    ):
        waiters = []
        for client in (first, second):
            known_of(client).tick = 1.0
            await asyncio.sleep(0.3)
            waiters.append(joined(client, "job"))
        await asyncio.sleep(30)
        assert first.polled_at == pytest.approx([0.3, 11, 21])
        assert second.polled_at == pytest.approx([0.6, 11, 21])
        leave(*waiters)


async def test_short_pauses_and_the_last_moment_do_not_wait_for_others() -> None:
    async with ScriptedClient([seen("verifying")]) as client:
        known_of(client).tick = 1.0
        await asyncio.sleep(0.3)
        for pause, timeout in ((3.9, 8.0), (20.0, 8.3)):
            with pytest.raises(WaitTimeoutError):
                await wait_until(client.job("job"), wait=wait_fixed(pause), timeout=timeout)
        assert client.polled_at == pytest.approx([0.3, 4.2, 8.1, 8.25, 8.3, 16.55], abs=0.01)


async def test_held_polls_of_several_clients_are_sent_together() -> None:
    async with ScriptedClient([seen("verifying")], requests_per_minute=120) as client:
        known_of(client).tick = 1.0
        waiters = [joined(client, f"job{number}") for number in range(100)]
        await asyncio.sleep(40)
        held = [at for at in client.polled_at if at > 10]
        assert len(held) > 40
        assert held == pytest.approx([round(at) for at in held])
        leave(*waiters)

"""The request budget, on a virtual clock."""

import asyncio
import itertools

import pytest

from bulkverify.limits import WINDOW_SECONDS
from bulkverify.service.budget import Budget

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]


def now() -> float:
    return asyncio.get_running_loop().time()


async def departures(budget: Budget, count: int, endpoint: str = "status") -> list[float]:
    """Ask for several turns at once, and return the time of each."""

    async def depart() -> float:
        await budget.spend(endpoint)
        return now()

    return sorted(await asyncio.gather(*(depart() for _ in range(count))))


async def test_no_minute_sees_more_than_the_limit() -> None:
    moments = await departures(Budget(120), 1000)
    for index, moment in enumerate(moments[120:]):
        assert moment - moments[index] > WINDOW_SECONDS
    assert moments[119] == 0
    assert moments[-1] < 8.2 * (WINDOW_SECONDS + 1)


async def test_a_request_after_an_idle_time_goes_at_once() -> None:
    budget = Budget(2)
    await departures(budget, 2)
    await asyncio.sleep(WINDOW_SECONDS + 2)
    began = now()
    await departures(budget, 2)
    assert now() == began


async def test_each_endpoint_has_its_own_budget() -> None:
    budget = Budget(1)
    await budget.spend("status")
    await budget.spend("start")
    assert now() == 0


async def test_a_budget_without_a_limit_delays_no_request() -> None:
    assert await departures(Budget(None), 10_000) == [0.0] * 10_000


async def test_a_cancelled_turn_goes_to_the_next_caller() -> None:
    budget = Budget(1)
    await budget.spend("status")
    waiting = asyncio.create_task(budget.spend("status"))
    await asyncio.sleep(1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await budget.spend("status")
    assert now() < WINDOW_SECONDS + 2


async def test_cancelled_turns_do_not_raise_the_limit() -> None:
    budget = Budget(2)
    await departures(budget, 2)
    waiting = [asyncio.create_task(budget.spend("status")) for _ in range(3)]
    await asyncio.sleep(1)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    await budget.spend("status")
    assert now() > WINDOW_SECONDS


async def test_a_limit_that_falls_and_rises_again_forgets_no_request() -> None:
    budget = Budget(100)
    await departures(budget, 100)
    budget.limit = 10
    assert budget.take_for_poll("status") > 0
    budget.limit = 100
    assert min(await departures(budget, 100)) > WINDOW_SECONDS


async def test_old_departures_are_forgotten() -> None:
    budget = Budget(2)
    for _ in range(100):
        await budget.spend("status")
        await asyncio.sleep(WINDOW_SECONDS)
    assert len(budget._lanes["status"].departures) <= 3


@pytest.mark.parametrize("limit", [None, 120])
async def test_a_pause_holds_all_requests_back(limit: int | None) -> None:
    budget = Budget(limit)
    budget.throttled("status", 30)
    budget.throttled("status", 10)
    assert budget.take_for_poll("status") == 30
    assert await departures(budget, 3) == [30.0] * 3
    await budget.spend("start")
    assert now() == 30


async def test_waiting_callers_sit_out_a_new_pause() -> None:
    budget = Budget(2)
    waiting = asyncio.create_task(departures(budget, 8))
    await asyncio.sleep(50)
    budget.throttled("status", 60)
    await asyncio.sleep(40)
    budget.throttled("status", 60)
    moments = await waiting
    assert moments[:2] == [0, 0]
    assert moments[2:] == pytest.approx([150, 150, 211, 211, 272, 272])


async def test_a_budget_without_a_limit_sits_out_every_pause() -> None:
    budget = Budget(None)
    budget.throttled("status", 60)
    waiting = asyncio.create_task(departures(budget, 100))
    await asyncio.sleep(50)
    budget.throttled("status", 60)
    assert await waiting == pytest.approx([110] * 100)


async def test_a_caller_cancelled_in_a_pause_delays_no_other() -> None:
    budget = Budget(1)
    budget.throttled("status", 30)
    waiting = [asyncio.create_task(budget.spend("status")) for _ in range(4)]
    await asyncio.sleep(10)
    for task in waiting[:3]:
        task.cancel()
    await waiting[3]
    assert now() == pytest.approx(30)
    await asyncio.wait(waiting)


@pytest.mark.parametrize("callers", [1, 60, 150])
async def test_no_poll_goes_before_a_caller_in_line(callers: int) -> None:
    budget = Budget(120)
    await departures(budget, 120)
    waiting = asyncio.create_task(departures(budget, callers))
    polling = asyncio.create_task(polls(budget, 200))
    last = (await waiting)[-1]
    early = [moment for moment in await polling if moment < last]
    assert not early


async def test_polls_go_on_after_a_pause_without_a_limit() -> None:
    budget = Budget(None)
    assert budget.take_for_poll("status") == 0
    budget.throttled("status", 30)
    await asyncio.sleep(31)
    assert [budget.take_for_poll("status") for _ in range(1000)] == [0] * 1000


async def test_a_twentieth_of_the_limit_may_be_polled_at_once() -> None:
    budget = Budget(120)
    assert [budget.take_for_poll("status") > 0 for _ in range(6)] == [False] * 5 + [True]
    assert (await polls(budget, 1))[0] > 0


async def test_an_urgent_poll_goes_like_a_caller() -> None:
    budget = Budget(120)
    for _ in range(10):
        budget.throttled("status", None)
        await asyncio.sleep(16)
    assert budget.take_for_poll("status") > 1
    begun = now()
    assert [budget.take_for_poll("status", urgent=True) for _ in range(120)] == [0] * 120
    held = budget.take_for_poll("status", urgent=True)
    assert held == pytest.approx(WINDOW_SECONDS + 1)
    await departures(budget, 1)
    assert now() - begun == pytest.approx(held)
    budget.throttled("status", 90)
    assert budget.take_for_poll("status", urgent=True) == 90


async def polls(budget: Budget, seconds: float) -> list[float]:
    """Poll as often as the budget allows for some seconds."""
    moments = []
    until = now() + seconds
    while now() < until:
        held = budget.take_for_poll("status")
        if held:
            await asyncio.sleep(held)
        else:
            moments.append(now())
    return moments


def busiest_minute(moments: list[float]) -> int:
    return max(sum(a <= b < a + WINDOW_SECONDS for b in moments) for a in moments)


async def test_polls_stay_below_the_limit_and_come_evenly() -> None:
    moments = await polls(Budget(120), 600)
    assert busiest_minute(moments) <= 120
    assert len(moments) > 0.88 * 1200
    gaps = [b - a for a, b in itertools.pairwise(moments[20:])]
    assert max(gaps) < 1


@pytest.mark.parametrize("limit", [1, 2, 5, 10])
async def test_small_limits_let_polls_through_too(limit: int) -> None:
    moments = await polls(Budget(limit), 1200)
    assert busiest_minute(moments) <= limit
    assert len(moments) >= limit * 20 * 0.45


async def test_callers_and_polls_together_stay_below_the_limit_and_callers_go_first() -> None:
    budget = Budget(120)
    waits: list[float] = []
    moments: list[float] = []

    async def call() -> None:
        began = now()
        await budget.spend("status")
        moments.append(now())
        waits.append(now() - began)

    async def callers() -> None:
        for _ in range(100):
            await asyncio.sleep(3)
            await call()

    polling = asyncio.create_task(polls(budget, 300))
    await callers()
    moments += await polling
    assert busiest_minute(moments) <= 120
    assert max(waits) < 2


async def test_a_storm_of_429s_halves_the_pace_of_polls_once() -> None:
    budget = Budget(120)
    await polls(budget, 120)
    for _ in range(5):
        budget.throttled("status", None)
    halved = await polls(budget, 60)
    assert 45 <= len(halved) <= 60
    budget.throttled("status", None)
    assert 20 <= len(await polls(budget, 60)) <= 35


async def test_the_pace_grows_back_evenly() -> None:
    budget = Budget(120)
    budget.throttled("status", None)
    begun = len(await polls(budget, 60))
    await asyncio.sleep(420)
    middle = len(await polls(budget, 60))
    await asyncio.sleep(1000)
    end = len(await polls(budget, 60))
    assert begun < middle < end
    assert end >= 105


async def test_the_pace_never_falls_to_zero() -> None:
    budget = Budget(120)
    for _ in range(100):
        budget.throttled("status", None)
        await asyncio.sleep(16)
    assert len(await polls(budget, 120)) >= 4


async def test_turns_come_in_the_order_of_their_requests() -> None:
    budget = Budget(1)
    order: list[int] = []

    async def depart(number: int) -> None:
        await budget.spend("status")
        order.append(number)

    await asyncio.gather(*(depart(number) for number in range(5)))
    assert order == [0, 1, 2, 3, 4]


async def test_a_new_caller_waits_behind_earlier_callers() -> None:
    budget = Budget(1)
    await budget.spend("status")
    order: list[str] = []

    async def call(name: str, after: float) -> None:
        await asyncio.sleep(after)
        await budget.spend("status")
        order.append(name)

    # The new caller arrives when the other's turn comes, and is woken first.
    async with asyncio.TaskGroup() as group:
        group.create_task(call("new", WINDOW_SECONDS + 1))
        group.create_task(call("in line", 0.0))
    assert order == ["in line", "new"]


async def test_a_caller_that_has_had_its_turn_holds_no_poll_back() -> None:
    budget = Budget(1)
    await departures(budget, 2)  # the second stood in line
    await asyncio.sleep(WINDOW_SECONDS + 2)
    assert budget.take_for_poll("status") == 0


async def test_a_poll_waits_while_the_callers_in_line_want_the_whole_budget() -> None:
    budget = Budget(2)
    budget.throttled("status", 30)
    waiting = [asyncio.create_task(budget.spend("status")) for _ in range(2)]
    await asyncio.sleep(0)
    assert budget.take_for_poll("status") == 30
    assert budget.take_for_poll("status", urgent=True) == 30
    await asyncio.wait(waiting)
    assert now() == 30
    assert budget.take_for_poll("status") > 60

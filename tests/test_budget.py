"""The request budget, on a clock that costs no time."""

import asyncio

import pytest

from bulkverify.budget import PERIOD, Budget

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]


def now() -> float:
    return asyncio.get_running_loop().time()


async def departures(budget: Budget, count: int, endpoint: str = "status") -> list[float]:
    """Ask for so many turns at once, and tell when each came."""

    async def depart() -> float:
        await budget.spend(endpoint)
        return now()

    return sorted(await asyncio.gather(*(depart() for _ in range(count))))


async def test_no_minute_sees_more_than_the_limit() -> None:
    moments = await departures(Budget(120), 1000)
    for index, moment in enumerate(moments[120:]):
        assert moment - moments[index] > PERIOD
    assert moments[119] == 0
    assert moments[-1] < 8.2 * (PERIOD + 1)


async def test_a_request_after_a_quiet_time_goes_at_once() -> None:
    budget = Budget(2)
    await departures(budget, 2)
    await asyncio.sleep(PERIOD + 2)
    began = now()
    await departures(budget, 2)
    assert now() == began


async def test_endpoints_have_budgets_of_their_own() -> None:
    budget = Budget(1)
    await budget.spend("status")
    await budget.spend("start")
    assert now() == 0


async def test_no_limit_lets_everything_go() -> None:
    assert await departures(Budget(None), 10_000) == [0.0] * 10_000


async def test_a_turn_given_up_goes_to_somebody_else() -> None:
    budget = Budget(1)
    await budget.spend("status")
    waiting = asyncio.create_task(budget.spend("status"))
    await asyncio.sleep(1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await budget.spend("status")
    assert now() < PERIOD + 2


@pytest.mark.parametrize("limit", [None, 120])
async def test_a_pause_holds_everybody_back(limit: int | None) -> None:
    budget = Budget(limit)
    budget.pause("status", 30)
    budget.pause("status", 10)
    assert await departures(budget, 3) == [30.0] * 3
    await budget.spend("start")
    assert now() == 30


async def test_turns_come_in_the_order_in_which_they_were_asked_for() -> None:
    budget = Budget(1)
    order: list[int] = []

    async def depart(number: int) -> None:
        await budget.spend("status")
        order.append(number)

    await asyncio.gather(*(depart(number) for number in range(5)))
    assert order == [0, 1, 2, 3, 4]

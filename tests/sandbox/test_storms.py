"""Which requests a fault hits: every n-th, at random, for a while."""

from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from bulkverify.sandbox import Fault, FaultKind, Sandbox, at_random

from .caller import Caller, Serve
from .conftest import EPOCH

pytestmark = pytest.mark.asyncio

LIST = "a@example.com\n"


async def statuses(caller: Caller, count: int) -> list[int]:
    return [(await caller.ask("GET", "/info")).status for _ in range(count)]


@pytest.mark.parametrize(
    ("options", "hit"),
    [
        ({"every": 3, "times": None}, [3, 6, 9]),
        ({"every": 3, "times": 2}, [3, 6]),
        ({"every": 3, "skip": 2, "times": None}, [5, 8]),
        ({"rate": 0, "times": None}, []),
        ({"rate": 1, "times": 2}, [1, 2]),
    ],
)
async def test_a_fault_can_hit_every_nth_request(
    caller: Caller, options: dict[str, Any], hit: list[int]
) -> None:
    caller.sandbox.inject(Fault(kind=FaultKind.ANSWER, **options))
    found = await statuses(caller, 10)
    assert [place for place, status in enumerate(found, 1) if status == 502] == hit


async def test_a_storm_lasts_for_its_time_and_may_come_again(caller: Caller) -> None:
    caller.sandbox.inject(Fault(kind=FaultKind.THROTTLE, skip=1, times=2, lasting=60))
    found = []
    for _ in range(8):
        found += await statuses(caller, 2)
        caller.sandbox.advance(30)
    assert found == [200, 429, 429, 429, *[429] * 4, *[200] * 8]


async def test_a_storm_answers_as_the_service_does(caller: Caller) -> None:
    caller.sandbox.inject(Fault(kind=FaultKind.THROTTLE))
    answer = await caller.ask("GET", "/info")
    assert answer.status == 429
    assert answer.body == {"success": "false", "result": "Too Many Requests"}
    assert "Retry-After" not in answer.headers
    assert caller.sandbox.ledger.throttled == {"credits": 1}


async def test_a_storm_may_say_when_to_come_back(caller: Caller) -> None:
    caller.sandbox.inject(Fault(kind=FaultKind.THROTTLE, retry_after=7.5))
    assert (await caller.ask("GET", "/info")).headers["Retry-After"] == "7.5"


async def test_a_storm_may_give_a_date_by_a_wrong_clock(caller: Caller) -> None:
    options: dict[str, Any] = {"retry_after": 60, "retry_after_date": True}
    for jump in (0, 86400, -86400):
        caller.sandbox.inject(Fault(kind=FaultKind.CLOCK_JUMP, jump=jump))
        assert (await caller.ask("GET", "/info")).status == 200
        caller.sandbox.inject(Fault(kind=FaultKind.THROTTLE, **options))
        headers = (await caller.ask("GET", "/info")).headers
        said = parsedate_to_datetime(headers["Retry-After"])
        assert (said - EPOCH).total_seconds() == 60 + jump
        assert (said - parsedate_to_datetime(headers["Date"])).total_seconds() == 60


async def test_a_clock_that_jumps_leaves_the_lists_alone(caller: Caller) -> None:
    job_id = await caller.bring(LIST, "verifying")
    before = await caller.status(job_id)
    caller.sandbox.inject(Fault(kind=FaultKind.CLOCK_JUMP, jump=-1e6))
    assert await caller.status(job_id) == before
    later = await caller.status(await caller.upload(LIST))
    assert later["created_at"] == "08/01/2021, 7:53:02 PM"


async def test_one_start_in_five_is_lost_after_the_work(caller: Caller) -> None:
    caller.sandbox.inject(Fault(kind="answer_after", endpoint="start", every=5, times=None))
    jobs = [await caller.bring(LIST, "ready") for _ in range(10)]
    lost = [job_id for job_id in jobs if (await caller.start(job_id)).status == 502]
    assert lost == [jobs[4], jobs[9]]
    assert caller.sandbox.ledger.starts == jobs


async def test_the_seed_decides_which_requests_are_hit_at_random(serve: Serve) -> None:
    found = []
    for seed in (1, 1, 2):
        rates = at_random({"answer": 0.5, "throttle": {"credits": 0.3, "status": 1}})
        caller = await serve(seed=seed, faults=rates)
        found.append(await statuses(caller, 60))
        assert {item.kind for item in caller.sandbox.ledger.injected} == {"answer", "throttle"}
    assert found[0] == found[1] != found[2]
    assert 20 < found[0].count(502) < 40
    assert 3 < found[0].count(429) < 20


async def test_a_sandbox_without_a_seed_draws_one_and_shows_it() -> None:
    first, second = Sandbox(), Sandbox()
    assert first.seed != second.seed
    assert Sandbox(seed=5).seed == 5


@pytest.mark.parametrize("rates", [{"explode": 0.1}, {"drop": 1.1}, {"stale": {"start": 0.1}}])
async def test_invalid_rates_are_refused(rates: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"explode|rate|it must be one of status"):
        at_random(rates)


@pytest.mark.parametrize("options", [{"every": 0}, {"rate": 2}, {"rate": -1}, {"lasting": -1}])
async def test_invalid_numbers_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        Fault(kind=FaultKind.DROP, **options)

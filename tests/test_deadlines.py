import math
import random
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from bulkverify.waiting.due import Deadlines


@attrs.define(eq=False)
class Waiting:
    """A stand-in for a waiter."""

    deadline: float | None
    gone: bool = False

    def done(self) -> bool:
        return self.gone


def test_a_waiter_without_a_deadline_is_not_kept() -> None:
    deadlines: Any = Deadlines()
    deadlines.add(Waiting(None))
    deadlines.discard(Waiting(None))
    assert deadlines.next() == math.inf
    assert deadlines.passed(1e9) == []


def test_a_deadline_passes_at_its_moment() -> None:
    deadlines: Any = Deadlines()
    waiter = Waiting(86_400.5)
    deadlines.add(waiter)
    assert deadlines.next() <= 86_400.5
    assert deadlines.passed(86_400.4) == []
    assert deadlines.next() == 86_400.5
    assert deadlines.passed(86_400.5) == [waiter]
    assert deadlines.next() == math.inf


def test_a_waiter_that_is_done_is_not_returned() -> None:
    deadlines: Any = Deadlines()
    waiter, other = Waiting(100.0), Waiting(101.0)
    deadlines.add(waiter)
    deadlines.add(other)
    waiter.gone = True
    deadlines.discard(waiter)
    assert deadlines.passed(200) == [other]


def test_done_waiters_are_forgotten_long_before_their_deadline() -> None:
    deadlines: Any = Deadlines()
    for number in range(100_000):
        waiter = Waiting(86_400.0 + number / 100)
        deadlines.add(waiter)
        waiter.gone = True
        deadlines.discard(waiter)
        assert deadlines._kept <= 200
    assert sum(map(len, deadlines._far.values())) <= 200


def test_deadlines_of_one_minute_pass_in_their_order() -> None:
    deadlines: Any = Deadlines()
    times = [170.0, 121.0, 150.0, 130.0, 160.0, 125.0]
    for time in times:
        deadlines.add(Waiting(time))
    for time in sorted(times):
        assert [one.deadline for one in deadlines.passed(time)] == [time]


def test_the_remaining_waiters_pass_in_order_after_a_cleanup() -> None:
    deadlines: Any = Deadlines()
    deadlines.add(Waiting(60.0))
    deadlines.passed(60)  # from now on those of this minute are near
    chance = random.Random(1)  # noqa: S311 - any order will do
    waiting = [Waiting(chance.uniform(60, 119)) for _ in range(400)]
    for waiter in waiting:
        deadlines.add(waiter)
    for waiter in chance.sample(waiting, 300):
        waiter.gone = True
        deadlines.discard(waiter)
    assert deadlines._kept < 300
    staying = [waiter for waiter in waiting if not waiter.gone]
    for waiter in sorted(staying, key=lambda one: one.deadline or 0):
        assert deadlines.passed(waiter.deadline or 0) == [waiter]


@pytest.mark.parametrize("clearing", [True, False], ids=["cleared", "forgotten"])
def test_a_forgotten_minute_can_get_new_deadlines(*, clearing: bool) -> None:
    deadlines: Any = Deadlines()
    for number in range(200):
        waiter = Waiting(600.0 + number / 100)
        deadlines.add(waiter)
        waiter.gone = True
        if not clearing:
            deadlines.discard(waiter)
    if clearing:
        deadlines.clear()
    later = Waiting(610.0)
    deadlines.add(later)
    assert deadlines.next() <= 610
    assert deadlines.passed(609) == []
    assert deadlines.passed(610) == [later]


class Model(RuleBasedStateMachine):
    """Compares deadlines with a plain list of them."""

    def __init__(self) -> None:
        super().__init__()
        self.deadlines: Any = Deadlines()
        self.waiting: list[Waiting] = []
        self.now = 0.0

    @rule(seconds=st.floats(0.001, 500) | st.floats(0.001, 100_000))
    def add(self, seconds: float) -> None:
        waiter = Waiting(self.now + seconds)
        self.deadlines.add(waiter)
        self.waiting.append(waiter)

    @rule(data=st.data())
    def leave(self, data: Any) -> None:  # noqa: ANN401 - hypothesis names no type for it
        if self.waiting:
            waiter = data.draw(st.sampled_from(self.waiting))
            self.waiting.remove(waiter)
            waiter.gone = True
            self.deadlines.discard(waiter)

    @rule(seconds=st.floats(0, 300) | st.floats(0, 50_000))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        passed = self.deadlines.passed(self.now)
        expected = [one for one in self.waiting if (one.deadline or 0) <= self.now]
        assert sorted(map(id, passed)) == sorted(map(id, expected))
        assert [one.deadline for one in passed] == sorted(one.deadline or 0 for one in passed)
        for one in passed:
            self.waiting.remove(one)
            one.gone = True
            self.deadlines.discard(one)

    @invariant()
    def looks_again_in_time(self) -> None:
        if self.waiting:
            assert self.deadlines.next() <= min(one.deadline or 0 for one in self.waiting)


TestModel = Model.TestCase


@given(st.lists(st.floats(0, 1e6), max_size=30))
def test_clearing_removes_all_waiters(times: list[float]) -> None:
    deadlines: Any = Deadlines()
    for time in times:
        deadlines.add(Waiting(time))
    deadlines.clear()
    assert deadlines.next() == math.inf
    assert deadlines.passed(1e9) == []


@pytest.mark.parametrize("deadline", [5.0, 65.0, 86_400.0])
def test_no_cleared_waiter_passes(deadline: float) -> None:
    deadlines: Any = Deadlines()
    deadlines.add(Waiting(deadline))
    deadlines.passed(deadline - 1)  # now it is among the near ones
    deadlines.clear()
    assert deadlines.next() == math.inf
    assert deadlines.passed(1e9) == []


def test_the_earliest_minute_stays_first_after_a_cleanup() -> None:
    deadlines: Any = Deadlines()
    later, sooner = Waiting(6000.0), Waiting(600.0)
    deadlines.add(later)
    deadlines.add(sooner)
    for _ in range(300):
        waiter = Waiting(60_000.0)
        deadlines.add(waiter)
        waiter.gone = True
        deadlines.discard(waiter)
    assert deadlines._kept < 302
    assert deadlines.next() <= 600
    assert deadlines.passed(600) == [sooner]
    assert deadlines.passed(6000) == [later]


def test_the_count_of_kept_waiters_is_right() -> None:
    deadlines: Any = Deadlines()
    deadlines.add(Waiting(60.0))
    deadlines.passed(60)  # from now on those of this minute are near
    assert deadlines._kept == 0
    for _ in range(10):
        deadlines.add(Waiting(100.0))
        deadlines.add(Waiting(6000.0))
    assert (deadlines._kept, len(deadlines._near)) == (20, 10)
    deadlines.passed(100)
    assert (deadlines._kept, len(deadlines._near)) == (10, 0)
    deadlines.add(Waiting(110.0))
    for _ in range(100):
        waiter = Waiting(110.0)
        deadlines.add(waiter)
        waiter.gone = True
        deadlines.discard(waiter)
    deadlines._remove_done()
    assert (deadlines._kept, deadlines._gone) == (11, 0)
    deadlines.discard(Waiting(6000.0))
    deadlines.clear()
    assert (deadlines._kept, deadlines._gone) == (0, 0)


def test_waiters_are_searched_only_once_many_are_done() -> None:
    searches = []

    class Watched(Deadlines):
        def _remove_done(self) -> None:
            searches.append(self._gone)
            super()._remove_done()

    deadlines: Any = Watched()
    waiting = [Waiting(600.0) for _ in range(1000)]
    for waiter in waiting:
        deadlines.add(waiter)
    for waiter in waiting[:900]:
        waiter.gone = True
        deadlines.discard(waiter)
    assert len(searches) == 2

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
class Somebody:
    """Stands in for a waiter."""

    deadline: float | None
    gone: bool = False

    def done(self) -> bool:
        return self.gone


def test_nobody_has_no_deadline() -> None:
    deadlines: Any = Deadlines()
    deadlines.add(Somebody(None))
    deadlines.discard(Somebody(None))
    assert deadlines.next() == math.inf
    assert deadlines.passed(1e9) == []


def test_a_deadline_passes_at_its_moment() -> None:
    deadlines: Any = Deadlines()
    somebody = Somebody(86_400.5)
    deadlines.add(somebody)
    assert deadlines.next() <= 86_400.5
    assert deadlines.passed(86_400.4) == []
    assert deadlines.next() == 86_400.5
    assert deadlines.passed(86_400.5) == [somebody]
    assert deadlines.next() == math.inf


def test_whoever_is_done_is_not_told() -> None:
    deadlines: Any = Deadlines()
    somebody, other = Somebody(100.0), Somebody(101.0)
    deadlines.add(somebody)
    deadlines.add(other)
    somebody.gone = True
    deadlines.discard(somebody)
    assert deadlines.passed(200) == [other]


def test_those_who_are_done_are_forgotten_long_before_their_deadline() -> None:
    deadlines: Any = Deadlines()
    for number in range(100_000):
        somebody = Somebody(86_400.0 + number / 100)
        deadlines.add(somebody)
        somebody.gone = True
        deadlines.discard(somebody)
        assert deadlines._kept <= 200
    assert sum(map(len, deadlines._far.values())) <= 200


def test_deadlines_of_one_minute_pass_in_their_order() -> None:
    deadlines: Any = Deadlines()
    times = [170.0, 121.0, 150.0, 130.0, 160.0, 125.0]
    for time in times:
        deadlines.add(Somebody(time))
    for time in sorted(times):
        assert [one.deadline for one in deadlines.passed(time)] == [time]


def test_those_who_stay_pass_in_their_order_after_others_were_forgotten() -> None:
    deadlines: Any = Deadlines()
    deadlines.add(Somebody(60.0))
    deadlines.passed(60)  # from now on those of this minute are near
    chance = random.Random(1)  # noqa: S311 - the order is of no interest
    waiting = [Somebody(chance.uniform(60, 119)) for _ in range(400)]
    for somebody in waiting:
        deadlines.add(somebody)
    for somebody in chance.sample(waiting, 300):
        somebody.gone = True
        deadlines.discard(somebody)
    assert deadlines._kept < 300
    staying = [somebody for somebody in waiting if not somebody.gone]
    for somebody in sorted(staying, key=lambda one: one.deadline or 0):
        assert deadlines.passed(somebody.deadline or 0) == [somebody]


@pytest.mark.parametrize("clearing", [True, False], ids=["cleared", "forgotten"])
def test_a_minute_that_was_forgotten_may_have_deadlines_again(*, clearing: bool) -> None:
    deadlines: Any = Deadlines()
    for number in range(200):
        somebody = Somebody(600.0 + number / 100)
        deadlines.add(somebody)
        somebody.gone = True
        if not clearing:
            deadlines.discard(somebody)
    if clearing:
        deadlines.clear()
    later = Somebody(610.0)
    deadlines.add(later)
    assert deadlines.next() <= 610
    assert deadlines.passed(609) == []
    assert deadlines.passed(610) == [later]


class Model(RuleBasedStateMachine):
    """Deadlines beside a list of them."""

    def __init__(self) -> None:
        super().__init__()
        self.deadlines: Any = Deadlines()
        self.waiting: list[Somebody] = []
        self.now = 0.0

    @rule(seconds=st.floats(0.001, 500) | st.floats(0.001, 100_000))
    def add(self, seconds: float) -> None:
        somebody = Somebody(self.now + seconds)
        self.deadlines.add(somebody)
        self.waiting.append(somebody)

    @rule(data=st.data())
    def leave(self, data: Any) -> None:  # noqa: ANN401 - hypothesis names no type for it
        if self.waiting:
            somebody = data.draw(st.sampled_from(self.waiting))
            self.waiting.remove(somebody)
            somebody.gone = True
            self.deadlines.discard(somebody)

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
def test_clearing_forgets_everybody(times: list[float]) -> None:
    deadlines: Any = Deadlines()
    for time in times:
        deadlines.add(Somebody(time))
    deadlines.clear()
    assert deadlines.next() == math.inf
    assert deadlines.passed(1e9) == []


@pytest.mark.parametrize("deadline", [5.0, 65.0, 86_400.0])
def test_nothing_that_was_cleared_passes(deadline: float) -> None:
    deadlines: Any = Deadlines()
    deadlines.add(Somebody(deadline))
    deadlines.passed(deadline - 1)  # now it is among those that are near
    deadlines.clear()
    assert deadlines.next() == math.inf
    assert deadlines.passed(1e9) == []

import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bulkverify.waiting.due import Agenda

TIMES = st.floats(0, 1e9) | st.integers(0, 100).map(float) | st.just(math.inf)


def taken(agenda: Any, now: float) -> list[str]:  # noqa: ANN401 - texts stand in for streams
    everything: list[str] = []
    while items := agenda.take(now):
        everything += items
    return everything


def test_an_empty_agenda_has_no_next_time() -> None:
    agenda: Any = Agenda()
    assert agenda.next() == math.inf
    assert agenda.take(1e9) == []
    assert not agenda.count


def test_a_single_item_is_due_exactly_on_time() -> None:
    agenda: Any = Agenda()
    agenda.add(10.003, "a")
    assert agenda.next() == 10.003
    assert agenda.take(10.002) == []
    assert agenda.take(10.003) == ["a"]
    assert not agenda.count


def test_items_due_within_one_slot_come_together_when_the_last_is_due() -> None:
    agenda: Any = Agenda()
    for due in (10.001, 10.012, 10.006, 10.1):
        agenda.add(due, str(due))
    assert agenda.next() == 10.012
    assert agenda.take(10.007) == []
    assert agenda.take(10.012) == ["10.001", "10.012", "10.006"]
    assert agenda.next() == 10.1
    assert agenda.count == 1


def test_an_item_due_in_the_past_comes_at_once() -> None:
    agenda: Any = Agenda()
    agenda.add(50, "later")
    agenda.add(3, "late")
    assert agenda.next() == 3
    assert agenda.take(40) == ["late"]
    agenda.clear()
    assert agenda.next() == math.inf
    assert not agenda.count


def test_cleared_items_do_not_come_back_with_later_ones() -> None:
    agenda: Any = Agenda()
    agenda.add(3, "before")
    agenda.clear()
    agenda.add(3, "after")
    assert agenda.next() == 3
    assert agenda.take(3) == ["after"]
    assert agenda.take(3) == []
    assert not agenda.count


def test_an_item_that_is_never_due_comes_last() -> None:
    agenda: Any = Agenda()
    agenda.add(math.inf, "never")
    agenda.add(9e14, "in the end")
    assert agenda.next() == 9e14
    assert agenda.take(9e14) == ["in the end"]


@given(st.lists(TIMES, max_size=50), TIMES)
def test_no_item_is_lost_or_waits_longer_than_a_slot(times: list[float], now: float) -> None:
    agenda: Any = Agenda()
    for due in times:
        agenda.add(due, due)
    out: list[float] = []
    while items := agenda.take(now):
        out += items
    assert all(due <= now for due in out)
    assert all(due > now - 1 / 64 for due in times if due not in out)
    assert len(out) + agenda.count == len(times)
    assert sorted(
        out + [d for batch in iter(lambda: agenda.take(math.inf), []) for d in batch]
    ) == sorted(times)

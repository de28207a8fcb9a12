"""The table of steps, compared with matrices written by hand."""

from itertools import product

import pytest

from bulkverify.lifecycle import (
    INITIAL,
    MAIN_LINE,
    REACHABLE,
    SATISFYING,
    TERMINAL,
    TRANSITIONS,
    JobStatus,
    can_follow,
    can_reach,
    parse_status,
    satisfies,
)

STATUSES = ["preparing", "ready", "verifying", "completed", "failed", "cancelled"]
PAIRS = list(product(STATUSES, STATUSES))

# A row for each known status, a column for each status seen, in the order of STATUSES.
MAY_FOLLOW = """
    y y y y y y
    . y y y y y
    . . y y y y
    . . . y . .
    . . . . y .
    . . . . . y
"""

# A row for each status seen, a column for each target.
FULFILS = """
    y . . . . .
    y y . . . .
    y y y . . .
    y y y y . .
    . . . . y .
    . . . . . y
"""
CAN_STILL_FULFIL = """
    y y y y y y
    y y y y y y
    y y y y y y
    y y y y . .
    . . . . y .
    . . . . . y
"""


def cells(matrix: str) -> list[tuple[JobStatus, JobStatus, bool]]:
    answers = [letter == "y" for letter in matrix.split()]
    return [
        (JobStatus(row), JobStatus(column), answer)
        for (row, column), answer in zip(PAIRS, answers, strict=True)
    ]


def test_there_are_six_statuses_and_each_equals_its_wire_spelling() -> None:
    assert list(JobStatus) == STATUSES


@pytest.mark.parametrize(("known", "seen", "expected"), cells(MAY_FOLLOW))
def test_a_poll_may_skip_statuses_but_never_goes_back(
    known: JobStatus, seen: JobStatus, *, expected: bool
) -> None:
    assert can_follow(known, seen) is expected


@pytest.mark.parametrize(("seen", "target", "expected"), cells(FULFILS))
def test_a_wait_ends_at_its_target_or_past_it(
    seen: JobStatus, target: JobStatus, *, expected: bool
) -> None:
    assert satisfies(seen, target) is expected


@pytest.mark.parametrize(("seen", "target", "expected"), cells(CAN_STILL_FULFIL))
def test_a_wait_can_succeed_while_its_target_or_a_later_status_is_reachable(
    seen: JobStatus, target: JobStatus, *, expected: bool
) -> None:
    assert can_reach(seen, target) is expected


def test_a_list_begins_in_preparing() -> None:
    assert INITIAL is JobStatus.PREPARING


def test_no_status_follows_the_three_final_ones() -> None:
    assert {"completed", "failed", "cancelled"} == TERMINAL
    assert [REACHABLE[status] for status in TERMINAL] == [frozenset()] * 3


def test_the_main_line_is_the_documented_order() -> None:
    assert MAIN_LINE == ("preparing", "ready", "verifying", "completed")


@pytest.mark.parametrize("status", JobStatus)
def test_every_derived_table_knows_every_status(status: JobStatus) -> None:
    assert status in TRANSITIONS
    assert status in REACHABLE
    assert status in SATISFYING[status]


@pytest.mark.parametrize("table", [TRANSITIONS, REACHABLE, SATISFYING])
def test_the_tables_cannot_be_changed(table: dict[JobStatus, object]) -> None:
    with pytest.raises(TypeError, match="does not support item assignment"):
        table[JobStatus.READY] = ()


@pytest.mark.parametrize("text", STATUSES)
def test_a_status_is_read_from_its_text(text: str) -> None:
    assert parse_status(text) is JobStatus(text)
    assert parse_status(JobStatus(text)) is JobStatus(text)


@pytest.mark.parametrize("text", ["", "Ready", "done", "complete", " ready"])
def test_any_other_text_is_refused_with_the_six_statuses(text: str) -> None:
    with pytest.raises(ValueError, match="the six are " + ", ".join(STATUSES)) as info:
        parse_status(text)
    assert repr(text) in str(info.value)
    assert info.value.__cause__ is None

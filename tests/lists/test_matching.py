"""Each verdict belongs to its address, in any order, spelling and number of rows."""

import csv
import tracemalloc
from collections import defaultdict
from collections.abc import Iterator
from contextvars import copy_context
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bulkverify.lists import Match, address_key, compare, joined_rows, part_path, split
from bulkverify.lists.distinct import Distinct
from bulkverify.lists.matching import MISSING, Matching
from bulkverify.lists.moments import NEVER
from bulkverify.lists.stopping import COUNTER, RowCount, StoppedError
from tests.lists.made import HEADER, RESULT, addresses, opened, write_results

BAD = ["undeliverable", *RESULT[1:]]
UNKNOWN = ["unknown", *RESULT[1:]]


def dated(row: list[str], second: int | None) -> list[str]:
    """Set or remove the date of a row."""
    return [*row[:-1], "" if second is None else f"2021-09-13T06:49:{second:02}Z"]


def found(path: Path, sent: list[str], rows: list[list[str]], **options: bool) -> list[str | None]:
    """Split a list, answer with these rows, and return the verdicts of its rows."""
    table = opened(path, "email\n" + "".join(f"{address}\n" for address in sent))
    done = split(table, path.parent, deduplicate=options.get("deduplicate", True))
    results = {1: write_results(path.with_name("results.csv"), rows)}
    return [
        str(row.verdict) if row.verdict else None
        for row in joined_rows(table, done, path.parent, results)
    ]


D, U, K, NONE = "accept-all", "undeliverable", "unknown", None


@pytest.mark.parametrize(
    ("rows", "verdicts"),
    [
        ([["anna@x.com", *BAD], ["Anna@x.com", *RESULT]], [D, U]),
        ([["Anna@x.com", *RESULT]], [D, NONE]),
        ([["anna@x.com", *BAD]], [NONE, U]),
        ([["anna@X.COM", *BAD], ["Anna@X.COM", *RESULT]], [D, U]),
        # A spelling that was not sent belongs to the addresses without a row of their own.
        ([["ANNA@x.com", *BAD], ["Anna@x.com", *RESULT]], [D, U]),
        ([["ANNA@x.com", *BAD]], [U, U]),
        ([["aNNa@x.com", *BAD], ["anna@x.com", *UNKNOWN], ["Anna@x.com", *RESULT]], [D, K]),
        # A second row belongs to another address only if the service writes in lower case.
        ([["anna@x.com", *BAD], ["anna@x.com", *BAD]], [U, U]),
        ([["anna@x.com", *BAD], ["anna@x.com", *BAD], ["Else@x.com", *BAD]], [NONE, U]),
        # The last verified row counts; if two of them differ, none counts.
        ([["Anna@x.com", *dated(BAD, 2)], ["Anna@x.com", *dated(RESULT, 1)]], [U, NONE]),
        ([["Anna@x.com", *dated(BAD, 1)], ["Anna@x.com", *dated(RESULT, 2)]], [D, NONE]),
        ([["Anna@x.com", *dated(BAD, None)], ["Anna@x.com", *dated(RESULT, 2)]], [D, NONE]),
        ([["Anna@x.com", *BAD], ["Anna@x.com", *RESULT]], [NONE, NONE]),
        ([["ANNA@x.com", *BAD], ["aNNA@x.com", *RESULT]], [NONE, NONE]),
        ([["Anna@x.com", *BAD], ["Anna@x.com", *BAD]], [U, NONE]),
        # Rows that differ and could belong to either of two addresses belong to neither.
        ([["ANNA@x.com", *dated(BAD, 1)], ["ANNA@x.com", *dated(RESULT, 2)]], [NONE, NONE]),
        ([["anna@x.com", *dated(BAD, 1)], ["anna@x.com", *dated(RESULT, 2)]], [NONE, NONE]),
        ([["ANNA@x.com", *dated(BAD, 1)], ["aNNA@x.com", *dated(BAD, 2)]], [U, U]),
    ],
)
def test_a_verdict_belongs_to_its_own_address(
    path: Path, rows: list[list[str]], verdicts: list[str | None]
) -> None:
    assert found(path, ["Anna@x.com", "anna@x.com"], rows) == verdicts


def test_extra_rows_after_those_of_the_list_are_matched_too(path: Path) -> None:
    sent = ["a@x.com", "b@x.com"]
    rows = [[address, *RESULT] for address in sent]
    assert found(path, sent, [*rows, ["c@x.com", *BAD]]) == [D, D]
    assert found(path, sent, [*rows, ["a@x.com", *BAD]]) == [NONE, D]
    assert found(path, sent, [*rows, *rows]) == [D, D]


def test_both_rows_of_an_address_sent_twice_get_its_verdict(path: Path) -> None:
    sent = ["a@x.com", "a@X.com", "b@x.com"]
    rows = [["b@x.com", *BAD], ["a@x.com", *RESULT]]
    assert found(path, sent, rows, deduplicate=False) == [D, D, U]


@pytest.mark.parametrize(
    ("rows", "match"),
    [
        (["a", "b", "c"], Match(sent=3, matched=3)),
        (["c", "a", "b"], Match(sent=3, matched=3)),
        (["a", "b"], Match(sent=3, matched=2)),
        ([], Match(sent=3, matched=0)),
        (["a", "a", "a"], Match(sent=3, matched=1, doubled=2)),
        (["A", "aA", "b"], Match(sent=3, matched=2, foreign=1)),
        (["d", "e", "f"], Match(sent=3, matched=0, foreign=3)),
        (["a", "b", "c", "d"], Match(sent=3, matched=3, foreign=1)),
        (["A", "A", "b", "c"], Match(sent=3, matched=3, doubled=1)),
        (["a", "!a", "b", "c"], Match(sent=3, matched=2, doubled=1, contested=1)),
        (["!a", "a", "!a", "b"], Match(sent=3, matched=1, doubled=2, contested=1)),
    ],
)
def test_results_are_compared_with_what_was_sent(path: Path, rows: list[str], match: Match) -> None:
    done = split(opened(path, "email\na@x.com\nb@x.com\nc@x.com\n"), path.parent)
    answers = [
        [f"{row.lstrip('!')}@x.com", *(BAD if row.startswith("!") else RESULT)] for row in rows
    ]
    results = write_results(path.with_name("results.csv"), answers)
    assert compare(done.parts[0], part_path(path.parent, 1), results) == match


def test_a_very_long_cell_in_the_results_is_read(path: Path) -> None:
    sent = ["a@x.com", "b@x.com", "c@x.com"]
    done = split(opened(path, "email\n" + "".join(f"{address}\n" for address in sent)), path.parent)
    results = path.with_name("results.csv")
    with results.open("w", encoding="utf-8", newline="") as file:
        note = "x" * (csv.field_size_limit() + 1)
        rows = [[address, note, *RESULT] for address in sent]
        csv.writer(file).writerows([[HEADER[0], "Note", *HEADER[1:]], *rows])
    assert compare(done.parts[0], part_path(path.parent, 1), results) == Match(sent=3, matched=3)


def test_a_part_is_compared_alone(path: Path) -> None:
    done = split(
        opened(path, "email\n" + "".join(f"a{n}@x.com\n" for n in range(9))),
        path.parent,
        largest_rows=3,
    )
    rows = [[address, *RESULT] for address in addresses(path.parent, 2)]
    results = write_results(path.with_name("results.csv"), rows)
    fits, fits_not = (
        compare(part, part_path(path.parent, part.number), results) for part in done.parts[1::-1]
    )
    assert (fits, fits_not) == (Match(sent=3, matched=3), Match(sent=3, matched=0, foreign=3))


def test_a_comparison_can_be_stopped(path: Path) -> None:
    done = split(opened(path, "email\na@x.com\nb@x.com\n"), path.parent)
    results = write_results(path.with_name("results.csv"), [["a@x.com", *RESULT]])
    counter, context = RowCount(), copy_context()
    counter.stopped.set()
    context.run(COUNTER.set, counter)
    with pytest.raises(StoppedError):
        context.run(compare, done.parts[0], part_path(path.parent, 1), results)


def test_rows_that_were_not_asked_for_take_no_memory() -> None:
    sent = [f"a{n}@x.com" for n in range(12)]

    def rows(count: int) -> Iterator[tuple[str, int, int]]:
        for n in range(count):
            yield f"foreign{n}@x.com", 1, NEVER

    peaks = []
    for count in (1_000, 30_000):
        matching = Matching(sent)
        tracemalloc.start()
        _, _, match = matching.match(rows(count))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert match == Match(sent=12, matched=0, foreign=count)
    assert peaks[1] < peaks[0] + 100_000


LOCALS = st.sampled_from(["a", "A", "aa", "aA", "Aa", "AA", "b", "B", "c"])
DOMAINS = st.sampled_from(["x.com", "X.com"])
ADDRESSES = st.builds("{}@{}".format, LOCALS, DOMAINS)


@given(
    sent=st.lists(ADDRESSES, min_size=1, max_size=8),
    rows=st.lists(st.tuples(ADDRESSES, st.integers(1, 3), st.sampled_from([NEVER, 1, 2]))),
)
@settings(max_examples=500, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_results_give_each_address_its_own_verdict(
    sent: list[str], rows: list[tuple[str, int, int]]
) -> None:
    matching = Matching(sent)
    codes, times, match = matching.match(rows)
    own = defaultdict(list)
    for address, code, time in rows:
        own[address_key(address)].append((time, code))
    keys = {address_key(address) for address in sent}
    lowered = all(address == address.lower() for address, _, _ in rows)
    for address, number in zip(sent, matching.numbers, strict=True):
        key = address_key(address)
        alike = [other for other in own if other.lower() == key.lower()]
        strays = [row for other in alike if other not in keys for row in own[other]]
        seconds = [row for other in alike if other in keys for row in own[other][1:]]
        said = own.get(key) or strays or (seconds if lowered else [])
        latest = {code for time, code in said if time == max(said)[0]}
        lacking = {other for other in keys if other.lower() == key.lower()} - {*own}
        if key not in own and strays:
            guessed = len(lacking) > 1 and len({code for _, code in strays}) > 1
        else:
            exact = {code for other in alike if other in keys for _, code in own[other]}
            guessed = lowered and bool(lacking) and not strays and len(exact) > 1
        assert codes[number] == (latest.pop() if len(latest) == 1 and not guessed else MISSING)
        assert times[number] == (max(said)[0] if codes[number] != MISSING else NEVER)
    assert match.sent == len(keys)
    assert match.matched == sum(code != MISSING for code in codes)
    # The order of the rows does not matter.
    if not lowered:
        assert matching.match(rows[::-1])[0] == codes


@given(keys=st.lists(st.text(max_size=3), max_size=3000), others=st.lists(st.text(max_size=3)))
@settings(max_examples=50)
def test_keys_are_found_again(keys: list[str], others: list[str]) -> None:
    distinct = Distinct()
    numbers = distinct.number(keys)
    assert distinct.find(keys) == numbers
    known = dict(zip(keys, numbers, strict=True))
    assert distinct.find(others) == [known.get(key, -1) for key in others]
    assert len(distinct) == len(known)


@pytest.mark.parametrize("at", [0, 2500])
def test_one_row_in_upper_case_shows_that_the_service_keeps_the_case(at: int) -> None:
    sent = ["Anna@x.com", "anna@x.com", *(f"a{n}@x.com" for n in range(2500)), "B@x.com"]
    rows = [(address, 1, NEVER) for address in sent[1:-1]]
    rows.insert(at, ("B@x.com", 1, NEVER))
    rows.append(("anna@x.com", 1, NEVER))
    matching = Matching(sent)
    codes, _, _ = matching.match(rows)
    assert codes[matching.numbers[0]] == MISSING
    del rows[at]
    codes, _, _ = matching.match(rows)
    assert codes[matching.numbers[0]] == 1


class Colliding(str):
    """Text with a constant hash."""

    __slots__ = ()

    def __hash__(self) -> int:
        return 7

    __eq__ = str.__eq__


def test_keys_with_the_same_hash_are_different() -> None:
    keys: list[str] = [Colliding("a@x.com"), Colliding("b@x.com"), Colliding("a@x.com")]
    distinct = Distinct()
    assert distinct.number(keys) == [0, 1, 0]
    assert distinct.find([*keys, Colliding("c@x.com")]) == [0, 1, 0, -1]


def test_the_newest_row_counts_if_no_other_spelling_was_sent(path: Path) -> None:
    rows = [["anna@x.com", *dated(BAD, 1)], ["anna@x.com", *dated(RESULT, 2)]]
    assert found(path, ["anna@x.com"], rows) == [D]
    assert found(path, ["anna@x.com"], rows[::-1]) == [D]


def test_a_row_of_its_own_is_never_contested_by_rows_in_other_spellings(path: Path) -> None:
    sent = ["Anna@x.com", "anna@x.com", "ANNA@x.com"]
    rows = [["Anna@x.com", *RESULT], ["aNNa@x.com", *BAD], ["AnNa@x.com", *RESULT]]
    assert found(path, sent, rows) == [D, NONE, NONE]

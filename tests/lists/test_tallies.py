"""What was found, counted by verdict and flags and by domain."""

import csv
import random
from collections import Counter
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkverify.lists import DomainCounts, Domains, Finding, join, split
from bulkverify.lists.tallies import MOST_REPORTED, _DomainCounter, count_domains
from bulkverify.lists.verdicts import Verdicts
from bulkverify.models import Verdict
from tests.lists.made import RESULT, answered, joined, opened, write_results

GOOD = ["deliverable", "N", "Y", "N", "N", "N", ""]
BAD = ["undeliverable", "N", "N", "Y", "N", "N", ""]


def test_rows_and_addresses_are_counted_apart(path: Path) -> None:
    rows = ["a@x.com", "a@X.com", "b@x.com", "c@x.com", "c@x.com", "c@x.com", "", "n/a"]
    table = opened(path, "name,email\n" + "".join(f"A,{row}\n" for row in rows))
    answers = {"a@x.com": GOOD, "b@x.com": GOOD, "c@x.com": BAD}
    _, outcome = joined(table, path.parent, answers)
    off = {"syntax_error": False, "role_based": False, "disposable": False, "spamtrap": False}
    assert outcome.findings == (
        Finding(verdict=Verdict.DELIVERABLE, rows=3, addresses=2, **off | {"common_isp": True}),
        Finding(
            verdict=Verdict.UNDELIVERABLE,
            rows=3,
            addresses=1,
            **off | {"common_isp": False, "role_based": True},
        ),
        Finding(
            verdict=Verdict.UNDELIVERABLE,
            rows=2,
            addresses=0,  # a blank cell and a text are not sent
            **off | {"common_isp": False, "syntax_error": True},
        ),
    )


def test_rows_without_a_verdict_are_a_finding_without_flags(path: Path) -> None:
    table = opened(path, "email\na@x.com\nb@x.com\na@x.com and b@x.com\n")
    _, outcome = joined(table, path.parent, {"a@x.com": RESULT})
    assert outcome.findings[0] == Finding(verdict=None, rows=2, addresses=1)


def test_findings_sum_up_to_the_verdicts_and_flags(path: Path) -> None:
    chance = random.Random(7)  # noqa: S311 - test data
    names = [f"u{chance.randrange(60)}@x.com" for _ in range(200)]
    table = opened(path, "email\n" + "".join(f"{name}\n" for name in names))
    answers = {
        name: [chance.choice(list(Verdict)), *chance.choices("YN", k=5), ""] for name in names
    }
    _, outcome = joined(table, path.parent, answers)
    for verdict in Verdict:
        rows = sum(one.rows for one in outcome.findings if one.verdict is verdict)
        assert rows == getattr(outcome.verdicts, verdict.name.lower())
    assert sum(one.rows for one in outcome.findings if one.role_based) == outcome.flags.role_based
    assert sum(one.addresses for one in outcome.findings) == len(set(names))


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_domains_are_counted_only_if_asked(path: Path, form: str) -> None:
    table = opened(path, "email\na@x.com\n")
    assert joined(table, path.parent, format=form)[1].domains is None
    assert joined(table, path.parent, format=form, domains=True)[1].domains is not None


def test_each_domain_has_its_rows_addresses_and_verdicts(path: Path) -> None:
    cells = ["Anna <A@X.com>", "a@x.com", "A@x.COM", "b@müller.example", "b@xn--mller-kva.example"]
    cells += ["c@y.com", '"d@e"@y.com', "f@[192.0.2.1]", "n/a", ""]
    content = [["name", "email"], *([str(number), cell] for number, cell in enumerate(cells))]
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(content)
    table = opened(path, path.read_bytes())
    answers = {"A@X.com": GOOD, "a@x.com": BAD, "b@müller.example": BAD, '"d@e"@y.com': GOOD}
    _, outcome = joined(table, path.parent, answers, domains=True)
    zero = {"deliverable": 0, "undeliverable": 0, "accept_all": 0, "unknown": 0}

    def counts(
        domain: str, rows: int, addresses: int, *, free: bool = False, **verdicts: int
    ) -> DomainCounts:
        both = zero | verdicts
        return DomainCounts(domain=domain, rows=rows, addresses=addresses, free=free, **both)

    assert outcome.domains == Domains(
        counts=(
            counts("x.com", 3, 2, deliverable=2, undeliverable=1, free=True),
            counts("xn--mller-kva.example", 2, 1, undeliverable=2),
            counts("y.com", 2, 2, deliverable=1, free=True),
            counts("[192.0.2.1]", 1, 1),
        ),
        distinct=4,
    )


def test_text_that_is_sent_without_an_at_has_no_domain(path: Path) -> None:
    table = opened(path, "email\na@x.com\nsecret text\nother text\n")
    done = split(table, path.parent, judge=False)
    results = answered(done, path.parent)
    outcome = join(table, done, path.parent, results, BytesIO(), domains=True)
    assert outcome.domains is not None
    assert [(one.domain, one.rows) for one in outcome.domains.counts] == [("", 2), ("x.com", 1)]


def test_few_entries_find_the_same_largest_domains_as_an_exact_count(path: Path) -> None:
    chance = random.Random(3)  # noqa: S311 - test data
    domains = [f"d{int(4000 ** chance.random())}.example" for _ in range(30_000)]
    domains += [f"d{chance.randrange(4000)}.example" for _ in range(20_000)]
    chance.shuffle(domains)
    rows = [f"u{number % 5000}@{domain}" for number, domain in enumerate(domains)]
    table = opened(path, "email\n" + "".join(f"{row}\n" for row in rows))
    done = split(table, path.parent)
    exact = Counter(domains)
    assert len(exact) > 3900
    results = answered(done, path.parent)
    verdicts = Verdicts(done.addresses)
    verdicts.take(done, path.parent, results)
    found = count_domains(done, path.parent, verdicts, most=1000)
    largest = sorted(exact.items(), key=lambda one: (-one[1], one[0]))[:10]
    assert [(one.domain, one.rows) for one in found.counts[:10]] == largest
    assert found.distinct <= 1000
    assert 0 < found.unseen < found.counts[9].rows


@given(
    st.lists(st.tuples(st.integers(0, 25), st.integers(1, 9)), max_size=400),
    st.integers(2, 8),
)
def test_no_count_is_further_off_than_it_says(stream: list[tuple[int, int]], most: int) -> None:
    counter = _DomainCounter(most)
    exact: Counter[str] = Counter()
    for number, rows in stream:
        domain = f"d{number}.com"
        exact[domain] += rows
        counter.entry_of(domain, f"a@{domain}")[-1] += rows
        assert len(counter._entries) <= most
    found = counter.domains()
    kept = {one.domain: one for one in found.counts}
    for domain, rows in exact.items():
        if domain in kept:
            assert kept[domain].rows <= rows <= kept[domain].rows + kept[domain].unseen
        else:
            assert rows <= found.unseen


def test_the_report_has_the_domains_with_the_most_undeliverable_rows_too(path: Path) -> None:
    good = [f"u{n}@good{d}.com" for d in range(MOST_REPORTED + 20) for n in range(2)]
    bad = [f"u@bad{d}.com" for d in range(20)]
    table = opened(path, "email\n" + "".join(f"{one}\n" for one in [*good, *bad]))
    done = split(table, path.parent)
    rows = [[one, *(BAD if "bad" in one else GOOD)] for one in [*good, *bad]]
    results = {1: write_results(path.with_name("results.csv"), rows)}
    outcome = join(table, done, path.parent, results, BytesIO(), domains=True)
    assert outcome.domains is not None
    assert outcome.domains.distinct == MOST_REPORTED + 40
    assert sum(one.undeliverable for one in outcome.domains.counts) == 20

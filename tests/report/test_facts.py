"""The numbers of the page."""

import attrs
import pytest

from bulkverify import Verdict
from bulkverify.report.facts import Facts, Tally, Trouble, file_name
from tests.report.made import DOMAINS, FINDINGS, domain, finding, ordinary, report_with


def facts(**changes: object) -> Facts:
    return Facts(report=ordinary(**changes))


def test_what_can_be_mailed_is_neither_disposable_nor_a_spam_trap() -> None:
    found = facts()
    assert found.mail == Tally(14_300, 13_180)
    assert found.kept_back == Tally(200, 190)
    assert found.mail_roles == Tally(300, 280)
    assert found.deliverable == found.mail + found.kept_back


def test_a_deliverable_spam_trap_is_removed_and_not_mailed() -> None:
    trap = finding(Verdict.DELIVERABLE, 7, 5, "spamtrap")
    found = Facts(report=report_with((*FINDINGS, trap)))
    assert found.mail == facts().mail
    assert found.remove == facts().remove + Tally(7, 5)


def test_rows_that_hold_no_address_are_removed_but_never_bounce() -> None:
    found = facts()
    assert found.remove == Tally(3_200, 2_940)
    assert (found.not_addresses, found.bad, found.bad_rows) == (150, 2_940, 3_050)


def test_bounces_range_from_what_is_certain_to_all_that_is_not_deliverable() -> None:
    found = facts()
    low, high = found.bounce
    assert found.total == 17_790
    assert low == pytest.approx(2_940 / 17_790)
    assert high == pytest.approx((2_940 + 1_000 + 480) / 17_790)


def test_addresses_without_a_verdict_are_in_the_high_end_only() -> None:
    found = Facts(report=report_with((*FINDINGS, finding(None, 60, 50)), missing=60))
    assert found.without == Tally(60, 50)
    assert found.bounce[0] == pytest.approx(2_940 / 17_840)
    assert found.bounce[1] == pytest.approx(4_470 / 17_840)


def test_a_verdict_that_is_not_known_counts_as_unknown() -> None:
    found = Facts(
        report=report_with(
            (*FINDINGS, finding("risky", 9, 8), finding("risky", 1, 1, "role_based"))
        )
    )
    assert found.strange == {"risky": Tally(10, 9)}
    assert found.unsure == Tally(510, 489)
    assert found.mail == facts().mail
    assert found.bounce[1] == pytest.approx((2_940 + 1_000 + 489) / 17_799)


def test_a_report_of_an_earlier_version_counts_rows() -> None:
    found = facts(findings=())
    assert not found.is_detailed
    assert found.mail == Tally(14_500, None)
    assert (found.units, found.total, found.bad) == ("rows", 19_150, 3_050)
    assert found.bounce[0] == pytest.approx(3_050 / 19_150)
    assert found.bounce[1] == pytest.approx(1 - 14_500 / 19_150)
    assert found.flagged("disposable") == Tally(200, None)


def test_an_empty_report_divides_by_nothing() -> None:
    found = Facts(report=report_with(()))
    assert found.bounce == (0, 0)
    assert found.half_time is None


def test_domains_pull_the_list_down_only_beyond_average_and_chance() -> None:
    found = facts()
    assert {one.counts.domain: one.trouble for one in found.bad_domains} == {
        "hotmail.com": Trouble.AGED,
        "gmial.com": Trouble.TYPO,
        "dead.example": Trouble.GONE,
        "half.example": Trouble.LEFT,
    }
    pulls = [one.pull for one in found.bad_domains]
    assert pulls == sorted(pulls, reverse=True)
    chance = domain("chance.example", 80, 20)  # the average is 16 %
    assert chance.domain not in {
        one.counts.domain
        for one in Facts(report=report_with(FINDINGS, (*DOMAINS, chance))).bad_domains
    }


def test_domains_with_few_rows_are_named_only_if_asked() -> None:
    named = {one.counts.domain for one in facts().bad_domains}
    every = {one.counts.domain for one in Facts(report=ordinary(), small_domains=True).bad_domains}
    assert every - named == {"anna-schmidt.example", "hotnail.com"}
    assert facts().typo_rows == 178


def test_deliverable_rows_of_a_mistyped_domain_are_mailed_and_not_corrected() -> None:
    found = Facts(report=report_with(FINDINGS, (domain("gmial.com", 4, 14), domain("a.com", 9, 0))))
    assert [(one.domain, one.meant, one.rows) for one in found.typos] == [
        ("gmial.com", "gmail.com", 14)
    ]
    assert found.typo_rows == 14


def test_typing_errors_are_named_beside_many_worse_domains() -> None:
    worse = (domain(f"gone-{number}.example", 0, 900) for number in range(40))
    found = Facts(report=report_with(FINDINGS, (*worse, domain("gmial.com", 0, 9))))
    assert "gmial.com" not in {one.counts.domain for one in found.bad_domains}
    assert [one.domain for one in found.typos] == ["gmial.com"]


def test_all_other_domains_have_the_remaining_rows() -> None:
    found = facts()
    assert found.named == (2_400 + 177 + 61 + 120, 900 + 170 + 60 + 60)
    assert found.others == (19_150 - found.named[0], 3_050 - found.named[1])


def test_the_trouble_with_the_most_rows_comes_first() -> None:
    assert list(facts().troubles) == [Trouble.AGED, Trouble.TYPO, Trouble.GONE, Trouble.LEFT]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/data/a b.csv", "a b.csv"),
        ("C:\\lists\\a.csv", "a.csv"),
        ("a.csv", "a.csv"),
        ("rows", "rows"),
        ("", ""),
        ("/", "/"),
    ],
)
def test_files_are_named_without_their_folders(path: str, name: str) -> None:
    assert file_name(path) == name


def test_half_of_the_addresses_had_a_verdict_at_half_time() -> None:
    assert facts().half_time == 1800
    assert attrs.evolve(facts(), report=ordinary(curve=())).half_time is None

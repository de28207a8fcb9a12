"""The text of the page, and what is in its source."""

import re
import subprocess
import sys
from base64 import b64encode
from hashlib import sha256
from html import unescape

import pytest

from bulkverify import PartFailure, RunReport, Verdict
from tests.report.made import HOSTILE, REVERSED, domain, finding, ordinary, report_with, worst

MOST_BYTES = 300_000


def text_of(report: RunReport, *, small_domains: bool = False) -> str:
    page = report.to_html(small_domains=small_domains)
    body = re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", body)).split())


def steps_of(report: RunReport) -> list[str]:
    page = report.to_html()
    section = page[page.index('id="next"') : page.index('id="verdicts"')]
    return [
        " ".join(unescape(re.sub(r"<[^>]+>", "", title)).split())
        for title in re.findall(r"<h4>(.*?)</h4>", section, re.DOTALL)
    ]


def test_the_page_begins_with_what_can_be_mailed() -> None:
    text = text_of(ordinary())
    assert "13,180 of 17,790 addresses can be mailed now" in text
    assert "17% to 25% would bounce" in text
    assert text.index("can be mailed now") < text.index("What to do next")


def test_the_steps_are_in_the_order_in_which_they_help() -> None:
    assert steps_of(ordinary()) == [
        "Mail 13,180 addresses",
        "Remove 3,200 rows",
        "Hold back 1,000 addresses with accept-all",
        "Leave out 480 addresses that are unknown",
        "Correct 178 typing errors",
        "Look at 4 domains",
        "Look up 150 contacts without an address",
        "Check 280 addresses of roles before you mail them",
        "Keep disposable addresses out",
    ]


def test_a_clean_list_needs_one_step_only() -> None:
    clean = report_with((finding(Verdict.DELIVERABLE, 1, 1),), ())
    assert steps_of(clean) == ["Mail 1 address"]
    assert "For the list itself" not in text_of(clean)


def test_a_list_without_rows_has_no_steps() -> None:
    text = text_of(report_with((), ()))
    assert "The list has no rows." in text
    assert "For the next mailing" not in text
    assert "An earlier version" not in text


def test_a_single_row_is_one_row() -> None:
    text = text_of(report_with((finding(Verdict.UNDELIVERABLE, 1, 1),), ()))
    assert "0 of 1 address can be mailed now" in text
    assert "It has undeliverable under verdict" in text
    assert not re.search(r"\b1 (rows|addresses)\b", text)


def test_no_step_pays_for_anything_again() -> None:
    text = text_of(ordinary())
    assert not re.search(r"restart|verify (?:them|it|\d\S* ?\w*)? ?again", text, re.IGNORECASE)
    assert "Nothing here costs a credit" in text


def failed(number: int, *, paid: bool) -> PartFailure:
    return PartFailure(
        number=number,
        addresses=40,
        first_row=60,
        last_row=99,
        job_id=None,
        paid=paid,
        error="JobFailedError",
        message="It failed.",
    )


def test_rows_of_failed_parts_come_first_and_have_a_banner() -> None:
    report = ordinary(missing=80, failures=(failed(2, paid=True), failed(3, paid=False)))
    text = text_of(report)
    assert "80 rows of 19,300 have no verdict yet" in text
    assert "2 parts of the list failed" in text
    assert "JobFailedError : It failed." in text
    assert steps_of(report)[0] == "Get the 80 missing rows"
    assert "a credit for each of the 40 addresses that were not paid for" in text
    assert "Nothing here costs a credit" not in text
    paid = text_of(ordinary(missing=40, failures=(failed(2, paid=True),)))
    assert "All of it is paid for, so that costs nothing" in paid


def test_rows_that_the_service_left_out_are_not_asked_for_again() -> None:
    report = ordinary(missing=40)
    text = text_of(report)
    assert "40 rows of 19,300 have no verdict" in text
    assert "The service left them out of its results" in text
    assert "the same command again" not in text
    assert "Leave out 40 rows without a verdict" in steps_of(report)
    assert "have no verdict" not in text_of(ordinary())


def test_a_sandbox_says_that_it_is_one() -> None:
    assert "the verdicts are made up" in text_of(ordinary(trial=True))
    # A proxy on this machine may lead to the real service.
    assert "made up" not in text_of(ordinary(service="http://127.0.0.1:8000"))
    assert "made up" not in text_of(ordinary())


def test_the_filters_are_those_of_the_output() -> None:
    assert "keep the rows with deliverable under verdict , and N under disposable" in text_of(
        ordinary()
    )
    assert "and false under disposable" in text_of(ordinary(destination="v.jsonl"))


def test_a_command_does_the_first_steps_unless_rows_are_missing() -> None:
    text = text_of(ordinary(destination="/data/it's all.csv"))
    assert "bulkverify filter 'it'\"'\"'s all.csv' --split --without disposable" in text
    assert "bulkverify filter" not in text_of(ordinary(failures=(failed(1, paid=True),)))


def test_an_output_with_only_some_rows_is_mentioned() -> None:
    assert "verified.csv has 14,500 of 19,300 rows" in text_of(ordinary(written=14_500))


def test_uncounted_domains_say_how_to_count_them() -> None:
    assert "verify --report" in text_of(ordinary(domains=None))
    assert "verify --report" not in text_of(ordinary())


def test_small_domains_are_named_only_if_asked() -> None:
    assert "anna-schmidt.example" not in ordinary().to_html()
    assert "anna-schmidt.example" in ordinary().to_html(small_domains=True)


def test_thresholds_cite_their_source() -> None:
    page = ordinary().to_html()
    assert '<a href="https://docs.aws.amazon.com/ses/latest/dg/faqs-enforcement.html"' in page


def test_rows_that_were_not_paid_for_are_told_apart_from_earlier_calls() -> None:
    text = text_of(ordinary(credits_spent=7_000, credits_spent_before=10_000))
    assert (
        "Credits spent by earlier calls 10,000 Credits spent by this call 7,000 Not paid for"
        in text
    )
    assert text.endswith("can be sent on as it is.")


def test_hostile_text_is_shown_as_text() -> None:
    page = worst().to_html(small_domains=True)
    assert HOSTILE not in page
    assert "<script" not in page
    assert "\u202e" not in page
    assert "\u2066" not in page
    assert page.count("</style>") == 1
    assert "{{7*7}}.example" in page
    assert f"{HOSTILE}.example" in text_of(worst())
    assert REVERSED.replace("\u202e", "\ufffd")[:12] in text_of(worst())


def test_the_worst_page_is_below_300_kb() -> None:
    assert len(ordinary().to_html().encode()) < MOST_BYTES / 4
    assert len(worst().to_html(small_domains=True).encode()) < MOST_BYTES


def test_the_page_has_no_address_script_or_style_attribute() -> None:
    page = ordinary().to_html()
    assert not re.search(r"<script|\son\w+=|\sstyle=", page)
    assert not re.search(r"[\w.]@[\w.]", page)


def test_the_page_links_to_nothing_that_it_would_load() -> None:
    page = worst().to_html()
    assert set(re.findall(r"\s(?:src|href|action|data|poster)=\"([^\"#][^\"]*)", page)) == {
        "data:,",
        "https://docs.aws.amazon.com/ses/latest/dg/faqs-enforcement.html",
    }
    assert "url(" not in page
    assert "@import" not in page


def test_the_policy_allows_this_style_and_nothing_else() -> None:
    page = ordinary().to_html()
    [style] = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    digest = b64encode(sha256(style.encode()).digest()).decode()
    [policy] = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert unescape(policy) == (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def test_the_same_report_gives_the_same_page() -> None:
    assert ordinary().to_html() == ordinary().to_html()


def test_a_report_with_a_single_point_has_no_curve() -> None:
    assert "<svg" in ordinary(curve=ordinary().curve[:1]).to_html()
    assert 'class="curve' not in ordinary(curve=ordinary().curve[:1]).to_html()
    assert ordinary().to_html().count('class="curve') == 2


def test_domains_that_pull_nothing_have_no_section() -> None:
    even = report_with((finding(Verdict.DELIVERABLE, 90, 90),), (domain("x.com", 90, 0),))
    assert 'id="domains"' not in even.to_html()


@pytest.mark.parametrize("module", ["jinja2", "pygal", "markupsafe"])
def test_without_the_extra_the_page_says_what_to_install(module: str) -> None:
    code = (
        f"import sys; sys.modules[{module!r}] = None\n"
        "from tests.report.made import ordinary\n"
        "assert ordinary().to_json()\n"
        "ordinary().to_html()"
    )
    done = subprocess.run(  # noqa: S603 - our own
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert f'The page of a report needs {module}: pip install "bulkverify[report]"' in done.stderr

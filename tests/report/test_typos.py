"""Typing errors are found by the name of a domain and by the verdicts on it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkverify.report.typos import PROVIDERS, is_one_key_off, meant_by
from tests.report.made import domain


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("gmial.com", "gmail.com"),
        ("gmal.com", "gmail.com"),
        ("gmaill.com", "gmail.com"),
        ("gnail.com", "gmail.com"),
        ("gmail.co", "gmail.com"),
        ("gmail.con", "gmail.com"),
        ("gmial.con", "gmail.com"),
        ("gmail.cmo", "gmail.com"),
        ("hotnail.com", "hotmail.com"),
        ("yaho.com", "yahoo.com"),
        ("outlok.com", "outlook.com"),
        ("t-onlin.de", "t-online.de"),
        ("acme.con", "acme.com"),
    ],
)
def test_a_mistyped_domain_means_another_one(typed: str, meant: str) -> None:
    assert meant_by(domain(typed, 1, 20)) == meant


@pytest.mark.parametrize(
    "name",
    [*PROVIDERS, "gmx.de", "web.de", "acme.com", "gmail.example", "con", ".con", "", "acme.co"],
)
def test_other_domains_mean_themselves(name: str) -> None:
    assert meant_by(domain(name, 0, 20)) is None


def test_a_domain_whose_mailboxes_exist_is_no_typing_error() -> None:
    assert meant_by(domain("gmial.com", 11, 9)) is None
    assert meant_by(domain("mail.com", 0, 20)) is None
    assert meant_by(domain("yahoo.be", 5, 15, free=True)) is None


def test_a_domain_with_some_mailboxes_may_be_a_typing_error() -> None:
    assert meant_by(domain("gmial.com", 8, 12)) == "gmail.com"
    assert meant_by(domain("yaho.com", 3, 17, free=True)) == "yahoo.com"


def test_a_domain_without_a_verdict_is_no_typing_error() -> None:
    assert meant_by(domain("gmial.com", 0, 0)) is None


@given(st.text("abc.", max_size=6), st.text("abc.", max_size=6))
def test_one_key_is_one_edit_or_one_swap(text: str, other: str) -> None:
    edits = {text[:at] + text[at + 1 :] for at in range(len(text))}
    edits |= {text[:at] + key + text[at:] for at in range(len(text) + 1) for key in "abc."}
    edits |= {text[:at] + key + text[at + 1 :] for at in range(len(text)) for key in "abc."}
    edits |= {text[:at] + text[at + 1] + text[at] + text[at + 2 :] for at in range(len(text) - 1)}
    assert is_one_key_off(text, other) is (other in edits - {text})

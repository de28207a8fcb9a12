"""Faults from a file: valid rules become faults; errors name invalid ones and say what is allowed."""

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkverify.sandbox import Fault, FaultKind, RuleError, make_fault, read_faults

DOCUMENT = Path(__file__).parents[2] / "docs" / "testing.md"


def read(tmp_path: Path, text: str) -> list[Fault]:
    path = tmp_path / "faults.toml"
    path.write_text(text, encoding="utf-8")
    return read_faults(path)


def test_a_file_becomes_faults_in_its_order(tmp_path: Path) -> None:
    text = """
        [[fault]]
        kind = "answer"
        endpoint = "status"
        times = 3
        status = 503
        body = "busy"
        headers = { Retry-After = "5" }

        [[fault]]
        kind = "throttle"
        lasting = 300
        retry_after = 0.5
        retry_after_date = true

        [rates]
        drop = 0.05

        [rates.stale]
        status = 0.5
    """
    assert read(tmp_path, text) == [
        Fault(
            kind=FaultKind.ANSWER,
            endpoint="status",
            times=3,
            status=503,
            body="busy",
            headers={"Retry-After": "5"},
        ),
        Fault(kind=FaultKind.THROTTLE, lasting=300, retry_after=0.5, retry_after_date=True),
        Fault(kind=FaultKind.DROP, rate=0.05, times=None),
        Fault(kind=FaultKind.STALE, endpoint="status", rate=0.5, times=None),
    ]


def test_an_empty_file_has_no_faults(tmp_path: Path) -> None:
    assert read(tmp_path, "# nothing yet") == []


def test_the_example_of_the_documentation_is_right(tmp_path: Path) -> None:
    text = DOCUMENT.read_text(encoding="utf-8").partition("```toml\n")[2].partition("```")[0]
    assert [fault.kind for fault in read(tmp_path, text)] == [
        "drop_after",
        "drop",
        "answer",
        "answer",
    ]


@pytest.mark.parametrize("kind", FaultKind)
def test_every_kind_can_stand_in_a_file(tmp_path: Path, kind: FaultKind) -> None:
    text = f'[[fault]]\nkind = "{kind}"\ntimes = "all"\n[rates]\n{kind} = 1'
    assert read(tmp_path, text) == [Fault(kind=kind, times=None)] * 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('kind = "drop"\nendpoint = "everywhere"', "fault 1 (drop): endpoint is 'everywhere'; it must be one of upload, status,"),
        ("times = 3", "fault 1: kind is missing; it must be one of answer, answer_after,"),
        ('kind = "explode"', "fault 1: kind is 'explode'; it must be one of answer,"),
        ('kind = "drop"\ntimes = -1', 'fault 1 (drop): times is -1; it must be a whole number >= 0, or "all" (None in Python).'),
        ('kind = "drop"\ntimes = true', "fault 1 (drop): times is True; it must be a whole number"),
        ('kind = "drop"\nskip = 1.5', "skip is 1.5; it must be a whole number >= 0."),
        ('kind = "drop"\nrate = 5', "rate is 5; it must be a number from 0 to 1."),
        ('kind = "drop"\nrate = nan', "rate is nan; it must be a number from 0 to 1."),
        ('kind = "delay"\ndelay = "3 s"', "delay is '3 s'; it must be seconds >= 0."),
        (f'kind = "delay"\ndelay = {10**400}', "; it must be seconds >= 0."),
        ('kind = "delay"\ndelay = inf', "delay is inf; it must be seconds >= 0."),
        ('kind = "drop"\nstatus = 502', "fault 1 (drop): there is no field 'status'; the fields are kind, endpoint,"),
        ('kind = "answer"\nstatus = 99', "status is 99; it must be an HTTP status from 200 to 599."),
        ('kind = "answer"\nheaders = { a = 1 }', "it must be a table of strings."),
        ('kind = "stale"\nendpoint = "start"', "fault 1 (stale): endpoint is 'start'; it must be one of status."),
        ('kind = "drop"\n[[fault]]\nkind = "dorp"', "fault 2: kind is 'dorp'"),
    ],
)  # fmt: skip
def test_a_wrong_rule_is_named_with_its_field_and_what_is_allowed(
    tmp_path: Path, text: str, words: str
) -> None:
    with pytest.raises(RuleError) as caught:
        read(tmp_path, f"[[fault]]\n{text}")
    assert str(caught.value).startswith("faults.toml, fault ")
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[fault]", "faults.toml is not TOML: "),
        ("\n[[faults]]", "faults.toml, there is no table 'faults'; the tables are [[fault]] and [rates]."),
        ("[fault]\nkind = 'drop'", "faults.toml, fault: each fault must begin with the line [[fault]]."),
        ("rates = 3", "faults.toml, rates: this must be a table, [rates]."),
        ("[rates]\ndorp = 0.1", "rates (dorp): kind is 'dorp'; it must be one of answer,"),
        ("[rates]\ndrop = 2", "rates (drop): rate is 2; it must be a number from 0 to 1."),
        ("[rates.stale]\nstart = 0.1", "rates (stale): endpoint is 'start'; it must be one of status."),
    ],
)  # fmt: skip
def test_the_error_for_a_wrong_file_says_what_it_may_hold(
    tmp_path: Path, text: str, words: str
) -> None:
    with pytest.raises(RuleError) as caught:
        read(tmp_path, text)
    assert words in str(caught.value)


def test_a_file_that_is_no_text_is_not_toml(tmp_path: Path) -> None:
    path = tmp_path / "faults.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(RuleError, match="is not TOML"):
        read_faults(path)


FIELDS = st.sampled_from(["kind", "endpoint", "times", "rate", "status", "headers", "delay", "x"])
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(FaultKind),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(st.dictionaries(FIELDS, VALUES))
def test_any_rule_is_a_fault_or_a_rule_error(rule: dict[str, object]) -> None:
    with suppress(RuleError):
        assert isinstance(make_fault(rule), Fault)

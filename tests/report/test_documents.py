"""A report as JSON."""

import json

import pytest

from bulkverify import RunReport, UsageError
from tests.report.made import ordinary, worst

NEW = ("version", "began_at", "ended_at", "service", "findings", "domains", "curve")


@pytest.mark.parametrize("report", [ordinary(), worst()], ids=["ordinary", "worst"])
def test_a_report_comes_back_from_its_json(report: RunReport) -> None:
    assert RunReport.from_json(report.to_json()) == report


def test_a_report_opens_from_a_note_and_from_the_output_of_a_failed_command() -> None:
    document = {"error": {"type": "IncompleteRunError"}, "report": json.loads(ordinary().to_json())}
    assert RunReport.from_json(json.dumps(document)) == ordinary()


def test_a_report_of_an_earlier_version_opens_and_makes_a_page() -> None:
    document = json.loads(ordinary().to_json())
    for name in NEW:
        del document[name]
    found = RunReport.from_json(json.dumps(document).encode())
    assert (found.rows, found.version, found.findings, found.domains) == (19_300, 1, (), None)
    assert "This report has rows only" in found.to_html()


def test_a_field_of_a_later_version_does_no_harm() -> None:
    document = json.loads(ordinary().to_json()) | {"colour": "red"}
    assert RunReport.from_json(json.dumps(document)) == ordinary()


def test_a_newer_format_is_refused() -> None:
    document = json.loads(ordinary().to_json()) | {"version": 2}
    with pytest.raises(UsageError, match="newer bulkverify"):
        RunReport.from_json(json.dumps(document))


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ("rows", -184, r"\$.rows is -184"),
        ("seconds", 1e999, r"\$.seconds is inf"),
        ("verdicts.deliverable", 999_999, r"\$.verdicts.deliverable is 999,999, more than the"),
        ("missing", 999_999, r"\$.missing is 999,999, more than the"),
        ("domains.counts.0.rows", -3, r"\$.domains.counts\[0\].rows is -3"),
        ("domains.counts.1.undeliverable", 99_999, r"\[1\].undeliverable is 99,999, more than the"),
        ("curve.2.verified", 999_999, r"\$.curve\[2\].verified is 999,999, more than the"),
        ("rows", "many", r"\$.rows"),
        ("verdicts", None, r"\$.verdicts"),
    ],
)
def test_a_number_that_can_not_be_is_refused_by_its_field(
    path: str, value: object, told: str
) -> None:
    document = json.loads(ordinary().to_json())
    *way, last = (int(name) if name.isdecimal() else name for name in path.split("."))
    place = document
    for name in way:
        place = place[name]
    place[last] = value
    with pytest.raises(UsageError, match=told):
        RunReport.from_json(json.dumps(document))


def test_the_error_of_a_run_is_told_as_one() -> None:
    text = json.dumps({"error": {"type": "UsageError", "message": "There is no API key."}})
    with pytest.raises(
        UsageError, match=r"the run failed, and wrote none\. Its error was: There is no"
    ):
        RunReport.from_json(text)


def test_a_missing_field_is_named() -> None:
    with pytest.raises(UsageError, match="destination"):
        RunReport.from_json('{"version": 1}')


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "null", "1", '"report"', "{}", '{"report": 3}', '{"version": 1}', b"\xff"),
        "[" * 100_000,
    ],
)
def test_other_texts_are_refused(text: str | bytes) -> None:
    with pytest.raises(UsageError, match="is not the report of a run") as caught:
        RunReport.from_json(text)
    assert "to_json" in str(caught.value)

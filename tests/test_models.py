"""The models: every shape of the contract, and values that are refused."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import attrs
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bulkverify.lifecycle import JobStatus
from bulkverify.models import (
    Acknowledgement,
    AddressVerdict,
    Analysis,
    Credits,
    JobSnapshot,
    ResultRow,
    Verdict,
    VerdictCounts,
    parse_flag,
    parse_timestamp,
    parse_verdict,
)
from bulkverify.service.converter import converter
from tests.conftest import Payload

JOB_ID = "r374aki32rnatv868nntpxloc7dkilszc3eu"
MORNING = datetime(2021, 8, 13, 9, 39, 37, tzinfo=UTC)
NNBSP = "\u202f"
ANALYSIS = Analysis(common_isp=1, role_based=1, disposable=0, spamtrap=0, syntax_error=0)
COUNTS = VerdictCounts(deliverable=1, undeliverable=0, accept_all=1, unknown=0)

SNAPSHOTS = {
    "preparing": JobSnapshot(
        job_id=JOB_ID,
        status=JobStatus.PREPARING,
        created_at=MORNING,
        message="Job is being prepared for verification",
    ),
    "ready": JobSnapshot(
        job_id=JOB_ID,
        status=JobStatus.READY,
        created_at=MORNING,
        total=2,
        analysis=ANALYSIS,
        message="Job ready for verification. Please begin verification to know the result",
    ),
    "verifying": JobSnapshot(
        job_id=JOB_ID,
        status=JobStatus.VERIFYING,
        created_at=MORNING,
        total=2,
        verified=1,
        pending=1,
        analysis=ANALYSIS,
        results=COUNTS,
        message="Job is being verified",
    ),
    "completed": JobSnapshot(
        job_id=JOB_ID,
        status=JobStatus.COMPLETED,
        created_at=MORNING,
        total=2,
        verified=2,
        pending=0,
        analysis=ANALYSIS,
        results=COUNTS,
        message="Verification completed successfully. Please download the result using /download endpoint",
    ),
    "failed": JobSnapshot(
        job_id="565ad4aki32rnqweqaefwdaosjc7dksdaksd",
        status=JobStatus.FAILED,
        created_at=datetime(2021, 8, 3, 15, 35, 32, tzinfo=UTC),
        total=0,
        message="Unable to process your job, The uploaded list contains invalid data",
    ),
    "cancelled": JobSnapshot(
        job_id="asdfcqkahs37e2137wh273yhen283ye0js23",
        status=JobStatus.CANCELLED,
        created_at=datetime(2021, 8, 5, 12, 7, 21, tzinfo=UTC),
        total=4,
        message="Job is cancelled",
    ),
}

MODELS = [
    ANALYSIS,
    COUNTS,
    SNAPSHOTS["completed"],
    ResultRow(email="a@example.com", verdict=Verdict.UNKNOWN),
    AddressVerdict(email="a@example.com", verdict=Verdict.UNKNOWN),
    Credits(remaining=1),
    Acknowledgement(job_id=JOB_ID),
]


@pytest.mark.parametrize("status", JobStatus)
def test_each_status_has_the_fields_that_come_with_it(payload: Payload, status: str) -> None:
    assert converter.structure(payload(f"status_{status}.json"), JobSnapshot) == SNAPSHOTS[status]


@pytest.mark.parametrize(
    ("status", "ended", "progress"),
    [
        ("preparing", False, None),
        ("ready", False, None),
        ("verifying", False, 0.5),
        ("completed", True, 1.0),
        ("failed", True, None),
        ("cancelled", True, None),
    ],
)
def test_a_snapshot_has_the_progress_of_its_list(
    status: str, *, ended: bool, progress: float | None
) -> None:
    assert SNAPSHOTS[status].ended is ended
    assert SNAPSHOTS[status].progress == progress


@pytest.mark.parametrize(
    ("verified", "total", "progress"), [(-1, 4, 0.0), (9, 4, 1.0), (0, 0, None), (1, None, None)]
)
def test_inconsistent_counters_still_give_a_progress(
    verified: int, total: int | None, progress: float | None
) -> None:
    snapshot = JobSnapshot(
        job_id=JOB_ID, status=JobStatus.VERIFYING, verified=verified, total=total
    )
    assert snapshot.progress == progress


def test_an_unknown_status_is_refused() -> None:
    with pytest.raises(Exception, match="JobSnapshot"):
        converter.structure({"job_id": JOB_ID, "status": "paused"}, JobSnapshot)


def test_unknown_fields_are_ignored(payload: Payload) -> None:
    body = payload("status_completed.json")
    body |= {"eta": [1, 2], "analysis": body["analysis"] | {"new_flag": None}}
    assert converter.structure(body, JobSnapshot) == SNAPSHOTS["completed"]


@pytest.mark.parametrize("model", MODELS)
def test_a_model_cannot_be_changed_and_takes_no_new_attributes(model: Any) -> None:  # noqa: ANN401
    first = attrs.fields(type(model))[0].name
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(model, first, None)
    assert not hasattr(model, "__dict__")


@pytest.mark.parametrize("model", MODELS)
def test_a_model_takes_its_fields_by_name_only(model: Any) -> None:  # noqa: ANN401
    with pytest.raises(TypeError, match="positional"):
        type(model)(*attrs.astuple(model, recurse=False))


@pytest.mark.parametrize("model", [ANALYSIS, COUNTS, SNAPSHOTS["completed"]])
def test_equal_models_are_equal_and_hash_alike(model: Any) -> None:  # noqa: ANN401
    twin = attrs.evolve(model)
    assert twin == model
    assert hash(twin) == hash(model)


# Times


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("08/13/2021, 9:39:37 AM", MORNING),
        ("08/13/2021, 09:39:37 AM", MORNING),
        ("8/13/2021, 9:39:37 AM", MORNING),
        ("08/13/2021 9:39:37 AM", MORNING),
        (f"8/13/2021, 9:39:37{NNBSP}AM", MORNING),
        ("8/13/2021, 9:39:37\u00a0AM", MORNING),
        ("8/13/2021, 9:39:37AM", MORNING),
        ("8/13/2021, 9:39:37 am", MORNING),
        ("8/13/2021, 9:39:37 a.m.", MORNING),
        (" 8/13/2021, 9:39:37 AM\n", MORNING),
        ("8/13/2021, 9:39 AM", MORNING.replace(second=0)),
        ("8/13/2021, 9:39:37 PM", MORNING.replace(hour=21)),
        ("07/19/2024, 09:08:26 AM", datetime(2024, 7, 19, 9, 8, 26, tzinfo=UTC)),
        ("08/13/2021, 12:00:00 AM", datetime(2021, 8, 13, tzinfo=UTC)),
        ("08/13/2021, 12:59:59 AM", datetime(2021, 8, 13, 0, 59, 59, tzinfo=UTC)),
        ("08/13/2021, 1:00:00 AM", datetime(2021, 8, 13, 1, tzinfo=UTC)),
        ("08/13/2021, 12:00:00 PM", datetime(2021, 8, 13, 12, tzinfo=UTC)),
        ("08/13/2021, 12:07:21 PM", datetime(2021, 8, 13, 12, 7, 21, tzinfo=UTC)),
        ("08/13/2021, 11:59:59 PM", datetime(2021, 8, 13, 23, 59, 59, tzinfo=UTC)),
        ("2021-08-13T09:39:37Z", MORNING),
        ("2021-08-13T09:39:37", MORNING),
        ("2021-08-13 11:39:37+02:00", MORNING),
        ("2021-09-13T06:49:39.280Z", datetime(2021, 9, 13, 6, 49, 39, 280_000, tzinfo=UTC)),
    ],
)
def test_a_time_is_read_in_every_spelling(text: str, expected: datetime) -> None:
    read = parse_timestamp(text)
    assert read == expected
    assert read.tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "08/13/2021",
        "08/13/2021, 9:39:37",
        "08/13/2021, 0:39:37 AM",
        "08/13/2021, 13:39:37 PM",
        "13/08/2021, 9:39:37 AM",
        "02/30/2021, 9:39:37 AM",
        "08/13/2021, 9:60:37 AM",
        "08/13/21, 9:39:37 AM",
        "08/13/0000, 9:39:37 AM",
        "08/13/2021, 9:39:37 AM UTC",
        "0001-01-01T00:00:00+23:59",
        "1628847577",
        "٠٨/١٣",
    ],
)
def test_any_other_time_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_timestamp(text)


@settings(deadline=None)
@given(st.text())
@example("9999-12-31T23:59:59-23:59")
def test_any_text_is_a_time_or_a_value_error(text: str) -> None:
    try:
        read = parse_timestamp(text)
    except ValueError:
        return
    assert read.tzinfo is UTC


US_SPELLINGS = st.sampled_from(
    [
        "{m:02}/{d:02}/{y:04}, {h}:{M:02}:{S:02} {p}",
        "{m:02}/{d:02}/{y:04}, {h:02}:{M:02}:{S:02} {p}",
        "{m}/{d}/{y:04}, {h}:{M:02}:{S:02}" + NNBSP + "{p}",
    ]
)


@settings(deadline=None)
@given(moment=st.datetimes(timezones=st.just(UTC)), spelling=US_SPELLINGS)
def test_every_time_is_read_back_from_the_services_spelling(
    moment: datetime, spelling: str
) -> None:
    moment = moment.replace(microsecond=0)
    text = spelling.format(
        y=moment.year,
        m=moment.month,
        d=moment.day,
        h=moment.hour % 12 or 12,
        M=moment.minute,
        S=moment.second,
        p="AM" if moment.hour < 12 else "PM",
    )
    assert parse_timestamp(text) == moment


@settings(deadline=None)
@given(
    moment=st.datetimes(min_value=datetime(2, 1, 1), max_value=datetime(9998, 1, 1)),  # noqa: DTZ001
    minutes=st.integers(-23 * 60, 23 * 60),
)
def test_every_time_is_read_back_from_iso_8601(moment: datetime, minutes: int) -> None:
    aware = moment.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    assert parse_timestamp(aware.isoformat()) == aware


# Verdicts, flags, counts


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("deliverable", Verdict.DELIVERABLE),
        ("Undeliverable", Verdict.UNDELIVERABLE),
        ("accept-all", Verdict.ACCEPT_ALL),
        ("accept all", Verdict.ACCEPT_ALL),
        ("accept_all", Verdict.ACCEPT_ALL),
        ("Accept-All", Verdict.ACCEPT_ALL),
        ("ACCEPT  ALL", Verdict.ACCEPT_ALL),
        (" unknown\t", Verdict.UNKNOWN),
        (Verdict.ACCEPT_ALL, Verdict.ACCEPT_ALL),
    ],
)
def test_a_verdict_is_read_in_every_spelling(text: str, expected: Verdict) -> None:
    assert parse_verdict(text) is Verdict(text) is expected


@pytest.mark.parametrize("verdict", Verdict)
def test_a_verdict_is_written_as_the_service_writes_it_in_results(verdict: Verdict) -> None:
    expected = verdict.name.lower().replace("_", "-")
    assert (verdict.value, str(verdict), f"{verdict}") == (expected, expected, expected)
    assert json.dumps(verdict) == f'"{expected}"'


@pytest.mark.parametrize("text", ["", "risky", "acceptall", "deliverable!", "un deliverable"])
def test_any_other_verdict_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match="is not a verdict"):
        parse_verdict(text)
    with pytest.raises(ValueError, match="is not a valid Verdict"):
        Verdict(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *((text, True) for text in ("Y", "y", "yes", "YES", "1", "true", "True", " Y ")),
        *((text, False) for text in ("N", "n", "no", "0", "false", "False", "N\n")),
        ("", None),
        ("  ", None),
    ],
)
def test_a_flag_is_read_in_every_spelling(text: str, *, expected: bool | None) -> None:
    assert parse_flag(text) is expected


@pytest.mark.parametrize("text", ["2", "maybe", "-", "Y N", "yess"])
def test_any_other_flag_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match="is not a flag such as Y, N"):
        parse_flag(text)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, 0),
        (100, 100),
        (-1, -1),
        (2**63 - 1, 2**63 - 1),
        (3.0, 3),
        (-3.0, -3),
        ("17", 17),
        (" 17 ", 17),
        ("-17", -17),
    ],
)
def test_a_count_may_be_a_whole_number_of_any_type(value: object, expected: int) -> None:
    assert converter.structure({"credits_remaining": value}, Credits) == Credits(remaining=expected)


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        False,
        1.5,
        float("nan"),
        float("inf"),
        1e30,
        2**63,
        -(2**63),
        "",
        "many",
        "1,000",
        "1.0",
        "٣",
        "9" * 19,
        [],
        {},
    ],
)
def test_any_other_count_is_refused(value: object) -> None:
    with pytest.raises(Exception, match="Credits"):
        converter.structure({"credits_remaining": value}, Credits)


@pytest.mark.parametrize("value", [None, 5, True, ["x"], {}])
def test_an_id_other_than_text_is_refused(value: object) -> None:
    with pytest.raises(Exception, match="Acknowledgement"):
        converter.structure({"job_id": value}, Acknowledgement)


# A single address


def test_a_single_address_is_read_as_documented(payload: Payload) -> None:
    assert converter.structure(payload("verify_one.json"), AddressVerdict) == AddressVerdict(
        email="support@bouncify.io",
        verdict=Verdict.DELIVERABLE,
        user="support",
        domain="bouncify.io",
        accept_all=None,
        role=True,
        free_email=False,
        disposable=False,
        spamtrap=False,
        message="This address can receive emails.",
    )


def test_fields_missing_from_an_answer_for_an_address_get_defaults() -> None:
    body = {"email": "a@example.com", "result": "unknown"}
    assert converter.structure(body, AddressVerdict) == AddressVerdict(
        email="a@example.com",
        verdict=Verdict.UNKNOWN,
        user="",
        domain="",
        accept_all=None,
        role=False,
        free_email=False,
        disposable=False,
        spamtrap=False,
        message="",
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        *((value, True) for value in (1, True, "1", "true", "Y")),
        *((value, False) for value in (0, False, "0", "false", "N")),
        *((value, None) for value in (2, "2", "", None)),
    ],
)
def test_the_accept_all_flag_of_a_domain_may_be_unknown(
    value: object, *, expected: bool | None
) -> None:
    body = {"email": "a@example.com", "result": "unknown", "accept_all": value}
    assert converter.structure(body, AddressVerdict).accept_all is expected


@pytest.mark.parametrize("name", ["role", "free_email", "disposable", "spamtrap"])
@pytest.mark.parametrize(
    ("value", "expected"),
    [(1, True), (0, False), (True, True), (False, False), ("1", True), ("N", False)],
)
def test_a_flag_of_an_address_may_be_a_number_a_boolean_or_text(
    name: str, value: object, *, expected: bool
) -> None:
    body = {"email": "a@example.com", "result": "unknown", name: value}
    assert getattr(converter.structure(body, AddressVerdict), name) is expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("role", ""),
        ("role", 2),
        ("role", None),
        ("role", []),
        ("accept_all", 3),
        ("accept_all", "maybe"),
        ("result", ""),
        ("result", "?"),
        ("result", 1),
        ("email", None),
    ],
)
def test_an_invalid_answer_for_an_address_is_refused(name: str, value: object) -> None:
    body = {"email": "a@example.com", "result": "unknown", name: value}
    with pytest.raises(Exception, match="AddressVerdict"):
        converter.structure(body, AddressVerdict)

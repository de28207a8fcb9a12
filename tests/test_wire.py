"""The request that each call sends, and the meaning of its answer, without a network."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bulkverify.errors import BulkVerifyError, ProtocolError, UsageError
from bulkverify.lifecycle import JobStatus
from bulkverify.models import (
    Acknowledgement,
    AddressVerdict,
    Credits,
    JobSnapshot,
    Verdict,
)
from bulkverify.service import calls as wire
from bulkverify.service.answers import Answer, Endpoint
from tests.conftest import Payload

JOB_ID = "r374aki32rnatv868nntpxloc7dkilszc3eu"
ANALYSIS = {
    "common_isp": 1,
    "role_based": 1,
    "disposable": 0,
    "spamtrap": 0,
    "syntax_error": 0,
}
COUNTS = {"deliverable": 1, "undeliverable": 0, "accept_all": 1, "unknown": 0}
STATUS: dict[str, Any] = {
    "job_id": JOB_ID,
    "status": "verifying",
    "created_at": "08/13/2021, 9:39:37 AM",
    "total": 2,
    "verified": 1,
    "pending": 1,
    "analysis": ANALYSIS,
    "results": COUNTS,
    "success": True,
}
CALLS: dict[str, Callable[[], wire.Call[Any]]] = {
    "upload a file": lambda: wire.upload_file(b"email\n", "list.csv", auto_verify=False),
    "upload rows": lambda: wire.upload_rows(
        [wire.rows_to_json([{"email": "a"}])], auto_verify=False, title=None
    ),
    "status": lambda: wire.status(JOB_ID),
    "start": lambda: wire.start(JOB_ID),
    "download": lambda: wire.download(JOB_ID),
    "delete": lambda: wire.delete(JOB_ID),
    "verify": lambda: wire.verify("a@example.com"),
    "credits": wire.credits_left,
}


def answer(body: object, status: int = 200) -> Answer:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(status=status, body=raw)


def misfit(call: wire.Call[Any], body: object) -> ProtocolError:
    with pytest.raises(ProtocolError) as info:
        call.parse(answer(body))
    assert info.value.__cause__ is None
    assert info.value.__context__ is None
    assert type(info.value) is ProtocolError
    assert info.value.status == 200
    return info.value


# Requests


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("upload a file", (Endpoint.UPLOAD, "POST", "bulk", {}, None)),
        ("upload rows", (Endpoint.UPLOAD, "POST", "bulk", {}, {"emails": [{"email": "a"}]})),
        ("status", (Endpoint.STATUS, "GET", f"bulk/{JOB_ID}", {}, None)),
        ("start", (Endpoint.START, "PATCH", f"bulk/{JOB_ID}", {}, {"action": "start"})),
        ("download", (Endpoint.DOWNLOAD, "POST", "download", {"jobId": JOB_ID}, None)),
        ("delete", (Endpoint.DELETE, "DELETE", f"bulk/{JOB_ID}", {}, None)),
        ("verify", (Endpoint.VERIFY, "GET", "verify", {"email": "a@example.com"}, None)),
        ("credits", (Endpoint.CREDITS, "GET", "info", {}, None)),
    ],
)
def test_a_call_has_the_request_of_the_contract(name: str, expected: tuple[object, ...]) -> None:
    call = CALLS[name]()
    body = None if call.json is None else json.loads(call.json)
    assert (call.endpoint, call.method, call.path, call.query, body) == expected
    assert (call.file is not None) is (name == "upload a file")


@pytest.mark.parametrize(
    ("name", "repeatable"),
    [
        ("upload a file", False),
        ("upload rows", False),
        ("status", True),
        ("start", False),
        ("download", True),
        ("delete", True),
        ("verify", False),
        ("credits", True),
    ],
)
def test_only_a_call_that_costs_nothing_is_repeated(name: str, *, repeatable: bool) -> None:
    assert CALLS[name]().repeatable is repeatable


@pytest.mark.parametrize(("auto_verify", "fields"), [(True, {"auto_verify": "true"}), (False, {})])
def test_a_file_has_the_auto_verify_field_only_when_asked(
    fields: dict[str, str], *, auto_verify: bool
) -> None:
    call = wire.upload_file(b"email\na@example.com\n", "list.csv", auto_verify=auto_verify)
    assert call.file == wire.FilePart(
        filename="list.csv", content=b"email\na@example.com\n", fields=fields
    )
    assert call.json is None


@pytest.mark.parametrize(
    ("auto_verify", "title", "extras"),
    [
        (False, None, {}),
        (True, None, {"auto_verify": "true"}),
        (False, "July", {"title": "July"}),
        (True, "", {"auto_verify": "true", "title": ""}),
    ],
)
def test_rows_have_only_the_fields_that_were_asked_for(
    title: str | None, extras: dict[str, str], *, auto_verify: bool
) -> None:
    rows = [{"email": "ä@example.com", "age": 7, "tags": ["x", None], "vip": True}]
    call = wire.upload_rows([wire.rows_to_json(rows)], auto_verify=auto_verify, title=title)
    assert json.loads(call.json or b"") == {"emails": rows, **extras}
    assert "ä".encode() in (call.json or b"")
    assert call.file is None


def test_rows_can_be_any_mappings() -> None:
    call = wire.upload_rows(
        [wire.rows_to_json([MappingProxyType({"email": "a@example.com"})])],
        auto_verify=False,
        title=None,
    )
    assert json.loads(call.json or b"") == {"emails": [{"email": "a@example.com"}]}


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (float("nan"), "Out of range"),
        (float("inf"), "Out of range"),
        ({1, 2}, "set is not JSON"),
        (datetime(2024, 7, 19, tzinfo=UTC), "datetime is not JSON"),
        (b"x", "bytes is not JSON"),
        ("\ud800", "surrogates not allowed"),
        ({(1, 2): 3}, "keys must be str"),
    ],
)
def test_a_value_unknown_to_json_is_refused(value: object, problem: str) -> None:
    with pytest.raises(UsageError, match=problem) as info:
        wire.rows_to_json([{"email": "a", "x": value}])
    assert "Turn such values into text first." in str(info.value)
    assert info.value.__context__ is None


def test_a_value_that_contains_itself_is_refused() -> None:
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(UsageError, match="Circular reference"):
        wire.rows_to_json([{"email": "a", "x": endless}])


@pytest.mark.parametrize(
    "job_id",
    ["", ".", "..", "a/b", "a b", "a?b", "a#b", "a%2fb", "ä", "a\n", "../bulk", "x" * 129, "a\0"],
)
@pytest.mark.parametrize("call", [wire.status, wire.start, wire.download, wire.delete])
def test_a_job_id_that_changes_the_path_is_refused(
    call: Callable[[str], wire.Call[Any]], job_id: str
) -> None:
    with pytest.raises(UsageError, match="is not a job id"):
        call(job_id)


@pytest.mark.parametrize("job_id", ["a", "A-b_9", JOB_ID, "x" * 128])
def test_letters_digits_dashes_and_underscores_are_a_job_id(job_id: str) -> None:
    assert wire.status(job_id).path == f"bulk/{job_id}"


@pytest.mark.parametrize(
    ("verdicts", "names"),
    [
        (["deliverable"], ["deliverable"]),
        ((Verdict.UNKNOWN, Verdict.ACCEPT_ALL), ["unknown", "accept_all"]),
        (iter(["accept-all", "Accept All"]), ["accept_all", "accept_all"]),
        (Verdict, ["deliverable", "undeliverable", "accept_all", "unknown"]),
    ],
)
def test_a_download_names_its_verdicts_as_the_service_spells_them(
    verdicts: Any,  # noqa: ANN401 - any iterable
    names: list[str],
) -> None:
    assert json.loads(wire.download(JOB_ID, verdicts).json or b"") == {"filterResult": names}


@pytest.mark.parametrize(
    ("verdicts", "message"),
    [
        (["risky"], "'risky' is not a verdict; the four are deliverable, undeliverable"),
        ([], "A download needs at least one verdict"),
    ],
)
def test_a_download_of_no_known_verdict_is_refused(verdicts: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message) as info:
        wire.download(JOB_ID, verdicts)
    assert info.value.__cause__ is None


@pytest.mark.parametrize(
    ("timeout", "query", "read_timeout"),
    [
        (None, {}, 195),
        (30, {"timeout": "30000"}, 45),
        (30.0004, {"timeout": "30000"}, 45.0004),
        (59.9, {"timeout": "59900"}, 74.9),
        (180, {"timeout": "180000"}, 195),
    ],
)
def test_the_client_waits_a_little_longer_than_the_service_for_an_address(
    timeout: float | None, query: dict[str, str], read_timeout: float
) -> None:
    call = wire.verify(" a@example.com\n", timeout=timeout)
    assert call.query == {"email": "a@example.com", **query}
    assert call.read_timeout == pytest.approx(read_timeout)


@pytest.mark.parametrize("timeout", [0, -1, 29.9, 180.1, float("inf"), float("nan")])
def test_a_timeout_that_the_service_does_not_accept_is_refused(timeout: float) -> None:
    with pytest.raises(UsageError, match="30 to 180 seconds"):
        wire.verify("a@example.com", timeout=timeout)


@pytest.mark.parametrize("address", ["", " ", "\n\t"])
def test_an_empty_address_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match="no address to verify"):
        wire.verify(address)


@pytest.mark.parametrize("call", [wire.upload_file(b"secret", "list.csv", auto_verify=False)])
def test_a_call_does_not_show_its_content(call: wire.Call[Any]) -> None:
    assert "secret" not in repr(call)


def test_a_call_does_not_show_its_rows() -> None:
    call = wire.upload_rows(
        [wire.rows_to_json([{"email": "secret"}])], auto_verify=False, title=None
    )
    assert "secret" not in repr(call)


# Answers


@pytest.mark.parametrize(
    ("name", "body", "expected"),
    [
        ("upload a file", {"job_id": JOB_ID, "message": "m"}, ("ack", "m")),
        ("upload rows", {"job_id": JOB_ID}, ("ack", "")),
        ("start", {"job_id": JOB_ID, "message": "m"}, ("ack", "m")),
        ("start", {"success": True}, ("ack", "")),
        ("delete", {"job_id": None, "message": "m"}, ("ack", "m")),
    ],
)
def test_an_acknowledgement_names_the_job(
    name: str, body: object, expected: tuple[str, str]
) -> None:
    acknowledgement = Acknowledgement(job_id=JOB_ID, message=expected[1])
    assert CALLS[name]().parse(answer(body)) == acknowledgement


def test_a_status_without_an_id_belongs_to_the_requested_job() -> None:
    snapshot = wire.status(JOB_ID).parse(answer({"status": "ready"}))
    assert snapshot == JobSnapshot(job_id=JOB_ID, status=JobStatus.READY)


def test_a_verdict_without_an_address_belongs_to_the_requested_one() -> None:
    call = wire.verify("a@example.com")
    assert call.parse(answer({"result": "unknown"})) == AddressVerdict(
        email="a@example.com", verdict=Verdict.UNKNOWN
    )
    assert call.parse(answer({"result": "unknown", "email": "b@x"})).email == "b@x"


def test_credits_are_the_remaining_ones() -> None:
    body = {"success": True, "credits_info": {"credits_remaining": 100, "plan": "x"}}
    assert wire.credits_left().parse(answer(body)) == Credits(remaining=100)


@pytest.mark.parametrize("name", ["status", "start", "delete"])
def test_an_answer_about_another_job_is_not_used(name: str) -> None:
    error = misfit(CALLS[name](), STATUS | {"job_id": "other"})
    assert error.path == "job_id"
    assert "was asked about job r374" in str(error)


@pytest.mark.parametrize("job_id", ["", "..", "a/b", "x" * 129])
def test_an_upload_must_be_answered_with_a_job_id(job_id: str) -> None:
    error = misfit(CALLS["upload a file"](), {"job_id": job_id})
    assert error.path == "job_id"
    assert "not the form of a job id" in str(error)


@pytest.mark.parametrize(
    "body", [{"success": True}, {"success": True, "job_id": JOB_ID}, {"data": []}]
)
def test_a_download_answered_with_json_is_a_protocol_error(body: object) -> None:
    error = misfit(wire.download(JOB_ID), body)
    assert f"download of job {JOB_ID} was answered with JSON instead of a CSV file" in str(error)


MISFITS: list[tuple[str, Mapping[str, object], str, str]] = [
    ("upload a file", {}, "job_id", "required field missing"),
    ("upload rows", {"job_id": 7}, "job_id", "7 does not fit"),
    ("start", {"message": 7}, "message", "7 does not fit"),
    ("status", {"job_id": JOB_ID}, "status", "required field missing"),
    ("status", STATUS | {"job_id": 7}, "job_id", "7 does not fit"),
    ("status", STATUS | {"status": "paused"}, "status", "'paused' does not fit"),
    ("status", STATUS | {"status": "a @ b"}, "status", "'a @ b' does not fit"),
    ("status", STATUS | {"status": ["ready"]}, "status", "['ready'] does not fit"),
    ("status", STATUS | {"created_at": "soon"}, "created_at", "'soon' does not fit"),
    ("status", STATUS | {"created_at": 5}, "created_at", "5 does not fit"),
    ("status", STATUS | {"total": True}, "total", "True does not fit"),
    ("status", STATUS | {"total": "x" * 99}, "total", f"'{'x' * 59} does not fit"),
    ("status", STATUS | {"verified": 0.5}, "verified", "0.5 does not fit"),
    ("status", STATUS | {"pending": 10**19}, "pending", "10000000000000000000 does not fit"),
    ("status", STATUS | {"message": {}}, "message", "{} does not fit"),
    ("status", STATUS | {"analysis": "none"}, "analysis", "'none' does not fit"),
    ("status", STATUS | {"analysis": [1]}, "analysis", "[1] does not fit"),
    ("status", STATUS | {"analysis": {}}, "analysis.common_isp", "required field missing"),
    (
        "status",
        STATUS | {"analysis": ANALYSIS | {"spamtrap": "few"}},
        "analysis.spamtrap",
        "'few' does not fit",
    ),
    ("status", STATUS | {"results": 5}, "results", "5 does not fit"),
    (
        "status",
        STATUS | {"results": {**COUNTS, "unknown": [0]}},
        "results.unknown",
        "[0] does not fit",
    ),
    (
        "status",
        STATUS | {"results": {**COUNTS, "unknown": None}},
        "results.unknown",
        "None does not fit",
    ),
    (
        "status",
        STATUS | {"results": {name: 0 for name in COUNTS if name != "unknown"}},
        "results.unknown",
        "required field missing",
    ),
    ("verify", {"email": "a"}, "result", "required field missing"),
    ("verify", {"result": "see page 12"}, "result", "'see page 12' does not fit"),
    ("verify", {"result": "unknown", "role": 5}, "role", "5 does not fit"),
    ("verify", {"result": "unknown", "accept_all": "x"}, "accept_all", "'x' does not fit"),
    ("credits", {}, "credits_info", "required field missing"),
    ("credits", {"credits_info": 5}, "credits_info", "5 does not fit"),
    ("credits", {"credits_info": {}}, "credits_info.credits_remaining", "field missing"),
    (
        "credits",
        {"credits_info": {"credits_remaining": "x"}},
        "credits_info.credits_remaining",
        "'x' does not fit",
    ),
    (
        "credits",
        {"credits_info": {"credits_remaining": None}},
        "credits_info.credits_remaining",
        "None does not fit",
    ),
]


@pytest.mark.parametrize(("name", "body", "path", "problem"), MISFITS)
def test_the_error_for_an_invalid_answer_names_the_field_and_value(
    name: str, body: object, path: str, problem: str
) -> None:
    error = misfit(CALLS[name](), body)
    assert error.path == path
    assert f"at `{path}`: " in str(error)
    assert problem in str(error)


@pytest.mark.parametrize("depth", [10, 100, 500, 900])
def test_a_deeply_nested_value_is_refused(depth: int) -> None:
    body = json.dumps(STATUS).replace('"total": 2', '"total": ' + "[" * depth + "]" * depth)
    assert misfit(wire.status(JOB_ID), body.encode()).path == "total"


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
FIELDS = [
    *STATUS,
    *(field.name for field in attrs.fields(AddressVerdict)),
    "result",
    "credits_info",
]
BODIES = st.one_of(
    st.binary(max_size=200),
    JSON.map(lambda value: json.dumps(value).encode()),
    st.dictionaries(st.sampled_from(FIELDS), JSON).map(
        lambda changes: json.dumps(STATUS | changes).encode()
    ),
    st.dictionaries(st.sampled_from([*ANALYSIS, *COUNTS]), JSON).map(
        lambda counts: json.dumps(STATUS | {"analysis": counts, "results": counts}).encode()
    ),
    JSON.map(lambda value: json.dumps({"credits_info": {"credits_remaining": value}}).encode()),
)


@pytest.mark.parametrize("name", CALLS)
@settings(deadline=None)
@given(body=BODIES, status=st.sampled_from([200, 201, 204, 302, 400, 401, 402, 404, 413, 429, 500]))
def test_any_answer_is_a_model_or_one_of_our_errors(name: str, body: bytes, status: int) -> None:
    expected = (BulkVerifyError, Acknowledgement, JobSnapshot, AddressVerdict, Credits)
    try:
        found = CALLS[name]().parse(answer(body, status))
    except BulkVerifyError as error:
        found = error
    assert isinstance(found, expected)
    if isinstance(found, BulkVerifyError):
        assert found.__context__ is None
        assert len(str(found)) < 1500


# Results or not


@pytest.mark.parametrize(
    ("status", "content_type", "beginning", "expected"),
    [
        (200, "text/csv", b'"Email","Verifi', True),
        (200, "text/csv; charset=utf-8", b"\xef\xbb\xbfEmail,", True),
        (200, "application/octet-stream", b"Email,", True),
        (200, "", b"Email,", True),
        (200, "text/plain", b"", True),
        (206, "text/csv", b"Email,", True),
        (200, "application/json", b"Email,", False),
        (200, "Application/JSON; charset=utf-8", b"Email,", False),
        (200, "text/html", b"Email,", False),
        (200, "text/csv", b'{"success": false}', False),
        (200, "text/csv", b' \n {"success": false}', False),
        (200, "text/csv", b"\xef\xbb\xbf{}", False),
        (200, "text/csv", b"<!DOCTYPE html>", False),
        (200, "text/csv", b"\n<HTML>", False),
        (302, "text/csv", b"Email,", False),
        (400, "text/csv", b"Email,", False),
        (500, "text/csv", b"Email,", False),
    ],
)
def test_a_results_file_is_distinguished_from_other_answers(
    status: int, content_type: str, beginning: bytes, *, expected: bool
) -> None:
    assert wire.is_results(status, content_type, beginning) is expected


def test_every_payload_of_a_status_is_read_by_its_call(payload: Payload) -> None:
    body = payload("status_ready.json")
    assert wire.status(JOB_ID).parse(answer(body)).status is JobStatus.READY

"""The wire contract through the real client: each documented body, and each row of the error table."""

import csv
import json
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

import attrs
import pytest
from aioresponses import aioresponses as Aioresponses  # noqa: N812 - it is a class
from yarl import URL

from bulkverify import (
    AccountRestrictedError,
    Acknowledgement,
    AddressVerdict,
    AlreadyStartedError,
    Analysis,
    AuthenticationError,
    Client,
    Credits,
    InsufficientCreditsError,
    InvalidListError,
    InvalidRequestError,
    Job,
    JobNotFoundError,
    JobSnapshot,
    JobStatus,
    ListLimitError,
    NotReadyError,
    RateLimitedError,
    ResultRow,
    ServiceError,
    Verdict,
    VerdictCounts,
)
from tests.conftest import PAYLOADS, Payload

BASE = "https://api.bouncify.io/v1"
KEY = "contract-key"
JOB_ID = "r374aki32rnatv868nntpxloc7dkilszc3eu"
FAILED_ID = "565ad4aki32rnqweqaefwdaosjc7dksdaksd"
CANCELLED_ID = "asdfcqkahs37e2137wh273yhen283ye0js23"
ADDRESS = "support@bouncify.io"
CONTENT = b"email\nsupport@bouncify.io\n"

Ask: TypeAlias = Callable[[Client, Path], Awaitable[object]]


@attrs.frozen
class Question:
    """A call of the client, and its request in the contract."""

    method: str
    path: str
    ask: Ask
    query: dict[str, str] = attrs.field(factory=dict)
    body: object = None

    @property
    def url(self) -> str:
        # The key is added below the layer that aioresponses replaces; test_transport.py checks it.
        return str(URL(f"{BASE}/{self.path}").with_query(self.query))


async def all_rows(client: Client, _: Path) -> list[ResultRow]:
    return [row async for row in client.rows(JOB_ID, verdicts=["unknown"])]


UNKNOWN_ONLY = {"filterResult": ["unknown"]}
QUESTIONS = {
    "upload": Question("POST", "bulk", lambda client, _: client.upload(CONTENT)),
    "upload rows": Question(
        "POST",
        "bulk",
        lambda client, _: client.upload([{"email": ADDRESS, "age": 7}], auto_verify=True),
        body={"emails": [{"email": ADDRESS, "age": 7}], "auto_verify": "true"},
    ),
    "status": Question("GET", f"bulk/{JOB_ID}", lambda client, _: client.status(JOB_ID)),
    "status of a failed": Question(
        "GET", f"bulk/{FAILED_ID}", lambda client, _: client.status(FAILED_ID)
    ),
    "status of a cancelled": Question(
        "GET", f"bulk/{CANCELLED_ID}", lambda client, _: client.status(CANCELLED_ID)
    ),
    "start": Question(
        "PATCH", f"bulk/{JOB_ID}", lambda client, _: client.start(JOB_ID), body={"action": "start"}
    ),
    "download": Question(
        "POST",
        "download",
        lambda client, folder: client.download(JOB_ID, folder / "out", verdicts=["unknown"]),
        query={"jobId": JOB_ID},
        body=UNKNOWN_ONLY,
    ),
    "rows": Question("POST", "download", all_rows, query={"jobId": JOB_ID}, body=UNKNOWN_ONLY),
    "delete": Question("DELETE", f"bulk/{JOB_ID}", lambda client, _: client.delete(JOB_ID)),
    "verify": Question(
        "GET",
        "verify",
        lambda client, _: client.verify(ADDRESS, timeout=30),
        query={"email": ADDRESS, "timeout": "30000"},
    ),
    "credits": Question("GET", "info", lambda client, _: client.credits()),
}
WITH_A_JOB_ID = ["status", "start", "download", "rows", "delete"]
DOWNLOADS = ["download", "rows"]
UPLOADS = ["upload", "upload rows"]

MORNING = datetime(2021, 8, 13, 9, 39, 37, tzinfo=UTC)
ANALYSIS = Analysis(common_isp=1, role_based=1, disposable=0, spamtrap=0, syntax_error=0)
COUNTS = VerdictCounts(deliverable=1, undeliverable=0, accept_all=1, unknown=0)


def snapshot(status: str, job_id: str = JOB_ID, **fields: Any) -> JobSnapshot:  # noqa: ANN401 - values of any field
    values: dict[str, Any] = {"created_at": MORNING, "message": "…"} | fields
    return JobSnapshot(job_id=job_id, status=JobStatus(status), **values)


YES: dict[str, tuple[str, Any]] = {
    "credits.json": ("credits", Credits(remaining=100)),
    "deleted.json": ("delete", Acknowledgement(job_id=JOB_ID, message="…")),
    "started.json": ("start", Acknowledgement(job_id=JOB_ID, message="…")),
    "status_cancelled.json": (
        "status of a cancelled",
        snapshot(
            "cancelled",
            CANCELLED_ID,
            created_at=datetime(2021, 8, 5, 12, 7, 21, tzinfo=UTC),
            total=4,
        ),
    ),
    "status_completed.json": (
        "status",
        snapshot("completed", total=2, verified=2, pending=0, analysis=ANALYSIS, results=COUNTS),
    ),
    "status_failed.json": (
        "status of a failed",
        snapshot(
            "failed", FAILED_ID, created_at=datetime(2021, 8, 3, 15, 35, 32, tzinfo=UTC), total=0
        ),
    ),
    "status_preparing.json": ("status", snapshot("preparing")),
    "status_ready.json": ("status", snapshot("ready", total=2, analysis=ANALYSIS)),
    "status_verifying.json": (
        "status",
        snapshot("verifying", total=2, verified=1, pending=1, analysis=ANALYSIS, results=COUNTS),
    ),
    "verify_one.json": (
        "verify",
        AddressVerdict(
            email=ADDRESS,
            verdict=Verdict.DELIVERABLE,
            user="support",
            domain="bouncify.io",
            accept_all=None,
            role=True,
            free_email=False,
            disposable=False,
            spamtrap=False,
            message="…",
        ),
    ),
}
UPLOADED = ["uploaded.json", "uploaded_auto_verify.json"]
RESULTS = {
    "results.csv": [
        ResultRow(
            email="info@sample.com",
            verdict=Verdict.DELIVERABLE,
            syntax_error=False,
            common_isp=True,
            role_based=False,
            disposable=False,
            spamtrap=False,
            verified_at=datetime(2021, 9, 13, 6, 49, 39, 280_000, tzinfo=UTC),
        ),
        ResultRow(
            email="support@sample.in",
            verdict=Verdict.ACCEPT_ALL,
            syntax_error=False,
            common_isp=False,
            role_based=True,
            disposable=True,
            spamtrap=False,
            verified_at=datetime(2021, 9, 13, 6, 49, 39, 282_000, tzinfo=UTC),
        ),
    ],
    "results_validto.csv": [
        ResultRow(
            email="a@sample.com",
            verdict=Verdict.DELIVERABLE,
            syntax_error=False,
            common_isp=True,
            role_based=False,
            disposable=False,
            spamtrap=False,
            verified_at=datetime(2021, 9, 21, 9, 52, 19, 734_000, tzinfo=UTC),
        ),
        ResultRow(
            email="info@sample.in",
            verdict=Verdict.ACCEPT_ALL,
            syntax_error=False,
            common_isp=False,
            role_based=True,
            disposable=False,
            spamtrap=False,
            verified_at=datetime(2021, 9, 21, 9, 52, 19, 61_000, tzinfo=UTC),
        ),
    ],
}

NO: dict[str, tuple[list[str], int, type[ServiceError]]] = {
    "error_400_job_not_found.json": (WITH_A_JOB_ID, 400, JobNotFoundError),
    "error_400_job_not_found_invalid_id.json": (WITH_A_JOB_ID, 400, JobNotFoundError),
    "error_400_max_lists.json": (UPLOADS, 400, ListLimitError),
    "error_401_invalid_key.json": (list(QUESTIONS), 401, AuthenticationError),
    "error_401_invalid_key_string_false.json": (list(QUESTIONS), 401, AuthenticationError),
    "error_402_insufficient_credits.json": (["start", "verify"], 402, InsufficientCreditsError),
    "error_429_too_many_requests.json": (list(QUESTIONS), 429, RateLimitedError),
}

# Texts that the contract shortens are completed here with an example.
TABLE: list[tuple[list[str], int, str, type[ServiceError]]] = [
    (list(QUESTIONS), 401, "Invalid API Key", AuthenticationError),
    (list(QUESTIONS), 429, "Too Many Requests", RateLimitedError),
    (WITH_A_JOB_ID, 400, "Job not found. Invalid jobId", JobNotFoundError),
    (WITH_A_JOB_ID, 400, "Job not found", JobNotFoundError),
    (UPLOADS, 400, "Invalid file data", InvalidListError),
    (UPLOADS, 400, "The maximum number of lists has been reached.", ListLimitError),
    (
        [*UPLOADS, "start"],
        400,
        "The maximum number of active verification lists has been reached.",
        ListLimitError,
    ),
    (["start"], 400, "Verify restricted", AccountRestrictedError),
    (["start"], 400, "Verification has already started.", AlreadyStartedError),
    (
        ["start"],
        400,
        "Job is not ready for verification, please call the /status endpoint to know more",
        NotReadyError,
    ),
    (
        ["start"],
        402,
        "Insufficient verification credits. Please order a plan.",
        InsufficientCreditsError,
    ),
    (DOWNLOADS, 400, "DOWNLOAD-RESTRICTED", AccountRestrictedError),
    (
        DOWNLOADS,
        400,
        "Invalid filterResult. Please provide correct filterResult options",
        InvalidRequestError,
    ),
    (DOWNLOADS, 400, "Job is being verified, please wait until it completes.", NotReadyError),
    (
        DOWNLOADS,
        400,
        "Job is ready for verification, please start verification first.",
        NotReadyError,
    ),
    (DOWNLOADS, 400, "Job is being prepared for verification, please wait.", NotReadyError),
    (
        DOWNLOADS,
        400,
        "List cannot be downloaded, The uploaded list contains invalid data.",
        InvalidListError,
    ),
    (["delete"], 400, "List is being processed, and cannot be deleted.", NotReadyError),
    (["delete"], 400, "List not found, may be already deleted.", JobNotFoundError),
    (["verify"], 400, "Invalid request. Required email.", InvalidRequestError),
    (["verify"], 402, "Insufficient credits", InsufficientCreditsError),
]


def answer(mocked: Aioresponses, question: Question, body: object, status: int = 200) -> None:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    kind = "text/csv" if raw.startswith(b'"') else "application/json"
    mocked.add(question.url, question.method, status=status, body=raw, content_type=kind)


def a_client() -> Client:
    return Client(KEY, attempts=1)


async def refused(question: Question, folder: Path) -> ServiceError:
    async with a_client() as client:
        with pytest.raises(ServiceError) as info:
            await question.ask(client, folder)
    return info.value


def test_every_documented_body_is_tested() -> None:
    tested = {*YES, *UPLOADED, *RESULTS, *NO}
    assert tested == {path.name for path in PAYLOADS.iterdir()}


@pytest.mark.asyncio
@pytest.mark.parametrize("name", YES)
async def test_a_documented_success_becomes_its_model(
    mocked: Aioresponses, payload: Payload, tmp_path: Path, name: str
) -> None:
    asked, expected = YES[name]
    body = payload(name)
    if hasattr(expected, "message"):
        expected = attrs.evolve(expected, message=body["message"])
    answer(mocked, QUESTIONS[asked], body)
    async with a_client() as client:
        assert await QUESTIONS[asked].ask(client, tmp_path) == expected


@pytest.mark.asyncio
@pytest.mark.parametrize("asked", UPLOADS)
@pytest.mark.parametrize("status", [200, 201])
@pytest.mark.parametrize("name", UPLOADED)
async def test_an_upload_returns_the_job_id(  # noqa: PLR0917 - fixtures
    mocked: Aioresponses, payload: Payload, tmp_path: Path, name: str, status: int, asked: str
) -> None:
    answer(mocked, QUESTIONS[asked], payload(name), status)
    async with a_client() as client:
        job = await QUESTIONS[asked].ask(client, tmp_path)
        assert isinstance(job, Job)
        assert (job.id, job.snapshot, job.client) == (JOB_ID, None, client)
        assert client.job(JOB_ID) is job


@pytest.mark.asyncio
@pytest.mark.parametrize("name", RESULTS)
async def test_results_are_read_as_rows(mocked: Aioresponses, payload: Payload, name: str) -> None:
    answer(mocked, QUESTIONS["status"], payload("status_completed.json"))
    answer(mocked, QUESTIONS["rows"], payload(name))
    async with a_client() as client:
        assert [row async for row in client.rows(JOB_ID)] == RESULTS[name]


@pytest.mark.asyncio
@pytest.mark.parametrize("name", RESULTS)
async def test_results_are_saved_unchanged(
    mocked: Aioresponses, payload: Payload, tmp_path: Path, name: str
) -> None:
    answer(mocked, QUESTIONS["status"], payload("status_completed.json"))
    answer(mocked, QUESTIONS["download"], payload(name))
    async with a_client() as client:
        assert await client.download(JOB_ID, tmp_path / name) == len(RESULTS[name])
    assert (tmp_path / name).read_bytes() == payload(name)


@pytest.mark.asyncio
@pytest.mark.parametrize("name", RESULTS)
async def test_a_last_row_without_a_line_end_is_a_row(
    mocked: Aioresponses, payload: Payload, tmp_path: Path, name: str
) -> None:
    for asked in ("rows", "download"):
        answer(mocked, QUESTIONS["status"], payload("status_completed.json"))
        answer(mocked, QUESTIONS[asked], payload(name).rstrip())
    async with a_client() as client:
        assert [row async for row in client.rows(JOB_ID)] == RESULTS[name]
        assert await client.download(JOB_ID, tmp_path / name) == len(RESULTS[name])


@pytest.fixture
def narrow_cells() -> Iterator[None]:
    before = csv.field_size_limit(10)
    yield
    csv.field_size_limit(before)


@pytest.mark.asyncio
@pytest.mark.usefixtures("narrow_cells")
async def test_results_that_csv_cannot_read_are_still_saved(
    mocked: Aioresponses, payload: Payload, tmp_path: Path
) -> None:
    answer(mocked, QUESTIONS["status"], payload("status_completed.json"))
    answer(mocked, QUESTIONS["download"], payload("results.csv"))
    async with a_client() as client:
        await client.download(JOB_ID, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == payload("results.csv")


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("name", "asked"), [(name, asked) for name, (calls, _, _) in NO.items() for asked in calls]
)
async def test_a_documented_refusal_raises_its_error(
    mocked: Aioresponses, payload: Payload, tmp_path: Path, name: str, asked: str
) -> None:
    _, status, expected = NO[name]
    body = payload(name)
    answer(mocked, QUESTIONS[asked], body, status)
    error = await refused(QUESTIONS[asked], tmp_path)
    assert type(error) is expected
    assert (error.status, error.text) == (status, body.get("result") or body["message"])


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "body", [{"result": "", "success": False}, {"success": "false", "message": ""}]
)
@pytest.mark.parametrize(
    ("asked", "status", "text", "expected"),
    [(asked, status, text, kind) for calls, status, text, kind in TABLE for asked in calls],
)
async def test_every_row_of_the_error_table_raises_its_error(  # noqa: PLR0917 - a row of the table
    mocked: Aioresponses,
    tmp_path: Path,
    asked: str,
    status: int,
    text: str,
    expected: type[ServiceError],
    body: dict[str, object],
) -> None:
    said = {name: text if value == "" else value for name, value in body.items()}
    answer(mocked, QUESTIONS[asked], said, status)
    error = await refused(QUESTIONS[asked], tmp_path)
    assert type(error) is expected
    assert (error.status, error.text) == (status, text)
    assert text in str(error)
    assert KEY not in str(error)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.asyncio
@pytest.mark.parametrize("asked", QUESTIONS)
async def test_each_call_sends_the_request_of_the_contract(
    mocked: Aioresponses, tmp_path: Path, asked: str
) -> None:
    question = QUESTIONS[asked]
    answer(mocked, question, {"success": False, "result": "Invalid API Key"}, 401)
    await refused(question, tmp_path)
    ((method, url),) = mocked.requests
    assert (method, url.with_query(None)) == (question.method, URL(f"{BASE}/{question.path}"))
    assert dict(url.query) == question.query
    ((request,),) = mocked.requests.values()
    assert request.kwargs["allow_redirects"] is False
    if asked != "upload":
        sent = request.kwargs["data"]
        assert (json.loads(sent.getvalue()) if sent else None) == question.body


@pytest.mark.asyncio
async def test_the_other_vendor_has_the_same_protocol(
    mocked: Aioresponses, payload: Payload
) -> None:
    mocked.get("https://api.validto.com/v1/info", payload=payload("credits.json"))
    async with Client(KEY, base_url="https://api.validto.com/v1/") as client:
        assert await client.credits() == Credits(remaining=100)

"""Every refusal of the service."""

from collections.abc import AsyncIterator

import pytest

from bulkverify.limits import LARGEST_LIST_BYTES

from .caller import Caller, Serve

pytestmark = pytest.mark.asyncio

LIST = "email\na@example.com\nb@example.com\n"
UNKNOWN = "r374aki32rnatv868nntpxloc7dkilszc3eu"

START_NOT_READY = (
    "Job is not ready for verification, please call the /status endpoint and start verification once "
    "the status of the job turns to ready."
)
READY_TO_START = (
    "Job is ready for verification, please start verification and download your results once list "
    "verified."
)
STARTED = "Verification has already started."
UNUSABLE = "Unable to process your job, The uploaded list contains invalid data"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/bulk"),
        ("GET", f"/bulk/{UNKNOWN}"),
        ("PATCH", "/bulk"),
        ("DELETE", "/bulk"),
        ("POST", "/download"),
        ("GET", "/verify"),
        ("GET", "/info"),
    ],
)
@pytest.mark.parametrize("key", ["", "wrong"])
async def test_no_endpoint_accepts_another_key(
    caller: Caller, method: str, path: str, key: str
) -> None:
    answer = await caller.ask(method, path, {"apikey": key})
    assert answer.status == 401
    match path:
        case "/verify":
            assert answer.body == {"result": "Invalid API Key", "success": "false"}
        case "/info":
            assert answer.body == {"result": "Invalid API key", "success": False}
        case _:
            assert answer.body == {"result": "Invalid API Key", "success": False}


@pytest.mark.parametrize("endpoint", ["GET", "PATCH", "download"])
@pytest.mark.parametrize(
    ("job_id", "text"),
    [
        (UNKNOWN, "Job not found"),
        (UNKNOWN.upper(), "Job not found"),
        (UNKNOWN[1:], "Job not found. Invalid jobId"),
        (UNKNOWN + "x", "Job not found. Invalid jobId"),
        ("-" * 36, "Job not found. Invalid jobId"),
        ("", "Job not found. Invalid jobId"),
    ],
)
async def test_a_list_must_be_known(caller: Caller, endpoint: str, job_id: str, text: str) -> None:
    if endpoint == "download":
        answer = await caller.download(job_id)
    else:
        answer = await caller.ask(endpoint, "/bulk", {"job_id": job_id}, {"action": "start"})
    assert answer.refusal == (400, text)
    assert answer.reason == "BadRequest"
    assert answer.body == {"result": text, "success": False}


@pytest.mark.parametrize(
    ("job_id", "text"),
    [
        (UNKNOWN, "List not found, may be already deleted."),
        ("x", "Job not found. Invalid jobId"),
    ],
)
async def test_a_list_to_delete_must_be_known(caller: Caller, job_id: str, text: str) -> None:
    assert (await caller.delete(job_id)).refusal == (400, text)


@pytest.mark.parametrize(
    ("status", "code", "text"),
    [
        ("preparing", 400, START_NOT_READY),
        ("verifying", 400, STARTED),
        ("completed", 400, STARTED),
        ("failed", 400, UNUSABLE),
        ("cancelled", 400, "Job is cancelled"),
    ],
)
async def test_only_a_ready_list_can_be_started(
    caller: Caller, status: str, code: int, text: str
) -> None:
    assert (await caller.start(await caller.bring(LIST, status))).refusal == (code, text)


async def test_a_list_cannot_be_started_again_while_it_still_shows_ready(caller: Caller) -> None:
    job_id = await caller.bring(LIST, "ready")
    await caller.start(job_id)
    assert (await caller.status(job_id))["status"] == "ready"
    assert (await caller.start(job_id)).refusal == (400, STARTED)
    assert caller.sandbox.ledger.starts == [job_id]


@pytest.mark.parametrize("body", [b"", b"{}", b'{"action": "stop"}', b"[]", b"{", b"\xff"])
async def test_a_start_needs_its_action(caller: Caller, body: bytes) -> None:
    job_id = await caller.bring(LIST, "ready")
    answer = await caller.ask("PATCH", f"/bulk/{job_id}", data=body)
    assert answer.refusal == (400, "Invalid request. Required action.")


async def test_a_start_needs_credits_for_all_of_the_list(serve: Serve) -> None:
    caller = await serve(credits=1)
    job_id = await caller.bring(LIST, "ready")
    text = "Insufficient verification credits. Please order a plan."
    assert (await caller.start(job_id)).refusal == (402, text)
    assert caller.sandbox.credits == 1
    caller.sandbox.credits = 2
    assert (await caller.start(job_id)).status == 200
    assert caller.sandbox.credits == 0


async def test_an_account_under_review_starts_and_downloads_nothing(caller: Caller) -> None:
    ready, completed = [await caller.bring(LIST, status) for status in ("ready", "completed")]
    caller.sandbox.restricted = True
    assert caller.sandbox.restricted
    assert (await caller.start(ready)).refusal == (400, "Verify restricted")
    assert (await caller.download(completed)).refusal == (400, "DOWNLOAD-RESTRICTED")
    caller.sandbox.restricted = False
    assert (await caller.start(ready)).status == 200
    assert (await caller.download(completed)).status == 200


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (
            "preparing",
            "Job is being prepared for verification, please start verifying and then download you result.",
        ),
        (
            "ready",
            READY_TO_START,
        ),
        ("verifying", "Job is being verified, please wait until it completes."),
        ("failed", "List cannot be downloaded, The uploaded list contains invalid data."),
        ("cancelled", "Job is cancelled"),
    ],
)
async def test_only_a_completed_list_can_be_downloaded(
    caller: Caller, status: str, text: str
) -> None:
    assert (await caller.download(await caller.bring(LIST, status))).refusal == (400, text)
    assert caller.sandbox.ledger.downloads == []


@pytest.mark.parametrize(
    "body",
    [
        b'{"filterResult": ["accept-all"]}',
        b'{"filterResult": []}',
        b'{"filterResult": "deliverable"}',
        b'{"filterResult": [["deliverable"]]}',
        b'{"filterResult": null}',
        b"deliverable",
        b"[" * 100_000,
    ],
)
async def test_a_filter_must_be_made_of_verdicts(caller: Caller, body: bytes) -> None:
    job_id = await caller.bring(LIST, "completed")
    answer = await caller.ask("POST", "/download", {"jobId": job_id}, data=body)
    text = "Invalid filterResult. Please provide correct filterResult options"
    assert answer.refusal == (400, text)


@pytest.mark.parametrize("status", ["preparing", "verifying", "failed", "cancelled"])
async def test_a_list_in_progress_cannot_be_deleted(caller: Caller, status: str) -> None:
    job_id = await caller.bring(LIST, status)
    text = "List is being processed, and cannot be deleted."
    assert (await caller.delete(job_id)).refusal == (400, text)
    assert (await caller.status(job_id))["status"] == status


async def test_a_started_list_cannot_be_deleted_while_it_still_shows_ready(caller: Caller) -> None:
    job_id = await caller.bring(LIST, "ready")
    await caller.start(job_id)
    assert (await caller.delete(job_id)).status == 400


@pytest.mark.parametrize("status", ["ready", "completed"])
async def test_a_deleted_list_is_gone(caller: Caller, status: str) -> None:
    job_id = await caller.bring(LIST, status)
    assert (await caller.delete(job_id)).status == 200
    assert (await caller.delete(job_id)).refusal[1] == "List not found, may be already deleted."
    assert (await caller.ask("GET", f"/bulk/{job_id}")).refusal[1] == "Job not found"
    assert caller.sandbox.ledger.deletes == [job_id]


MULTIPART = {"Content-Type": "multipart/form-data; boundary=b"}
JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("headers", "content"),
    [
        ({"Content-Type": "text/csv"}, b"a@example.com\n"),
        ({"Content-Type": "multipart/form-data"}, b"a@example.com\n"),
        (MULTIPART, b"a@example.com\n"),
        (MULTIPART, b""),
        (MULTIPART, b"--b\r\nbroken header\r\n\r\na@example.com\r\n--b--\r\n"),
        (MULTIPART, b'--b\r\nContent-Disposition: form-data; name="list"\r\n\r\na@x.com\r\n--b--'),
        (
            MULTIPART,
            b"--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\nx\r\n--c--\r\n--b--",
        ),
        (JSON, b""),
        (JSON, b"{"),
        (JSON, b"[]"),
        (JSON, b"[" * 100_000),
        (JSON, b'{"emails": "a@example.com"}'),
        (JSON, b'{"emails": []}'),
        (JSON, b'{"emails": ["a@example.com"]}'),
        (JSON, b'{"emails": [{"email": "%s@example.com"}]}' % (b"a" * 200_000)),
        (JSON, b'{"emails": [{"email": "a@example.com"}]}' + b" " * LARGEST_LIST_BYTES),
    ],
)
async def test_an_upload_that_is_no_list_is_refused(
    caller: Caller, headers: dict[str, str], content: bytes
) -> None:
    answer = await caller.ask("POST", "/bulk", data=chunked(content), headers=headers)
    assert answer.refusal == (400, "Invalid file data")
    assert caller.sandbox.ledger.uploads == []


async def chunked(content: bytes) -> AsyncIterator[bytes]:
    yield content


@pytest.mark.parametrize(
    "content",
    [b"", b"\n\n", b"\xff\xfe\xfa", b"a@example.com\0", b"x" * (LARGEST_LIST_BYTES + 100_000)],
)
async def test_a_file_that_is_no_list_is_refused(caller: Caller, content: bytes) -> None:
    assert (await caller.send_file(content)).refusal == (400, "Invalid file data")


@pytest.mark.parametrize("address", [None, "", " ", "nobody", "a@b", "a b@example.com", "a@x..com"])
async def test_a_malformed_address_is_refused_and_costs_nothing(
    serve: Serve, address: str | None
) -> None:
    caller = await serve(credits=1)
    answer = await caller.ask("GET", "/verify", {} if address is None else {"email": address})
    assert (answer.status, answer.reason) == (400, "BadRequest")
    assert answer.body == {"result": "Invalid request. Required email.", "success": False}
    assert caller.sandbox.credits == 1
    assert caller.sandbox.ledger.verified_addresses == []


async def test_a_single_address_must_be_paid(serve: Serve) -> None:
    caller = await serve(credits=0)
    answer = await caller.ask("GET", "/verify", {"email": "a@example.com"})
    assert answer.status == 402
    assert answer.body == {"result": "Insufficient verification credits", "success": "false"}


async def test_too_many_single_addresses_are_throttled_in_other_words(serve: Serve) -> None:
    caller = await serve(requests_per_minute=0)
    answer = await caller.ask("GET", "/verify", {"email": "a@example.com"})
    assert answer.status == 429
    assert answer.body == {"result": "Too many requests", "success": "false"}


async def test_other_paths_and_methods_are_refused(caller: Caller) -> None:
    assert (await caller.ask("GET", "/lists")).status == 404
    assert (await caller.ask("PUT", "/bulk")).status == 405
    assert (await caller.ask("HEAD", "/info")).status == 405

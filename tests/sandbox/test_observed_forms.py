"""The request forms of public programs that use the service, byte by byte, and what they read in the answers.

The programs are a PHP mailing application and two PHP sites (curl, Guzzle), five Node services (axios, fetch),
two Python programs (httpx, requests), a C# site, a WordPress plugin, pages in browsers, and hosted integrations.
The addresses, keys and boundaries are ours.
"""

import asyncio
from urllib.parse import urlsplit

import pytest

from bulkverify.sandbox import Fault, FaultKind

from .caller import Caller, Serve
from .raw import compact, file_part, form, in_chunks, receive, send

pytestmark = pytest.mark.asyncio

CURL = "Accept: */*\r\nAccept-Encoding: deflate, gzip, br, zstd"
AXIOS = (
    "Accept: application/json, text/plain, */*\r\nUser-Agent: axios/1.7.7\r\n"
    "Accept-Encoding: gzip, compress, deflate, br"
)
HTTPX = (
    "Accept: */*\r\nAccept-Encoding: gzip, deflate\r\nConnection: keep-alive\r\n"
    "User-Agent: python-httpx/0.27.2"
)
JSON = "Content-Type: application/json"
ALL_FOUR = {"filterResult": ["deliverable", "undeliverable", "accept_all", "unknown"]}
TWO = ("deliverable@example.com", "accept-all@example.com")
READY_TO_START = (
    "Job is ready for verification, please start verification and download your results once list "
    "verified."
)


async def completed(caller: Caller) -> str:
    return await caller.bring("\n".join(("Email", *TWO)), "completed")


async def test_a_mailing_application_in_php_sends_a_text_file_and_downloads_without_a_body(
    serve: Serve,
) -> None:
    sandbox = (await serve(total_while_preparing=True)).sandbox
    boundary = "------------------------d74496d66958873e"
    addresses = "\n".join((*TWO, "unknown@example.com"))  # no header, no last line end
    uploaded = await send(
        sandbox,
        "POST /v1/bulk?apikey=sandbox",
        f"{CURL}\r\nContent-Type: multipart/form-data; boundary={boundary}",
        form(boundary, file_part("5f4dcc3b-65a1.txt", addresses, "text/plain")),
    )
    assert uploaded.status in {200, 201}
    path = f"/v1/bulk/{uploaded.body['job_id']}?apikey=sandbox"
    seen = (await send(sandbox, f"GET {path}", CURL)).body
    assert (seen["status"], seen["total"], seen.get("verified", 0)) == ("preparing", 3, 0)
    sandbox.advance(3)
    assert (await send(sandbox, f"GET {path}", CURL)).body["status"] == "ready"
    headers = f"Accept: application/json\r\nAccept-Encoding: deflate, gzip, br, zstd\r\n{JSON}"
    started = await send(sandbox, f"PATCH {path}", headers, b'{"action":"start"}')
    assert (started.status, started.body["success"]) == (200, True)
    sandbox.advance(100)
    job_id = uploaded.body["job_id"]
    downloaded = await send(sandbox, f"POST /v1/download?jobId={job_id}&apikey=sandbox", CURL)
    assert downloaded.status == 200
    assert {row["col0"]: row["Verification Result"] for row in downloaded.rows} == {
        "deliverable@example.com": "deliverable",
        "accept-all@example.com": "accept-all",
        "unknown@example.com": "unknown",
    }


@pytest.mark.parametrize("address", ["deliverable", "undeliverable", "accept-all", "unknown"])
@pytest.mark.parametrize("vendor", ["bouncify", "validto"])
async def test_the_same_application_knows_every_result_of_one_address(
    serve: Serve, vendor: str, address: str
) -> None:
    sandbox = (await serve(vendor=vendor)).sandbox
    answer = await send(sandbox, f"GET /v1/verify?apikey=sandbox&email={address}@example.com", CURL)
    assert answer.status == 200
    known = {"deliverable", "unknown", "accept-all", "accept all", "undeliverable"}
    assert answer.body["result"] in known


async def test_curl_asks_before_it_sends_a_large_file(caller: Caller) -> None:
    content = "".join(f"u{number}@example.com\n" for number in range(60_000))
    body = form("b", file_part("list.txt", content, "text/plain"))
    assert len(body) > 1024 * 1024
    address = urlsplit(caller.sandbox.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(
        (
            f"POST /v1/bulk?apikey=sandbox HTTP/1.1\r\nHost: {address.netloc}\r\n{CURL}\r\n"
            f"Content-Length: {len(body)}\r\nContent-Type: multipart/form-data; boundary=b\r\n"
            "Expect: 100-continue\r\n\r\n"
        ).encode()
    )
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(body)
    assert (await receive(reader)).status == 201
    writer.close()
    await writer.wait_closed()
    assert caller.sandbox.ledger.uploads[0].total == 60_000


async def test_a_site_in_php_expects_201_and_deletes_its_list_after_the_download(
    caller: Caller,
) -> None:
    sandbox = caller.sandbox
    uploaded = await send(
        sandbox,
        "POST /v1/bulk?apikey=sandbox",
        f"{CURL}\r\nContent-Type: multipart/form-data; boundary=b",
        form("b", file_part("contacts.csv", "\n".join(TWO), "application/octet-stream")),
    )
    assert uploaded.status == 201
    job_id = uploaded.body["job_id"]
    path = f"/v1/bulk/{job_id}?apikey=sandbox"
    early = await send(sandbox, f"PATCH {path}", f"{CURL}\r\n{JSON}", b'{"action":"start"}')
    assert early.status == 400
    assert early.body["result"].startswith("Job is not ready for verification")
    sandbox.advance(10)  # it waits so long
    started = await send(sandbox, f"PATCH {path}", f"{CURL}\r\n{JSON}", b'{"action":"start"}')
    assert started.body == {
        "job_id": job_id,
        "success": True,
        "message": "Job verification will be attempted shortly. Call /status endpoint to know the status of the Job",
    }
    sandbox.advance(100)
    status = (await send(sandbox, f"GET {path}", CURL)).body
    assert status["message"].startswith("Verification completed successfully.")
    assert (status["results"]["deliverable"], status["results"]["accept_all"]) == (1, 1)
    downloaded = await send(sandbox, f"POST /v1/download?jobId={job_id}&apikey=sandbox", CURL)
    assert downloaded.content.startswith(b'"col0","Verification Result","Syntax Error",')
    assert (await send(sandbox, f"DELETE {path}", CURL)).body["message"] == "List will be deleted"


async def test_a_service_in_node_starts_a_chunked_file_without_an_ending_by_the_query(
    caller: Caller,
) -> None:
    body = form(
        "--------------------------058726",
        file_part("list.csv-1732586400000", "\n".join(TWO), "application/octet-stream"),
    )
    address = urlsplit(caller.sandbox.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    head = (
        f"POST /v1/bulk?apikey=sandbox&auto_verify=true HTTP/1.1\r\n{AXIOS}\r\nContent-Type: multipart/form-data; "
        f"boundary=--------------------------058726\r\nHost: {address.netloc}\r\nConnection: close\r\n"
        "Transfer-Encoding: chunked\r\n\r\n"
    )
    writer.write(head.encode() + in_chunks(body))
    uploaded = await receive(reader)
    writer.close()
    await writer.wait_closed()
    assert uploaded.body["message"].endswith("starts verification shortly")
    caller.sandbox.advance(100)
    job_id = uploaded.body["job_id"]
    status = await send(caller.sandbox, f"GET /v1/bulk/{job_id}?apikey=sandbox", AXIOS)
    assert status.body["status"] == "completed"
    url = f"/v1/download?jobId={job_id}&apikey=sandbox"
    whole = await send(caller.sandbox, f"POST {url}", f"{AXIOS}\r\n{JSON}", compact(ALL_FOUR))
    assert [row["Verification Result"] for row in whole.rows] == ["deliverable", "accept-all"]
    only = compact({"filterResult": ["accept_all"]})
    part = await send(caller.sandbox, f"POST {url}", f"{AXIOS}\r\n{JSON}", only)
    assert [row["col0"] for row in part.rows] == ["accept-all@example.com"]


async def test_axios_sends_a_content_type_and_no_body_where_a_program_names_its_body_wrongly(
    caller: Caller,
) -> None:
    job_id = await completed(caller)
    headers = f"{AXIOS}\r\nContent-Type: application/x-www-form-urlencoded"
    url = f"/v1/download?jobId={job_id}&apikey=sandbox"
    answer = await send(caller.sandbox, f"POST {url}", headers, b"")
    assert [row["Email"] for row in answer.rows] == list(TWO)


@pytest.mark.parametrize("auto_verify", [True, False])
async def test_scripts_in_node_and_integrations_send_json_with_a_boolean(
    caller: Caller, *, auto_verify: bool
) -> None:
    rows = [{"email": address} for address in TWO]
    body = compact({"auto_verify": auto_verify, "emails": rows, "title": "November"})
    answer = await send(caller.sandbox, "POST /v1/bulk?apikey=sandbox", f"{AXIOS}\r\n{JSON}", body)
    caller.sandbox.advance(100)
    status = await caller.status(answer.body["job_id"])
    assert status["status"] == ("completed" if auto_verify else "ready")
    assert caller.sandbox.ledger.uploads[0].title == "November"


async def test_a_script_in_node_reads_the_columns_of_validto_by_place(serve: Serve) -> None:
    caller = await serve(vendor="validto")
    url = f"/v1/download?jobId={await completed(caller)}&apikey=sandbox"
    headers = f"Accept: text/plain\r\n{JSON}"
    answer = await send(caller.sandbox, f"POST {url}", headers, compact(ALL_FOUR))
    cells = [line.replace('"', "").split(",") for line in answer.content.decode().splitlines()]
    assert cells[0][:3] == ["Email", "Verification Result", "Verified At"]
    assert [row[:2] for row in cells[1:]] == [
        ["deliverable@example.com", "deliverable"],
        ["accept-all@example.com", "accept-all"],
    ]
    assert all(row[2].endswith("Z") for row in cells[1:])


@pytest.mark.parametrize(
    ("status", "text"),
    [
        ("verifying", "Job is being verified, please wait until it completes."),
        ("ready", READY_TO_START),
    ],
)
async def test_a_script_in_node_looks_for_texts_in_refusals(
    caller: Caller, status: str, text: str
) -> None:
    job_id = await caller.bring("\n".join(TWO), status)
    headers = f"Accept: text/plain\r\n{JSON}"
    url = f"/v1/download?jobId={job_id}&apikey=sandbox"
    answer = await send(caller.sandbox, f"POST {url}", headers, compact(ALL_FOUR))
    assert (answer.status, answer.reason) == (400, "BadRequest")
    assert answer.body == {"result": text, "success": False}
    unknown = await send(
        caller.sandbox, "GET /v1/bulk/undefined?apikey=sandbox", "Accept: application/json"
    )
    assert unknown.body == {"result": "Job not found. Invalid jobId", "success": False}


async def test_a_program_in_python_puts_the_job_id_into_the_query(caller: Caller) -> None:
    body = compact({"auto_verify": True, "emails": [{"email": address} for address in TWO]})
    uploaded = await send(
        caller.sandbox, "POST /v1/bulk?apikey=sandbox", f"{HTTPX}\r\n{JSON}", body
    )
    assert uploaded.status in {200, 201}
    job_id = uploaded.body["job_id"]
    seen = []
    for seconds in (0, 3, 5, 100):
        caller.sandbox.advance(seconds)
        poll = await send(caller.sandbox, f"GET /v1/bulk?apikey=sandbox&job_id={job_id}", HTTPX)
        seen.append(poll.body["status"])
    assert seen == ["preparing", "ready", "verifying", "completed"]
    downloaded = await send(
        caller.sandbox,
        f"POST /v1/download?apikey=sandbox&jobId={job_id}",
        f"{HTTPX}\r\n{JSON}",
        compact(ALL_FOUR),
    )
    assert [(row["email"], row["Role"]) for row in downloaded.rows] == [(one, "N") for one in TWO]


async def test_documented_forms_start_and_delete_by_the_query(caller: Caller) -> None:
    job_id = await caller.bring("\n".join(TWO), "ready")
    headers = f"accept: application/json\r\ncontent-{JSON[8:]}"
    url = f"/v1/bulk?job_id={job_id}&apikey=sandbox"
    started = await send(caller.sandbox, f"PATCH {url}", headers, b'{"action":"start"}')
    assert started.status == 200
    caller.sandbox.advance(100)
    assert (await send(caller.sandbox, f"DELETE {url}", headers)).body["job_id"] == job_id


async def test_a_form_field_starts_a_list_of_a_hosted_integration(caller: Caller) -> None:
    field = 'Content-Disposition: form-data; name="auto_verify"\r\n\r\ntrue'
    body = form("b", file_part("list.csv", "\n".join(TWO), "text/csv"), field)
    headers = "Content-Type: multipart/form-data; boundary=b"
    answer = await send(caller.sandbox, "POST /v1/bulk?apikey=sandbox", headers, body)
    assert answer.body["message"].endswith("starts verification shortly")


async def test_a_list_of_one_record_is_acknowledged_and_fails(serve: Serve) -> None:
    caller = await serve(single_record_fails=True)
    body = compact({"auto_verify": True, "emails": [{"email": TWO[0]}]})
    answer = await send(caller.sandbox, "POST /v1/bulk?apikey=sandbox", JSON, body)
    assert answer.status == 201
    caller.sandbox.advance(100)
    status = await caller.status(answer.body["job_id"])
    assert (status["status"], status["success"]) == ("failed", True)


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        pytest.param("apikey=sandbox&email={}", CURL, id="PHP, curl"),
        pytest.param(
            "timeout=180000&apikey=sandbox&email={}",
            "accept: application/json",
            id="PHP, with a timeout",
        ),
        pytest.param("apikey=sandbox&email={}", AXIOS, id="Node"),
        pytest.param("apikey=sandbox&email={}", HTTPX, id="Python"),
        pytest.param("apikey=sandbox&email={}", "Accept: application/json", id="C#"),
        pytest.param(
            "apikey=sandbox&email={}",
            "Accept: application/json\r\nUser-Agent: Sperse (https://www.sperse.com/)",
            id="WordPress",
        ),
        pytest.param("email={}&timeout=30000&apikey=sandbox", AXIOS, id="an integration"),
    ],
)
@pytest.mark.parametrize("at", ["@", "%40"])
async def test_one_address_is_asked_for_by_a_get(
    caller: Caller, query: str, headers: str, at: str
) -> None:
    target = f"/v1/verify?{query.format(f'info{at}gmail.com')}"
    found = (await send(caller.sandbox, f"GET {target}", headers)).body
    assert found["success"] is True
    assert (found["email"], found["user"], found["domain"]) == (
        "info@gmail.com",
        "info",
        "gmail.com",
    )
    flags = ("role", "free_email", "disposable", "spamtrap")
    assert [found[flag] for flag in flags] == [1, 1, 0, 0]


@pytest.mark.parametrize("kind", [FaultKind.DENY, FaultKind.THROTTLE, None])
async def test_a_page_reads_the_status_of_every_refusal(
    caller: Caller, kind: FaultKind | None
) -> None:
    key = "sandbox"
    if kind is None:
        key = "wrong"
    else:
        caller.sandbox.inject(Fault(kind=kind))
    answer = await send(
        caller.sandbox,
        f"GET /v1/verify?apikey={key}&email=a@example.com",
        "Accept: */*\r\nOrigin: https://demo.example\r\nReferer: https://demo.example/",
    )
    assert answer.status in {401, 402, 403, 429}
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.body["success"] in {False, "false"}


async def test_balances_are_read_by_a_get(caller: Caller) -> None:
    for headers in (CURL, AXIOS, "accept: application/json"):
        answer = await send(caller.sandbox, "GET /v1/info?apikey=sandbox", headers)
        assert answer.body == {"success": True, "credits_info": {"credits_remaining": 1_000_000}}


@pytest.mark.parametrize(
    "first",
    [
        "GET /v1/info",
        "GET /v1/sources",
        "GET /v1/email/verify?email=a@example.com",
        "GET /v1/verify?email=a@example.com",
        "POST /v1/download/jobId=r374aki32rnatv868nntpxloc7dkilszc3eu?apikey=sandbox",
    ],
)
async def test_forms_that_the_service_does_not_have_reach_nothing(
    caller: Caller, first: str
) -> None:
    headers = f"{CURL}\r\nAuthorization: Bearer sandbox"
    assert (await send(caller.sandbox, first, headers)).status in {401, 404}
    assert caller.sandbox.ledger.credits_spent == 0

import asyncio
from http import HTTPStatus
from typing import Any

import aiohttp
import pytest

from bulkverify.sandbox import Fault, FaultKind

from .caller import Caller

pytestmark = pytest.mark.asyncio

LIST = "email\n" + "".join(f"u{number}@example.com\n" for number in range(10))


@pytest.mark.parametrize("kind", [FaultKind.ANSWER, FaultKind.ANSWER_AFTER])
async def test_an_answer_can_be_replaced(caller: Caller, kind: FaultKind) -> None:
    caller.sandbox.inject(Fault(endpoint="upload", kind=kind))
    answer = await caller.send_file(LIST)
    assert answer.status == 502
    assert b"<html>" in answer.content
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert len(caller.sandbox.ledger.uploads) == (kind is FaultKind.ANSWER_AFTER)
    assert caller.sandbox.ledger.faults == {kind: 1}
    assert caller.sandbox.ledger.requests == {"upload": 1}
    assert (await caller.send_file(LIST)).status == 201


async def test_a_status_may_be_a_constant_of_the_standard_library(caller: Caller) -> None:
    status = HTTPStatus.SERVICE_UNAVAILABLE
    caller.sandbox.inject(Fault(kind=FaultKind.ANSWER, status=status))
    assert (await caller.ask("GET", "/info")).status == status


async def test_the_answer_of_a_fault_is_the_callers_choice(caller: Caller) -> None:
    headers = {"Retry-After": "3", "content-type": "application/json"}
    caller.sandbox.inject(Fault(kind=FaultKind.ANSWER, status=503, body="{}", headers=headers))
    answer = await caller.ask("GET", "/info")
    assert (answer.status, answer.body) == (503, {})
    assert answer.headers["Retry-After"] == "3"
    assert answer.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("kind", [FaultKind.DROP, FaultKind.DROP_AFTER])
async def test_a_connection_can_be_dropped(caller: Caller, kind: FaultKind) -> None:
    job_id = await caller.bring(LIST, "ready")
    caller.sandbox.inject(Fault(endpoint="start", kind=kind))
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await caller.start(job_id)
    assert (caller.sandbox.ledger.starts == [job_id]) == (kind is FaultKind.DROP_AFTER)
    assert caller.sandbox.ledger.faults == {kind: 1}


async def test_a_large_upload_can_be_dropped(caller: Caller) -> None:
    caller.sandbox.inject(Fault(endpoint="upload", kind=FaultKind.DROP))
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await caller.send_file("a@example.com\n" * 400_000)


async def test_a_request_can_hang_until_its_time_is_up(caller: Caller) -> None:
    caller.sandbox.inject(Fault(kind=FaultKind.HANG, delay=0.001))
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await caller.ask("GET", "/verify", {"email": "a@example.com"})
    assert caller.sandbox.ledger.verified_addresses == []


async def test_a_request_can_hang_until_the_sandbox_closes(caller: Caller) -> None:
    caller.sandbox.inject(Fault(kind=FaultKind.HANG))
    request = asyncio.ensure_future(caller.ask("GET", "/info"))
    await caller.until_asked("credits")
    await caller.sandbox.close()
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await request


async def test_an_answer_can_come_late(caller: Caller) -> None:
    caller.sandbox.inject(Fault(kind=FaultKind.DELAY, delay=0.001))
    assert (await caller.ask("GET", "/info")).status == 200
    assert caller.sandbox.ledger.faults == {"delay": 1}


@pytest.mark.parametrize("rows", [3, 5000])
async def test_a_download_can_be_truncated(caller: Caller, rows: int) -> None:
    job_id = await caller.bring("a@example.com\n" * rows, "completed")
    caller.sandbox.inject(Fault(kind=FaultKind.TRUNCATE))
    received = bytearray()
    with pytest.raises(aiohttp.ClientPayloadError):  # noqa: PT012
        async with caller.session.post(
            caller.sandbox.url + "/download", params={"apikey": "sandbox", "jobId": job_id}
        ) as response:
            assert response.status == 200
            async for chunk in response.content.iter_any():
                received += chunk
    whole = (await caller.download(job_id)).content
    assert received == whole[: len(whole) // 2]


@pytest.mark.parametrize(("rows", "left"), [(10, 5), (1, 0), (5001, 2500)])
async def test_a_download_can_lack_rows_and_look_complete(
    caller: Caller, rows: int, left: int
) -> None:
    job_id = await caller.bring("a@example.com\n" * rows, "completed")
    caller.sandbox.inject(Fault(kind=FaultKind.TRUNCATE_CLEANLY))
    assert len((await caller.download(job_id)).table) == 1 + left
    assert len((await caller.download(job_id)).table) == 1 + rows


async def test_a_refused_download_is_not_truncated(caller: Caller) -> None:
    job_id = await caller.bring(LIST, "ready")
    caller.sandbox.inject(Fault(kind=FaultKind.TRUNCATE))
    assert (await caller.download(job_id)).status == 400


@pytest.mark.parametrize(
    ("status", "before"),
    [
        ("preparing", "preparing"),
        ("ready", "preparing"),
        ("verifying", "ready"),
        ("completed", "verifying"),
        ("failed", "preparing"),
        ("cancelled", "preparing"),
    ],
)
async def test_a_status_can_be_stale(caller: Caller, status: str, before: str) -> None:
    job_id = await caller.bring(LIST, status)
    caller.sandbox.inject(Fault(kind=FaultKind.STALE))
    seen = await caller.status(job_id)
    assert seen["status"] == before
    assert ("verified" in seen) == (before == "verifying")
    assert (await caller.status(job_id))["status"] == status


async def test_a_stale_status_shows_the_counters_of_its_time(caller: Caller) -> None:
    job_id = await caller.bring(LIST, "verifying")
    caller.sandbox.advance(4)
    progress = await caller.status(job_id)
    caller.sandbox.cancel(job_id)
    caller.sandbox.advance(100)
    caller.sandbox.inject(Fault(kind=FaultKind.STALE))
    assert 0 < progress["verified"] < 10
    assert await caller.status(job_id) == progress


@pytest.mark.parametrize(
    ("options", "hit"),
    [
        ({}, [1]),
        ({"times": 0}, []),
        ({"times": 2}, [1, 2]),
        ({"times": None}, [1, 2, 3, 4, 5]),
        ({"skip": 2}, [3]),
        ({"skip": 1, "times": 2}, [2, 3]),
        ({"skip": 3, "times": None}, [4, 5]),
        ({"endpoint": "credits"}, [1]),
        ({"endpoint": "status"}, []),
        ({"job_id": "another"}, []),
    ],
)
async def test_a_fault_hits_only_the_chosen_requests(
    caller: Caller, options: dict[str, Any], hit: list[int]
) -> None:
    caller.sandbox.inject(Fault(kind=FaultKind.ANSWER, **options))
    answers = [(await caller.ask("GET", "/info")).status for _ in range(5)]
    assert [place for place, status in enumerate(answers, 1) if status == 502] == hit
    assert caller.sandbox.ledger.faults.total() == len(hit)


async def test_the_first_fault_that_fits_hits(caller: Caller) -> None:
    for status in (500, 502, 504):
        caller.sandbox.inject(Fault(kind=FaultKind.ANSWER, status=status))
    assert [(await caller.ask("GET", "/info")).status for _ in range(4)] == [500, 502, 504, 200]


async def test_a_fault_can_hit_only_one_list(caller: Caller) -> None:
    first, second = [await caller.bring(LIST, "completed") for _ in range(2)]
    caller.sandbox.inject(Fault(kind=FaultKind.ANSWER, job_id=second, times=None))
    assert (await caller.ask("GET", f"/bulk/{first}")).status == 200
    assert (await caller.ask("GET", f"/bulk/{second}")).status == 502
    assert (await caller.ask("GET", "/bulk", {"job_id": second})).status == 502
    assert (await caller.download(first)).status == 200
    assert (await caller.download(second)).status == 502
    assert (await caller.send_file(LIST)).status == 201


async def test_a_fault_hits_before_the_key_is_checked(caller: Caller) -> None:
    caller.sandbox.inject(Fault(kind=FaultKind.ANSWER))
    assert (await caller.ask("GET", "/info", {"apikey": "wrong"})).status == 502


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            {"kind": "stale", "endpoint": "download"},
            "endpoint is 'download'; it must be one of status",
        ),
        ({"kind": "truncate", "endpoint": "status"}, "is 'status'; it must be one of download"),
        (
            {"kind": "truncate_cleanly", "endpoint": "upload"},
            "is 'upload'; it must be one of download",
        ),
        ({"kind": "explode"}, "explode"),
        ({"kind": "drop", "endpoint": "everything"}, "endpoint"),
        ({"kind": "drop", "times": -1}, "times is -1"),
        ({"kind": "drop", "skip": -1}, "skip"),
        ({"kind": "delay", "delay": -1}, "delay"),
    ],
)
async def test_an_invalid_fault_is_refused(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Fault(**options)

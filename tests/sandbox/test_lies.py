"""Wrong answers: false counters, endless lists, and bodies that are too long."""

import asyncio
import json
import zlib
from itertools import pairwise

import aiohttp
import pytest

from bulkverify.sandbox import Fault, FaultKind

from .caller import Caller

pytestmark = pytest.mark.asyncio

LIST = "email\n" + "".join(f"u{number}@example.com\n" for number in range(100))


@pytest.mark.parametrize(
    ("kind", "verified", "pending"),
    [("jump", 100, 0), ("back", 24, 76), ("over", 110, 0), ("stuck", 49, 51)],
)
async def test_counters_can_be_wrong(
    caller: Caller, kind: str, verified: int, pending: int
) -> None:
    job_id = await caller.bring(LIST, "ready")
    caller.sandbox.inject(Fault(kind=FaultKind(f"counters_{kind}")))
    assert "verified" not in await caller.status(job_id)  # a status without counters is not hit
    await caller.start(job_id)
    caller.sandbox.advance(6.9)
    said = await caller.status(job_id)
    assert (said["status"], said["verified"], said["pending"]) == ("verifying", verified, pending)
    assert caller.sandbox.ledger.job(job_id).faults == {f"counters_{kind}": 1}
    truth = await caller.status(job_id)
    assert (truth["verified"], truth["pending"]) == (49, 51)


async def test_a_list_that_was_cancelled_during_the_delay_has_no_counters(caller: Caller) -> None:
    job_id = await caller.bring(LIST, "verifying")
    caller.sandbox.inject(Fault(kind=FaultKind.COUNTERS_OVER, delay=0.05))
    poll = asyncio.ensure_future(caller.status(job_id))
    await caller.until_asked("status", 2)
    caller.sandbox.cancel(job_id)
    said = await poll
    assert said["status"] == "cancelled"
    assert "verified" not in said
    assert caller.sandbox.ledger.faults == {"counters_over": 1}


async def test_counters_can_be_stuck(caller: Caller) -> None:
    job_id = await caller.bring(LIST, "verifying")
    caller.sandbox.inject(Fault(kind=FaultKind.COUNTERS_STUCK, times=3))
    said = []
    for _ in range(4):
        said.append((await caller.status(job_id))["verified"])
        caller.sandbox.advance(2)
    assert said[0] == said[1] == said[2] < said[3]


@pytest.mark.parametrize("endpoint", ["upload", "start"])
async def test_a_list_can_stay_verifying_for_ever(caller: Caller, endpoint: str) -> None:
    caller.sandbox.inject(Fault(kind=FaultKind.ENDLESS, endpoint=endpoint))  # type: ignore[arg-type]
    job_id = await caller.bring(LIST, "ready")
    await caller.start(job_id)
    caller.sandbox.advance(1e9)
    said = await caller.status(job_id)
    assert (said["status"], said["pending"]) == ("verifying", 0)
    caller.sandbox.cancel(job_id)
    assert (await caller.status(job_id))["status"] == "cancelled"
    assert await caller.bring(LIST, "completed")


async def test_an_answer_can_come_a_few_bytes_at_a_time(caller: Caller) -> None:
    job_id = await caller.bring(LIST, "completed")
    whole = (await caller.download(job_id)).content
    for path, params in (("/info", {}), ("/download", {"jobId": job_id})):
        caller.sandbox.inject(Fault(kind=FaultKind.TRICKLE, piece_bytes=9, delay=1e-4))
        pieces = []
        method = caller.session.get if path == "/info" else caller.session.post
        async with method(
            caller.sandbox.url + path, params={"apikey": "sandbox", **params}
        ) as response:
            assert response.status == 200
            async for piece in response.content.iter_any():
                pieces.append(piece)  # noqa: PERF401 - to be seen one by one
        assert len(pieces) > 3
        body = b"".join(pieces)
        assert body == whole or json.loads(body)["success"] is True


@pytest.mark.parametrize("kind", [FaultKind.HUGE, FaultKind.BOMB])
async def test_an_answer_can_be_true_and_far_too_large(caller: Caller, kind: FaultKind) -> None:
    job_id = await caller.bring(LIST, "ready")
    caller.sandbox.inject(Fault(kind=kind, size_bytes=3_000_001))
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        answer = await Caller(caller.sandbox, session).ask("GET", f"/bulk/{job_id}")
    content = answer.content
    if kind is FaultKind.BOMB:
        assert answer.headers["Content-Encoding"] == "gzip"
        assert len(content) < 30_000
        content = zlib.decompress(content, wbits=31)
    said = json.loads(content)
    assert len(said.pop("padding")) == 3_000_001
    assert said == await caller.status(job_id)


async def test_a_client_that_does_not_read_such_an_answer_leaves_no_trace(caller: Caller) -> None:
    caller.sandbox.inject(Fault(kind=FaultKind.HUGE, size_bytes=1024**3))
    async with caller.session.get(f"{caller.sandbox.url}/info?apikey=sandbox") as response:
        await response.content.readany()
        response.close()
    assert (await caller.ask("GET", "/info")).status == 200


async def test_a_refusal_can_be_late_and_large_too(caller: Caller) -> None:
    for kind in (FaultKind.TRICKLE, FaultKind.HUGE):
        caller.sandbox.inject(Fault(kind=kind, size_bytes=10))
        answer = await caller.ask("GET", "/info", {"apikey": "wrong"})
        assert answer.refusal == (401, "Invalid API key")


async def test_the_ledger_has_an_entry_for_each_list(caller: Caller) -> None:
    first, second = [await caller.bring(LIST, "ready") for _ in range(2)]
    caller.sandbox.inject(Fault(kind=FaultKind.THROTTLE, job_id=second))
    await caller.ask("GET", f"/bulk/{second}")
    await caller.start(second)
    caller.sandbox.advance(100)
    await caller.download(second)
    ledger = caller.sandbox.ledger
    books = ledger.job(second)
    assert books.requests == {"status": 2, "start": 1, "download": 1}
    assert (books.polls, books.throttled, books.faults) == (2, {"status": 1}, {"throttle": 1})
    assert (books.starts, books.downloads, books.credits_spent) == (1, 1, 100)
    assert ledger.job(first).requests == {"status": 1}
    assert ledger.job(first).credits_spent == ledger.job("nowhere").polls == 0
    assert ledger.polls == 3
    assert ledger.paid_twice == []
    assert str(ledger).splitlines()[-1] == (
        f"{second}: 100 rows, 1 starts, 100 credits, 2 polls, 1 downloads"
    )


async def test_the_ledger_lists_every_fault_and_the_addresses_paid_twice(caller: Caller) -> None:
    job_id = await caller.bring("a@example.com\nb@example.com\na@example.com\n", "verifying")
    caller.sandbox.inject(Fault(kind=FaultKind.STALE))
    caller.sandbox.inject(Fault(kind=FaultKind.ANSWER))
    caller.sandbox.advance(5)
    await caller.status(job_id)
    await caller.ask("GET", "/info")
    ledger = caller.sandbox.ledger
    assert [(item.kind, item.endpoint, item.job_id) for item in ledger.injected] == [
        ("stale", "status", job_id),
        ("answer", "credits", None),
    ]
    assert all(before.time <= after.time for before, after in pairwise(ledger.injected))
    assert ledger.paid_twice == ["a@example.com"]
    assert "example.com" not in str(ledger)

"""Every row of the table of faults: each kind on each endpoint that it names, and refused on the others."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import attrs
import pytest

from bulkverify.sandbox import Fault, FaultKind, RuleError, make_fault
from bulkverify.sandbox.faults import TABLE
from bulkverify.sandbox.ledger import ENDPOINTS, Endpoint

from .caller import Caller, Serve

DOCUMENT = Path(__file__).parents[2] / "docs" / "testing.md"
LIST = "email\n" + "".join(f"u{number}@example.com\n" for number in range(100))
NO_WORK = {
    FaultKind.ANSWER,
    FaultKind.THROTTLE,
    FaultKind.DENY,
    FaultKind.VERIFY_TIMEOUT,
    FaultKind.DROP,
    FaultKind.HANG,
    FaultKind.FAIL,
    FaultKind.CANCEL,
}
FIELDS = {
    FaultKind.HANG: {"delay": 0.001},
    FaultKind.DELAY: {"delay": 0.001},
    FaultKind.HUGE: {"size_bytes": 1000},
    FaultKind.BOMB: {"size_bytes": 1000},
    FaultKind.CLOCK_JUMP: {"jump": 60.0},
}


@attrs.frozen
class Seen:
    """What a request came to: a status and the body, or the name of an error and what came before it."""

    status: int | str
    content: bytes

    @property
    def body(self) -> Any:  # noqa: ANN401 - JSON
        return json.loads(self.content)

    @property
    def rows(self) -> list[bytes]:
        return self.content.splitlines()


REQUESTS: dict[Endpoint, tuple[str, str, str]] = {
    "status": ("verifying", "GET", "/bulk/{}"),
    "start": ("ready", "PATCH", "/bulk/{}"),
    "download": ("completed", "POST", "/download?jobId={}"),
    "delete": ("completed", "DELETE", "/bulk/{}"),
    "upload": ("", "POST", "/bulk"),
    "verify": ("", "GET", "/verify?email=a@example.com"),
    "credits": ("", "GET", "/info"),
}


async def seen(caller: Caller, endpoint: Endpoint, fault: Fault | None) -> tuple[Seen, str]:
    """Make a request, with a list of its own if it needs one; return what came, and the list's id."""
    before, method, path = REQUESTS[endpoint]
    job_id = await caller.bring(LIST, before) if before else ""
    caller.sandbox.advance(5)
    if fault is not None:
        caller.sandbox.inject(fault)
    params = {"apikey": "sandbox"}
    json_body = {"action": "start"} if endpoint == "start" else None
    data = aiohttp.FormData()
    data.add_field("local_file", LIST, filename="list.csv")
    content = bytearray()
    status: int | str = ""
    url = caller.sandbox.url + path.format(job_id)
    try:
        async with caller.session.request(
            method, url, params=params, json=json_body, data=data if endpoint == "upload" else None
        ) as response:
            status = response.status
            async for piece in response.content.iter_any():
                content += piece
    except aiohttp.ClientError as error:
        status = type(error).__name__
    if endpoint == "upload":
        job_id = caller.sandbox.ledger.uploads[-1].job_id if caller.sandbox.ledger.uploads else ""
    return Seen(status, bytes(content)), job_id


def works_done(caller: Caller) -> dict[str, int]:
    ledger = caller.sandbox.ledger
    return {
        "upload": len(ledger.uploads),
        "start": len(ledger.starts),
        "download": len(ledger.downloads),
        "delete": len(ledger.deletes),
        "verify": len(ledger.verified_addresses),
    }


def nothing(came: Seen, _: Seen) -> bool:
    return came == Seen("ServerDisconnectedError", b"")


def page(came: Seen, _: Seen) -> bool:
    return came.status == 502 and b"<html>" in came.content


def truth(came: Seen, true: Seen) -> bool:
    return came == true


def padded(came: Seen, true: Seen) -> bool:
    body = came.body
    return len(body.pop("padding")) == 1000 and (came.status, body) == (true.status, true.body)


def counted(said: Callable[[int], int]) -> Callable[[Seen, Seen], bool]:
    def check(came: Seen, true: Seen) -> bool:
        verified = said(true.body["verified"])
        pending = max(0, 100 - verified)
        return bool(came.body == true.body | {"verified": verified, "pending": pending})

    return check


def half(came: Seen, true: Seen) -> bool:
    whole = true.content
    return came == Seen("ClientPayloadError", whole[: len(whole) // 2])


def half_the_rows(came: Seen, true: Seen) -> bool:
    return came.status == 200 and came.rows == true.rows[:51]


def throttled(came: Seen, _: Seen) -> bool:
    return came.status == 429 and came.body["result"].lower() == "too many requests"


def refused(status: int, text: str) -> Callable[[Seen, Seen], bool]:
    said = {"result": text, "success": False}
    return lambda came, _: (came.status, came.body) == (status, said)


def ended(text: str) -> Callable[[Seen, Seen], bool]:
    """Tell whether a status shows the end of the list, and a start is refused with it."""
    return lambda came, _: (
        text == (came.body["message"] if came.status == 200 else came.body["result"])
    )


def a_step_behind(came: Seen, true: Seen) -> bool:
    return (came.body["status"], true.body["status"]) == ("ready", "verifying")


def dated(came: Seen, true: Seen) -> bool:
    later = true.content.replace(b"T09:39:", b"T09:40:")  # only results have such dates
    return came == Seen(true.status, later)


EXPECTED: dict[FaultKind, Callable[[Seen, Seen], bool]] = {
    FaultKind.ANSWER: page,
    FaultKind.ANSWER_AFTER: page,
    FaultKind.THROTTLE: throttled,
    FaultKind.DENY: refused(403, "Access denied"),
    FaultKind.VERIFY_TIMEOUT: refused(400, "Validation timedout"),
    FaultKind.DROP: nothing,
    FaultKind.DROP_AFTER: nothing,
    FaultKind.HANG: nothing,
    FaultKind.DELAY: truth,
    FaultKind.TRICKLE: truth,
    FaultKind.TRUNCATE: half,
    FaultKind.TRUNCATE_CLEANLY: half_the_rows,
    FaultKind.HUGE: padded,
    FaultKind.BOMB: padded,
    FaultKind.STALE: a_step_behind,
    FaultKind.COUNTERS_JUMP: counted(lambda _: 100),
    FaultKind.COUNTERS_BACK: counted(lambda verified: verified // 2),
    FaultKind.COUNTERS_OVER: counted(lambda _: 110),
    FaultKind.COUNTERS_STUCK: counted(lambda verified: verified),
    FaultKind.ENDLESS: truth,
    FaultKind.FAIL: ended("Unable to process your job, The uploaded list contains invalid data"),
    FaultKind.CANCEL: ended("Job is cancelled"),
    FaultKind.CLOCK_JUMP: dated,
}


def test_every_kind_is_a_row_of_the_table() -> None:
    assert set(TABLE) == set(EXPECTED) == set(FaultKind)


def test_every_kind_is_documented_with_its_endpoints_and_fields() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| `(\w+)` \| ([^|]+) \| ([^|]+) \|$", text.partition("## Faults")[2], re.MULTILINE
    )
    assert [kind for kind, _, _ in rows] == list(FaultKind)
    for kind, where, words in rows:
        row, named = TABLE[FaultKind(kind)], set(re.findall(r"`(\w+)`", where))
        endpoints = set(ENDPOINTS) - named if where.startswith("all") else named
        assert endpoints == set(row.endpoints)
        assert all(f"`{field}`" in words for field in row.fields)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("kind", "endpoint"), [(kind, endpoint) for kind in TABLE for endpoint in TABLE[kind].endpoints]
)
async def test_every_kind_does_what_it_says_on_every_endpoint_that_it_names(
    serve: Serve, kind: FaultKind, endpoint: Endpoint
) -> None:
    caller, honest = await serve(), await serve()
    fault = Fault(kind=kind, endpoint=endpoint, **FIELDS.get(kind, {}))  # type: ignore[arg-type]
    true, _ = await seen(honest, endpoint, None)
    came, job_id = await seen(caller, endpoint, fault)
    assert EXPECTED[kind](came, true)
    assert caller.sandbox.ledger.faults == {kind: 1}
    assert [item.endpoint for item in caller.sandbox.ledger.injected] == [endpoint]
    done, should = works_done(caller), works_done(honest)
    if kind in NO_WORK:
        should[endpoint] = 0
        done.setdefault(endpoint, 0)
    assert done == should
    account = caller.sandbox._account
    assert account.clock.skew == (60 if kind is FaultKind.CLOCK_JUMP else 0)
    if job_id and endpoint != "delete":
        assert account.job(job_id).endless == (kind is FaultKind.ENDLESS)


@pytest.mark.parametrize(
    ("kind", "endpoint"),
    [
        (kind, endpoint)
        for kind in TABLE
        for endpoint in ENDPOINTS
        if endpoint not in TABLE[kind].endpoints
    ],
)
def test_every_kind_is_refused_on_every_other_endpoint(kind: FaultKind, endpoint: Endpoint) -> None:
    able = ", ".join(TABLE[kind].endpoints)
    with pytest.raises(ValueError, match=f"endpoint is '{endpoint}'; it must be one of {able}."):
        Fault(kind=kind, endpoint=endpoint)
    with pytest.raises(RuleError, match=rf"fault \({kind}\): endpoint is '{endpoint}'"):
        make_fault({"kind": kind, "endpoint": endpoint})


@pytest.mark.parametrize("kind", TABLE)
def test_every_kind_takes_the_fields_of_its_row_and_no_others(kind: FaultKind) -> None:
    every = {
        field: getattr(Fault(kind=kind), field) for row in TABLE.values() for field in row.fields
    }
    for field, value in every.items():
        if field in TABLE[kind].fields:
            assert make_fault({"kind": kind, field: value}).kind is kind
        else:
            with pytest.raises(RuleError, match=f"there is no field '{field}'"):
                make_fault({"kind": kind, field: value})

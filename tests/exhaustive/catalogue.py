"""Every way in which a single request can go wrong, by endpoint."""

import json
from collections.abc import Iterator
from functools import cache
from typing import Final

import attrs

from bulkverify import BulkVerifyError
from bulkverify.lifecycle import JobStatus
from bulkverify.sandbox import Fault, FaultKind
from bulkverify.sandbox.faults import TABLE
from bulkverify.sandbox.ledger import Endpoint
from bulkverify.service.answers import Answer, accepted
from bulkverify.service.answers import Endpoint as SDKEndpoint
from bulkverify.service.retrying import LONGEST_RETRY_AFTER

KEY: Final = "k5e8y1r7d3t9q2w6z4x0c8v1b7n3m5j9h2g6"
"""The API key; no text that a user sees may hold eight characters of it."""

_STATUSES: Final = (302, 400, 401, 402, 403, 404, 429, 500, 502, 503)
_ABOUT_A_LIST: Final = ("Job not found. Invalid jobId", "Job not found")
_ACTIVE: Final = "The maximum number of active verification lists has been reached."
_TEXTS: Final[dict[Endpoint, tuple[str, ...]]] = {
    "upload": ("Invalid file data", "The maximum number of lists has been reached.", _ACTIVE),
    "status": _ABOUT_A_LIST,
    "start": (
        *_ABOUT_A_LIST,
        _ACTIVE,
        "Verify restricted",
        "Verification has already started.",
        "Job is not ready for verification, please call the /status endpoint",
    ),
    "download": (
        *_ABOUT_A_LIST,
        "DOWNLOAD-RESTRICTED",
        "Invalid filterResult. Please provide correct filterResult options",
        "Job is being verified, please wait until it completes.",
        "Job is ready for verification, please start verification and download your results",
        "Job is being prepared for verification, please start verifying and then download you",
        "List cannot be downloaded, The uploaded list contains invalid data.",
    ),
    "delete": (
        *_ABOUT_A_LIST,
        "List is being processed, and cannot be deleted.",
        "List not found, may be already deleted.",
    ),
    "verify": ("Invalid request. Required email.", "Validation timedout"),
    "credits": (),
}
"""The refusals with status 400 in the contract; the longest are cut."""

_UNDOCUMENTED: Final[dict[Endpoint, tuple[str, ...]]] = {
    "start": ("List has been cancelled", "Job is being verified, please wait until it completes."),
}
_REFUSES_ANY: Final = (401, 402, 429)

_PAGE: Final = f"<!DOCTYPE html><html><body><h1>Bad Gateway</h1>?apikey={KEY}</body></html>"
BODIES: Final = {
    "a page": _PAGE,
    "nothing": "",
    "a list": "[1]",
    "no fields": '{"success": true}',
    "a no": '{"success": "false"}',
    "no JSON": '{"success": tru',
}
"""Unusable answers with a good status, by name."""

CHANGING: Final = frozenset[Endpoint]({"upload", "start", "delete", "verify"})
"""Requests with an effect: a lost answer differs from a lost request."""

_ONE_LIST: Final = frozenset[Endpoint]({"status", "start", "download", "delete"})
_JUST_TOO_LARGE: Final = 1_100_000
_LONGER_THAN_ANY_CALL: Final = 400.0


@attrs.frozen
class Mishap:
    """One way in which a request can go wrong: by a fault, or because its list ends."""

    name: str
    fault: Fault | None = None
    end: JobStatus | None = None


def refuses(endpoint: Endpoint, fault: Fault) -> bool:
    """Return whether an answer is a refusal of the contract; the SDK believes it even if it is false."""
    if fault.kind not in {FaultKind.ANSWER, FaultKind.ANSWER_AFTER}:
        return fault.kind is FaultKind.THROTTLE
    known = fault.status == 400 and any(text in str(fault.body) for text in _TEXTS[endpoint])
    return known or fault.status in _REFUSES_ANY


@cache
def mishaps(endpoint: Endpoint) -> dict[str, Mishap]:
    """Return everything that can happen to a request of an endpoint, by name."""
    return {mishap.name: mishap for mishap in _mishaps(endpoint)}


@cache
def kinds(endpoint: Endpoint) -> dict[str, Mishap]:
    """Return one mishap of each kind that the SDK distinguishes; answers count by their error."""
    seen: dict[tuple[str, ...], Mishap] = {}
    for mishap in mishaps(endpoint).values():
        seen.setdefault(_kind(endpoint, mishap), mishap)
    return {mishap.name: mishap for mishap in seen.values()}


def _kind(endpoint: Endpoint, mishap: Mishap) -> tuple[str, ...]:
    fault = mishap.fault
    if fault is None:
        return (mishap.name,)
    match fault.kind:
        case FaultKind.ANSWER | FaultKind.ANSWER_AFTER:
            return fault.kind, _meaning(endpoint, fault), str(refuses(endpoint, fault))
        case FaultKind.THROTTLE:
            return fault.kind, str((fault.retry_after or 0) > LONGEST_RETRY_AFTER)
        case FaultKind.CLOCK_JUMP:
            return (fault.kind,)
    return (mishap.name,)


def _meaning(endpoint: Endpoint, fault: Fault) -> str:
    body = fault.body.encode() if isinstance(fault.body, str) else fault.body
    try:
        accepted(Answer(status=fault.status, body=body), SDKEndpoint(endpoint))
    except BulkVerifyError as error:
        return type(error).__name__
    return "accepted"


def _mishaps(endpoint: Endpoint) -> Iterator[Mishap]:
    for name, fault in _faults():
        if endpoint not in TABLE[fault.kind].endpoints:
            continue
        if fault.kind is FaultKind.DROP_AFTER and endpoint not in CHANGING:
            continue  # to the client it is a DROP
        yield Mishap(name, fault)
    for name, status, body in _answers(endpoint):
        headers = {"Content-Type": "application/json" if body[:1] in "[{" else "text/html"}
        yield Mishap(
            f"answer {name}",
            Fault(kind=FaultKind.ANSWER, status=status, body=body, headers=headers),
        )
        if endpoint in CHANGING:  # elsewhere the two are the same
            yield Mishap(
                f"answer_after {name}",
                Fault(kind=FaultKind.ANSWER_AFTER, status=status, body=body, headers=headers),
            )
    if endpoint in _ONE_LIST:
        yield Mishap("cancelled", end=JobStatus.CANCELLED)
        yield Mishap("failed", end=JobStatus.FAILED)


def _answers(endpoint: Endpoint) -> Iterator[tuple[str, int, str]]:
    for status in _STATUSES:
        # A long text is cut within the key; no piece of the key may remain.
        said = "Not now" if status < 404 else "Not now, and here is why: " + "no " * 50
        yield str(status), status, _refusal(f"{said}: ?apikey={KEY}")
    for text in (*_TEXTS[endpoint], *_UNDOCUMENTED.get(endpoint, ())):
        yield text[:40], 400, _refusal(text)
    yield "Invalid API Key", 401, _refusal("Invalid API Key")
    yield "Insufficient", 402, _refusal("Insufficient verification credits. Please order a plan.")
    yield "502 page", 502, _PAGE
    for name, body in BODIES.items():
        yield name, 200, body


def _refusal(text: str) -> str:
    return json.dumps({"success": False, "result": text, "url": f"/v1?apikey={KEY}"})


def _faults() -> Iterator[tuple[str, Fault]]:
    kind = FaultKind
    yield "throttle", Fault(kind=kind.THROTTLE)
    for seconds in (7.0, 600.0):
        yield f"throttle {seconds:g} s", Fault(kind=kind.THROTTLE, retry_after=seconds)
        yield (
            f"throttle {seconds:g} s by date",
            Fault(kind=kind.THROTTLE, retry_after=seconds, retry_after_date=True),
        )
    yield "drop", Fault(kind=kind.DROP)
    yield "drop_after", Fault(kind=kind.DROP_AFTER)
    yield "hang", Fault(kind=kind.HANG)
    yield "hang 10 s", Fault(kind=kind.HANG, delay=10.0)
    yield "delay 2 s", Fault(kind=kind.DELAY, delay=2.0)
    yield "delay 400 s", Fault(kind=kind.DELAY, delay=_LONGER_THAN_ANY_CALL)
    yield "trickle", Fault(kind=kind.TRICKLE, piece_bytes=16, delay=0.5)
    yield "trickle slowly", Fault(kind=kind.TRICKLE, piece_bytes=16, delay=40.0)
    yield "truncate", Fault(kind=kind.TRUNCATE)
    yield "truncate_cleanly", Fault(kind=kind.TRUNCATE_CLEANLY)
    yield "huge", Fault(kind=kind.HUGE, size_bytes=_JUST_TOO_LARGE)
    yield "bomb", Fault(kind=kind.BOMB, size_bytes=_JUST_TOO_LARGE)
    yield "stale", Fault(kind=kind.STALE)
    yield "counters_jump", Fault(kind=kind.COUNTERS_JUMP)
    yield "counters_back", Fault(kind=kind.COUNTERS_BACK)
    yield "counters_over", Fault(kind=kind.COUNTERS_OVER)
    yield "counters_stuck", Fault(kind=kind.COUNTERS_STUCK)
    yield "endless", Fault(kind=kind.ENDLESS)
    for jump in (3600.0, -7200.0):
        yield f"clock_jump {jump:+g} s", Fault(kind=kind.CLOCK_JUMP, jump=jump)

"""Answers to a start other than success: every refusal of the contract, and faults."""

import json
from typing import Any

import pytest

from bulkverify.sandbox import Fault, FaultKind

_KNOWN = [
    "Job not found. Invalid jobId",
    "Job not found",
    "The maximum number of lists has been reached.",
    "The  MAXIMUM number of active verification lists has been reached",
    "Verify restricted",
    "Job is not ready for verification, please call the /status endpoint.",
    "Job is cancelled",
    "Unable to process your job, The uploaded list contains invalid data",
]
_UNKNOWN = [
    "Invalid file data",
    "Job is being verified, please wait until it completes.",
    "List cannot be downloaded, The uploaded list contains invalid data.",
    "List is being processed, and cannot be deleted.",
    "List not found, may be already deleted.",
    "Invalid request. Required action.",
    "DOWNLOAD-RESTRICTED",
    "List has been cancelled",
    "A text that no contract knows",
    "",
]
_JSON = {"Content-Type": "application/json"}


def answered(status: int, body: str = "", **options: Any) -> dict[str, Any]:  # noqa: ANN401 - passed on
    """Describe an answer."""
    answer = {"kind": FaultKind.ANSWER, "status": status, "body": body, "headers": _JSON}
    return answer | options


def said(status: int, text: str, **options: Any) -> dict[str, Any]:  # noqa: ANN401 - passed on
    """Describe an answer of the service in its own form."""
    body = json.dumps({"success": False, "result": text})
    return answered(status, body, **options)


KNOWN = [
    *(pytest.param(said(400, text), id=text[:40]) for text in _KNOWN),
    pytest.param(said(401, "Invalid API Key"), id="401"),
    pytest.param(said(402, "Insufficient verification credits. Please order a plan."), id="402"),
    pytest.param(said(200, "Job not found"), id="a known no with 200"),
    pytest.param({"kind": FaultKind.THROTTLE, "retry_after": 600}, id="429 for long"),
]
"""Refusals of the contract for a start; they prove that it was not carried out."""

UNKNOWN = [
    *(pytest.param(said(400, text), id=text[:40] or "no text") for text in _UNKNOWN),
    *(pytest.param(said(code, "Denied"), id=str(code)) for code in (403, 404, 405, 409, 413, 422)),
    pytest.param(said(503, "Job not found", headers=_JSON | {"Retry-After": "600"}), id="503"),
    pytest.param(said(200, "No"), id="a no with 200"),
    pytest.param(answered(200, '{"success": false}'), id="a bare no"),
    pytest.param(answered(200, "[1]"), id="a list"),
    *(pytest.param(answered(code), id=str(code)) for code in (301, 302, 303, 304, 307, 308)),
    pytest.param(answered(503, headers={"Retry-After": "600"}), id="503 for long"),
]
"""Answers that prove nothing: a proxy may have sent them after the service did the work."""

FINAL = [*KNOWN, *UNKNOWN]
"""Answers after which the client does not repeat the request."""

PASSING = [
    pytest.param({"kind": FaultKind.THROTTLE}, id="429"),
    pytest.param({"kind": FaultKind.ANSWER, "status": 502}, id="502"),
    pytest.param({"kind": FaultKind.ANSWER, "status": 403}, id="a page"),
    pytest.param({"kind": FaultKind.DROP}, id="drop"),
    pytest.param({"kind": FaultKind.DROP_AFTER}, id="drop after"),
    pytest.param({"kind": FaultKind.ANSWER_AFTER, "status": 504}, id="504 after"),
]
"""Answers after which the client repeats the request."""


def afterwards(answer: dict[str, Any]) -> dict[str, Any]:
    """Let the service do the work before it gives this answer."""
    return answer | {"kind": FaultKind.ANSWER_AFTER}


def at_start(options: dict[str, Any], **more: Any) -> Fault:  # noqa: ANN401 - passed on
    """Make a fault that gives this answer to a start."""
    return Fault(endpoint="start", **options, **more)

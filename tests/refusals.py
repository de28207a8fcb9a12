"""What a start can be answered with, beside success: every text of the contract, and what breaks."""

import json
from typing import Any

import pytest

from bulkverify.sandbox import Fault, FaultKind

_TEXTS = [
    "Job not found. Invalid jobId",
    "Job not found",
    "Invalid file data",
    "The maximum number of lists has been reached.",
    "The maximum number of active verification lists has been reached.",
    "Verify restricted",
    "Job is not ready for verification, please call the /status endpoint.",
    "Job is being verified, please wait until it completes.",
    "List cannot be downloaded, The uploaded list contains invalid data.",
    "List is being processed, and cannot be deleted.",
    "List not found, may be already deleted.",
    "Invalid request. Required action.",
    "List has been cancelled",
    "A text that no contract knows",
]
_JSON = {"Content-Type": "application/json"}


def said(status: int, text: str, **options: Any) -> dict[str, Any]:  # noqa: ANN401 - handed on
    """Describe an answer of the service in its own form."""
    body = json.dumps({"success": False, "result": text})
    return {"kind": FaultKind.ANSWER, "status": status, "body": body, "headers": _JSON} | options


FINAL = [
    *(pytest.param(said(400, text), id=text[:40]) for text in _TEXTS),
    pytest.param(said(401, "Invalid API Key"), id="401"),
    pytest.param(said(402, "Insufficient verification credits. Please order a plan."), id="402"),
    pytest.param(said(403, "Your IP is denied"), id="403"),
    pytest.param(said(200, "No"), id="a no with 200"),
    pytest.param({"kind": FaultKind.ANSWER, "status": 302}, id="redirect"),
    pytest.param(
        {"kind": FaultKind.ANSWER, "status": 200, "body": "[1]", "headers": _JSON}, id="a list"
    ),
    pytest.param({"kind": FaultKind.THROTTLE, "retry_after": 600}, id="429 for long"),
    pytest.param(
        {"kind": FaultKind.ANSWER, "status": 503, "headers": {"Retry-After": "600"}},
        id="503 for long",
    ),
]
"""Answers after which the same request is not repeated by the client."""

PASSING = [
    pytest.param({"kind": FaultKind.THROTTLE}, id="429"),
    pytest.param({"kind": FaultKind.ANSWER, "status": 502}, id="502"),
    pytest.param({"kind": FaultKind.ANSWER, "status": 403}, id="a page"),
    pytest.param({"kind": FaultKind.DROP}, id="drop"),
    pytest.param({"kind": FaultKind.DROP_AFTER}, id="drop after"),
    pytest.param({"kind": FaultKind.ANSWER_AFTER, "status": 504}, id="504 after"),
]
"""Answers after which it is."""


def at_start(options: dict[str, Any], **more: Any) -> Fault:  # noqa: ANN401 - handed on
    """Make a start be answered so."""
    return Fault(endpoint="start", **options, **more)

"""The texts of the service: acknowledgements, statuses and refusals.

The vendors document no refusals for failed and cancelled lists. Refusing with their status message is
a guess, and so are the texts of `INVALID_ACTION` and `DENIED`.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import attrs

from bulkverify.lifecycle import JobStatus
from bulkverify.models import JobSnapshot, Verdict
from bulkverify.sandbox.clock import us_text
from bulkverify.sandbox.ledger import Endpoint
from bulkverify.sandbox.vendors import ACCEPT_ALL, Vendor
from bulkverify.sandbox.verdicts import Flag, normalise

UPLOADED: Final = "Bulk email verification list has been created"
UPLOADED_AUTO_VERIFY: Final = f"{UPLOADED} and starts verification shortly"
STARTED: Final = "Job verification will be attempted shortly. Call /status endpoint to know the status of the Job"
DELETED: Final = "List will be deleted"

MESSAGES: Final[Mapping[JobStatus, str]] = MappingProxyType(
    {
        JobStatus.PREPARING: "Job is being prepared for verification",
        JobStatus.READY: "Job ready for verification. Please begin verification to know the result",
        JobStatus.VERIFYING: "Job is being verified",
        JobStatus.COMPLETED: "Verification completed successfully. Please download the result using /download endpoint",
        JobStatus.FAILED: "Unable to process your job, The uploaded list contains invalid data",
        JobStatus.CANCELLED: "Job is cancelled",
    }
)
"""The message of each status."""

VERDICT_MESSAGES: Final[Mapping[Verdict, str]] = MappingProxyType(
    {
        Verdict.DELIVERABLE: "This address can receive emails.",
        Verdict.UNDELIVERABLE: "This address can't receive emails.",
        Verdict.ACCEPT_ALL: "This domain accepts all emails.",
        Verdict.UNKNOWN: "This address could not be verified.",
    }
)
"""The message of each verdict on a single address."""


@attrs.frozen
class Refusal:
    """A refusal: its text, its HTTP status, and the JSON field that holds the text."""

    text: str
    status: int = attrs.field(default=400, kw_only=True)
    field: str = attrs.field(default="result", kw_only=True)
    success: bool | str = attrs.field(default=False, kw_only=True)

    def body(self) -> dict[str, object]:
        """Return the answer's JSON."""
        return {self.field: self.text, "success": self.success}


class RefusedError(Exception):
    """The service refuses a request."""

    def __init__(self, refusal: Refusal) -> None:
        """Keep the refusal to answer with."""
        super().__init__(refusal.text)
        self.refusal = refusal


INVALID_KEY: Final = Refusal("Invalid API Key", status=401)
DENIED: Final = Refusal("Access denied", status=403)
TOO_MANY_REQUESTS: Final = Refusal("Too Many Requests", status=429, success="false")
INVALID_JOB_ID: Final = Refusal("Job not found. Invalid jobId")
JOB_NOT_FOUND: Final = Refusal("Job not found")
INVALID_FILE: Final = Refusal("Invalid file data")
TOO_MANY_LISTS: Final = Refusal("The maximum number of lists has been reached.", field="message")
TOO_MANY_ACTIVE: Final = Refusal(
    "The maximum number of active verification lists has been reached.", field="message"
)
VERIFY_RESTRICTED: Final = Refusal("Verify restricted")
INVALID_ACTION: Final = Refusal("Invalid request. Required action.")
ALREADY_STARTED: Final = Refusal("Verification has already started.")
NOT_READY: Final = Refusal(
    "Job is not ready for verification, please call the /status endpoint and start verification once "
    "the status of the job turns to ready."
)
NO_CREDITS: Final = Refusal("Insufficient verification credits. Please order a plan.", status=402)
DOWNLOAD_RESTRICTED: Final = Refusal("DOWNLOAD-RESTRICTED")
INVALID_FILTER: Final = Refusal("Invalid filterResult. Please provide correct filterResult options")
NO_DOWNLOAD: Final[Mapping[JobStatus, Refusal]] = MappingProxyType(
    {
        JobStatus.PREPARING: Refusal(
            "Job is being prepared for verification, please start verifying and then download you result."
        ),
        JobStatus.READY: Refusal(
            "Job is ready for verification, please start verification and download your results once list "
            "verified."
        ),
        JobStatus.VERIFYING: Refusal("Job is being verified, please wait until it completes."),
        JobStatus.FAILED: Refusal(
            "List cannot be downloaded, The uploaded list contains invalid data."
        ),
        JobStatus.CANCELLED: Refusal(MESSAGES[JobStatus.CANCELLED]),
    }
)
NOT_DELETABLE: Final = Refusal("List is being processed, and cannot be deleted.")
ALREADY_DELETED: Final = Refusal("List not found, may be already deleted.")
EMAIL_REQUIRED: Final = Refusal("Invalid request. Required email.")
VALIDATION_TIMED_OUT: Final = Refusal("Validation timedout")

_IN_OTHER_WORDS: Final[Mapping[tuple[Endpoint, Refusal], Refusal]] = MappingProxyType(
    {
        ("verify", INVALID_KEY): attrs.evolve(INVALID_KEY, success="false"),
        ("verify", NO_CREDITS): Refusal(
            "Insufficient verification credits", status=402, success="false"
        ),
        ("verify", TOO_MANY_REQUESTS): attrs.evolve(TOO_MANY_REQUESTS, text="Too many requests"),
        ("credits", INVALID_KEY): attrs.evolve(INVALID_KEY, text="Invalid API key"),
    }
)


def worded(refusal: Refusal, endpoint: Endpoint) -> Refusal:
    """Return a refusal in the words of an endpoint."""
    return _IN_OTHER_WORDS.get((endpoint, refusal), refusal)


def acknowledgement(job_id: str, message: str) -> dict[str, object]:
    """Return the answer to an upload, a start or a deletion."""
    return {"job_id": job_id, "success": True, "message": message}


def verdict_answer(
    address: str, verdict: Verdict, flags: Flag, vendor: Vendor
) -> dict[str, object]:
    """Return the answer about a single address."""
    user, _, domain = normalise(address).rpartition("@")
    return {
        "result": ACCEPT_ALL[vendor] if verdict is Verdict.ACCEPT_ALL else verdict,
        "message": VERDICT_MESSAGES[verdict],
        "email": address,
        "user": user,
        "domain": domain,
        "accept_all": _ACCEPTS_ALL[verdict],
        "role": int(Flag.ROLE in flags),
        "free_email": int(Flag.ISP in flags),
        "disposable": int(Flag.DISPOSABLE in flags),
        "spamtrap": int(Flag.TRAP in flags),
        "success": True,
    }


_ACCEPTS_ALL: Final = {
    Verdict.DELIVERABLE: 2,
    Verdict.UNDELIVERABLE: 0,
    Verdict.ACCEPT_ALL: 1,
    Verdict.UNKNOWN: 2,
}


def status_answer(snapshot: JobSnapshot) -> dict[str, object]:
    """Return the answer to a poll, with the fields that this status has."""
    created_at = None if snapshot.created_at is None else us_text(snapshot.created_at)
    fields = attrs.asdict(attrs.evolve(snapshot, created_at=None)) | {"created_at": created_at}
    message = fields.pop("message")
    carried = {name: value for name, value in fields.items() if value is not None}
    return {**carried, "success": True, "message": message}

"""The texts of the service: acknowledgements, statuses and refusals.

Where the contract ends a text with an ellipsis, the rest is a guess. The contract has
no refusals for failed and cancelled lists. Refusing with their status message is also a guess.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import attrs

from bulkverify.lifecycle import JobStatus
from bulkverify.models import JobSnapshot, Verdict
from bulkverify.sandbox.clock import us_text

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

    def body(self) -> dict[str, object]:
        """Return the answer's JSON; only the 429 spells `false` as a string."""
        return {self.field: self.text, "success": "false" if self is TOO_MANY_REQUESTS else False}


class RefusedError(Exception):
    """The service refuses a request."""

    def __init__(self, refusal: Refusal) -> None:
        """Keep the refusal to answer with."""
        super().__init__(refusal.text)
        self.refusal = refusal


INVALID_KEY: Final = Refusal("Invalid API Key", status=401)
TOO_MANY_REQUESTS: Final = Refusal("Too Many Requests", status=429)
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
    "Job is not ready for verification, please call the /status endpoint to know the status of the Job"
)
NO_CREDITS: Final = Refusal("Insufficient verification credits. Please order a plan.", status=402)
DOWNLOAD_RESTRICTED: Final = Refusal("DOWNLOAD-RESTRICTED")
INVALID_FILTER: Final = Refusal("Invalid filterResult. Please provide correct filterResult options")
NO_DOWNLOAD: Final[Mapping[JobStatus, Refusal]] = MappingProxyType(
    {
        JobStatus.PREPARING: Refusal(
            "Job is being prepared for verification, please wait until it is ready."
        ),
        JobStatus.READY: Refusal(
            "Job is ready for verification, please start verification to download the results."
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


def acknowledgement(job_id: str, message: str) -> dict[str, object]:
    """Return the answer to an upload, a start or a deletion."""
    return {"job_id": job_id, "success": True, "message": message}


def status_answer(snapshot: JobSnapshot) -> dict[str, object]:
    """Return the answer to a poll, with the fields that this status has."""
    created_at = None if snapshot.created_at is None else us_text(snapshot.created_at)
    fields = attrs.asdict(attrs.evolve(snapshot, created_at=None)) | {"created_at": created_at}
    message = fields.pop("message")
    carried = {name: value for name, value in fields.items() if value is not None}
    return {**carried, "success": True, "message": message}

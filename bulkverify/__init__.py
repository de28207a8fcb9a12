"""The async Python SDK for bulk email verification.

Example:
    ```python
    async with Client() as client:
        job = await client.upload("contacts.csv")
        await wait_until(job, "ready")
        await job.start()
        await wait_until(job, "completed")
        await job.download("verified.csv")
    ```
"""

from importlib import import_module
from typing import TYPE_CHECKING, Final

from bulkverify._version import __version__
from bulkverify.client import Client
from bulkverify.errors import (
    AccountRestrictedError,
    AlreadyStartedError,
    AuthenticationError,
    BulkVerifyError,
    ClientClosedError,
    ConnectionFailedError,
    IllegalTransitionError,
    IncompleteDownloadError,
    IncompleteRunError,
    InsufficientCreditsError,
    InvalidListError,
    InvalidRequestError,
    JobCancelledError,
    JobFailedError,
    JobNotFoundError,
    JobNotStartedError,
    JournalError,
    LifecycleError,
    ListLimitError,
    NotReadyError,
    ProtocolError,
    RateLimitedError,
    RequestTimeoutError,
    ServerError,
    ServiceError,
    StartUncertainError,
    TransportError,
    UnexpectedRedirectError,
    UnreachableStatusError,
    UnreadableAnswerError,
    UploadUncertainError,
    UsageError,
    VerifyUncertainError,
    WaitTimeoutError,
)
from bulkverify.job import Job
from bulkverify.lifecycle import JobStatus
from bulkverify.models import (
    Acknowledgement,
    AddressVerdict,
    Analysis,
    Credits,
    JobSnapshot,
    ResultRow,
    Verdict,
    VerdictCounts,
)
from bulkverify.service.stats import Stats
from bulkverify.waiting.pacing import PollState, wait_for_progress
from bulkverify.waiting.waits import as_completed, wait_all, wait_until, watch

if TYPE_CHECKING:
    from bulkverify.lists import JoinedRow
    from bulkverify.run.models import (
        Durations,
        PartFailure,
        PartProgress,
        PartReport,
        RunPlan,
        RunProgress,
        RunReport,
        Stage,
    )
    from bulkverify.run.verify import plan_list, verify_list, verify_rows

__all__ = [
    "AccountRestrictedError",
    "Acknowledgement",
    "AddressVerdict",
    "AlreadyStartedError",
    "Analysis",
    "AuthenticationError",
    "BulkVerifyError",
    "Client",
    "ClientClosedError",
    "ConnectionFailedError",
    "Credits",
    "Durations",
    "IllegalTransitionError",
    "IncompleteDownloadError",
    "IncompleteRunError",
    "InsufficientCreditsError",
    "InvalidListError",
    "InvalidRequestError",
    "Job",
    "JobCancelledError",
    "JobFailedError",
    "JobNotFoundError",
    "JobNotStartedError",
    "JobSnapshot",
    "JobStatus",
    "JoinedRow",
    "JournalError",
    "LifecycleError",
    "ListLimitError",
    "NotReadyError",
    "PartFailure",
    "PartProgress",
    "PartReport",
    "PollState",
    "ProtocolError",
    "RateLimitedError",
    "RequestTimeoutError",
    "ResultRow",
    "RunPlan",
    "RunProgress",
    "RunReport",
    "ServerError",
    "ServiceError",
    "Stage",
    "StartUncertainError",
    "Stats",
    "TransportError",
    "UnexpectedRedirectError",
    "UnreachableStatusError",
    "UnreadableAnswerError",
    "UploadUncertainError",
    "UsageError",
    "Verdict",
    "VerdictCounts",
    "VerifyUncertainError",
    "WaitTimeoutError",
    "__version__",
    "as_completed",
    "plan_list",
    "verify_list",
    "verify_rows",
    "wait_all",
    "wait_for_progress",
    "wait_until",
    "watch",
]

# Whole lists take as long to import as all the rest, and services that only wait need none of that.
_LATER: Final = {
    "JoinedRow": "bulkverify.lists",
    "Durations": "bulkverify.run.models",
    "PartFailure": "bulkverify.run.models",
    "PartProgress": "bulkverify.run.models",
    "PartReport": "bulkverify.run.models",
    "RunPlan": "bulkverify.run.models",
    "RunProgress": "bulkverify.run.models",
    "RunReport": "bulkverify.run.models",
    "Stage": "bulkverify.run.models",
    "plan_list": "bulkverify.run.verify",
    "verify_list": "bulkverify.run.verify",
    "verify_rows": "bulkverify.run.verify",
}


def __getattr__(name: str) -> object:
    module = _LATER.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})

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

from bulkverify._version import __version__
from bulkverify.client import Client, Job
from bulkverify.errors import (
    AccountRestrictedError,
    AlreadyStartedError,
    AuthenticationError,
    BulkVerifyError,
    ClientClosedError,
    ConnectionFailedError,
    IllegalTransitionError,
    IncompleteDownloadError,
    InsufficientCreditsError,
    InvalidListError,
    InvalidRequestError,
    JobCancelledError,
    JobFailedError,
    JobNotFoundError,
    JobNotStartedError,
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
from bulkverify.pacing import PollState, wait_for_progress
from bulkverify.run import RunProgress, RunReport, Stage, verify_list
from bulkverify.stats import Stats
from bulkverify.waiting import as_completed, wait_all, wait_until, watch

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
    "IllegalTransitionError",
    "IncompleteDownloadError",
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
    "LifecycleError",
    "ListLimitError",
    "NotReadyError",
    "PollState",
    "ProtocolError",
    "RateLimitedError",
    "RequestTimeoutError",
    "ResultRow",
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
    "verify_list",
    "wait_all",
    "wait_for_progress",
    "wait_until",
    "watch",
]

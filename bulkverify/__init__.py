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
from bulkverify.lifecycle import JobStatus
from bulkverify.lists import JoinedRow
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
from bulkverify.run.report import (
    Durations,
    PartFailure,
    PartProgress,
    PartReport,
    RunPlan,
    RunProgress,
    RunReport,
    Stage,
)
from bulkverify.run.whole import plan_list, verify_list, verify_rows
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

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

if TYPE_CHECKING:
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
        VerifyTimeoutError,
        VerifyUncertainError,
        WaitTimeoutError,
    )
    from bulkverify.lifecycle import JobStatus, StatusName
    from bulkverify.lists import (
        CellExample,
        CellKind,
        DomainCounts,
        Domains,
        EarlierVerdict,
        FilterReport,
        Finding,
        JoinedRow,
        ListFormat,
        Reused,
        RowGroup,
    )
    from bulkverify.models import (
        Acknowledgement,
        AddressVerdict,
        Analysis,
        Credits,
        FlagName,
        JobSnapshot,
        ResultRow,
        Verdict,
        VerdictCounts,
        VerdictName,
    )
    from bulkverify.run.earlier import MaxAge, ReuseSource
    from bulkverify.run.filter import filter_list
    from bulkverify.run.models import (
        Confirm,
        CurvePoint,
        Durations,
        IncompleteRunError,
        JournalError,
        PartFailure,
        PartProgress,
        PartReport,
        PlannedList,
        RunPlan,
        RunProgress,
        RunReport,
        Stage,
    )
    from bulkverify.run.plan import plan_list
    from bulkverify.run.source import RunSource
    from bulkverify.run.verify import verify_list, verify_rows
    from bulkverify.service.transport import Stats
    from bulkverify.service.uploads import UploadSource
    from bulkverify.waiting.pacing import PollState, Progress, wait_for_progress
    from bulkverify.waiting.waits import as_completed, wait_all, wait_until, watch

__all__ = [
    "AccountRestrictedError",
    "Acknowledgement",
    "AddressVerdict",
    "AlreadyStartedError",
    "Analysis",
    "AuthenticationError",
    "BulkVerifyError",
    "CellExample",
    "CellKind",
    "Client",
    "ClientClosedError",
    "Confirm",
    "ConnectionFailedError",
    "Credits",
    "CurvePoint",
    "DomainCounts",
    "Domains",
    "Durations",
    "EarlierVerdict",
    "FilterReport",
    "Finding",
    "FlagName",
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
    "ListFormat",
    "ListLimitError",
    "MaxAge",
    "NotReadyError",
    "PartFailure",
    "PartProgress",
    "PartReport",
    "PlannedList",
    "PollState",
    "Progress",
    "ProtocolError",
    "RateLimitedError",
    "RequestTimeoutError",
    "ResultRow",
    "ReuseSource",
    "Reused",
    "RowGroup",
    "RunPlan",
    "RunProgress",
    "RunReport",
    "RunSource",
    "ServerError",
    "ServiceError",
    "Stage",
    "StartUncertainError",
    "Stats",
    "StatusName",
    "TransportError",
    "UnexpectedRedirectError",
    "UnreachableStatusError",
    "UnreadableAnswerError",
    "UploadSource",
    "UploadUncertainError",
    "UsageError",
    "Verdict",
    "VerdictCounts",
    "VerdictName",
    "VerifyTimeoutError",
    "VerifyUncertainError",
    "WaitTimeoutError",
    "__version__",
    "as_completed",
    "filter_list",
    "plan_list",
    "verify_list",
    "verify_rows",
    "wait_all",
    "wait_for_progress",
    "wait_until",
    "watch",
]

# The public names of each module; all others come from `errors`.
_MODULES: Final = {
    "client": "Client Job",
    "lifecycle": "JobStatus StatusName",
    "lists": "CellExample CellKind DomainCounts Domains EarlierVerdict FilterReport Finding JoinedRow ListFormat "
    "Reused RowGroup",
    "run.earlier": "MaxAge ReuseSource",
    "models": "Acknowledgement AddressVerdict Analysis Credits FlagName "
    "JobSnapshot ResultRow Verdict VerdictCounts VerdictName",
    "run.models": "Confirm CurvePoint Durations IncompleteRunError JournalError PartFailure PartProgress PartReport "
    "PlannedList RunPlan RunProgress RunReport Stage",
    "run.filter": "filter_list",
    "run.plan": "plan_list",
    "run.source": "RunSource",
    "run.verify": "verify_list verify_rows",
    "service.transport": "Stats",
    "service.uploads": "UploadSource",
    "waiting.pacing": "PollState Progress wait_for_progress",
    "waiting.waits": "as_completed wait_all wait_until watch",
}
# Names of the packages beside it that people look for here.
_ELSEWHERE: Final = {
    "Engine": "durable",
    "Fault": "sandbox",
    "Sandbox": "sandbox",
    "virtual_clock": "testing",
}
_HOMES: Final = {name: module for module, names in _MODULES.items() for name in names.split()}

if not TYPE_CHECKING:  # with `__getattr__`, type checkers would accept any name

    def __getattr__(name: str) -> object:
        """Import a public name when it is first used: the command line needs few of them."""
        if name == "errors" or name in _MODULES:
            return import_module(f"{__name__}.{name}")
        if name in _ELSEWHERE:  # an AttributeError would lose its text in a `from` import
            home = f"{__name__}.{_ELSEWHERE[name]}"
            raise ImportError(f"{name} is in {home}: from {home} import {name}")
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module = import_module(f"{__name__}.{_HOMES.get(name, 'errors')}")
        globals()[name] = value = getattr(module, name)
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})

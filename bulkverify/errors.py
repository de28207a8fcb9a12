"""Everything that can go wrong, as a tree.

    BulkVerifyError
    ├── UsageError                    the call can't be right, and nothing was sent (also a ValueError)
    │   └── JournalError                the progress of an earlier run does not fit this one; `.path`
    ├── TransportError                no usable answer
    │   ├── ConnectionFailedError       the connection could not be made, or broke
    │   ├── RequestTimeoutError         the service took too long (also a TimeoutError)
    │   ├── ProtocolError               the answer is not what the contract says; `.path` names the field
    │   │   ├── UnreadableAnswerError     not JSON, most likely a page of a proxy in between
    │   │   └── UnexpectedRedirectError   a redirect, which is never followed
    │   ├── IncompleteDownloadError     fewer rows arrived than the list has
    │   ├── UploadUncertainError        sent, but the answer was lost: the list may be there or not
    │   ├── StartUncertainError         the same for a start; to start again is safe
    │   ├── VerifyUncertainError        the same for a single address
    │   └── ClientClosedError           the client was closed, and nothing was sent
    ├── ServiceError                  the service refused; `.status` and `.text` are what it said
    │   ├── AuthenticationError         401, the key is wrong
    │   ├── InsufficientCreditsError    402, not enough credits
    │   ├── AccountRestrictedError      the account is under review
    │   ├── JobNotFoundError            no such list
    │   ├── InvalidListError            the list is unusable, or too large
    │   ├── InvalidRequestError         a parameter was not understood
    │   ├── ListLimitError              too many lists on the account
    │   ├── NotReadyError               the job is not yet where this call needs it
    │   ├── AlreadyStartedError         the verification was started before
    │   ├── RateLimitedError            429, too many requests; `.retry_after` in seconds
    │   └── ServerError                 5xx, the service or a proxy before it is broken
    ├── LifecycleError                the job took another way; `.job_id` and `.snapshot` tell which
    │   ├── JobFailedError
    │   ├── JobCancelledError
    │   ├── JobNotStartedError          it is ready, and was not started
    │   ├── UnreachableStatusError      it has ended, and the awaited status can't come any more
    │   ├── IllegalTransitionError      the service reports a step that no job can take
    │   └── WaitTimeoutError            the deadline came first (also a TimeoutError)
    └── IncompleteRunError            parts of a list have no verdicts; `.report` and `.failures` tell which

`JournalError` and `IncompleteRunError` are defined beside the runs that raise them.

Every extra is keyword-only and has a default, so that each error survives pickling: process pools send
errors that way. No message, hint, attribute or chained exception holds the API key.
"""

from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:  # they are only named here
    from bulkverify.lifecycle import JobStatus
    from bulkverify.models import JobSnapshot


class BulkVerifyError(Exception):
    """The root of everything that bulkverify raises on purpose.

    `str(error)` is the message, followed by the hint.
    """

    hint: str = ""
    """What to do next, if that is a call or an argument in Python; else empty."""

    shell_hint: str = ""
    """The same in the words of the command line."""

    @property
    def message(self) -> str:
        """What happened, without the hint."""
        return super().__str__()

    def __str__(self) -> str:
        return " ".join(filter(None, (self.message, self.hint)))

    def with_hint(self, hint: str, shell_hint: str) -> Self:
        """Add what to do next, in Python and for the command line; return the error itself."""
        self.hint = hint
        self.shell_hint = shell_hint
        return self


class UsageError(BulkVerifyError, ValueError):
    """The call can't be right, and nothing was sent. The message says what to change."""


class TransportError(BulkVerifyError):
    """No usable answer came back."""


class ConnectionFailedError(TransportError):
    """The connection could not be made, or it broke.

    `sent` is `False` only if the request certainly never left this machine.
    """

    def __init__(self, message: str = "", *, sent: bool = True) -> None:
        super().__init__(message)
        self.sent = sent


class RequestTimeoutError(TransportError, TimeoutError):
    """The service did not answer one request in time.

    `sent` is `False` only if the request certainly never left this machine.
    """

    def __init__(self, message: str = "", *, sent: bool = True) -> None:
        super().__init__(message)
        self.sent = sent


class ProtocolError(TransportError):
    """An answer that is not what the contract says.

    `path` names the field (`results.unknown`), `status` is the HTTP status of the answer.
    """

    def __init__(
        self, message: str = "", *, path: str | None = None, status: int | None = None
    ) -> None:
        super().__init__(message)
        self.path = path
        self.status = status


class UnreadableAnswerError(ProtocolError):
    """The answer is not JSON, most likely a page of a proxy in between."""


class UnexpectedRedirectError(ProtocolError):
    """The service answered with a redirect.

    It is never followed, because the key would travel along. Correct the base URL instead.
    """


class IncompleteDownloadError(TransportError):
    """Only `received` of `expected` rows of the results arrived. The file was not written."""

    def __init__(
        self, message: str = "", *, received: int | None = None, expected: int | None = None
    ) -> None:
        super().__init__(message)
        self.received = received
        self.expected = expected


class UploadUncertainError(TransportError):
    """An upload was sent and its answer was lost, so the list may or may not be on the service.

    It was not sent again, because each copy of a list can be charged for. With `auto_verify`, a copy
    that arrived is being verified and paid for.
    """

    def __init__(self, message: str = "", *, auto_verify: bool = False) -> None:
        super().__init__(message)
        self.auto_verify = auto_verify


class StartUncertainError(TransportError):
    """A start was sent, and no answer told whether it arrived. To start `job_id` again is safe."""

    def __init__(self, message: str = "", *, job_id: str | None = None) -> None:
        super().__init__(message)
        self.job_id = job_id


class VerifyUncertainError(TransportError):
    """The answer for a single address was lost. It may have cost a credit."""


class ClientClosedError(TransportError):
    """The client was closed, and nothing was sent."""


class ServiceError(BulkVerifyError):
    """The service refused.

    `status` is the HTTP status, or `None` if the rule was checked here before anything was sent.
    `text` is what the service said, in its own words.
    """

    def __init__(self, message: str = "", *, status: int | None = None, text: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.text = text


class AuthenticationError(ServiceError):
    """The API key is wrong (401)."""


class InsufficientCreditsError(ServiceError):
    """The account has fewer credits than the call costs (402)."""


class AccountRestrictedError(ServiceError):
    """The account is under review and may not do this."""


class JobNotFoundError(ServiceError):
    """The account has no list with this id, or no longer has it."""


class InvalidListError(ServiceError):
    """The list is unusable, or larger than the service takes."""


class InvalidRequestError(ServiceError):
    """The service did not understand a parameter."""


class ListLimitError(ServiceError):
    """The account has too many lists that are not yet verified, or too many that are verifying."""


class NotReadyError(ServiceError):
    """The job is in a status that does not allow this call."""


class AlreadyStartedError(ServiceError):
    """The verification of this list was started before. Nothing was paid again."""


class RateLimitedError(ServiceError):
    """Too many requests (429); `retry_after` is the pause in seconds that the service asked for, if any."""

    def __init__(
        self,
        message: str = "",
        *,
        status: int | None = None,
        text: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, status=status, text=text)
        self.retry_after = retry_after


class ServerError(ServiceError):
    """The service, or a proxy before it, is broken (5xx); `retry_after` is as in `RateLimitedError`."""

    def __init__(
        self,
        message: str = "",
        *,
        status: int | None = None,
        text: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, status=status, text=text)
        self.retry_after = retry_after


class LifecycleError(BulkVerifyError):
    """The job took another way than the caller waited for; `snapshot` is the last one seen."""

    def __init__(
        self,
        message: str = "",
        *,
        job_id: str | None = None,
        snapshot: "JobSnapshot | None" = None,
    ) -> None:
        super().__init__(message)
        self.job_id = job_id
        self.snapshot = snapshot


class JobFailedError(LifecycleError):
    """The service could not use the list."""


class JobCancelledError(LifecycleError):
    """The job was ended by the vendor; the API can't cancel a job."""


class JobNotStartedError(LifecycleError):
    """The job is ready and was not started, and the caller waits for more."""


class UnreachableStatusError(LifecycleError):
    """The job has ended, and the awaited status can no longer come."""


class IllegalTransitionError(LifecycleError):
    """The service keeps reporting a step that no job can take, from `known` to `seen`."""

    def __init__(
        self,
        message: str = "",
        *,
        job_id: str | None = None,
        snapshot: "JobSnapshot | None" = None,
        known: "JobStatus | None" = None,
        seen: "JobStatus | None" = None,
    ) -> None:
        super().__init__(message, job_id=job_id, snapshot=snapshot)
        self.known = known
        self.seen = seen


class WaitTimeoutError(LifecycleError, TimeoutError):
    """The deadline of a wait came before the awaited status. The job itself goes on.

    `polls` counts the polls of the job. `last_error` is the error of the last poll that failed.
    """

    def __init__(
        self,
        message: str = "",
        *,
        job_id: str | None = None,
        snapshot: "JobSnapshot | None" = None,
        polls: int = 0,
        last_error: BulkVerifyError | None = None,
    ) -> None:
        super().__init__(message, job_id=job_id, snapshot=snapshot)
        self.polls = polls
        self.last_error = last_error

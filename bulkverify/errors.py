"""Everything that can go wrong, as a tree.

    BulkVerifyError
    ├── UsageError                    the call is wrong, and nothing was sent (also a ValueError)
    │   └── JournalError                the progress of an earlier run does not fit this one; `.path`
    ├── TransportError                no usable answer
    │   ├── ConnectionFailedError       the connection could not be made, or broke
    │   ├── RequestTimeoutError         the service took too long (also a TimeoutError)
    │   ├── ProtocolError               the answer breaks the contract; `.path` names the field
    │   │   ├── UnreadableAnswerError     not JSON, most likely a proxy's error page
    │   │   └── UnexpectedRedirectError   a redirect, which is never followed
    │   ├── IncompleteDownloadError     fewer rows arrived than the list has
    │   ├── UploadUncertainError        the answer to an upload was lost; the list may have arrived
    │   ├── StartUncertainError         the answer to a start was lost; starting again is safe
    │   ├── VerifyUncertainError        the answer for a single address was lost
    │   └── ClientClosedError           the client was closed, and nothing was sent
    ├── ServiceError                  the service refused; `.status` and `.text` are its answer
    │   ├── AuthenticationError         401, the key is wrong
    │   ├── InsufficientCreditsError    402, not enough credits
    │   ├── AccountRestrictedError      the account is under review
    │   ├── JobNotFoundError            no such list
    │   ├── InvalidListError            the list is unusable, or too large
    │   ├── InvalidRequestError         a parameter was not understood
    │   ├── ListLimitError              too many lists on the account
    │   ├── NotReadyError               the job's status does not allow this call
    │   ├── AlreadyStartedError         the verification was started before
    │   ├── RateLimitedError            429, too many requests; `.retry_after` in seconds
    │   ├── VerifyTimeoutError          out of time for a single address (also a TimeoutError)
    │   └── ServerError                 5xx, the service or its proxy is broken
    ├── LifecycleError                a wait ended without the awaited status; `.job_id`, `.snapshot`
    │   ├── JobFailedError
    │   ├── JobCancelledError
    │   ├── JobNotStartedError          the job is ready, and was not started
    │   ├── UnreachableStatusError      the job has ended, and the awaited status can't come any more
    │   ├── IllegalTransitionError      the service keeps reporting an earlier status
    │   └── WaitTimeoutError            the deadline came first (also a TimeoutError)
    └── IncompleteRunError            parts of a list have no verdicts; see `.report` and `.failures`

`JournalError` and `IncompleteRunError` are defined beside the runs that raise them.

Extra arguments are keyword-only and have defaults, so that every error can be pickled, for example by
a process pool. No message, hint, attribute or chained exception holds the API key.
"""

from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from bulkverify.lifecycle import JobStatus
    from bulkverify.models import JobSnapshot


def plural(count: int, noun: str, many: str = "") -> str:
    """Write a number and its noun."""
    return f"{count:,} {noun if count == 1 else many or f'{noun}s'}"


def clause(text: object) -> str:
    """Return a text without its full stop, so that the sentence around it can go on."""
    return str(text).rstrip(". ")


class BulkVerifyError(Exception):
    """The root of everything that bulkverify raises on purpose.

    `str(error)` is the message, followed by the hint.
    """

    hint: str = ""
    """What to do next, in Python. It is empty if the message already says so."""

    shell_hint: str = ""
    """What to do next, on the command line."""

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
    """The call is wrong, and nothing was sent. The message says what to change."""


class TransportError(BulkVerifyError):
    """No usable answer came back."""


class ConnectionFailedError(TransportError):
    """The connection could not be made, or it broke.

    `sent` is `False` if the request certainly never left this machine, and `True` otherwise.
    """

    def __init__(self, message: str = "", *, sent: bool = True) -> None:
        super().__init__(message)
        self.sent = sent


class RequestTimeoutError(TransportError, TimeoutError):
    """The service did not answer a request in time.

    `sent` is `False` if the request certainly never left this machine, and `True` otherwise.
    """

    def __init__(self, message: str = "", *, sent: bool = True) -> None:
        super().__init__(message)
        self.sent = sent


class ProtocolError(TransportError):
    """The answer breaks the contract.

    `path` names the field (`results.unknown`), `status` is the HTTP status of the answer.
    """

    def __init__(
        self, message: str = "", *, path: str | None = None, status: int | None = None
    ) -> None:
        super().__init__(message)
        self.path = path
        self.status = status


class UnreadableAnswerError(ProtocolError):
    """The answer is not JSON, most likely a proxy's error page."""


class UnexpectedRedirectError(ProtocolError):
    """The service answered with a redirect.

    It is not followed, because that would send the key to another address. Correct the base URL.
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
    """The answer to an upload was lost, so the list may or may not be on the service.

    It was not sent again, because each copy of a list can cost credits. With `auto_verify`, a list that
    has arrived is being verified and paid for.
    """

    def __init__(self, message: str = "", *, auto_verify: bool = False) -> None:
        super().__init__(message)
        self.auto_verify = auto_verify


class StartUncertainError(TransportError):
    """A start was sent, and may or may not have arrived. Starting `job_id` again is safe."""

    def __init__(self, message: str = "", *, job_id: str | None = None) -> None:
        super().__init__(message)
        self.job_id = job_id


class VerifyUncertainError(TransportError):
    """The answer for a single address was lost. The verification may have cost a credit."""


class ClientClosedError(TransportError):
    """The client was closed, and nothing was sent."""


class ServiceError(BulkVerifyError):
    """The service refused.

    `status` is the HTTP status, or `None` if the call was refused before anything was sent. `text` is
    the service's own text.
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
    """The account has no list with this id. It may have been deleted."""


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


class VerifyTimeoutError(ServiceError, TimeoutError):
    """The service ran out of time for a single address. No credit is known to be spent."""


class RateLimitedError(ServiceError):
    """Too many requests (429). `retry_after` is the requested pause in seconds, or `None`."""

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
    """The service or its proxy is broken (5xx). `retry_after` is the requested pause in seconds, or `None`."""

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
    """A wait ended without the awaited status. `snapshot` is the last one seen."""

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
    """The vendor cancelled the job. The API has no call for that."""


class JobNotStartedError(LifecycleError):
    """The job stays ready, because it was not started."""


class UnreachableStatusError(LifecycleError):
    """The job has ended, and the awaited status can no longer come."""


class IllegalTransitionError(LifecycleError):
    """The service keeps reporting `seen`, an earlier status than `known`."""

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

    `polls` counts the polls during the wait. `last_error` is the error of the last failed poll.
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

"""Turns an answer into its JSON object, or into one of our errors. This module does no I/O.

The service distinguishes its errors by status code and text. The text is under `result` or `message`,
and the same error has several spellings.
"""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import attrs

from bulkverify.errors import (
    AccountRestrictedError,
    AlreadyStartedError,
    AuthenticationError,
    BulkVerifyError,
    InsufficientCreditsError,
    InvalidListError,
    InvalidRequestError,
    JobNotFoundError,
    ListLimitError,
    NotReadyError,
    ProtocolError,
    RateLimitedError,
    ServerError,
    ServiceError,
    UnexpectedRedirectError,
    UnreadableAnswerError,
    VerifyTimeoutError,
)
from bulkverify.limits import REQUESTS_PER_MINUTE, RETENTION_DAYS
from bulkverify.models import Verdict

_EXCERPT_CHARACTERS: Final = 200
# Plain numbers, because looking up an enum member takes longer than the comparison.
_OK: Final = int(HTTPStatus.OK)
_MULTIPLE_CHOICES: Final = int(HTTPStatus.MULTIPLE_CHOICES)
_LONGEST_PAGE_BYTES: Final = 16 * 1024
# An unclosed tag extends to the end of the page. Searching again from every `<` would take seconds.
_TAG: Final = re.compile(
    r"<(script|style)\b.*?(?:</\1\s*>|\Z)|<[^>]*(?:>|\Z)", re.DOTALL | re.IGNORECASE
)


class Endpoint(StrEnum):
    """The service's calls. Each has its own limit of requests per minute."""

    UPLOAD = "upload"
    STATUS = "status"
    START = "start"
    DOWNLOAD = "download"
    DELETE = "delete"
    VERIFY = "verify"
    CREDITS = "credits"


@attrs.frozen(kw_only=True)
class Answer:
    """An HTTP answer. The names of its headers may have any case."""

    status: int
    headers: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    body: bytes = attrs.field(default=b"", repr=False)


def accepted(answer: Answer, endpoint: Endpoint, job_id: str | None = None) -> dict[str, Any]:
    """Return the JSON object of a successful answer; raise one of our errors for any other answer."""
    payload: object = None
    readable = True
    try:
        payload = json.loads(answer.body)
    except (ValueError, RecursionError):
        readable = False
    if (
        _OK <= answer.status < _MULTIPLE_CHOICES
        and isinstance(payload, dict)
        and not _says_no(payload.get("success"))
    ):
        # Some serialisers write a missing field as null.
        if None in payload.values():
            payload = {name: value for name, value in payload.items() if value is not None}
        if isinstance(message := payload.get("message"), str):
            payload["message"] = printable(message)
        return payload
    raise _refusal(answer, endpoint, job_id, payload, readable=readable)


def _says_no(success: object) -> bool:
    return success is False or (isinstance(success, str) and success.strip().lower() == "false")


def retry_after(headers: Mapping[str, str], *, now: datetime | None = None) -> float | None:
    """Parse a `Retry-After`, a number of seconds or a date, into seconds.

    A date is compared with the header `Date`, or with `now` if there is none.
    """
    found = {name.lower(): value.strip() for name, value in headers.items()}
    text = found.get("retry-after", "")
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text):
        return float(text)
    moment = _moment(text)
    if moment is None:
        return None
    asked_at = _moment(found.get("date", "")) or now or datetime.now(UTC)
    return max(0.0, (moment - asked_at).total_seconds())


def _moment(text: str) -> datetime | None:
    """Parse the date of a header."""
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


# What to do next: one text, or one hint for Python and one for the command line.
_Advice: TypeAlias = str | tuple[str, str]

_BY_STATUS: Final = MappingProxyType[int, tuple[type[ServiceError], _Advice]](
    {
        HTTPStatus.UNAUTHORIZED: (
            AuthenticationError,
            (
                "Check the key (from `api_key` or BULKVERIFY_API_KEY) and the base URL: each vendor has its own.",
                "Check the key (from --api-key-file or BULKVERIFY_API_KEY) and the base URL: each vendor has its own.",
            ),
        ),
        HTTPStatus.PAYMENT_REQUIRED: (
            InsufficientCreditsError,
            "Nothing was spent; order credits.",
        ),
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE: (
            InvalidListError,
            "Split the list into smaller ones.",
        ),
    }
)

TIMED_OUT: Final = "validation timed"
"""Observed for one address: `Validation timedout`. Its HTTP status is unknown."""

# What to do once there are credits.
_AFTER_ORDER: Final = MappingProxyType(
    {
        Endpoint.UPLOAD: "upload the list again",
        Endpoint.START: "start the job again",
        Endpoint.VERIFY: "verify the address again",
    }
)

# The first entry that the text begins with applies. Case and spacing are ignored.
_BY_TEXT: Final[tuple[tuple[str, type[ServiceError], _Advice], ...]] = (
    ("invalid api key", *_BY_STATUS[HTTPStatus.UNAUTHORIZED]),
    ("insufficient verification credits", *_BY_STATUS[HTTPStatus.PAYMENT_REQUIRED]),
    ("insufficient credits", *_BY_STATUS[HTTPStatus.PAYMENT_REQUIRED]),
    (
        "job not found",
        JobNotFoundError,
        f"Check the id. Lists are deleted after {RETENTION_DAYS} days, and can't be restored.",
    ),
    ("list not found", JobNotFoundError, "Check the id, unless you have deleted it."),
    (
        "invalid file data",
        InvalidListError,
        "Upload a CSV text file that has a column of addresses.",
    ),
    ("list cannot be downloaded", InvalidListError, "The job has failed; upload a corrected list."),
    (
        "the maximum number of",
        ListLimitError,
        "Wait until other lists are verified, or delete some.",
    ),
    (
        "verify restricted",
        AccountRestrictedError,
        "Ask the vendor's support to release the account.",
    ),
    (
        "download-restricted",
        AccountRestrictedError,
        "Ask the vendor's support to release the account.",
    ),
    ("verification has already started", AlreadyStartedError, "Wait for it to complete."),
    (
        "job is not ready for verification",
        NotReadyError,
        ('Wait until it is: `wait_until(job, "ready")`.', "Wait until it is."),
    ),
    (
        "job is being prepared",
        NotReadyError,
        "Wait until it is ready, start it, and wait until it completes.",
    ),
    ("job is ready for verification", NotReadyError, "Start it, and wait until it completes."),
    (
        "job is being verified",
        NotReadyError,
        ('Wait until it completes: `wait_until(job, "completed")`.', "Wait until it completes."),
    ),
    ("list is being processed", NotReadyError, "Only ready and completed lists can be deleted."),
    ("invalid filterresult", InvalidRequestError, f"The verdicts are {', '.join(Verdict)}."),
    ("invalid request", InvalidRequestError, "Check the call's arguments."),
)


def _refusal(
    answer: Answer, endpoint: Endpoint, job_id: str | None, payload: object, *, readable: bool
) -> BulkVerifyError:
    """Return the error for an unsuccessful answer."""
    code = answer.status
    text = _text_of(payload) or excerpt(answer.body)
    call = f"the {endpoint} call" + (f" for job {job_id}" if job_id else "")
    said = f"{code} {printable(text)}".rstrip(" .")
    if endpoint is Endpoint.VERIFY and begins_with(text, TIMED_OUT):
        message = (
            f"The service ran out of time for {call}: {said}. No credit is known to be spent; verify the "
            "address again later."
        )
        return VerifyTimeoutError(message, status=code, text=text)
    if code == HTTPStatus.TOO_MANY_REQUESTS or code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return _outage(answer, call, text, said, readable=readable)
    if HTTPStatus.MULTIPLE_CHOICES <= code < HTTPStatus.BAD_REQUEST:
        return UnexpectedRedirectError(
            f"The service answered {call} with a redirect ({code}). It was not followed, because that would "
            "send the key to another address. Correct the base URL.",
            status=code,
        )
    login = code == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED
    if login or (not readable and code not in _BY_STATUS):
        return UnreadableAnswerError(
            f"A proxy refused {call}, because it wants another user and password (407). Write them in the "
            "URL of the proxy, such as http://user:password@proxy.example.com:3128 in HTTP_PROXY."
            if login
            else f"The answer to {call} is not JSON but {said!r}, most likely a proxy's error page. "
            "Check the base URL, which ends in /v1 at the services that are known, or try again later.",
            status=code,
        )
    if not isinstance(payload, dict) and code not in _BY_STATUS:
        return ProtocolError(
            f"The answer to {call} is JSON, but not an object: {text!r}.", path="$", status=code
        )
    kind, advice = _classify(code, text)
    if kind is InsufficientCreditsError and endpoint in _AFTER_ORDER:
        advice = f"Nothing was spent; order credits, then {_AFTER_ORDER[endpoint]}."
    same, hints = ("", advice) if isinstance(advice, tuple) else (advice, ("", ""))
    who = "The service" if readable else "The service, or a proxy,"
    message = f"{who} refused {call}: {said}. {same}".rstrip()
    return kind(message, status=code, text=text).with_hint(*hints)


def _outage(
    answer: Answer, call: str, text: str, said: str, *, readable: bool
) -> RateLimitedError | ServerError:
    """Return the error for a service that throttles, or that is broken."""
    code, pause = answer.status, retry_after(answer.headers)
    if code == HTTPStatus.TOO_MANY_REQUESTS:
        message = (
            f"The service throttles {call}: {said}. All programs that use this key share {REQUESTS_PER_MINUTE} "
            "requests per minute to each endpoint; wait, or send fewer."
        )
        return RateLimitedError(message, status=code, text=text, retry_after=pause)
    who = "The service" if readable else "A proxy, most likely,"
    message = f"{who} could not answer {call}: {said}. Try again later."
    return ServerError(message, status=code, text=text, retry_after=pause)


def _classify(code: int, text: str) -> tuple[type[ServiceError], _Advice]:
    if code in _BY_STATUS:
        return _BY_STATUS[HTTPStatus(code)]
    for beginning, kind, advice in _BY_TEXT:
        if begins_with(text, beginning):
            return kind, advice
    return ServiceError, ""


def begins_with(text: str, *beginnings: str) -> bool:
    """Return whether a text begins with one of these, ignoring case and spacing."""
    return " ".join(text.lower().split()).startswith(beginnings)


def _text_of(payload: object) -> str:
    if not isinstance(payload, dict):
        return ""
    texts = (payload.get(name) for name in ("result", "message", "error"))
    return next(
        (text[:_EXCERPT_CHARACTERS] for text in texts if isinstance(text, str) and text), ""
    )


def printable(text: str) -> str:
    """Replace the characters that could control a terminal or start a new line."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else " " for character in text)


def excerpt(body: bytes) -> str:
    """Return the beginning of a body as one line for a message."""
    text = body[:_LONGEST_PAGE_BYTES].decode("utf-8", "replace")
    if text.lstrip().startswith("<"):  # a page: keep its visible text
        text = _TAG.sub(" ", text)
    return printable(" ".join(text.split())[:_EXCERPT_CHARACTERS])

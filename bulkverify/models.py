"""The service's data as frozen attrs classes, and parsers for its texts."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Final, Literal, TypeAlias

import attrs

from bulkverify.lifecycle import TERMINAL, JobStatus


class Verdict(StrEnum):
    """The result of verifying an address.

    `Verdict(text)` takes every spelling of the service: `accept-all`, `accept_all`, `Accept All`.
    """

    DELIVERABLE = "deliverable"
    """The mailbox exists and takes mail."""
    UNDELIVERABLE = "undeliverable"
    """The mailbox does not exist, or the text is not an address."""
    ACCEPT_ALL = "accept-all"
    """The domain takes mail for every address, so the mailbox may not exist."""
    UNKNOWN = "unknown"
    """The mail server gave no clear answer."""

    @classmethod
    def _missing_(cls, value: object) -> "Verdict | None":
        if not isinstance(value, str):
            return None
        folded = re.sub(r"[\s_-]+", "-", value.strip().lower())
        return next((verdict for verdict in cls if verdict.value == folded), None)


VerdictName: TypeAlias = Literal[
    "deliverable", "undeliverable", "accept-all", "accept_all", "accept all", "unknown"
]
"""The text of a `Verdict`. For a text that is not known until run time, write `Verdict(text)`."""

FlagName: TypeAlias = Literal["syntax_error", "common_isp", "role_based", "disposable", "spamtrap"]
"""The name of a flag, as in `ResultRow`."""


@attrs.frozen(kw_only=True, weakref_slot=False)  # there may be 100,000
class Analysis:
    """How many addresses of a list have each flag, counted before anything is verified.

    Bouncify's documentation swaps the definitions of `common_isp` and `role_based`.
    """

    common_isp: int
    """Addresses at free providers, such as Gmail and Yahoo!."""
    role_based: int
    """Addresses of a role, such as info@ and sales@."""
    disposable: int
    """Addresses at providers of short-lived mailboxes."""
    spamtrap: int
    """Addresses that exist to catch senders of spam."""
    syntax_error: int
    """Texts that are not addresses."""


@attrs.frozen(kw_only=True, weakref_slot=False)  # there may be 100,000
class VerdictCounts:
    """How many addresses have each verdict."""

    deliverable: int
    """Addresses that are `Verdict.DELIVERABLE`."""
    undeliverable: int
    """Addresses that are `Verdict.UNDELIVERABLE`."""
    accept_all: int
    """Addresses that are `Verdict.ACCEPT_ALL`."""
    unknown: int
    """Addresses that are `Verdict.UNKNOWN`."""


@attrs.frozen(kw_only=True, weakref_slot=False)  # there may be 100,000
class JobSnapshot:
    """The state of a job at one moment.

    While a list is being verified, the service's counters may lag and not add up.
    """

    job_id: str
    """The job's id."""
    status: JobStatus
    """The job's status."""
    created_at: datetime | None = None
    """When the list was uploaded, in UTC. The service names no time zone; UTC is assumed."""
    total: int | None = None
    """The addresses of the list; `None` before it is ready."""
    verified: int | None = None
    """The addresses that have a verdict; `None` before the verification."""
    pending: int | None = None
    """The addresses that have no verdict yet; `None` before the verification."""
    analysis: Analysis | None = None
    """The addresses by flag; `None` if the service gives no counts."""
    results: VerdictCounts | None = None
    """The addresses by verdict; `None` before the verification."""
    message: str = ""
    """The service's message."""

    @property
    def ended(self) -> bool:
        """Whether the status is final: completed, failed or cancelled."""
        return self.status in TERMINAL

    @property
    def progress(self) -> float | None:
        """The verified share of the list, from 0 to 1; `None` before the verification."""
        if self.verified is None or not self.total:
            return None
        return min(1.0, max(0.0, self.verified / self.total))


@attrs.frozen(kw_only=True, weakref_slot=False)  # there may be millions
class ResultRow:
    """One row of a list's results. A flag is `None` if the results have no column for it."""

    email: str
    """The address."""
    verdict: Verdict | str
    """The verdict on the address. One that this version does not know stays a text, such as `risky`."""
    syntax_error: bool | None = None
    """Whether the text is not an address."""
    common_isp: bool | None = None
    """Whether it is at a free provider, such as Gmail."""
    role_based: bool | None = None
    """Whether it belongs to a role, such as info@."""
    disposable: bool | None = None
    """Whether it is at a provider of short-lived mailboxes."""
    spamtrap: bool | None = None
    """Whether it exists to catch senders of spam."""
    verified_at: datetime | None = None
    """When it was verified, in UTC."""
    columns: Mapping[str, str] = attrs.field(factory=dict)
    """The other columns of the uploaded list by name, in their order."""


@attrs.frozen(kw_only=True)
class AddressVerdict:
    """The answer for a single address."""

    email: str
    """The address."""
    verdict: Verdict | str
    """The verdict on the address. One that this version does not know stays a text, such as `risky`."""
    user: str = ""
    """The part of the address before the @."""
    domain: str = ""
    """The part of the address after the @."""
    accept_all: bool | None = None
    """Whether the domain takes mail for every address; `None` if unknown."""
    role: bool = False
    """Whether the address belongs to a role, such as info@."""
    free_email: bool = False
    """Whether it is at a free provider, such as Gmail."""
    disposable: bool = False
    """Whether it is at a provider of short-lived mailboxes."""
    spamtrap: bool = False
    """Whether it exists to catch senders of spam."""
    message: str = ""
    """The service's message."""


@attrs.frozen(kw_only=True)
class Credits:
    """The account's credits."""

    remaining: int
    """The credits left; one address costs one credit."""


@attrs.frozen(kw_only=True)
class Acknowledgement:
    """The service has accepted an upload, a start or a deletion. It may take effect later."""

    job_id: str
    """The job's id."""
    message: str = ""
    """The service's message."""


# The service sends JavaScript's toLocaleString("en-US"), with or without padding. Newer runtimes put
# a narrow no-break space before AM and PM. strptime's %p depends on the locale.
_US_TIMESTAMP: Final = re.compile(
    r"(\d{1,2})/(\d{1,2})/(\d{4}),?\s+(\d{1,2}):(\d{2})(?::(\d{2}))?\s*([AP])\.?M\.?", re.IGNORECASE
)
_NOON: Final = 12
_TRUE: Final = frozenset({"y", "yes", "true", "1"})
_FALSE: Final = frozenset({"n", "no", "false", "0"})
# Up to four words without digits: no API key, and nothing that a spreadsheet takes for a formula.
_WORDS: Final = re.compile(r"[^\W\d_]{2,20}(?:[ _/-][^\W\d_]{1,20}){0,3}")
_LONGEST_WORD: Final = 64  # longer texts are not cached: they are mostly padding


def parse_timestamp(text: str) -> datetime:
    """Parse a timestamp of the service, US style or ISO 8601, into an aware UTC datetime.

    Without a time zone, UTC is assumed. A text in another form raises `ValueError`.
    """
    read = _parse_timestamp if len(text) <= _LONGEST_WORD else _parse_timestamp.__wrapped__
    return read(text)


@lru_cache(maxsize=4096)  # every poll of a job repeats the same text
def _parse_timestamp(text: str) -> datetime:
    match = _US_TIMESTAMP.fullmatch(text.strip())
    if match is None:
        try:
            parsed = datetime.fromisoformat(text.strip())
            return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
        except (ValueError, OverflowError):
            message = f"{text[:40]!r} is not a timestamp such as '08/13/2021, 9:39:37 AM'"
            raise ValueError(message) from None
    month, day, year, hour, minute = (int(match[group]) for group in range(1, 6))
    if not 1 <= hour <= _NOON:
        message = f"{text[:40]!r} has AM or PM, but its hour is not from 1 to 12"
        raise ValueError(message)
    hour = hour % _NOON + (_NOON if match[7] in "pP" else 0)
    return datetime(year, month, day, hour, minute, int(match[6] or 0), tzinfo=UTC)


def parse_verdict(text: str) -> Verdict:
    """Return `Verdict(text)` from a cache. A text that is not a verdict raises `ValueError`."""
    read = _parse_verdict if len(text) <= _LONGEST_WORD else _parse_verdict.__wrapped__
    return read(text)


@lru_cache(maxsize=64)
def _parse_verdict(text: str) -> Verdict:
    try:
        return Verdict(text)
    except ValueError:
        message = f"{text[:40]!r} is not a verdict"
        raise ValueError(message) from None


def read_verdict(text: str) -> Verdict | str:
    """Read what the service says about an address; an unknown verdict stays a text.

    A text that can't be a verdict raises `ValueError`.
    """
    try:
        return parse_verdict(text)
    except ValueError:
        if _WORDS.fullmatch(said := text.strip()):
            return said
        raise


def parse_flag(text: str) -> bool | None:
    """Read a flag in any of the service's spellings; an empty cell is `None`. Any other text raises `ValueError`."""
    read = _parse_flag if len(text) <= _LONGEST_WORD else _parse_flag.__wrapped__
    return read(text)


@lru_cache(maxsize=64)
def _parse_flag(text: str) -> bool | None:
    folded = text.strip().lower()
    if not folded:
        return None
    if folded in _TRUE:
        return True
    if folded in _FALSE:
        return False
    message = f"{text[:40]!r} is not a flag such as Y, N, 0, 1, true or false"
    raise ValueError(message)

"""What the service tells us, as frozen attrs classes, and functions that read its texts."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Final, Literal, TypeAlias

import attrs

from bulkverify.lifecycle import TERMINAL, JobStatus


class Verdict(StrEnum):
    """What the service found out about an address.

    `Verdict(text)` takes every spelling of the service: `accept-all`, `accept_all`, `Accept All`.
    """

    DELIVERABLE = "deliverable"
    """The mailbox exists and takes mail."""
    UNDELIVERABLE = "undeliverable"
    """The mailbox does not exist, or the text is no address."""
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


@attrs.frozen(kw_only=True, weakref_slot=False)  # there may be 100,000
class Analysis:
    """How many addresses of a list bear each flag, counted before anything is verified.

    `common_isp` counts addresses at free providers (Gmail, Yahoo!, ...) and `role_based` those of
    roles (info@, sales@). Bouncify's documentation has the two definitions the wrong way round.
    """

    common_isp: int
    role_based: int
    disposable: int
    spamtrap: int
    syntax_error: int


@attrs.frozen(kw_only=True, weakref_slot=False)  # there may be 100,000
class VerdictCounts:
    """How many addresses have got each verdict so far."""

    deliverable: int
    undeliverable: int
    accept_all: int
    unknown: int


@attrs.frozen(kw_only=True, weakref_slot=False)  # there may be 100,000
class JobSnapshot:
    """One answer to "how is this list doing"; what its status does not carry is `None`.

    Counters are as the service gives them: while a list is verifying they need neither add up nor
    be fresh. `total` comes from `ready` on, `verified`, `pending` and `results` from `verifying` on.
    `created_at` is aware and in UTC, although the service writes it without any zone.
    """

    job_id: str
    status: JobStatus
    created_at: datetime | None = None
    total: int | None = None
    verified: int | None = None
    pending: int | None = None
    analysis: Analysis | None = None
    results: VerdictCounts | None = None
    message: str = ""

    @property
    def ended(self) -> bool:
        """Whether the status is one that nothing leaves."""
        return self.status in TERMINAL

    @property
    def progress(self) -> float | None:
        """The verified share of the list, 0 to 1, or `None` where the status does not tell."""
        if self.verified is None or not self.total:
            return None
        return min(1.0, max(0.0, self.verified / self.total))


@attrs.frozen(kw_only=True, weakref_slot=False)  # nobody refers to one of millions weakly
class ResultRow:
    """One row of a list's results.

    `columns` are the list's own columns, by name and in their order, as they were uploaded.
    A flag is `None` where the results have no such column.
    """

    email: str
    verdict: Verdict
    syntax_error: bool | None = None
    common_isp: bool | None = None
    role_based: bool | None = None
    disposable: bool | None = None
    spamtrap: bool | None = None
    verified_at: datetime | None = None
    columns: Mapping[str, str] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class AddressVerdict:
    """The answer for a single address.

    `accept_all` tells about the whole domain: `True` or `False`, or `None` where it was not found out.
    """

    email: str
    verdict: Verdict
    user: str = ""
    domain: str = ""
    accept_all: bool | None = None
    role: bool = False
    free_email: bool = False
    disposable: bool = False
    spamtrap: bool = False
    message: str = ""


@attrs.frozen(kw_only=True)
class Credits:
    """What the account can still spend: verifying one address costs one credit."""

    remaining: int


@attrs.frozen(kw_only=True)
class Acknowledgement:
    """The service has taken note of an upload, a start or a deletion; the effect may come later."""

    job_id: str
    message: str = ""


# The service writes what JavaScript's toLocaleString("en-US") gives: padded or not, and in newer
# runtimes with a narrow no-break space before AM and PM. strptime's %p depends on the locale.
_US_TIMESTAMP: Final = re.compile(
    r"(\d{1,2})/(\d{1,2})/(\d{4}),?\s+(\d{1,2}):(\d{2})(?::(\d{2}))?\s*([AP])\.?M\.?", re.IGNORECASE
)
_NOON: Final = 12
_TRUE: Final = frozenset({"y", "yes", "true", "1"})
_FALSE: Final = frozenset({"n", "no", "false", "0"})
_LONGEST_WORD: Final = 64  # what is longer is mostly padding, and not remembered


def parse_timestamp(text: str) -> datetime:
    """Read a time as the service writes it, US style or ISO 8601, as an aware UTC datetime.

    The US style names no zone; it is read as UTC.

    Raises:
        ValueError: it is neither.
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
            message = f"{text[:40]!r} is no timestamp such as '08/13/2021, 9:39:37 AM'"
            raise ValueError(message) from None
    month, day, year, hour, minute = (int(match[group]) for group in range(1, 6))
    if not 1 <= hour <= _NOON:
        message = f"{text[:40]!r} has an hour that a 12-hour clock does not know"
        raise ValueError(message)
    hour = hour % _NOON + (_NOON if match[7] in "pP" else 0)
    return datetime(year, month, day, hour, minute, int(match[6] or 0), tzinfo=UTC)


def parse_verdict(text: str) -> Verdict:
    """Do as `Verdict(text)`, and remember the answer.

    Raises:
        ValueError: it is none of the four.
    """
    read = _parse_verdict if len(text) <= _LONGEST_WORD else _parse_verdict.__wrapped__
    return read(text)


@lru_cache(maxsize=64)
def _parse_verdict(text: str) -> Verdict:
    try:
        return Verdict(text)
    except ValueError:
        message = f"{text[:40]!r} is no verdict"
        raise ValueError(message) from None


def parse_flag(text: str) -> bool | None:
    """Read a flag in any of the service's spellings; an empty cell is `None`.

    Raises:
        ValueError: it is no flag.
    """
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
    message = f"{text[:40]!r} is no flag such as Y, N, 0, 1, true or false"
    raise ValueError(message)

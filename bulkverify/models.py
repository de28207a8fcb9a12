"""What the service tells us, as frozen attrs classes, and the one converter that builds them."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache, lru_cache, partial
from typing import Final

import attrs
from cattrs.gen import make_dict_structure_fn, override
from cattrs.preconf.json import make_converter

from bulkverify.lifecycle import TERMINAL, JobStatus


class Verdict(StrEnum):
    """What the service found out about a mailbox."""

    DELIVERABLE = "deliverable"
    UNDELIVERABLE = "undeliverable"
    ACCEPT_ALL = "accept_all"
    UNKNOWN = "unknown"


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
_LONGEST_MESSAGE: Final = 500
_LARGEST_COUNT: Final = 2**63
_STATUSES: Final = {status.value: status for status in JobStatus}  # quicker than to call the enum


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
    """Read a verdict in any of the service's spellings (`accept-all`, `accept all`, `accept_all`).

    Raises:
        ValueError: it is none of the four.
    """
    read = _parse_verdict if len(text) <= _LONGEST_WORD else _parse_verdict.__wrapped__
    return read(text)


@lru_cache(maxsize=64)
def _parse_verdict(text: str) -> Verdict:
    try:
        return Verdict(re.sub(r"[\s_-]+", "_", text.strip().lower()))
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


def _structure_count(value: object, _: type) -> int:
    if type(value) is int:
        if -_LARGEST_COUNT < value < _LARGEST_COUNT:
            return value
    elif isinstance(value, float):
        if value.is_integer() and abs(value) < _LARGEST_COUNT:
            return int(value)
    elif isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,18}", value.strip()):
        return int(value)
    raise ValueError(_not_a("number", value))


def _structure_text(value: object, _: type) -> str:
    if not isinstance(value, str):
        raise TypeError(_not_a("text", value))
    return value


@lru_cache(maxsize=64)
def _shared(text: str) -> str:
    """Return the same object for the same text: all jobs of a status bear one message."""
    return text


def _structure_message(value: object, _: type) -> str:
    text = _structure_text(value, str)
    return _shared(text) if len(text) <= _LONGEST_MESSAGE else text


def _structure_timestamp(value: object, _: type) -> datetime:
    return parse_timestamp(_structure_text(value, str))


def _structure_status(value: object, _: type) -> JobStatus:
    status = _STATUSES.get(value) if isinstance(value, str) else None
    if status is None:
        raise ValueError(_not_a("job status that this version knows", value))
    return status


def _structure_verdict(value: object, _: type) -> Verdict:
    try:
        return parse_verdict(_structure_text(value, str))
    except (TypeError, ValueError):
        raise ValueError(_not_a("verdict that this version knows", value)) from None


def _structure_flag(value: object, _: type) -> bool:
    flag = parse_flag(str(value))
    if flag is None:
        raise ValueError(_not_a("flag", value))
    return flag


def _structure_tristate(value: object, _: type) -> bool | None:
    # `accept_all` of a single address is 0, 1, or 2 where it was not found out.
    return (
        None if value is None or str(value).strip() in {"2", ""} else _structure_flag(value, bool)
    )


def _not_a(kind: str, value: object) -> str:
    return f"{repr(value)[:60]} is no {kind}"


converter: Final = make_converter(forbid_extra_keys=False)
"""The one converter: JSON as parsed in, models out. What does not fit raises a cattrs error."""

converter.register_structure_hook(int, _structure_count)
converter.register_structure_hook(str, _structure_text)
converter.register_structure_hook(datetime, _structure_timestamp)
converter.register_structure_hook(JobStatus, _structure_status)
converter.register_structure_hook(Verdict, _structure_verdict)
converter.register_structure_hook(bool, _structure_flag)
converter.register_structure_hook(
    AddressVerdict,
    make_dict_structure_fn(
        AddressVerdict,
        converter,
        verdict=override(rename="result"),
        accept_all=override(struct_hook=_structure_tristate),
    ),
)
converter.register_structure_hook(
    Credits,
    make_dict_structure_fn(Credits, converter, remaining=override(rename="credits_remaining")),
)


def structure_snapshot(payload: Mapping[str, object]) -> JobSnapshot | None:
    """Build a snapshot as the converter does, but in half of the time, since there is one a poll.

    `None` for what does not fit: the converter, which takes notes on the way, tells which field it is.
    """
    try:
        return _snapshot_hook()(payload, JobSnapshot)
    except Exception:  # noqa: BLE001 - the hooks raise whatever they meet
        return None


@cache  # made at the first poll rather than by every import
def _snapshot_hook() -> Callable[[Mapping[str, object], type[JobSnapshot]], JobSnapshot]:
    make = partial(make_dict_structure_fn, _cattrs_detailed_validation=False)
    # What may be `None` is `None` where it is left out: cattrs would look for it in every value.
    return make(
        JobSnapshot,
        converter,
        created_at=override(struct_hook=_structure_timestamp),
        total=override(struct_hook=_structure_count),
        verified=override(struct_hook=_structure_count),
        pending=override(struct_hook=_structure_count),
        analysis=override(struct_hook=make(Analysis, converter)),
        results=override(struct_hook=make(VerdictCounts, converter)),
        message=override(struct_hook=_structure_message),
    )

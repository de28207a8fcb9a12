"""The converter between models and the service's JSON.

It has a module of its own, because cattrs takes as long to import as all of the models.
"""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache, lru_cache, partial
from typing import Final

from cattrs.gen import make_dict_structure_fn, override
from cattrs.preconf.json import make_converter

from bulkverify.lifecycle import JobStatus
from bulkverify.models import (
    AddressVerdict,
    Analysis,
    Credits,
    JobSnapshot,
    Verdict,
    VerdictCounts,
    parse_flag,
    parse_timestamp,
    parse_verdict,
    read_verdict,
)

_LONGEST_MESSAGE: Final = 500
_LARGEST_COUNT: Final = 2**63
_STATUSES: Final = {status.value: status for status in JobStatus}  # faster than calling the enum


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
        raise TypeError(_not_a("string", value))
    return value


@lru_cache(maxsize=64)
def _shared(text: str) -> str:
    """Return the same object for equal texts: jobs with the same status have the same message."""
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


def _structure_answer(value: object, _: type) -> Verdict | str:
    try:
        return read_verdict(_structure_text(value, str))
    except (TypeError, ValueError):
        raise ValueError(_not_a("verdict", value)) from None


def _structure_finding(value: object, _: type) -> Verdict | str | None:
    return None if value is None else _structure_answer(value, str)


def _structure_flag(value: object, _: type) -> bool:
    flag = parse_flag(str(value))
    if flag is None:
        raise ValueError(_not_a("flag", value))
    return flag


def _structure_tristate(value: object, _: type) -> bool | None:
    # `accept_all` of a single address is 0, 1, or 2 for unknown.
    return (
        None if value is None or str(value).strip() in {"2", ""} else _structure_flag(value, bool)
    )


def _not_a(kind: str, value: object) -> str:
    return f"{repr(value)[:60]} is not a {kind}"


converter: Final = make_converter(forbid_extra_keys=False)
"""Builds models from parsed JSON, and raises a cattrs error for a value that does not fit."""

converter.register_structure_hook(int, _structure_count)
converter.register_structure_hook(str, _structure_text)
converter.register_structure_hook(datetime, _structure_timestamp)
converter.register_structure_hook(JobStatus, _structure_status)
converter.register_structure_hook(Verdict, _structure_verdict)
converter.register_structure_hook_func(
    lambda type_: type_ == Verdict | str | None, _structure_finding
)
converter.register_structure_hook(bool, _structure_flag)
converter.register_structure_hook(
    AddressVerdict,
    make_dict_structure_fn(
        AddressVerdict,
        converter,
        verdict=override(rename="result", struct_hook=_structure_answer),
        accept_all=override(struct_hook=_structure_tristate),
    ),
)
converter.register_structure_hook(
    Credits,
    make_dict_structure_fn(Credits, converter, remaining=override(rename="credits_remaining")),
)


def structure_snapshot(payload: Mapping[str, object]) -> JobSnapshot | None:
    """Build a snapshot in half the time of the converter, or return `None` if the payload does not fit.

    Every poll builds a snapshot. The converter is slower because it records the path of each field, so
    that an error can name it.
    """
    try:
        return _snapshot_hook()(payload, JobSnapshot)
    except Exception:  # noqa: BLE001 - the hooks may raise any error
        return None


@cache  # made at the first poll, to keep the import fast
def _snapshot_hook() -> Callable[[Mapping[str, object], type[JobSnapshot]], JobSnapshot]:
    make = partial(make_dict_structure_fn, _cattrs_detailed_validation=False)
    # `accepted` drops null fields. With these hooks cattrs does not check each value for `None` again.
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

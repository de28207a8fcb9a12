"""Faults from a TOML file, for those who don't write Python, or don't want to write it again.

    [[fault]]
    kind = "drop_after"
    endpoint = "start"
    every = 5
    times = "all"

    [rates]
    drop = 0.05

    [rates.answer]
    status = 0.1

The fields are those of `Fault`; `[rates]` is what `at_random` takes.
"""

import os
import tomllib
from collections.abc import Callable, Iterator, Mapping
from math import isfinite
from pathlib import Path
from typing import Any, Final

import attrs

from bulkverify.sandbox.faults import Fault, FaultKind, at_random, endpoints_of
from bulkverify.sandbox.ledger import ENDPOINTS

_EVERYWHERE: Final = (
    "kind",
    "endpoint",
    "job_id",
    "skip",
    "every",
    "rate",
    "times",
    "lasting",
    "delay",
)
_OF_ANSWERS: Final = ("status", "body", "headers")
_OF_ITS_OWN: Final[Mapping[FaultKind, tuple[str, ...]]] = {
    FaultKind.ANSWER: _OF_ANSWERS,
    FaultKind.ANSWER_AFTER: _OF_ANSWERS,
    FaultKind.THROTTLE: ("retry_after", "retry_after_date"),
    FaultKind.TRICKLE: ("piece_bytes",),
    FaultKind.HUGE: ("size_bytes",),
    FaultKind.BOMB: ("size_bytes",),
    FaultKind.CLOCK_JUMP: ("jump",),
}


class RuleError(ValueError):
    """A rule for faults can't be right; the text says which, where, and what is allowed."""


@attrs.frozen
class _Allowed:
    """What a field may hold: a test, and the same in words."""

    test: Callable[[Any], bool]
    words: str


def _whole(low: int, high: int | None = None) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and value >= low and (high is None or value <= high)


def _number(value: object) -> bool:
    return type(value) in {int, float} and isfinite(value)  # type: ignore[arg-type]


def _text(value: object) -> bool:
    return isinstance(value, str)


_SECONDS: Final = _Allowed(lambda value: _number(value) and value >= 0, "seconds from 0 on")
_SHARE: Final = _Allowed(lambda value: _number(value) and 0 <= value <= 1, "a number from 0 to 1")
_SOME: Final = _Allowed(_whole(1), "a whole number from 1 on")
_KIND: Final = _Allowed(lambda value: value in list(FaultKind), f"one of {', '.join(FaultKind)}")
_FIELDS: Final[Mapping[str, _Allowed]] = {
    "kind": _KIND,
    "endpoint": _Allowed(lambda value: value in ENDPOINTS, f"one of {', '.join(ENDPOINTS)}"),
    "job_id": _Allowed(_text, "the id of a list"),
    "skip": _Allowed(_whole(0), "a whole number from 0 on"),
    "every": _SOME,
    "rate": _SHARE,
    "times": _Allowed(
        lambda value: value == "all" or _whole(0)(value), 'a whole number from 0 on, or "all"'
    ),
    "lasting": _SECONDS,
    "delay": _SECONDS,
    "status": _Allowed(_whole(200, 599), "a status of HTTP, from 200 to 599"),
    "body": _Allowed(_text, "a text"),
    "headers": _Allowed(
        lambda value: isinstance(value, dict) and all(map(_text, value.values())),
        "a table of texts",
    ),
    "retry_after": _SECONDS,
    "retry_after_date": _Allowed(lambda value: isinstance(value, bool), "true or false"),
    "size_bytes": _SOME,
    "piece_bytes": _SOME,
    "jump": _Allowed(_number, "a number of seconds, below 0 for the past"),
}


def read_faults(path: str | os.PathLike[str]) -> list[Fault]:
    """Read the faults of a file, in their order.

    Raises:
        RuleError: it is not TOML, or a rule can't be right.
        OSError: it can't be read.
    """
    name = Path(path).name
    try:
        rules = tomllib.loads(Path(path).read_bytes().decode())
    except ValueError as error:
        raise RuleError(f"{name} is not TOML: {error}.") from None
    try:
        return list(_read(rules))
    except RuleError as error:
        raise RuleError(f"{name}, {error}") from None


def make_fault(rule: Mapping[str, Any], name: str = "fault") -> Fault:
    """Make a fault from plain values, as they stand in a file.

    Raises:
        RuleError: they can't be right; the text begins with `name`.
    """
    kind = rule.get("kind")
    if kind not in list(FaultKind):
        raise _wrong(name, "kind", rule, _KIND.words)
    kind = FaultKind(kind)
    fields = (*_EVERYWHERE, *_OF_ITS_OWN.get(kind, ()))
    for field, value in rule.items():
        if field not in fields:
            raise RuleError(f"{name} ({kind}): it has no field {field!r}, but {', '.join(fields)}.")
        allowed = _FIELDS[field]
        if not allowed.test(value):
            raise _wrong(f"{name} ({kind})", field, rule, allowed.words)
    endpoints = endpoints_of(kind)
    if rule.get("endpoint", endpoints[0]) not in endpoints:
        raise _wrong(f"{name} ({kind})", "endpoint", rule, f"one of {', '.join(endpoints)}")
    return Fault(**{**rule, "times": None if rule.get("times") == "all" else rule.get("times", 1)})


def _read(rules: Mapping[str, Any]) -> Iterator[Fault]:
    for field in rules:
        if field not in {"fault", "rates"}:
            raise RuleError(f"it has no table {field!r}, but [[fault]] and [rates].")
    faults = rules.get("fault", [])
    if not isinstance(faults, list) or not all(isinstance(rule, dict) for rule in faults):
        raise RuleError("fault: each begins with a line [[fault]].")
    for place, rule in enumerate(faults, 1):
        yield make_fault(rule, f"fault {place}")
    rates = rules.get("rates", {})
    if not isinstance(rates, dict):
        raise RuleError("rates: they are a table [rates].")
    for kind, rate in rates.items():
        _check_rate(kind, rate)
    yield from at_random(rates)


def _check_rate(kind: str, rate: object) -> None:
    if kind not in list(FaultKind):
        raise RuleError(f"rates: {kind!r} is no kind; allowed is {_KIND.words}.")
    able = endpoints_of(FaultKind(kind))
    for endpoint, share in rate.items() if isinstance(rate, dict) else [(able[0], rate)]:
        if endpoint not in able:
            raise RuleError(
                f"rates ({kind}): {endpoint!r} can't be hit by it; allowed is one of {', '.join(able)}."
            )
        if not _SHARE.test(share):
            raise RuleError(f"rates ({kind}): {share!r} is no rate; allowed is {_SHARE.words}.")


def _wrong(name: str, field: str, rule: Mapping[str, Any], allowed: str) -> RuleError:
    said = f"is {rule[field]!r}" if field in rule else "is missing"
    return RuleError(f"{name}: {field} {said}; allowed is {allowed}.")

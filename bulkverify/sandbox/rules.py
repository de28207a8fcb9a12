"""Faults from a TOML file, for programs in any language.

    [[fault]]
    kind = "drop_after"
    endpoint = "start"
    every = 5
    times = "all"

    [rates]
    drop = 0.05

    [rates.answer]
    status = 0.1

A `[[fault]]` has the fields of `Fault`. `[rates]` is the argument of `at_random`.
"""

import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from bulkverify.errors import clause
from bulkverify.sandbox.drawing import at_random
from bulkverify.sandbox.faults import TABLE, Fault
from bulkverify.sandbox.kinds import KINDS_IN_WORDS, FaultKind

_PARTICULAR: Final = {field for row in TABLE.values() for field in row.fields}
_COMMON: Final = tuple(field.name for field in attrs.fields(Fault) if field.name not in _PARTICULAR)


class RuleError(ValueError):
    """A rule is invalid. The message names the rule and the field, and says what is allowed."""


def read_faults(path: str | os.PathLike[str]) -> list[Fault]:
    """Read the faults of a file, in order; invalid TOML or an invalid rule raises `RuleError`."""
    name = Path(path).name
    try:
        rules = tomllib.loads(Path(path).read_bytes().decode())
    except ValueError as error:
        raise RuleError(f"{name} is not TOML: {clause(error)}.") from None
    try:
        return list(_read(rules))
    except RuleError as error:
        raise RuleError(f"{name}, {error}") from None


def make_fault(rule: Mapping[str, Any], name: str = "fault") -> Fault:
    """Make a fault from plain values, as in a file; `name` is for the message of a `RuleError`."""
    kind = rule.get("kind")
    if kind not in list(FaultKind):
        said = f"is {kind!r}" if "kind" in rule else "is missing"
        raise RuleError(f"{name}: kind {said}; it must be {KINDS_IN_WORDS}.")
    fields = (*_COMMON, *TABLE[FaultKind(kind)].fields)
    for field in rule:
        if field not in fields:
            raise RuleError(
                f"{name} ({kind}): there is no field {field!r}; the fields are {', '.join(fields)}."
            )
    times = rule.get("times", 1)
    try:
        return Fault(**{**rule, "times": None if times == "all" else times})
    except ValueError as error:
        raise RuleError(f"{name} ({kind}): {error}") from None


def _read(rules: Mapping[str, Any]) -> Iterator[Fault]:
    for field in rules:
        if field not in {"fault", "rates"}:
            raise RuleError(f"there is no table {field!r}; the tables are [[fault]] and [rates].")
    faults = rules.get("fault", [])
    if not isinstance(faults, list) or not all(isinstance(rule, dict) for rule in faults):
        raise RuleError("fault: each fault must begin with the line [[fault]].")
    for place, rule in enumerate(faults, 1):
        yield make_fault(rule, f"fault {place}")
    rates = rules.get("rates", {})
    if not isinstance(rates, dict):
        raise RuleError("rates: this must be a table, [rates].")
    for kind, rate in rates.items():
        try:
            yield from at_random({kind: rate})
        except ValueError as error:
            raise RuleError(f"rates ({kind}): {error}") from None

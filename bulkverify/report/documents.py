"""A report as JSON. Documents of earlier versions open as well."""

import json
from collections.abc import Iterator
from math import isfinite
from typing import Any, Final

import attrs
from cattrs import transform_error
from cattrs.errors import BaseValidationError

from bulkverify.errors import UsageError, clause
from bulkverify.run.models import RunReport
from bulkverify.service.converter import converter

VERSION: Final = 1
"""The newest format that can be read."""

_HINTS: Final = (
    "Write one with `report.to_json()`.",
    "Write one with `bulkverify verify LIST -o OUT --json > RUN.json`.",
)


def json_of(report: RunReport) -> str:
    """Return a report as JSON, as `bulkverify verify --json` prints it."""
    return json.dumps(converter.unstructure(report))


def report_of(text: str | bytes, *, name: str = "This text") -> RunReport:
    """Read a report from JSON.

    A document that holds the report under `report` opens, too: what `--json` prints for a run with
    missing rows, and the note that a run keeps beside its output.

    Raises:
        UsageError: it is not a report, has impossible numbers, or a newer version wrote it.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise _not_a_report(name, "it is not JSON") from None
    if not isinstance(document, dict):
        raise _not_a_report(name, "it is not a JSON object")
    found = document.get("report") or document
    version = found.get("version", 1) if isinstance(found, dict) else 1
    if type(version) is int and version > VERSION:
        raise UsageError(
            f"{name} was written by a newer bulkverify (format {version}): use that version to read it."
        )
    error = found.get("error") if isinstance(found, dict) else None
    if isinstance(error, dict):
        why = error.get("message") or error.get("type")
        raise _not_a_report(name, f"the run failed, and wrote none. Its error was: {why}")
    try:
        report = converter.structure(found, RunReport)
    except (ValueError, TypeError, RecursionError, BaseValidationError) as problem:
        raise _not_a_report(name, _first_problem(problem)) from None
    for problem_of_field in _impossible(report):
        raise _not_a_report(name, problem_of_field)
    return report


def _not_a_report(name: str, why: str) -> UsageError:
    return UsageError(f"{name} is not the report of a run: {clause(why)}.").with_hint(*_HINTS)


def _first_problem(error: Exception) -> str:
    """Name the field that does not fit; a missing one is told first."""
    if not isinstance(error, BaseValidationError):
        return f"{error}"
    problems = sorted(transform_error(error, path="$"), key=lambda text: "required" not in text)
    return problems[0]


def _impossible(report: RunReport) -> Iterator[str]:
    """Give the fields whose numbers can't be."""
    for path, number in _numbers(report, "$"):
        if not isfinite(number) or number < 0:
            yield f"{path} is {number}"
    for name in ("written", "duplicates", "invalid", "blank", "short", "missing", "unclear"):
        yield from _above(f"$.{name}", getattr(report, name), "rows", report.rows)
    for name in ("verdicts", "flags"):
        counts = attrs.asdict(getattr(report, name))
        for field, count in counts.items():
            yield from _above(f"$.{name}.{field}", count, "rows", report.rows)
    for place, one in enumerate(report.domains.counts if report.domains else ()):
        path = f"$.domains.counts[{place}]"
        yield from _above(f"{path}.rows", one.rows, "rows", report.rows)
        for field in ("deliverable", "undeliverable", "accept_all", "unknown"):
            yield from _above(
                f"{path}.{field}", getattr(one, field), "rows of the domain", one.rows
            )
    for place, point in enumerate(report.curve):
        path = f"$.curve[{place}].verified"
        yield from _above(path, point.verified, "addresses", report.addresses)


def _above(path: str, number: int, of: str, most: int) -> Iterator[str]:
    if number > most:
        yield f"{path} is {number:,}, more than the {most:,} {of}"


def _numbers(value: Any, path: str) -> Iterator[tuple[str, float]]:  # noqa: ANN401 - any field
    """Give all numbers of a report with their paths."""
    if attrs.has(type(value)):
        for field in attrs.fields(type(value)):
            yield from _numbers(getattr(value, field.name), f"{path}.{field.name}")
    elif isinstance(value, tuple | list):
        for place, one in enumerate(value):
            yield from _numbers(one, f"{path}[{place}]")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield path, value

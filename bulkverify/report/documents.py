"""A report as JSON. Documents of earlier versions open as well."""

import json
from typing import Final

from cattrs.errors import BaseValidationError

from bulkverify.errors import UsageError
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
        UsageError: it is not a report, or a newer version wrote it.
    """
    try:
        document = json.loads(text)
        found = document.get("report", document)
        version = found.get("version", 1)
        if type(version) is not int or version <= VERSION:
            return converter.structure(found, RunReport)
    except (ValueError, TypeError, AttributeError, RecursionError, BaseValidationError) as error:
        raise UsageError(f"{name} is not the report of a run ({type(error).__name__}).").with_hint(
            *_HINTS
        ) from None
    raise UsageError(
        f"{name} was written by a newer bulkverify (format {version}): use that version to read it."
    )

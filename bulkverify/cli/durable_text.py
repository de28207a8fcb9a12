"""Durable runs as text for a terminal."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from bulkverify.cli.text import counts, table
from bulkverify.errors import plural

if TYPE_CHECKING:
    from bulkverify.durable import RunState
    from bulkverify.run.models import RunReport


def run_line(state: "RunState") -> str:
    """Describe a run in one line."""
    from bulkverify.service.answers import printable  # noqa: PLC0415 - slow; not for --help

    parts = f"{state.parts - state.parts_left:,}/{state.parts:,}" if state.parts else "-"
    words = (f"{state.id:<16}", f"{state.state:<10}", f"{parts:>9}", state.account, state.output)
    return printable("  ".join(words))


def watched_line(state: "RunState") -> str:
    """Describe a run in one line that begins with the time."""
    words = [
        f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        f"{state.state:<10}",
        _parts(state),
        state.message,
    ]
    return "  ".join(filter(None, words)).rstrip()


def run_facts(state: "RunState", report: "RunReport | None" = None) -> str:
    """Describe a run, one fact a line; the report is that of a run that is done."""
    return table(
        {
            "run": state.id,
            "state": state.state,
            "account": state.account,
            "list": ", ".join(state.source),
            "output": state.output,
            "submitted": f"{state.submitted_at:%Y-%m-%d %H:%M:%S} UTC",
            "parts": _parts(state),
            "verdicts": counts(report.verdicts) if report is not None else "",
            "message": state.message,
        }
    )


def _parts(state: "RunState") -> str:
    if not state.parts:
        return ""
    ended = state.parts - state.parts_left
    return f"{ended:,} of {plural(state.parts, 'part')} ended, {state.parts_started:,} started"

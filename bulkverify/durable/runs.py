"""What is known about runs, and what they came to."""

from datetime import UTC, datetime
from typing import Any, Final

import attrs

from bulkverify.durable import names
from bulkverify.durable.spec import JSON, RunCancelledError, RunSpec, rebuilt
from bulkverify.errors import BulkVerifyError
from bulkverify.run.models import IncompleteRunError, PartFailure, RunReport
from bulkverify.service.converter import converter

_STATES: Final = {
    "ENQUEUED": "queued",
    "DELAYED": "queued",
    "PENDING": "running",
    "CANCELLED": "cancelled",
}


@attrs.frozen(kw_only=True)
class RunState:
    """What is known about a run, over all processes."""

    id: str
    """The id of the run."""
    account: str
    """The name of its account."""
    source: tuple[str, ...]
    """The paths of its list."""
    output: str
    """The path of its output."""
    state: str
    """`queued`, `running`, `done`, `incomplete`, `failed` or `cancelled`."""
    parts: int
    """The number of its parts; 0 before the list is split."""
    parts_left: int
    """How many of them have not ended."""
    parts_started: int = 0
    """How many were started; their addresses are paid for."""
    submitted_at: datetime
    """When it was submitted."""
    message: str = ""
    """Why it failed."""


def state_of(found: Any, parts: int, left: int, started: int) -> RunState:  # noqa: ANN401 - of DBOS
    """Describe a run that the database has."""
    spec = converter.structure(found.input["args"][0], RunSpec)
    outcome: JSON = found.output or {}
    state = _STATES.get(found.status, "failed")
    if found.status == names.DONE:
        state = "done" if "error" not in outcome else "failed"
        if "failures" in outcome:
            state = "incomplete"
    return RunState(
        id=found.workflow_id,
        account=spec.account,
        source=spec.source,
        output=spec.output,
        state=state,
        parts=parts,
        parts_left=left,
        parts_started=started,
        submitted_at=datetime.fromtimestamp(found.created_at / 1000, UTC),
        message=str(outcome.get("message", "")),
    )


def is_complete(found: Any) -> bool:  # noqa: ANN401 - of DBOS
    """Whether a run has ended, and all of its parts have verdicts."""
    return bool(found.status == names.DONE and "error" not in found.output)


def report_of(found: Any) -> RunReport:  # noqa: ANN401 - of DBOS
    """Return the report of a run that has ended, or raise its error."""
    if found.status == names.CANCELLED:
        raise RunCancelledError(f"Run {found.workflow_id} was cancelled.")
    if found.status != names.DONE:
        raise BulkVerifyError(f"Run {found.workflow_id} ended as {found.status}: {found.error}.")
    outcome: JSON = found.output
    report = outcome.get("report")
    built = None if report is None else converter.structure(report, RunReport)
    if "failures" in outcome:
        raise IncompleteRunError(
            str(outcome["message"]),
            report=built,
            failures=tuple(converter.structure(one, PartFailure) for one in outcome["failures"]),
        )
    if "error" in outcome:
        raise rebuilt(outcome)
    assert built is not None  # noqa: S101 - else there is an error
    return built

"""What is known about runs, and what they came to."""

import json
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any, Final

import attrs
import sqlalchemy as sa

from bulkverify.durable import names
from bulkverify.durable.database import Database
from bulkverify.durable.spec import JSON, RunCancelledError, RunSpec, as_json, rebuilt
from bulkverify.errors import BulkVerifyError, UsageError, clause
from bulkverify.run.models import IncompleteRunError, PartFailure, RunReport
from bulkverify.run.record import UNPAID, PartRecord, PartState
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
    """The paths or URLs of its list."""
    output: str
    """The path or URL of its output."""
    state: str
    """`queued`, `running`, `held`, `done`, `incomplete`, `failed` or `cancelled`. A run is `held` while it or one \
of its parts waits for credits."""
    parts: int
    """The number of its parts; 0 before the list is split."""
    parts_left: int
    """How many of them have not ended."""
    parts_started: int = 0
    """How many were started; their addresses are paid for."""
    submitted_at: datetime
    """When it was submitted."""
    message: str = ""
    """Why it failed, or what it waits for."""


@attrs.frozen
class Awaited:
    """What a run waits for."""

    credits: int = 0
    """The credits that it needs."""
    why: str = ""
    """What was wrong with the last machine."""


def states_of(database: Database, found: Collection[Any]) -> list[RunState]:
    """Describe runs that the database has."""
    ids = [one.workflow_id for one in found]
    counts, started = database.counts(ids), _started(database, ids)
    waits = awaited(database, ids)
    return [
        _state(
            one,
            *counts.get(one.workflow_id, (0, 0)),
            started.get(one.workflow_id, 0),
            waits.get(one.workflow_id, Awaited()),
        )
        for one in found
    ]


def _state(found: Any, parts: int, left: int, started: int, waits: Awaited) -> RunState:  # noqa: ANN401 - of DBOS
    spec = converter.structure(found.input["args"][0], RunSpec)
    outcome: JSON = found.output or {}
    message = str(outcome.get("message", ""))
    state = _STATES.get(found.status, "failed")
    if found.status == names.DONE:
        state = state_ended(outcome)
    elif waits.credits:
        state = "held"
        message = f"It needs {waits.credits:,} credits, and account {spec.account} has fewer. Order credits: it then goes on by itself."
    elif waits.why and found.status in names.UNFINISHED:
        message = f"It is tried again: {waits.why}"
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
        message=message,
    )


def _started(database: Database, run_ids: Collection[str]) -> dict[str, int]:
    """Return how many parts of each run were started."""
    status, made = database.status.c, database.checkpoints.c
    started = (
        sa.select(status.parent_workflow_id, sa.func.count(sa.distinct(made.workflow_uuid)))
        .where(status.parent_workflow_id.in_(run_ids))
        .where(made.workflow_uuid == status.workflow_uuid)
        .where(made.function_name.in_(("start", "ask")))
        .group_by(status.parent_workflow_id)
    )
    rows = database.transaction(lambda connection: connection.execute(started).all())
    return {row[0]: int(row[1]) for row in rows}


def awaited(database: Database, run_ids: Collection[str] | None = None) -> dict[str, Awaited]:
    """Return what some runs, or all, wait for, by the last checkpoints of theirs and their parts.

    What waits for credits is running; what a machine has failed is queued again.
    """
    status, made, later = database.status.c, database.checkpoints.c, database.checkpoints.alias().c
    last = (
        sa.select(sa.func.coalesce(status.parent_workflow_id, status.workflow_uuid), made.output)
        .where(made.workflow_uuid == status.workflow_uuid)
        .where(
            (status.status == names.RUNNING) & made.output.like('%"held":%')
            | status.status.in_((names.QUEUED, names.DELAYED))
            & (made.output.like('%"machine":%') | made.output.like('%"account":%'))
        )
        .where(
            ~sa.exists().where(
                later.workflow_uuid == made.workflow_uuid, later.function_id > made.function_id
            )
        )
    )
    if run_ids is not None:
        last = last.where(
            status.workflow_uuid.in_(run_ids) | status.parent_workflow_id.in_(run_ids)
        )
    rows = database.transaction(lambda connection: connection.execute(last).all())
    found: dict[str, Awaited] = {}
    for run_id, output in rows:
        outcome, before = json.loads(output), found.get(run_id, Awaited())
        found[run_id] = Awaited(
            credits=before.credits + outcome.get("held", 0),
            why=outcome.get("machine") or outcome.get("account") or before.why,
        )
    return found


def state_ended(outcome: JSON) -> str:
    """Return the state of a run that was not cancelled and has come to an outcome."""
    if "failures" in outcome:
        return "incomplete"
    return "failed" if "error" in outcome else "done"


def is_complete(found: Any) -> bool:  # noqa: ANN401 - of DBOS
    """Whether a run has ended, and all of its parts have verdicts."""
    return bool(found.status == names.DONE and "error" not in found.output)


def require_known(missing: Collection[str]) -> None:
    """Raise `UsageError` if the ids of some runs are `missing`."""
    if missing:
        raise UsageError(f"There is no run with the id {min(missing)!r}.").with_hint(
            "`engine.runs()` lists them.", "`bulkverify runs` lists them."
        )


def predecessor(database: Database, run_id: str, account: str) -> str | None:
    """Return the run whose parts a new run for the same output goes on with, after the last one for it.

    Raises:
        UsageError: it has paid with another account.
    """
    found = database.client.list_workflows(workflow_ids=[run_id])
    if not found or is_complete(found[0]):
        return None
    document, before = found[0].input["args"]
    if not database.counts([run_id]):  # it has sent nothing itself
        return None if before is None else predecessor(database, before, account)
    if document["account"] != account and carried(database.outcomes(run_id)):
        raise UsageError(
            f"Run {run_id} for this output has paid with account {document['account']}. "
            "Submit it with that account, or use restart to pay with this one."
        )
    return run_id


def carried(outcomes: Collection[JSON]) -> dict[str, JSON]:
    """Return the records of the paid parts of an earlier run; their results are fetched again, for nothing."""
    found = {}
    for one in outcomes:
        record = converter.structure(one, PartRecord)
        if record.state not in UNPAID:
            state = PartState.STARTING if record.job_id is None else PartState.STARTED
            if record.state is PartState.DOWNLOADED:
                record = attrs.evolve(record, state=state, results=None)
            found[str(record.number)] = as_json(record)
    return found


def report_of(found: Any) -> RunReport:  # noqa: ANN401 - of DBOS
    """Return the report of a run that has ended, or raise its error."""
    if found.status == names.CANCELLED:
        raise RunCancelledError(f"Run {found.workflow_id} was cancelled.")
    if found.status != names.DONE:
        raise BulkVerifyError(
            f"Run {found.workflow_id} ended as {found.status}: {clause(found.error)}."
        )
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

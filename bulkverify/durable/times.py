"""When the steps of a run were made, for its report: how long each stage took, and the progress over time."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from itertools import accumulate
from math import ceil
from typing import Final

import attrs
import sqlalchemy as sa

from bulkverify.durable.database import Database
from bulkverify.run.curve import MOST_POINTS
from bulkverify.run.models import CurvePoint, Durations

_STAGES: Final = {
    "split": "reading",
    "upload": "uploading",
    "ready": "preparing",
    "start": "starting",
    "results": "verifying",
    "ask": "verifying",
}
"""The stage of each step. A step that fetches the results of a list has mostly waited for them."""


@attrs.frozen
class StepTime:
    """When a step was made, by the clock of its worker."""

    part: int
    """The number of the part; 0 is the run itself."""
    name: str
    began: float
    """As the next, seconds since 1970."""
    ended: float


def step_times(database: Database, run_id: str) -> list[StepTime]:
    """Read when the steps of a run and of its parts were made."""
    status, made = database.status.c, database.checkpoints.c
    times = (
        sa.select(
            made.workflow_uuid,
            made.function_name,
            made.started_at_epoch_ms,
            made.completed_at_epoch_ms,
        )
        .where(made.workflow_uuid == status.workflow_uuid)
        .where((status.workflow_uuid == run_id) | (status.parent_workflow_id == run_id))
        .where(made.function_name.in_(_STAGES))
        .where(made.completed_at_epoch_ms.is_not(None))
    )
    rows = database.transaction(lambda connection: connection.execute(times).all())
    return [
        StepTime(
            part=int(workflow_id[len(run_id) + 1 :] or 0),
            name=name,
            began=began / 1000,
            ended=ended / 1000,
        )
        for workflow_id, name, began, ended in rows
    ]


def began_at(times: Iterable[StepTime]) -> datetime:
    """Return when a worker first took the run."""
    return datetime.fromtimestamp(min(one.began for one in times if not one.part), UTC)


def durations(times: Iterable[StepTime]) -> Durations:
    """Return how long each stage took; what was made at the same time counts once."""
    spans = defaultdict[str, list[tuple[float, float]]](list)
    for one in times:
        spans[_STAGES[one.name]].append((one.began, one.ended))
    return Durations(**{stage: round(_covered(found), 3) for stage, found in spans.items()})


def _covered(spans: Iterable[tuple[float, float]]) -> float:
    seconds, until = 0.0, 0.0
    for began, ended in sorted(spans):
        seconds += max(0.0, ended - max(began, until))
        until = max(until, ended)
    return seconds


def curve(times: Iterable[StepTime], addresses: Mapping[int, int]) -> list[CurvePoint]:
    """Return the verified addresses over time; those of a part come all at once.

    `addresses` has their number for each part that was verified.
    """
    times = list(times)
    first = began_at(times).timestamp()
    fetched: dict[int, float] = {}
    for one in times:
        if _STAGES[one.name] == "verifying" and one.part in addresses:
            fetched[one.part] = max(one.ended, fetched.get(one.part, first))
    ended = sorted((at, number) for number, at in fetched.items())
    points = [
        CurvePoint(seconds=round(at - first, 3), verified=count)
        for (at, _), count in zip(
            ended, accumulate(addresses[number] for _, number in ended), strict=True
        )
    ]
    every = max(1, ceil(len(points) / (MOST_POINTS - 2)))
    return [CurvePoint(seconds=0.0, verified=0), *points[::-every][::-1]]

"""What a display shows of a job or of a run, on a terminal as bars and elsewhere as lines."""

from collections import Counter
from time import monotonic
from typing import Final

import attrs

from bulkverify.models import JobSnapshot, Verdict
from bulkverify.run.models import PartProgress, RunProgress, Stage
from bulkverify.run.progress import Forecast

_ACTIVE: Final = frozenset(
    {Stage.UPLOADING, Stage.PREPARING, Stage.STARTING, Stage.VERIFYING, Stage.DOWNLOADING}
)
_OVER: Final = frozenset({Stage.FETCHED, Stage.FAILED})
_COUNTED: Final = frozenset({Stage.VERIFYING, Stage.DOWNLOADING, Stage.FETCHED})
_MOST_EXPECTED: Final = 0.99
"""Only the service says that a list is complete."""


@attrs.frozen(kw_only=True)
class Shown:
    """One moment of a job or of a run."""

    stage: str
    """What happens now."""
    words: str = ""
    """What a bar says instead of the stage, such as how many parts are done."""
    done: int = 0
    """The addresses that have a verdict, or the rows that were read or written."""
    total: int | None = None
    """All addresses or rows; `None` if the stage can't be measured."""
    rate: float | None = None
    """How many are done in a second; `None` before it is known."""
    left: float | None = None
    """The seconds left at this moment; `None` before they are known."""
    verdicts: Counter[Verdict] = attrs.field(factory=Counter)
    """The verdicts so far, by the last snapshots."""
    earlier: int = 0
    """Addresses that have a verdict which this call has not seen."""
    parts: tuple[PartProgress, ...] = ()
    """The parts that are active or held up; none if the list has only one."""
    at: float = attrs.field(factory=monotonic)
    """When this was, in seconds of the monotonic clock."""

    def expected(self, now: float) -> float:
        """How many are probably done by now: those that were reported, and more at the same rate."""
        if self.total is None or self.rate is None or self.left is None:
            return self.done
        by_now = self.total - self.rate * max(0.0, self.left - (now - self.at))
        return max(self.done, min(by_now, _MOST_EXPECTED * self.total))

    def seconds_left(self, now: float) -> float | None:
        """The seconds left now; `None` before they are known, and once they should be over."""
        if self.left is None or self.done == self.total:
            return None
        return max(0.0, self.left - (now - self.at)) or None


def of_job(stage: str, snapshot: JobSnapshot | None, forecast: Forecast) -> Shown:
    """Show a job; its counts are added to the forecast."""
    if (
        snapshot is None
        or snapshot.verified is None
        or not snapshot.total
        or stage not in {"verifying", "completed"}
    ):
        return Shown(stage=stage)
    now = monotonic()
    forecast.see(now, snapshot.verified)
    return Shown(
        stage=stage,
        done=min(snapshot.verified, snapshot.total),
        total=snapshot.total,
        rate=forecast.rate,
        left=forecast.left(now, snapshot.total),
        verdicts=_verdicts(snapshot),
        at=now,
    )


def of_run(seen: RunProgress) -> Shown:
    """Show a run."""
    verdicts: Counter[Verdict] = Counter()
    earlier = 0
    for part in seen.parts:
        if part.stage not in _COUNTED:
            continue
        if part.snapshot is not None:
            verdicts += _verdicts(part.snapshot)
        else:
            earlier += part.verified
    stage = str(seen.stage)
    if seen.part is None:  # rows are counted before there are parts and after them
        words = f"read {seen.rows_done:,}" if seen.stage is Stage.READING and seen.rows_done else ""
        total = seen.rows or None if seen.stage is not Stage.READING else None
        return Shown(
            stage=stage,
            words=words,
            done=seen.rows_done,
            total=total,
            verdicts=verdicts,
            earlier=earlier,
        )
    several = len(seen.parts) > 1
    over = sum(part.stage in _OVER for part in seen.parts)
    return Shown(
        stage=stage,
        words=f"{over}/{len(seen.parts)} parts" if several else "",
        done=seen.verified,
        total=seen.addresses if several or seen.stage in _COUNTED else None,
        rate=seen.rate,
        left=seen.seconds_left,
        verdicts=verdicts,
        earlier=earlier,
        parts=tuple(
            part for part in seen.parts if part.note or (several and part.stage in _ACTIVE)
        ),
    )


def _verdicts(snapshot: JobSnapshot) -> Counter[Verdict]:
    found = snapshot.results
    if found is None:
        return Counter()
    return +Counter({verdict: getattr(found, verdict.name.lower()) for verdict in Verdict})


def clock(seconds: float) -> str:
    """Write a time as h:mm:ss, or as m:ss below an hour."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"

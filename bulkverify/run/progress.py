"""The progress of a run, for the callback and for the report."""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection
from time import monotonic
from typing import Final

import attrs

from bulkverify.lists import Split
from bulkverify.models import JobSnapshot
from bulkverify.run.curve import Curve
from bulkverify.run.models import Durations, PartProgress, RunProgress, Stage

_FIRST_SHARE: Final = 0.05


@attrs.define
class Forecast:
    """The rate and the remaining time, estimated from the counts so far.

    Times are seconds of one clock.
    """

    _first: tuple[float, int] | None = None
    _last: tuple[float, int] | None = None

    def see(self, now: float, done: int) -> None:
        """Add a count."""
        if self._first is None or done < self._first[1]:
            self._first = now, done
        if self._last is None or done != self._last[1]:
            self._last = now, done

    @property
    def rate(self) -> float | None:
        """The rate per second, or `None` before two counts differ."""
        if self._first is None or self._last is None:
            return None
        seconds, count = self._last[0] - self._first[0], self._last[1] - self._first[1]
        return count / seconds if seconds > 0 and count > 0 else None

    def left(self, now: float, total: int) -> float | None:
        """Return the seconds left until `total`; the estimate also falls between two counts.

        The first 5 % tell too little about the rest, so until then there is none.
        """
        rate = self.rate
        if rate is None or self._last is None or self._first is None:
            return None
        at, done = self._last
        if done - self._first[1] < _FIRST_SHARE * (total - self._first[1]):
            return None
        return max(0.0, (total - done) / rate - (now - at))


class Tracker:
    """Tracks the progress of each part, and how long each stage has taken."""

    def __init__(self, on_progress: Callable[[RunProgress], object] | None) -> None:
        self._on_progress = on_progress
        self._rows = 0
        self._addresses = 0
        self._parts: dict[int, PartProgress] = {}
        self._verified = 0
        self._forecast = Forecast()
        self._begun: set[int] = set()
        self._curve: Curve | None = None
        self._stage: Stage | None = None
        self._busy: Counter[Stage] = Counter()
        self._since: dict[Stage, float] = {}
        self._seconds: defaultdict[str, float] = defaultdict(float)

    def tell(self, stage: Stage, *, rows_done: int = 0) -> None:
        """Set the stage of the whole run, and how many rows are done."""
        if stage is not self._stage:
            self._leave(self._stage)
            self._enter(stage)
            self._stage = stage
        self._call(stage, None, self._rows if stage is Stage.DONE else rows_done)

    def set_parts(
        self, split: Split, fetched: Collection[int] = (), curve: Curve | None = None
    ) -> None:
        """Set the parts of the list; an earlier call has `fetched` the results of some."""
        self._rows, self._addresses = split.rows, split.addresses
        self._parts = {
            part.number: PartProgress(
                number=part.number,
                addresses=part.addresses,
                stage=Stage.FETCHED if part.number in fetched else Stage.QUEUED,
            )
            for part in split.parts
        }
        self._verified = sum(part.verified for part in self._parts.values())
        self._curve = curve
        self._leave(self._stage)
        self._stage = None

    def tell_part(
        self,
        number: int,
        stage: Stage,
        *,
        job_id: str | None = None,
        snapshot: JobSnapshot | None = None,
        note: str = "",
    ) -> None:
        """Set the stage of a part; its job and snapshot stay unless new ones are given."""
        before = self._parts[number]
        if stage is not before.stage:
            self._leave(before.stage)
            self._enter(stage)
        after = attrs.evolve(
            before,
            stage=stage,
            job_id=job_id or before.job_id,
            snapshot=snapshot or before.snapshot,
            note=note,
        )
        self._parts[number] = after
        self._verified += after.verified - before.verified
        self._forecast_with(after)
        if self._curve is not None:
            self._curve.add(self._verified)
        self._call(stage, after, 0)

    def durations(self) -> Durations:
        """Return how long each stage has taken so far."""
        now = monotonic()
        seconds = self._seconds.copy()
        for stage, since in self._since.items():
            seconds[stage] += now - since
        return Durations(
            **{field.name: round(seconds[field.name], 3) for field in attrs.fields(Durations)}
        )

    def _forecast_with(self, part: PartProgress) -> None:
        """Add the count to the forecast; what an earlier call had verified is not part of the rate."""
        if part.stage is Stage.STARTING:
            self._begun.add(part.number)
        if part.verified and part.number not in self._begun:
            self._begun.add(part.number)
            self._forecast = Forecast()
        self._forecast.see(monotonic(), self._verified)

    def _enter(self, stage: Stage) -> None:
        if not self._busy[stage]:
            self._since[stage] = monotonic()
        self._busy[stage] += 1

    def _leave(self, stage: Stage | None) -> None:
        # A part is queued from the start, without `_enter`.
        if stage is None or not self._busy[stage]:
            return
        self._busy[stage] -= 1
        if not self._busy[stage]:
            self._seconds[stage] += monotonic() - self._since.pop(stage)

    def _call(self, stage: Stage, part: PartProgress | None, rows_done: int) -> None:
        if self._on_progress is not None:
            known = part is not None
            self._on_progress(
                RunProgress(
                    stage=stage,
                    rows=self._rows,
                    rows_done=rows_done,
                    addresses=self._addresses,
                    part=part,
                    parts=tuple(self._parts.values()),
                    rate=self._forecast.rate if known else None,
                    seconds_left=self._forecast.left(monotonic(), self._addresses)
                    if known
                    else None,
                )
            )

"""The counts of engines as metrics of OpenTelemetry, if `opentelemetry-api` is installed.

An instrument can't be removed, so each is made once in a process, and observes the engines that are open.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from sqlalchemy.exc import SQLAlchemyError

from bulkverify._version import __version__
from bulkverify.durable.stats import EngineStats

if TYPE_CHECKING:
    from opentelemetry.metrics import Observation

_Counts: TypeAlias = Callable[[EngineStats], Mapping[str, int]]

# The name, the unit, what is counted, and the counts by their state. All processes see the same database,
# so its counts are gauges, which are not to be added up.
_GAUGES: Final[tuple[tuple[str, str, str, _Counts], ...]] = (
    ("run.count", "{run}", "Runs in the database that have not ended.", lambda one: one.runs),
    (
        "part.count",
        "{part}",
        "Parts in the database that have not ended.",
        lambda one: {"waiting": one.parts_waiting, "running": one.parts_running},
    ),
)
_COUNTERS: Final[tuple[tuple[str, str, str, _Counts], ...]] = (
    ("run.ended", "{run}", "Runs that have ended in this process.", lambda one: one.ended),
    (
        "worker.takeovers",
        "{workflow}",
        "Runs and parts of dead processes that this one has taken over.",
        lambda one: {"": one.takeovers},
    ),
    ("client.requests", "{request}", "Requests sent.", lambda one: {"": one.requests}),
    (
        "client.throttles",
        "{request}",
        "Requests answered with the status 429.",
        lambda one: {"": one.throttles},
    ),
)
_READ_SECONDS: Final = 1.0
"""How long counts are used: all instruments are observed at about the same time."""


class Observed:
    """An engine whose counts are observed.

    Args:
        database: the name of its database.
        read: counts; called in the thread that collects the metrics.
    """

    def __init__(self, database: str, read: Callable[[], EngineStats]) -> None:
        self._database = database
        self._read = read
        self._last: EngineStats | None = None
        self._read_at = 0.0

    def begin(self) -> None:
        """Observe it from now on, if OpenTelemetry is installed."""
        try:
            _instruments()
        except ImportError:
            return
        _observed.append(self)

    def end(self) -> None:
        """Observe it no more."""
        if self in _observed:
            _observed.remove(self)

    def counts(self, counted: _Counts) -> Iterator[tuple[int, dict[str, str]]]:
        """Yield counts and their attributes; none while the database is away."""
        if self._last is None or monotonic() - self._read_at > _READ_SECONDS:
            try:
                self._last, self._read_at = self._read(), monotonic()
            except SQLAlchemyError:
                return
        for state, count in counted(self._last).items():
            more = {"bulkverify.state": state} if state else {}
            yield count, {"db.namespace": self._database, **more}


_observed: Final[list[Observed]] = []


@cache
def _instruments() -> None:
    from opentelemetry.metrics import Observation, get_meter  # noqa: PLC0415 - optional, and slow

    meter = get_meter("bulkverify", __version__)

    def observer(counted: _Counts) -> Callable[[Any], "Iterator[Observation]"]:
        def observe(_: object) -> "Iterator[Observation]":
            for one in tuple(_observed):
                for count, attributes in one.counts(counted):
                    yield Observation(count, attributes)

        return observe

    for make, rows in (
        (meter.create_observable_gauge, _GAUGES),
        (meter.create_observable_counter, _COUNTERS),
    ):
        for name, unit, said, counted in rows:
            make(f"bulkverify.{name}", [observer(counted)], unit=unit, description=said)

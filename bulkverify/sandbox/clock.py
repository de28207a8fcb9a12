"""The sandbox's clock, which can run fast, stand still, or be advanced by hand."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import attrs


@attrs.define(kw_only=True, eq=False)
class Clock:
    """Seconds since the sandbox was created.

    The clock stands still until `run`. Its dates are those of the machine, however fast it runs, so that none
    is in the future; `advance` moves them, too. `skew` seconds are added to its dates, but not to `now`.
    """

    speed: float = attrs.field(default=1.0, validator=attrs.validators.ge(0))
    epoch: datetime = attrs.field(factory=lambda: datetime.now(UTC))
    skew: float = 0.0
    _source: Callable[[], float] | None = attrs.field(default=None, init=False)
    _since: float = attrs.field(default=0.0, init=False)
    _elapsed: float = attrs.field(default=0.0, init=False)
    _jumps: list[tuple[float, float]] = attrs.field(factory=list, init=False)

    def run(self, source: Callable[[], float]) -> None:
        """Start the clock: `speed` seconds pass for each second of `source`."""
        self._source, self._since = source, source()

    def halt(self) -> None:
        """Stop the clock."""
        self._elapsed = self.now()
        self._source = None

    def now(self) -> float:
        """Return the seconds that have passed."""
        if self._source is None or not self.speed:
            return self._elapsed
        return self._elapsed + self.speed * (self._source() - self._since)

    def advance(self, seconds: float) -> None:
        """Jump ahead; a negative number of seconds raises `ValueError`."""
        if seconds < 0:
            raise ValueError(f"The clock cannot go back by {-seconds:g} seconds")
        self._jumps.append((self.now(), seconds))
        self._elapsed += seconds

    def date(self) -> datetime:
        """Return the date and time now, aware and in UTC."""
        return self.at(self.now())

    def at(self, moment: float) -> datetime:
        """Return the date and time at `moment`, aware and in UTC."""
        jumped = sum(min(seconds, max(0.0, moment - begun)) for begun, seconds in self._jumps)
        passed = jumped + (moment - jumped) / (self.speed or 1.0)
        return self.epoch + timedelta(seconds=passed + self.skew)


def us_text(moment: datetime) -> str:
    """Format a time as the service does: US style, no zone, no leading zero in the hour."""
    hour = moment.hour % 12 or 12
    return f"{moment:%m/%d/%Y}, {hour}:{moment:%M:%S} {'AM' if moment.hour < 12 else 'PM'}"  # noqa: PLR2004 - noon


def iso_text(moment: datetime) -> str:
    """Format a time as the results do: ISO 8601 with milliseconds and a Z."""
    return f"{moment.replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"

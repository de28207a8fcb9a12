"""How fast a list verifies, and when it should be done, from the counts seen so far."""

import attrs


@attrs.define
class Forecast:
    """The rate since the first count that was seen; times are seconds of any one clock."""

    _first: tuple[float, int] | None = None
    _last: tuple[float, int] | None = None

    def see(self, now: float, done: int) -> None:
        """Take a count."""
        if self._first is None or done < self._first[1]:
            self._first = now, done
        if self._last is None or done != self._last[1]:
            self._last = now, done

    @property
    def rate(self) -> float | None:
        """How many a second, or `None` before there is anything to tell it by."""
        if self._first is None or self._last is None:
            return None
        seconds, count = self._last[0] - self._first[0], self._last[1] - self._first[1]
        return count / seconds if seconds > 0 and count > 0 else None

    def left(self, now: float, total: int) -> float | None:
        """How many seconds until all of them are done, counting down between two counts."""
        rate = self.rate
        if rate is None or self._last is None:
            return None
        at, done = self._last
        return max(0.0, (total - done) / rate - (now - at))


def clock(seconds: float | None) -> str:
    """Write a time like a stop-watch does."""
    if seconds is None:
        return "-:--"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"

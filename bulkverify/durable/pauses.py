"""How long a worker leaves alone what has failed here."""

from time import monotonic
from typing import Final

import attrs

LONGEST_SECONDS: Final = 600.0


@attrs.define(eq=False)
class _Pause:
    until: float
    seconds: float
    why: str


class Pauses:
    """Pauses by name: the first takes `seconds`, and each later one twice as long, up to ten minutes."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._pauses: dict[str, _Pause] = {}

    def begin(self, name: str, why: str) -> float:
        """Begin a pause, and return its seconds. What fails during a pause has begun before it."""
        before, now = self._pauses.get(name), monotonic()
        if before is not None and now < before.until:
            return before.until - now
        seconds = self._seconds if before is None else min(2 * before.seconds, LONGEST_SECONDS)
        self._pauses[name] = _Pause(now + seconds, seconds, why)
        return seconds

    def covers(self, name: str) -> bool:
        """Whether there is a pause now."""
        pause = self._pauses.get(name)
        return pause is not None and monotonic() < pause.until

    def forget(self, name: str) -> None:
        """Begin with a short one again, because a step has succeeded after the last pause."""
        if name in self._pauses and not self.covers(name):
            del self._pauses[name]

    @property
    def note(self) -> str:
        """What is left alone now, and why."""
        return "; ".join(
            f"{name}: {pause.why}"
            for name, pause in sorted(self._pauses.items())
            if self.covers(name)
        )

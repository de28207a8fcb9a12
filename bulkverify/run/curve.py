"""The progress of a run over time, as a curve of few points that goes on after a crash."""

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from time import monotonic
from typing import Final

from bulkverify.run.models import CurvePoint, JournalError

MOST_POINTS: Final = 240
SAVED_EVERY_SECONDS: Final = 60.0
"""A crash loses at most this much of the curve."""


class Curve:
    """Adds points to a list, and keeps about as many of each stretch of time."""

    def __init__(
        self, points: list[CurvePoint], began_at: datetime, save: Callable[[], None]
    ) -> None:
        """Continue the curve of an earlier call; `save` writes the points, which the record holds."""
        self._points = points
        self._began_at = began_at
        self._save = save
        self._saved = monotonic()
        self.add(0)

    def add(self, verified: int) -> None:
        """Add the current count, which never falls: after a restart it is known only bit by bit."""
        points = self._points
        seconds = (datetime.now(UTC) - self._began_at).total_seconds()
        if points:
            seconds = max(seconds, points[-1].seconds)  # the machine's clock may be set back
            verified = max(verified, points[-1].verified)
        point = CurvePoint(seconds=round(max(0.0, seconds), 3), verified=verified)
        if len(points) > 1 and (
            points[-2].verified == points[-1].verified == verified  # a level stretch
            or point.seconds - points[-2].seconds < points[-1].seconds / MOST_POINTS
        ):
            points[-1] = point
        else:
            points.append(point)
        if len(points) > MOST_POINTS:
            self._thin_out()
        if monotonic() - self._saved >= SAVED_EVERY_SECONDS:
            self._saved = monotonic()
            # If the record can't be written, the next note of a part says so.
            with suppress(OSError, JournalError):
                self._save()

    def _thin_out(self) -> None:
        """Leave about half of the points, at equal distances in time."""
        first, *between, last = self._points
        kept = [first]
        for point in between:
            if point.seconds - kept[-1].seconds > last.seconds / (MOST_POINTS // 2):
                kept.append(point)
        self._points[:] = [*kept, last]

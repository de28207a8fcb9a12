"""How many requests the service takes: so many in any minute, for each endpoint apart."""

from collections import defaultdict, deque

import attrs

from bulkverify.limits import WINDOW_SECONDS


@attrs.define(kw_only=True, eq=False)
class Allowance:
    """A sliding window; a request that is turned away does not count."""

    requests_per_minute: int | None
    _moments: defaultdict[str, deque[float]] = attrs.field(factory=lambda: defaultdict(deque))

    def take(self, endpoint: str, now: float) -> bool:
        """Tell whether a request may pass, and count it if it may."""
        if self.requests_per_minute is None:
            return True
        moments = self._moments[endpoint]
        while moments and moments[0] <= now - WINDOW_SECONDS:
            moments.popleft()
        if len(moments) >= self.requests_per_minute:
            return False
        moments.append(now)
        return True

"""The account's request budget: so many requests in any minute, endpoint by endpoint."""

import asyncio
from collections import defaultdict, deque
from typing import Final

PERIOD: Final = 60.0
"""The seconds over which the service counts requests."""

# The service counts arrivals, and the way there takes longer for some requests than for others:
# without a margin, an evenly spent budget would now and then arrive as one request too many.
_MARGIN: Final = 1.0


class Budget:
    """Lets at most `limit` requests an endpoint go in any `PERIOD` seconds, first come, first served.

    A sliding window, not a bucket: a leaky bucket of 120 a minute lets 240 through in its first
    minute. `None` as the limit lets everything go at once.
    """

    def __init__(self, limit: int | None) -> None:
        """Start with the whole budget unspent."""
        self._limit = limit
        self._departures: defaultdict[str, deque[float]] = defaultdict(deque)
        self._paused_until: dict[str, float] = {}

    async def spend(self, endpoint: str) -> None:
        """Wait for one request's turn; cancelled while it waits, the turn goes back."""
        now = asyncio.get_running_loop().time()
        turn = max(now, self._paused_until.get(endpoint, now))
        departures = self._departures[endpoint]
        if self._limit is not None:
            while len(departures) >= self._limit and departures[0] + PERIOD + _MARGIN <= now:
                departures.popleft()
            if len(departures) >= self._limit:
                turn = max(turn, departures[-self._limit] + PERIOD + _MARGIN)
            if departures:
                turn = max(turn, departures[-1])
            departures.append(turn)
        try:
            if turn > now:
                await asyncio.sleep(turn - now)
        except asyncio.CancelledError:
            if self._limit is not None:
                departures.remove(turn)
            raise

    def pause(self, endpoint: str, seconds: float) -> None:
        """Let nothing more go to `endpoint` for that long: the service has asked for it."""
        until = asyncio.get_running_loop().time() + seconds
        self._paused_until[endpoint] = max(until, self._paused_until.get(endpoint, until))

"""The request budget of a client: a limit of requests per minute for each endpoint."""

import asyncio
from collections import defaultdict, deque
from typing import Final

import attrs

from bulkverify.limits import WINDOW_SECONDS

# The service counts requests as they arrive, and some take longer than others. Without a margin, too
# many would sometimes arrive within a minute.
_MARGIN: Final = 1.0

# A twentieth of the limit is reserved for callers, so that they seldom wait. Polls are sent evenly, apart
# from bursts of up to a twentieth. If they used up the limit at once, no list could be polled for a minute.
_CALLERS_SHARE: Final = 0.05
_BURST_SHARE: Final = 0.05

# Other processes may use the same key. So a 429 halves the pace of the polls, and the pace recovers
# evenly. Clients that do so end up with about equal shares.
_SMALLEST_SHARE: Final = 1 / 32
_RECOVERY_SECONDS: Final = 1800.0
_ONE_REFUSAL_SECONDS: Final = 15.0

# How long a poll waits before it asks again, while callers use the whole budget.
_LOOK_AGAIN: Final = 1.0

# Shorter waits are below the clock's resolution, and would be repeated endlessly.
_ROUNDING: Final = 1e-6


@attrs.define(eq=False)
class _Lane:
    """The requests of one endpoint."""

    departures: deque[float] = attrs.field(factory=deque)
    line: asyncio.Lock = attrs.field(factory=asyncio.Lock)  # held by the first caller in line
    callers: int = 0
    paused_until: float = 0.0
    share: float = 1.0
    share_at: float = 0.0
    tokens: float | None = None
    tokens_at: float = 0.0


class Budget:
    """Allows at most `limit` requests to each endpoint in any span of `WINDOW_SECONDS`.

    It is a sliding window, because a leaky bucket lets twice the limit through in its first minute.
    Callers' requests are sent first, in the order in which they asked, and polls share the rest evenly. With
    `None` as the limit, every request is sent at once.
    """

    def __init__(self, limit: int | None) -> None:
        self.limit = limit  # may change, as when several processes share an account
        self._lanes: defaultdict[str, _Lane] = defaultdict(_Lane)

    async def spend(self, endpoint: str) -> None:
        """Wait until a caller's request may be sent."""
        lane, time = self._lanes[endpoint], asyncio.get_running_loop().time
        if not lane.callers and self._next_turn(lane, time()) <= time():
            self._depart(lane, time())
            return
        lane.callers += 1
        try:
            async with lane.line:
                while (turn := self._next_turn(lane, now := time())) > now + _ROUNDING:  # noqa: ASYNC110 - the time of the turn is known
                    await asyncio.sleep(turn - now)
                self._depart(lane, now)
        finally:
            lane.callers -= 1

    def take_for_poll(self, endpoint: str, *, urgent: bool = False) -> float:
        """Take a turn for a poll and return 0, or return the seconds after which to ask again.

        An urgent poll may also use the callers' share.
        """
        lane = self._lanes[endpoint]
        if self.limit is None and not lane.paused_until:
            return 0.0
        now = asyncio.get_running_loop().time()
        reserve = 0 if urgent else int((self.limit or 0) * _CALLERS_SHARE)
        turn = self._next_turn(lane, now, reserve + lane.callers)
        if turn > now + _ROUNDING:
            return turn - now
        if self.limit is None:
            return 0.0
        if urgent:
            self._depart(lane, now)
            return 0.0
        allowed = (self.limit - reserve) * self._share(lane, now)
        burst = max(1.0, allowed * _BURST_SHARE)
        rate = max(allowed - burst, allowed / 2) / (WINDOW_SECONDS + _MARGIN)
        earned = (now - lane.tokens_at) * rate
        tokens = burst if lane.tokens is None else min(burst, lane.tokens + earned)
        lane.tokens_at = now
        if tokens < 1.0 - _ROUNDING:
            lane.tokens = tokens
            return (1.0 - tokens) / rate
        lane.tokens = max(0.0, tokens - 1.0)
        lane.departures.append(now)
        return 0.0

    def throttled(self, endpoint: str, retry_after: float | None) -> None:
        """After a 429, halve the pace of the polls, and hold all requests for `retry_after` seconds."""
        lane = self._lanes[endpoint]
        now = asyncio.get_running_loop().time()
        if retry_after:
            lane.paused_until = max(lane.paused_until, now + retry_after)
        share = self._share(lane, now)
        # Requests that were under way together are refused together, and count as one refusal.
        if lane.share == 1.0 or now - lane.share_at >= _ONE_REFUSAL_SECONDS:
            lane.share = max(_SMALLEST_SHARE, share / 2)
            lane.share_at = now
            lane.tokens = 0.0
            lane.tokens_at = now

    def _next_turn(self, lane: _Lane, now: float, reserve: int = 0) -> float:
        """Return when the next request may be sent, with `reserve` requests kept for others."""
        turn = max(now, lane.paused_until)
        departures, limit = lane.departures, self.limit
        if limit is None:
            return turn
        # By their age and not by the limit, which may fall and rise again.
        while departures and departures[0] + WINDOW_SECONDS + _MARGIN <= now:
            departures.popleft()
        available = limit - reserve
        if available <= 0:
            return max(turn, now + _LOOK_AGAIN)
        if len(departures) >= available:
            turn = max(turn, departures[-available] + WINDOW_SECONDS + _MARGIN)
        return turn

    def _depart(self, lane: _Lane, now: float) -> None:
        if self.limit is not None:
            lane.departures.append(now)

    @staticmethod
    def _share(lane: _Lane, now: float) -> float:
        """Return the share of the limit that polls may use now."""
        return min(1.0, lane.share + (now - lane.share_at) / _RECOVERY_SECONDS)

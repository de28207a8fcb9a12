"""Things that go wrong on purpose: which request they hit, and what happens to it."""

import random
from collections.abc import Callable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

import attrs

from bulkverify.sandbox.ledger import ENDPOINTS, Endpoint

_PROXY_PAGE: Final = (
    b"<!DOCTYPE html>\n<html><head><title>502 Bad Gateway</title></head>"
    b"<body><h1>502 Bad Gateway</h1></body></html>\n"
)
_HUGE_BYTES: Final = 64 * 1024 * 1024


class FaultKind(StrEnum):
    """What becomes of a request that a fault hits."""

    ANSWER = "answer"
    """The fault's answer comes instead of the work."""
    ANSWER_AFTER = "answer_after"
    """The work is done, and then the fault's answer comes instead of the true one."""
    THROTTLE = "throttle"
    """The service's own 429 comes instead of the work, with `Retry-After` where `retry_after` is set."""
    DROP = "drop"
    """The connection is closed without any work."""
    DROP_AFTER = "drop_after"
    """The work is done, and then the connection is closed without an answer."""
    HANG = "hang"
    """Nothing happens for `delay` seconds, or until the sandbox closes if there are none; then as `DROP`."""
    DELAY = "delay"
    """The work is done, but only after the delay."""
    TRICKLE = "trickle"
    """The answer comes in pieces of `piece_bytes`, with the delay before each."""
    TRUNCATE = "truncate"
    """Only the first half of the download's bytes comes, and then the connection is closed."""
    TRUNCATE_CLEANLY = "truncate_cleanly"
    """Only the first half of the download's rows comes, in an answer that looks complete."""
    HUGE = "huge"
    """The answer is true, and has `size_bytes` more than it needs."""
    BOMB = "bomb"
    """The same, compressed: it is small on its way, and `size_bytes` long when it is unpacked."""
    STALE = "stale"
    """The status is that of the step before, as a lagging replica would give it."""
    COUNTERS_JUMP = "counters_jump"
    """A list that is verifying says that all of it is verified."""
    COUNTERS_BACK = "counters_back"
    """It says that half of what was verified is."""
    COUNTERS_OVER = "counters_over"
    """It says that more is verified than it has."""
    COUNTERS_STUCK = "counters_stuck"
    """It says the same as when the first such fault hit it."""
    ENDLESS = "endless"
    """The list that is uploaded or started stays verifying for ever, until somebody cancels it."""
    CLOCK_JUMP = "clock_jump"
    """From now on the dates that the service writes are `jump` seconds off; the lists don't notice."""


COUNTERS: Final = frozenset(
    {
        FaultKind.COUNTERS_JUMP,
        FaultKind.COUNTERS_BACK,
        FaultKind.COUNTERS_OVER,
        FaultKind.COUNTERS_STUCK,
    }
)
"""The kinds that need a list that is verifying, and wait for one."""

_WITH_JSON: Final = tuple(endpoint for endpoint in ENDPOINTS if endpoint != "download")
_ONLY_AT: Final[Mapping[FaultKind, tuple[Endpoint, ...]]] = MappingProxyType(
    {
        FaultKind.TRUNCATE: ("download",),
        FaultKind.TRUNCATE_CLEANLY: ("download",),
        FaultKind.STALE: ("status",),
        FaultKind.ENDLESS: ("upload", "start"),
        FaultKind.HUGE: _WITH_JSON,
        FaultKind.BOMB: _WITH_JSON,
        **dict.fromkeys(COUNTERS, ("status",)),
    }
)


def endpoints_of(kind: FaultKind) -> tuple[Endpoint, ...]:
    """The endpoints that a kind of fault can hit."""
    return _ONLY_AT.get(kind, ENDPOINTS)


@attrs.frozen(kw_only=True)
class Fault:
    """A fault to inject.

    Attributes:
        kind: what becomes of the request.
        endpoint: which requests it hits; `None` for all that `kind` can hit.
        job_id: hits only requests about this list.
        skip: how many of those requests pass unharmed first.
        every: of the others only every so manieth is hit: with 5, the fifth, the tenth and so on.
        rate: and of these only so large a share, at random: with 0.1, about one in ten.
        times: how many are hit in all; `None` for no end.
        lasting: one time is not one request, but all that come within so many seconds of the
            sandbox's clock, beginning with the request that is hit.
        delay: how many seconds, of the event loop's time, pass before it takes effect.
        status: the HTTP status to answer.
        body: what to answer.
        headers: headers of the answer.
        retry_after: how many seconds the `Retry-After` of a `THROTTLE` asks for, if there is to be one.
        retry_after_date: write it as a date, by the clock of the sandbox.
        size_bytes: how much too large the answer is.
        piece_bytes: how much of the answer comes at once.
        jump: how many seconds the service's dates are off; below 0 for the past.
    """

    kind: FaultKind = attrs.field(converter=FaultKind)
    endpoint: Endpoint | None = attrs.field(
        default=None, validator=attrs.validators.in_((None, *ENDPOINTS))
    )
    job_id: str | None = None
    skip: int = attrs.field(default=0, validator=attrs.validators.ge(0))
    every: int = attrs.field(default=1, validator=attrs.validators.ge(1))
    rate: float = attrs.field(
        default=1.0, validator=[attrs.validators.ge(0), attrs.validators.le(1)]
    )
    times: int | None = 1
    lasting: float = attrs.field(default=0.0, validator=attrs.validators.ge(0))
    delay: float = attrs.field(default=0.0, validator=attrs.validators.ge(0))
    status: int = 502
    body: bytes | str = _PROXY_PAGE
    headers: Mapping[str, str] = attrs.field(factory=dict)
    retry_after: float | None = attrs.field(
        default=None, validator=attrs.validators.optional(attrs.validators.ge(0))
    )
    retry_after_date: bool = False
    size_bytes: int = attrs.field(default=_HUGE_BYTES, validator=attrs.validators.ge(1))
    piece_bytes: int = attrs.field(default=16, validator=attrs.validators.ge(1))
    jump: float = 3600.0

    def __attrs_post_init__(self) -> None:
        """Refuse a fault that could never take effect."""
        if self.times is not None and self.times < 0:
            raise ValueError(f"A fault cannot happen {self.times} times")
        able = endpoints_of(self.kind)
        if self.endpoint is not None and self.endpoint not in able:
            raise ValueError(
                f"The fault {self.kind} can hit {', '.join(able)} only, not {self.endpoint}"
            )

    def fits(self, endpoint: Endpoint, job_id: str | None) -> bool:
        """Tell whether it is meant for such a request."""
        meant = endpoints_of(self.kind) if self.endpoint is None else (self.endpoint,)
        return endpoint in meant and self.job_id in {None, job_id}


def at_random(rates: Mapping[str, float | Mapping[Endpoint, float]]) -> list[Fault]:
    """Make faults without end that hit requests at random; which ones, the sandbox's seed decides.

    Args:
        rates: for each kind how likely it is, from 0 to 1, for every request that it can hit, or
            for each endpoint apart.

    Raises:
        ValueError: a kind, an endpoint or a rate can't be right.
    """
    faults = []
    for kind, rate in rates.items():
        if isinstance(rate, Mapping):
            faults += [
                Fault(kind=FaultKind(kind), endpoint=endpoint, rate=share, times=None)
                for endpoint, share in rate.items()
            ]
        else:
            faults.append(Fault(kind=FaultKind(kind), rate=rate, times=None))
    return faults


@attrs.define(eq=False)
class _Injected:
    fault: Fault
    chance: random.Random
    seen: int = 0
    hits: int = 0
    lasts_until: float | None = None

    def hit(self, now: float) -> bool:
        """Tell whether a request that the fault is meant for is hit."""
        fault = self.fault
        if self.lasts_until is not None:
            if now < self.lasts_until:
                return True
            self.lasts_until = None
        if fault.times is not None and self.hits >= fault.times:
            return False
        self.seen += 1
        place = self.seen - fault.skip
        if place <= 0 or place % fault.every or self.chance.random() >= fault.rate:
            return False
        self.hits += 1
        if fault.lasting:
            self.lasts_until = now + fault.lasting
        return True


@attrs.define(eq=False)
class Faults:
    """The faults that wait for their request, the first injected first.

    Each has dice of its own, so that what one of them hits does not depend on the others.
    """

    seed: int
    _injected: list[_Injected] = attrs.field(factory=list, init=False)

    def inject(self, fault: Fault) -> None:
        """Let `fault` happen from now on."""
        dice = random.Random(f"{self.seed}, {len(self._injected)}")  # noqa: S311 - protects nothing
        self._injected.append(_Injected(fault, dice))

    def draw(
        self, endpoint: Endpoint, job_id: str | None, now: float, *, counts: Callable[[], bool]
    ) -> Fault | None:
        """Say what goes wrong with this request; at most one fault does.

        Args:
            endpoint: what is asked for.
            job_id: about which list.
            now: the moment on the sandbox's clock.
            counts: tells whether that list is verifying, and has counters to be wrong.
        """
        for injected in self._injected:
            fault = injected.fault
            if not fault.fits(endpoint, job_id) or (fault.kind in COUNTERS and not counts()):
                continue
            if injected.hit(now):
                return fault
        return None

"""A rough service: random faults of every kind, and a staff that ends lists."""

import asyncio
import random

import attrs

from bulkverify.lifecycle import TERMINAL
from bulkverify.sandbox import Fault, FaultKind, Sandbox, Timings

JUST_TOO_LARGE = 1_100_000
SERVER_GIVES_UP = 100.0
"""How many seconds a request hangs, which is longer than any client waits."""

ENDLESS_SECONDS = 1200.0
"""After how many seconds the staff cancels a list that never completes."""

_LOOKS_EVERY = 120.0
_ENDED_BY_HAND = 0.002


def faults_at_random(chance: random.Random) -> list[Fault]:
    """Draw the rate of each fault; together they hit about every sixth request."""
    kind = FaultKind
    usual: list[tuple[float, Fault]] = [
        *((0.006, _always(kind.ANSWER, status=status)) for status in (500, 502, 503)),
        *((0.003, _always(kind.ANSWER, status=status)) for status in (200, 400, 403, 429)),
        (0.004, _always(kind.ANSWER, status=503, headers={"Retry-After": "3"})),
        *((0.006, _always(kind.ANSWER_AFTER, status=status)) for status in (200, 502, 504)),
        (0.003, _always(kind.THROTTLE)),
        (0.003, _always(kind.THROTTLE, retry_after=7.0)),
        (0.002, _always(kind.THROTTLE, retry_after=20.0, retry_after_date=True)),
        (0.0005, _always(kind.THROTTLE, retry_after=200.0)),
        (0.0002, _always(kind.THROTTLE, lasting=15.0)),
        (0.01, _always(kind.DROP)),
        (0.01, _always(kind.DROP_AFTER)),
        (0.002, _always(kind.HANG, delay=SERVER_GIVES_UP)),
        (0.01, _always(kind.DELAY, delay=2.0)),
        (0.003, _always(kind.DELAY, delay=30.0)),
        (0.002, _always(kind.DELAY, delay=90.0)),
        (0.005, _always(kind.TRICKLE, piece_bytes=64, delay=0.5)),
        (0.03, _always(kind.TRUNCATE)),
        (0.03, _always(kind.TRUNCATE_CLEANLY)),
        (0.001, _always(kind.HUGE, size_bytes=JUST_TOO_LARGE)),
        (0.001, _always(kind.BOMB, size_bytes=JUST_TOO_LARGE)),
        (0.02, _always(kind.STALE)),
        (0.01, _always(kind.COUNTERS_JUMP)),
        (0.01, _always(kind.COUNTERS_BACK)),
        (0.01, _always(kind.COUNTERS_OVER)),
        (0.01, _always(kind.COUNTERS_STUCK)),
        (0.005, _always(kind.ENDLESS)),
        *((0.0005, _always(kind.CLOCK_JUMP, jump=jump)) for jump in (-7200.0, 0.0, 3600.0)),
    ]
    return [attrs.evolve(fault, rate=rate * chance.uniform(0.3, 2.0)) for rate, fault in usual]


def _always(kind: FaultKind, **options: object) -> Fault:
    return Fault(kind=kind, times=None, **options)  # type: ignore[arg-type]


class Staff:
    """Changes the sandbox's speed, ends a few lists, and cancels lists that never end.

    `ended` has the ids of the lists that the staff has ended.
    """

    def __init__(self, sandbox: Sandbox, chance: random.Random) -> None:
        self.ended: set[str] = set()
        self._sandbox = sandbox
        self._account = sandbox._account
        self._chance = chance

    def has_no_list(self, job_id: str) -> bool:
        """Tell whether there is no such list."""
        return job_id not in self._account._jobs

    async def work(self) -> None:
        """Work until cancelled."""
        while True:
            self._set_pace()
            self._end_some()
            await asyncio.sleep(_LOOKS_EVERY)

    def _set_pace(self) -> None:
        chance = self._chance
        self._account.timings = Timings(
            preparing=chance.uniform(0, 20),
            start_delay=chance.uniform(0, 10),
            verifying=10 ** chance.uniform(0, 3),
            verifying_per_address=chance.uniform(0, 2),
            finishing=chance.uniform(0, 10),
        )

    def _end_some(self) -> None:
        now = self._account.clock.now()
        for job in list(self._account._open.values()):
            if job.status(now) in TERMINAL:
                continue
            since = job.started
            forgotten = job.endless and since is not None and now - since > ENDLESS_SECONDS
            if forgotten or self._chance.random() < _ENDED_BY_HAND:
                end = self._sandbox.fail if self._chance.random() < 0.3 else self._sandbox.cancel
                end(job.job_id)
                self.ended.add(job.job_id)


class NoStaff:
    """The staff of a service that ends no list."""

    ended: frozenset[str] = frozenset()

    def has_no_list(self, job_id: str) -> bool:
        """Return `True` for any list: this staff can't look."""
        return bool(job_id)

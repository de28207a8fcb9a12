"""This process as a worker: its lease, takeovers, and its shares of the request budgets."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from functools import partial
from math import ceil
from pathlib import Path
from time import monotonic
from typing import Any, Final, Protocol, TypeVar

from sqlalchemy.exc import SQLAlchemyError

from bulkverify.durable import flows, names
from bulkverify.durable.accounts import Accounts
from bulkverify.durable.database import Database
from bulkverify.durable.here import Here, tell_away
from bulkverify.durable.lease import BEATS, Lease
from bulkverify.errors import UsageError
from bulkverify.run.folder import Lock
from bulkverify.service.logs import SafeLogger

T = TypeVar("T")
_log: Final = SafeLogger(__name__)

_CLOSING_SECONDS: Final = 20.0
"""How long steps that may cost something have to reach their checkpoint."""


_MISSED: Final = 4
"""How many times in a row taken work is not found at work before it is given back."""


_MOST_WAITS: Final = 10_000
"""For how many lists one worker waits at most; a poll takes a few ms of CPU."""


class InThread(Protocol):
    """Makes a call in a thread."""

    def __call__(self, work: Callable[[], T]) -> Awaitable[T]:
        """Return what the call returns."""
        ...


class Process:
    """This process, while it takes work.

    Args:
        database: the database of the runs.
        accounts: the accounts that it works for.
        lease: the seconds after which its work is taken over.
        parts_at_once: how many parts of one account are verified at the same time, over all workers.
        in_thread: calls the database.
    """

    def __init__(
        self,
        database: Database,
        accounts: Accounts,
        *,
        lease: float,
        parts_at_once: int,
        in_thread: InThread,
    ) -> None:
        self._database = database
        self._accounts = accounts
        self._seconds = lease
        self._lease = None if database.is_sqlite else self._made_lease()
        self._parts_at_once = parts_at_once
        self._in_thread = in_thread
        self._taking = False
        self._alive = 1
        self._missing: Counter[str] = Counter()
        self._tending: asyncio.Task[None] | None = None
        self._lock: Lock | None = None
        self._host = names.Host(
            database.dbos_engine,
            self.id,
            has_queued=database.has_queued,
            serves=lambda account: self._taking and accounts.serves(account),
            has_room=self._has_room,
        )
        self._here = Here(self._host, database, accounts, asyncio.get_running_loop())
        self.takeovers: int = 0
        """How many workflows of dead processes this one has given to the queues again."""

    @property
    def ended(self) -> Mapping[str, int]:
        """How many runs have ended here, by their state."""
        return self._here.states

    def _made_lease(self) -> Lease:
        return Lease(
            self._database,
            self._seconds,
            note=lambda: self._accounts.pauses.note,
            lost=self._begin_again,
        )

    @property
    def id(self) -> str:
        """The name of this process in the database."""
        return "sqlite" if self._lease is None else self._lease.id

    def _has_room(self, account: str) -> bool:
        """Whether this process may take more parts: each waits for about as many lists of an account."""
        waits, share = self._here.waits, ceil(self._parts_at_once / max(1, self._alive))
        return waits.count(account) < share and waits.total() < _MOST_WAITS

    async def begin(self) -> None:
        """Begin to take work.

        Raises:
            UsageError: another process takes work from the SQLite database, or this one uses DBOS itself.
        """
        if flows.is_serving():
            raise UsageError("Another engine of this process takes work already.").with_hint(
                "Use that one, or `Engine(work=False)`, which submits runs and waits for them.",
                "Start a worker in a process of its own.",
            )
        names.check()
        if self._lease is None:
            self._lock = _locked(Path(f"{self._database.name}.lock"))
        else:  # alive before it takes any work
            await self._lease.begin()
        flows.serve(self._here)
        await self._in_thread(
            partial(names.register_queues, self._database.client, self._parts_at_once)
        )
        await self._in_thread(self._host.launch)
        self._host.rename(self.id)  # it may have changed meanwhile
        self._taking = True
        self._tending = asyncio.create_task(self._tend(), name="bulkverify takeovers")

    async def end(self) -> None:
        """Stop taking work, let what may cost something reach its checkpoint, and give the rest back."""
        self._taking = False
        if self._tending is not None:
            self._tending.cancel()
            await asyncio.wait({self._tending})
        if self._host.launched:
            loop = self._host.loop
            await self._here.waits.end()
            if not await _there(loop, self._here.gate.close(_CLOSING_SECONDS)):
                _log.warning("a request that may cost something was still under way")
            await _there(loop, _cancelled(self._here))
            if self._here.steps:  # such as a request of a store, which is left after a while
                await asyncio.wait(self._here.steps, timeout=2.5)
            self._host.stop_waiting()
            with suppress(Exception):  # the database is away: the lease ends by itself
                hand_over = partial(self._host.take_over, [self.id])
                await asyncio.wait_for(self._in_thread(hand_over), 5)
            await self._in_thread(self._host.destroy)
            flows.serve(None)
        if self._lease is not None:  # until now, others leave its work alone
            await self._lease.end()
        await self._in_thread(self._here.scratch.close)
        if self._lock is not None:
            self._lock.release()

    async def _tend(self) -> None:
        """Share the budgets, and take over the work of dead processes."""
        shared_at = 0.0
        while True:
            try:
                if self._lease is not None:
                    self._alive = len(await self._in_thread(self._database.workers))
                    if self._lease.is_steady:
                        await self._take_over()
                await self._in_thread(self._database.end_delays)
                await self._see_ended()
                if monotonic() - shared_at >= self._seconds:
                    shared_at = monotonic()
                    await self._accounts.share_again()
                    await self._find_lost()
                    await self._tidy_up()
            except SQLAlchemyError as error:
                tell_away(error)
            await asyncio.sleep(self._seconds / BEATS)

    async def _take_over(self) -> None:
        taken = await self._in_thread(
            partial(self._database.take_over, self._seconds, self._host.take_over)
        )
        self.takeovers += taken
        if taken:
            _log.warning("took over the work of dead processes: %s workflows", taken)

    async def _see_ended(self) -> None:
        """Wake the runs here whose parts have all ended, wherever that was."""
        if waiting := list(self._here.ended):
            counts = await self._in_thread(partial(self._database.counts, waiting))
            for run_id, (_, left) in counts.items():
                if not left:
                    self._host.loop.call_soon_threadsafe(self._here.wake, run_id)

    async def _find_lost(self) -> None:
        """Give back work that was taken here and does not run, as after an outage of the database."""
        waits, running = self._here.waits, +self._here.running
        waiting, waited = waits.parts(ended=False), waits.parts(ended=True)
        claimed = await self._in_thread(partial(self._database.claimed, self.id))
        waits.drop((waiting | waited) - claimed)  # such as those of a run that was cancelled
        self._missing = Counter(
            {one: self._missing[one] + 1 for one in claimed.difference(running, waiting)}
        )
        # On a busy machine, work that was just taken takes a while to begin.
        if lost := [one for one, times in self._missing.items() if times >= _MISSED]:
            _log.warning("work that does not run is given back: %s workflows", len(lost))
            waits.drop(lost)
            await self._in_thread(partial(self._host.give_back, lost))

    async def _tidy_up(self) -> None:
        """Delete the files of runs that have ended, wherever that was."""
        known = self._here.scratch.runs()
        left = await self._in_thread(partial(self._database.unfinished, known)) if known else set()
        with suppress(OSError):  # there may be no place for temporary files
            await self._in_thread(partial(self._here.scratch.drop, known - left))

    async def _begin_again(self, executor_id: str) -> None:
        """Leave the work that others have now, and take new work under a new name."""
        self._host.rename(executor_id)
        self._here.waits.drop()
        if self._host.launched:
            await _there(self._host.loop, _cancelled(self._here))


async def _there(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in another event loop."""
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, loop))


async def _cancelled(here: Here) -> None:
    """Cancel all executions that are not about to make a checkpoint of something that may cost."""
    tasks = list(here.tasks)
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=2)


def _locked(path: Path) -> Lock:
    try:
        return Lock(path)
    except BlockingIOError:
        raise UsageError(
            f"Another process takes work from {path.with_suffix('')}: SQLite serves one at a time."
        ).with_hint(
            "Use `Engine(work=False)` here, or PostgreSQL.",
            "Stop the other worker, or use PostgreSQL.",
        ) from None

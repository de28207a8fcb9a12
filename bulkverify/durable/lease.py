"""The lease of this process: while it is renewed, other processes leave the work of this one alone."""

import asyncio
import os
import secrets
import socket
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from time import monotonic
from typing import Final, TypeVar

from sqlalchemy.exc import SQLAlchemyError

from bulkverify.durable.database import Database, reason
from bulkverify.service.logs import SafeLogger

T = TypeVar("T")
_log: Final = SafeLogger(__name__)

BEATS: Final = 4
"""How often a lease is renewed while it lasts."""


class Lease:
    """Renews a lease in a thread and on a connection of its own, so that no other work delays it.

    Args:
        database: the database of the runs.
        seconds: after so long without a renewal, the work of this process is taken over.
        note: returns why this process takes no work of some accounts.
        lost: called with a new id after the lease was lost.
    """

    def __init__(
        self,
        database: Database,
        seconds: float,
        *,
        note: Callable[[], str],
        lost: Callable[[str], Awaitable[None]],
    ) -> None:
        self.id: str = _new_id()
        """The name of this process in the database."""
        self._database = database
        self._seconds = seconds
        self._note = note
        self._lost = lost
        self._thread = ThreadPoolExecutor(1, "bulkverify lease")
        self._renewed_at = self._steady_since = monotonic()
        self._renewing: asyncio.Task[None] | None = None

    @property
    def is_steady(self) -> bool:
        """Whether it was renewed without a break for as long as it lasts.

        After an outage of the database, or while this process was frozen, all leases may look dead.
        """
        now = monotonic()
        return self._is_recent(now) and now - self._steady_since >= self._seconds

    async def begin(self) -> None:
        """Begin the lease, and renew it from now on."""
        await self._enter()
        self._renewing = asyncio.create_task(self._renew(), name="bulkverify lease")

    async def end(self) -> None:
        """End the lease; if the database is away, it ends by itself."""
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.wait({self._renewing})
            try:
                leave = partial(self._database.leave, self.id)
                await asyncio.wait_for(self._call(leave), self._seconds / BEATS)
            except (SQLAlchemyError, TimeoutError) as error:
                _log.warning("the lease ends by itself: %s", str(error) or "no answer")
        self._thread.shutdown(wait=False)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._seconds / BEATS)
            try:
                if await self._call(partial(self._database.beat, self.id, self._note())):
                    self._note_renewed()
                else:
                    await self._begin_again()
            except SQLAlchemyError as error:
                _log.warning("the lease can't be renewed, the database is away: %s", reason(error))

    def _note_renewed(self) -> None:
        now = monotonic()
        if not self._is_recent(now):
            self._steady_since = now
        self._renewed_at = now

    def _is_recent(self, now: float) -> bool:
        return now - self._renewed_at <= self._seconds / 2

    async def _enter(self) -> None:
        await self._call(partial(self._database.enter, self.id, socket.gethostname(), os.getpid()))
        self._renewed_at = self._steady_since = monotonic()

    async def _begin_again(self) -> None:
        """Others have the work of this process: take new work under a new name."""
        _log.warning("the lease of %s was lost: its work was taken over", self.id)
        self.id = _new_id()
        await self._enter()
        await self._lost(self.id)

    async def _call(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _new_id() -> str:
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"

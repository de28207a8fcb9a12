"""A service for one case after the other, in a process that outlives the killed ones."""

import asyncio
import os
from datetime import UTC, datetime
from multiprocessing.connection import Connection, Pipe
from typing import Final

import attrs

from bulkverify.sandbox import Sandbox, Timings
from bulkverify.sandbox.clock import Clock

EPOCH: Final = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
_QUICK: Final = Timings(
    preparing=0.5, start_delay=0.5, verifying=0.5, verifying_per_address=0.5, finishing=0.5
)


@attrs.frozen
class Books:
    """The books of a service: payments by address, and the numbers of uploads and starts."""

    paid: dict[str, int]
    uploads: int
    starts: int
    deletes: int


class Service:
    """Serves in a process of its own, which ends with this one."""

    def __init__(self) -> None:
        self._ours, theirs = Pipe()
        self._process = os.fork()
        if not self._process:
            self._ours.close()
            try:
                asyncio.run(_serve(theirs))
            finally:
                os._exit(0)
        theirs.close()

    def begin(self) -> str:
        """Begin anew, with empty books; return the base URL."""
        self._ours.send("begin")
        return str(self._ours.recv())

    def books(self) -> Books:
        """Return the books since then."""
        self._ours.send("books")
        books = self._ours.recv()
        assert isinstance(books, Books)
        return books

    def end(self) -> None:
        """Stop serving."""
        self._ours.close()
        os.waitpid(self._process, 0)


async def _serve(pipe: Connection) -> None:
    # All verdicts get the same time, so that two outputs can be equal.
    setattr(Clock, "at", lambda self, _: self.epoch)  # noqa: B010 - in this process only
    asked: asyncio.Queue[str | None] = asyncio.Queue()

    def read() -> None:
        try:
            asked.put_nowait(pipe.recv())
        except EOFError:
            asyncio.get_running_loop().remove_reader(pipe.fileno())
            asked.put_nowait(None)

    asyncio.get_running_loop().add_reader(pipe.fileno(), read)
    sandbox: Sandbox | None = None
    while (what := await asked.get()) is not None:
        if what == "begin":
            if sandbox is not None:
                await sandbox.close()
            sandbox = Sandbox(
                speed=1000, requests_per_minute=None, timings=_QUICK, epoch=EPOCH, seed=1
            )
            await sandbox.start()
            pipe.send(sandbox.url)
        elif sandbox is not None:
            ledger = sandbox.ledger
            pipe.send(
                Books(
                    dict(ledger.paid), len(ledger.uploads), len(ledger.starts), len(ledger.deletes)
                )
            )
    if sandbox is not None:
        await sandbox.close()

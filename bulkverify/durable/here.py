"""What the workflows share with the engine in this process."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from functools import partial
from time import monotonic
from typing import Any, Final, TypeVar

import attrs
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from bulkverify.durable import names
from bulkverify.durable.accounts import Accounts
from bulkverify.durable.database import Database, reason
from bulkverify.durable.pauses import Pauses
from bulkverify.durable.scratch import Scratch
from bulkverify.durable.waits import Waits
from bulkverify.service.logs import SafeLogger

T = TypeVar("T")
_log: Final = SafeLogger(__name__)

_FIRST_PAUSE: Final = 5.0
"""The seconds after which a run that failed because of this machine is tried again, here or elsewhere."""

_TOLD_EVERY: Final = 10.0
_told_at: float | None = None

AWAY: Final = (DBAPIError, PoolTimeoutError)
"""What calls of the database raise while it is away."""


async def when_there(
    work: Callable[[], T], call: Callable[[Callable[[], T]], Awaitable[T]] = asyncio.to_thread
) -> T:
    """Call the database, and wait while it is away."""
    while True:
        try:
            return await call(work)
        except AWAY as error:
            tell_away(error)
            await asyncio.sleep(1)


def tell_away(error: SQLAlchemyError) -> None:
    """Log that the database is away, once in a while: all work meets it."""
    global _told_at  # noqa: PLW0603 - the log is one for the process
    if _told_at is None or monotonic() - _told_at >= _TOLD_EVERY:
        _told_at = monotonic()
        _log.warning("the database is away: %s", reason(error))


class Gate:
    """Lets steps that may cost something reach their checkpoint, and begins none once it is closed."""

    def __init__(self) -> None:
        self._closed = False
        self._inside = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def __aenter__(self) -> None:
        if self._closed:
            await asyncio.Event().wait()  # until the task is cancelled
        self._inside += 1
        self._idle.clear()

    async def __aexit__(self, *_: object) -> None:
        self._inside -= 1
        if not self._inside:
            self._idle.set()

    async def close(self, timeout: float) -> bool:
        """Begin no more steps, and return whether all that were under way have ended in time."""
        self._closed = True
        try:
            await asyncio.wait_for(self._idle.wait(), timeout)
        except TimeoutError:
            return False
        return True


@attrs.define(eq=False)
class Here:
    """What the workflows need of the engine in this process."""

    host: names.Host
    database: Database
    accounts: Accounts
    loop: asyncio.AbstractEventLoop
    """The event loop of the program."""
    pauses: Pauses = attrs.field(factory=lambda: Pauses(_FIRST_PAUSE))
    """The runs that have failed here."""
    scratch: Scratch = attrs.field(factory=Scratch)
    gate: Gate = attrs.field(factory=Gate)
    tasks: set[asyncio.Task[Any]] = attrs.field(factory=set)
    """The executions in this process, except those within the gate."""
    steps: set[asyncio.Task[Any]] = attrs.field(factory=set)
    """The steps that run in the event loop of the program."""
    running: Counter[str] = attrs.field(factory=Counter)
    """How many executions of each workflow are in this process."""
    turns: defaultdict[tuple[str, str], asyncio.Lock] = attrs.field(
        factory=lambda: defaultdict(asyncio.Lock)
    )
    """One upload and one start of an account at a time: when the gate closes, none of a long queue is sent.
    And one split of a list."""
    ended: defaultdict[str, set[asyncio.Event]] = attrs.field(factory=lambda: defaultdict(set))
    """Set when a part of a run ends here, and when all of them have ended elsewhere; each execution of the run
    has one, as there may be two for a while."""
    states: Counter[str] = attrs.field(factory=Counter)
    """How many runs have ended here, by their state."""

    waits: Waits = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        """Execute a part again after its wait."""
        self.waits = Waits(lambda execution: when_there(partial(self.host.resume, execution)))

    def wake(self, run_id: str) -> None:
        """Let a run here look at its parts. Called in the event loop of DBOS."""
        for ended in self.ended.get(run_id, ()):
            ended.set()

    async def run(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do some work in the event loop of the program."""

        async def awaited() -> T:
            task = asyncio.current_task()
            assert task is not None  # noqa: S101 - it runs in one
            self.steps.add(task)
            task.add_done_callback(self.steps.discard)
            return await work()

        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(awaited(), self.loop))

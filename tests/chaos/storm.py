"""One storm: many users of one account under every fault at once, and the promises that must hold."""

import asyncio
import gc
import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import attrs

from bulkverify import Client, Stats
from bulkverify.sandbox import FaultKind, Sandbox
from bulkverify.waiting.scheduler import scheduler_of

from .books import Books, WatchfulLedger
from .clock import JumpingLoop
from .people import Person
from .runs import Run
from .weather import Staff, faults_at_random

LIMIT = 120
SHARES = (60, 36, 24)
"""How the clients share the account's requests a minute."""

_IN_MEMORY = "/dev/shm"  # noqa: S108 - with a folder of its own

AT_ONCE = 2
"""How many users of a client work at once, for each request a minute."""


@attrs.frozen(kw_only=True)
class Summary:
    """The result of a storm; `broken` has the promises that were broken."""

    seed: int
    jobs: int
    runs: int
    virtual_seconds: float
    real_seconds: float
    books: Books
    ledger: WatchfulLedger
    stats: list[Stats]

    @property
    def broken(self) -> list[str]:
        """The promises that were broken; there should be none."""
        return self.books.broken

    @property
    def refused(self) -> int:
        """How many requests the sandbox's own limiter has refused."""
        return self.ledger.throttled.total() - self.ledger.faults[FaultKind.THROTTLE]

    def __str__(self) -> str:
        """Summarize the storm in a few lines."""
        ledger, paid = self.ledger, self.ledger.paid

        counts = ", ".join(
            f"{name} {sum(getattr(stats, name) for stats in self.stats):,}"
            for name in ("requests", "retries", "throttles", "polls", "waits")
        )
        hours, completed = self.virtual_seconds / 3600, len(self.books.paid_for)
        minute = ", ".join(f"{name} {count}" for name, count in sorted(ledger.most.items()))
        lines = [
            f"seed {self.seed}: {self.jobs:,} jobs and {self.runs:,} runs, {hours:.1f} hours in {self.real_seconds:.0f} s",
            f"  outcomes: {_listed(self.books.outcomes)}",
            f"  waits: {_listed(self.books.waits)}",
            f"  faults {ledger.faults.total():,}: {_listed(ledger.faults)}",
            f"  requests {ledger.requests.total():,} arrived: {_listed(ledger.requests)}",
            f"  {len(SHARES)} clients: {counts}",
            f"  most in any minute, of {LIMIT}: {minute}; refused by the limiter {self.refused}",
            f"  lists uploaded {len(ledger.uploads):,}, paid {len(ledger.starts):,}, deleted {len(ledger.deletes):,}",
            f"  addresses paid {len(paid):,}, twice {len(ledger.paid_twice)}, in completed lists {completed:,}",
            f"  broken promises: {len(self.broken)}",
            *(f"    {promise}" for promise in self.broken[:20]),
        ]
        return "\n".join(lines)


def storm(seed: int, *, jobs: int, runs: int) -> Summary:
    """Let a storm of so many jobs and runs pass, on a clock that jumps."""
    random.seed(seed)  # seeds the jitter of the waits
    began = time.monotonic()
    with _scratch() as folder:
        gc.collect()
        before = _descriptors(), _threads()
        with asyncio.Runner(loop_factory=JumpingLoop) as runner:
            summary = runner.run(_storm(seed, jobs=jobs, runs=runs, folder=folder))
        gc.collect()
        books = summary.books
        left = [path.name for path in folder.rglob("*")]
        books.check(not left, f"files left: {left[:5]}")
        for what, known, now in zip(
            ("descriptors", "threads"), before, (_descriptors(), _threads()), strict=True
        ):
            books.check(now <= known, f"{what} left: {now - known}")
    return attrs.evolve(summary, real_seconds=time.monotonic() - began)


async def _storm(seed: int, *, jobs: int, runs: int, folder: Path) -> Summary:
    loop = asyncio.get_running_loop()
    books = Books()
    loop.set_exception_handler(lambda _, context: books.broken.append(f"the loop: {context}"))
    before = asyncio.all_tasks()
    chance = random.Random(f"{seed}, weather")  # noqa: S311 - protects nothing
    async with AsyncExitStack() as stack:
        sandbox = await stack.enter_async_context(
            Sandbox(
                seed=seed,
                credits=10**9,
                requests_per_minute=LIMIT,
                max_lists=10**6,
                faults=faults_at_random(chance),
            )
        )
        account = sandbox._account
        account.ledger = ledger = WatchfulLedger(clock=account.clock)
        clients = [
            await stack.enter_async_context(
                Client(sandbox.api_key, base_url=sandbox.url, requests_per_minute=share)
            )
            for share in SHARES
        ]
        staff = Staff(sandbox, chance)
        at_work = asyncio.create_task(staff.work())
        rooms = [asyncio.Semaphore(AT_ONCE * share) for share in SHARES]

        def person(kind: type[Any], number: int) -> Any:  # noqa: ANN401 - a Person or a Run
            place = number % 10  # as the shares are
            mine = 0 if place < 5 else 1 if place < 8 else 2
            made = kind(
                number=f"{seed}.{'r' if kind is Run else 'j'}{number}",
                client=clients[mine],
                others=[client for client in clients if client is not clients[mine]],
                chance=random.Random(f"{seed}, {kind.__name__} {number}"),  # noqa: S311 - likewise
                books=books,
                staff=staff,
                folder=folder,
            )
            return made, rooms[mine]

        async def in_turn(act: Callable[[], Awaitable[None]], room: asyncio.Semaphore) -> None:
            async with room:
                await act()

        async with asyncio.TaskGroup() as group:
            for number in range(max(jobs, runs)):
                if number < jobs:
                    user, room = person(Person, number)
                    group.create_task(in_turn(user.see_a_list_through, room))
                if number < runs:
                    user, room = person(Run, number)
                    group.create_task(in_turn(user.see_through, room))
        at_work.cancel()
        with suppress(asyncio.CancelledError):
            await at_work
        _check_clients(clients, books)
        await asyncio.sleep(1)
    tasks = asyncio.all_tasks() - before
    books.check(not tasks, f"tasks left: {tasks}")
    _check_books(ledger, books)
    return Summary(
        seed=seed,
        jobs=jobs,
        runs=runs,
        virtual_seconds=loop.time(),
        real_seconds=0.0,
        books=books,
        ledger=ledger,
        stats=[client.stats for client in clients],
    )


def _check_books(ledger: WatchfulLedger, books: Books) -> None:
    """Compare the credits spent with the results that the users got."""
    paid = ledger.paid
    books.check(not ledger.paid_twice, f"paid twice: {ledger.paid_twice[:5]}")
    unpaid = [address for address in books.paid_for if paid[address] != 1]
    books.check(not unpaid, f"completed and not paid: {unpaid[:5]}")
    books.check(
        len(books.paid_for) == len(set(books.paid_for)), "two lists had an address in common"
    )
    for endpoint, most in ledger.most.items():
        books.check(most <= LIMIT, f"{most} {endpoint} requests arrived within a minute")


def _check_clients(clients: list[Client], books: Books) -> None:
    """Check that a client without waiters keeps nothing."""
    for client in clients:
        scheduler = scheduler_of(client.job("any"))
        kept = {
            "streams": len(scheduler.streams),
            "agenda": scheduler._agenda.count,
            "ready": len(scheduler._ready),
            "deadlines": scheduler._deadlines._kept,
            "asking": len(scheduler._asking),
        }
        books.check(not any(kept.values()), f"kept by a client: {kept}")


@contextmanager
def _scratch() -> Iterator[Path]:
    """Yield a folder for all files, including temporary ones."""
    known = tempfile.tempdir
    # In memory: syncing thousands of files to a disk takes too long.
    where = _IN_MEMORY if Path(_IN_MEMORY).is_dir() else None
    with tempfile.TemporaryDirectory(prefix="chaos-", dir=where) as folder:
        tempfile.tempdir = folder
        try:
            yield Path(folder)
        finally:
            tempfile.tempdir = known


def _descriptors() -> Counter[str]:
    found: Counter[str] = Counter()
    for link in list(Path("/proc/self/fd").iterdir()):
        with suppress(OSError):  # the descriptor of this listing is closed by now
            found[str(link.readlink()).partition(":")[0]] += 1
    return found


def _threads() -> Counter[str]:
    return Counter(thread.name for thread in threading.enumerate())


def _listed(counter: Counter[str]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in sorted(counter.items())) or "none"

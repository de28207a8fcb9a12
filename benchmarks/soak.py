"""`python -m benchmarks.soak`: does anything grow while a client works for hours?

Tasks keep two clients busy, under faults of every kind. The tasks time out, are cancelled, have bugs in
their callbacks, or leave jobs behind. It runs for two hours of virtual time with the sandbox in this
process, or with `--real 10` for ten minutes of real time with the sandbox in another process.
"""

import argparse
import asyncio
import gc
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from http import HTTPStatus
from pathlib import Path
from statistics import fmean
from typing import Final

import attrs

from benchmarks.runs import table
from bulkverify import Client
from bulkverify.client import known_of
from bulkverify.sandbox import Fault, FaultKind, Ledger, Sandbox
from bulkverify.service.answers import Endpoint
from bulkverify.service.known import MOST_STARTED
from bulkverify.waiting.scheduler import scheduler_of
from tests.chaos.books import Books
from tests.chaos.clock import JumpingLoop
from tests.chaos.people import Person
from tests.chaos.weather import NoStaff, Staff, faults_at_random

SEED: Final = 1
CLIENTS: Final = 2
SAMPLES: Final = 24
WARMED_UP: Final = 0.4
"""The share of the time that counts as warm-up, in which pools, caches and windows fill."""

FORGOTTEN_AFTER: Final = 2700.0
"""How many seconds after its last step the sandbox in this process forgets a list."""

_TOLERATED: Final = 0.03
_TOLERATED_COUNT: Final = 5.0
_NOISE: Final = 0.6
"""A rise below this share of the distance between highest and lowest is not growth."""

_PAGE_MB: Final = os.sysconf("SC_PAGE_SIZE") / 2**20


@attrs.frozen(kw_only=True)
class Load:
    """How hard the clients work.

    Attributes:
        seconds: the duration, on the event loop's clock.
        per_minute: the budget of each client.
        people: the tasks at work at each client.
        pause: the most seconds that a task rests between two lists.
        speed: the speed of the sandbox.
    """

    seconds: float
    per_minute: int
    people: int
    pause: float
    speed: float = 1.0


@attrs.define
class Sizes:
    """Samples of everything that could grow, by name, and of the garbage collector's objects."""

    at: list[float] = attrs.field(factory=list)
    values: dict[str, list[float]] = attrs.field(factory=dict)
    objects: list[Counter[str]] = attrs.field(factory=list)

    def take(self, now: float, clients: list[Client]) -> None:
        """Take one sample."""
        gc.collect()
        objects = Counter(type(one).__qualname__ for one in gc.get_objects())
        self.at.append(now)
        self.objects.append(objects)
        found: dict[str, float] = {
            "MB": _resident_mb(),
            "objects": objects.total(),
            "descriptors": len(list(Path("/proc/self/fd").iterdir())),
            "tasks": len(asyncio.all_tasks()),
        }
        for client in clients:
            for name, count in _containers(client).items():
                found[name] = found.get(name, 0.0) + count
        for name, value in found.items():
            self.values.setdefault(name, []).append(value)

    def growth(self, values: list[float]) -> tuple[float, float, float]:
        """Fit a line to the values after the warm-up.

        Returns:
            the mean, the rise of the line in that time, and twice the error of the rise.
        """
        begin = int(len(values) * WARMED_UP)
        x, y = self.at[begin:], values[begin:]
        mean_x, mean_y = fmean(x), fmean(y)
        spread = sum((one - mean_x) ** 2 for one in x)
        slope = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / spread
        rest = sum((b - mean_y - slope * (a - mean_x)) ** 2 for a, b in zip(x, y, strict=True))
        span = x[-1] - x[0]
        error = (rest / max(1, len(x) - 2) / spread) ** 0.5
        return mean_y, slope * span, 2 * error * span


def _containers(client: Client) -> dict[str, int]:
    """Count what is in a client's own containers."""
    scheduler = scheduler_of(client.job("any"))
    known = known_of(client)
    lanes = client._transport._budget._lanes.values()  # noqa: SLF001 - this may grow
    return {
        "streams": len(scheduler.streams),
        "idle handles": len(known._idle),  # noqa: SLF001 - likewise
        "agenda": scheduler._agenda.count,  # noqa: SLF001 - likewise
        "slots": len(scheduler._agenda._order),  # noqa: SLF001 - likewise
        "ready": len(scheduler._ready),  # noqa: SLF001 - likewise
        "deadlines": scheduler._deadlines._kept,  # noqa: SLF001 - likewise
        "spans": len(scheduler._deadlines._spans),  # noqa: SLF001 - likewise
        "asking": len(scheduler._asking) + len(scheduler._stopped),  # noqa: SLF001 - likewise
        "budget": sum(len(lane.departures) for lane in lanes),
        "_missing": len(known._missing),  # noqa: SLF001 - likewise
        "_started": len(known._started),  # noqa: SLF001 - likewise
    }


def _resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1]) * _PAGE_MB


async def _soak(load: Load, service: "Service") -> tuple[Sizes, str]:
    """Keep the clients busy, and take samples."""
    loop = asyncio.get_running_loop()
    books, sizes = Books(), Sizes()
    jobs = 0

    async def work(mine: Client, others: list[Client], name: str, folder: Path) -> None:
        nonlocal jobs
        chance = random.Random(f"{SEED}, {name}")  # noqa: S311 - not for security
        number = 0
        while True:
            await asyncio.sleep(chance.uniform(0, load.pause))
            number += 1
            person = Person(
                number=f"{name}.{number}",
                client=mine,
                others=others,
                chance=chance,
                books=books,
                staff=service.staff,
                folder=folder,
            )
            await person.see_a_list_through()
            jobs += 1

    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="soak-")))
        clients = [
            await stack.enter_async_context(
                Client("sandbox", base_url=service.url, requests_per_minute=load.per_minute)
            )
            for _ in range(CLIENTS)
        ]
        workers = [
            asyncio.create_task(work(client, clients[::-1], f"{place}.{number}", folder))
            for place, client in enumerate(clients)
            for number in range(load.people)
        ]
        began = loop.time()
        for sample in range(1, SAMPLES + 1):
            await asyncio.sleep(began + load.seconds * sample / SAMPLES - loop.time())
            books.paid_for.clear()
            service.forget()
            sizes.take(loop.time() - began, clients)
        loop.set_exception_handler(lambda _, __: None)  # cancelled work is no failure
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
        requests = sum(client.stats.requests for client in clients)
        waits = sum(client.stats.waits for client in clients)
    told = f"{jobs:,} lists seen through, {requests:,} requests, {waits:,} waits"
    return sizes, f"{told}; broken promises: {len(books.broken)} {books.broken[:5] or ''}".strip()


@attrs.frozen
class Service:
    """The sandbox, in this process or another; `forget` removes old lists."""

    url: str
    staff: Staff | NoStaff
    forget: Callable[[], None] = lambda: None


@asynccontextmanager
async def _here(load: Load) -> AsyncIterator[Service]:
    chance = random.Random(SEED)  # noqa: S311 - not for security
    async with Sandbox(
        seed=SEED,
        credits=10**12,
        requests_per_minute=CLIENTS * load.per_minute,
        max_lists=10**6,
        faults=faults_at_random(chance),
    ) as sandbox:
        account = sandbox._account  # noqa: SLF001 - its memory is not measured
        staff = Staff(sandbox, chance)

        def forget() -> None:
            now = account.settle()
            account._jobs = {  # noqa: SLF001 - likewise
                job_id: job
                for job_id, job in account._jobs.items()  # noqa: SLF001 - likewise
                if now - job.history(now)[-1].since < FORGOTTEN_AFTER
            }
            account._open = {  # noqa: SLF001 - likewise
                job_id: job
                for job_id, job in account._jobs.items()  # noqa: SLF001 - likewise
                if job.is_open(now)
            }
            account.ledger = Ledger()
            staff.ended &= account._jobs.keys()  # noqa: SLF001 - likewise

        at_work = asyncio.create_task(staff.work())
        yield Service(sandbox.url, staff, forget)
        at_work.cancel()
        with suppress(asyncio.CancelledError):
            await at_work


@contextmanager
def _elsewhere(load: Load) -> Iterator[Service]:
    with subprocess.Popen(  # noqa: S603 - this very module
        [sys.executable, "-m", "benchmarks.soak", "--serve", str(load.speed)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None  # noqa: S101 - it is a pipe
        assert process.stdout is not None  # noqa: S101 - likewise
        try:
            yield Service(process.stdout.readline().strip(), NoStaff())
        finally:
            process.stdin.close()


def _only_virtual(fault: Fault) -> bool:
    throttles = fault.kind is FaultKind.ANSWER and fault.status == HTTPStatus.TOO_MANY_REQUESTS
    return throttles or fault.kind in {FaultKind.ENDLESS, FaultKind.THROTTLE}


async def _serve(speed: float) -> None:
    """Serve the sandbox until the input ends.

    There are no endless lists, because nothing would cancel them. There is no throttling, because polls
    then take half an hour to recover their pace.
    """
    chance = random.Random(SEED)  # noqa: S311 - not for security
    faults = [one for one in faults_at_random(chance) if not _only_virtual(one)]
    async with Sandbox(
        credits=10**12,
        speed=speed,
        requests_per_minute=None,
        max_lists=10**6,
        max_verifying=10**6,
        faults=faults,
    ) as sandbox:
        sys.stdout.write(f"{sandbox.url}\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)


def report(sizes: Sizes, load: Load, unit: float, unit_name: str) -> str:
    """Show the samples, and whether each value is flat, grows, or fills up to a bound."""
    bounds = {
        "budget": CLIENTS * len(Endpoint) * (load.per_minute + 1),
        "_started": CLIENTS * MOST_STARTED,
    }
    names = list(sizes.values)
    rows = [
        [f"{at / unit:.0f}", *(f"{sizes.values[name][place]:,.0f}" for name in names)]
        for place, at in enumerate(sizes.at)
        if place % 3 == 2  # noqa: PLR2004 - every third is enough to see it
    ]
    lines = [table([unit_name, *names], rows), ""]
    verdicts = []
    begin = int(len(sizes.at) * WARMED_UP)
    for name in names:
        mean, growth, error = sizes.growth(sizes.values[name])
        count = 0.0 if name == "MB" else _TOLERATED_COUNT
        seen = sizes.values[name][begin:]
        span = max(seen) - min(seen)
        flat = growth <= max(_TOLERATED * mean, count, error, _NOISE * span)
        bound = bounds.get(name)
        verdict = "flat" if flat else "GROWS" if bound is None else f"fills, up to {bound:,}"
        numbers = (f"{mean:,.1f}", f"{growth:+,.2f}", f"{error:,.2f}", f"{span:,.1f}")
        verdicts.append([name, *numbers, verdict])
    head = ["", "mean", "rise of the fitted line", "twice its error", "highest - lowest", ""]
    first, last = sizes.objects[begin], sizes.objects[-1]
    more = Counter({name: last[name] - first[name] for name in last}).most_common(5)
    grown = ", ".join(f"{name} {count:+,}" for name, count in more)
    lines += [table(head, verdicts), "", f"Objects that increased most: {grown}"]
    return "\n".join(lines)


async def _virtually(load: Load) -> tuple[Sizes, str]:
    async with _here(load) as service:
        return await _soak(load, service)


def main() -> None:
    """Soak, and print the report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--hours", type=float, default=2.0, help="virtual hours")
    parser.add_argument("--real", type=float, metavar="MINUTES", help="run in real time instead")
    parser.add_argument("--serve", type=float, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve is not None:
        asyncio.run(_serve(options.serve))
        return
    random.seed(SEED)
    began, cpu = time.monotonic(), time.process_time()
    if options.real is None:
        load = Load(seconds=options.hours * 3600, per_minute=300, people=60, pause=120.0)
        with asyncio.Runner(loop_factory=JumpingLoop) as runner:
            sizes, told = runner.run(_virtually(load))
        text = report(sizes, load, 60, "virtual minutes")
    else:
        load = Load(seconds=options.real * 60, per_minute=900, people=100, pause=20.0, speed=10.0)
        with _elsewhere(load) as service:
            sizes, told = asyncio.run(_soak(load, service))
        text = report(sizes, load, 1, "seconds")
    took, used = time.monotonic() - began, time.process_time() - cpu
    sys.stdout.write(f"{text}\n\n{told}; {took:.0f} s, {used:.0f} s of CPU in this process.\n")


if __name__ == "__main__":
    main()

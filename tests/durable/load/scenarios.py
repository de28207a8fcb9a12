"""The scenarios that need one machine. Each gets a world and checks what it promises."""

import asyncio
import signal
from collections import Counter
from collections.abc import Sequence
from time import monotonic
from typing import Any, Final

from .world import LEASE, Process, World, parts_by_worker

SLOW: Final[Sequence[dict[str, Any]]] = (
    {"kind": "delay", "endpoint": "upload", "delay": 0.3, "times": None},
    {"kind": "delay", "endpoint": "start", "delay": 0.3, "times": None},
)
LOST: Final = {"kind": "drop_after", "rate": 0.05, "times": None}
QUICK: Final = {"preparing": 0.5, "start_delay": 0.3, "verifying": 2.0, "finishing": 0.3}


async def crowd(world: World, runs: int = 200) -> None:
    """Many runs over three accounts on three workers, within the limits of the service."""
    accounts = {"acme": 0.6, "beta": 0.3, "gamma": 0.1}
    # The smallest account comes last.
    for name, share in accounts.items():
        for number in range(round(runs * share)):
            await world.submit(name, 20 + 10 * (number % 3), 20)
    for _ in range(3):
        await world.worker()
    await world.all_ended(3600)
    ended = {
        name: max(one.ended or world.now for one in world.runs if one.account == name)
        for name in accounts
    }
    shares = await parts_by_worker(world)
    for name, books in (await world.service.books()).items():
        most = max(books["most_a_minute"].values())
        world.note(
            f"{name}: {books['starts']} lists, the last run ended after {ended[name]:.0f} s; "
            f"at most {books['most_verifying']} lists verifying, "
            f"{books['most_open']} unverified, {most} requests a minute ({_listed(books['most_a_minute'])})"
        )
        world.check(most <= 120, f"{name}: {most} requests in a minute")
        world.check(books["most_verifying"] <= 100, f"{name}: too many verifying lists")
        world.check(not books["throttled"], f"{name}: throttled {books['throttled']}")
        # A takeover on a busy machine may start a list again, which is refused too.
        limits = [text for text in books["refusals"] if "maximum" in text]
        world.check(not limits, f"{name}: refused {limits}")
        world.check(not books["unstarted"], f"{name}: {books['unstarted']} lists left")
    world.note(f"parts by worker: {', '.join(map(str, sorted(shares.values())))}")
    world.check(
        len(shares) == 3 and min(shares.values()) > sum(shares.values()) / 6,
        f"not spread: {shares}",
    )
    world.check(
        ended["gamma"] < max(ended.values()) / 2, f"the smallest account was starved: {ended}"
    )


async def kills(world: World, minutes: float, *, count: int = 3) -> None:
    """A random worker is killed every few seconds and replaced, and one answer in twenty is lost."""
    await world.service.post("inject", [LOST, *SLOW])
    for _ in range(count):
        await world.worker(words=("--requests-per-minute", "0"))
    end, killed = monotonic() + 60 * minutes, 0
    kill_at = monotonic() + 8
    while monotonic() < end:
        if world.open < 8:
            account = world.random.choice([*world.keys])
            await world.submit(account, world.random.randint(10, 90), 10)
        # On a busy machine a worker takes long to begin: those that have begun are killed.
        if monotonic() > kill_at and len(world.working) > count // 2:
            kill_at = monotonic() + world.random.uniform(2, 6)
            await world.kill(
                world.random.choice([one for one in world.workers if one in world.working])
            )
            await world.worker(words=("--requests-per-minute", "0"))
            killed += 1
        await asyncio.sleep(0.1)
    await world.all_ended(600)
    books = await world.service.books()
    lost = sum((Counter(one["lost"]) for one in books.values()), Counter[str]())
    left = sum(one["unstarted"] for one in books.values())
    uploads, starts = (sum(one[what] for one in books.values()) for what in ("uploads", "starts"))
    world.note(
        f"{killed} kills, {sum(lost.values())} answers lost ({_listed(lost)}); "
        f"{uploads} uploads, {starts} starts, {left} lists never started"
    )
    allowed = killed + lost["upload"]
    world.check(left <= allowed, f"{left} lists left after {allowed} kills and lost uploads")


async def crash(world: World) -> None:
    """The database is stopped hard for longer than a lease, and started again."""
    assert world.server is not None
    await world.service.post("inject", SLOW)
    for number in range(6):
        await world.submit([*world.keys][number % 2], 100, 10)
    workers = [await world.worker(words=("--requests-per-minute", "0")) for _ in range(3)]
    await world.until(lambda: _started(world, 8))
    before = {one.executor_id for one in await world.engine.workers()}
    world.check(len(before) == 3, f"{len(before)} workers are alive")
    world.server.crash()
    await asyncio.sleep(2.5 * LEASE)
    at_once = await world.service.count("starts")
    world.server.start()
    await world.all_ended(300)
    after = {one.executor_id for one in await world.engine.workers()}
    world.check(before == after, f"workers were taken over: {before ^ after}")
    world.check("took over" not in world.logs(), "a living worker was taken over")
    world.check(all(one.returncode is None for one in workers), "a worker has ended")
    left = await world.service.count("unstarted")
    world.check(not left, f"{left} lists left")
    world.note(
        f"away for {2.5 * LEASE:.0f} s with a lease of {LEASE:.0f} s, after {at_once} starts; "
        f"all ended {world.now:.0f} s after the beginning, and no worker was taken over"
    )


async def away(world: World, seconds: float = 60) -> None:
    """The service is away for a minute."""
    await world.service.post("inject", SLOW)
    for number in range(6):
        await world.submit([*world.keys][number % 2], 100, 10)
    for _ in range(2):
        await world.worker(words=("--requests-per-minute", "0"))
    await world.until(lambda: _started(world, 8))
    await world.service.post("away", seconds)
    began = world.now
    await world.all_ended(600)
    books = await world.service.books()
    left = sum(one["unstarted"] for one in books.values())
    # An upload whose answer was dropped may have arrived: one at a time in each account and worker.
    world.check(left <= 4, f"{left} lists left")
    world.note(
        f"away for {seconds:.0f} s; all ended {world.now - began - seconds:.0f} s after it was back, "
        f"{left} lists never started"
    )


async def credits_(world: World, rounds: int = 10) -> None:
    """An account has exactly the credits that its run costs, and a worker is killed on the way."""
    await world.service.post("inject", SLOW)
    for _ in range(2):
        await world.worker(words=("--requests-per-minute", "0"))
    taken = 0
    for number in range(rounds):
        await world.service.post("credits", {"acme": 0})
        run = await world.submit("acme", 100, 10)
        await world.service.post("credits", {"acme": run.addresses})
        before = await world.service.count("starts")
        await world.until(lambda: _started(world, before + 1 + number % 8))  # noqa: B023 - at once
        await world.kill(world.random.choice(world.workers))
        await world.worker(words=("--requests-per-minute", "0"))
        await world.all_ended(120)
        world.check(run.ended, f"{run.run.id} waits for credits that are there")
        left = (await world.service.books())["acme"]["credits"]
        world.check(left == 0, f"{left} credits left")
        taken += 1
    held = sum("Insufficient" in line for line in world.logs().splitlines())
    world.note(
        f"{taken} kills, each with exactly enough credits; {held} workers said they lack any"
    )


async def stops(world: World, rounds: int = 20) -> None:
    """Workers are ended by SIGTERM while answers are slow."""
    slower = [{**one, "delay": 1.5} for one in SLOW]
    await world.service.post("inject", slower)
    await world.worker(words=("--requests-per-minute", "0"))
    took: list[float] = []
    for _ in range(rounds):
        worker = await world.worker(words=("--requests-per-minute", "0"))
        before = await world.service.count("uploads")
        await world.until(lambda: _uploading(world, before + 3))  # noqa: B023 - at once
        await asyncio.sleep(world.random.uniform(0, 2))
        ended = world.workers[0]
        took.append(await _stopped(world, ended))
        assert worker is world.workers[0]
    await world.all_ended(600)
    books = await world.service.books()
    left = sum(one["unstarted"] for one in books.values())
    uploads, starts = (sum(one[what] for one in books.values()) for what in ("uploads", "starts"))
    world.check(max(took) < 30, f"a worker took {max(took):.0f} s to end")
    world.check(left == 0 and uploads == starts, f"{uploads} uploads, {starts} starts, {left} left")
    world.note(
        f"{rounds} times SIGTERM: gone after {min(took):.1f} to {max(took):.1f} s; "
        f"{uploads} uploads, {starts} starts, no list left"
    )


async def _stopped(world: World, worker: Process) -> float:
    began = monotonic()
    worker.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(60):
            code = await worker.wait()
        world.check(code == 0, f"a worker ended with {code}")
    except TimeoutError:
        worker.kill()
    world.workers.remove(worker)
    return monotonic() - began


async def _started(world: World, count: int) -> bool:
    return await world.service.count("starts") >= count


async def _uploading(world: World, count: int) -> bool:
    """Submit runs while few are open, until there are some uploads."""
    while world.open < 4:
        await world.submit(world.random.choice([*world.keys]), 60, 5)
    return await world.service.count("uploads") >= count


def _listed(counts: Any) -> str:  # noqa: ANN401 - a mapping
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))

"""Measures durable runs: one case a process, which prints its numbers as JSON.

    python -m benchmarks.durable_measured drain postgresql 400

The database, the service and the workers are those of `tests.durable.load`, which also checks each output.
"""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from statistics import median
from time import monotonic, perf_counter
from typing import Any, Final

import sqlalchemy as sa
from tenacity import wait_fixed

from bulkverify import Client, verify_list
from bulkverify.durable import Engine
from tests.durable.load.judge import write_list
from tests.durable.load.world import Process, World, world

_INSTANT: Final = dict.fromkeys(
    (
        "preparing",
        "preparing_per_address",
        "start_delay",
        "verifying",
        "verifying_per_address",
        "finishing",
    ),
    0,
)
_NO_LIMIT: Final = ("--requests-per-minute", "0")
_ACCOUNTS: Final = 4
_LISTS: Final = 100  # that an account verifies at once
_TICKS: Final = os.sysconf("SC_CLK_TCK")


async def drain(kind: str, parts: int) -> dict[str, float]:
    """Measure how fast one worker drains parts, and what they leave in the database."""
    accounts = [f"a{number}" for number in range(_ACCOUNTS)]
    settings = {"requests_per_minute": None, "max_lists": parts, "timings": _INSTANT}
    async with world(kind, accounts, **settings) as made:
        worker = await _working(made, *_NO_LIMIT)
        empty = _held(made)
        cpu = _cpu_of(worker)
        for account in accounts:
            await made.submit(account, _rows_of(parts // _ACCOUNTS), 2)
        await made.all_ended(600)
        cpu = _cpu_of(worker) - cpu
        held = _held(made)
        done = await made.service.count("starts")
        seconds, enqueued = _times(made)
    _require_kept(made)
    return {
        "parts": done,
        "drained": done / seconds,
        "enqueued": done / enqueued,
        "cpu_ms": cpu / done * 1e3,
        "rows": (held["rows"] - empty["rows"]) / done,
        "kb": (held["bytes"] - empty["bytes"]) / done / 1024,
    }


async def waiting(kind: str, parts: int) -> dict[str, float]:
    """Measure a worker that waits for many lists, within the limits of the service."""
    accounts = [f"a{number}" for number in range(max(1, parts // _LISTS))]
    timings = {**_INSTANT, "verifying": 1e6}
    async with world(kind, accounts, judged=False, timings=timings) as made:  # the runs never end
        worker = await _working(made)
        idle = _memory_of(worker)
        for account in accounts:
            await made.submit(account, _rows_of(_LISTS), 2)
        wanted = min(parts, sum(one.addresses // 2 for one in made.runs))
        began = monotonic()
        await made.until(partial(_all_started, made, wanted), timeout=480)
        started = await made.service.count("starts")
        filled = monotonic() - began
        await asyncio.sleep(5)
        polls, cpu, at = await _polls(made), _cpu_of(worker), monotonic()
        await asyncio.sleep(40)
        cpu, seconds = _cpu_of(worker) - cpu, monotonic() - at
        polls = await _polls(made) - polls
        memory = _memory_of(worker) - idle
    return {
        "parts": started,
        "filled": filled,
        "core": cpu / seconds,
        "mb": memory,
        "idle_mb": idle,
        "polls": polls / seconds,
    }


async def latency(kind: str, runs: int) -> dict[str, float]:
    """Measure how long a small list takes with the journal, and as a durable run."""
    settings = {"requests_per_minute": None, "timings": _INSTANT}
    found: dict[str, list[float]] = {"journal": [], "durable": []}
    # Each address is paid twice, on purpose.
    async with world(kind, ["acme"], judged=False, **settings) as made:
        key, url = made.keys["acme"], made.service.url()
        options = {"base_url": url, "requests_per_minute": None}
        watching = asyncio.create_task(_longest_block())
        await asyncio.sleep(0)
        began = perf_counter()
        async with (
            Client(key, **options) as client,
            Engine(
                made.database, accounts={"acme": key}, wait=wait_fixed(0.05), **options
            ) as engine,
        ):
            launch = perf_counter() - began
            watching.cancel()
            blocked = await watching
            for number in range(runs):
                source = made.folder / f"{number}.csv"
                write_list(source, f"l{number}", 8, made.random)
                began = perf_counter()
                await verify_list(
                    client, source, made.folder / f"{number}-j.csv", wait=wait_fixed(0.05)
                )
                found["journal"].append(perf_counter() - began)
                began = perf_counter()
                run = await engine.submit(source, made.folder / f"{number}-d.csv", account="acme")
                await run.wait()
                found["durable"].append(perf_counter() - began)
    return {
        **{name: median(values) for name, values in found.items()},
        "launch": launch,
        "blocked_ms": blocked * 1e3,
    }


async def imports(_: str, turns: int) -> dict[str, float]:
    """Measure what the import of durable runs adds."""
    code = "import time; t = time.process_time(); {}; print(time.process_time() - t)"
    found: dict[str, list[float]] = {
        "from bulkverify import Client": [],
        "import dbos, psycopg, sqlalchemy": [],
        "import bulkverify.durable": [],
    }
    for _turn in range(turns + 1):
        for name, values in found.items():
            done = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", code.format(name)), stdout=subprocess.PIPE
            )
            out, _err = await done.communicate()
            values.append(float(out))
    client, needs, all_ = (median(values[1:]) * 1e3 for values in found.values())
    return {"client": client, "needs": needs, "durable": all_}


async def _working(made: World, *words: str) -> Process:
    worker = await made.worker(words=words)
    while worker not in made.working:  # noqa: ASYNC110 - of another process
        await asyncio.sleep(0.1)
    await asyncio.sleep(2)  # until it idles
    return worker


async def _longest_block() -> float:
    """Return how long the event loop was blocked at most, until this is cancelled."""
    longest = 0.0
    try:
        while True:
            began = perf_counter()
            await asyncio.sleep(0.001)
            longest = max(longest, perf_counter() - began - 0.001)
    except asyncio.CancelledError:
        return longest


async def _all_started(made: World, count: int) -> bool:
    return await made.service.count("starts") >= count


async def _polls(made: World) -> int:
    books = await made.service.books()
    return sum(one["requests"].get("status", 0) for one in books.values())


def _rows_of(parts: int) -> int:
    """Return the rows of a list that makes about so many parts of two addresses."""
    return parts * 2 * 6 // 5


def _cpu_of(process: Process) -> float:
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _memory_of(process: Process) -> float:
    for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def _held(made: World) -> Mapping[str, float]:
    """Return the rows and the bytes of all tables with their indexes."""
    prefix = "" if made.server is None else "bulkverify."
    with _engine(made).connect() as connection:
        tables = sa.inspect(connection).get_table_names(prefix.rstrip(".") or None)
        rows = sum(_number(connection, f'select count(*) from {prefix}"{one}"') for one in tables)  # noqa: S608 - its own names
        if made.server is None:
            size = _number(connection, "select (select page_count from pragma_page_count) * 4096")
        else:
            size = sum(
                _number(connection, f"select pg_total_relation_size('{prefix}\"{one}\"')")
                for one in tables
            )
    return {"rows": rows, "bytes": size}


def _times(made: World) -> tuple[float, float]:
    """Return how many seconds the parts took, and how many it took to enqueue them."""
    prefix = "" if made.server is None else "bulkverify."
    with _engine(made).connect() as connection:
        whole = _number(
            connection,
            f"select max(completed_at) - min(created_at) from {prefix}workflow_status "  # noqa: S608 - a constant
            "where name = 'bulkverify.part'",
        )
        enqueued = _number(
            connection,
            "select sum(completed_at_epoch_ms - started_at_epoch_ms) "  # noqa: S608 - likewise
            f"from {prefix}operation_outputs where function_name = 'enqueue'",
        )
    return whole / 1e3, max(1, enqueued) / 1e3


def _number(connection: sa.Connection, query: str) -> float:
    return float(connection.execute(sa.text(query)).scalar() or 0)


def _engine(made: World) -> sa.Engine:
    url = sa.make_url(made.database)
    if made.server is not None:
        url = url.set(drivername="postgresql+psycopg")
    return sa.create_engine(url, poolclass=sa.NullPool)


def _require_kept(made: World) -> None:
    if made.broken:
        sys.exit("\n".join(made.broken))


_CASES: Final[Mapping[str, Any]] = {
    "drain": drain,
    "waiting": waiting,
    "latency": latency,
    "imports": imports,
}

if __name__ == "__main__":
    case, kind_, size = sys.argv[1:]
    sys.stdout.write(json.dumps(asyncio.run(_CASES[case](kind_, int(size)))))

"""CPU time per poll: many jobs, each polled until the service says that it has completed.

All jobs wait at once, with a short pause between two polls of a job. So every pause is a real timer, and
the most requests allowed are always in flight. There are more jobs than yarl caches URLs, as in practice.
"""

import asyncio
import json
import sys
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from time import process_time
from typing import Final, TypeAlias

import aiohttp

from benchmarks import peers
from benchmarks.server import count, job_id, running
from bulkverify import Client, wait_for_progress, wait_until

IN_FLIGHT: Final = 64
# About as many as at the default pace, so that the start of a wait has its true share.
POLLS_A_JOB: Final = 30
_INTERVAL: Final = 0.01
_KEY: Final = "benchmark"

Slice: TypeAlias = "Callable[[range], Coroutine[object, object, None]]"


def _url_of(base_url: str) -> Callable[[str], str]:
    """Return a function that makes the URL of a job's status. All peers use the same URLs."""
    return lambda identity: f"{base_url}/v1/bulk/{identity}?apikey={_KEY}"


async def _bare(session: aiohttp.ClientSession, base_url: str, jobs: range) -> None:
    """Get and parse as often as the others, without waits. Ratios are relative to this."""
    urls = deque([_url_of(base_url)(job_id(number)) for number in jobs] * POLLS_A_JOB)

    async def work() -> None:
        while urls:
            async with session.get(urls.popleft()) as response:
                json.loads(await response.read())

    await asyncio.gather(*(work() for _ in range(IN_FLIGHT)))


@asynccontextmanager
async def _ours(base_url: str) -> AsyncGenerator[peers.Wait]:
    # The default policy, only faster. A call costs the same as at the usual pace.
    policy = wait_for_progress(floor=_INTERVAL, ceiling=2 * _INTERVAL)
    async with Client(_KEY, base_url=f"{base_url}/v1", requests_per_minute=None) as client:

        async def wait(identity: str) -> object:
            return await wait_until(client.job(identity), "completed", wait=policy)

        yield wait


@asynccontextmanager
async def _opened(name: str, base_url: str) -> AsyncGenerator[Slice]:
    """Yield a function that polls a range of jobs until all have completed."""
    if name == "bare":
        async with aiohttp.ClientSession() as session:
            yield lambda jobs: _bare(session, base_url, jobs)
        return
    gate = asyncio.Semaphore(IN_FLIGHT)
    opened = (
        _ours(base_url)
        if name == "bulkverify"
        else peers.over_http(name, _url_of(base_url), _INTERVAL, gate)
    )
    async with opened as wait:

        async def wait_for(jobs: range) -> None:
            await asyncio.gather(*(wait(job_id(number)) for number in jobs))

        yield wait_for


def _warm(part: int) -> range:
    """Return jobs for opening all connections before anything is measured."""
    return range(part * 10**6, part * 10**6 + IN_FLIGHT)


async def _measure(name: str, base_url: str, jobs: int, slices: int) -> dict[str, float]:
    used = {False: 0.0, True: 0.0}
    first = 0
    async with _opened("bare", base_url) as bare, _opened(name, base_url) as measured:
        await bare(_warm(1))
        await measured(_warm(2))
        for turn in range(slices):
            # They take turns at going first, so that no drift favours either.
            for is_bare in (turn % 2 == 0, turn % 2 == 1):
                began = process_time()
                await (bare if is_bare else measured)(range(first, first + jobs))
                used[is_bare] += process_time() - began
                first += jobs
    asked, expected = count(base_url), (first + 2 * IN_FLIGHT) * POLLS_A_JOB
    if asked != expected:
        message = f"{name} and the bare GET made {asked} requests, not {expected}"
        raise RuntimeError(message)
    polls = slices * jobs * POLLS_A_JOB
    return {"cpu_us": used[False] / polls * 1e6, "ratio": used[False] / used[True]}


def main(name: str, jobs: int, slices: int) -> None:
    """Measure one peer in this process, in turns with the bare GET, and print JSON."""
    with running(polls=POLLS_A_JOB) as base_url:
        sys.stdout.write(json.dumps(asyncio.run(_measure(name, base_url, jobs, slices))))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))

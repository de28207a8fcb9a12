"""CPU time per poll: many jobs, each polled until the service says that it has completed.

All wait at the same time, with a short pause between two polls of a job, so that every pause is a
real timer and there are always as many requests under way as there may be.
"""

import asyncio
import json
import sys
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from time import perf_counter, process_time
from typing import Final

import aiohttp

from benchmarks import peers
from benchmarks.server import count, job_id, running
from bulkverify import Client, wait_for_progress, wait_until

IN_FLIGHT: Final = 64
POLLS_A_JOB: Final = 10
_INTERVAL: Final = 0.01
_KEY: Final = "benchmark"


def _url_of(base_url: str) -> Callable[[str], str]:
    """Return what makes the URL that bulkverify asks, as text: everybody asks the same."""
    return lambda identity: f"{base_url}/v1/bulk/{identity}?apikey={_KEY}"


async def _bare(base_url: str, jobs: int) -> None:
    """Get and parse, as often as all others do: what the ratios are over. Nobody waits here."""
    urls = deque([_url_of(base_url)(job_id(number)) for number in range(jobs)] * POLLS_A_JOB)

    async def work(session: aiohttp.ClientSession) -> None:
        while urls:
            async with session.get(urls.popleft()) as response:
                json.loads(await response.read())

    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(work(session) for _ in range(IN_FLIGHT)))


@asynccontextmanager
async def _ours(base_url: str) -> AsyncGenerator[peers.Wait]:
    # The default policy, in a hurry: it costs what it costs at its usual pace.
    policy = wait_for_progress(floor=_INTERVAL, ceiling=2 * _INTERVAL)
    async with Client(_KEY, base_url=f"{base_url}/v1", requests_per_minute=None) as client:

        async def wait(identity: str) -> object:
            return await wait_until(client.job(identity), "completed", wait=policy)

        yield wait


async def _measure(name: str, base_url: str, jobs: int) -> dict[str, float]:
    started, used = perf_counter(), process_time()
    if name == "bare":
        await _bare(base_url, jobs)
    else:
        opened = (
            _ours(base_url)
            if name == "bulkverify"
            else peers.over_http(name, _url_of(base_url), _INTERVAL, asyncio.Semaphore(IN_FLIGHT))
        )
        async with opened as wait:
            await asyncio.gather(*(wait(job_id(number)) for number in range(jobs)))
    polls = jobs * POLLS_A_JOB
    result = {
        "cpu_us": (process_time() - used) / polls * 1e6,
        "wall_us": (perf_counter() - started) / polls * 1e6,
    }
    asked = count(base_url)
    if asked != polls:
        message = f"{name} made {asked} requests, not {polls}"
        raise RuntimeError(message)
    return result


def main(name: str, jobs: int) -> None:
    """Measure one of them in this process, and print what came out as JSON."""
    with running(polls=POLLS_A_JOB) as base_url:
        sys.stdout.write(json.dumps(asyncio.run(_measure(name, base_url, jobs))))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))

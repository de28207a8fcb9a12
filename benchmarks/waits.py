"""Memory per wait and the start of many waits, without HTTP.

`memory` parses a different answer for every job, so that each snapshot is as large as in reality. `start`
copies one answer, because parsing would take half of the time.
"""

import asyncio
import gc
import json
import os
import sys
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from time import perf_counter, process_time, thread_time
from typing import Final

from tenacity import wait_fixed

from benchmarks import peers
from benchmarks.server import body, job_id
from bulkverify import Client, JobSnapshot, wait_all, wait_until
from bulkverify.client import known_of
from bulkverify.service.answers import Answer
from bulkverify.service.calls import status

_INTERVAL: Final = 3600.0
_BATCH: Final = 500
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
_HEARTBEAT: Final = 0.001

TOGETHER: Final = "bulkverify, wait_all"
"""One call for all jobs, without a task for each."""

Look = Callable[[str], JobSnapshot]
Start = Callable[[range], Coroutine[object, object, list[object]]]


class _Asked:
    """A status call without a request, which signals when all jobs have been polled once."""

    def __init__(self, look: Look) -> None:
        self._look = look
        self._left = 0
        self.all = asyncio.Event()

    def expect(self, waits: int) -> None:
        self._left = waits
        self.all.clear()

    def look(self, identity: str) -> JobSnapshot:
        snapshot = self._look(identity)
        self._left -= 1
        if not self._left:
            self.all.set()
        return snapshot

    async def ask(self, identity: str) -> JobSnapshot:
        return self.look(identity)


class _ScriptedClient(Client):
    """A client that calls `_Asked` instead of the service."""

    def __init__(self, asked: _Asked) -> None:
        super().__init__("benchmark", base_url="http://127.0.0.1:1/v1", requests_per_minute=None)
        self._asked = asked
        known_of(self).poll = self._poll  # type: ignore[method-assign]

    async def _poll(self, job_id: str) -> JobSnapshot:
        return self._asked.look(job_id)


def _parse(identity: str) -> JobSnapshot:
    return status(identity).parse(Answer(status=200, body=body(identity, share=0.4)))


_PARSED: Final = _parse(job_id(0))


def _copy(identity: str) -> JobSnapshot:
    # As cheap as possible, because this is not what is measured.
    return JobSnapshot(
        job_id=identity,
        status=_PARSED.status,
        created_at=_PARSED.created_at,
        total=_PARSED.total,
        verified=_PARSED.verified,
        pending=_PARSED.pending,
        analysis=_PARSED.analysis,
        results=_PARSED.results,
    )


def _load_json(identity: str) -> peers.AnswerT:
    answer: dict[str, object] = json.loads(body(identity, share=0.4))
    return answer


def _waiting(name: str, asked: _Asked) -> peers.Wait:
    if name == "bare":
        return _bare(asked)
    if name == "bulkverify":
        return _ours(asked)
    if name == "aiohttp, json":

        async def ask(identity: str) -> peers.AnswerT:
            await asked.ask(identity)
            return _load_json(identity)

        return peers.load("aiohttp").waiting(ask, _INTERVAL)
    return peers.load(name).waiting(asked.ask, _INTERVAL)


def _ours(asked: _Asked) -> peers.Wait:
    client = _ScriptedClient(asked)
    policy = wait_fixed(_INTERVAL)  # no job is polled twice

    def wait(identity: str) -> Coroutine[object, object, object]:
        return wait_until(client.job(identity), "completed", wait=policy)

    return wait


def _ours_together(asked: _Asked) -> Callable[[range], Coroutine[object, object, object]]:
    client = _ScriptedClient(asked)
    policy = wait_fixed(_INTERVAL)

    def wait(numbers: range) -> Coroutine[object, object, object]:
        return wait_all((client.job(job_id(number)) for number in numbers), wait=policy)

    return wait


def _bare(asked: _Asked) -> peers.Wait:
    """Return a wait that is only the caller's share: a task that awaits a future."""
    loop = asyncio.get_running_loop()

    async def wait(future: asyncio.Future[None]) -> None:
        asked.look("")
        await future

    return lambda _: wait(loop.create_future())


def _resident() -> int:
    gc.collect()
    gc.collect()
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * _PAGE_BYTES


def _starting(name: str, asked: _Asked, batch: int) -> Start:
    """Return a function that starts waits in batches, until each has polled once."""

    async def start(numbers: range) -> list[object]:
        asked.expect(len(numbers))
        tasks: list[object] = []
        for number in numbers:
            tasks.append(asyncio.create_task(wait(job_id(number))))
            if len(tasks) % batch == 0:
                await asyncio.sleep(0)
        await asked.all.wait()
        await asyncio.sleep(0)  # so that the last one waits again
        return tasks

    async def start_together(numbers: range) -> list[object]:
        asked.expect(len(numbers))
        task = asyncio.create_task(together(numbers))
        await asked.all.wait()
        await asyncio.sleep(0)
        return [task]

    if name == TOGETHER:
        together = _ours_together(asked)
        return start_together
    wait = _waiting(name, asked)
    return start


async def memory(name: str, waits: int) -> dict[str, float]:
    """Measure the memory of a wait that has polled once, including its id."""
    asked = _Asked((lambda _: _PARSED) if name.startswith(("bare", "aiohttp, json")) else _parse)
    begin = _starting(name, asked, _BATCH)
    warm = await begin(range(waits, waits + 100))
    before = _resident()
    tasks = await begin(range(waits))
    await asyncio.sleep(0.1)
    result = {"bytes": (_resident() - before) / waits}
    del warm, tasks  # alive until here
    return result


class _Heart:
    """Beats every millisecond, and keeps its longest delay, in wall-clock and CPU time."""

    def __init__(self) -> None:
        self.longest_s = self.longest_cpu_s = 0.0
        self._task = asyncio.create_task(self._beat())

    async def _beat(self) -> None:
        while True:
            began, used = perf_counter(), thread_time()
            await asyncio.sleep(_HEARTBEAT)
            self.longest_s = max(self.longest_s, perf_counter() - began - _HEARTBEAT)
            self.longest_cpu_s = max(self.longest_cpu_s, thread_time() - used)

    async def stop(self) -> None:
        await asyncio.sleep(2 * _HEARTBEAT)
        self._task.cancel()


class _Collections:
    """The longest and the total CPU time of garbage collections."""

    def __init__(self) -> None:
        self.longest_s = self.total_s = 0.0
        self._began = 0.0
        gc.callbacks.append(self._note)

    def _note(self, phase: str, _: object) -> None:
        if phase == "start":
            self._began = thread_time()
        else:
            took = thread_time() - self._began
            self.longest_s = max(self.longest_s, took)
            self.total_s += took

    def stop(self) -> None:
        gc.callbacks.remove(self._note)


async def start(name: str, waits: int, manner: str) -> dict[str, float]:
    """Measure the time until each wait has polled once, and how long other tasks were blocked.

    Args:
        name: the peer.
        waits: the number of waits.
        manner: `batches` lets other tasks run after each 500, `at once` never does, and `frozen` is
            `batches` with the garbage collector off (a caller's choice, not ours).
    """
    asked = _Asked((lambda _: _PARSED) if name == "bare" else _copy)
    begin = _starting(name, asked, waits + 1 if manner == "at once" else _BATCH)
    warm = await begin(range(waits, waits + 100))
    gc.collect()
    if manner == "frozen":
        gc.disable()
    heart, collections = _Heart(), _Collections()
    await asyncio.sleep(5 * _HEARTBEAT)
    began, used = perf_counter(), process_time()
    tasks = await begin(range(waits))
    result = {"s": perf_counter() - began, "cpu_s": process_time() - used}
    await heart.stop()
    collections.stop()
    del warm, tasks  # alive until here
    return result | {
        "blocked_ms": heart.longest_s * 1e3,
        "blocked_cpu_ms": heart.longest_cpu_s * 1e3,
        "longest_gc_ms": collections.longest_s * 1e3,
        "gc_s": collections.total_s,
    }


def main(what: str, name: str, waits: int, *manner: str) -> None:
    """Measure one peer in this process, print the result as JSON, and exit at once."""
    measured: Awaitable[dict[str, float]]
    measured = memory(name, waits) if what == "memory" else start(name, waits, *manner)

    async def run() -> None:
        sys.stdout.write(json.dumps(await measured))
        sys.stdout.flush()
        os._exit(0)  # cancelling 100,000 waits would take longer than measuring them

    asyncio.run(run())


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), *sys.argv[4:])

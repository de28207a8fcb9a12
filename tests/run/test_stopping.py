"""A list that blocks: its reading thread ends with the call."""

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from bulkverify import Client, plan_list, verify_list
from bulkverify.lists.stopping import COUNTER, StoppedError, checkpoint
from bulkverify.run import threads
from bulkverify.run.source import RunSource
from bulkverify.run.threads import in_thread

pytestmark = pytest.mark.asyncio


def readers() -> list[threading.Thread]:
    found = [thread for thread in threading.enumerate() if thread.name == "bulkverify list"]
    for thread in found:
        thread.join(0.1)  # a thread with a result is about to end
    return [thread for thread in found if thread.is_alive()]


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - a thread changes it
        await asyncio.sleep(0.005)


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "pipe")
    return tmp_path / "pipe"


@pytest.fixture
def call(tmp_path: Path) -> Callable[[str, RunSource], "asyncio.Future[object]"]:
    """Begin one of the calls that open a list."""

    async def verify(source: RunSource) -> object:
        async with Client("key", base_url="http://127.0.0.1:9") as client:
            return await verify_list(client, source, tmp_path / "out.csv")

    def begin(name: str, source: RunSource) -> "asyncio.Future[object]":
        return asyncio.ensure_future(verify(source) if name == "verify" else plan_list(source))

    return begin


Call = Callable[[str, RunSource], "asyncio.Future[object]"]
BOTH = pytest.mark.parametrize("name", ["plan", "verify"])


@BOTH
@pytest.mark.parametrize("opened", [False, True], ids=["without a writer", "with an idle writer"])
async def test_a_timeout_ends_the_wait_for_a_pipe(
    call: Call, pipe: Path, tmp_path: Path, name: str, *, opened: bool
) -> None:
    holder = os.open(pipe, os.O_RDWR) if opened else None
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await call(name, pipe)
    await until(lambda: not readers())
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]
    if holder is not None:
        os.close(holder)


@BOTH
async def test_a_cancelled_call_abandons_a_blocked_source(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(threads, "_GRACE_SECONDS", 0.05)
    begun, go_on, went_on = threading.Event(), threading.Event(), threading.Event()

    def addresses() -> Iterator[str]:
        yield "a@example.com"
        begun.set()
        go_on.wait()
        yield "b@example.com"
        went_on.set()
        yield "c@example.com"

    task = call(name, addresses())
    await asyncio.to_thread(begun.wait)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not list(tmp_path.iterdir())
    [reader] = readers()
    go_on.set()
    await asyncio.to_thread(reader.join)
    assert not went_on.is_set()
    assert not list(tmp_path.iterdir())


async def test_an_abandoned_reader_does_not_write_into_the_next_run(
    call: Call, pipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "_GRACE_SECONDS", 0.0)
    begun, go_on = threading.Event(), threading.Event()

    def rows() -> Iterator[dict[str, str]]:
        for number in range(1500):
            yield {"email": f"old{number}@example.com"}
        begun.set()
        go_on.wait()
        yield {"email": "old@example.com"}

    first = call("verify", rows())
    await asyncio.to_thread(begun.wait)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    [reader] = readers()
    holder = os.open(pipe, os.O_RDWR)
    second = call("verify", pipe)
    spooled = tmp_path / "out.csv.progress" / "input" / "source-1"
    os.write(holder, b"email\nnew@example.com\n")
    await until(lambda: spooled.exists() and spooled.stat().st_size > 0)
    go_on.set()
    await asyncio.to_thread(reader.join)
    assert spooled.read_text() == "email\nnew@example.com\n"
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    os.close(holder)


async def test_a_long_read_stops_with_its_call(call: Call, tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(b"email\n" + b"\n" * 60_000_000)  # empty lines are no rows
    task = call("plan", path)
    await until(lambda: bool(readers()))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: not readers())


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3), StopIteration("over")])
async def test_what_a_thread_raises_reaches_its_caller(error: BaseException) -> None:
    def work() -> None:
        raise error

    expected = RuntimeError if isinstance(error, StopIteration) else type(error)
    with pytest.raises(expected):
        await in_thread(work)


async def test_a_thread_that_writes_is_waited_for() -> None:
    ended = threading.Event()

    def work() -> None:
        with suppress(StoppedError):
            while True:
                checkpoint()
                time.sleep(0.01)
        time.sleep(0.2)
        ended.set()
        checkpoint()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await in_thread(work)
    assert ended.is_set()


async def test_a_checkpoint_stops_only_its_own_thread() -> None:
    def stop() -> None:
        counter = COUNTER.get()
        assert counter is not None
        counter.stopped.set()
        checkpoint()

    with pytest.raises(StoppedError):
        await in_thread(stop)
    await in_thread(checkpoint)
    checkpoint()


async def test_a_blocked_async_source_ends_with_the_call(call: Call) -> None:
    async def nothing() -> AsyncIterator[str]:
        await asyncio.Event().wait()
        yield ""

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await call("plan", nothing())

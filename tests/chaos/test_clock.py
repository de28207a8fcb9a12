"""The clock of the storms waits for threads."""

import asyncio
import threading
import time

from .clock import JumpingLoop


def test_the_clock_waits_for_a_thread_that_ends_last() -> None:
    begun = threading.Event()

    def work() -> None:
        begun.set()
        time.sleep(0.05)

    async def leave() -> float:
        loop = asyncio.get_running_loop()
        working = loop.run_in_executor(None, work)
        begun.wait()
        working.cancel()  # the cancellation does not stop the thread
        return loop.time()

    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        left = runner.run(leave())
        loop = runner.get_loop()
    assert loop.time() - left < 1

"""A run that has a child which outlives it: `python forking.py KIND URL LIST OUTPUT`.

It tells the child's process id on stdout, and then waits for its job for ever.
"""

import asyncio
import multiprocessing
import os
import subprocess
import sys
import time

from tenacity import wait_fixed

from bulkverify import Client, RunProgress, Stage, verify_list


def child_of(kind: str) -> int:
    """Start a child that sleeps, and return its id."""
    if kind == "fork":
        child = os.fork()
        if not child:
            time.sleep(60)
            os._exit(0)
        return child
    if kind == "multiprocessing":
        process = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
        process.start()
        assert process.pid is not None
        return process.pid
    return subprocess.Popen(["sleep", "60"]).pid  # noqa: S607 - wherever the system has it


async def run(kind: str, url: str, source: str, output: str) -> None:
    """Verify the list until a child has been started in the middle of it."""

    def stop(seen: RunProgress) -> None:
        if seen.stage is Stage.STARTING:
            sys.stdout.write(f"{child_of(kind)}\n")
            sys.stdout.flush()
            time.sleep(60)

    async with Client("sandbox", base_url=url, requests_per_minute=None) as client:
        await verify_list(client, source, output, wait=wait_fixed(0.02), on_progress=stop)


if __name__ == "__main__":
    asyncio.run(run(*sys.argv[1:]))

"""A run with a child process that outlives it: `python forking.py KIND URL LIST OUTPUT`.

It prints the child's process id, and then waits for its job for ever.
"""

import asyncio
import multiprocessing
import os
import subprocess
import sys
import time

from tenacity import wait_fixed

from bulkverify import Client, RunProgress, Stage, verify_list


def sleep() -> None:
    """Print that the child runs, and outlive its parent."""
    tell(os.getpid())
    time.sleep(60)


def tell(process: int) -> None:
    """Write the process id of the child."""
    sys.stdout.write(f"{process}\n")
    sys.stdout.flush()


def have_child(kind: str) -> None:
    """Start a child that sleeps."""
    if kind == "fork":
        if not os.fork():
            sleep()
            os._exit(0)
    elif kind == "multiprocessing":
        multiprocessing.get_context("fork").Process(target=sleep).start()
    else:
        tell(subprocess.Popen(["sleep", "60"]).pid)  # noqa: S607 - found on the PATH


async def run(kind: str, url: str, source: str, output: str) -> None:
    """Verify the list until a child has been started in the middle of it."""

    def stop(seen: RunProgress) -> None:
        if seen.stage is Stage.STARTING:
            have_child(kind)
            time.sleep(60)

    async with Client("sandbox", base_url=url, requests_per_minute=None) as client:
        await verify_list(client, source, output, wait=wait_fixed(0.02), on_progress=stop)


if __name__ == "__main__":
    asyncio.run(run(*sys.argv[1:]))

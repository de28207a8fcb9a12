"""A run in its own process, to be killed: `python child.py URL LIST OUTPUT PART [DEATH] [overwrite]`.

With the DEATH `before:7` or `after:7` it kills itself just before or after the seventh file gets its name.
`before:end:7` and `after:end:7` count all file operations after the last results were fetched.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from tenacity import wait_fixed

from bulkverify import Client, RunProgress, Stage, verify_list

ALL = ("replace", "unlink", "rmdir", "fsync")


class Death:
    """Kills the process with SIGKILL at one of its operations on files."""

    def __init__(self, death: str) -> None:
        when, *where, number = death.split(":")
        self.before = when == "before"
        self.left = int(number)
        self.armed = not where
        for name in ALL if where else ("replace",):
            setattr(os, name, self.counting(getattr(os, name)))

    def counting(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **options: Any) -> Any:  # noqa: ANN401 - as it is
            self.left -= self.armed
            due = self.armed and self.left == 0
            if due and self.before:
                os.kill(os.getpid(), signal.SIGKILL)
            try:
                return function(*args, **options)
            finally:
                if due:
                    os.kill(os.getpid(), signal.SIGKILL)

        return counted

    def see(self, seen: RunProgress) -> None:
        self.armed |= seen.stage is Stage.JOINING


async def run(url: str, source: str, output: str, part: str, *words: str) -> None:
    """Verify the list, or go on with it."""
    deaths = [Death(word) for word in words if word != "overwrite"]

    def follow(seen: RunProgress) -> None:
        for death in deaths:
            death.see(seen)

    async with Client("sandbox", base_url=url, requests_per_minute=None) as client:
        sys.stdout.write("begun\n")
        sys.stdout.flush()
        report = await verify_list(
            client,
            source,
            output,
            largest_part=int(part),
            overwrite="overwrite" in words,
            wait=wait_fixed(0.02),
            on_progress=follow,
        )
    sys.stdout.write(f"{report.orphans} {report.credits_spent} {report.credits_spent_before}\n")


if __name__ == "__main__":
    asyncio.run(run(*sys.argv[1:]))

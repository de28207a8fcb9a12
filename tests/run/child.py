"""A run in a process of its own, to be killed: `python child.py URL LIST OUTPUT PART [DEATH]`.

With a DEATH such as `before:7` or `after:7` it kills itself at the seventh time that it writes
something down for good, just before or just after that has its name.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

from tenacity import wait_fixed

from bulkverify import Client, verify_list


def die_at(death: str) -> None:
    """Let the process die as by `kill -9` at one of its renames."""
    when, _, number = death.partition(":")
    left = int(number)
    replace = Path.replace

    def replace_or_die(self: Path, target: Any) -> Path:  # noqa: ANN401 - as it is
        nonlocal left
        left -= 1
        if left == 0 and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        replaced = replace(self, target)
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return replaced

    setattr(Path, "replace", replace_or_die)  # noqa: B010 - its type is more than can be written here


async def run(url: str, source: str, output: str, part: str) -> None:
    """Verify the list, or go on with it."""
    async with Client("sandbox", base_url=url, requests_per_minute=None) as client:
        sys.stdout.write("begun\n")
        sys.stdout.flush()
        report = await verify_list(
            client, source, output, largest_part=int(part), wait=wait_fixed(0.02)
        )
    sys.stdout.write(f"{report.orphans} {report.credits_spent} {report.credits_spent_before}\n")


if __name__ == "__main__":
    url, source, output, part, *death = sys.argv[1:]
    for one in death:
        die_at(one)
    asyncio.run(run(url, source, output, part))

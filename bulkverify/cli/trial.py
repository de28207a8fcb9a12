"""The sandbox in the process of a command, which says before and after that it is one."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import bulkverify
from bulkverify.cli.output import Show
from bulkverify.cli.resume import Recovery
from bulkverify.errors import UsageError

TRIAL: Final = "This is a trial in the sandbox: verdicts and credits are made up."
_ENDED: Final = "It was a trial in the sandbox, which can't go on: the same command starts over."
_SPEED: Final = 6.5
"""At this speed a list of 200 addresses takes about three seconds."""
_CREDITS: Final = 1_000_000_000


@asynccontextmanager
async def sandboxed(
    speed: float | None, show: Show, recovery: Recovery
) -> AsyncIterator[tuple["bulkverify.Client", Path | None]]:
    """Yield a client of a new sandbox and a temporary folder for the progress."""
    from bulkverify.sandbox import Sandbox  # noqa: PLC0415 - a web server, not for --help

    speed = _SPEED if speed is None else speed
    if speed <= 0:
        raise UsageError("--sandbox-speed must be above 0.")
    show.note(TRIAL)
    recovery.state = _ENDED
    with tempfile.TemporaryDirectory(prefix="bulkverify-") as folder:
        async with (
            Sandbox(speed=speed, requests_per_minute=None, credits=_CREDITS) as service,
            bulkverify.Client(
                service.api_key, base_url=service.url, requests_per_minute=None
            ) as client,
        ):
            yield client, Path(folder) / "progress"

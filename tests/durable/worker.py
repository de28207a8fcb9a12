"""A worker in its own process: `python worker.py DATABASE URL [POINT]`.

At the POINT it freezes itself once (SIGSTOP), and says so before: `before:upload`, `after:upload`,
`after:credits`, `before:start`, `after:start`, `before:rename`, `after:deliver` (of the output), or
`before:commit` of an upload to a store.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, Final

from tenacity import wait_fixed

from bulkverify import Client
from bulkverify.durable import Engine, names
from bulkverify.run.account import Account
from bulkverify.run.output import Output


def say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


class Freeze:
    """Freezes the process once, before or after a method is called."""

    PLACES: Final = {
        "upload": (Client, "upload"),
        "credits": (Account, "check_credits"),
        "start": (Client, "start"),
        "deliver": (Output, "deliver"),
        "rename": (names.Host, "owns"),
        "commit": (names.Host, "owns"),
    }

    def __init__(self, point: str) -> None:
        self.when, where = point.split(":")
        # The first check is for the whole list, or before the upload.
        self.left = 2 if where in {"credits", "commit"} else 1
        owner, method = self.PLACES[where]
        kept = getattr(owner, method)
        setattr(owner, method, self.sync(kept) if method == "owns" else self.wrapped(kept))

    def freeze(self, when: str) -> None:
        if when == self.when:
            self.left -= 1
            if self.left == 0:
                say("frozen")
                os.kill(os.getpid(), signal.SIGSTOP)
                say("thawed")

    def wrapped(self, function: Callable[..., Any]) -> Callable[..., Any]:
        async def frozen(*args: Any, **options: Any) -> Any:  # noqa: ANN401 - as it is
            self.freeze("before")
            answer = await function(*args, **options)
            self.freeze("after")
            return answer

        return frozen

    def sync(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def frozen(*args: Any) -> Any:  # noqa: ANN401 - as it is
            self.freeze("before")
            return function(*args)

        return frozen


async def work(database: str, url: str, *points: str) -> None:
    for point in points:
        Freeze(point)
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    async with Engine(
        database,
        accounts={"acme": "sandbox"},
        base_url=url,
        requests_per_minute=None,
        wait=wait_fixed(0.05),
        lease=3.0,
    ):
        say("working")
        await ended.wait()
    say("gone")


if __name__ == "__main__":
    asyncio.run(work(*sys.argv[1:]))

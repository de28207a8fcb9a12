"""The ways to wait that bulkverify is compared with, each in a module of its own.

A module imports its library at the top, so that a measured process holds one peer and not all of
them. It has `waiting(ask, interval)`, which returns a function that waits for one job by asking
for it until it has completed; `ask` is the operation of the library's user. A peer that brings its
own HTTP has `over_http(url_of, interval, gate)` too, and gets no `ask` there.
"""

import json
from asyncio import Semaphore
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib import import_module
from typing import Protocol, TypeAlias, cast

import aiohttp

from bulkverify import JobSnapshot

AnswerT: TypeAlias = "JobSnapshot | dict[str, object]"
Ask: TypeAlias = Callable[[str], Awaitable[AnswerT]]
Wait: TypeAlias = Callable[[str], Coroutine[object, object, object]]
UrlOf: TypeAlias = Callable[[str], str]

PEERS = {
    "aiohttp": "aiohttp, a task that sleeps",
    "aiobotocore": "aiobotocore `AIOWaiter`",
    "tenacity": "tenacity `AsyncRetrying`",
    "azure": "azure-core `AsyncLROPoller`",
    "stamina": "stamina `retry_context`",
}
"""By the name of their module, `<name>_peer`; httpx differs from the first in its HTTP alone."""


class Peer(Protocol):
    """What the modules have."""

    def waiting(self, ask: Ask, interval: float) -> Wait:
        """Return what waits for a job by its id."""


def load(name: str) -> Peer:
    """Import one peer, and with it its library."""
    return cast("Peer", import_module(f"{__name__}.{name}_peer"))


def completed(answer: AnswerT) -> bool:
    """Tell whether there is nothing more to wait for."""
    status = answer["status"] if isinstance(answer, dict) else answer.status
    return status == "completed"


def over_http(
    name: str, url_of: UrlOf, interval: float, gate: Semaphore
) -> AbstractAsyncContextManager[Wait]:
    """Open a peer's own HTTP if it has any, or else give it a GET of aiohttp's."""
    peer = load(name)
    own = getattr(peer, "over_http", None)
    if own is not None:
        return cast("AbstractAsyncContextManager[Wait]", own(url_of, interval, gate))
    return _with_aiohttp(peer, url_of, interval, gate)


@asynccontextmanager
async def _with_aiohttp(
    peer: Peer, url_of: UrlOf, interval: float, gate: Semaphore
) -> AsyncGenerator[Wait]:
    async with aiohttp.ClientSession() as session:

        async def ask(job_id: str) -> AnswerT:
            async with gate, session.get(url_of(job_id)) as response:
                answer: dict[str, object] = json.loads(await response.read())
                return answer

        yield peer.waiting(ask, interval)

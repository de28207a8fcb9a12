"""The libraries that bulkverify is compared with, each in a module of its own.

A module imports its library at the top, so that a measured process loads only one peer. Its
`waiting(ask, interval)` returns a function that calls `ask`, the user's operation, until a job has
completed. A peer with its own HTTP also has `over_http(url_of, interval, gate)`, without `ask`.
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
"""By the name of the module, `<name>_peer`. httpx is left out; it differs from aiohttp only in its HTTP."""


class Peer(Protocol):
    """The functions of a peer's module."""

    def waiting(self, ask: Ask, interval: float) -> Wait:
        """Return a function that waits for a job by its id."""


def load(name: str) -> Peer:
    """Import one peer and its library."""
    return cast("Peer", import_module(f"{__name__}.{name}_peer"))


def completed(answer: AnswerT) -> bool:
    """Return whether the job has completed."""
    status = answer["status"] if isinstance(answer, dict) else answer.status
    return status == "completed"


def over_http(
    name: str, url_of: UrlOf, interval: float, gate: Semaphore
) -> AbstractAsyncContextManager[Wait]:
    """Open a peer's own HTTP if it has any, or else give it aiohttp."""
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

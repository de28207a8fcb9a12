"""httpx: the loop of the aiohttp peer, with its own GET."""

import json
from asyncio import Semaphore
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import httpx

from benchmarks.peers import AnswerT, UrlOf, Wait
from benchmarks.peers.aiohttp_peer import waiting

__all__ = ["over_http", "waiting"]


@asynccontextmanager
async def over_http(url_of: UrlOf, interval: float, gate: Semaphore) -> AsyncGenerator[Wait]:
    """Open a client."""
    async with httpx.AsyncClient(trust_env=False, timeout=60.0) as client:

        async def ask(job_id: str) -> AnswerT:
            async with gate:
                answer: dict[str, object] = json.loads((await client.get(url_of(job_id))).content)
                return answer

        yield waiting(ask, interval)

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from bulkverify.sandbox import Sandbox

from .caller import Caller, Serve

EPOCH = datetime(2021, 8, 13, 9, 39, 37, tzinfo=UTC)


@pytest_asyncio.fixture
async def serve(caplog: pytest.LogCaptureFixture) -> AsyncIterator[Serve]:
    caplog.set_level(logging.INFO)
    async with AsyncExitStack() as stack:

        async def start(**options: Any) -> Caller:  # noqa: ANN401
            defaults: dict[str, Any] = {
                "speed": 0,
                "seed": 1,
                "epoch": EPOCH,
                "requests_per_minute": None,
            }
            sandbox = await stack.enter_async_context(Sandbox(**defaults | options))
            session = await stack.enter_async_context(aiohttp.ClientSession())
            # aiohttp repeats a GET by itself when the connection breaks.
            session._retry_connection = False
            return Caller(sandbox, session)

        yield start
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert not caplog.records


@pytest_asyncio.fixture
async def caller(serve: Serve) -> Caller:
    return await serve()

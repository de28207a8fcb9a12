"""Endless waits end with an error."""

import asyncio

import pytest

from bulkverify.testing import StillWaitingError, virtual_clock


async def wait_for_nothing() -> None:
    never = asyncio.Event()
    with virtual_clock():
        while not never.is_set():  # noqa: ASYNC110 - that is the mistake
            await asyncio.sleep(86400)


def test_an_endless_wait_ends_with_an_error() -> None:
    with asyncio.Runner() as runner:
        runner.get_loop()
        with pytest.raises(StillWaitingError, match="jumped 401 days"):
            runner.run(wait_for_nothing())


def test_timers_that_are_due_at_once_fire_even_after_years() -> None:
    async def wait() -> None:
        with virtual_clock() as clock:
            for _ in range(3):
                clock.now += 100 * 365 * 86400.0
                called = asyncio.Event()
                asyncio.get_running_loop().call_later(0, called.set)
                await called.wait()
                await asyncio.sleep(0.001)

    asyncio.run(wait())

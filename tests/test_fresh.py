"""Calls that must not be repeated use a new connection, because an idle one may be dead."""

import asyncio

import aiohttp
import pytest

from bulkverify import Client, UploadUncertainError
from tests.wire import CREDITS, UPLOADED, Arrived, http, wire

ONE = b'{"success": true, "email": "a@example.com", "result": "deliverable"}'
STARTED = b'{"success": true, "job_id": "job1", "message": "ok"}'


async def once_a_connection(arrived: Arrived) -> bytes | None:
    """Answer the first request of a connection; at the second, close it silently."""
    if arrived.number > 1:
        return None
    if "/info" in arrived.target:
        return http(CREDITS)
    return http(ONE if "/verify" in arrived.target else UPLOADED)


@pytest.mark.asyncio
async def test_every_upload_arrives_although_idle_connections_die() -> None:
    async with (
        wire(once_a_connection) as (url, arrived),
        Client("key", base_url=url, requests_per_minute=None) as client,
    ):
        for _ in range(50):
            await asyncio.gather(*(client.upload(["a@example.com"]) for _ in range(4)))
        assert len(arrived) == 200
        assert {one.number for one in arrived} == {1}


@pytest.mark.asyncio
async def test_a_start_and_a_single_address_avoid_idle_connections() -> None:
    async with (
        wire(once_a_connection) as (url, arrived),
        Client("key", base_url=url, requests_per_minute=None, attempts=1) as client,
    ):
        await client.credits()
        for _ in range(3):
            await client.verify("a@example.com")
            await client.start("job1")
        assert [one.number for one in arrived] == [1] * 7
        assert all(b"Connection: close" in one.head for one in arrived[1:])


@pytest.mark.asyncio
async def test_a_repeatable_call_reuses_its_connection() -> None:
    async with wire() as (url, arrived), Client("key", base_url=url) as client:
        for _ in range(5):
            await client.credits()
        assert [one.number for one in arrived] == [1, 2, 3, 4, 5]


@pytest.mark.asyncio
async def test_the_callers_session_is_used_unchanged() -> None:
    async with (
        wire(once_a_connection) as (url, arrived),
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as careful,
        aiohttp.ClientSession() as session,
    ):
        async with Client("key", base_url=url, session=careful) as client:
            for _ in range(5):
                await client.upload(["a@example.com"])
        async with Client("key", base_url=url, session=session) as client:
            await client.upload(["a@example.com"])
            with pytest.raises(UploadUncertainError):
                await client.upload(["a@example.com"])
        assert len(arrived) == 7

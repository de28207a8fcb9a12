"""A server with an untrusted certificate gets nothing, above all not the key."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from bulkverify import Client, ConnectionFailedError

CERTIFICATE = Path(__file__).parent / "tls" / "self_signed.pem"
ANSWER = b'{"success": true, "credits_info": {"credits_remaining": 7}}'


@pytest_asyncio.fixture
async def received() -> AsyncIterator[tuple[str, bytearray]]:
    """Serve with a self-signed certificate; yield the URL and the decrypted bytes that arrive."""
    arrived = bytearray()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        arrived.extend(await reader.read(4096))
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(ANSWER)}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + ANSWER)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}", arrived
    server.close()
    await server.wait_closed()


@pytest.mark.asyncio
async def test_a_self_signed_certificate_is_refused_before_anything_is_sent(
    received: tuple[str, bytearray],
) -> None:
    url, arrived = received
    async with Client("s3cr3t", base_url=url, attempts=1) as client:
        with pytest.raises(ConnectionFailedError, match="certificate can't be trusted") as caught:
            await client.credits()
    assert caught.value.sent is False
    assert arrived == b""


@pytest.mark.asyncio
async def test_only_the_callers_session_can_trust_more(
    received: tuple[str, bytearray],
) -> None:
    url, arrived = received
    trusting = ssl.create_default_context(cafile=CERTIFICATE)
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trusting)) as session,
        Client("s3cr3t", base_url=url, session=session) as client,
    ):
        assert (await client.credits()).remaining == 7
    assert b"apikey=s3cr3t" in arrived

"""A small server that records the bytes of each request, and answers with any bytes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import TypeAlias

import attrs

CREDITS = b'{"success": true, "credits_info": {"credits_remaining": 100}}'
UPLOADED = b'{"success": true, "job_id": "job1", "message": "ok"}'


@attrs.define
class Arrived:
    """A request as it arrived; `connection` and `number`, its place on that connection, count from 1."""

    method: str
    target: str
    head: bytes
    body: bytes
    connection: int
    number: int


Respond: TypeAlias = Callable[[Arrived], Awaitable[bytes | None]]
"""Returns the answer to a request; `None` closes the connection."""


def http(
    body: bytes, status: int = 200, content_type: str = "application/json", headers: str = ""
) -> bytes:
    head = f"HTTP/1.1 {status} X\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
    return head.encode() + body


async def credit_answers(_: Arrived) -> bytes:
    return http(CREDITS)


async def never(_: Arrived) -> None:
    await asyncio.Event().wait()


@asynccontextmanager
async def wire(
    respond: Respond = credit_answers, *, cut: bytes | None = None
) -> AsyncIterator[tuple[str, list[Arrived]]]:
    """Serve on a local port; yield the base URL and the list of requests, which grows.

    If an answer has `cut`, the connection is closed after the bytes before it.
    """
    requests: list[Arrived] = []
    tasks: set[asyncio.Task[None]] = set()
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        number, connection = 0, connections
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            with suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
                while True:
                    head = await reader.readuntil(b"\r\n\r\n")
                    number += 1
                    method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ", 2)
                    body = await _body(head, reader)
                    arrived = Arrived(method, target, head, body, connection, number)
                    requests.append(arrived)
                    answer = await respond(arrived)
                    if answer is None:
                        return
                    before, found, _ = answer.partition(cut) if cut else (answer, b"", b"")
                    writer.write(before)
                    await writer.drain()
                    if found:
                        return
        finally:
            writer.close()
            tasks.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", requests
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _body(head: bytes, reader: asyncio.StreamReader) -> bytes:
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
    if b"content-length" in fields:
        return await reader.readexactly(int(fields[b"content-length"]))
    body = b""
    if fields.get(b"transfer-encoding") == b"chunked":
        while size := int((await reader.readuntil(b"\r\n")).strip(), 16):
            body += await reader.readexactly(size)
            await reader.readexactly(2)
        await reader.readexactly(2)
    return body

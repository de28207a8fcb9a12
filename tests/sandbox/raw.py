"""Requests on a raw socket, because HTTP clients add and reorder headers."""

import asyncio
import csv
import io
import json
from typing import Any
from urllib.parse import urlsplit

import attrs

from bulkverify.sandbox import Sandbox


@attrs.frozen
class Got:
    status: int
    reason: str
    headers: dict[str, str]
    content: bytes

    @property
    def body(self) -> Any:  # noqa: ANN401 - JSON
        return json.loads(self.content)

    @property
    def rows(self) -> list[dict[str, str]]:
        return list(csv.DictReader(io.StringIO(self.content.decode(), newline="")))


async def receive(reader: asyncio.StreamReader) -> Got:
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[:-2]
    _, status, reason = first.split(" ", 2)
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    content = await reader.readexactly(int(headers.get("content-length", 0)))
    return Got(int(status), reason, headers, content)


async def send(sandbox: Sandbox, first: str, headers: str, body: bytes | None = None) -> Got:
    """Send a request as it is written. A body has a length; without one there is no length either."""
    address = urlsplit(sandbox.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    length = "" if body is None else f"Content-Length: {len(body)}\r\n"
    head = f"{first} HTTP/1.1\r\nHost: {address.netloc}\r\n{headers}\r\n{length}\r\n"
    writer.write(head.encode() + (body or b""))
    try:
        return await receive(reader)
    finally:
        writer.close()
        await writer.wait_closed()


def form(boundary: str, *parts: str) -> bytes:
    """Build a multipart body; a part has its headers, an empty line and its content."""
    whole = "".join(f"--{boundary}\r\n{part}\r\n" for part in parts)
    return f"{whole}--{boundary}--\r\n".encode()


def file_part(filename: str, content: str, content_type: str) -> str:
    return (
        f'Content-Disposition: form-data; name="local_file"; filename="{filename}"\r\n'
        f"Content-Type: {content_type}\r\n\r\n{content}"
    )


def compact(value: object) -> bytes:
    """Write JSON as JavaScript and httpx do."""
    return json.dumps(value, separators=(",", ":")).encode()


def in_chunks(body: bytes, size: int = 50) -> bytes:
    pieces = [body[begin : begin + size] for begin in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in [*pieces, b""])

"""A minimal status endpoint in a process of its own, which counts its requests.

A GET of `/v1/...<id>...` is answered with a verifying list, and from the n-th request for the same id
on with a completed one. `/count` returns how many there were.
"""

import asyncio
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final
from urllib.request import urlopen

_ID: Final = re.compile(rb"\Abench[0-9]{31}\Z")
_HEAD: Final = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\n"
    b"Date: Mon, 01 Jan 2024 00:00:00 GMT\r\nServer: bench\r\nContent-Length: %d\r\n\r\n"
)
_BODY: Final = (
    b'{"job_id": "%(id)b", "status": "%(status)b", "created_at": "%(created)b", "total": %(total)d, '
    b'"verified": %(verified)d, "pending": %(pending)d, "analysis": {"common_isp": %(isp)d, '
    b'"role_based": 1231, "disposable": 771, "spamtrap": 12, "syntax_error": 431}, "results": '
    b'{"deliverable": %(good)d, "undeliverable": %(bad)d, "accept_all": 1012, "unknown": 404}, '
    b'"success": true, "message": "Job is being verified"}'
)


def job_id(number: int) -> str:
    """Return an id as long as the service's."""
    return f"bench{number:031d}"


def body(identity: str, *, share: float) -> bytes:
    """Return the answer for a list with this share verified. Counters and time depend on the id."""
    number = int(identity[5:])
    total = 20_000 + number
    verified = int(total * share)
    return _BODY % {
        b"id": identity.encode(),
        b"status": b"completed" if share >= 1 else b"verifying",
        b"created": b"%02d/%02d/2021, %d:%02d:%02d AM"
        % (
            number // 3600 // 11 % 12 + 1,
            number // 3600 // 132 % 28 + 1,
            number // 3600 % 11 + 1,
            number // 60 % 60,
            number % 60,
        ),
        b"total": total,
        b"verified": verified,
        b"pending": total - verified,
        b"isp": 1 + total // 3,
        b"good": verified // 2,
        b"bad": verified // 5,
    }


class _Asked:
    """The requests so far, and how many polls complete a job."""

    def __init__(self, polls: int) -> None:
        self.polls = polls
        self.by_id: Counter[str] = Counter()
        self.total = 0


class _Protocol(asyncio.Protocol):
    def __init__(self, asked: _Asked) -> None:
        self._asked = asked
        self._rest = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - what create_server makes
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        *requests, self._rest = (self._rest + data).split(b"\r\n\r\n")
        for request in requests:
            answer = self._answer(request.split(b" ", 2)[1])
            if self._transport is not None:
                self._transport.write(_HEAD % len(answer) + answer)

    def _answer(self, target: bytes) -> bytes:
        asked = self._asked
        if target == b"/count":
            return b"%d" % asked.total
        identity = next(
            part for part in target.partition(b"?")[0].split(b"/") if _ID.match(part)
        ).decode()
        asked.total += 1
        asked.by_id[identity] += 1
        return body(identity, share=min(1.0, asked.by_id[identity] / asked.polls))


async def _serve(polls: int) -> None:
    loop = asyncio.get_running_loop()
    asked = _Asked(polls)
    server = await loop.create_server(lambda: _Protocol(asked), "127.0.0.1", 0, backlog=1024)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    # stdin ends when the parent process is done or dead.
    await asyncio.to_thread(sys.stdin.read)
    server.close()


@contextmanager
def running(*, polls: int) -> Generator[str]:
    """Run the server in a process of its own, and yield its URL."""
    with subprocess.Popen(  # noqa: S603 - this very module
        [sys.executable, "-m", "benchmarks.server", str(polls)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None  # noqa: S101 - it is a pipe
        assert process.stdout is not None  # noqa: S101 - likewise
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.stdin.close()


def count(base_url: str) -> int:
    """Ask a running server how many status requests it has answered."""
    with urlopen(f"{base_url}/count") as answer:  # noqa: S310 - our own server
        return int(answer.read())


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))

"""The sessions that send a client's requests, all in one event loop, and how long each request may take."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from typing import Final, TypeVar

import aiohttp
from yarl import URL

from bulkverify._version import __version__
from bulkverify.errors import UsageError
from bulkverify.service.answers import Endpoint
from bulkverify.service.calls import Call
from bulkverify.service.proxies import find_proxy, proxy_of

T = TypeVar("T")

HEADERS: Final = {
    "User-Agent": f"bulkverify/{__version__}",
    "Accept": "application/json, text/csv",
}

_CLOSING_SECONDS: Final = 5.0
"""How long to wait for another thread's loop to close its sessions."""


CONNECT_TIMEOUT: Final = 15.0
"""For a connection."""

READ_TIMEOUT: Final = 60.0
"""For the next piece of an answer."""

ORDINARY_SECONDS: Final = CONNECT_TIMEOUT + READ_TIMEOUT
"""For a request that has no body, with its whole answer."""

BEGINNING_SECONDS: Final = 300.0
"""For a download to begin, including the wait for a free connection. aiohttp's own timeout for a read does not
help if an interim answer (1xx) has a body: it fills the buffer, and aiohttp stops reading."""

_ORDINARY_TIMEOUT: Final = aiohttp.ClientTimeout(
    total=ORDINARY_SECONDS, sock_connect=CONNECT_TIMEOUT
)
_DOWNLOAD_TIMEOUT: Final = aiohttp.ClientTimeout(
    total=None, sock_connect=CONNECT_TIMEOUT, sock_read=READ_TIMEOUT
)
NO_TIMEOUT: Final = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT)
"""For polls. The scheduler times them out, because a timer for each would take a tenth of their CPU time."""

# The service sends nothing while it receives an upload, so the timeout grows with the size of the body.
_SLOWEST_UPLOAD_BYTES_PER_SECOND: Final = 16 * 1024


class Sessions:
    """The caller's session, or two of our own: one reuses its connections, the other never does.

    Our own use the proxy that the environment names for `url`.
    """

    def __init__(self, given: aiohttp.ClientSession | None, url: URL) -> None:
        self.given: Final = given
        proxy = find_proxy(url) if given is None else proxy_of(given, url)
        if isinstance(proxy, UsageError):
            raise proxy
        self.proxy: Final = proxy
        self.closed: bool = False
        self._kept: aiohttp.ClientSession | None = None
        self._fresh: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def enter_loop(self) -> None:
        """Bind to the running event loop at the first call. Later, another loop raises `UsageError`."""
        loop = asyncio.get_running_loop()
        if self._loop is loop:
            return
        if self._loop is None:
            home = getattr(self.given, "_loop", loop)
            if home is loop or not isinstance(home, asyncio.AbstractEventLoop):
                self._loop = loop
                return
            what = "The session of this client"
        else:
            home = self._loop
            what = "This client"
        raise UsageError(
            f"{what} belongs to another event loop{', which is closed' if home.is_closed() else ''}. "
            "Nothing was sent. A client works in one loop only: open it with `async with Client() as client:` "
            "inside the coroutine that you pass to `asyncio.run`."
        )

    def choose(self, *, fresh: bool) -> aiohttp.ClientSession | None:
        """Return the session for a request, or `None` if the client is closed.

        A `fresh` one opens a new connection. An idle connection may be dead already, and then it is unknown
        whether a request has arrived.
        """
        if self.closed:
            return None
        if self.given is not None:
            return self.given
        if fresh:
            if self._fresh is None:
                self._fresh = self._open(aiohttp.TCPConnector(force_close=True))
            return self._fresh
        if self._kept is None:
            self._kept = self._open(None)
        return self._kept

    async def close(self, first: Callable[[], Awaitable[None]]) -> None:
        """Refuse new requests, await `first`, and close our own sessions, even if cancelled.

        If another event loop calls this, the sessions are closed in their own loop, if that still runs.
        """
        self.closed = True
        home = self._loop
        if home is None or home is asyncio.get_running_loop():
            await self._close(first)
        elif home.is_running():
            closing = asyncio.run_coroutine_threadsafe(self._close(first), home)
            await asyncio.wait([asyncio.wrap_future(closing)], timeout=_CLOSING_SECONDS)
        else:  # nothing can be awaited in a loop that no longer runs
            for session in (self._kept, self._fresh):
                if session is not None:
                    connector = session.connector
                    session.detach()
                    if connector is not None:
                        with suppress(RuntimeError):  # a closed loop takes no callbacks
                            connector._close()  # noqa: SLF001 - the part of `close` that needs no loop

    def _open(self, connector: aiohttp.TCPConnector | None) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=HEADERS,
            connector=connector,
            proxy=None if self.proxy is None else self.proxy.url,
        )

    async def _close(self, first: Callable[[], Awaitable[None]]) -> None:
        async with AsyncExitStack() as stack:  # all steps run, even if one is cancelled
            for session in (self._kept, self._fresh):
                if session is not None:
                    stack.push_async_callback(session.close)
            stack.push_async_callback(first)


def timeout_of(call: Call[T]) -> aiohttp.ClientTimeout:
    """Return the timeout of a whole request, or of each step of a download, which may take any time."""
    if call.endpoint is Endpoint.DOWNLOAD:
        return _DOWNLOAD_TIMEOUT
    size = len(call.json or b"") + len(call.file.content if call.file else b"")
    if not size and call.read_timeout is None:
        return _ORDINARY_TIMEOUT
    silence = call.read_timeout or READ_TIMEOUT
    total = CONNECT_TIMEOUT + silence + size / _SLOWEST_UPLOAD_BYTES_PER_SECOND
    return aiohttp.ClientTimeout(total=total, sock_connect=CONNECT_TIMEOUT)

"""Sends requests and reads answers, within the budget, and retries requests that are safe to repeat.

No exception of aiohttp leaves this module, not even as a cause, a context or a local variable of a traceback.
So the functions that use aiohttp return errors, and the others raise them. All of them work without the key,
which the last middleware adds.
"""

import asyncio
from collections.abc import AsyncGenerator
from functools import partial
from io import BytesIO
from typing import Final, TypeVar
from urllib.parse import urlencode

import aiohttp
import attrs
from tenacity.wait import wait_base
from yarl import URL

from bulkverify.errors import (
    BulkVerifyError,
    ClientClosedError,
    ProtocolError,
    RateLimitedError,
    TransportError,
    UnreadableAnswerError,
)
from bulkverify.service.answers import Answer, Endpoint
from bulkverify.service.budget import Budget
from bulkverify.service.calls import LARGEST_ANSWER_BYTES, LARGEST_RESULTS_BYTES, Call, is_results
from bulkverify.service.key import Secret
from bulkverify.service.middleware import KeyOnTheWire
from bulkverify.service.retrying import LONGEST_RETRY_AFTER, Retrying
from bulkverify.service.sessions import (
    BEGINNING_SECONDS,
    HEADERS,
    NO_TIMEOUT,
    READ_TIMEOUT,
    Sessions,
    timeout_of,
)
from bulkverify.service.translation import translate

T = TypeVar("T")

_SANDBOX: Final = "bulkverify"
"""How the sandbox calls itself. A longer name could hold its key, which is redacted."""
_BEGINNING_BYTES: Final = 64
_JSON_HEADERS: Final = {**HEADERS, "Content-Type": "application/json"}


@attrs.define(kw_only=True)
class Stats:
    """Counters of one client since it was made."""

    requests: int = 0
    """Requests sent, including retries and polls."""

    retries: int = 0
    """Requests that were sent again after a failed attempt."""

    throttles: int = 0
    """Answers with the status 429."""

    polls: int = 0
    """Status requests sent for waits."""

    jobs: int = 0
    """Jobs that were waited for. A job counts again if a wait begins after all earlier ones have ended."""

    waits: int = 0
    """Waits that have begun."""


class Transport:
    """The requests of one client: one key, one base URL, one event loop, one budget."""

    def __init__(
        self,
        *,
        secret: Secret,
        base_url: str,
        session: aiohttp.ClientSession | None,
        attempts: int,
        backoff: wait_base | None,
        requests_per_minute: int | None,
    ) -> None:
        self._secret = secret
        base = URL(base_url)
        self._scheme, self._authority = base.scheme, base.raw_authority
        self._base_path = base.raw_path.rstrip("/")
        self._sessions = Sessions(session, base)
        self._repeatable: Final = KeyOnTheWire(secret, repeatable=True)
        # Our own sessions have these headers as defaults, which is faster than adding them to each request.
        self._headers = None if session is None else HEADERS
        self.retrying: Final = Retrying(attempts, backoff, self._count_retry)
        self.budget: Final = Budget(requests_per_minute)
        self.take_for_poll: Final = partial(self.budget.take_for_poll, Endpoint.STATUS)
        self.enter_loop: Final = self._sessions.enter_loop
        self.close: Final = self._sessions.close
        self.stats: Stats = Stats()
        self.is_sandbox: bool = False
        """Whether the service has said that it is bulkverify's sandbox."""

    async def call(self, call: Call[T]) -> T:
        """Send a request, retry it if that is safe, and return its parsed answer."""
        return await self.retrying(lambda: self.once(call), repeatable=call.repeatable)

    async def once(self, call: Call[T], *, scheduled: bool = False) -> T:
        """Send a request exactly once, and return its parsed answer.

        For a `scheduled` request, the caller calls `take_for_poll` first, and cancels the request if it is late.
        """
        self.enter_loop()
        if not scheduled:
            await self.budget.spend(call.endpoint)
        outcome = self._understand(call, await self._exchange(call, scheduled=scheduled))
        if isinstance(outcome, BulkVerifyError):
            raise outcome
        return outcome

    def _count_retry(self) -> None:
        self.stats.retries += 1

    async def open(self, call: Call[None]) -> "Body":
        """Send the request of a download exactly once, and return the body of its answer."""
        self.enter_loop()
        await self.budget.spend(call.endpoint)
        outcome = await self._open(call)
        if isinstance(outcome, tuple):
            return Body(self, *outcome)
        refusal = self._understand(call, outcome)
        del outcome
        assert refusal is not None  # noqa: S101 - the `parse` of a download always raises
        raise refusal

    async def read(self, response: aiohttp.ClientResponse) -> bytes:
        """Read the next piece of a results file; empty at its end."""
        piece = await _read_piece(response, Endpoint.DOWNLOAD)
        if isinstance(piece, TransportError):
            raise self.redacted(piece)
        return piece

    def redacted(self, error: BulkVerifyError) -> BulkVerifyError:
        """Remove the key from an error, because the service may have echoed the URL."""
        return self._secret.without_key(error)

    def _understand(self, call: Call[T], answer: Answer | TransportError) -> T | BulkVerifyError:
        """Parse an answer. Errors are returned, because the frames here hold the answer."""
        if isinstance(answer, TransportError):
            return self.redacted(answer)
        try:
            return self._secret.redacted(call.parse(answer))
        except BulkVerifyError:
            # Messages are cut, and a cut key would not be found. So the whole answer is redacted and
            # parsed again.
            answer = attrs.evolve(answer, body=self._secret.redact_bytes(answer.body))
        try:
            return self._secret.redacted(call.parse(answer))
        except BulkVerifyError as error:
            refusal = self.redacted(error)
        if isinstance(refusal, RateLimitedError):
            self.stats.throttles += 1
            pause = refusal.retry_after and min(refusal.retry_after, LONGEST_RETRY_AFTER)
            self.budget.throttled(call.endpoint, pause)
        return refusal

    # The functions below use aiohttp, and return errors instead of raising them.

    async def _exchange(self, call: Call[T], *, scheduled: bool) -> Answer | TransportError:
        response = await self._send(call, scheduled=scheduled)
        if isinstance(response, TransportError):
            return response
        try:
            return await _read_answer(response, call.endpoint)
        finally:
            response.release()

    async def _open(
        self, call: Call[None]
    ) -> tuple[aiohttp.ClientResponse, bytes] | Answer | TransportError:
        try:
            async with asyncio.timeout(BEGINNING_SECONDS):
                return await self._begin(call)
        except TimeoutError as error:
            return translate(error, endpoint=call.endpoint)

    async def _begin(
        self, call: Call[None]
    ) -> tuple[aiohttp.ClientResponse, bytes] | Answer | TransportError:
        response = await self._send(call)
        if isinstance(response, TransportError):
            return response
        opened = False
        try:
            beginning = await _read_beginning(response, call.endpoint)
            if isinstance(beginning, TransportError):
                return beginning
            if is_results(response.status, response.headers.get("Content-Type", ""), beginning):
                opened = True
                return response, beginning
            return await _read_answer(response, call.endpoint, beginning)
        finally:
            if not opened:
                response.close()

    async def _send(
        self, call: Call[T], *, scheduled: bool = False
    ) -> aiohttp.ClientResponse | TransportError:
        once = not call.repeatable
        session = self._sessions.choose(fresh=once)
        if session is None or session.closed:
            return ClientClosedError("The client is closed.").with_hint(
                "Make calls inside `async with Client() as client:`, or open a new client.",
                "Run the command again.",
            )
        self.stats.requests += 1
        last = KeyOnTheWire(self._secret, repeatable=False) if once else self._repeatable
        try:
            response = await session.request(
                call.method,
                self._url(call),
                data=_body_of(call),
                headers=_JSON_HEADERS if call.json is not None else self._headers,
                allow_redirects=False,
                raise_for_status=False,
                # This argument replaces the session's middlewares, so they are passed along.
                middlewares=(*getattr(session, "_middlewares", ()), last),
                timeout=NO_TIMEOUT if scheduled else timeout_of(call),
            )
        except (aiohttp.ClientError, OSError, UnicodeError) as error:
            return translate(error, endpoint=call.endpoint, proxy=self._sessions.proxy)
        if response.headers.get("Server") == _SANDBOX:
            self.is_sandbox = True
        return response

    def _url(self, call: Call[T]) -> URL:
        # Built from its parts, because parsing the text would take four times as long.
        return URL.build(
            scheme=self._scheme,
            authority=self._authority,
            path=f"{self._base_path}/{call.path}",
            query_string=urlencode(call.query),
            encoded=True,
        )


class Body:
    """The body of a file that is being downloaded."""

    def __init__(
        self, transport: Transport, response: aiohttp.ClientResponse, beginning: bytes
    ) -> None:
        self._transport = transport
        self._response = response
        self._beginning = beginning

    async def pieces(self) -> AsyncGenerator[bytes]:
        """Yield the body in pieces, as they arrive."""
        size = len(self._beginning)
        yield self._beginning
        while piece := await self._transport.read(self._response):
            size += len(piece)
            if size > LARGEST_RESULTS_BYTES:
                raise ProtocolError(
                    f"The results have more than {LARGEST_RESULTS_BYTES:,} bytes, too many for any list. "
                    "The rest was not read."
                )
            yield piece

    def close(self) -> None:
        """Close the connection, unless the body was read to its end and the connection can be reused."""
        self._response.close()


def _body_of(call: Call[T]) -> aiohttp.FormData | BytesIO | None:
    """Make a new body for each attempt, because aiohttp closes it."""
    if call.file is None:
        return None if call.json is None else BytesIO(call.json)
    form = aiohttp.FormData(call.file.fields)
    form.add_field(
        "local_file",
        BytesIO(call.file.content),
        filename=call.file.filename,
        content_type="text/csv",
    )
    return form


async def _read_piece(
    response: aiohttp.ClientResponse, endpoint: Endpoint
) -> bytes | TransportError:
    try:
        # aiohttp's own timeout restarts at any byte, even outside the body.
        async with asyncio.timeout(READ_TIMEOUT):
            return await response.content.readany()
    except (aiohttp.ClientError, OSError) as error:
        return translate(error, endpoint=endpoint, answering=True)


async def _read_beginning(
    response: aiohttp.ClientResponse, endpoint: Endpoint
) -> bytes | TransportError:
    """Read enough to tell a results file from a page."""
    beginning = b""
    while len(beginning) < _BEGINNING_BYTES and (piece := await _read_piece(response, endpoint)):
        if isinstance(piece, TransportError):
            return piece
        beginning += piece
    return beginning


async def _read_answer(
    response: aiohttp.ClientResponse, endpoint: Endpoint, beginning: bytes = b""
) -> Answer | TransportError:
    pieces = [beginning]
    size = len(beginning)
    content = response.content
    try:
        while not content.at_eof():
            piece = await content.readany()
            pieces.append(piece)
            size += len(piece)
            if size > LARGEST_ANSWER_BYTES:
                return UnreadableAnswerError(
                    f"An answer of the service has more than {LARGEST_ANSWER_BYTES:,} bytes and was not read.",
                    status=response.status,
                )
    except (aiohttp.ClientError, OSError) as error:
        return translate(error, endpoint=endpoint, answering=True)
    return Answer(status=response.status, headers=response.headers, body=b"".join(pieces))

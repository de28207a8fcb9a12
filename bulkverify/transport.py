"""Moves requests and answers: the session, the budget, retrying a request.

This is the one place that sees aiohttp's exceptions and the API key. aiohttp's exceptions hold the URL,
and so the key; none of them leaves this module, neither raised nor as a cause, a context or in a
local variable of a traceback: what went wrong is returned as a value by the functions that
touch aiohttp, and raised by those that do not.
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from io import BytesIO
from typing import Final, TypeVar
from urllib.parse import urlencode

import aiohttp
import attrs
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    stop_after_attempt,
    wait_exponential_jitter,
)
from tenacity.wait import wait_base
from yarl import URL

from bulkverify._version import __version__
from bulkverify.access import Secret
from bulkverify.answers import Answer
from bulkverify.budget import Budget
from bulkverify.errors import (
    BulkVerifyError,
    ClientClosedError,
    ConnectionFailedError,
    RateLimitedError,
    RequestTimeoutError,
    ServerError,
    TransportError,
    UnreadableAnswerError,
)
from bulkverify.failures import CONNECT_TIMEOUT, LONGEST_PAUSE, may_repeat, send_once, translate
from bulkverify.wire import LARGEST_ANSWER_BYTES, Call, is_results

T = TypeVar("T")
_log: Final = logging.getLogger(__name__)

READ_TIMEOUT: Final = 60.0
# An upload's body is written without any sign of life from the other side, so its time grows with it.
_SLOWEST_UPLOAD_BYTES_PER_SECOND: Final = 16 * 1024
_BACKOFF: Final = wait_exponential_jitter(initial=0.5, max=20.0, jitter=0.5)


@attrs.frozen(kw_only=True)
class Failure:
    """What became of a request that got no answer; `error` is not yet raised."""

    error: TransportError


@attrs.frozen(kw_only=True)
class _Stream:
    """An answer whose body is read by whoever asked for it."""

    response: aiohttp.ClientResponse = attrs.field(repr=False)
    beginning: bytes = attrs.field(repr=False)


class Transport:
    """One key, one base URL, one session, one budget."""

    def __init__(
        self,
        *,
        api_key: str,
        base_url: str,
        session: aiohttp.ClientSession | None,
        attempts: int,
        backoff: wait_base | None,
        requests_per_minute: int | None,
    ) -> None:
        """Keep the settings; the session is opened by the first request that needs one."""
        self._secret = Secret(api_key)
        self._base_url = base_url
        self._session = session
        self._owns_session = session is None
        self._attempts = attempts
        self._backoff = backoff or _BACKOFF
        self._budget = Budget(requests_per_minute)
        self._closed = False

    async def close(self) -> None:
        """Close the session unless it is the caller's; every later request is refused."""
        self._closed = True
        if self._owns_session and self._session is not None:
            await self._session.close()

    async def call(self, call: Call[T]) -> T:
        """Send a request, again where that does no harm, and return what its answer means.

        Raises:
            TransportError: no usable answer.
            ServiceError: the service said no.
        """
        return await self.retrying(lambda: self.once(call), repeatable=call.repeatable)

    async def once(self, call: Call[T]) -> T:
        """Send a request exactly once, and return what its answer means."""
        outcome = await self._exchange(call)
        if isinstance(outcome, Failure):
            raise self._redacted(outcome.error)
        try:
            return call.parse(outcome)
        except BulkVerifyError as error:
            refusal = self._redacted(error)
        self._heed(call, refusal)
        raise refusal

    async def retrying(self, attempt: Callable[[], Awaitable[T]], *, repeatable: bool) -> T:
        """Make attempts until one succeeds, fails for good, or there have been enough.

        Args:
            attempt: sends a request once.
            repeatable: whether an attempt that may have arrived can be made again; one that
                provably had no effect always is.
        """
        try:
            return await attempt()
        except BulkVerifyError as error:
            if not (self._attempts > 1 and may_repeat(error, repeatable=repeatable)):
                raise
            failure: BulkVerifyError | None = error

        # The first attempt goes out without tenacity, which would add a third to the cost of a
        # request; from here on it owns the loop, beginning with the failure at hand.
        async def replay_then_attempt() -> T:
            nonlocal failure
            if failure is not None:
                known, failure = failure, None
                raise known
            return await attempt()

        retrying = AsyncRetrying(
            stop=stop_after_attempt(self._attempts),
            wait=self._pause,
            retry=retry_if_exception(lambda error: may_repeat(error, repeatable=repeatable)),
            before_sleep=_log_retry,
            reraise=True,
        )
        return await retrying(replay_then_attempt)

    @asynccontextmanager
    async def stream(self, call: Call[None]) -> AsyncIterator[AsyncIterator[bytes]]:
        """Send a request whose answer is a file, and give its body in pieces.

        Raises:
            TransportError: no usable answer, also while the body is read.
            ServiceError: the service said no.
        """

        async def attempt() -> _Stream:
            outcome = await self._open(call)
            if isinstance(outcome, _Stream):
                return outcome
            if isinstance(outcome, Failure):
                raise self._redacted(outcome.error)
            try:
                call.parse(outcome)
            except BulkVerifyError as error:
                refusal = self._redacted(error)
            self._heed(call, refusal)
            raise refusal

        stream = await self.retrying(attempt, repeatable=call.repeatable)
        try:
            yield self._pieces(stream)
        finally:
            # Closed rather than released: a body that was not read to its end can't be reused.
            stream.response.close()

    async def _pieces(self, stream: _Stream) -> AsyncIterator[bytes]:
        yield stream.beginning
        while True:
            piece = await self._read(stream.response, limit=None)
            if isinstance(piece, Failure):
                raise self._redacted(piece.error)
            if not piece:
                return
            yield piece

    # The three functions below touch aiohttp: they return failures and never raise one.

    async def _exchange(self, call: Call[T]) -> Answer | Failure:
        opened = await self._send(call)
        if isinstance(opened, Failure):
            return opened
        try:
            body = await self._read(opened, limit=LARGEST_ANSWER_BYTES)
            if isinstance(body, Failure):
                return body
            return Answer(status=opened.status, headers=opened.headers, body=body)
        finally:
            opened.release()

    async def _open(self, call: Call[None]) -> _Stream | Answer | Failure:
        opened = await self._send(call)
        if isinstance(opened, Failure):
            return opened
        beginning = await self._read(opened, limit=None)
        if isinstance(beginning, Failure):
            opened.close()
            return beginning
        if is_results(opened.status, opened.headers.get("Content-Type", ""), beginning):
            return _Stream(response=opened, beginning=beginning)
        try:
            rest = await self._read(opened, limit=LARGEST_ANSWER_BYTES)
        finally:
            opened.close()
        if isinstance(rest, Failure):
            return rest
        return Answer(status=opened.status, headers=opened.headers, body=beginning + rest)

    async def _send(self, call: Call[T]) -> aiohttp.ClientResponse | Failure:
        session = self._open_session()
        if isinstance(session, Failure):
            return session
        await self._budget.spend(call.endpoint)
        data: aiohttp.FormData | bytes | None = call.json
        headers = {
            "User-Agent": f"bulkverify/{__version__}",
            "Accept": "application/json, text/csv",
        }
        read_timeout = call.read_timeout or READ_TIMEOUT
        total = None if call.endpoint == "download" else CONNECT_TIMEOUT + read_timeout
        if call.json is not None:
            headers["Content-Type"] = "application/json"
        if call.file is not None:  # built anew for every attempt: aiohttp closes what it has sent
            data = aiohttp.FormData(call.file.fields)
            data.add_field(
                "local_file",
                BytesIO(call.file.content),
                filename=call.file.filename,
                content_type="text/csv",
            )
        if total is not None:
            payload_bytes = len(call.json or b"") + len(call.file.content if call.file else b"")
            total += payload_bytes / _SLOWEST_UPLOAD_BYTES_PER_SECOND
        try:
            return await session.request(
                call.method,
                self._url(call),
                data=data,
                headers=headers,
                allow_redirects=False,
                raise_for_status=False,
                middlewares=(send_once,),
                timeout=aiohttp.ClientTimeout(
                    total=total, sock_connect=CONNECT_TIMEOUT, sock_read=read_timeout
                ),
            )
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            return Failure(error=translate(error, endpoint=call.endpoint))
        except RuntimeError:
            if session.closed:
                return Failure(error=_closed_error())
            raise

    async def _read(
        self, response: aiohttp.ClientResponse, *, limit: int | None
    ) -> bytes | Failure:
        """Read the next piece of a body, or with a limit all of it."""
        try:
            if limit is None:
                return await response.content.readany()
            pieces: list[bytes] = []
            size = 0
            while piece := await response.content.readany():
                pieces.append(piece)
                size += len(piece)
                if size > limit:
                    return Failure(
                        error=UnreadableAnswerError(
                            f"An answer of the service is larger than {limit:,} bytes and was not read.",
                            status=response.status,
                        )
                    )
            return b"".join(pieces)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            return Failure(error=translate(error, endpoint="answer to a"))

    def _open_session(self) -> aiohttp.ClientSession | Failure:
        if self._closed:
            return Failure(error=_closed_error())
        if self._session is None:
            self._session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())
        return self._session

    def _url(self, call: Call[T]) -> URL:
        query = f"{urlencode(call.query)}&" if call.query else ""
        return URL(f"{self._base_url}/{call.path}?{query}{self._secret.query()}", encoded=True)

    def _heed(self, call: Call[T], refusal: BulkVerifyError) -> None:
        """Keep everybody off an endpoint for as long as the service asks."""
        if isinstance(refusal, RateLimitedError) and refusal.retry_after:
            self._budget.pause(call.endpoint, min(refusal.retry_after, LONGEST_PAUSE))

    def _pause(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = getattr(error, "retry_after", None) or 0.0
        return max(asked, self._backoff(state))

    def _redacted(self, error: BulkVerifyError) -> BulkVerifyError:
        """Take the key out of every text of an error: the service may have echoed the URL."""
        error.args = tuple(
            self._secret.redact(text) if isinstance(text, str) else text for text in error.args
        )
        for name, value in vars(error).items():
            if isinstance(value, str):
                setattr(error, name, self._secret.redact(value))
        return error


def _closed_error() -> ClientClosedError:
    return ClientClosedError(
        "The client is closed: keep the calls inside `async with Client() as client:`, or open a new one."
    )


def _log_retry(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    _log.info(
        "attempt %d failed, next in %.1f s: %s", state.attempt_number, state.upcoming_sleep, error
    )

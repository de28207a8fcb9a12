"""The last middleware, which adds the key to a request.

Everything else has the URL without the key: the session, its other middlewares, its traces (OpenTelemetry,
Sentry, a `TraceConfig`), the response and every error.
"""

from http import HTTPStatus
from typing import Final

import aiohttp
from aiohttp.tracing import Trace
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from bulkverify.service.key import Secret

NEVER_SENT: Final = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.ServerFingerprintMismatch,
    aiohttp.ClientHttpProxyError,
)
"""Errors that prove that a request was not sent. After any other, it may have arrived."""


class ConnectionLostError(aiohttp.ClientError):
    """A connection broke. aiohttp repeats requests after its own errors of this kind, not after this one."""

    def __init__(self, cause: BaseException | str) -> None:
        """Name the cause, without the text of an aiohttp error, which may hold the URL."""
        if not isinstance(cause, str):
            cause = getattr(cause, "strerror", None) or type(cause).__name__
        super().__init__(cause)


class KeyOnTheWire:
    """Adds the key to a request while it is written, and sends an unrepeatable call only once.

    aiohttp repeats a GET or DELETE whose connection broke, and a middleware of the caller may repeat any
    request. The service may already have done the work and charged for it.
    """

    def __init__(self, secret: Secret, *, repeatable: bool) -> None:
        self._secret = secret
        self._repeatable = repeatable
        self._lost = False

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Send a request with the key."""
        if self._lost and not self._repeatable:
            raise ConnectionLostError(
                "its answer was lost, and a middleware of the session was kept from sending it again"
            )
        bare = request.url
        # Otherwise the traces would get the URL with the key.
        traces: list[Trace] = [_BareTrace(trace, bare) for trace in request._traces]  # noqa: SLF001
        request._traces = traces  # noqa: SLF001
        failure: BaseException | None = None
        request.url = self._secret.added_to(bare)
        try:
            response = await handler(request)
        except BaseException as error:  # noqa: BLE001 - raised below, without its frames
            failure = error
        finally:
            request.url = bare
            if request.response is not None:  # it holds the URL with the key
                request.response._request_info = request.request_info  # noqa: SLF001
        if failure is not None:
            self._lost = not isinstance(failure, NEVER_SENT)
            try:
                raise self._without_key(failure, request)
            finally:
                del failure
        self._lost = response.status >= HTTPStatus.INTERNAL_SERVER_ERROR
        self._redact_headers(response)
        return response

    def _without_key(self, error: BaseException, request: aiohttp.ClientRequest) -> BaseException:
        """Remove the key from the text of an error, and drop its chain and traceback."""
        broke = isinstance(error, aiohttp.ClientOSError | aiohttp.ServerDisconnectedError)
        if broke and not isinstance(error, NEVER_SENT):
            return ConnectionLostError(error)
        if isinstance(error, aiohttp.ClientResponseError):
            error.request_info = request.request_info
            error.message = self._secret.redact(error.message)
        error.args = tuple(
            self._secret.redact(text) if isinstance(text, str) else text for text in error.args
        )
        error.__cause__ = error.__context__ = None
        return error.with_traceback(None)

    def _redact_headers(self, response: aiohttp.ClientResponse) -> None:
        """Remove the key from the headers of an answer, because a redirect often repeats the URL."""
        headers = response.headers
        if not self._secret.is_in("\n".join(headers.values())):
            return
        redact, redact_bytes = self._secret.redact, self._secret.redact_bytes
        redacted = CIMultiDictProxy(
            CIMultiDict((name, redact(said)) for name, said in headers.items())
        )
        response._headers = response._cache["headers"] = redacted  # noqa: SLF001 - the public ones are read-only
        raw = response.raw_headers
        response._raw_headers = tuple((name, redact_bytes(said)) for name, said in raw)  # noqa: SLF001
        response._cache.pop("raw_headers", None)  # noqa: SLF001


class _BareTrace(Trace):
    """A trace that sees the URL without the key while the request is written."""

    def __init__(self, trace: Trace, url: URL) -> None:
        self.__dict__.update(vars(trace))
        self._bare = url

    async def send_request_headers(
        self,
        method: str,
        url: URL,  # noqa: ARG002 - has the key
        headers: "CIMultiDict[str]",
    ) -> None:
        await super().send_request_headers(method, self._bare, headers)

    async def send_request_chunk_sent(
        self,
        method: str,
        url: URL,  # noqa: ARG002 - has the key
        chunk: bytes,
    ) -> None:
        await super().send_request_chunk_sent(method, self._bare, chunk)

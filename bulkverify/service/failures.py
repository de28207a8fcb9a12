"""What a failed attempt was, in our words, and whether it may be made again."""

from typing import Final

import aiohttp

from bulkverify.errors import (
    ConnectionFailedError,
    IncompleteDownloadError,
    RateLimitedError,
    RequestTimeoutError,
    ServerError,
    TransportError,
    UnreadableAnswerError,
)

CONNECT_TIMEOUT: Final = 15.0
"""The seconds a connection may take to come up."""

LONGEST_PAUSE: Final = 120.0
"""The longest `Retry-After`, in seconds, that a call sits out; past it the caller is told."""


def may_repeat(error: BaseException, *, repeatable: bool) -> bool:
    """Tell whether a request that ended in `error` may be sent again: an allow-list.

    Args:
        error: what a single attempt raised.
        repeatable: whether sending it twice does no harm.
    """
    if isinstance(error, RateLimitedError | ServerError):
        patient = (error.retry_after or 0.0) <= LONGEST_PAUSE
        return patient and (repeatable or isinstance(error, RateLimitedError))
    if isinstance(error, ConnectionFailedError | RequestTimeoutError):
        return repeatable or not error.sent
    return repeatable and isinstance(error, UnreadableAnswerError | IncompleteDownloadError)


# The most specific class wins: for an error of several of these, the first row that fits.
_NEVER_SENT: Final = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.ServerFingerprintMismatch,
    aiohttp.ClientHttpProxyError,
)
_TOO_LATE: Final = (aiohttp.ServerTimeoutError, TimeoutError)
_NOT_HTTP: Final = (aiohttp.ClientResponseError,)


def lost(error: BaseException) -> bool:
    """Tell whether a request that ended in a foreign error may have arrived."""
    return not isinstance(error, _NEVER_SENT)


def translate(error: BaseException, *, endpoint: str, answering: bool = False) -> TransportError:
    """Turn a foreign exception into ours; the text is our own, because theirs may hold the URL.

    Args:
        error: what aiohttp or the system raised.
        endpoint: the call.
        answering: whether the answer had begun.
    """
    what = f"the answer to the {endpoint} call" if answering else f"the {endpoint} call"
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return RequestTimeoutError(
            f"No connection for {what} within {CONNECT_TIMEOUT:g} seconds; nothing was sent.",
            sent=False,
        )
    if isinstance(error, _NEVER_SENT):
        return ConnectionFailedError(
            f"No connection for {what}: {_reason(error)}. Nothing was sent; check the "
            "base URL and the network.",
            sent=False,
        )
    if isinstance(error, _TOO_LATE):
        if answering:
            return RequestTimeoutError(f"The rest of {what} did not come in time.")
        return RequestTimeoutError(f"The service did not answer {what} in time.")
    if isinstance(error, _NOT_HTTP):
        return UnreadableAnswerError(f"{what.capitalize()} got no valid HTTP ({_reason(error)}).")
    return ConnectionFailedError(f"The connection broke during {what}: {_reason(error)}.")


def _reason(error: BaseException) -> str:
    """Name the cause without the text of the error itself, which may hold the URL."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return "the server's certificate can't be trusted"
    if isinstance(error, ConnectionLostError):
        return str(error)
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    said = cause.strerror if isinstance(cause, OSError) else None
    return said or type(cause).__name__


class ConnectionLostError(aiohttp.ClientError):
    """A connection that broke, as a class that aiohttp does not answer by sending again."""

    def __init__(self, cause: BaseException | str) -> None:
        """Name the cause."""
        super().__init__(cause if isinstance(cause, str) else _reason(cause))

"""Translates errors of aiohttp and of the system into ours."""

from typing import Final

import aiohttp

from bulkverify.errors import (
    ConnectionFailedError,
    RequestTimeoutError,
    TransportError,
    UnreadableAnswerError,
)
from bulkverify.service.middleware import NEVER_SENT, ConnectionLostError
from bulkverify.service.sessions import CONNECT_TIMEOUT

_TOO_LATE: Final = (aiohttp.ServerTimeoutError, TimeoutError)


def translate(error: BaseException, *, endpoint: str, answering: bool = False) -> TransportError:
    """Return our error for a foreign one, without its text, which may hold the URL.

    Pass `answering` if the answer had begun.
    """
    # The most specific class comes first, because one error may have several.
    what = f"the answer to the {endpoint} call" if answering else f"the {endpoint} call"
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return RequestTimeoutError(
            f"There was no connection for {what} within {CONNECT_TIMEOUT:g} seconds; nothing was sent.",
            sent=False,
        )
    if isinstance(error, NEVER_SENT):
        return ConnectionFailedError(
            f"There was no connection for {what}: {_reason(error)}. Nothing was sent; check the "
            "base URL and the network.",
            sent=False,
        )
    if isinstance(error, _TOO_LATE):
        if answering:
            return RequestTimeoutError(f"The rest of {what} did not come in time.")
        return RequestTimeoutError(f"The service did not answer {what} in time.")
    if isinstance(error, aiohttp.ClientResponseError):
        return UnreadableAnswerError(
            f"The answer to the {endpoint} call is not valid HTTP ({_reason(error)})."
        )
    return ConnectionFailedError(f"The connection broke during {what}: {_reason(error)}.")


def _reason(error: BaseException) -> str:
    """Name the cause without the error's text, which may hold the URL."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return "the server's certificate can't be trusted"
    if isinstance(error, ConnectionLostError):
        return str(error)
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    said = cause.strerror if isinstance(cause, OSError) else None
    return said or type(cause).__name__

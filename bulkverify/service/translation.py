"""Translates errors of aiohttp and of the system into ours."""

import os
from contextlib import suppress
from http import HTTPStatus
from typing import Final

import aiohttp

from bulkverify.errors import (
    ConnectionFailedError,
    RequestTimeoutError,
    TransportError,
    UnreadableAnswerError,
    clause,
)
from bulkverify.service.middleware import NEVER_SENT, ConnectionLostError
from bulkverify.service.proxies import Proxy
from bulkverify.service.sessions import CONNECT_TIMEOUT

# Documented: 407. Seen: tinyproxy answers 401 to a wrong password.
_LOGIN: Final = (HTTPStatus.PROXY_AUTHENTICATION_REQUIRED, HTTPStatus.UNAUTHORIZED)
_NAMED_BY: Final = "HTTPS_PROXY or the session"


def translate(
    error: BaseException, *, endpoint: str, answering: bool = False, proxy: Proxy | None = None
) -> TransportError:
    """Return our error for a foreign one, without its text, which may hold the URL.

    Pass `answering` if the answer had begun, and the proxy that the environment names.
    """
    # The most specific class comes first, because one error may have several.
    what = f"the answer to the {endpoint} call" if answering else f"the {endpoint} call"
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        through = f" through the proxy {proxy.name}" if proxy else ""
        return RequestTimeoutError(
            f"There was no connection{through} for {what} within {CONNECT_TIMEOUT:g} seconds; nothing was sent.",
            sent=False,
        )
    if isinstance(error, NEVER_SENT):
        reason, advice = _unreached(error, proxy)
        return ConnectionFailedError(
            f"There was no connection for {what}: {clause(reason)}. Nothing was sent; {advice}.",
            sent=False,
        )
    if isinstance(error, TimeoutError):  # aiohttp's own are, too
        if answering:
            return RequestTimeoutError(f"The rest of {what} did not come in time.")
        return RequestTimeoutError(f"The service did not answer {what} in time.")
    if isinstance(error, aiohttp.ClientResponseError):
        return UnreadableAnswerError(
            f"The answer to the {endpoint} call is not valid HTTP ({_reason(error)})."
        )
    return ConnectionFailedError(f"The connection broke during {what}: {clause(_reason(error))}.")


def _unreached(error: BaseException, proxy: Proxy | None) -> tuple[str, str]:
    """Say why there was no connection, and what to do."""
    name = f"the proxy {proxy.name}" if proxy else "the proxy"
    variable = proxy.variable if proxy else _NAMED_BY
    if isinstance(error, aiohttp.ClientHttpProxyError):
        if error.status in _LOGIN:
            return (
                f"{name} wants another user and password ({error.status})",
                f"write them in {variable}, such as http://user:password@proxy.example.com:3128",
            )
        host = proxy.host if proxy else "the service"
        return (
            f"{name} did not connect to {host} ({_phrase(error.status)})",
            "check the base URL, and whether the proxy may reach it",
        )
    at_proxy = proxy is not None and getattr(error, "host", None) == proxy.url.raw_host
    if at_proxy or isinstance(error, aiohttp.ClientProxyConnectionError):
        return f"{name} can't be reached: {_reason(error)}", f"check {variable} and the network"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return (
            f"the host {error.host} was not found ({_reason(error)})",
            f"check the base URL and the network. No proxy is used; {_NAMED_BY} would name one",
        )
    if proxy and isinstance(error, aiohttp.ClientConnectorCertificateError):
        return (
            _reason(error),
            f"if {name} reads what is sent, name its certificates in SSL_CERT_FILE",
        )
    return _reason(error), "check the base URL and the network"


def _phrase(status: int) -> str:
    """Name a status in our own words, because those of a proxy may repeat its password."""
    with suppress(ValueError):
        return f"{status} {HTTPStatus(status).phrase}"
    return str(status)


def _reason(error: BaseException) -> str:
    """Name the cause without the error's text, which may hold the URL."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return "the server's certificate can't be trusted"
    if isinstance(error, ConnectionLostError):
        return str(error)
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(cause, ConnectionRefusedError) and cause.errno:
        return os.strerror(cause.errno)  # asyncio has another text here, without the reason
    said = cause.strerror if isinstance(cause, OSError) else None
    return said or type(cause).__name__

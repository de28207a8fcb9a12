"""How long each request may take, in seconds."""

from typing import Final, TypeVar

import aiohttp

from bulkverify.service.answers import Endpoint
from bulkverify.service.calls import Call

T = TypeVar("T")

CONNECT_TIMEOUT: Final = 15.0
"""For a connection to come up."""

READ_TIMEOUT: Final = 60.0
"""For the next piece of an answer to come."""

ORDINARY_SECONDS: Final = CONNECT_TIMEOUT + READ_TIMEOUT
"""For a request without a body, until its answer has been read."""

BEGINNING_SECONDS: Final = 300.0
"""For a download to begin, including the wait for a free connection. An interim answer (1xx) with a body
fills aiohttp's buffer, and aiohttp then neither reads on nor keeps its timeout for a read."""

_ORDINARY_TIMEOUT: Final = aiohttp.ClientTimeout(
    total=ORDINARY_SECONDS, sock_connect=CONNECT_TIMEOUT
)
_DOWNLOAD_TIMEOUT: Final = aiohttp.ClientTimeout(
    total=None, sock_connect=CONNECT_TIMEOUT, sock_read=READ_TIMEOUT
)
NO_TIMEOUT: Final = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT)
"""For polls: the scheduler watches their time, because a timer for each would take a tenth of their CPU."""

# The service says nothing while it receives an upload, so the timeout grows with the size of the body.
_SLOWEST_UPLOAD_BYTES_PER_SECOND: Final = 16 * 1024


def timeout_of(call: Call[T]) -> aiohttp.ClientTimeout:
    """Return the timeout of the whole request; of each step for a download, which may take any time."""
    if call.endpoint is Endpoint.DOWNLOAD:
        return _DOWNLOAD_TIMEOUT
    size = len(call.json or b"") + len(call.file.content if call.file else b"")
    if not size and call.read_timeout is None:
        return _ORDINARY_TIMEOUT
    silence = call.read_timeout or READ_TIMEOUT
    total = CONNECT_TIMEOUT + silence + size / _SLOWEST_UPLOAD_BYTES_PER_SECOND
    return aiohttp.ClientTimeout(total=total, sock_connect=CONNECT_TIMEOUT)

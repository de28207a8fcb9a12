"""Where the service is, and the key that opens it."""

import ipaddress
import re
from typing import TypeVar
from urllib.parse import quote, quote_plus, urlencode

import attrs
from yarl import URL

from bulkverify.errors import UsageError

ModelT = TypeVar("ModelT")


class Secret:
    """The API key, shown nowhere: `repr`, `str` and a formatted log record give asterisks."""

    __slots__ = ("_spellings", "_value", "query")

    def __init__(self, value: str) -> None:
        """Keep the key."""
        self._value = value
        self.query = urlencode({"apikey": value})
        encoded = {quote(value), quote(value, safe=""), quote_plus(value)}
        lowered = {re.sub("%[0-9A-F]{2}", lambda m: m[0].lower(), text) for text in encoded}
        self._spellings = sorted({value} | encoded | lowered, key=len, reverse=True)

    def __repr__(self) -> str:
        return "***"

    def quieted(self, model: ModelT) -> ModelT:
        """Return what the service told without the key in its message: it may have echoed the URL."""
        message = getattr(model, "message", "")
        said = self.redact(message)
        return model if said == message else attrs.evolve(model, message=said)  # type: ignore[misc]

    def redact(self, text: str) -> str:
        """Return the text with every spelling of the key replaced."""
        for spelling in self._spellings:
            text = text.replace(spelling, "***")
        return text


def parse_base_url(base_url: str, *, allow_http: bool) -> str:
    """Check a base URL and return it without a final slash.

    Raises:
        UsageError: it is no absolute URL, holds more than a path, or would send the key in clear text.
    """
    try:
        url = URL(base_url)
        host = url.host or ""
    except ValueError:
        host = ""
    if not host or url.scheme not in {"https", "http"}:
        raise UsageError(
            "The base URL must be absolute, such as 'https://api.bouncify.io/v1'; it comes from "
            "`base_url` or BULKVERIFY_BASE_URL."
        )
    if url.user or url.password or url.query_string or url.fragment:
        raise UsageError(
            "The base URL may have a path, but no user, query or fragment: the key is given as `api_key`."
        )
    if url.scheme == "http" and not allow_http and not _is_loopback(host):
        raise UsageError(
            f"The base URL sends the key to {host} unencrypted. Use https, or insist with `allow_http=True`."
        )
    return str(url).rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")

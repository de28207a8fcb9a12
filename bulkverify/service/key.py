"""The API key, and the base URL that it is sent to."""

import ipaddress
import os
import re
from collections.abc import Iterator
from html.entities import codepoint2name
from itertools import groupby
from typing import Final, TypeVar
from urllib.parse import urlencode

import attrs
from yarl import URL

from bulkverify.errors import BulkVerifyError, UsageError

ModelT = TypeVar("ModelT")

DEFAULT_BASE_URL: Final = "https://api.bouncify.io/v1"

# This many characters from the beginning of the key are redacted even if the rest was cut off.
_TELLING_CHARACTERS: Final = 8
_HIDDEN: Final = "***"
# The letter after the backslash in JSON and most languages.
_SHORT_ESCAPES: Final = dict(zip("\b\f\n\r\t\"'/\\", "bfnrt\"'/\\", strict=True))


class Secret:
    """The API key; `repr`, `str` and a formatted log record show asterisks."""

    __slots__ = ("_beginning", "_following", "query")

    def __init__(self, value: str) -> None:
        """Keep the key. It must be encodable as UTF-8."""
        self.query: str = urlencode({"apikey": value})
        spelled = list(_spelled(value))
        self._beginning = re.compile("".join(spelled[:_TELLING_CHARACTERS]))
        self._following = [re.compile(one) for one in spelled[_TELLING_CHARACTERS:]]

    def __repr__(self) -> str:
        return _HIDDEN

    def added_to(self, url: URL) -> URL:
        """Return a URL with the key in its query."""
        query = url.raw_query_string
        # Built from its parts, because parsing the text would take four times as long.
        return URL.build(
            scheme=url.scheme,
            authority=url.raw_authority,
            path=url.raw_path,
            query_string=f"{query}&{self.query}" if query else self.query,
            encoded=True,
        )

    def redacted(self, model: ModelT) -> ModelT:
        """Remove the key from a model's message, because the service may have echoed the URL."""
        message = getattr(model, "message", "")
        said = self.redact(message)
        return model if said == message else attrs.evolve(model, message=said)  # type: ignore[misc]

    def is_in(self, text: str) -> bool:
        """Return whether a text contains the beginning of the key, in any spelling."""
        return self._beginning.search(text) is not None

    def redact(self, text: str) -> str:
        """Replace the key in a text, in any spelling, even if its end was cut off."""
        found = self._beginning.search(text)
        if found is None:
            return text
        pieces: list[str] = []
        begin = 0
        while found is not None:
            end = found.end()
            for one in self._following:
                more = one.match(text, end)
                if more is None:
                    break
                end = more.end()
            pieces += text[begin : found.start()], _HIDDEN
            begin = end
            found = self._beginning.search(text, end)
        return "".join(pieces) + text[begin:]

    def redact_bytes(self, body: bytes) -> bytes:
        """Redact the bytes of an answer."""
        text = body.decode("utf-8", "surrogateescape")
        said = self.redact(text)
        return body if said == text else said.encode("utf-8", "surrogateescape")

    def without_key(self, error: BulkVerifyError) -> BulkVerifyError:
        """Redact every text of an error, and drop its traceback."""
        error.args = tuple(
            self.redact(text) if isinstance(text, str) else text for text in error.args
        )
        for name, value in vars(error).items():
            if isinstance(value, str):
                setattr(error, name, self.redact(value))
        return error.with_traceback(None)


def _spelled(value: str) -> Iterator[str]:
    """Yield a pattern for each character of the key, and one for each run of blanks, which a text may shorten."""
    for blank, run in groupby(value, _is_blank):
        patterns = map(_spellings, run)
        if blank:
            ways = list(patterns)
            yield f"(?:{'|'.join(ways)}){{1,{8 * len(ways)}}}"
        else:
            yield from patterns


def _is_blank(character: str) -> bool:
    return character.isspace() or not character.isprintable()


def _spellings(character: str) -> str:
    """Return a pattern for one character of the key, plain or escaped for a URL, JSON or HTML.

    Each spelling begins with a literal, so that `re` can search for all of them at once. The length of
    each is bounded, so that the search is always fast.
    """
    ways = {re.escape(one) for one in (character, character.lower(), character.upper())}
    encodings = (character.encode(), character.encode("latin-1", "ignore"))
    ways |= {
        "".join(f"%(?:25){{0,3}}{_any_case(f'{byte:02x}')}" for byte in encoded)
        for encoded in encodings
        if encoded
    }
    units = character.encode("utf-16-be").hex()
    ways.add(
        "".join(rf"\\{{1,4}}u{_any_case(units[at : at + 4])}" for at in range(0, len(units), 4))
    )
    code = ord(character)
    ways |= {
        f"&(?:amp;){{0,3}}#0{{0,6}}{code};",
        f"&(?:amp;){{0,3}}#[xX]0{{0,6}}{_any_case(f'{code:x}')};",
    }
    if code in codepoint2name:
        ways.add(f"&(?:amp;){{0,3}}{codepoint2name[code]};")
    if encodings[1]:  # as in Python's `repr`
        ways.add(rf"\\{{1,4}}x{_any_case(f'{code:02x}')}")
    if character in _SHORT_ESCAPES:
        ways.add(rf"\\{{1,4}}{re.escape(_SHORT_ESCAPES[character])}")
    if character == " ":
        ways.add(r"\+")
    if _is_blank(character):
        ways.add(r"\s")
    # The longest first, so that an escape is matched as a whole, and not only its backslash.
    return f"(?:{'|'.join(sorted(ways, key=len, reverse=True))})"


def _any_case(digits: str) -> str:
    return "".join(f"[{one}{one.upper()}]" if one.isalpha() else one for one in digits)


def read_key(api_key: str) -> "Secret | UsageError":
    """Return the key, or an error. It is not raised here, because its traceback would show the key."""
    if not isinstance(api_key, str):
        return UsageError("The API key must be a str: decode bytes first.")
    key = api_key.strip()
    if not key:
        return UsageError("There is no API key.").with_hint(
            "Pass `api_key`, or set the environment variable BULKVERIFY_API_KEY.",
            "Name a file that holds it with --api-key-file, or set BULKVERIFY_API_KEY.",
        )
    if any("\ud800" <= character <= "\udfff" for character in key):
        return UsageError("The API key is not UTF-8 text.").with_hint(
            "Look for damaged characters in `api_key` or BULKVERIFY_API_KEY.",
            "Look for damaged characters in the file of --api-key-file or in BULKVERIFY_API_KEY.",
        )
    return Secret(key)


def check_base_url(base_url: str | None, *, allow_http: bool) -> "str | UsageError":
    """Return a base URL without its trailing slash, or an error.

    Without one, BULKVERIFY_BASE_URL is taken, or else Bouncify's.

    It must be an absolute URL without user, query or fragment, and must not send the key unencrypted.
    """
    try:
        url = URL(base_url or os.environ.get("BULKVERIFY_BASE_URL") or DEFAULT_BASE_URL)
        host = url.host or ""
        host.encode("idna")  # the DNS lookup will do so
    except ValueError:
        host = ""
    if not host or url.scheme not in {"https", "http"}:
        return UsageError(
            "The base URL must begin with https:// and a host, such as 'https://api.bouncify.io/v1'."
        ).with_hint(
            "It comes from `base_url` or BULKVERIFY_BASE_URL.",
            "It comes from --base-url or BULKVERIFY_BASE_URL.",
        )
    if url.user or url.password or url.query_string or url.fragment:
        return UsageError(
            "The base URL may have a path, but no user, query or fragment."
        ).with_hint(
            "Pass the key as `api_key`.",
            "Pass the key in --api-key-file or BULKVERIFY_API_KEY.",
        )
    if url.scheme == "http" and not allow_http and not is_loopback(host):
        return UsageError(f"The base URL sends the key to {host} unencrypted.").with_hint(
            "Use https, or allow it with `allow_http=True`.",
            "Use https, or allow it with --allow-http.",
        )
    return str(url).rstrip("/")


def is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")

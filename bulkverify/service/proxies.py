"""The proxy that the environment names for the service."""

import ipaddress
from contextlib import suppress
from typing import Final
from urllib.request import getproxies, proxy_bypass

import aiohttp
import attrs
from yarl import URL

from bulkverify.errors import UsageError
from bulkverify.service.key import is_loopback

_SCHEMES: Final = ("http", "https")


@attrs.frozen
class Proxy:
    """A proxy for one host."""

    url: URL = attrs.field(repr=False)
    """Its URL, which may hold a password."""
    variable: str
    """What names it, such as an environment variable."""
    host: str
    """The host of the service."""

    @property
    def name(self) -> str:
        """Its host and port."""
        return self.url.with_user(None).authority


def find_proxy(url: URL) -> Proxy | UsageError | None:
    """Return the proxy for a URL as curl, requests and httpx would choose it, or an error.

    HTTPS_PROXY or HTTP_PROXY applies, else ALL_PROXY, and NO_PROXY names the exceptions, all in lower case
    too. In contrast to those programs this machine is never reached through a proxy, so that the sandbox
    works everywhere. The error is returned, because the frames here hold the password.

    aiohttp's `trust_env` is not used, because it would also send the passwords of `~/.netrc`.
    """
    host = url.host or ""
    named = getproxies()
    key = url.scheme if url.scheme in named else "all"
    text = named.get(key, "")
    if not text or is_loopback(host) or _is_exempt(host, url.port, named):
        return None
    variable = f"{key.upper()}_PROXY"
    try:
        proxy = URL(text if "://" in text else f"http://{text}")
        f"{proxy.user}:{proxy.password}".encode("latin-1")
    except ValueError:
        proxy = URL()
    if not proxy.host or ":" in (proxy.user or ""):
        return UsageError(
            f"{variable} is not the URL of a proxy, such as http://proxy.example.com:3128."
        )
    if proxy.scheme not in _SCHEMES:
        return UsageError(
            f"{variable} names a {proxy.scheme[:20]} proxy; only http and https proxies are known."
        ).with_hint(
            f"Set {key.upper()}_PROXY to one, exclude {host} with NO_PROXY, or pass a session with a connector for it.",
            f"Set {key.upper()}_PROXY to one, or exclude {host} with NO_PROXY.",
        )
    return Proxy(proxy, variable, host)


def proxy_of(session: aiohttp.ClientSession, url: URL) -> Proxy | None:
    """Return the proxy that a caller's session uses by default, to name it in errors."""
    named = getattr(session, "_default_proxy", None)
    if not isinstance(named, str | URL):  # it is no public attribute
        return None
    return Proxy(URL(named), "the session", url.host or "")


def _is_exempt(host: str, port: int | None, named: dict[str, str]) -> bool:
    """Whether NO_PROXY names a host: it, a domain that it belongs to, or its address or network."""
    if proxy_bypass(f"{host}:{port}"):
        return True
    with suppress(ValueError):
        address = ipaddress.ip_address(host)
        for name in named.get("no", "").split(","):
            with suppress(ValueError):
                if address in ipaddress.ip_network(name.strip(), strict=False):
                    return True
    return False

"""Domains that are a mistyped form of a well-known mail provider.

A domain counts only if the verdicts agree: most of its addresses take no mail. If the service counts it among
the providers, hardly any may take mail. So real domains with a similar name, such as `mail.com`, stay alone.
"""

from typing import Final

from bulkverify.lists import DomainCounts

PROVIDERS: Final = (
    *("gmail.com", "googlemail.com", "yahoo.com", "hotmail.com", "outlook.com", "icloud.com"),
    *("protonmail.com", "comcast.net", "verizon.net", "sbcglobal.net", "bellsouth.net"),
    *("yahoo.co.uk", "hotmail.co.uk", "btinternet.com", "yahoo.fr", "hotmail.fr", "orange.fr"),
    *("wanadoo.fr", "laposte.net", "yahoo.de", "hotmail.de", "outlook.de", "t-online.de"),
    *("freenet.de", "libero.it", "hotmail.it", "yahoo.it", "hotmail.es", "yahoo.es"),
    *("bigpond.com", "rediffmail.com", "naver.com", "yandex.ru", "yahoo.co.jp", "rambler.ru"),
)
"""Providers whose names are long enough that one wrong key is no other well-known name."""

_REAL: Final = frozenset({*PROVIDERS, "ymail.com", "mail.com", "email.com", "gmx.com"})
"""Mail providers, with those whose names are one key off."""

_NO_ENDINGS: Final = ("con", "cmo", "ocm", "vom", "xom", "cim", "comm", "coom", "cpm")
"""No top-level domain has one of these names, and `com` is meant."""

_MOST_DELIVERABLE: Final = 0.5
_MOST_OF_PROVIDERS: Final = 0.2


def meant_by(counts: DomainCounts) -> str | None:
    """Return the domain that was meant, or `None` if this is probably no typing error."""
    known = counts.deliverable + counts.undeliverable + counts.accept_all + counts.unknown
    most = _MOST_OF_PROVIDERS if counts.free else _MOST_DELIVERABLE
    domain = counts.domain
    if not known or counts.deliverable > known * most or domain in _REAL:
        return None
    name, _, ending = domain.rpartition(".")
    mended = f"{name}.com" if name and ending in _NO_ENDINGS else domain
    for provider in PROVIDERS:
        if mended == provider or is_one_key_off(mended, provider):
            return provider
    return mended if mended != domain else None


def is_one_key_off(text: str, other: str) -> bool:
    """Whether one key was missed, hit too often or wrongly, or two were hit in the wrong order."""
    if abs(len(text) - len(other)) > 1 or text == other:
        return False
    short, long = sorted((text, other), key=len)
    start = 0
    while start < len(short) and short[start] == long[start]:
        start += 1
    if len(short) < len(long):
        return short[start:] == long[start + 1 :]
    swapped = short[start : start + 2] == long[start : start + 2][::-1]
    return short[start + 1 :] == long[start + 1 :] or (
        swapped and short[start + 2 :] == long[start + 2 :]
    )

"""Tells which cells can be addresses, and which addresses are the same."""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

# Nearly all addresses look like this. In an address of at most 64 characters, no part can be too long.
# Two hyphens in a row mark an encoded domain, which a pattern alone can't check. An apostrophe at the
# beginning is mostly Excel's mark of a text, and a capital late in the last label begins another word.
_ORDINARY: Final = re.compile(
    r"[A-Za-z0-9_+-][A-Za-z0-9_+'-]*(?:\.[A-Za-z0-9_+'-]+)*"
    r"@(?:[A-Za-z0-9]+(?:-[A-Za-z0-9]+)*\.)+(?:[A-Za-z][a-z]+|[A-Z]{2,})"
)
_ORDINARY_CHARACTERS: Final = 64
_LONGEST_CHARACTERS: Final = 1000  # the limit of 254 does not count quotes and escapes


def address_key(address: str) -> str:
    """Return a key that is the same for addresses of one mailbox.

    The domain may be in any case, and in its own script or encoded (`müller.example`,
    `xn--mller-kva.example`).
    """
    local, at, domain = address.strip().rpartition("@")
    return f"{local}{at}{domain.lower() if domain.isascii() else _encoded(domain)}"


def keys_of(addresses: Iterable[str]) -> list[str]:
    """Return the key of each address; the addresses have no blanks around them."""
    keys: list[str] = []
    add = keys.append
    for address in addresses:
        lowered = address.lower()
        add(address if lowered == address and address.isascii() else address_key(address))
    return keys


def is_ordinary(address: str) -> bool:
    """Whether it is certainly an address, so that the slow `is_possible` is not needed."""
    return len(address) <= _ORDINARY_CHARACTERS and _ORDINARY.fullmatch(address) is not None


def is_possible(address: str) -> bool:
    """Whether it has the form of an internet address.

    Special domains such as example.test and printer.local are allowed, and so are quoted local parts
    and IP addresses in brackets: the service decides about those.
    """
    return len(address) <= _LONGEST_CHARACTERS and _is_valid(address)


def plain_domain(address: str) -> str:
    """Write full-width and similar characters of the domain in ASCII; other scripts stay as they are."""
    local, at, domain = address.rpartition("@")
    encoded = _encoded(domain)
    if domain.isascii() or not encoded.isascii() or "xn--" in encoded:
        return address
    return f"{local}{at}{encoded}"


@lru_cache(maxsize=4096)
def _encoded(domain: str) -> str:
    """Write a domain in ASCII, as in DNS; text that can't be a domain is only put in lower case."""
    import idna  # noqa: PLC0415 - slow, and rarely needed

    try:
        return idna.encode(domain, uts46=True, std3_rules=False).decode().lower()
    except (idna.IDNAError, UnicodeError):
        return domain.lower()


@lru_cache(maxsize=4096)  # texts such as n/a, none and - come often
def _is_valid(address: str) -> bool:
    # Slow to import, and needed only for the few addresses that are not ordinary.
    from email_validator import (  # noqa: PLC0415
        SPECIAL_USE_DOMAIN_NAMES,
        validate_email,
    )

    if address.lower().endswith(tuple(f".{name}" for name in SPECIAL_USE_DOMAIN_NAMES)):
        address = f"{address[:-1]}x"  # the same form in an ordinary domain
    try:
        validate_email(
            address,
            allow_quoted_local=True,
            allow_domain_literal=True,
            check_deliverability=False,
        )
    except ValueError:  # also for text that can't be encoded
        return False
    return True

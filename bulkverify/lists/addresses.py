"""Which cells can be addresses, and which two of them are one."""

import re
from functools import lru_cache
from typing import Final

# An address as nearly all are. Up to 64 characters, every part is within the limits of its own. Two
# hyphens in a row stand in encoded domains, and whether those are right takes more than a pattern.
_ORDINARY: Final = re.compile(
    r"[A-Za-z0-9_+'-]+(?:\.[A-Za-z0-9_+'-]+)*"
    r"@(?:[A-Za-z0-9]+(?:-[A-Za-z0-9]+)*\.)+[A-Za-z]{2,}"
)
_ORDINARY_CHARACTERS: Final = 64
_LONGEST_CHARACTERS: Final = 1000  # of 254 that count, all in quotes and escaped


def address_key(address: str) -> str:
    """Return what two addresses have in common if mail takes them for one: a domain has no case."""
    local, at, domain = address.strip().rpartition("@")
    return f"{local}{at}{domain.lower()}"


def keys_of(addresses: list[str], *, judge: bool) -> list[str | None]:
    """Return the key of each address, or `None` for what can't be one; of an empty cell it is empty.

    Args:
        addresses: without blanks around them.
        judge: whether to judge them; if not, everything can be an address.
    """
    keys: list[str | None] = []
    add = keys.append
    for address in addresses:
        if judge and not is_ordinary(address) and address and not is_possible(address):
            add(None)
            continue
        lowered = address.lower()
        add(address if lowered == address else address_key(address))
    return keys


def is_ordinary(address: str) -> bool:
    """Whether it is an address without any doubt, and `is_possible` need not be asked."""
    return len(address) <= _ORDINARY_CHARACTERS and _ORDINARY.fullmatch(address) is not None


def is_possible(address: str) -> bool:
    """Whether it can be an address on the internet at all, by its form alone.

    Special domains such as example.test and printer.local can: about those the service decides, as
    it does about quoted local parts and addresses of machines in brackets.
    """
    return len(address) <= _LONGEST_CHARACTERS and _is_valid(address)


@lru_cache(maxsize=4096)  # what can't be an address is often the same: n/a, none, -
def _is_valid(address: str) -> bool:
    # Slow to import, and needed only for the few addresses that are not ordinary.
    from email_validator import (  # noqa: PLC0415
        SPECIAL_USE_DOMAIN_NAMES,
        validate_email,
    )

    if address.lower().endswith(tuple(f".{name}" for name in SPECIAL_USE_DOMAIN_NAMES)):
        address = f"{address[:-1]}x"  # of the same form, and not special
    try:
        validate_email(
            address,
            allow_quoted_local=True,
            allow_domain_literal=True,
            check_deliverability=False,
        )
    except ValueError:  # theirs, or of text that no encoding can carry
        return False
    return True

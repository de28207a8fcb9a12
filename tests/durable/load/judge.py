"""Lists, and the judge of their outputs. It shares no code with the library.

An output must have the bytes of its list, and after each row the result that the service has for its
address; a row without an address has a syntax error.
"""

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from random import Random
from typing import Final

HEAD: Final = b"n,name,email"
OURS: Final = b"verdict,syntax_error,common_isp,role_based,disposable,spamtrap,verified_at"
SERVICE: Final = (
    "Verification Result",
    "Syntax Error",
    "ISP",
    "Role",
    "Disposable",
    "Trap",
    "Verified At",
)
INVALID: Final = b"undeliverable,Y,N,N,N,N,"
_NAMES: Final = ("Ann", '"Berg, Bob"', "Čeněk", '"Dee ""D"" Dorn"', "")
_ROLES: Final = ("info", "p", "p", "p", "spamtrap")


def write_list(path: Path, name: str, rows: int, random: Random) -> int:
    """Write a list with repeated addresses and rows without one; return its distinct addresses."""
    known: list[str] = []
    lines = [HEAD]
    for number in range(rows):
        if number % 17 == 16:
            address = ""
        elif number % 10 == 9:
            local, _, domain = random.choice(known).partition("@")
            address = f"{local}@{domain.upper()}"
        else:
            domain = "gmail.com" if number % 7 == 3 else f"{name}.net"
            address = f"{random.choice(_ROLES)}+{number}.{name}@{domain}"
            known.append(address)
        lines.append(f"{number},{random.choice(_NAMES)},{address}".encode())
    path.write_bytes(b"\n".join([*lines, b""]))
    return len(known)


def truth_of(lines: Iterable[str]) -> dict[str, bytes]:
    """Return the result of each address, as it must stand in an output."""
    found: dict[str, bytes] = {}
    places: list[int] = []
    for row in csv.reader(lines):
        if SERVICE[0] in row:  # the header of a list
            places = [row.index(name) for name in ("email", *SERVICE)]
            continue
        address, *cells = (row[place] for place in places)
        assert _folded(address) not in found, f"{address} was verified twice"
        found[_folded(address)] = ",".join(cells).encode()
    return found


def difference(source: Path, output: Path, truth: Mapping[str, bytes]) -> str:
    """Return how an output differs from the truth; nothing if it does not."""
    if not output.exists():
        return f"{output.name} is missing"
    head, *rows = source.read_bytes().split(b"\n")[:-1]
    expected = [head + b"," + OURS]
    for row in rows:
        address = next(csv.reader([row.decode()]))[2]
        expected.append(row + b"," + truth.get(_folded(address), INVALID))
    found = output.read_bytes().split(b"\n")
    for number, (wanted, line) in enumerate(zip(expected, found, strict=False)):
        if wanted != line:
            return f"{output.name}:{number + 1} is {line!r} and not {wanted!r}"
    if found[len(expected) :] != [b""]:
        return f"{output.name} has {len(found)} lines and not {len(expected)}"
    return ""


def _folded(address: str) -> str:
    local, at, domain = address.strip().rpartition("@")
    return local + at + domain.lower()

"""Lists to measure on: rows as customers have them, and results as the service returns them."""

import csv
import random
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Final

COLUMNS: Final = (
    "id",
    "first_name",
    "last_name",
    "email",
    "company",
    "city",
    "phone",
    "note",
)
RESULTS: Final = (
    "Verification Result",
    "Syntax Error",
    "ISP",
    "Role",
    "Disposable",
    "Trap",
    "Verified At",
)
_FIRST: Final = (
    *("Anna", "Björn", "Chloé", "Dmitri", "Emeka"),
    *("Fatima", "Giulia", "Håkon", "Ivan", "Jürgen"),
)
_LAST: Final = ("Müller", "Smith", "García", "Nguyen", "O'Brien", "Kowalska", "Sato", "Okafor")
_COMPANY: Final = ("Acme, Inc.", "Globex", "Initech GmbH", "Umbrella", 'The "Best" Ltd', "Hooli")
_CITY: Final = ("Berlin", "São Paulo", "Lagos", "Kyoto", "Lyon", "Oslo", "Boston", "Winnipeg")
_DOMAIN: Final = ("gmail.com", "example.com", "mail.example.org", "yahoo.com", "firma-beispiel.de")
_VERDICTS: Final = ("deliverable", "undeliverable", "accept-all", "unknown")


def write_list(
    path: Path, rows: int, *, duplicates: float = 0.2, domains: int = 0, seed: int = 1
) -> None:
    """Write a CSV file of 8 columns and about 100 bytes a row. A share of the rows repeats an address.

    With `domains`, half of the addresses are spread evenly over so many domains, and in the other half the
    domain of rank n is about n times rarer than the first.
    """
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(_rows(rows, duplicates, domains, random.Random(seed)))  # noqa: S311 - test data


def write_results(addresses: Path, path: Path, *, columns: int = 0) -> int:
    """Write the service's results for a part, with this many columns of the service."""
    with addresses.open(encoding="utf-8", newline="") as source:
        records = csv.reader(source)
        next(records)
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            own = [f"column {number}" for number in range(columns)]
            writer.writerow(["email", *own, *RESULTS])
            count = 0
            for count, record in enumerate(records, start=1):
                verdict = _VERDICTS[count % 4]
                time = f"2026-11-{count % 28 + 1:02}T06:{count % 60:02}:39.{count % 1000:03}Z"
                flags = ("N", "NY"[count % 2], "N", "N", "N")
                writer.writerow([*record, *(["some text"] * columns), verdict, *flags, time])
    return count


def write_earlier(listed: Path, paths: Sequence[Path], rows: int) -> None:
    """Write the first rows of a list in turns to outputs of an earlier month, with verdicts that may be reused."""
    ours = "verdict,syntax_error,common_isp,role_based,disposable,spamtrap,verified_at"
    with ExitStack() as stack:
        lines = stack.enter_context(listed.open(encoding="utf-8", newline=""))
        files = [
            stack.enter_context(path.open("w", encoding="utf-8", newline="")) for path in paths
        ]
        header = next(lines).rstrip("\n")
        for file in files:
            file.write(f"{header},{ours}\n")
        for number, line in enumerate(islice(lines, rows)):
            time = f"2026-11-{number % 28 + 1:02}T06:{number % 60:02}:39.{number % 1000:03}Z"
            verdict, flags = _VERDICTS[number % 3], f"N,{'NY'[number % 2]},N,N,N"
            files[number % len(files)].write(f"{line[:-1]},{verdict},{flags},{time}\n")


def domain_of(owner: int, domains: int) -> str:
    """Return the domain of an address, by its number."""
    if not domains:
        return _DOMAIN[owner % 5]
    share = owner * 2654435761 % 2**32 / 2**32
    rank = share * 2 * domains if share < 1 / 2 else domains ** (2 * share - 1)
    return f"company-{int(rank)}.example"


def _rows(
    count: int, duplicates: float, domains: int, chance: random.Random
) -> Iterator[tuple[object, ...]]:
    draw, pick = chance.random, chance.choice
    owners = 0
    for number in range(count):
        if draw() >= duplicates or not owners:
            owner = owners
            owners += 1
        else:
            owner = int(draw() * owners)
        address = f"user{owner * 2654435761 % 2**32:08x}.{owner}@{domain_of(owner, domains)}"
        note = f"wants a call, after {owner % 12} o'clock" if owner % 10 == 0 else "newsletter"
        phone = f"+49 30 {owner % 10_000_000:07}"
        names = pick(_FIRST), pick(_LAST)
        yield number, *names, address, pick(_COMPANY), pick(_CITY), phone, note

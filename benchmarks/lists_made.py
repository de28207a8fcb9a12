"""Lists to measure on: rows as customers have them, and results as the service answers with them."""

import csv
import random
from collections.abc import Iterator
from pathlib import Path

COLUMNS = ("id", "first_name", "last_name", "email", "company", "city", "phone", "note")
_FIRST = (
    "Anna",
    "Björn",
    "Chloé",
    "Dmitri",
    "Emeka",
    "Fatima",
    "Giulia",
    "Håkon",
    "Ivan",
    "Jürgen",
)
_LAST = ("Müller", "Smith", "García", "Nguyen", "O'Brien", "Kowalska", "Sato", "Okafor", "Silva")
_COMPANY = ("Acme, Inc.", "Globex", "Initech GmbH", "Umbrella", 'The "Best" Ltd', "Hooli", "Stark")
_CITY = ("Berlin", "São Paulo", "Lagos", "Kyoto", "Lyon", "Oslo", "Boston", "Winnipeg")
_DOMAIN = ("gmail.com", "example.com", "mail.example.org", "yahoo.com", "firma-beispiel.de")


def write_list(path: Path, rows: int, *, duplicates: float = 0.2, seed: int = 1) -> None:
    """Write a CSV file of 8 columns and about 100 bytes a row, of which a share repeats an address."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(_rows(rows, duplicates, random.Random(seed)))  # noqa: S311 - test data


def _rows(count: int, duplicates: float, chance: random.Random) -> Iterator[tuple[object, ...]]:
    draw, pick = chance.random, chance.choice
    for number in range(count):
        owner = number if draw() >= duplicates or not number else int(draw() * number)
        first, last = pick(_FIRST), pick(_LAST)
        address = f"user{owner * 2654435761 % 2**32:08x}.{owner}@{_DOMAIN[owner % 5]}"
        note = f"wants a call, after {owner % 12} o'clock" if draw() < 0.1 else "newsletter"  # noqa: PLR2004
        phone = f"+49 30 {owner % 10_000_000:07}"
        yield number, first, last, address, pick(_COMPANY), pick(_CITY), phone, note

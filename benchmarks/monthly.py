"""`python -m benchmarks.monthly`: the credits of a list that is verified every month, with and without reuse.

Options: `--months 20`, `--addresses 5000`, `--change 0.03`. A month has 30 days. Each run is a real one
against the sandbox, whose books say what was paid. Instead of the clock, the earlier verdicts are moved.
"""

import argparse
import asyncio
import csv
import random
import sys
import tempfile
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from benchmarks.runs import table
from bulkverify import Client, ResultRow, verify_list
from bulkverify.sandbox import Sandbox

_MONTH: Final = timedelta(days=30)
_AGES: Final = (45, 75, 105)
"""The days that a verdict may be old: one month, two, or three."""


def month_before(output: Path) -> Iterator[ResultRow]:
    """Give the verdicts of an output as if it had been written a month ago."""
    with output.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            yield ResultRow(
                email=row["email"],
                verdict=row["verdict"],
                verified_at=datetime.fromisoformat(row["verified_at"]) - _MONTH,
                columns={},
                syntax_error=None,
                common_isp=None,
                role_based=None,
                disposable=None,
                spamtrap=None,
            )


async def credits_of(folder: Path, months: int, size: int, change: float, days: int) -> list[int]:
    """Return the credits of each month by the books of the sandbox; with 0 days, nothing is reused."""
    draw = random.Random(1)  # noqa: S311 - test data
    numbers, spent = list(range(size)), []
    async with (
        Sandbox(speed=1000, requests_per_minute=None, credits=10**9) as sandbox,
        Client(sandbox.api_key, base_url=sandbox.url, requests_per_minute=None) as client,
    ):
        before: Path | None = None
        for month in range(months):
            if month:
                for place in draw.sample(range(size), round(size * change)):
                    numbers[place] = max(numbers) + 1
            listed, output = folder / "list.csv", folder / f"verified-{days}-{month}.csv"
            listed.write_text("email\n" + "".join(f"a{n}@example{n % 9}.com\n" for n in numbers))
            reuse = [month_before(before)] if before and days else []
            paid = sandbox.ledger.credits_spent
            await verify_list(
                client, listed, output, reuse=reuse, max_age=timedelta(days=days or 1)
            )
            spent.append(sandbox.ledger.credits_spent - paid)
            before = output
    return spent


def main() -> None:
    """Print a table as Markdown."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.monthly", description=__doc__)
    parser.add_argument("--months", type=int, default=20)
    parser.add_argument("--addresses", type=int, default=5000)
    parser.add_argument("--change", type=float, default=0.03)
    options = parser.parse_args()
    lines = []
    with tempfile.TemporaryDirectory(prefix="monthly-") as folder:
        sizes = options.months, options.addresses, options.change
        full = 0
        for days in (0, *_AGES):
            spent = asyncio.run(credits_of(Path(folder), *sizes, days))
            full = full or sum(spent)
            name = f"`max_age` of {days} days" if days else "without reuse"
            share = f"{sum(spent) / full:.1%}"
            lines.append([name, f"{sum(spent):,}", share, ", ".join(map(str, spent[:7]))])
    head = [f"{options.months} months", "credits", "share", "the first months"]
    sys.stdout.write(f"{table(head, lines)}\n")


if __name__ == "__main__":
    main()

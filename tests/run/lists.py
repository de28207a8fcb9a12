"""Constants and functions that the tests of a run share."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tenacity import wait_fixed

from bulkverify import Client, RunReport, verify_list
from bulkverify.run.written import note_of

FAST = wait_fixed(0.01)
OURS = [
    "verdict",
    "syntax_error",
    "common_isp",
    "role_based",
    "disposable",
    "spamtrap",
    "verified_at",
]
D, U, A, K = "deliverable", "undeliverable", "accept-all", "unknown"


async def verified(client: Client, source: Any, output: Path, **options: Any) -> RunReport:  # noqa: ANN401
    return await verify_list(client, source, output, wait=FAST, **options)


def table(path: Path, delimiter: str = ",") -> list[list[str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.reader(file, delimiter=delimiter))


def verdicts_of(rows: Sequence[Sequence[str]]) -> list[str]:
    return [row[-len(OURS)] for row in rows]


def left_behind(output: Path) -> list[str]:
    """Return the names beside the output, without its note and its list."""
    expected = {output.name, note_of(output).name, "list.csv"}
    return [path.name for path in output.parent.iterdir() if path.name not in expected]


def numbered(count: int, domain: str = "example.com") -> str:
    """Write a list of `count` addresses, whose verdicts are D, U, A, K in turn."""
    rows = (f"{number},{name(number)}@{domain}\n" for number in range(count))
    return f"n,email\n{''.join(rows)}"


def name(number: int) -> str:
    return f"{(D, U, A, K)[number % 4]}+{number}"


def journal_at(folder: Path) -> Any:  # noqa: ANN401 - it is JSON
    return json.loads((folder / "run.json").read_bytes())


def states(folder: Path) -> list[str]:
    return [part["state"] for part in journal_at(folder)["parts"]]

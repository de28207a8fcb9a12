"""Rows with flags that the caller does not want are left out."""

import json
from pathlib import Path

import pytest

from bulkverify import Client, FlagName, UsageError, verify_rows
from bulkverify.sandbox import Sandbox

from .lists import FAST, D, U, table, verified

ROWS = {
    f"{D}@example.com": set[str](),
    f"{U}@example.com": set[str](),
    "info+deliverable@example.com": {"role_based"},
    f"{D}@gmail.com": {"common_isp"},
    f"{D}@mailinator.com": {"disposable"},
    f"{U}@mailinator.com": {"disposable"},
    "no address": {"syntax_error"},
}


@pytest.fixture
def flagged(source: Path) -> Path:
    source.write_text("".join(["email\n", *(f"{address}\n" for address in ROWS)]))
    return source


def flags_of(output: Path) -> dict[str, set[str]]:
    header, *rows = table(output)
    return {
        row[0]: {name for name, cell in zip(header, row, strict=True) if cell == "Y"}
        for row in rows
    }


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "without",
    [["disposable"], ["role_based", "disposable"], ["syntax_error", "common_isp"], ["spamtrap"]],
)
async def test_rows_with_an_unwanted_flag_are_left_out(
    client: Client, flagged: Path, output: Path, without: list[FlagName]
) -> None:
    expected = {address: flags for address, flags in ROWS.items() if not flags & {*without}}
    report = await verified(client, flagged, output, without=without)
    assert flags_of(output) == expected
    assert (report.rows, report.written) == (len(ROWS), len(expected))
    source = list(ROWS)
    given = verify_rows(client, source, without=without, wait=FAST)
    assert [row.columns["email"] async for row in given] == [*expected]


@pytest.mark.asyncio
async def test_verdicts_and_flags_are_chosen_together(
    client: Client, flagged: Path, tmp_path: Path
) -> None:
    output = tmp_path / "mail.jsonl"
    await verified(client, flagged, output, only=[D], without=["disposable", "role_based"])
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    assert [row["email"] for row in rows] == [f"{D}@example.com", f"{D}@gmail.com"]


@pytest.mark.asyncio
async def test_the_flags_are_part_of_the_same_call(
    sandbox: Sandbox, client: Client, flagged: Path, output: Path
) -> None:
    await verified(client, flagged, output, without=["disposable"])
    again = await verified(client, flagged, output, without=["disposable"])
    assert again.already_verified_at is not None
    with pytest.raises(FileExistsError):
        await verified(client, flagged, output, without=["role_based"])
    assert sandbox.ledger.credits_spent == 6


@pytest.mark.asyncio
async def test_a_flag_that_does_not_exist_is_refused(
    sandbox: Sandbox, client: Client, flagged: Path, output: Path
) -> None:
    with pytest.raises(UsageError, match="no flag 'free'; there are syntax_error, common_isp"):
        await verified(client, flagged, output, without=["free"])
    assert sandbox.ledger.requests.total() == 0

"""With `excel_safe`, a spreadsheet takes no cell of the output for a formula."""

import csv
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkverify import Client, UsageError
from bulkverify.lists.joining import csv_text, harmless
from bulkverify.sandbox import Sandbox

from .lists import OURS, D, K, U, table, verdicts_of, verified

FORMULAS = [
    "=",
    "=1+1",
    "+1",
    "-1",
    "@SUM(1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "\uff1d1",
    "\uff0b1",
    "\uff0d1",
    "\uff20SUM(1)",
    "=cmd|'/C calc'!A0",
]
PLAIN = ["", "x", " =1", "1+1", "a@x.com", "'=1", 'say "=1"', "2024-01-01", "\u2212"]


def listed(tmp_path: Path, rows: list[list[str]]) -> Path:
    text = StringIO(newline="")
    csv.writer(text).writerows(rows)
    path = tmp_path / "list.csv"
    path.write_bytes(text.getvalue().encode())
    return path


@pytest.mark.asyncio
async def test_no_cell_of_a_safe_output_begins_a_formula(
    client: Client, sandbox: Sandbox, tmp_path: Path, output: Path
) -> None:
    rows = [[f"{D}+{number}@x.com", note] for number, note in enumerate([*FORMULAS, *PLAIN])]
    source = listed(tmp_path, [["email", "=HYPERLINK(1)"], *rows])
    await verified(client, source, output, excel_safe=True)
    header, *written = table(output)
    assert header == ["email", "'=HYPERLINK(1)", *OURS]
    assert [row[1] for row in written] == [*(f"'{note}" for note in FORMULAS), *PLAIN]
    assert set(verdicts_of(written)) == {D}
    assert sandbox.ledger.credits_spent == len(rows)


@pytest.mark.asyncio
async def test_addresses_that_look_like_formulas_are_sent_as_they_are_and_written_safely(
    client: Client, sandbox: Sandbox, tmp_path: Path, output: Path
) -> None:
    addresses = ["+1@x.com", "=1@x.com", "-1@x.com", f"{U}@x.com", f"{K}@x.com"]
    source = listed(tmp_path, [["email"], *([address] for address in addresses)])
    await verified(client, source, output, excel_safe=True)
    written = [row[0] for row in table(output)[1:]]
    assert written == ["'+1@x.com", "'=1@x.com", "'-1@x.com", f"{U}@x.com", f"{K}@x.com"]
    assert set(sandbox.ledger.paid) == set(addresses)


@pytest.mark.asyncio
async def test_cells_are_unchanged_without_excel_safe(
    client: Client, tmp_path: Path, output: Path
) -> None:
    rows = [[f"{D}+{number}@x.com", note] for number, note in enumerate(FORMULAS)]
    source = listed(tmp_path, [["email", "=note"], *rows])
    await verified(client, source, output)
    assert [row[:2] for row in table(output)] == [["email", "=note"], *rows]


@pytest.mark.asyncio
async def test_excel_safe_is_refused_for_json_lines(
    client: Client, sandbox: Sandbox, source: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="JSON Lines"):
        await verified(client, source, tmp_path / "out.jsonl", excel_safe=True)
    assert not sandbox.ledger.requests
    assert [path.name for path in tmp_path.iterdir()] == ["list.csv"]


@given(
    rows=st.lists(
        st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=2), max_size=4
    )
)
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_safe_cells_survive_csv_and_give_back_their_text(
    rows: list[list[str]], delimiter: str, newline: str
) -> None:
    safe = [harmless(row) for row in rows]
    text = csv_text(safe, delimiter, newline)
    read = list(csv.reader(StringIO(text, newline=""), delimiter=delimiter))
    assert read == safe
    for before, after in zip(rows, safe, strict=True):
        for cell, made in zip(before, after, strict=True):
            assert made in {cell, f"'{cell}"}
            assert not made.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))

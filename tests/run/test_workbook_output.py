"""A workbook as the output of a run."""

from pathlib import Path

import pytest
from openpyxl import Workbook

from bulkverify import Client, UsageError, plan_list, verify_rows
from bulkverify.lists.workbooks import Workbook as Reader
from bulkverify.run import output as output_module
from bulkverify.run.dry import plan_rest
from bulkverify.run.written import note_of
from bulkverify.sandbox import Sandbox

from .lists import FAST, OURS, D, U, left_behind, verified
from .test_done import DiedError


def die(_: Path) -> None:
    raise DiedError


def cells(path: Path) -> list[list[str]]:
    with path.open("rb") as file:
        book = Reader(file)
        return [row.cells for row in book.rows(book.sheets[0])]


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "verified.xlsx"


@pytest.mark.asyncio
async def test_the_rows_are_text_cells_and_the_same_call_pays_nothing_again(
    client: Client, sandbox: Sandbox, source: Path, output: Path
) -> None:
    source.write_text(f"name,email\n=1+1,{D}@x.com\n+49,{U}@x.com\n")
    report = await verified(client, source, output)
    assert [row[:3] for row in cells(output)] == [
        ["name", "email", OURS[0]],
        ["=1+1", f"{D}@x.com", D],
        ["+49", f"{U}@x.com", U],
    ]
    assert left_behind(output) == []
    again = await verified(client, source, output)
    assert again.already_verified_at is not None
    assert (report.credits_spent, sandbox.ledger.credits_spent) == (2, 2)


@pytest.mark.asyncio
async def test_a_resumed_run_gives_the_same_bytes(
    client: Client,
    sandbox: Sandbox,
    source: Path,
    output: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(output_module, "flush_folder", die)
        with pytest.raises(DiedError):
            await verified(client, source, output)
    before = output.read_bytes()
    output.unlink()
    note_of(output).unlink()
    await verified(client, source, output)
    assert output.read_bytes() == before
    assert sandbox.ledger.credits_spent == 2


@pytest.mark.asyncio
async def test_a_workbook_can_replace_the_list(
    client: Client, tmp_path: Path, source: Path
) -> None:
    first, second = tmp_path / "a.xlsx", tmp_path / "b.xlsx"
    await verified(client, source, first)
    await verified(client, first, second, only=[D])
    await verified(client, second, second, overwrite=True)
    assert [row[0] for row in cells(second)] == ["name", "Anna", "Anna"]
    assert cells(second)[0][-7:] == [f"bulkverify_bulkverify_{name}" for name in OURS]


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.asyncio
async def test_a_list_that_does_not_fit_is_refused_before_anything_is_sent(
    client: Client, sandbox: Sandbox, source: Path, output: Path, *, restart: bool
) -> None:
    source.write_text(f"note,email\n{'x' * 32_768},{D}@x.com\n")
    with pytest.raises(UsageError, match=r"Row 1 of .*Name an output that ends in \.csv"):
        await verified(client, source, output, restart=restart)
    with pytest.raises(UsageError, match="Row 1 of"):
        await plan_rest(source, output, restart=restart, base_url=sandbox.url)
    assert (sandbox.ledger.credits_spent, list(sandbox.ledger.paid)) == (0, [])
    assert left_behind(output) == []
    await verified(client, source, output.with_suffix(".csv"), restart=restart)


@pytest.mark.asyncio
async def test_cells_of_a_workbook_need_no_apostrophe(
    client: Client, source: Path, output: Path
) -> None:
    with pytest.raises(UsageError, match="text cells, which are never formulas"):
        await verified(client, source, output, excel_safe=True)


@pytest.mark.asyncio
async def test_a_sheet_is_chosen_by_its_name_and_its_rows_keep_their_numbers(
    client: Client, sandbox: Sandbox, tmp_path: Path, output: Path
) -> None:
    book = Workbook()
    assert book.active is not None
    book.active.append([f"{U}@x.com"])
    people = book.create_sheet("People")
    for number in (3, 7):
        people.cell(number, 1, f"{D}+{number}@x.com")
    people.row_dimensions[7].hidden = True
    book.save(tmp_path / "book.xlsx")
    plan = await plan_list(tmp_path / "book.xlsx", sheet="People")
    rows = [
        (row.row, row.email)
        async for row in verify_rows(client, tmp_path / "book.xlsx", sheet="People", wait=FAST)
    ]
    assert rows == [(3, f"{D}+3@x.com"), (7, f"{D}+7@x.com")]
    report = await verified(client, tmp_path / "book.xlsx", output, sheet="People")
    assert report.lists == plan.lists
    [told] = report.lists
    assert (told.sheet, told.other_sheets, told.hidden_rows) == ("People", ("Sheet",), 1)
    assert [(part.first_row, part.last_row) for part in report.parts] == [(3, 7)]
    assert {email.partition("+")[0] for email in sandbox.ledger.paid} == {D}

"""The other two calls: rows one by one, and what a run would cost."""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from bulkverify import (
    CellExample,
    CellKind,
    Client,
    IncompleteRunError,
    InvalidListError,
    JoinedRow,
    RunPlan,
    Verdict,
    plan_list,
    verify_rows,
)
from bulkverify.sandbox import Fault, FaultKind, Sandbox

from .lists import FAST, A, D, K, U, left_behind, numbered, table, verdicts_of, verified
from .test_done import dying


@pytest.fixture(autouse=True)
def temporary(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep temporary files where a test can look for them."""
    folder = tmp_path_factory.mktemp("temporary")
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


async def rows_of(client: Client, source: Any, **options: Any) -> list[JoinedRow]:  # noqa: ANN401
    return [row async for row in verify_rows(client, source, wait=FAST, **options)]


@pytest.mark.asyncio
async def test_rows_come_in_order_with_their_columns_and_verdicts(
    sandbox: Sandbox, client: Client, source: Path, temporary: Path
) -> None:
    source.write_text(f"{source.read_text()}Cleo,{A}@x.com\nDan,{K}@x.com\n")
    rows = await rows_of(client, source, largest_part=2)
    assert [(row.row, row.columns["name"], row.verdict) for row in rows] == [
        (1, "Anna", Verdict.DELIVERABLE),
        (2, "Bob", Verdict.UNDELIVERABLE),
        (3, "Anna", Verdict.DELIVERABLE),
        (4, "Cleo", Verdict.ACCEPT_ALL),
        (5, "Dan", Verdict.UNKNOWN),
    ]
    assert rows[0].verified_at is not None
    assert (sandbox.ledger.credits_spent, len(sandbox.ledger.uploads)) == (4, 2)
    assert list(temporary.iterdir()) == []


@pytest.mark.asyncio
async def test_cells_without_an_address_are_not_sent(
    sandbox: Sandbox, client: Client, source: Path
) -> None:
    source.write_text(f"email\n{D}@x.com\nno address\n")
    assert [row.verdict for row in await rows_of(client, source)] == [D, U]
    assert sandbox.ledger.credits_spent == 1


@pytest.mark.asyncio
async def test_only_the_rows_of_some_verdicts_are_given(client: Client, source: Path) -> None:
    assert [row.row for row in await rows_of(client, source, only=["undeliverable"])] == [2]


@pytest.mark.asyncio
async def test_an_iteration_left_early_leaves_no_files(
    client: Client, source: Path, temporary: Path
) -> None:
    async with aclosing(verify_rows(client, source, wait=FAST)) as rows:
        async for row in rows:
            assert row.row == 1
            break
    assert list(temporary.iterdir()) == []


@pytest.mark.asyncio
async def test_rows_with_a_journal_are_not_paid_again(
    sandbox: Sandbox, client: Client, source: Path, tmp_path: Path
) -> None:
    journal = tmp_path / "journal"
    async with aclosing(verify_rows(client, source, wait=FAST, journal=journal)) as rows:
        assert (await anext(rows)).row == 1
    assert journal.exists()
    assert len(await rows_of(client, source, journal=journal)) == 3
    assert sandbox.ledger.credits_spent == 2
    assert not journal.exists()


@pytest.mark.asyncio
async def test_rows_of_a_part_that_failed_come_without_a_verdict(
    sandbox: Sandbox, client: Client, source: Path
) -> None:
    source.write_text(numbered(4))
    sandbox.inject(Fault(endpoint="upload", kind=FaultKind.DROP_AFTER, skip=1))
    rows: list[JoinedRow] = []

    async def gather() -> None:
        async for row in verify_rows(client, source, wait=FAST, largest_part=2, parts_at_once=1):
            rows.append(row)  # noqa: PERF401 - the rows come before the error

    with pytest.raises(IncompleteRunError, match="Their rows came without") as info:
        await gather()
    assert [row.verdict for row in rows] == [Verdict.DELIVERABLE, Verdict.UNDELIVERABLE, None, None]
    assert [failure.number for failure in info.value.failures] == [2]


# Sources other than files


async def slowly(items: Iterable[Any]) -> AsyncIterator[Any]:
    for item in items:
        yield item


ADDRESSES = [f"{D}@x.com", f"{U}@x.com", f"{D}@X.com"]
MAPPINGS: list[Mapping[str, object]] = [
    {"email": address, "n": number} for number, address in enumerate(ADDRESSES)
]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "source",
    [
        lambda: ADDRESSES,
        lambda: iter(ADDRESSES),
        lambda: slowly(ADDRESSES),
        lambda: MAPPINGS,
        lambda: slowly(MAPPINGS),
        lambda: slowly(ADDRESSES * 1000),
    ],
)
async def test_a_list_may_be_any_iterable(
    client: Client,
    tmp_path: Path,
    source: Any,  # noqa: ANN401 - makes any of them
) -> None:
    output = tmp_path / "verified.csv"
    await verified(client, source(), output)
    assert verdicts_of(table(output)[1:4]) == [D, U, D]
    assert left_behind(output) == []


@pytest.mark.asyncio
async def test_the_same_iterable_goes_on(sandbox: Sandbox, client: Client, tmp_path: Path) -> None:
    output = tmp_path / "verified.csv"
    sandbox.inject(Fault(endpoint="download", kind=FaultKind.TRUNCATE_CLEANLY, times=4))
    with pytest.raises(Exception, match="cut off"):
        await verified(client, slowly(ADDRESSES), output)
    report = await verified(client, slowly(ADDRESSES), output)
    assert report.credits_spent_before == sandbox.ledger.credits_spent == 2


@pytest.mark.asyncio
async def test_several_files_are_one_list(client: Client, source: Path, tmp_path: Path) -> None:
    other, output = tmp_path / "other.csv", tmp_path / "verified.csv"
    other.write_text(f"email,age\n{K}@x.com,7\n{D}@x.com,8\n")
    report = await verified(client, [source, other], output)
    assert [row[:4] for row in table(output)] == [
        ["name", "email", "age", "verdict"],
        ["Anna", f"{D}@x.com", "", D],
        ["Bob", f"{U}@x.com", "", U],
        ["Anna", f"{D}@X.com", "", D],
        ["", f"{K}@x.com", "7", K],
        ["", f"{D}@x.com", "8", D],
    ]
    assert (report.addresses, report.duplicates) == (3, 2)


@pytest.mark.asyncio
async def test_the_output_may_be_json_lines(client: Client, source: Path, tmp_path: Path) -> None:
    output = tmp_path / "verified.jsonl"
    await verified(client, source, output)
    first = output.read_text().splitlines()[0]
    assert first.startswith(
        '{"name": "Anna", "email": "deliverable@x.com", "verdict": "deliverable"'
    )


# The plan


@pytest.mark.asyncio
async def test_a_plan_says_what_would_be_sent_and_saved(source: Path, temporary: Path) -> None:
    source.write_text(numbered(5) + f"0,\n1,nobody\n2,{D}+0@EXAMPLE.com\n")
    plan = await plan_list(source, largest_part=2)
    [taken] = plan.lists
    nobody = CellExample(row=7, kind=CellKind.INVALID, cell="nobody")
    assert plan == RunPlan(
        lists=(taken,),
        rows=8,
        addresses=5,
        duplicates=1,
        invalid=1,
        blank=1,
        short=0,
        parts=2,
        cost=5,
        examples=(nobody,),
    )
    assert (taken.title, taken.format, taken.place, taken.others) == (str(source), "csv", 2, ())
    assert plan.saved == 3
    assert list(temporary.iterdir()) == []


@pytest.mark.asyncio
async def test_a_plan_says_how_each_list_is_read(tmp_path: Path, temporary: Path) -> None:
    (tmp_path / "1.csv").write_text("Primary Email;Secondary Email\na@x.com;b@x.com\n")
    (tmp_path / "2.txt").write_bytes("c@x.com\n".encode("utf-16"))
    plan = await plan_list([tmp_path / "1.csv", tmp_path / "2.txt"])
    assert [(one.column, one.place, one.others) for one in plan.lists] == [
        ("Primary Email", 1, ("Secondary Email",)),
        ("email", 1, ()),
    ]
    assert [(one.format, one.encoding) for one in plan.lists] == [
        ("csv", "utf-8-sig"),
        ("txt", "utf-16"),
    ]
    [taken] = (await plan_list(["a@x.com"])).lists
    assert (taken.title, taken.format, taken.encoding) == ("The list", "rows", "")
    assert list(temporary.iterdir()) == []


@pytest.mark.asyncio
async def test_a_plan_of_nothing_is_refused(source: Path, temporary: Path) -> None:
    source.write_text("")
    with pytest.raises(InvalidListError, match="is empty"):
        await plan_list(source)
    assert list(temporary.iterdir()) == []


# Lists on the service


@pytest.mark.asyncio
@pytest.mark.parametrize("delete", [False, True])
async def test_lists_are_deleted_after_the_last_row_on_request(
    sandbox: Sandbox, client: Client, source: Path, *, delete: bool
) -> None:
    source.write_text(numbered(4))
    async for _ in verify_rows(client, source, wait=FAST, largest_part=2, delete=delete):
        assert sandbox.ledger.deletes == []
    assert sorted(sandbox.ledger.deletes) == (sorted(sandbox.ledger.starts) if delete else [])
    assert len(sandbox.ledger.starts) == 2


@pytest.mark.asyncio
@pytest.mark.parametrize("delete", [False, True])
async def test_rows_are_given_again_for_free_while_their_journal_and_lists_stay(
    sandbox: Sandbox, client: Client, source: Path, tmp_path: Path, *, delete: bool
) -> None:
    options: dict[str, Any] = {"journal": tmp_path / "journal", "delete": delete}
    with dying():
        await rows_of(client, source, **options)
    assert len(await rows_of(client, source, **options)) == 3
    assert sandbox.ledger.credits_spent == (4 if delete else 2)
    assert not options["journal"].exists()

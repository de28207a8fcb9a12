"""A frame as the source of a run: nothing is paid twice, and every row gets its verdict."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from bulkverify import (
    Client,
    IncompleteDownloadError,
    JournalError,
    plan_list,
    verify_list,
    verify_rows,
)
from bulkverify.sandbox import Fault, FaultKind, Sandbox

from .lists import FAST, A, D, K, U, left_behind, table, verdicts_of, verified

pytestmark = pytest.mark.asyncio

DATA = {
    "name": ["Anna", "Bo", None, "Anna", "?"],
    "email": [f"{D}@x.com", f"{U}@x.com", None, f"Anna <{D}@X.com>", f"{K}@x.com"],
    "score": [1.5, None, 3.0, 4.25, 5.0],
}
MAKE: dict[str, Callable[[], Any]] = {
    "pandas": lambda: pd.DataFrame(DATA, index=[9, 9, 3, 1, 0]),
    "polars": lambda: pl.DataFrame(DATA),
}


@pytest.mark.parametrize("kind", MAKE)
async def test_a_frame_is_written_with_its_verdicts(
    client: Client, output: Path, kind: str
) -> None:
    report = await verified(client, MAKE[kind](), output)
    names, *rows = table(output)
    assert names[:4] == ["name", "email", "score", "verdict"]
    assert [row[:4] for row in rows] == [
        ["Anna", f"{D}@x.com", "1.5", D],
        ["Bo", f"{U}@x.com", "", U],
        ["", "", "3.0", U],
        ["Anna", f"Anna <{D}@X.com>", "4.25", D],
        ["?", f"{K}@x.com", "5.0", K],
    ]
    assert (report.rows, report.blank, report.credits_spent) == (5, 1, 3)
    assert left_behind(output) == []


@pytest.mark.parametrize("kind", MAKE)
async def test_values_keep_their_types_in_json_lines(
    client: Client, tmp_path: Path, kind: str
) -> None:
    output = tmp_path / "verified.jsonl"
    await verified(client, MAKE[kind](), output)
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    assert [row["score"] for row in rows] == [1.5, None, 3.0, 4.25, 5.0]
    assert [row["name"] for row in rows] == ["Anna", "Bo", None, "Anna", "?"]


@pytest.mark.parametrize("kind", MAKE)
async def test_the_rows_of_a_frame_fit_into_it_again(client: Client, kind: str) -> None:
    frame = MAKE[kind]()
    verdicts = [row.verdict async for row in verify_rows(client, frame, wait=FAST)]
    assert verdicts == [D, U, U, D, K]
    assert len(verdicts) == len(frame)


@pytest.mark.parametrize("kind", MAKE)
async def test_a_frame_made_anew_goes_on_and_is_recognised(
    sandbox: Sandbox, client: Client, output: Path, kind: str
) -> None:
    sandbox.inject(Fault(endpoint="download", kind=FaultKind.TRUNCATE_CLEANLY, times=4))
    with pytest.raises(IncompleteDownloadError):
        await verified(client, MAKE[kind](), output)
    report = await verified(client, MAKE[kind](), output)
    assert (report.credits_spent, report.credits_spent_before) == (0, 3)
    again = await verified(client, MAKE[kind](), output)
    assert again.already_verified_at is not None
    assert (len(sandbox.ledger.uploads), sandbox.ledger.credits_spent) == (1, 3)


@pytest.mark.parametrize("kind", MAKE)
async def test_a_frame_in_another_order_does_not_go_on(
    sandbox: Sandbox, client: Client, output: Path, kind: str
) -> None:
    sandbox.inject(Fault(endpoint="download", kind=FaultKind.TRUNCATE_CLEANLY, times=4))
    with pytest.raises(IncompleteDownloadError):
        await verified(client, MAKE[kind](), output)
    with pytest.raises(JournalError, match="has changed"):
        await verified(client, MAKE[kind]()[::-1], output)
    assert sandbox.ledger.credits_spent == 3


@pytest.mark.parametrize("kind", MAKE)
async def test_a_plan_of_a_frame_says_how_it_is_read(kind: str) -> None:
    plan = await plan_list(MAKE[kind]())
    assert (plan.rows, plan.addresses, plan.blank, plan.duplicates) == (5, 3, 1, 1)
    [found] = plan.lists
    assert (found.title, found.format, found.column, found.place) == (
        "The list",
        "rows",
        "email",
        2,
    )


async def test_a_series_is_verified(client: Client, output: Path) -> None:
    series = pd.Series([f"{A}@x.com", np.nan, f"{D}@x.com"])
    await verify_list(client, series, output, wait=FAST)
    assert verdicts_of(table(output)[1:]) == [A, U, D]

"""Runs that reuse the verdicts of earlier ones pay only for what is not known."""

import random
import re
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bulkverify import (
    Client,
    InvalidListError,
    JoinedRow,
    JournalError,
    RunPlan,
    RunProgress,
    Stage,
    UsageError,
    plan_list,
    verify_list,
    verify_rows,
)
from bulkverify.run import run as run_module
from bulkverify.run.dry import plan_rest
from bulkverify.sandbox import Sandbox

from .lists import FAST, K, left_behind, name, numbered, table, verified

BASE = datetime(2026, 1, 1, tzinfo=UTC)


class StopError(Exception):
    """Ends a call at a moment that the test chooses."""


def stop_at(stage: Stage, part: int) -> Callable[[RunProgress], None]:
    def stop(seen: RunProgress) -> None:
        if seen.stage is stage and (seen.part is None or seen.part.number == part):
            raise StopError

    return stop


def known(path: Path, count: int, verdict: str = "deliverable", days: float = 1) -> Path:
    """Write a file with a verdict for each of the first addresses."""
    at = (datetime.now(UTC) - timedelta(days=days)).isoformat()
    rows = (f"{name(number)}@example.com,{verdict},{at}\n" for number in range(count))
    path.write_text("email,verdict,verified_at\n" + "".join(rows))
    return path


def bought(sandbox: Sandbox) -> list[str]:
    assert not sandbox.ledger.paid_twice
    return sorted(sandbox.ledger.paid)


def emails(*numbers: int) -> list[str]:
    return sorted(f"{name(number)}@example.com" for number in numbers)


@pytest.fixture
def many(source: Path) -> Path:
    source.write_text(numbered(6))
    return source


def at_date(monkeypatch: pytest.MonkeyPatch, moment: datetime) -> None:
    class Then(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:  # noqa: ANN401 - as in the class
            return moment.astimezone(tz)

    monkeypatch.setattr(run_module, "datetime", Then)


@pytest.mark.asyncio
async def test_month_by_month_only_new_unknown_and_old_addresses_are_paid_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = random.Random(3)  # noqa: S311 - a test
    numbers = list(range(60))
    outputs: list[Path] = []
    verified_at: dict[int, int] = {}  # the month in which each address was last bought
    for month in range(6):
        now = BASE + timedelta(days=30 * month)
        if month:
            for place in draw.sample(range(60), 3):  # 5 % change
                numbers[place] = 60 + month * 10 + place % 10 + 100 * place
        source = tmp_path / f"list-{month}.csv"
        source.write_text(
            "n,email\n" + "".join(f"{n},{name(n)}@example.com\n" for n in numbers + numbers[:5])
        )
        due = {
            number
            for number in numbers
            if number not in verified_at
            or name(number).startswith(K)
            or (month - verified_at[number]) * 30 > 60
        }
        at_date(monkeypatch, now + timedelta(hours=1))
        options: dict[str, Any] = {"wait": FAST, "largest_part": 25}
        output = tmp_path / f"verified-{month}.csv"
        async with (
            Sandbox(speed=1000, requests_per_minute=None, epoch=now) as sandbox,
            Client(sandbox.api_key, base_url=sandbox.url, requests_per_minute=None) as client,
        ):
            report = await verify_list(
                client, source, output, reuse=outputs, max_age=timedelta(days=61), **options
            )
            assert sandbox.ledger.credits_spent == report.credits_spent == len(due)
            assert bought(sandbox) == emails(*due)
        assert report.reused.addresses == len(set(numbers)) - len(due)
        assert report.saved == len(numbers) + 5 - len(due)
        verified_at |= dict.fromkeys(due, month)
        async with (
            Sandbox(speed=1000, requests_per_minute=None, epoch=now) as sandbox,
            Client(sandbox.api_key, base_url=sandbox.url, requests_per_minute=None) as client,
        ):
            full = tmp_path / "full.csv"
            await verify_list(client, source, full, overwrite=True, **options)
        assert [row[:-1] for row in table(output)] == [row[:-1] for row in table(full)]
        for row in table(output)[1:]:
            when = datetime.fromisoformat(row[-1]) - BASE
            assert when.days == verified_at[int(row[0])] * 30
        outputs.append(output)


@pytest.mark.asyncio
async def test_a_list_that_is_known_whole_sends_nothing(
    sandbox: Sandbox, client: Client, many: Path, output: Path, tmp_path: Path
) -> None:
    old = known(tmp_path / "old.csv", 6)
    report = await verified(client, many, output, reuse=[old], max_credits=0, domains=True)
    assert sandbox.ledger.requests.total() == report.requests == report.credits_spent == 0
    assert (report.addresses, report.reused.addresses, report.saved) == (0, 6, 6)
    assert report.verdicts.deliverable == 6
    assert sum(one.addresses for one in report.findings) == 6
    assert report.domains is not None
    assert [(one.rows, one.deliverable) for one in report.domains.counts] == [(6, 6)]
    assert report.from_json(report.to_json()) == report
    page = report.to_html()
    assert "6 of 6" in re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", page))
    assert "Address with an earlier verdict" in page
    assert left_behind(output) == ["old.csv"]
    again = await verified(client, many, output, reuse=[old], max_credits=0)
    assert again.already_verified_at is not None
    assert again.reused == report.reused


@pytest.mark.asyncio
@pytest.mark.parametrize(("count", "asked"), [(6, []), (5, [1])])
async def test_it_is_asked_only_about_credits_and_logged_how_many_are_known(  # noqa: PLR0917 - fixtures
    client: Client,
    many: Path,
    output: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    count: int,
    asked: list[int],
) -> None:
    caplog.set_level("INFO", logger="bulkverify")
    old, costs = known(tmp_path / "old.csv", count), []

    def confirm(plan: RunPlan) -> bool:
        costs.append(plan.cost)
        return True

    await verified(client, many, output, reuse=[old], confirm=confirm)
    assert costs == asked
    assert f"6 rows, {6 - count} addresses to send, {count} known, " in caplog.text
    assert "taking the addresses of column 'email'" in caplog.text


@pytest.mark.asyncio
async def test_an_output_is_asked_again_for_what_it_does_not_know(
    sandbox: Sandbox, client: Client, many: Path, output: Path
) -> None:
    now = datetime.now(UTC).isoformat()
    many.write_text(
        "email,verdict,verified_at\n"
        f"{name(0)}@example.com,deliverable,{now}\n{name(3)}@example.com,unknown,{now}\n"
        f"{name(1)}@example.com,,\n"
    )
    await verified(client, many, output, reuse=[many])
    assert bought(sandbox) == emails(1, 3)


@pytest.mark.asyncio
@pytest.mark.parametrize("stage", [Stage.UPLOADING, Stage.STARTING, Stage.FETCHED, Stage.JOINING])
async def test_a_run_goes_on_with_what_it_reused_first(  # noqa: PLR0917 - fixtures
    sandbox: Sandbox, client: Client, many: Path, output: Path, tmp_path: Path, stage: Stage
) -> None:
    many.write_text(numbered(12))
    old = known(tmp_path / "old.csv", 3)
    options: dict[str, Any] = {"reuse": [old], "largest_part": 4}
    with pytest.raises(StopError):
        await verified(client, many, output, on_progress=stop_at(stage, 2), **options)
    known(old, 9, "undeliverable", days=0.5)
    plan = await plan_rest(many, output, base_url=sandbox.url, **options)
    assert (plan.reused.addresses, plan.addresses) == (3, 9)
    old.unlink()
    report = await verified(client, many, output, **options)
    assert bought(sandbox) == emails(*range(3, 12))
    assert report.reused.addresses == 3
    assert [row[2] for row in table(output)[1:5]] == ["deliverable"] * 3 + ["unknown"]
    again = await verified(client, many, output, **options)
    assert (again.already_verified_at is not None, again.credits_spent) == (True, 0)


@pytest.mark.asyncio
@pytest.mark.parametrize("file", ["rows.bin", "part-0001.csv", "run.json"])
async def test_damaged_files_are_made_again_by_what_was_reused_first(  # noqa: PLR0917 - fixtures
    sandbox: Sandbox, client: Client, many: Path, output: Path, folder: Path, file: str
) -> None:
    old = known(many.with_name("old.csv"), 2)
    with pytest.raises(StopError):
        await verified(
            *(client, many, output),
            reuse=[old],
            largest_part=2,
            on_progress=stop_at(Stage.VERIFYING, 2),
        )
    known(old, 5, "undeliverable")
    if file == "run.json":  # a record that was edited
        record = (folder / file).read_text()
        (folder / file).write_text(record.replace('"short": 0', '"short": 1'))
    else:
        (folder / file).unlink()
    await verified(client, many, output, reuse=[old], largest_part=2)
    assert bought(sandbox) == emails(2, 3, 4, 5)
    assert [row[2] for row in table(output)[1:3]] == ["deliverable"] * 2


@pytest.mark.asyncio
async def test_lost_verdicts_are_read_again_unless_the_earlier_file_has_changed(
    sandbox: Sandbox, client: Client, many: Path, output: Path, folder: Path
) -> None:
    old = known(many.with_name("old.csv"), 2)
    before = old.read_bytes()
    options: dict[str, Any] = {"reuse": [old], "largest_part": 2}
    with pytest.raises(StopError):
        await verified(client, many, output, on_progress=stop_at(Stage.VERIFYING, 2), **options)
    (folder / "reused.csv").write_text("email,Verification Result\n")
    known(old, 5, "undeliverable")
    with pytest.raises(JournalError, match="no longer split as before"):
        await verified(client, many, output, **options)
    old.unlink()
    with pytest.raises(JournalError, match=r"is damaged.*old\.csv.*Put it back.*credits spent"):
        await verified(client, many, output, **options)
    old.write_bytes(before)
    await verified(client, many, output, **options)
    assert bought(sandbox) == emails(2, 3, 4, 5)


@pytest.mark.asyncio
async def test_lost_verdicts_are_read_again_although_the_record_was_edited(
    sandbox: Sandbox, client: Client, many: Path, output: Path, folder: Path
) -> None:
    options: dict[str, Any] = {"reuse": [known(many.with_name("old.csv"), 2)], "largest_part": 2}
    with pytest.raises(StopError):
        await verified(client, many, output, on_progress=stop_at(Stage.VERIFYING, 2), **options)
    (folder / "reused.csv").unlink()
    record = (folder / "run.json").read_text()
    (folder / "run.json").write_text(record.replace('"short": 0', '"short": 1'))
    await verified(client, many, output, **options)
    assert bought(sandbox) == emails(2, 3, 4, 5)


@pytest.mark.asyncio
async def test_a_run_is_not_continued_with_other_ages(
    sandbox: Sandbox, client: Client, many: Path, output: Path, tmp_path: Path
) -> None:
    old = known(tmp_path / "old.csv", 2)
    with pytest.raises(StopError):
        await verified(client, many, output, reuse=[old], on_progress=stop_at(Stage.VERIFYING, 1))
    for options in ({}, {"reuse": [old], "max_age": timedelta(days=2)}):
        with pytest.raises(JournalError, match="reusing earlier verdicts"):
            await verified(client, many, output, **options)
    await verified(client, many, output, reuse=[old])
    with pytest.raises(FileExistsError):
        await verified(client, many, output)
    assert bought(sandbox) == emails(2, 3, 4, 5)


@pytest.mark.asyncio
async def test_a_file_that_cannot_be_read_is_an_error_before_anything_is_sent(
    sandbox: Sandbox, client: Client, many: Path, output: Path, tmp_path: Path
) -> None:
    with pytest.raises(InvalidListError):
        await verified(client, many, output, reuse=[many])
    with pytest.raises(FileNotFoundError):
        await verified(client, many, output, reuse=[tmp_path / "missing.csv"])
    assert sandbox.ledger.requests.total() == 0
    assert left_behind(output) == []


@pytest.mark.asyncio
async def test_rows_are_reused_and_given(sandbox: Sandbox, client: Client, many: Path) -> None:
    first = [row async for row in verify_rows(client, many, wait=FAST)]
    spent = sandbox.ledger.credits_spent
    now = datetime.now(UTC) - timedelta(days=1)

    async def of_database() -> AsyncIterator[JoinedRow]:
        for row in first:
            yield JoinedRow(
                row=1, email=row.email, columns={}, verdict=row.verdict, verified_at=now
            )

    plan = await plan_list(many, reuse=[of_database()])
    assert (plan.reused.addresses, plan.cost, plan.saved) == (5, 1, 5)
    again = [row async for row in verify_rows(client, many, reuse=[of_database()], wait=FAST)]
    assert [row.verdict for row in again] == [row.verdict for row in first]
    assert sandbox.ledger.credits_spent - spent == 1


@pytest.mark.asyncio
async def test_an_age_may_have_any_spelling_of_a_verdict(many: Path, tmp_path: Path) -> None:
    old = known(tmp_path / "old.csv", 2, "Accept All")
    ages: dict[Any, timedelta] = {"accept_all": timedelta(days=2)}
    assert (await plan_list(many, reuse=[old], max_age=ages)).reused.addresses == 2


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "options",
    [
        {"reuse": [3]},
        {"reuse": 3},
        {"reuse": pd.DataFrame({"email": ["a@x.com"]})},
        {"reuse": ["old.csv"], "max_age": {"unknown": timedelta(days=1)}},
        {"reuse": ["old.csv"], "max_age": timedelta(0)},
        {"reuse": ["old.csv"], "max_age": 30},
        {"reuse": ["old.csv"], "max_age": {}},
        {"reuse": ["old.csv"], "max_age": {"deliverable": 30}},
        {"reuse": ["old.csv"], "max_age": {"good": timedelta(days=1)}},
        {
            "reuse": ["old.csv"],
            "max_age": dict.fromkeys(["accept-all", "accept_all"], timedelta(1)),
        },
    ],
)
async def test_wrong_options_are_refused(many: Path, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        await plan_list(many, **options)

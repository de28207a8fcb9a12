"""What the parts of a run share: errors of the account, room for lists, and the bill."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from bulkverify import (
    AccountRestrictedError,
    AuthenticationError,
    BulkVerifyError,
    Client,
    ClientClosedError,
    IncompleteRunError,
    InsufficientCreditsError,
    InvalidListError,
    RunProgress,
    Stage,
    UsageError,
)
from bulkverify.run import outages
from bulkverify.sandbox import Sandbox, Timings
from tests.refusals import at_start, said

from .lists import A, D, K, U, journal_at, numbered, states, table, verdicts_of, verified


@pytest.fixture
def four(source: Path) -> Path:
    source.write_text(numbered(4))
    return source


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "kind",
    [
        AccountRestrictedError,
        AuthenticationError,
        ClientClosedError,
        InsufficientCreditsError,
        UsageError,
    ],
)
async def test_an_account_error_ends_the_run(  # noqa: PLR0917 - fixtures
    sandbox: Sandbox,
    client: Client,
    four: Path,
    output: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: type[BulkVerifyError],
) -> None:
    async def refuse(*_: object, **__: object) -> None:
        raise kind("No.")

    with monkeypatch.context() as patched:
        patched.setattr(client, "upload", refuse)
        with pytest.raises(kind, match=r"^No\.$"):
            await verified(client, four, output, largest_part=2)
    assert sandbox.ledger.uploads == []
    await verified(client, four, output, largest_part=2)


@pytest.mark.asyncio
async def test_an_error_of_one_part_does_not_end_the_run(
    client: Client, four: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object, **__: object) -> None:
        raise InvalidListError("No.")

    monkeypatch.setattr(client, "upload", refuse)
    with pytest.raises(IncompleteRunError) as caught:
        await verified(client, four, output, largest_part=2)
    assert [failure.paid for failure in caught.value.failures] == [False, False]


@pytest.mark.asyncio
@pytest.mark.parametrize("fails", [True, False])
async def test_a_list_that_ends_makes_room_for_the_next_at_once(
    four: Path,
    output: Path,
    monkeypatch: pytest.MonkeyPatch,
    fails: bool,  # noqa: FBT001 - a row of the table
) -> None:
    monkeypatch.setattr(outages, "FIRST_PAUSE", 3600.0)
    held_up: list[str] = []

    def watch(seen: RunProgress) -> None:
        if (
            seen.part and seen.part.note and seen.stage is Stage.QUEUED
        ):  # the second part waits, so the first list may end
            held_up.append(seen.part.note)
            if fails:
                sandbox.fail(sandbox.ledger.uploads[0].job_id)
        if held_up:
            sandbox.advance(3600)

    timings = Timings(preparing=0, preparing_per_address=0, verifying=400)
    async with (
        Sandbox(speed=0, requests_per_minute=None, max_lists=1, timings=timings) as sandbox,
        Client(sandbox.api_key, base_url=sandbox.url, requests_per_minute=None) as client,
    ):
        options: dict[str, Any] = {"largest_part": 2, "on_progress": watch}
        if fails:
            with pytest.raises(IncompleteRunError, match="1 of 2 parts"):
                await verified(client, four, output, **options)
        else:
            await verified(client, four, output, **options)
        assert len(sandbox.ledger.uploads) == 2
    assert len(held_up) == 1


@pytest.mark.asyncio
async def test_a_lost_start_settled_in_the_same_call_counts_as_spent_by_it(
    source: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outages, "LONGEST_OUTAGE", 60.0)

    def show_it(seen: RunProgress) -> None:
        if seen.stage is Stage.VERIFYING:
            sandbox.advance(36e5)

    async with (
        Sandbox(
            speed=1000,
            requests_per_minute=None,
            retention_days=None,
            timings=Timings(start_delay=36e5),
            credits=2,
        ) as sandbox,
        Client(sandbox.api_key, base_url=sandbox.url, requests_per_minute=None) as client,
    ):
        sandbox.inject(at_start({"kind": "drop_after"}))
        sandbox.inject(at_start(said(400, "No")))
        report = await verified(client, source, output, on_progress=show_it)
        assert (report.credits_spent, report.credits_spent_before) == (2, 0)
        assert (sandbox.ledger.requests["start"], sandbox.ledger.credits_spent) == (3, 2)


@pytest.mark.asyncio
async def test_a_list_started_by_hand_costs_the_addresses_that_the_service_counts(  # noqa: PLR0917 - fixtures
    sandbox: Sandbox,
    client: Client,
    four: Path,
    output: Path,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    upload = client.upload

    async def shorten(path: Path, *, title: str) -> object:
        lines = path.read_bytes().splitlines(keepends=True)
        return await upload(b"".join(lines[:-1]), title=title)

    def stop(seen: RunProgress) -> None:
        if seen.stage is Stage.STARTING:
            raise RuntimeError("stopped")

    monkeypatch.setattr(client, "upload", shorten)
    with pytest.raises(RuntimeError, match="stopped"):
        await verified(client, four, output, on_progress=stop)
    assert states(folder) == ["uploaded"]
    await client.start(journal_at(folder)["parts"][0]["job_id"])
    sandbox.advance(3600)
    report = await verified(client, four, output)
    assert (report.credits_spent, report.credits_spent_before, report.missing) == (0, 3, 1)
    assert verdicts_of(table(output)) == ["verdict", D, U, A, ""]
    assert K not in output.read_text().split("\n")[-2].split(",")[2:]


@pytest.mark.asyncio
@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("stage", [Stage.UPLOADING, Stage.STARTING, Stage.DOWNLOADING])
async def test_a_callback_that_raises_cancelled_error_ends_the_run_like_any_error(  # noqa: PLR0917 - fixtures
    sandbox: Sandbox, client: Client, four: Path, output: Path, stage: Stage, number: int
) -> None:
    def give_up(progress: RunProgress) -> None:
        part = progress.part
        if part is not None and (part.number, part.stage) == (number, stage):
            raise asyncio.CancelledError("mine")

    with pytest.raises(asyncio.CancelledError, match="mine"):
        await verified(client, four, output, largest_part=2, on_progress=give_up)
    assert not output.exists()
    report = await verified(client, four, output, largest_part=2)
    assert (report.missing, sandbox.ledger.credits_spent) == (0, 4)
    assert not sandbox.ledger.paid_twice

"""A start whose answer was lost, and then another fault: the same call pays nothing twice."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from bulkverify import (
    AlreadyStartedError,
    BulkVerifyError,
    Client,
    InsufficientCreditsError,
    JobCancelledError,
    JobFailedError,
    JobNotFoundError,
    RunProgress,
    RunReport,
    Stage,
    StartUncertainError,
)
from bulkverify.run.outages import Outages
from bulkverify.run.part import PartRun
from bulkverify.sandbox import Fault, FaultKind, Sandbox, Timings
from tests.refusals import FINAL, KNOWN, PASSING, UNKNOWN, afterwards, at_start, said

from .lists import FAST, D, U, journal_at, left_behind, states, table, verdicts_of, verified

NEVER_VERIFYING = Timings(start_delay=36e5)
"""The status of a started list stays `ready`, so only a second start shows that it was started."""


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count every pause as a whole, but keep it short."""
    pause = Outages._pause
    monkeypatch.setattr(Outages, "_pause", lambda *args: min(pause(*args), 0.01))


def serving(**options: Any) -> Sandbox:  # noqa: ANN401 - handed on
    settings: dict[str, Any] = {
        "speed": 1000,
        "requests_per_minute": None,
        "retention_days": None,
    }
    return Sandbox(**settings | options)


def client_of(sandbox: Sandbox) -> Client:
    return Client(
        sandbox.api_key, base_url=sandbox.url, requests_per_minute=None, attempts=2, backoff=FAST
    )


async def called(sandbox: Sandbox, source: Path, output: Path) -> RunReport | BulkVerifyError:
    """Make the call with a new client, as another process would."""

    def show_it(seen: RunProgress) -> None:
        if seen.stage is Stage.VERIFYING:
            sandbox.advance(36e5)

    async with client_of(sandbox) as client:
        try:
            return await verified(client, source, output, on_progress=show_it, timeout=60)
        except BulkVerifyError as error:
            return error


@pytest.mark.asyncio
@pytest.mark.parametrize("then", [*FINAL, *PASSING])
async def test_a_lost_start_stays_paid(
    source: Path, output: Path, folder: Path, then: dict[str, Any]
) -> None:
    async with serving(timings=NEVER_VERIFYING, credits=2) as sandbox:
        sandbox.inject(at_start({"kind": FaultKind.DROP_AFTER}))
        sandbox.inject(at_start(then, times=None))
        outcome = await called(sandbox, source, output)
        assert isinstance(outcome, BulkVerifyError) or then["kind"] is FaultKind.DROP_AFTER
        if isinstance(outcome, BulkVerifyError):
            [part] = journal_at(folder)["parts"]
            assert (part["state"], part["credits"]) == ("starting", 2)
            assert part["job_id"] == sandbox.ledger.uploads[0].job_id
            sandbox._front.faults._injected.clear()  # the service answers correctly again
            outcome = await called(sandbox, source, output)
        assert isinstance(outcome, RunReport)
        assert outcome.credits_spent + outcome.credits_spent_before == 2
        assert (len(sandbox.ledger.uploads), sandbox.ledger.credits_spent) == (1, 2)
    assert verdicts_of(table(output)[1:]) == [D, U, D]
    assert left_behind(output) == []


@pytest.mark.asyncio
@pytest.mark.parametrize("then", FINAL)
async def test_a_part_found_starting_stays_so_after_any_answer(
    source: Path, output: Path, folder: Path, then: dict[str, Any]
) -> None:
    async with serving(timings=NEVER_VERIFYING, credits=2) as sandbox:
        sandbox.inject(Fault(endpoint="start", kind=FaultKind.HANG))
        async with client_of(sandbox) as client:
            run = asyncio.create_task(verified(client, source, output))
            while not sandbox.ledger.requests["start"]:  # noqa: ASYNC110 - the sandbox changes it
                await asyncio.sleep(0.001)
            run.cancel()
            with pytest.raises(asyncio.CancelledError):
                await run
        assert states(folder) == ["starting"]
        [upload] = sandbox.ledger.uploads
        sandbox.inject(at_start(then, times=None))
        for _ in range(2):
            assert isinstance(await called(sandbox, source, output), BulkVerifyError)
            [part] = journal_at(folder)["parts"]
            assert (part["state"], part["credits"]) == ("starting", 2)
            assert part["job_id"] == upload.job_id
        sandbox._front.faults._injected.clear()
        report = await called(sandbox, source, output)
        assert isinstance(report, RunReport)
        assert report.credits_spent + report.credits_spent_before == 2
        assert (len(sandbox.ledger.uploads), sandbox.ledger.credits_spent) == (1, 2)


@pytest.mark.asyncio
@pytest.mark.parametrize("then", UNKNOWN)
async def test_a_start_that_was_done_and_denied_is_settled_by_the_next_start(
    source: Path, output: Path, folder: Path, then: dict[str, Any]
) -> None:
    async with serving(timings=NEVER_VERIFYING, credits=2) as sandbox:
        sandbox.inject(at_start(afterwards(then)))
        outcome = await called(sandbox, source, output)
        if "Retry-After" in then["headers"]:  # longer than a run waits
            assert isinstance(outcome, StartUncertainError)
            [part] = journal_at(folder)["parts"]
            assert (part["state"], part["credits"]) == ("starting", 2)
            outcome = await called(sandbox, source, output)
        assert isinstance(outcome, RunReport)
        assert outcome.credits_spent + outcome.credits_spent_before == 2
        assert sandbox.ledger.requests["start"] == 2
        assert (len(sandbox.ledger.uploads), sandbox.ledger.credits_spent) == (1, 2)


@pytest.mark.asyncio
@pytest.mark.parametrize("then", KNOWN)
async def test_a_start_refused_with_a_known_message_is_not_paid(
    source: Path, output: Path, folder: Path, then: dict[str, Any]
) -> None:
    async with serving(credits=2) as sandbox:
        sandbox.inject(at_start(then))
        if isinstance(await called(sandbox, source, output), BulkVerifyError):
            [part] = journal_at(folder)["parts"]
            assert (part["state"] in {"pending", "uploaded"}, part["credits"]) == (True, 0)
            assert isinstance(await called(sandbox, source, output), RunReport)
        assert sandbox.ledger.credits_spent == 2


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("end", "kind"),
    [("cancel", JobCancelledError), ("fail", JobFailedError), ("delete", JobNotFoundError)],
)
@pytest.mark.parametrize(
    "first",
    [pytest.param({"kind": FaultKind.DROP_AFTER}, id="lost"), *UNKNOWN],
)
async def test_a_list_that_is_gone_after_a_lost_start_counts_as_paid(  # noqa: PLR0917 - fixtures
    source: Path,
    output: Path,
    folder: Path,
    first: dict[str, Any],
    end: str,
    kind: type[BulkVerifyError],
) -> None:
    async with serving(timings=NEVER_VERIFYING) as sandbox:
        lost = first["kind"] is FaultKind.DROP_AFTER
        sandbox.inject(at_start(first if lost else afterwards(first)))
        sandbox.inject(at_start(said(400, "No"), times=None))
        await called(sandbox, source, output)
        sandbox._front.faults._injected.clear()
        [upload] = sandbox.ledger.uploads
        if end == "delete":
            del sandbox._front.account._jobs[upload.job_id]
        else:
            getattr(sandbox, end)(upload.job_id)
        for _ in range(2):
            error = await called(sandbox, source, output)
            assert isinstance(error, kind)
            assert "its 2 credits may be spent" in str(error)
            assert f"use `restart=True`, or delete {folder}" in str(error)
            assert isinstance(error.__cause__, kind)
            assert "restart" not in str(error.__cause__)
            assert journal_at(folder)["parts"][0]["job_id"] == upload.job_id
        assert len(sandbox.ledger.uploads) == 1


@pytest.mark.asyncio
async def test_a_start_that_was_refused_costs_nothing_and_says_so(
    source: Path, output: Path, folder: Path
) -> None:
    async with serving() as sandbox:
        sandbox.inject(at_start(said(402, "Insufficient verification credits.")))
        error = await called(sandbox, source, output)
        assert isinstance(error, InsufficientCreditsError)
        [part] = journal_at(folder)["parts"]
        assert (part["state"], part["credits"]) == ("uploaded", 0)
        report = await called(sandbox, source, output)
        assert isinstance(report, RunReport)
        assert (report.credits_spent, report.credits_spent_before) == (2, 0)


@pytest.mark.asyncio
async def test_a_start_that_was_never_sent_costs_nothing(
    source: Path, output: Path, folder: Path
) -> None:
    async with serving() as sandbox, client_of(sandbox) as client:
        elsewhere = Client("k", base_url="http://127.0.0.1:9/v1", attempts=1)

        def cut_off(seen: RunProgress) -> None:
            if seen.stage is Stage.STARTING:
                client._transport = elsewhere._transport

        transport = client._transport
        with pytest.raises(BulkVerifyError, match="Nothing was sent"):
            await verified(client, source, output, on_progress=cut_off)
        client._transport = transport
        await elsewhere.close()
        [part] = journal_at(folder)["parts"]
        assert (part["state"], part["credits"]) == ("uploaded", 0)


@pytest.mark.asyncio
async def test_a_second_start_does_not_make_the_first_one_cheaper(
    source: Path, output: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(timings=NEVER_VERIFYING) as sandbox:
        sandbox.inject(at_start({"kind": FaultKind.DROP_AFTER}))
        sandbox.inject(at_start(said(400, "No"), times=None))
        assert isinstance(await called(sandbox, source, output), BulkVerifyError)
        monkeypatch.setattr(PartRun, "_cost_of", lambda *_: 1)
        assert isinstance(await called(sandbox, source, output), BulkVerifyError)
        assert journal_at(folder)["parts"][0]["credits"] == 2


@pytest.mark.asyncio
async def test_a_lost_start_that_stays_lost_raises_start_uncertain(
    source: Path, output: Path
) -> None:
    async with serving(timings=NEVER_VERIFYING) as sandbox:
        sandbox.inject(at_start({"kind": FaultKind.DROP_AFTER}, times=1))
        sandbox.inject(Fault(endpoint="status", kind=FaultKind.ANSWER, skip=30, times=None))
        sandbox.inject(at_start({"kind": FaultKind.ANSWER, "status": 502}, times=None))
        assert isinstance(await called(sandbox, source, output), StartUncertainError)
        async with client_of(sandbox) as client:
            sandbox._front.faults._injected.clear()
            with pytest.raises(AlreadyStartedError):
                await client.start(sandbox.ledger.uploads[0].job_id)

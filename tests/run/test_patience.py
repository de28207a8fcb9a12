"""What is waited out in the middle of a run, for how long, and what is not."""

from pathlib import Path

import pytest

from bulkverify import (
    Client,
    ConnectionFailedError,
    ListLimitError,
    RunProgress,
    ServerError,
    Stage,
    StartUncertainError,
)
from bulkverify.run import patience
from bulkverify.run.patience import Patience
from bulkverify.sandbox import Fault, FaultKind, Sandbox
from bulkverify.sandbox.ledger import Endpoint

from .lists import left_behind, table, verified


class Attempts:
    """Fails in the ways that are given, and then succeeds."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.told: list[str] = []

    async def __call__(self) -> str:
        if self.errors:
            raise self.errors.pop(0)
        return "done"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Let each look at the clock show ten seconds more, and no pause take any time."""
    now = [0.0]

    def tick() -> float:
        now[0] += 10
        return now[0]

    monkeypatch.setattr(patience, "FIRST_PAUSE", 0.0)
    monkeypatch.setattr(patience, "LONGEST_OUTAGE", 35.0)
    monkeypatch.setattr(patience, "now", tick)
    return now


@pytest.mark.asyncio
@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize(
    ("errors", "notes"),
    [
        ([], []),
        ([ListLimitError("Full.", text="no more")], ["waits for room: no more"]),
        ([ConnectionFailedError("Broken.")] * 3, ["waits for the service: Broken."] * 3),
        ([ListLimitError("Full.")] * 5, ["waits for room: Full."] * 5),
        ([StartUncertainError("Lost.")], ["waits for the service: Lost."]),
    ],
)
async def test_what_time_heals_is_waited_for(errors: list[Exception], notes: list[str]) -> None:
    attempts = Attempts(*errors)
    assert await Patience(60.0).until_done(attempts, attempts.told.append) == "done"
    assert attempts.told == notes


@pytest.mark.asyncio
@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize(
    ("error", "timeout", "attempts"),
    [
        (ConnectionFailedError, None, 4),
        (ServerError, 20.0, 2),
        (ListLimitError, 60.0, 6),
        (ListLimitError, 0.0, 1),
        (ValueError, 60.0, 1),
    ],
)
async def test_no_wait_is_longer_than_it_may_be(
    error: type[Exception], timeout: float | None, attempts: int
) -> None:
    failing = Attempts(*[error()] * 100)
    with pytest.raises(error):
        await Patience(timeout).until_done(failing, failing.told.append)
    assert len(failing.errors) == 100 - attempts


@pytest.mark.asyncio
@pytest.mark.parametrize("endpoint", ["upload", "start", "credits", "download"])
async def test_an_outage_in_the_middle_of_a_run_is_waited_out(
    sandbox: Sandbox, client: Client, source: Path, output: Path, endpoint: Endpoint
) -> None:
    notes: set[tuple[Stage, str]] = set()

    def note(seen: RunProgress) -> None:
        if seen.part and seen.part.note:
            notes.add((seen.part.stage, seen.part.note.partition(":")[0]))

    kind, status = (FaultKind.ANSWER, 429) if endpoint == "upload" else (FaultKind.DROP, 502)
    skip = int(endpoint == "credits")  # the first question comes before anything is sent
    sandbox.inject(Fault(endpoint=endpoint, kind=kind, status=status, skip=skip, times=5))
    report = await verified(client, source, output, on_progress=note)
    assert {why for _, why in notes} == {"waits for the service"}
    assert (report.credits_spent, report.credits_spent_before, report.orphans) == (2, 0, 0)
    assert len(table(output)) == 4


@pytest.mark.asyncio
async def test_a_start_that_was_uncertain_for_long_is_counted_where_it_was_paid(
    sandbox: Sandbox, client: Client, source: Path, output: Path
) -> None:
    # The first start arrives; its answer, and every look at what became of it, is lost.
    sandbox.inject(Fault(endpoint="start", kind=FaultKind.DROP_AFTER))
    sandbox.inject(Fault(endpoint="start", kind=FaultKind.DROP, times=4))
    sandbox.inject(Fault(endpoint="status", kind=FaultKind.STALE, skip=1, times=4))
    report = await verified(client, source, output)
    assert sandbox.ledger.credits_spent == 2
    assert (report.credits_spent, report.credits_spent_before) == (2, 0)


@pytest.mark.asyncio
async def test_a_service_that_is_out_of_reach_from_the_start_is_told_at_once(
    source: Path, output: Path
) -> None:
    async with Client("k", base_url="http://127.0.0.1:9/v1", attempts=1) as client:
        with pytest.raises(ConnectionFailedError):
            await verified(client, source, output)
    assert left_behind(output) == []

"""What a run may cost, and whether the account can pay: both are checked before anything is spent."""

from pathlib import Path

import pytest

from bulkverify import (
    Client,
    IncompleteRunError,
    InsufficientCreditsError,
    ProtocolError,
    RunProgress,
    Stage,
    UsageError,
)
from bulkverify.sandbox import Fault, FaultKind, Sandbox

from .lists import left_behind, numbered, states, verified


@pytest.fixture
def many(source: Path) -> Path:
    source.write_text(numbered(6))
    return source


@pytest.mark.asyncio
@pytest.mark.parametrize("max_credits", [6, 7, None])
async def test_a_run_may_cost_as_much_as_is_allowed(
    client: Client, many: Path, output: Path, max_credits: int | None
) -> None:
    report = await verified(client, many, output, max_credits=max_credits, largest_part=2)
    assert report.credits_spent == 6


@pytest.mark.asyncio
@pytest.mark.parametrize("max_credits", [0, 5])
async def test_a_run_that_would_cost_more_sends_nothing(
    sandbox: Sandbox, client: Client, many: Path, output: Path, max_credits: int
) -> None:
    message = f"6 distinct addresses .* more than the {max_credits} allowed. Nothing was sent"
    with pytest.raises(UsageError, match=message):
        await verified(client, many, output, max_credits=max_credits, largest_part=2)
    assert sandbox.ledger.requests.total() == 0
    assert left_behind(output) == []


@pytest.mark.asyncio
async def test_a_limit_counts_what_is_left_to_spend(
    sandbox: Sandbox, client: Client, many: Path, output: Path
) -> None:
    sandbox.inject(Fault(kind=FaultKind.DROP_AFTER, endpoint="upload", skip=2))
    with pytest.raises(IncompleteRunError):
        await verified(client, many, output, largest_part=2)
    assert sandbox.ledger.credits_spent == 4
    message = "could still cost 2 credits, more than the 1 allowed. Nothing more was sent"
    with pytest.raises(UsageError, match=message):
        await verified(client, many, output, max_credits=1, largest_part=2)
    await verified(client, many, output, max_credits=2, largest_part=2)
    assert sandbox.ledger.credits_spent == 6


@pytest.mark.asyncio
async def test_a_negative_limit_is_refused(client: Client, many: Path, output: Path) -> None:
    with pytest.raises(UsageError, match="at least 0, not -1"):
        await verified(client, many, output, max_credits=-1)


@pytest.mark.asyncio
async def test_too_few_credits_raise_before_anything_is_sent(
    sandbox: Sandbox, client: Client, many: Path, output: Path
) -> None:
    sandbox.credits = 5
    message = (
        r"list\.csv costs 6 credits and the account has 5: 1 are missing, and nothing was spent"
    )
    with pytest.raises(InsufficientCreditsError, match=message):
        await verified(client, many, output, largest_part=2)
    assert sandbox.ledger.uploads == []
    assert left_behind(output) == []


@pytest.mark.asyncio
async def test_a_run_stops_when_the_credits_run_out_and_goes_on_with_new_ones(
    sandbox: Sandbox, client: Client, many: Path, output: Path, folder: Path
) -> None:
    def take(seen: RunProgress) -> None:
        if seen.stage is Stage.FETCHED and seen.part and seen.part.number == 1:
            sandbox.credits = 3

    message = "costs 4 credits and the account has 3: 1 are missing, and 2 have been spent on it"
    with pytest.raises(InsufficientCreditsError, match=message):
        await verified(client, many, output, largest_part=2, parts_at_once=1, on_progress=take)
    assert states(folder) == ["downloaded", "uploaded", "pending"]
    assert not output.exists()
    sandbox.credits = 4
    report = await verified(client, many, output, largest_part=2)
    assert (report.credits_spent, report.credits_spent_before) == (4, 2)
    assert len(sandbox.ledger.uploads) == 3
    assert sandbox.credits == 0


@pytest.mark.asyncio
async def test_credits_that_an_earlier_call_may_have_paid_are_not_required_again(
    sandbox: Sandbox, client: Client, many: Path, output: Path
) -> None:
    def stop(seen: RunProgress) -> None:
        if seen.stage is Stage.VERIFYING:
            raise RuntimeError("stopped")

    sandbox.credits = 6
    with pytest.raises(RuntimeError, match="stopped"):
        await verified(client, many, output, on_progress=stop)
    assert sandbox.credits == 0
    report = await verified(client, many, output)
    assert (report.credits_spent, report.credits_spent_before) == (0, 6)


@pytest.mark.asyncio
async def test_a_service_that_counts_more_than_was_sent_is_not_paid(
    sandbox: Sandbox,
    client: Client,
    source: Path,
    output: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    upload = client.upload

    async def add(path: Path, *, title: str) -> object:
        return await upload(path.read_bytes() + b"another@x.com\n", title=title)

    monkeypatch.setattr(client, "upload", add)
    with pytest.raises(
        ProtocolError, match=r"The service counts 3 addresses in job .*, but 2 were sent"
    ):
        await verified(client, source, output)
    assert sandbox.ledger.starts == []


@pytest.mark.asyncio
async def test_a_lower_count_of_the_service_is_paid(
    client: Client,
    source: Path,
    output: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    upload = client.upload

    async def drop(path: Path, *, title: str) -> object:
        return await upload(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]), title=title)

    monkeypatch.setattr(client, "upload", drop)
    report = await verified(client, source, output)
    assert (report.credits_spent, report.missing) == (1, 1)

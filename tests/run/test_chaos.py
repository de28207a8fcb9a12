"""Many faults of the service and the network: the same call comes to its end, and pays once."""

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from tenacity import wait_none

from bulkverify import BulkVerifyError, Client, RunProgress, Stage
from bulkverify.sandbox import Fault, FaultKind, Sandbox
from bulkverify.sandbox.ledger import ENDPOINTS

from .lists import left_behind, name, numbered, table, verdicts_of, verified

PARTS, A_PART = 6, 2
MOST_CALLS = 60
# These only take time; a list that never completes takes too long.
ENDLESS = {FaultKind.HANG, FaultKind.DELAY, FaultKind.ENDLESS}
# A list that ends early is sent again, and may be paid twice.
ENDING = {FaultKind.FAIL, FaultKind.CANCEL}
KINDS = [kind for kind in FaultKind if kind not in ENDLESS | ENDING]


@pytest_asyncio.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox(speed=1000, requests_per_minute=None, max_verifying=2) as sandbox:
        yield sandbox


@pytest_asyncio.fixture
async def client(sandbox: Sandbox) -> AsyncIterator[Client]:
    async with Client(
        sandbox.api_key,
        base_url=sandbox.url,
        requests_per_minute=None,
        backoff=wait_none(),
        attempts=2,
    ) as client:
        yield client


def disaster(chance: random.Random) -> Fault | None:
    """Make a fault of a random kind, at an endpoint that can have it."""
    kind = chance.choice(KINDS)
    # A service that does the work and then answers 429 does not tell the truth.
    answers = [500, 502, 503] if kind is FaultKind.ANSWER_AFTER else [500, 502, 503, 429, 400]
    try:
        return Fault(
            kind=kind,
            endpoint=chance.choice(ENDPOINTS),
            skip=chance.randrange(8),
            times=chance.randrange(1, 4),
            status=chance.choice(answers),
        )
    except ValueError:  # a fault that could never take effect
        return None


@pytest.mark.asyncio
@pytest.mark.parametrize("seed", range(12))
async def test_the_same_call_succeeds_in_the_end(
    sandbox: Sandbox, client: Client, source: Path, output: Path, seed: int
) -> None:
    chance = random.Random(seed)  # noqa: S311 - a test
    source.write_text(numbered(PARTS * A_PART))
    for fault in filter(None, (disaster(chance) for _ in range(30))):
        sandbox.inject(fault)

    def interrupt(seen: RunProgress) -> None:
        if seen.stage is not Stage.DONE and chance.random() < 0.02:
            call.cancel()

    report = None
    for _ in range(MOST_CALLS):
        call = asyncio.create_task(
            verified(client, source, output, largest_part=A_PART, on_progress=interrupt, timeout=5)
        )
        await asyncio.wait({call})
        if call.cancelled():
            continue
        error = call.exception()
        if error is None:
            report = call.result()
            break
        assert isinstance(error, BulkVerifyError), error
    ledger = sandbox.ledger
    assert report is not None, f"no call succeeded; the faults were {ledger.faults}"
    assert ledger.faults.total() > 0
    assert verdicts_of(table(output)[1:]) == [
        name(number).partition("+")[0] for number in range(PARTS * A_PART)
    ]
    assert ledger.paid == {f"{name(number)}@example.com": 1 for number in range(PARTS * A_PART)}
    assert report.credits_spent + report.credits_spent_before == ledger.credits_spent
    assert len(ledger.starts) == PARTS
    assert len(ledger.uploads) - PARTS <= report.orphans
    assert left_behind(output) == []

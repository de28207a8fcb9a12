"""Results that do not fit the list: the part fails, and the same call fetches them again."""

from pathlib import Path
from typing import Any

import pytest

from bulkverify import Client, IncompleteDownloadError, IncompleteRunError, ProtocolError
from bulkverify.sandbox import Fault, FaultKind, Sandbox

from .lists import left_behind, name, numbered, states, table, verdicts_of, verified

HEADER = "email,Verification Result,Verified At\n"
SENT = [f"{name(number)}@example.com" for number in range(12)]
VERDICTS = [name(number).partition("+")[0] for number in range(12)]


def results(rows: list[tuple[str, str]]) -> str:
    return HEADER + "".join(f"{address},{verdict},\n" for address, verdict in rows)


def answer(rows: list[tuple[str, str]], *, times: int | None) -> Fault:
    return Fault(
        endpoint="download",
        kind=FaultKind.ANSWER,
        status=200,
        body=results(rows),
        headers={"Content-Type": "text/csv"},
        times=times,
    )


TRUE = list(zip(SENT, VERDICTS, strict=True))
LIES = [
    pytest.param([TRUE[0]] * 12, "11 of 12 .* no verdict, 11 rows repeat an address", id="doubled"),
    pytest.param(TRUE[:6] * 2, "6 of 12 .* no verdict, 6 rows repeat", id="half of it twice"),
    pytest.param([*TRUE[:11], ("x@y.com", "unknown")], "1 of 12 .* 1 have one that was not sent", id="a foreign row"),
    pytest.param([(f"x{n}@y.com", "unknown") for n in range(12)], "12 of 12 .* 12 have one", id="of another list"),
    pytest.param([*TRUE, (SENT[0], "unknown")], "1 of 12 .* 1 addresses have rows that contradict", id="a contradiction"),
    pytest.param([(one.upper(), verdict) for one, verdict in TRUE[:11]] + [TRUE[0]], "1 of 12", id="upper case"),
]  # fmt: skip


@pytest.fixture
def many(source: Path) -> Path:
    source.write_text(numbered(12))
    return source


@pytest.mark.asyncio
@pytest.mark.parametrize(("lie", "message"), LIES)
async def test_a_part_with_wrong_results_fails_and_is_fetched_again(  # noqa: PLR0917 - fixtures
    sandbox: Sandbox,
    client: Client,
    many: Path,
    output: Path,
    folder: Path,
    lie: list[tuple[str, str]],
    message: str,
) -> None:
    sandbox.inject(answer(lie, times=6))
    for fetched in (3, 6):
        with pytest.raises(IncompleteDownloadError, match=message) as caught:
            await verified(client, many, output)
        assert sandbox.ledger.requests["download"] == fetched
        assert caught.value.expected == 12
        assert states(folder) == ["started"]
        assert not output.exists()
    report = await verified(client, many, output)
    assert verdicts_of(table(output)[1:]) == VERDICTS
    assert (report.missing, report.credits_spent, report.credits_spent_before) == (0, 0, 12)
    assert (sandbox.ledger.credits_spent, len(sandbox.ledger.uploads)) == (12, 1)
    assert left_behind(output) == []


@pytest.mark.asyncio
@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("lie", [TRUE[:6] * 2, []])
async def test_a_replica_that_is_behind_is_asked_again_at_once(  # noqa: PLR0917 - fixtures
    sandbox: Sandbox,
    client: Client,
    many: Path,
    output: Path,
    lie: list[tuple[str, str]],
    times: int,
) -> None:
    sandbox.inject(answer(lie, times=times))
    await verified(client, many, output)
    assert verdicts_of(table(output)[1:]) == VERDICTS
    assert sandbox.ledger.requests["download"] == times + 1


@pytest.mark.asyncio
async def test_missing_results_are_noticed_although_the_status_has_no_total(
    sandbox: Sandbox, client: Client, many: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bulkverify.sandbox.app.answers.status_answer", without_total)
    sandbox.inject(Fault(endpoint="download", kind=FaultKind.TRUNCATE_CLEANLY, times=3))
    with pytest.raises(IncompleteDownloadError, match="6 of 12 addresses have no verdict"):
        await verified(client, many, output)
    await verified(client, many, output)
    assert verdicts_of(table(output)[1:]) == VERDICTS


def without_total(snapshot: Any) -> dict[str, object]:  # noqa: ANN401 - of the sandbox
    return {
        "job_id": snapshot.job_id,
        "status": snapshot.status,
        "success": True,
        "message": "",
    }


@pytest.mark.asyncio
async def test_results_of_another_part_fail_that_part_alone(
    sandbox: Sandbox, client: Client, many: Path, output: Path, folder: Path
) -> None:
    sandbox.inject(answer(TRUE[:4], times=7))
    with pytest.raises(IncompleteRunError, match="2 of 3 parts") as caught:
        await verified(client, many, output, largest_part=4, parts_at_once=1)
    assert [failure.number for failure in caught.value.failures] == [2, 3]
    assert states(folder) == ["downloaded", "started", "started"]
    assert verdicts_of(table(output)[1:]) == [*VERDICTS[:4], *[""] * 8]
    await verified(client, many, output, largest_part=4)
    assert verdicts_of(table(output)[1:]) == VERDICTS
    assert sandbox.ledger.credits_spent == 12


@pytest.mark.asyncio
async def test_results_that_can_not_be_read_are_fetched_again_at_once(
    sandbox: Sandbox, client: Client, many: Path, output: Path, folder: Path
) -> None:
    fault = Fault(
        endpoint="download",
        kind=FaultKind.ANSWER,
        status=200,
        body="email,Nonsense\n" + "x,y\n" * 12,
        headers={"Content-Type": "text/csv"},
        times=4,
    )
    sandbox.inject(fault)
    with pytest.raises(ProtocolError, match="no column"):
        await verified(client, many, output)
    assert states(folder) == ["started"]
    await verified(client, many, output)
    assert sandbox.ledger.requests["download"] == 5

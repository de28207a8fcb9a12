"""A plan counts what earlier calls have paid, and changes nothing."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from bulkverify import Client, IncompleteRunError, JournalError, RunPlan, UsageError
from bulkverify.run.dry import plan_rest
from bulkverify.sandbox import Fault, FaultKind, Sandbox

from .lists import numbered, verified

REFUSED = '{"success": false, "result": "Invalid file data"}'


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


async def planned(client: Client, source: Path, output: Path, **options: Any) -> RunPlan:  # noqa: ANN401
    """Plan a run, and check that this changes no file."""
    before = everything(output.parent)
    try:
        return await plan_rest(source, output, base_url=client.base_url, **options)
    finally:
        assert everything(output.parent) == before


def shown(plan: RunPlan) -> tuple[int, int, bool]:
    return plan.cost, plan.spent_before, plan.already_verified_at is not None


@pytest.mark.asyncio
async def test_a_plan_for_a_new_output_costs_all_addresses(
    client: Client, source: Path, output: Path
) -> None:
    source.write_text(numbered(4))
    assert shown(await planned(client, source, output)) == (4, 0, False)


@pytest.mark.asyncio
async def test_a_list_that_is_verified_costs_nothing(
    sandbox: Sandbox, client: Client, source: Path, output: Path
) -> None:
    source.write_text(numbered(4))
    await verified(client, source, output)
    requests = sandbox.ledger.requests.total()
    assert shown(await planned(client, source, output)) == (0, 4, True)
    assert sandbox.ledger.requests.total() == requests
    assert shown(await planned(client, source, output, overwrite=True, restart=True)) == (
        4,
        0,
        False,
    )
    with pytest.raises(FileExistsError):
        await planned(client, source, output, restart=True)
    again: list[dict[str, Any]] = [{"only": ["unknown"]}, {"excel_safe": True}]
    for options in again:
        with pytest.raises(FileExistsError):
            await planned(client, source, output, **options)
        plan = await planned(client, source, output, overwrite=True, **options)
        assert shown(plan) == (4, 0, False)
    elsewhere = await plan_rest(source, output, base_url="https://other.example/v1", overwrite=True)
    assert shown(elsewhere) == (4, 0, False)
    source.write_text(numbered(5))
    assert shown(await planned(client, source, output, overwrite=True)) == (5, 0, False)


@pytest.mark.asyncio
async def test_a_run_that_was_cut_short_costs_the_rest(
    sandbox: Sandbox, client: Client, source: Path, output: Path
) -> None:
    source.write_text(numbered(6))
    sandbox.inject(
        Fault(kind=FaultKind.ANSWER, endpoint="upload", skip=1, status=400, body=REFUSED)
    )
    with pytest.raises(IncompleteRunError):
        await verified(client, source, output, largest_part=2, parts_at_once=1)
    assert shown(await planned(client, source, output)) == (2, 4, False)
    other = output.with_name("other.csv")
    assert shown(await planned(client, source, other)) == (6, 0, False)
    with pytest.raises(JournalError, match="other options"):
        await planned(client, source, output, judge=False)
    source.write_text(numbered(7))
    with pytest.raises(JournalError, match="has changed since"):
        await planned(client, source, output)
    plan = await planned(client, source, output, restart=True, overwrite=True)
    assert shown(plan) == (7, 0, False)


@pytest.mark.asyncio
async def test_a_plan_refuses_what_is_no_address_of_a_service(
    client: Client, source: Path, output: Path
) -> None:
    source.write_text(numbered(4))
    await verified(client, source, output)
    with pytest.raises(UsageError):
        await plan_rest(source, output, base_url="nowhere")


@pytest.mark.asyncio
async def test_a_list_in_place_costs_nothing_either(client: Client, source: Path) -> None:
    source.write_text(numbered(4))
    await verified(client, source, source, overwrite=True)
    assert shown(await planned(client, source, source)) == (0, 4, True)


@pytest.mark.asyncio
async def test_a_plan_refuses_what_the_run_would_refuse(
    client: Client, source: Path, output: Path
) -> None:
    source.write_text(numbered(4))
    with pytest.raises(UsageError, match="more than the 3 allowed"):
        await planned(client, source, output, max_credits=3)
    assert shown(await planned(client, source, output, max_credits=4)) == (4, 0, False)
    output.write_text("someone else's\n")
    with pytest.raises(FileExistsError):
        await planned(client, source, output)


@pytest.mark.asyncio
async def test_a_folder_that_no_run_has_made_holds_no_results(
    client: Client, source: Path, output: Path, folder: Path
) -> None:
    source.write_text(numbered(4))
    folder.mkdir()
    (folder / "part-0001.results.csv").write_text("mine")
    assert shown(await planned(client, source, output)) == (4, 0, False)


@pytest.mark.asyncio
async def test_a_start_that_may_not_have_arrived_is_told_and_asked_about(
    sandbox: Sandbox, client: Client, source: Path, output: Path
) -> None:
    source.write_text(numbered(4))
    sandbox.inject(Fault(endpoint="start", kind=FaultKind.HANG))
    run = asyncio.create_task(verified(client, source, output))
    while not sandbox.ledger.requests["start"]:  # noqa: ASYNC110 - the sandbox changes it
        await asyncio.sleep(0.001)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    plan = await planned(client, source, output)
    assert (plan.cost, plan.spent_before, plan.uncertain) == (0, 4, 4)
    plans: list[RunPlan] = []

    def refuse(plan: RunPlan) -> bool:
        plans.append(plan)
        return False

    with pytest.raises(UsageError, match=r"not confirmed\. Nothing more was sent or spent"):
        await verified(client, source, output, confirm=refuse)
    assert (plans[0].cost, plans[0].uncertain) == (0, 4)
    assert sandbox.ledger.credits_spent == 0
    report = await verified(client, source, output, confirm=lambda _: True)
    assert report.credits_spent + report.credits_spent_before == 4
    assert sandbox.ledger.credits_spent == 4

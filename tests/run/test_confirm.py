"""The question before anything is spent."""

import logging
from pathlib import Path

import pytest

from bulkverify import Client, IncompleteRunError, RunPlan, RunProgress, Stage, UsageError
from bulkverify.sandbox import Fault, FaultKind, Sandbox

from .lists import D, left_behind, numbered, verified


@pytest.mark.asyncio
async def test_the_plan_is_shown_before_anything_is_sent(
    sandbox: Sandbox, client: Client, source: Path, output: Path
) -> None:
    source.write_text(f"Email,Other email\n{D}@x.com,o@x.com\n{D}@x.com,\n,\n")
    sandbox.credits = 70
    plans: list[RunPlan] = []

    def confirm(plan: RunPlan) -> bool:
        assert not sandbox.ledger.uploads
        plans.append(plan)
        return True

    await verified(client, source, output, confirm=confirm)
    [plan] = plans
    [taken] = plan.lists
    assert (taken.title, taken.column, taken.others) == (str(source), "Email", ("Other email",))
    assert (plan.rows, plan.addresses, plan.duplicates, plan.blank) == (3, 1, 1, 1)
    assert (plan.cost, plan.balance, plan.spent_before) == (1, 70, 0)
    assert sandbox.ledger.credits_spent == 1


@pytest.mark.asyncio
@pytest.mark.parametrize("waits", [False, True])
async def test_a_no_ends_the_run_before_anything_is_sent(
    sandbox: Sandbox, client: Client, source: Path, output: Path, *, waits: bool
) -> None:
    source.write_text(numbered(3))

    async def refuse(_: RunPlan) -> bool:
        return False

    with pytest.raises(UsageError, match=r"The plan was not confirmed\. Nothing was sent or spent"):
        await verified(client, source, output, confirm=refuse if waits else lambda _: False)
    assert sandbox.ledger.uploads == []
    assert left_behind(output) == []
    assert not output.exists()


@pytest.mark.asyncio
@pytest.mark.parametrize("answer", ["no", "yes", None, 1, 0])
async def test_an_answer_that_is_not_a_bool_is_refused(
    sandbox: Sandbox, client: Client, source: Path, output: Path, answer: object
) -> None:
    source.write_text(numbered(3))
    with pytest.raises(UsageError, match=r"must be True or False, not .*Nothing was sent"):
        await verified(client, source, output, confirm=lambda _: answer)
    assert sandbox.ledger.uploads == []
    assert left_behind(output) == []


@pytest.mark.asyncio
async def test_a_run_that_goes_on_asks_about_the_rest_and_an_end_asks_nothing(
    sandbox: Sandbox, client: Client, source: Path, output: Path
) -> None:
    source.write_text(numbered(4))
    body = '{"success": false, "result": "Invalid file data"}'
    sandbox.inject(Fault(kind=FaultKind.ANSWER, endpoint="upload", skip=1, status=400, body=body))
    plans: list[RunPlan] = []

    def confirm(plan: RunPlan) -> bool:
        plans.append(plan)
        return True

    options = {"largest_part": 2, "parts_at_once": 1, "confirm": confirm}
    with pytest.raises(IncompleteRunError):
        await verified(client, source, output, **options)
    await verified(client, source, output, **options)
    assert [(plan.cost, plan.spent_before) for plan in plans] == [(4, 0), (2, 2)]
    await verified(client, source, output, **options)
    assert len(plans) == 2


@pytest.mark.asyncio
async def test_a_run_that_owes_nothing_asks_nothing(
    sandbox: Sandbox, client: Client, source: Path, output: Path
) -> None:
    def stop(seen: RunProgress) -> None:
        if seen.stage is Stage.DOWNLOADING:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        await verified(client, source, output, on_progress=stop)
    await verified(client, source, output, confirm=lambda _: False)
    assert (output.exists(), sandbox.ledger.credits_spent) == (True, 2)


@pytest.mark.asyncio
async def test_a_run_that_goes_on_shows_what_is_not_sent_again(
    sandbox: Sandbox, client: Client, source: Path, output: Path
) -> None:
    source.write_text(f"{numbered(4)}5,no address\n6,Ana <{D}@x.com>\n7,a@x.com b@x.com\n")
    body = '{"success": false, "result": "Invalid file data"}'
    sandbox.inject(Fault(kind=FaultKind.ANSWER, endpoint="upload", skip=1, status=400, body=body))
    plans: list[RunPlan] = []

    def confirm(plan: RunPlan) -> bool:
        plans.append(plan)
        return True

    options = {"largest_part": 2, "parts_at_once": 1, "confirm": confirm}
    with pytest.raises(IncompleteRunError):
        await verified(client, source, output, **options)
    await verified(client, source, output, **options)
    first, again = plans
    assert [(one.row, one.cell) for one in again.examples] == [
        (6, f"Ana <{D}@x.com>"),
        (7, "a@x.com b@x.com"),
        (5, "no address"),
    ]
    assert again.examples == first.examples


@pytest.mark.asyncio
async def test_the_log_says_what_was_taken_and_no_address(
    client: Client, source: Path, output: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source.write_text(f"Email,Other email\n{D}@x.com,o@x.com\n")
    with caplog.at_level(logging.INFO, "bulkverify"):
        await verified(client, source, output)
    assert "the addresses of column 'Email', not of 'Other email'" in caplog.text
    assert (
        "1 addresses to send, 0 known, 0 repeated, 0 invalid, 0 blank: 1 credits of" in caplog.text
    )
    assert "@x.com" not in caplog.text


@pytest.mark.asyncio
async def test_the_log_names_the_only_column_of_addresses(
    client: Client, source: Path, output: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "bulkverify"):
        await verified(client, source, output)
    assert "the addresses of column 'email'" in [text[-31:] for text in caplog.messages]

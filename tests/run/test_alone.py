"""A list of one address is never sent: the address is verified by the call for one address."""

import asyncio
import errno
import os
import re
from pathlib import Path
from typing import Any, BinaryIO

import attrs
import pytest

from bulkverify import (
    AddressVerdict,
    Client,
    InsufficientCreditsError,
    JobStatus,
    RunProgress,
    RunReport,
    ServiceError,
    Stage,
    UnexpectedRedirectError,
    UsageError,
    VerifyTimeoutError,
    VerifyUncertainError,
    files,
    plan_list,
    verify_rows,
    wait_until,
)
from bulkverify.lists import ListSource
from bulkverify.run import outages
from bulkverify.run.alone import spare_path
from bulkverify.sandbox import Fault, FaultKind, Sandbox
from tests.refusals import afterwards, answered, said

from .lists import (
    FAST,
    OURS,
    D,
    U,
    journal_at,
    left_behind,
    name,
    states,
    table,
    verdicts_of,
    verified,
)

ONE = [f"{U}@x.com"]


@pytest.fixture
def alone(source: Path) -> Path:
    """Write a list with one distinct address, twice, and rows without an address."""
    source.write_text(f"n,email\n1,{D}+info@gmail.com\n2,\n3,n/a\n4,{D}+info@GMAIL.com\n")
    return source


@pytest.mark.asyncio
async def test_a_list_of_one_record_fails_after_it_is_paid() -> None:
    async with (
        Sandbox(speed=1000, single_record_fails=True) as sandbox,
        Client(sandbox.api_key, base_url=sandbox.url) as client,
    ):
        for count, status in ((1, JobStatus.FAILED), (2, JobStatus.COMPLETED)):
            job = await client.upload([f"{name(number)}@x.com" for number in range(count)])
            await wait_until(job, "ready", wait=FAST)
            await job.start()
            assert (await wait_until(job, status, wait=FAST)).status == status
            assert sandbox.ledger.spent_on(job.id) == count


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("count", "sizes"), [(1, []), (2, [2]), (4, [4]), (5, [2, 3]), (9, [2, 3, 4])]
)
async def test_lists_of_any_size_are_verified_by_a_service_that_fails_single_records(
    output: Path, count: int, sizes: list[int]
) -> None:
    async with (
        Sandbox(speed=1000, requests_per_minute=None, single_record_fails=True) as sandbox,
        Client(sandbox.api_key, base_url=sandbox.url, requests_per_minute=None) as client,
    ):
        sent = [f"{name(number)}@x.com" for number in range(count)]
        report = await verified(client, sent, output, largest_part=4)
        assert sorted(upload.total for upload in sandbox.ledger.uploads) == sizes
        assert sandbox.ledger.verified_addresses == sent[: count == 1]
        assert report.credits_spent == sandbox.ledger.credits_spent == count
        assert (report.missing, report.addresses) == (0, count)
    assert verdicts_of(table(output)[1:]) == [one.partition("+")[0] for one in sent]
    assert left_behind(output) == []


@pytest.mark.asyncio
async def test_a_lone_address_gets_every_column(
    sandbox: Sandbox, client: Client, alone: Path, output: Path
) -> None:
    seen: list[RunProgress] = []
    report = await verified(
        client, alone, output, max_credits=1, delete=True, on_progress=seen.append
    )
    _, first, *others = table(output)
    assert first[:-1] == ["1", f"{D}+info@gmail.com", D, "", "Y", "N", "N", "N"]
    assert first[-1].endswith("Z")
    assert verdicts_of(others) == [U, U, D]
    [part] = report.parts
    assert (report.credits_spent, report.credits_spent_before, part.credits) == (1, 0, 1)
    assert (report.rows, report.addresses, report.saved, report.missing) == (4, 1, 3, 0)
    assert part.job_id is None
    stages = [one.part.stage for one in seen if one.part]
    assert stages == [Stage.VERIFYING, Stage.FETCHED]
    assert seen[-1].verified == 1
    requests = sandbox.ledger.requests
    assert (requests["verify"], requests["upload"], requests["delete"]) == (1, 0, 0)
    assert left_behind(output) == []


@pytest.mark.asyncio
async def test_a_lone_address_comes_as_a_row(client: Client) -> None:
    rows = [row async for row in verify_rows(client, ONE, wait=FAST)]
    assert [(row.email, row.verdict) for row in rows] == [(ONE[0], U)]


@pytest.mark.asyncio
async def test_a_lone_address_is_not_paid_beyond_the_limit_or_the_credits(
    sandbox: Sandbox, client: Client, alone: Path, output: Path
) -> None:
    with pytest.raises(UsageError, match="more than the 0 allowed"):
        await verified(client, alone, output, max_credits=0)
    sandbox.credits = 0
    with pytest.raises(InsufficientCreditsError, match="costs 1 credits and the account has 0"):
        await verified(client, alone, output)
    assert sandbox.ledger.requests["verify"] == 0
    assert left_behind(output) == []


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("said", "column"),
    [
        ("free_email", "common_isp"),
        ("role", "role_based"),
        ("disposable", "disposable"),
        ("spamtrap", "spamtrap"),
    ],
)
async def test_each_flag_of_a_lone_address_stands_in_its_own_column_whatever_the_case_of_the_answer(
    client: Client, output: Path, monkeypatch: pytest.MonkeyPatch, said: str, column: str
) -> None:
    verify = client.verify
    none: dict[str, Any] = dict.fromkeys(("free_email", "role", "disposable", "spamtrap"), False)

    async def flagged(address: str) -> AddressVerdict:
        answer = await verify(address)
        return attrs.evolve(answer, email=address.lower(), **(none | {said: True}))

    monkeypatch.setattr(client, "verify", flagged)
    await verified(client, ["Anna@X.com"], output)
    header, row = table(output)
    cells = dict(zip(header, row, strict=True))
    assert [name for name in OURS[1:-1] if cells[name] == "Y"] == [column]


LOST = [
    pytest.param({"kind": FaultKind.DROP_AFTER}, id="lost"),
    pytest.param({"kind": FaultKind.DROP}, id="dropped"),
    pytest.param({"kind": FaultKind.ANSWER_AFTER, "status": 502}, id="502"),
    pytest.param({"kind": FaultKind.ANSWER_AFTER, "status": 200}, id="a page"),
    pytest.param(afterwards(answered(302)), id="redirect"),
    pytest.param(afterwards(answered(200, '{"success": false}')), id="no reason"),
    pytest.param(afterwards(said(403, "Denied")), id="403"),
    pytest.param(said(400, "A text that no contract knows"), id="an unknown text"),
    pytest.param(
        {
            "kind": FaultKind.ANSWER_AFTER,
            "status": 200,
            "body": '{"result":"deliverable","email":"other@x.com","success":true}',
            "headers": {"Content-Type": "application/json"},
        },
        id="about another",
    ),
]


@pytest.mark.asyncio
@pytest.mark.parametrize("lost", LOST)
async def test_a_lone_address_with_a_lost_answer_is_not_sent_again(  # noqa: PLR0917 - fixtures
    sandbox: Sandbox,
    client: Client,
    alone: Path,
    output: Path,
    folder: Path,
    lost: dict[str, Any],
) -> None:
    sandbox.inject(Fault(endpoint="verify", **lost))
    for _ in range(3):
        with pytest.raises(
            VerifyUncertainError, match="for one credit, use `restart=True`"
        ) as info:
            await verified(client, alone, output)
        assert str(folder) in str(info.value)
        assert "the only address of list.csv" in str(info.value)
        assert states(folder) == ["starting"]
        assert journal_at(folder)["parts"][0]["credits"] == 1
        assert sandbox.ledger.requests["verify"] == 1
    report = await verified(client, alone, output, restart=True)
    assert (report.credits_spent, sandbox.ledger.requests["verify"]) == (1, 2)
    assert verdicts_of(table(output)[1:]) == [D, U, U, D]


@pytest.mark.asyncio
async def test_a_lone_address_under_way_when_the_call_ended_counts_as_lost(
    sandbox: Sandbox, client: Client, alone: Path, output: Path, folder: Path
) -> None:
    sandbox.inject(Fault(endpoint="verify", kind=FaultKind.HANG))
    run = asyncio.create_task(verified(client, alone, output))
    while not sandbox.ledger.requests["verify"]:  # noqa: ASYNC110 - the sandbox changes it
        await asyncio.sleep(0.001)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert states(folder) == ["starting"]
    with pytest.raises(VerifyUncertainError):
        await verified(client, alone, output)
    assert sandbox.ledger.requests["verify"] == 1


@pytest.mark.asyncio
async def test_a_lone_address_that_was_refused_costs_nothing(
    sandbox: Sandbox, client: Client, alone: Path, output: Path
) -> None:
    refusal = Fault(
        endpoint="verify",
        kind=FaultKind.ANSWER,
        status=400,
        body='{"success": false, "result": "Invalid request. Required email."}',
        headers={"Content-Type": "application/json"},
    )
    sandbox.inject(refusal)
    with pytest.raises(ServiceError, match="Required email"):
        await verified(client, alone, output)
    assert left_behind(output) == []
    report = await verified(client, alone, output)
    assert (report.credits_spent, report.credits_spent_before) == (1, 0)


@pytest.mark.asyncio
async def test_a_wrong_base_url_raises_before_a_lone_address_is_sent(
    sandbox: Sandbox, client: Client, alone: Path, output: Path
) -> None:
    sandbox.inject(Fault(endpoint="credits", **answered(301)))
    with pytest.raises(UnexpectedRedirectError, match="Correct the base URL"):
        await verified(client, alone, output)
    assert sandbox.ledger.requests["verify"] == 0
    assert left_behind(output) == []


class Disk:
    """A disk that is full for the n-th file after the request for an address."""

    def __init__(self, patched: pytest.MonkeyPatch, sandbox: Sandbox, *full: int) -> None:
        self.writes = 0
        self._full = full
        self._sandbox = sandbox
        self._sync = files.flush_to_disk
        patched.setattr(files, "flush_to_disk", self._flush)

    def _flush(self, file: BinaryIO) -> None:
        if self._sandbox.ledger.requests["verify"]:
            self.writes += 1
            if self.writes in self._full:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._sync(file)


@pytest.mark.asyncio
@pytest.mark.parametrize("full", [(1,), (2,), (3,), (2, 3), (4,)])
async def test_the_verdict_of_a_lone_address_survives_a_full_disk(  # noqa: PLR0917 - fixtures
    sandbox: Sandbox,
    client: Client,
    alone: Path,
    output: Path,
    full: tuple[int, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patched:
        Disk(patched, sandbox, *full)
        with pytest.raises(OSError, match="No space left"):
            await verified(client, alone, output)
    report = await verified(client, alone, output)
    assert (report.credits_spent, report.credits_spent_before) == (0, 1)
    assert sandbox.ledger.requests["verify"] == 1
    assert verdicts_of(table(output)[1:]) == [D, U, U, D]
    assert left_behind(output) == []


@pytest.mark.asyncio
async def test_a_lone_address_is_sent_only_if_its_answer_fits_on_the_disk(
    sandbox: Sandbox, client: Client, alone: Path, output: Path, folder: Path
) -> None:
    spare = spare_path(folder / "part-0001.results.csv")

    def look(seen: RunProgress) -> None:
        if seen.part and seen.part.stage is Stage.VERIFYING:
            spare.mkdir()  # so that the file can't be made

    with pytest.raises(OSError, match=re.escape(spare.name)):
        await verified(client, alone, output, on_progress=look)
    assert sandbox.ledger.requests["verify"] == 0
    spare.rmdir()
    sandbox.inject(Fault(endpoint="verify", kind=FaultKind.HANG))
    run = asyncio.create_task(verified(client, alone, output))
    while not sandbox.ledger.requests["verify"]:  # noqa: ASYNC110 - the sandbox changes it
        await asyncio.sleep(0.001)
    assert spare.stat().st_size >= 16 * 1024
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert not spare.exists()


@pytest.mark.asyncio
async def test_a_lone_address_waits_out_a_throttle(
    sandbox: Sandbox, client: Client, alone: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outages, "LONGEST_OUTAGE", 60.0)
    sandbox.inject(Fault(endpoint="verify", kind=FaultKind.THROTTLE, times=6))
    report: RunReport = await verified(client, alone, output)
    assert (report.credits_spent, sandbox.ledger.credits_spent) == (1, 1)


@pytest.mark.asyncio
async def test_a_verified_lone_address_needs_no_request(
    sandbox: Sandbox, client: Client, alone: Path, output: Path
) -> None:
    class StopError(Exception):
        pass

    def stop(seen: RunProgress) -> None:
        if seen.stage is Stage.JOINING:
            raise StopError

    with pytest.raises(StopError):
        await verified(client, alone, output, on_progress=stop)
    before = sandbox.ledger.requests.total()
    report = await verified(client, alone, output)
    assert (report.credits_spent, report.credits_spent_before) == (0, 1)
    assert sandbox.ledger.requests.total() == before


# Sources without a stable order


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", [set, frozenset, lambda items: iter(set(items))])
async def test_a_set_is_refused_before_anything_is_sent(
    sandbox: Sandbox,
    client: Client,
    output: Path,
    kind: Any,  # noqa: ANN401 - makes a source
) -> None:
    items = [f"{D}@x.com", f"{U}@x.com"]
    with pytest.raises(UsageError, match=r"changes with each process.*Pass `sorted\(\.\.\.\)`"):
        await verified(client, kind(items), output)
    with pytest.raises(UsageError, match="changes with each process"):
        await plan_list(kind(items))
    with pytest.raises(UsageError, match="changes with each process"):
        _ = [row async for row in verify_rows(client, kind(items))]
    assert sandbox.ledger.requests.total() == 0
    assert left_behind(output) == []


@pytest.mark.asyncio
async def test_an_ordered_source_is_accepted(client: Client, output: Path) -> None:
    items: dict[str, object] = {f"{D}@x.com": 1, f"{U}@x.com": 2}
    sources: list[ListSource] = [items.keys(), list(items), (one for one in items)]
    for source in sources:
        await verified(client, source, output, overwrite=True)
        assert verdicts_of(table(output)) == ["verdict", D, U]


@pytest.mark.asyncio
async def test_a_lone_address_is_asked_for_again_after_the_service_ran_out_of_time(
    sandbox: Sandbox, client: Client, alone: Path, output: Path
) -> None:
    sandbox.inject(Fault(endpoint="verify", times=4, **said(200, "Validation timedout")))
    with pytest.raises(VerifyTimeoutError):
        await verified(client, alone, output)
    report = await verified(client, alone, output)
    assert (report.verdicts.deliverable, report.credits_spent) == (2, 1)
    assert (report.credits_spent_before, sandbox.ledger.credits_spent) == (0, 1)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("address", "judge"), [('"a b"@x.com', True), ("a@[192.0.2.1]", True), ("no address", False)]
)
async def test_a_lone_address_that_the_service_calls_malformed_is_undeliverable_at_no_cost(
    sandbox: Sandbox, client: Client, output: Path, address: str, *, judge: bool
) -> None:
    report = await verified(client, [address], output, judge=judge)
    _, row = table(output)
    assert row[:3] == [address, U, "Y"]
    assert (report.credits_spent, report.credits_spent_before, report.missing) == (0, 0, 0)
    assert sandbox.ledger.requests["verify"] == 1
    assert sandbox.ledger.credits_spent == 0

"""The faults that storms have found, each alone."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tenacity import wait_fixed

from bulkverify import (
    Acknowledgement,
    Client,
    JobCancelledError,
    ListLimitError,
    RateLimitedError,
    WaitTimeoutError,
    verify_list,
    wait_until,
)
from bulkverify.client import known_of
from bulkverify.run.outages import Outages
from bulkverify.sandbox import FaultKind
from bulkverify.service import known
from bulkverify.service.answers import retry_after
from bulkverify.waiting.scheduler import MOST_IN_FLIGHT, scheduler_of
from tests.scripted import JOB_ID, ScriptedClient, seen
from tests.served import ADDRESSES, completed, fault, served, uploaded

HOURS_AGO = "Fri, 19 Jul 2024 09:08:26 GMT"
HALF_A_MINUTE_LATER = "Fri, 19 Jul 2024 09:08:56 GMT"


@pytest.mark.asyncio
async def test_a_lagging_replica_does_not_hide_that_a_download_was_cut_off(tmp_path: Path) -> None:
    async with served() as (sandbox, client):
        job = await completed(client)
        async with Client(sandbox.api_key, base_url=sandbox.url) as another:
            sandbox.inject(fault("status", FaultKind.STALE))
            sandbox.inject(fault("download", FaultKind.TRUNCATE_CLEANLY))
            count = await another.job(job.id).download(tmp_path / "verified.csv")
        assert sandbox.ledger.faults[FaultKind.STALE] == 1
        assert count == len(ADDRESSES)


@pytest.mark.parametrize("name", ["Date", "date"])
@pytest.mark.parametrize("ours", [datetime(2024, 7, 19, hour, tzinfo=UTC) for hour in (5, 9, 23)])
def test_a_pause_until_a_date_follows_the_clock_of_the_service(name: str, ours: datetime) -> None:
    headers = {name: HOURS_AGO, "Retry-After": HALF_A_MINUTE_LATER}
    assert retry_after(headers, now=ours) == 30


@pytest.mark.asyncio
@pytest.mark.looptime
async def test_no_pause_that_a_service_asks_for_keeps_a_wait_from_its_job() -> None:
    refusal = RateLimitedError("429", retry_after=86400.0)
    async with ScriptedClient([refusal, seen("completed")]) as client:
        wait = wait_until(client.job(JOB_ID), timeout=3600, wait=wait_fixed(5))
        assert (await wait).status == "completed"
    assert client.polled_at[1] - client.polled_at[0] == pytest.approx(120, abs=0.1)


@pytest.mark.asyncio
@pytest.mark.looptime
async def test_jobs_without_waiters_are_forgotten_while_the_budget_is_short() -> None:
    async with ScriptedClient(lambda _: seen("verifying"), requests_per_minute=10) as client:

        async def give_up(number: int) -> None:
            with pytest.raises(WaitTimeoutError):
                await wait_until(client.job(f"{number:036d}"), timeout=30)

        patient = asyncio.create_task(wait_until(client.job(JOB_ID)))
        for beginning in range(0, 2000, 50):
            await asyncio.gather(*map(give_up, range(beginning, beginning + 50)))
            assert len(scheduler_of(client.job(JOB_ID))._ready) <= 250
        patient.cancel()
        await asyncio.wait({patient})


@pytest.mark.asyncio
async def test_started_lists_are_not_remembered_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(known, "MOST_STARTED", 2)
    async with served() as (_, client):
        jobs = [await uploaded(client) for _ in range(4)]
        for job in jobs:
            await job.start()
        assert [known_of(client).was_started(job.id) for job in jobs] == [False, False, True, True]
        assert len(known_of(client)._started) == 2


@pytest.mark.asyncio
@pytest.mark.looptime
@pytest.mark.timeout(20)
async def test_the_patience_and_the_pauses_of_a_run_use_one_clock() -> None:
    async def full() -> None:
        raise ListLimitError("Full.")

    began = asyncio.get_running_loop().time()
    with pytest.raises(ListLimitError):
        await Outages(3600.0).retry(full, lambda _: None)
    assert asyncio.get_running_loop().time() - began == pytest.approx(3600, abs=1)


@pytest.mark.asyncio
@pytest.mark.looptime
async def test_a_poll_cancelled_before_it_begins_frees_its_place() -> None:
    async with ScriptedClient([seen("verifying")]) as client:
        scheduler = scheduler_of(client.job(JOB_ID))
        for _ in range(MOST_IN_FLIGHT):
            task = asyncio.create_task(wait_until(client.job(JOB_ID)))
            await asyncio.sleep(0)
            task.cancel()
            scheduler._wake_up()  # the poll's task exists but has not run yet
            await asyncio.wait({task})
        assert not scheduler._asking
        with pytest.raises(WaitTimeoutError):
            await wait_until(client.job(JOB_ID), timeout=10)
        assert client.polled_at


@pytest.mark.asyncio
async def test_the_next_call_uploads_a_list_anew_that_was_cancelled_before_its_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, output = tmp_path / "list.csv", tmp_path / "verified.csv"
    source.write_text("email\ndeliverable@example.com\nunknown@example.com\n")
    async with served() as (sandbox, client):
        start = client.start

        async def cancelled_meanwhile(job_id: str) -> Acknowledgement:
            if not sandbox.ledger.requests["start"]:
                sandbox.cancel(job_id)
            return await start(job_id)

        monkeypatch.setattr(client, "start", cancelled_meanwhile)
        with pytest.raises(JobCancelledError):
            await verify_list(client, source, output, wait=wait_fixed(0.01))
        report = await verify_list(client, source, output, wait=wait_fixed(0.01))
        assert report.verdicts.deliverable == 1
        assert len(sandbox.ledger.starts) == 1


@pytest.mark.asyncio
@pytest.mark.looptime
async def test_two_distant_answers_of_a_lagging_replica_end_no_wait() -> None:
    steps = [seen("verifying"), seen("ready"), seen("ready"), seen("verifying"), seen("completed")]
    async with ScriptedClient(steps) as client:
        snapshot = await wait_until(client.job(JOB_ID), wait=wait_fixed(90))
        assert snapshot.status == "completed"

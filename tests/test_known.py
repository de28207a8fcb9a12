import asyncio
import gc
from weakref import ref

import pytest
from tenacity import wait_fixed

from bulkverify import Client, Job, JobStatus, wait_until
from bulkverify.client import budget_of, known_of
from bulkverify.sandbox import Sandbox
from bulkverify.waiting.scheduler import scheduler_of
from bulkverify.waiting.waiters import went_back
from tests.scripted import JOB_ID, ScriptedClient, seen
from tests.test_lifecycle import MAY_FOLLOW, cells


def new_job() -> Job:
    return Client("k").job(JOB_ID)


def test_a_client_has_only_its_public_calls_as_attributes() -> None:
    calls = [
        "base_url",
        "close",
        "credits",
        "delete",
        "download",
        "job",
        "rows",
        "start",
        "stats",
        "status",
        "upload",
        "verify",
    ]
    assert [name for name in dir(Client("k")) if not name.startswith("_")] == calls


def test_a_handle_is_found_while_it_is_in_use() -> None:
    client = Client("k")
    job = client.job("a")
    assert client.job("a") is job
    assert client.job("b") is not job
    gone = ref(job)
    del job
    gc.collect()
    assert gone() is None
    assert known_of(client).handle("a") is None


@pytest.mark.asyncio
async def test_a_poll_takes_one_turn_of_the_budget() -> None:
    async with (
        Sandbox(speed=2000) as sandbox,
        Client(sandbox.api_key, base_url=sandbox.url) as client,
    ):
        await wait_until(await client.upload(["a@x.com"]), "ready", wait=wait_fixed(0.01))
        assert client.stats.polls
        assert len(budget_of(client)._lanes["status"].departures) == client.stats.polls


@pytest.mark.asyncio
@pytest.mark.looptime
async def test_a_handle_stays_while_its_job_is_waited_for() -> None:
    async with ScriptedClient([seen("verifying")]) as client:
        known = known_of(client)
        wait = asyncio.create_task(wait_until(client.job(JOB_ID), wait=wait_fixed(5)))
        await asyncio.sleep(7)
        gc.collect()
        job = client.job(JOB_ID)
        assert not known._idle
        assert scheduler_of(job).streams[JOB_ID].job is job
        assert job.snapshot is not None
        wait.cancel()
        await asyncio.wait([wait])
        assert not scheduler_of(job).streams
        assert client.job(JOB_ID) is job
        del job, wait
        gc.collect()
        assert known.handle(JOB_ID) is None


@pytest.mark.parametrize(
    ("known", "status"), [(known, status) for known, status, legal in cells(MAY_FOLLOW) if legal]
)
def test_a_legal_snapshot_replaces_the_last_one(known: JobStatus, status: JobStatus) -> None:
    job, later = new_job(), seen(status)
    assert job.note(seen(known))
    assert job.note(later)
    assert job.snapshot is later


@pytest.mark.parametrize(
    ("known", "status"),
    [(known, status) for known, status, legal in cells(MAY_FOLLOW) if not legal],
)
def test_an_illegal_snapshot_is_refused_with_its_job_and_both_statuses(
    known: JobStatus, status: JobStatus
) -> None:
    job, first, later = new_job(), seen(known), seen(status)
    assert job.note(first)
    assert not job.note(later)
    assert job.snapshot is first
    error = went_back(first, later)
    assert (
        f"Job {JOB_ID} was {known}, and the service has reported it as {status} for a minute"
        in str(error)
    )
    assert (error.job_id, error.known, error.seen) == (JOB_ID, known, status)
    assert error.snapshot is first


@pytest.mark.parametrize(
    ("known", "next_statuses"),
    [("completed", "Nothing can"), ("verifying", "Only completed, failed, cancelled can")],
)
def test_the_error_of_an_illegal_step_lists_the_next_statuses(
    known: str, next_statuses: str
) -> None:
    assert next_statuses in str(went_back(seen(known), seen("ready")))


@pytest.mark.parametrize("status", JobStatus)
def test_the_first_snapshot_of_a_job_may_have_any_status(status: JobStatus) -> None:
    job = new_job()
    assert job.note(seen(status))
    assert job.snapshot is not None
    assert job.snapshot.status is status


@pytest.mark.asyncio
async def test_a_start_is_remembered_until_its_job_has_ended_or_is_deleted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bulkverify.service.known.MOST_STARTED", 3)
    known = known_of(Client("k"))
    for name in "abcd":  # one more than the client remembers
        known.note_start(name)
    assert [name for name in "abcd" if known.was_started(name)] == ["b", "c", "d"]
    known.note_start("b")
    known.note(seen("verifying", job_id="b"))
    assert known.was_started("b")
    for status in ("completed", "failed", "cancelled"):
        known.note_start("b")
        known.note(seen(status, job_id="b"))
        assert not known.was_started("b")
    known.note_deletion("c")
    assert [name for name in "abcd" if known.was_started(name)] == ["d"]

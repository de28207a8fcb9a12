"""Each test has one kind of fault, and fails without the line of code that it names.

The clock is virtual, so a defence of hours or a client that hangs takes no time.
"""

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import pytest
import pytest_asyncio

from bulkverify import (
    Client,
    IncompleteDownloadError,
    Job,
    JobCancelledError,
    JobFailedError,
    JobStatus,
    LifecycleError,
    RateLimitedError,
    ServiceError,
    UnreadableAnswerError,
    UploadUncertainError,
    Verdict,
    VerdictName,
    WaitTimeoutError,
    wait_until,
    watch,
)
from bulkverify.sandbox import Fault, FaultKind, Sandbox, Timings
from bulkverify.testing import virtual_clock

pytestmark = pytest.mark.asyncio

HOUR = 3600.0
ADDRESSES = [f"deliverable+{number}@example.com" for number in range(1000)]


@pytest_asyncio.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    timings = Timings(start_delay=30, verifying=6 * HOUR, verifying_per_address=0)
    with virtual_clock():
        async with Sandbox(timings=timings, seed=1) as sandbox:
            yield sandbox


@pytest_asyncio.fixture
async def client(sandbox: Sandbox) -> AsyncIterator[Client]:
    async with Client(sandbox.api_key, base_url=sandbox.url) as client:
        yield client


@pytest_asyncio.fixture
async def job(client: Client) -> Job:
    """A list that is ready."""
    job = await client.upload(ADDRESSES)
    await wait_until(job, "ready")
    return job


def now() -> float:
    return asyncio.get_running_loop().time()


def longest_gap(sandbox: Sandbox) -> float:
    """Return the longest time between two polls with a fault, in seconds."""
    moments = [injected.time for injected in sandbox.ledger.injected]
    return max((after - before).total_seconds() for before, after in pairwise(moments))


async def test_answers_of_a_proxy_are_waited_out(sandbox: Sandbox, job: Job) -> None:
    # The defence: `ServerError` among `_TEMPORARY` in streams.py.
    sandbox.inject(Fault(kind=FaultKind.ANSWER, endpoint="status", times=20))
    await job.start()
    await wait_until(job, "completed", timeout=7 * HOUR)
    assert sandbox.ledger.faults == {"answer": 20}


async def test_a_page_instead_of_json_is_waited_out(sandbox: Sandbox, job: Job) -> None:
    # The defence: `UnreadableAnswerError` among `_TEMPORARY` in streams.py.
    sandbox.inject(Fault(kind=FaultKind.ANSWER, endpoint="status", status=200, times=20))
    await job.start()
    await wait_until(job, "completed", timeout=7 * HOUR)


async def test_an_upload_that_may_have_arrived_is_not_sent_again(
    sandbox: Sandbox, client: Client
) -> None:
    # The defence: `repeatable=False` of `upload_rows` in wire.py.
    sandbox.inject(Fault(kind=FaultKind.ANSWER_AFTER, endpoint="upload", times=2))
    with pytest.raises(UploadUncertainError):
        await client.upload([{"email": address} for address in ADDRESSES])
    assert len(sandbox.ledger.uploads) == 1


async def test_a_storm_is_waited_out(sandbox: Sandbox, job: Job) -> None:
    # The defence: `RateLimitedError` among `_TEMPORARY` in streams.py.
    sandbox.inject(Fault(kind=FaultKind.THROTTLE, endpoint="status", lasting=600))
    await job.start()
    await wait_until(job, "completed", timeout=7 * HOUR)
    assert 1 < sandbox.ledger.throttled["status"] < 60


async def test_no_request_is_sent_before_the_pause_ends(sandbox: Sandbox) -> None:
    # The defence: `lane.paused_until = …` of `Budget.throttled` in budget.py.
    begin = now()
    sandbox.inject(Fault(kind=FaultKind.THROTTLE, endpoint="credits", lasting=90, retry_after=100))
    async with Client(sandbox.api_key, base_url=sandbox.url, attempts=1) as client:
        with pytest.raises(RateLimitedError):
            await client.credits()
        await asyncio.gather(*(client.credits() for _ in range(10)))
    assert sandbox.ledger.throttled == {"credits": 1}
    assert now() - begin >= 100


async def test_a_connection_that_breaks_is_waited_out(sandbox: Sandbox, job: Job) -> None:
    # The defence: `ConnectionFailedError` among `_TEMPORARY` in streams.py.
    sandbox.inject(Fault(kind=FaultKind.DROP, endpoint="status", times=20))
    await job.start()
    await wait_until(job, "completed", timeout=7 * HOUR)


async def test_a_start_with_a_lost_answer_succeeds(sandbox: Sandbox, job: Job) -> None:
    # The defence: `except done as error` of `_repeat` in money.py.
    sandbox.inject(Fault(kind=FaultKind.DROP_AFTER, endpoint="start"))
    await job.start()
    assert sandbox.ledger.job(job.id).starts == 1
    assert sandbox.ledger.job(job.id).requests["start"] == 2
    assert sandbox.ledger.paid_twice == []


async def test_a_request_that_hangs_is_repeated(sandbox: Sandbox, client: Client) -> None:
    # The defence: `total=ORDINARY_SECONDS` of `_ORDINARY_TIMEOUT` in transport.py.
    sandbox.inject(Fault(kind=FaultKind.HANG, endpoint="credits"))
    async with asyncio.timeout(200):
        assert (await client.credits()).remaining == 1_000_000


async def test_a_late_answer_moves_no_deadline(sandbox: Sandbox, job: Job) -> None:
    # The defence: `for waiter in self._deadlines.passed(now)` in waiting/scheduler.py.
    sandbox.inject(Fault(kind=FaultKind.DELAY, endpoint="status", delay=60, times=None))
    begin = now()
    with pytest.raises(WaitTimeoutError):
        await wait_until(job, "completed", timeout=10)
    assert now() - begin == pytest.approx(10, abs=1)


async def test_a_poll_whose_answer_trickles_is_repeated(sandbox: Sandbox, client: Client) -> None:
    # The defence: `self._cancel_late_polls(now)` in waiting/scheduler.py; each byte restarts aiohttp's timeout.
    sandbox.inject(Fault(kind=FaultKind.TRICKLE, endpoint="status", piece_bytes=1, delay=50))
    job = await client.upload(ADDRESSES)
    await wait_until(job, "ready", timeout=200)


async def test_a_download_that_breaks_off_is_repeated(
    sandbox: Sandbox, job: Job, tmp_path: Path
) -> None:
    # The defence: `repeatable=True` of `download` in client.py.
    sandbox.inject(Fault(kind=FaultKind.TRUNCATE))
    await job.start()
    await wait_until(job, "completed")
    assert await job.download(tmp_path / "out.csv") == 1000


@pytest.mark.parametrize("verdicts", [None, list(Verdict), [*Verdict, "unknown"]])
async def test_a_download_that_lacks_rows_is_an_error(
    sandbox: Sandbox, job: Job, tmp_path: Path, verdicts: list[Verdict | VerdictName] | None
) -> None:
    # The defence: `_require(count, expected)` of `save_results` in downloads.py.
    sandbox.inject(Fault(kind=FaultKind.TRUNCATE_CLEANLY, times=None))
    await job.start()
    await wait_until(job, "completed")
    with pytest.raises(IncompleteDownloadError):
        await job.download(tmp_path / "out.csv", verdicts=verdicts)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", [FaultKind.HUGE, FaultKind.BOMB])
async def test_an_oversized_answer_is_not_read(
    sandbox: Sandbox, client: Client, kind: FaultKind
) -> None:
    # The defence: `if size > LARGEST_ANSWER_BYTES` in transport.py.
    sandbox.inject(Fault(kind=kind, endpoint="credits", times=None))
    with pytest.raises(UnreadableAnswerError, match="was not read"):
        await client.credits()


async def test_a_job_never_steps_backwards(sandbox: Sandbox, job: Job) -> None:
    # The defence: `can_follow(…)` of `Job.note` in client.py.
    sandbox.inject(Fault(kind=FaultKind.STALE, every=3, times=None))
    await job.start()
    seen = [snapshot.status async for snapshot in watch(job)]
    assert sandbox.ledger.faults["stale"] > 3
    assert seen == sorted(seen, key=list(JobStatus).index)
    assert seen[-1] == "completed"


async def test_complete_counters_do_not_make_polls_rare(sandbox: Sandbox, job: Job) -> None:
    # The defence: `_LONGEST_VERIFIED` of `wait_for_progress` in pacing.py.
    sandbox.inject(Fault(kind=FaultKind.COUNTERS_JUMP, times=None))
    await job.start()
    await wait_until(job, "completed")
    assert longest_gap(sandbox) < 105


async def test_counters_that_fall_do_not_change_the_pace(sandbox: Sandbox, job: Job) -> None:
    # The defence: `if verified > self.verified` of `Progress.note` in pacing.py.
    sandbox.inject(Fault(kind=FaultKind.COUNTERS_BACK, every=2, times=None))
    await job.start()
    await wait_until(job, "completed")
    assert sandbox.ledger.job(job.id).polls < 500


async def test_counters_beyond_the_total_break_nothing(sandbox: Sandbox, job: Job) -> None:
    # The defence: `if remaining <= 0` of `wait_for_progress` in pacing.py.
    sandbox.inject(Fault(kind=FaultKind.COUNTERS_OVER, every=2, times=None))
    await job.start()
    snapshot = await wait_until(job, "completed")
    assert snapshot.verified == snapshot.total == 1000


async def test_counters_that_stand_still_do_not_make_polls_rare(sandbox: Sandbox, job: Job) -> None:
    # The defence: `self.ceiling` of `wait_for_progress` in pacing.py.
    await job.start()
    await asyncio.sleep(300)
    await wait_until(job, "verifying")
    sandbox.inject(Fault(kind=FaultKind.COUNTERS_STUCK, times=None))
    await wait_until(job, "completed")
    assert longest_gap(sandbox) < 122


async def test_a_wait_for_a_list_that_never_ends_times_out(
    sandbox: Sandbox, client: Client
) -> None:
    # The defence: `DEFAULT_TIMEOUT` in limits.py.
    sandbox.inject(Fault(kind=FaultKind.ENDLESS))
    job = await client.upload(ADDRESSES)
    await wait_until(job, "ready")
    await job.start()
    with pytest.raises(WaitTimeoutError, match="verifying"):
        await wait_until(job, "completed")


async def test_a_pause_follows_the_clock_of_the_service(sandbox: Sandbox, client: Client) -> None:
    # The defence: the answer's own `Date` in `retry_after` of answers.py.
    sandbox.inject(Fault(kind=FaultKind.CLOCK_JUMP, jump=86400, endpoint="verify"))
    await client.verify("unknown@example.com")
    sandbox.inject(
        Fault(kind=FaultKind.THROTTLE, endpoint="credits", retry_after=1, retry_after_date=True)
    )
    begin = now()
    assert (await client.credits()).remaining == 999_999
    assert now() - begin < 130


async def test_a_denied_key_ends_a_wait_at_once(sandbox: Sandbox, job: Job) -> None:
    # The defence: `_TEMPORARY` in streams.py has no other refusals.
    await job.start()
    sandbox.inject(Fault(kind=FaultKind.DENY, endpoint="status"))
    with pytest.raises(ServiceError, match="403 Access denied") as caught:
        await wait_until(job, "completed", timeout=7 * HOUR)
    assert caught.value.status == 403
    await wait_until(job, "completed", timeout=7 * HOUR)


async def test_an_address_for_which_the_service_ran_out_of_time_is_asked_for_again(
    sandbox: Sandbox, client: Client
) -> None:
    # The defence: `VerifyTimeoutError` in `may_repeat` of retrying.py.
    sandbox.inject(Fault(kind=FaultKind.VERIFY_TIMEOUT, delay=180.6))
    begin = now()
    assert (await client.verify("deliverable@example.com")).verdict == "deliverable"
    assert now() - begin > 180
    assert (sandbox.ledger.requests["verify"], sandbox.ledger.credits_spent) == (2, 1)


@pytest.mark.parametrize(
    ("kind", "error"),
    [(FaultKind.FAIL, JobFailedError), (FaultKind.CANCEL, JobCancelledError)],
)
async def test_a_list_that_ends_early_ends_its_wait_at_once(
    sandbox: Sandbox, job: Job, kind: FaultKind, error: type[LifecycleError]
) -> None:
    # The defence: `_unreachable` in waiters.py.
    await job.start()
    polls = sandbox.ledger.polls
    sandbox.inject(Fault(kind=kind, endpoint="status", skip=3))
    with pytest.raises(error):
        await wait_until(job, "completed", timeout=7 * HOUR)
    assert sandbox.ledger.polls == polls + 4


async def test_every_kind_has_its_test() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    assert not [kind.name for kind in FaultKind if f"FaultKind.{kind.name}" not in text]

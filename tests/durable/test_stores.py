"""Lists and outputs in a bucket, and workers that lack what another one had."""

import asyncio
import shutil
import signal
import tempfile
from pathlib import Path
from typing import Any

import pytest

from bulkverify import IncompleteRunError, InvalidListError, UsageError
from bulkverify.durable import Engine, accounts
from bulkverify.durable.scratch import Scratch
from bulkverify.run.folder import Lock
from bulkverify.run.journal import journal_of
from bulkverify.run.models import JournalError
from bulkverify.sandbox import Fault, FaultKind, Sandbox
from tests.run.lists import numbered, table

from .bucket import Bucket
from .made import (
    engine,
    left_on,
    require_all_verified,
    require_paid_once,
    said,
    stopped,
    worker,
)

OUT, NOTE = "verified.csv", ".verified.csv.done"


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which each worker makes one of its own."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setattr(accounts, "_FIRST_PAUSE", 0.05)
    monkeypatch.setattr(accounts, "CREDITS_SECONDS", 0.05)
    return folder


async def submit(working: Engine, bucket: Bucket, **options: Any) -> Any:  # noqa: ANN401 - a run
    given = {"account": "acme", "largest_part": 2, **options}
    return await working.submit(bucket.url("list.csv"), bucket.url(OUT), **given)


def require_object(bucket: Bucket, folder: Path, count: int) -> None:
    copy = folder / "copy.csv"
    copy.write_text(bucket.get(OUT))
    require_all_verified(copy, count)
    assert table(copy)[1][:2] == ["0", "deliverable+0@example.com"]


async def started(sandbox: Sandbox, count: int) -> None:
    async with asyncio.timeout(60):
        while len(sandbox.ledger.starts) < count:  # noqa: ASYNC110 - of another service
            await asyncio.sleep(0.02)


@pytest.mark.asyncio
async def test_a_run_goes_from_object_to_object(
    sqlite: str, sandbox: Sandbox, bucket: Bucket, tmp_path: Path, scratch: Path
) -> None:
    source = bucket.put("list.csv", numbered(7))
    async with engine(sqlite, sandbox) as working:
        report = await (await submit(working, bucket)).wait()
        again = await (await submit(working, bucket)).wait()
    require_object(bucket, tmp_path, 7)
    require_paid_once(sandbox, 7)
    assert report.destination == again.destination == bucket.url(OUT)
    assert report.lists[0].title == source
    assert again.already_verified_at is not None
    assert sorted(bucket.keys()) == [NOTE, "list.csv", OUT]
    assert bucket.unfinished() == 0
    assert list(scratch.iterdir()) == []
    assert b"SECRETOFTHESTORE" not in b"".join(
        path.read_bytes() for path in tmp_path.glob("runs.db*")
    )


@pytest.mark.asyncio
async def test_an_object_that_exists_is_kept_unless_it_may_be_replaced(
    sqlite: str, sandbox: Sandbox, bucket: Bucket, tmp_path: Path
) -> None:
    bucket.put("list.csv", numbered(7))
    bucket.put(OUT, "mine")
    async with engine(sqlite, sandbox) as working:
        with pytest.raises(FileExistsError, match="s3://"):
            await (await submit(working, bucket)).wait()
        assert not sandbox.ledger.uploads
        assert bucket.get(OUT) == "mine"
        await (await submit(working, bucket, overwrite=True, delete=True)).wait()
    require_object(bucket, tmp_path, 7)
    assert len(sandbox.ledger.deletes) == 3


async def downloads(sandbox: Sandbox, count: int) -> None:
    async with asyncio.timeout(60):
        while sandbox.ledger.requests["download"] < count:  # noqa: ASYNC110 - of another service
            await asyncio.sleep(0.02)


@pytest.mark.asyncio
async def test_another_run_replaces_an_object_that_is_incomplete(
    sqlite: str, sandbox: Sandbox, bucket: Bucket, tmp_path: Path
) -> None:
    bucket.put("list.csv", numbered(7))
    refusal = '{"success": false, "result": "No"}'
    sandbox.inject(
        Fault(endpoint="upload", kind=FaultKind.ANSWER, skip=1, status=400, body=refusal)
    )
    async with engine(sqlite, sandbox) as working:
        with pytest.raises(
            IncompleteRunError, match=r"s3://lists/verified\.csv has those"
        ) as caught:
            await (await submit(working, bucket)).wait()
        assert caught.value.report is not None
        assert len(bucket.get(OUT).splitlines()) == 8
        assert caught.value.report.missing > 0
        await (await submit(working, bucket)).wait()
    require_object(bucket, tmp_path, 7)
    require_paid_once(sandbox, 7)


@pytest.mark.asyncio
async def test_a_worker_with_an_empty_folder_goes_on(
    sqlite: str, sandbox: Sandbox, bucket: Bucket, tmp_path: Path
) -> None:
    """The second worker has neither the parts nor the results of the first."""
    bucket.put("list.csv", numbered(7))
    sandbox.inject(Fault(endpoint="download", kind=FaultKind.DELAY, delay=60, skip=2))
    async with engine(sqlite, sandbox) as first:
        run = await submit(first, bucket)
        await downloads(sandbox, 3)
    async with engine(sqlite, sandbox) as second:
        await second.run(run.id).wait()
    require_object(bucket, tmp_path, 7)
    require_paid_once(sandbox, 7)
    assert sandbox.ledger.requests["download"] == 6
    assert len(sandbox.ledger.uploads) == 3


@pytest.mark.asyncio
async def test_a_list_that_has_changed_is_not_sent(
    sqlite: str, bucket: Bucket, tmp_path: Path
) -> None:
    bucket.put("list.csv", numbered(7))
    async with Sandbox(speed=1000, requests_per_minute=None, credits=6) as sandbox:
        async with engine(sqlite, sandbox) as first:
            run = await submit(first, bucket)
            while not sandbox.ledger.requests["credits"]:  # noqa: ASYNC110 - of another service
                await asyncio.sleep(0.02)
        sandbox.credits += 1
        bucket.put("list.csv", numbered(9))
        async with engine(sqlite, sandbox) as second:
            with pytest.raises(JournalError, match=r"s3://lists/list\.csv has changed"):
                await second.run(run.id).wait()
            assert not sandbox.ledger.uploads
            bucket.put("list.csv", numbered(7))
            await (await submit(second, bucket)).wait()
        require_object(bucket, tmp_path, 7)
        require_paid_once(sandbox, 7)


@pytest.mark.asyncio
async def test_a_list_that_has_changed_gets_no_verdicts_of_another(
    sqlite: str, sandbox: Sandbox, bucket: Bucket, tmp_path: Path
) -> None:
    bucket.put("list.csv", numbered(7))
    sandbox.inject(Fault(endpoint="download", kind=FaultKind.DELAY, delay=60, times=3))
    async with engine(sqlite, sandbox) as first:
        run = await submit(first, bucket)
        await downloads(sandbox, 3)
    bucket.put("list.csv", numbered(7, "example.org"))
    async with engine(sqlite, sandbox) as second:
        with pytest.raises(JournalError, match=r"s3://lists/list\.csv has changed"):
            await second.run(run.id).wait()
        assert bucket.keys() == ["list.csv"]
        bucket.put("list.csv", numbered(7))
        await (await submit(second, bucket)).wait()
    require_object(bucket, tmp_path, 7)
    require_paid_once(sandbox, 7)


@pytest.mark.asyncio
async def test_a_run_waits_while_the_bucket_is_away(
    sqlite: str, sandbox: Sandbox, bucket: Bucket, tmp_path: Path
) -> None:
    bucket.put("list.csv", numbered(7))
    async with engine(sqlite, sandbox) as working:
        bucket.go_away()
        run = await submit(working, bucket)
        await asyncio.sleep(1)
        assert (await run.state()).state in {"queued", "running"}
        assert not sandbox.ledger.uploads
        bucket.come_back()
        sandbox.inject(Fault(endpoint="download", kind=FaultKind.DELAY, delay=0.5))
        await downloads(sandbox, 1)
        bucket.go_away()
        await asyncio.sleep(1)
        assert (await run.state()).state in {"queued", "running"}
        bucket.come_back()
        await run.wait()
    require_object(bucket, tmp_path, 7)
    require_paid_once(sandbox, 7)


@pytest.mark.asyncio
async def test_nothing_is_sent_if_there_is_no_list_or_no_room_for_the_output(
    sqlite: str, sandbox: Sandbox, bucket: Bucket
) -> None:
    async with engine(sqlite, sandbox) as working:
        with pytest.raises(InvalidListError, match=r"no list at s3://lists/list\.csv"):
            await (await submit(working, bucket)).wait()
        bucket.put("list.csv", numbered(7))
        held = await working.submit(bucket.url("list.csv"), "s3://none/out.csv", account="acme")
        await asyncio.sleep(0.5)
        assert (await held.state()).state in {"queued", "running"}
        await held.cancel()
    assert not sandbox.ledger.uploads


@pytest.mark.asyncio
async def test_parts_beside_an_output_are_made_again_if_they_are_lost(
    sqlite: str, sandbox: Sandbox, source: Path, output: Path
) -> None:
    sandbox.inject(Fault(endpoint="download", kind=FaultKind.DELAY, delay=60))
    async with engine(sqlite, sandbox) as first:
        run = await first.submit(source, output, account="acme", largest_part=2)
        await started(sandbox, 3)
        await downloads(sandbox, 1)
    shutil.rmtree(journal_of(output))
    async with engine(sqlite, sandbox) as second:
        await second.run(run.id).wait()
    require_all_verified(output, 7)
    require_paid_once(sandbox, 7)


@pytest.mark.asyncio
async def test_another_machine_goes_on_after_a_kill(
    postgresql: str, sandbox: Sandbox, bucket: Bucket, tmp_path: Path, scratch: Path
) -> None:
    bucket.put("list.csv", numbered(24))
    sandbox.inject(Fault(endpoint="start", kind=FaultKind.DELAY, delay=0.1, times=None))
    async with engine(postgresql, sandbox, work=False) as submitting:
        run = await submit(submitting, bucket)
        async with worker(postgresql, sandbox, folder=scratch / "a") as first:
            await started(sandbox, 4)
            first.kill()
            await first.wait()
        async with worker(postgresql, sandbox, folder=scratch / "b") as second:
            await asyncio.wait_for(run.wait(), 60)
            await stopped(second)
    require_object(bucket, tmp_path, 24)
    require_paid_once(sandbox, 24)
    assert left_on(sandbox) <= 1
    assert list((scratch / "b").iterdir()) == []
    assert bucket.unfinished() == 0


@pytest.mark.asyncio
async def test_a_latecomer_does_not_touch_the_object(
    postgresql: str, sandbox: Sandbox, bucket: Bucket, tmp_path: Path
) -> None:
    bucket.put("list.csv", numbered(2))
    async with engine(postgresql, sandbox, work=False) as submitting:
        run = await submit(submitting, bucket)
        async with worker(postgresql, sandbox, "before:commit") as frozen:
            await said(frozen, "frozen")
            assert bucket.unfinished() == 1
            async with worker(postgresql, sandbox) as heir:
                await asyncio.wait_for(run.wait(), 60)
                require_object(bucket, tmp_path, 2)
                bucket.put(OUT, "mine")  # by now it is the user's
                frozen.send_signal(signal.SIGCONT)
                await said(frozen, "thawed")
                await stopped(frozen)
                await stopped(heir)
    assert bucket.get(OUT) == "mine"
    require_paid_once(sandbox, 2)
    assert bucket.unfinished() == 0


SECRETS = [
    "s3://key:sekret@bucket/list.csv",
    "s3://key:sek/ret@bucket/list.csv",
    "https://host/list.csv?signature=sekret",
    "https://sekret@host/list.csv",
    "zip://list.csv::sftp://me:sekret@host/all.zip",
    "sftp://me:sekret@[host/list.csv",
]


@pytest.mark.parametrize("url", SECRETS)
def test_a_url_with_a_secret_is_refused_and_not_repeated(url: str, tmp_path: Path) -> None:
    for words in ((url, tmp_path / "out.csv"), (tmp_path / "list.csv", url)):
        with pytest.raises(UsageError, match="must not hold a password") as caught:
            asyncio.run(_submit(*words))
        assert "sek" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "output", "said"),
    [
        ("s3://bucket/list.csv", "https://host/out.csv", "can't be written to https://"),
        ("s3://bucket/list.csv", "gs://x/out.csv", "can't be written to gs://"),
        ("s3://bucket", "out.csv", "names no object"),
        ("s3://bucket/folder/", "out.csv", "names no object"),
        ("s3://bucket/list.csv", "s3://bucket/out.pdf", r"s3://bucket/out\.pdf ends in '\.pdf'"),
        ("s3://bucket/list.csv", "s3://bucket/list.csv", "is the list itself"),
        (Path("s3://bucket/list.csv"), "out.csv", "pass it as a str"),
    ],
)
def test_a_url_that_can_not_be_used_is_refused(
    source: str | Path, output: str | Path, said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        asyncio.run(_submit(source, output))


async def _submit(source: str | Path, output: str | Path) -> None:
    await Engine("sqlite:///none.db", work=False).submit(source, output)


def test_a_dead_process_s_folder_is_deleted_and_that_of_a_live_one_stays(scratch: Path) -> None:
    dead, live = (scratch / f"bulkverify-worker-{name}" for name in ("dead", "live"))
    for folder in (dead, live):
        (folder / "run-1.aa").mkdir(parents=True)
        (folder / "lock").touch()
    lock = Lock(live / "lock")
    mine = Scratch()
    mine.path("run-2.bb").mkdir()
    mine.path("run-3.cc").mkdir()
    assert mine.runs() == {"run-2", "run-3"}
    mine.drop({"run-2"})
    assert (mine.runs(), dead.exists(), live.exists()) == ({"run-3"}, False, True)
    mine.close()
    lock.release()
    assert list(scratch.iterdir()) == [live]

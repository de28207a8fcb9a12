"""Values from the service or a journal are checked before they become part of a path or a URL."""

import asyncio
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkverify import (
    BulkVerifyError,
    Client,
    JournalError,
    ProtocolError,
    UploadUncertainError,
    UsageError,
    verify_list,
    verify_rows,
)
from bulkverify.run import outages
from bulkverify.run.journal import Journal
from bulkverify.sandbox import FaultKind, Sandbox
from tests.served import ADDRESSES, FAST, completed, fault, served

IDS = [
    "../../x",
    "a/b",
    "/etc/passwd",
    "a?b=c",
    "a#b",
    "a%2fb",
    "a\\b",
    "x" * 10_000,
    "",
    " ",
    "a\r\nX-Injected: 1",
    "\x1b[2J",
    "\0",
    "ä",
    "\ud800",
]
JSON = {"Content-Type": "application/json"}


@pytest.fixture(autouse=True)
def _little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outages, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(outages, "LONGEST_OUTAGE", 0.05)


@pytest.mark.asyncio
@pytest.mark.parametrize("job_id", IDS, ids=range(len(IDS)))
async def test_a_job_id_of_any_form_from_an_upload_is_refused(job_id: str) -> None:
    body = json.dumps({"job_id": job_id, "success": True})
    async with served() as (sandbox, client):
        sandbox.inject(fault("upload", FaultKind.ANSWER_AFTER, status=201, body=body, headers=JSON))
        with pytest.raises(UploadUncertainError) as caught:
            await client.upload(ADDRESSES)
        assert isinstance(caught.value.__cause__, ProtocolError)
        assert caught.value.__cause__.path == "job_id"
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 1000
        assert dict(sandbox.ledger.requests) == {"upload": 1}


@pytest.mark.asyncio
@pytest.mark.parametrize("job_id", IDS, ids=range(len(IDS)))
async def test_a_job_id_of_any_form_from_a_status_is_refused(job_id: str) -> None:
    body = json.dumps({"job_id": job_id, "success": True, "status": "ready", "total": 1})
    async with served() as (sandbox, client):
        job = await client.upload(ADDRESSES)
        sandbox.inject(fault("status", FaultKind.ANSWER, status=200, body=body, headers=JSON))
        with pytest.raises(ProtocolError) as caught:
            await job.status()
        assert caught.value.path == "job_id"
        assert str(caught.value).isprintable()
        assert job.snapshot is None


@pytest.mark.asyncio
@pytest.mark.parametrize("job_id", IDS, ids=range(len(IDS)))
async def test_a_job_id_of_any_form_from_a_caller_is_refused_before_anything_is_sent(
    job_id: str, tmp_path: Path
) -> None:
    async with served() as (sandbox, client):
        for call in (client.status, client.start, client.delete):
            with pytest.raises(UsageError):
                await call(job_id)
        with pytest.raises(UsageError):
            await client.download(job_id, tmp_path / "out.csv")
        for make in (client.rows, client.job):
            with pytest.raises(UsageError) as caught:
                make(job_id)
            assert str(caught.value).isprintable()
        assert not sandbox.ledger.requests
    assert not list(tmp_path.iterdir())


async def interrupted(sandbox: Sandbox, client: Client, folder: Path) -> tuple[Path, Path]:
    """Stop a run before its results are fetched, and leave its journal."""
    source, output = folder / "list.csv", folder / "out.csv"
    source.write_text("email\n" + "\n".join(ADDRESSES) + "\n")
    sandbox.inject(fault("download", FaultKind.ANSWER, times=None))
    with pytest.raises(BulkVerifyError):
        await verify_list(client, source, output, wait=FAST)
    return source, output


@pytest.mark.asyncio
@pytest.mark.parametrize("job_id", IDS, ids=range(len(IDS)))
async def test_a_job_id_of_any_form_in_a_journal_is_refused(job_id: str, tmp_path: Path) -> None:
    async with served(attempts=1) as (sandbox, client):
        source, output = await interrupted(sandbox, client, tmp_path)
        path = tmp_path / "out.csv.progress" / "run.json"
        record = json.loads(path.read_text())
        record["parts"][0]["job_id"] = job_id
        path.write_text(json.dumps(record))
        before = dict(sandbox.ledger.requests)
        with pytest.raises(UsageError, match="is not a job id"):
            await verify_list(client, source, output, wait=FAST)
        assert dict(sandbox.ledger.requests) == before
        assert not output.exists()
        assert len(sandbox.ledger.starts) == 1


_ODD: st.SearchStrategy[Any] = st.sampled_from(
    [None, "", "../x", -1, 10**400, [], {}, 1e308, True, "2024-13-01", "downloaded", "9" * 5000]
)


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return a function that makes a journal's record as a run writes it."""

    async def make() -> bytes:
        folder = tmp_path_factory.mktemp("record")
        async with served(attempts=1) as (sandbox, client):
            await interrupted(sandbox, client, folder)
        return (folder / "out.csv.progress" / "run.json").read_bytes()

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(outages, "LONGEST_OUTAGE", 0.05)
        return asyncio.run(make())


@given(data=st.data())
def test_an_edited_journal_is_read_or_refused(
    record: bytes, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    document = json.loads(record)
    place = document
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(place[key], dict | list) or not place[key] or data.draw(st.booleans()):
            break
        place = place[key]
    if data.draw(st.booleans()):
        del place[key]
    else:
        place[key] = data.draw(_ODD)
    folder = tmp_path_factory.mktemp("edited") / "progress"
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps(document))
    _read_or_refuse(folder)


@pytest.mark.parametrize("text", ["[" * 100_000, "\ufeff{}", "null", "[]", '"x"', "\0", "{}", "1"])
def test_a_journal_with_other_content_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(JournalError):
        Journal(tmp_path)


def _read_or_refuse(folder: Path) -> None:
    try:
        with Journal(folder) as journal:
            assert journal.record is not None
            assert all(path.parent == folder for path in journal.results().values())
    except JournalError as error:
        assert "run.json" in str(error) or "version" in str(error)  # noqa: PT017 - or it is read


@pytest.fixture
def _no_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def readable_by_others(folder: Path) -> list[str]:
    """Return the paths that other users could read, except the list."""
    return [
        str(path)
        for path in folder.rglob("*")
        if stat.S_IMODE(path.stat().st_mode) & 0o077 and path.name != "list.csv"
    ]


@pytest.mark.asyncio
@pytest.mark.usefixtures("_no_umask")
async def test_other_users_can_read_no_output_and_no_journal(tmp_path: Path) -> None:
    async with served(attempts=1) as (sandbox, client):
        source, output = await interrupted(sandbox, client, tmp_path)
        assert {path.name for path in (tmp_path / "out.csv.progress").iterdir()} >= {
            "run.json",
            "rows.bin",
            "part-0001.csv",
            "bulkverify-journal.lock",
        }
        assert readable_by_others(tmp_path) == []
    async with served() as (_, client):
        job = await completed(client)
        await job.download(tmp_path / "results.csv")
        seen: list[list[str]] = []
        shared = tmp_path / "shared"  # a folder that every user may read
        shared.mkdir(mode=0o777)
        await verify_list(
            client,
            iter(ADDRESSES),
            output,
            wait=FAST,
            journal=shared,
            on_progress=lambda _: seen.append(readable_by_others(tmp_path)),
        )
        assert {name for names in seen for name in names} <= {str(shared)}
        async for _ in verify_rows(client, source, wait=FAST):
            pass
    assert readable_by_others(tmp_path) == []


@pytest.mark.asyncio
async def test_no_journal_holds_the_key(tmp_path: Path) -> None:
    async with Sandbox(speed=2000, api_key="s3cr3t-key", requests_per_minute=None) as sandbox:
        async with Client(
            "s3cr3t-key", base_url=sandbox.url, requests_per_minute=None, backoff=FAST, attempts=1
        ) as client:
            await interrupted(sandbox, client, tmp_path)
        files = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert len(files) >= 5
        for path in files:
            assert b"s3cr3t" not in path.read_bytes()


@pytest.mark.asyncio
async def test_a_file_name_from_the_service_is_not_followed(tmp_path: Path) -> None:
    body = "Email,Verification Result\n" + "".join(f"{one},unknown\n" for one in ADDRESSES)
    headers = {
        "Content-Type": "text/csv",
        "Content-Disposition": 'attachment; filename="../../evil.csv"',
    }
    async with served() as (sandbox, client):
        job = await completed(client)
        sandbox.inject(fault("download", FaultKind.ANSWER, status=200, body=body, headers=headers))
        await job.download(tmp_path / "out.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]
    assert not (tmp_path.parents[1] / "evil.csv").exists()


@pytest.mark.asyncio
@pytest.mark.parametrize("title", ['a"\r\nX-Injected: 1\r\n\r\n', "../../x", "\0\x1b"])
async def test_no_title_escapes_its_field(title: str) -> None:
    async with served() as (sandbox, client):
        await client.upload(b"email\na@example.com\n", title=title)
        await client.upload(ADDRESSES, title=title)
        assert [upload.total for upload in sandbox.ledger.uploads] == [1, len(ADDRESSES)]

"""The journal by itself: a folder, a lock, and a record."""

import errno
import json
import os
import stat
from pathlib import Path

import attrs
import pytest

from bulkverify import Client, IncompleteRunError, JournalError
from bulkverify.files import flush_folder, replacing
from bulkverify.lists import Split
from bulkverify.run import folder as locking
from bulkverify.run.folder import LOCK
from bulkverify.run.journal import Journal, restart_hints
from bulkverify.run.record import UNPAID, PartRecord, PartState
from bulkverify.run.source import Splitting
from bulkverify.sandbox import Fault, FaultKind, Sandbox
from bulkverify.service.converter import converter

from .lists import numbered, verified
from .test_progress import split_of

URL = "https://api.example.com/v1"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "out.csv.progress"


def begun(folder: Path, parts: int = 2) -> None:
    with Journal(folder) as journal:
        journal.begin(split_of(parts), URL, Splitting())


def test_a_journal_that_is_begun_is_found_again(folder: Path) -> None:
    with Journal(folder) as journal:
        assert journal.record is None
        saved = journal.begin(split_of(2), URL, Splitting(judge=False))
        journal.note(PartRecord(number=2, state=PartState.STARTED, job_id="j2"))
    with Journal(folder) as journal:
        assert journal.record == saved
        assert journal.record is not None
        assert journal.record.parts[1].state is PartState.STARTED
        assert journal.record.sent


def test_only_its_owner_can_read_it(folder: Path) -> None:
    begun(folder)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert modes == {"run.json": 0o600, LOCK: 0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.asyncio
async def test_neither_the_key_nor_an_address_is_in_the_record(
    tmp_path: Path, folder: Path
) -> None:
    source = tmp_path / "list.csv"
    source.write_text(numbered(4))
    key = "s3cr3t+key"
    async with (
        Sandbox(api_key=key, speed=1000, requests_per_minute=None) as sandbox,
        Client(key, base_url=sandbox.url, requests_per_minute=None) as client,
    ):
        sandbox.inject(Fault(endpoint="upload", kind=FaultKind.DROP_AFTER, skip=1))
        with pytest.raises(IncompleteRunError):
            await verified(client, source, tmp_path / "out.csv", largest_part=2)
    contents = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    assert len(contents) == 6
    assert not [name for name, content in contents.items() if b"s3cr3t" in content]
    assert b"example.com" in contents["part-0001.csv"]
    assert b"@" not in contents["run.json"]


def test_an_upload_that_was_under_way_may_have_left_an_orphan(folder: Path) -> None:
    with Journal(folder) as journal:
        journal.begin(split_of(2), URL, Splitting())
        journal.note(PartRecord(number=1, state=PartState.UPLOADING))
    for _ in range(2):  # another reading does not count it again
        with Journal(folder) as journal:
            assert journal.record is not None
            assert [part.state for part in journal.record.parts] == ["pending", "pending"]
            assert [part.orphans for part in journal.record.parts] == [1, 0]
            assert journal.record.sent


def test_a_new_journal_has_sent_nothing(folder: Path) -> None:
    with Journal(folder) as journal:
        assert not journal.begin(split_of(2), URL, Splitting()).sent


def test_a_journal_is_open_only_once(folder: Path) -> None:
    with Journal(folder), pytest.raises(JournalError, match=f"process {os.getpid()} is at work"):
        Journal(folder)
    with Journal(folder):
        pass


def test_an_unknown_lock_holder_is_called_another(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getpid", lambda: "")
    with Journal(folder), pytest.raises(JournalError, match="process another is at work"):
        Journal(folder)


def test_a_journal_that_is_removed_leaves_nothing(folder: Path) -> None:
    begun(folder)
    with Journal(folder) as journal:
        journal.list_of(1).touch()
        (folder / "input").mkdir()
        (folder / "input" / "source-1.jsonl").touch()
        journal.remove()
        assert not folder.exists()
        with Journal(folder):  # another process begins anew, and is not disturbed
            journal.remove()
            assert folder.exists()


def test_a_lock_removed_while_it_is_opened_is_taken_anew(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = os.open
    times = 0

    def open_and_lose(path: Path, *more: int) -> int:
        nonlocal times
        descriptor = opened(path, *more)
        if Path(path).name == LOCK:
            times += 1
            if times == 1:
                Path(path).unlink()
        return descriptor

    monkeypatch.setattr(os, "open", open_and_lose)
    with Journal(folder), pytest.raises(JournalError):
        Journal(folder)
    assert times == 3


def test_incomplete_files_of_a_killed_process_are_deleted(folder: Path) -> None:
    begun(folder)
    (folder / ".run.json.0123abcd.part").touch()
    with Journal(folder):
        assert {path.name for path in folder.iterdir()} == {"run.json", LOCK}


def test_a_folder_that_was_never_begun_is_taken_over(folder: Path) -> None:
    with Journal(folder) as journal:
        journal.list_of(1).touch()
    with Journal(folder) as journal:
        assert journal.record is None
        assert not journal.list_of(1).exists()


def test_a_restart_forgets_everything(folder: Path) -> None:
    begun(folder)
    with Journal(folder, restart=True) as journal:
        assert journal.record is None
    assert [path.name for path in folder.iterdir()] == [LOCK]


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "{}", '{"version": 1}', '{"version": 1, "base_url": 5}', "\ufffd", "\0" * 9),
        "[" * 100_000,  # too deep for `json`
    ],
    ids=lambda text: text[:30],
)
def test_an_unreadable_record_is_refused(folder: Path, text: str) -> None:
    begun(folder)
    (folder / "run.json").write_text(text)
    with pytest.raises(JournalError, match=r"run\.json can't be read .*use `restart=True`"):
        Journal(folder)
    with Journal(folder, restart=True) as journal:
        assert journal.record is None


def test_a_disk_that_knows_no_locks_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(OSError, match="No locks available") as info:
        Journal(folder)
    assert info.value.filename == str(folder / LOCK)


def test_without_flock_two_processes_can_open_a_journal(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locking, "fcntl", None)
    with Journal(folder), Journal(folder) as journal:
        assert journal.record is None


def test_a_file_with_a_mark_takes_the_place_of_one_that_was_left(tmp_path: Path) -> None:
    left = tmp_path / ".out.csv.run7.part"
    left.write_text("half")
    with replacing(tmp_path / "out.csv", mark="run7") as file:
        assert left.read_bytes() == b""
        file.write(b"whole")
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]


def test_a_folder_that_can_not_be_opened_is_not_flushed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError

    monkeypatch.setattr(os, "open", refuse)
    flush_folder(tmp_path)


@pytest.mark.parametrize("state", PartState)
def test_a_part_is_unpaid_until_its_start_is_asked_for(state: PartState) -> None:
    before_the_start = {PartState.PENDING, PartState.UPLOADING, PartState.UPLOADED}
    assert (state in UNPAID) == (state in before_the_start)


def test_results_to_fetch_again_are_recorded_for_the_next_process(
    folder: Path,
) -> None:
    split = split_of(3)
    first, *alone = split.parts
    split = attrs.evolve(split, parts=(attrs.evolve(first, addresses=2), *alone))
    with Journal(folder) as journal:
        journal.begin(split, URL, Splitting())
        fetched = PartRecord(number=1, state=PartState.DOWNLOADED, credits=2)
        journal.note(attrs.evolve(fetched, job_id="j1"))
        journal.note(attrs.evolve(fetched, number=2, answer=("unknown",)))
        journal.note(attrs.evolve(fetched, number=3, answer=("unknown",)))
        journal.forget_results([1, 2])
    with Journal(folder) as journal:
        assert journal.record is not None
        # A single address has no list that could be started.
        assert [part.state for part in journal.record.parts] == [
            PartState.STARTED,
            PartState.STARTING,
            PartState.DOWNLOADED,
        ]
        assert [part.credits for part in journal.record.parts] == [2, 2, 2]


def test_the_split_of_an_earlier_version_has_nothing_of_what_came_later() -> None:
    known = (
        "rows",
        "addresses",
        "duplicates",
        "blank",
        "invalid",
        "parts",
        "content",
        "fingerprint",
    )
    whole = converter.unstructure(split_of(2))
    found = converter.structure({name: whole[name] for name in known}, Split)
    later = (found.short, found.unclear, found.unwrapped, found.stray)
    assert (later, found.codes, found.stray_at, found.reused_digest) == ((0, 0, 0, 0), "", "", "")
    assert attrs.astuple(found.reused) == (0, 0.0, 0, 0, 0)


def test_the_record_of_an_earlier_version_has_nothing_of_what_came_later(folder: Path) -> None:
    begun(folder)
    path = folder / "run.json"
    known = ("version", "base_url", "splitting", "split", "seal", "parts")
    whole = json.loads(path.read_text())
    path.write_text(json.dumps({name: whole[name] for name in known}))
    with Journal(folder) as journal:
        found = journal.record
    assert found is not None
    assert (found.written, found.replaced, found.finished, found.curve) == (None, None, False, [])


def test_a_restart_names_the_credits_that_it_would_lose(folder: Path) -> None:
    ways = "`restart=True`", "--restart"
    for spent, lost in ((0, ""), (1200, ", and the 1,200 credits spent on it")):
        assert restart_hints(folder, spent) == tuple(
            f"To give up what was done so far{lost}, use {way}, or delete {folder}." for way in ways
        )

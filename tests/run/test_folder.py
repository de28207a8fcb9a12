"""The folder of a journal: our journals are continued, anything else is left alone."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bulkverify import Client, JournalError, RunProgress, Stage, UsageError, verify_rows
from bulkverify.run.folder import LOCK
from bulkverify.run.journal import Journal
from bulkverify.run.record import PartRecord, PartState
from bulkverify.run.source import Splitting
from bulkverify.sandbox import Sandbox

from .lists import FAST, D, U, left_behind, table, verdicts_of, verified
from .test_progress import split_of

URL = "https://api.example.com/v1"
CONTENT = f"name,email\nAnna,{D}@x.com\nBob,{U}@x.com\n"


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def precious(folder: Path) -> None:
    folder.mkdir()
    (folder / "precious").write_text("mine")


def precious_with_a_lock(folder: Path) -> None:
    precious(folder)
    (folder / "lock").touch()


def precious_with_a_record(folder: Path) -> None:
    precious(folder)
    (folder / "run.json").write_text("{}")


def names_like_ours(folder: Path) -> None:
    (folder / "input").mkdir(parents=True)
    (folder / "input" / "mine.csv").write_text(CONTENT)
    (folder / "part-0001.csv").write_text(CONTENT)


def one_part(folder: Path) -> None:
    folder.mkdir()
    (folder / "part-1.csv").write_text(CONTENT)


def record_of_others(folder: Path) -> None:
    folder.mkdir()
    (folder / "run.json").write_text('{"version": 3}')


@pytest.mark.asyncio
@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize(
    "put",
    [
        precious,
        precious_with_a_lock,
        precious_with_a_record,
        names_like_ours,
        one_part,
        record_of_others,
    ],
)
async def test_a_folder_that_is_not_ours_is_refused(  # noqa: PLR0917 - fixtures
    sandbox: Sandbox,
    client: Client,
    source: Path,
    output: Path,
    folder: Path,
    put: Callable[[Path], None],
    restart: bool,  # noqa: FBT001 - a row of the table
) -> None:
    put(folder)
    before = contents(folder)
    with pytest.raises(JournalError, match=r"something else is in there.* Nothing was touched"):
        await verified(client, source, output, restart=restart)
    assert contents(folder) == before
    assert sandbox.ledger.requests.total() == 0


@pytest.mark.asyncio
async def test_an_empty_folder_is_used(client: Client, source: Path, output: Path) -> None:
    folder = output.with_name("mine")
    folder.mkdir()
    await verified(client, source, output, journal=folder)
    assert left_behind(output) == []


def test_the_lock_is_made_first(folder: Path) -> None:
    # It shows that the folder is ours; a process that died before has left an empty folder.
    with Journal(folder):
        assert [path.name for path in folder.iterdir()] == [LOCK]


def test_the_lock_is_on_the_disk_before_any_other_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync, synced = os.fsync, list[tuple[int, bool]]()

    def note(descriptor: int) -> None:
        sync(descriptor)
        synced.append((os.fstat(descriptor).st_ino, (folder / LOCK).exists()))

    monkeypatch.setattr(os, "fsync", note)
    with Journal(folder):
        inodes = folder.parent.stat().st_ino, folder.stat().st_ino
    assert synced == [(inodes[0], False), (inodes[1], True)]


def test_a_journal_without_its_lock_is_still_ours(folder: Path) -> None:
    with Journal(folder) as journal:
        journal.begin(split_of(2), URL, Splitting())
    (folder / LOCK).unlink()
    with Journal(folder) as journal:
        assert journal.record is not None


@pytest.mark.asyncio
async def test_other_files_in_a_journal_stay(
    client: Client, source: Path, output: Path, folder: Path
) -> None:
    kept = {
        "note.txt": "mine",
        "part-1.csv": "mine",
        "input/mine.csv": "mine",
        "results/part-0001.csv": "mine",
        ".run.json.mine.part": "mine",
    }

    def put(seen: RunProgress) -> None:
        if seen.stage is Stage.JOINING:
            for name, text in kept.items():
                (folder / name).parent.mkdir(exist_ok=True)
                (folder / name).write_text(text)
            (folder / "part-0009.csv").symlink_to(source)

    await verified(client, source, output, on_progress=put)
    assert {name: text.decode() for name, text in contents(folder).items()} == {
        **kept,
        "part-0009.csv": source.read_text(),
    }
    with pytest.raises(JournalError, match="something else is in there"):
        await verified(client, source, output, restart=True, overwrite=True)
    assert source.exists()


@pytest.mark.asyncio
async def test_a_link_in_the_place_of_the_copied_input_is_not_followed(
    sandbox: Sandbox, client: Client, output: Path, folder: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "source-1.jsonl").write_text("mine")
    with Journal(folder):
        (folder / "input").symlink_to(elsewhere)
        (folder / "rows.bin").write_text("ours")
    with pytest.raises(FileExistsError):
        await verified(client, [f"{D}@x.com"], output)
    assert (elsewhere / "source-1.jsonl").read_text() == "mine"
    assert sandbox.ledger.requests.total() == 0


# An output or a list within the journal


def link_to_journal(folder: Path) -> Path:
    folder.mkdir()
    link = folder.with_name("link")
    link.symlink_to(folder)
    return link


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "place",
    [
        lambda folder: folder / "verified.csv",
        lambda folder: folder / "input" / "verified.csv",
        lambda folder: folder,
        lambda folder: folder / ".." / folder.name / "verified.csv",
        lambda folder: link_to_journal(folder) / "verified.csv",
    ],
)
async def test_an_output_within_the_journal_is_refused_before_anything_is_made(
    sandbox: Sandbox, client: Client, source: Path, tmp_path: Path, place: Callable[[Path], Path]
) -> None:
    journal = tmp_path / "run1"
    output = place(journal)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UsageError, match="where the progress is kept"):
        await verified(client, source, output, journal=journal)
    assert sorted(tmp_path.rglob("*")) == before
    assert sandbox.ledger.requests.total() == 0


def in_a_list(source: Path) -> object:
    return [source]


def as_text(source: Path) -> object:
    return str(source)


@pytest.mark.asyncio
@pytest.mark.parametrize("given", [Path, as_text, in_a_list, lambda source: {source: None}.keys()])
@pytest.mark.parametrize("where", ["input/mine.csv", "part-0001.csv"])
async def test_a_list_within_the_journal_is_refused_and_stays(
    client: Client, tmp_path: Path, output: Path, given: Callable[[Path], Any], where: str
) -> None:
    journal = tmp_path / "run1"
    with Journal(journal):
        (journal / "input").mkdir()
    source = journal / where
    source.write_text(CONTENT)
    with pytest.raises(UsageError, match=r"where the progress is kept.*Move the list"):
        await verified(client, given(source), output, journal=journal)
    with pytest.raises(UsageError, match=r"where the progress is kept.*Move the list"):
        async for _ in verify_rows(client, given(source), journal=journal, wait=FAST):
            pass
    assert source.read_text() == CONTENT


@pytest.mark.asyncio
async def test_a_list_named_like_the_journal_or_the_note_is_refused(
    client: Client, tmp_path: Path, output: Path
) -> None:
    source = tmp_path / ".verified.csv.done"
    source.write_text(CONTENT)
    with pytest.raises(UsageError, match="is reserved for the note"):
        await verified(client, source, output)
    with pytest.raises(UsageError, match="where the progress is kept"):
        await verified(client, source, tmp_path / "other.csv", journal=source)
    assert source.read_text() == CONTENT


# Not a folder


def dangling(folder: Path) -> None:
    folder.symlink_to(folder.with_name("nowhere"))


def endless(folder: Path) -> None:
    folder.symlink_to(folder.with_name("back"))
    folder.with_name("back").symlink_to(folder)


def a_file(folder: Path) -> None:
    folder.write_text("mine")


def link_to_a_file(folder: Path) -> None:
    folder.with_name("file").write_text("mine")
    folder.symlink_to(folder.with_name("file"))


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize(
    ("put", "message"),
    [
        (dangling, "a symbolic link to .*nowhere, which does not exist"),
        (endless, "a symbolic link that leads to itself"),
        (a_file, "that is not a folder"),
        (link_to_a_file, "that is not a folder"),
    ],
)
@pytest.mark.timeout(10)
def test_a_journal_path_that_is_not_a_folder_is_refused(
    folder: Path, put: Callable[[Path], None], message: str, *, restart: bool
) -> None:
    put(folder)
    before = contents(folder.parent)
    with pytest.raises(JournalError, match=message):
        Journal(folder, restart=restart)
    assert contents(folder.parent) == before
    assert folder.is_symlink() or folder.is_file()


@pytest.mark.asyncio
async def test_a_link_to_a_folder_is_a_folder(client: Client, source: Path, output: Path) -> None:
    disk = output.with_name("disk")
    disk.mkdir()
    journal = output.with_name("verified.csv.progress")
    journal.symlink_to(disk)
    await verified(client, source, output)
    assert verdicts_of(table(output)) == ["verdict", D, U, D]
    assert list(disk.iterdir()) == []


@pytest.mark.timeout(10)
def test_a_folder_that_vanishes_again_and_again_is_given_up(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = os.open

    def lose(path: Any, *more: Any) -> int:  # noqa: ANN401 - as it is
        if Path(path).name == LOCK:
            folder.rmdir()
        return opened(path, *more)

    monkeypatch.setattr(os, "open", lose)
    with pytest.raises(JournalError, match="disappeared 100 times"):
        Journal(folder)


def forbid(*_: object) -> None:
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def test_a_folder_without_read_permission_raises(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.mkdir()
    monkeypatch.setattr(Path, "iterdir", forbid)
    with pytest.raises(PermissionError):
        Journal(folder)


def test_a_folder_with_an_unreadable_record_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    precious_with_a_record(folder)
    monkeypatch.setattr(Path, "read_bytes", forbid)
    with pytest.raises(JournalError, match=r"something else is in there.* Nothing was touched"):
        Journal(folder)


@pytest.mark.parametrize("put", [os.mkfifo, lambda path: path.symlink_to(path.parent / "record")])
@pytest.mark.timeout(10)
def test_a_record_that_is_not_a_file_is_neither_opened_nor_followed(
    folder: Path, put: Callable[[Path], None]
) -> None:
    with Journal(folder) as journal:
        journal.begin(split_of(1), URL, Splitting())
    (folder / LOCK).unlink()
    (folder / "run.json").rename(folder / "record")
    put(folder / "run.json")
    with pytest.raises(JournalError, match=r"something else is in there.* Nothing was touched"):
        Journal(folder)


def test_a_file_in_the_place_of_the_input_folder_stays(folder: Path) -> None:
    with Journal(folder):
        (folder / "input").write_text("mine")
        (folder / "part-0001.csv").touch()
    with Journal(folder, restart=True) as journal:
        journal.remove()
    assert {path.name for path in folder.iterdir()} == {"input"}
    assert (folder / "input").read_text() == "mine"


# Not a lock


def link_to_precious(path: Path) -> None:
    target = path.parents[1] / "precious"
    target.write_text("mine")
    path.symlink_to(target)


def link_to_nowhere(path: Path) -> None:
    path.symlink_to(path.parents[1] / "nowhere")


@pytest.mark.parametrize("put", [link_to_precious, link_to_nowhere, os.mkfifo, Path.mkdir])
@pytest.mark.timeout(10)
def test_a_lock_that_is_not_a_file_is_neither_followed_nor_opened(
    folder: Path, put: Callable[[Path], None]
) -> None:
    with Journal(folder) as journal:
        journal.begin(split_of(1), URL, Splitting())
    (folder / LOCK).unlink()
    put(folder / LOCK)
    before = contents(folder.parent)
    with pytest.raises(OSError, match=r"symbolic link|named pipe|directory") as info:
        Journal(folder)
    assert info.value.filename == str(folder / LOCK)
    assert contents(folder.parent) == before
    assert not (folder.parent / "nowhere").exists()


def test_a_lock_that_is_a_hard_link_keeps_its_content(folder: Path) -> None:
    mine = folder.with_name("mine")
    mine.write_text("mine")
    folder.mkdir()
    (folder / LOCK).hardlink_to(mine)
    with Journal(folder) as journal:
        journal.remove()
    assert mine.read_text() == "mine"


def test_a_closed_journal_is_neither_written_nor_deleted(folder: Path) -> None:
    journal = Journal(folder)
    journal.begin(split_of(1), URL, Splitting())
    journal.close()
    with pytest.raises(JournalError, match="no longer open"):
        journal.note(PartRecord(number=1, state=PartState.UPLOADING))
    journal.remove()
    assert (folder / "run.json").exists()


# Another process that ends at the same moment


def test_a_folder_that_vanishes_before_it_is_locked_is_made_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, times = os.open, 0

    def lose(path: Any, *more: Any) -> int:  # noqa: ANN401 - as it is
        nonlocal times
        if Path(path).name == LOCK:
            times += 1
            if times <= 2:
                folder.rmdir()
        return opened(path, *more)

    monkeypatch.setattr(os, "open", lose)
    with Journal(folder) as journal:
        assert journal.record is None
    assert times == 3


def test_a_folder_that_vanishes_before_it_is_listed_is_made_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.mkdir()
    listed = Path.iterdir

    def lose(path: Path) -> Any:  # noqa: ANN401 - as it is
        if path == folder and not (folder / LOCK).exists():
            folder.rmdir()
        return listed(path)

    monkeypatch.setattr(Path, "iterdir", lose)
    with Journal(folder) as journal:
        assert journal.record is None

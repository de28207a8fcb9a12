"""A lock ends with its process: a forked child does not keep it."""

import asyncio
import errno
import gc
import importlib.util
import os
import re
import signal
import subprocess
import sys
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest

from bulkverify import Client, JournalError
from bulkverify.run import folder as locking
from bulkverify.run.folder import LOCK, Lock, holder_of
from bulkverify.run.journal import Journal
from bulkverify.run.record import PartRecord, PartState
from bulkverify.run.source import Splitting
from bulkverify.sandbox import Sandbox

from .lists import D, U, table, verdicts_of, verified
from .test_progress import split_of

FORKING = Path(__file__).with_name("forking.py")


def start(*words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603
        [sys.executable, str(FORKING), *words],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", ["fork", "multiprocessing", "subprocess"])
async def test_a_child_of_a_run_does_not_keep_its_lock(  # noqa: PLR0917 - fixtures
    sandbox: Sandbox, client: Client, source: Path, output: Path, folder: Path, kind: str
) -> None:
    parent = await asyncio.to_thread(start, kind, sandbox.url, str(source), str(output))
    assert parent.stdout is not None
    child = int(await asyncio.to_thread(parent.stdout.readline))
    try:
        with pytest.raises(JournalError, match=f"process {parent.pid} is at work"):
            await verified(client, source, output)
        parent.kill()
        parent.wait()
        await verified(client, source, output)
        os.kill(child, 0)  # it has outlived the call
    finally:
        parent.stdout.close()
        os.kill(child, signal.SIGKILL)
    assert verdicts_of(table(output)) == ["verdict", D, U, D]
    assert sandbox.ledger.credits_spent == 2
    assert not folder.exists()


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # from Python 3.12 on, of threads
def test_a_child_neither_writes_nor_deletes_nor_unlocks_its_parents_journal(
    folder: Path,
) -> None:
    with Journal(folder) as journal:
        record = journal.begin(split_of(1), "https://api.example.com/v1", Splitting())
        record.parts[0] = PartRecord(number=1, state=PartState.UPLOADING)
        before = (folder / "run.json").read_bytes()
        child = os.fork()
        if not child:
            code = 1
            try:
                journal.remove()
                journal.save()
            except JournalError:
                journal.close()
                code = 0
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert (folder / "run.json").read_bytes() == before
        with pytest.raises(JournalError, match="is at work"):
            Journal(folder)
    assert {path.name for path in folder.iterdir()} == {"run.json", LOCK}


def open_files(path: Path) -> int:
    """Return how often this process has a file open."""
    opened = list(Path("/proc/self/fd").iterdir())
    return sum(os.path.realpath(descriptor) == str(path) for descriptor in opened)


def refuse(number: int) -> Callable[..., None]:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize("number", [errno.EWOULDBLOCK, errno.ENOLCK])
def test_a_lock_that_is_refused_leaves_no_file_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    path = tmp_path / "lock"
    monkeypatch.setattr("fcntl.flock", refuse(number))
    with pytest.raises(OSError, match=re.escape(os.strerror(number))):
        Lock(path)
    assert open_files(path) == 0


def test_a_lock_that_another_process_has_just_removed_leaves_no_file_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "lock"
    opened = os.open

    def open_and_lose(name: Path, *more: int) -> int:
        descriptor = opened(name, *more)
        path.unlink()
        return descriptor

    monkeypatch.setattr(os, "open", open_and_lose)
    with pytest.raises(FileNotFoundError):
        Lock(path)
    assert not [
        one for one in Path("/proc/self/fd").iterdir() if str(path) in os.path.realpath(one)
    ]


def test_a_released_lock_is_forgotten(tmp_path: Path) -> None:
    lock = Lock(tmp_path / "lock")
    assert open_files(tmp_path / "lock") == 1
    lock.release()
    assert open_files(tmp_path / "lock") == 0
    kept = weakref.ref(lock)
    del lock
    gc.collect()
    assert kept() is None


def test_the_id_of_an_earlier_holder_is_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.write_text("the id of an earlier process, which was longer\n")
    lock = Lock(path)
    assert holder_of(path) == str(os.getpid())
    lock.release()
    path.unlink()
    assert holder_of(path) == "another"


def test_a_lock_needs_no_room_for_its_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "write", refuse(errno.ENOSPC))
    lock = Lock(tmp_path / "lock")
    with pytest.raises(BlockingIOError):
        Lock(tmp_path / "lock")
    lock.release()


def test_without_flock_a_lock_keeps_out_no_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "fcntl", None)  # as on Windows
    spec = importlib.util.spec_from_file_location("locking_elsewhere", locking.__file__)
    assert spec is not None
    assert spec.loader is not None
    elsewhere = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(elsewhere)
    locks = [elsewhere.Lock(tmp_path / "lock") for _ in range(2)]
    assert all(lock.held for lock in locks)
    for lock in locks:
        lock.release()


def test_a_lock_needs_no_flag_that_windows_does_not_know(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "O_NOFOLLOW")
    lock = Lock(tmp_path / "lock")
    assert holder_of(tmp_path / "lock") == str(os.getpid())
    lock.release()


def test_a_link_that_appears_while_a_lock_is_made_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, target = tmp_path / "lock", tmp_path / "mine"
    target.write_text("mine")
    monkeypatch.setattr(locking, "require_replaceable", lambda _: path.symlink_to(target))
    with pytest.raises(OSError, match=re.escape(os.strerror(errno.ELOOP))):
        Lock(path)
    assert target.read_text() == "mine"

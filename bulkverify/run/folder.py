"""The folder of a journal: recognised by its lock, and removed file by file.

The lock file is made first and removed last, so it shows that the folder is ours. A file with a name
that we do not give is never touched, and then the folder stays too.
"""

import errno
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from bulkverify.files import complete_name, flush_folder, is_file
from bulkverify.lists.layout import is_of_list, is_results, is_source
from bulkverify.run.errors import JournalError
from bulkverify.run.locking import Lock, holder_of

LOCK: Final = "bulkverify-journal.lock"
"""An unusual name, because it shows that the folder is ours."""

RECORD: Final = "run.json"
SPOOL: Final = "input"

_TRIES: Final = 100
"""How often the folder may vanish while it is opened: each time another process has just finished."""


def lock_folder(folder: Path, is_record: Callable[[Path], bool]) -> Lock:
    """Make the folder if it is missing, and lock it.

    Args:
        folder: of the journal.
        is_record: whether a file is the record of a run, which also shows that the folder is ours.

    Raises:
        JournalError: the folder is in use, or not one of a run.
        OSError: the folder can't be made or locked.
    """
    path = folder / LOCK
    for _ in range(_TRIES):
        _make(folder, is_record)
        try:
            lock = Lock.take(path)
        except FileNotFoundError:  # another process has just removed it
            continue
        except BlockingIOError:
            raise JournalError(
                f"{folder} is in use: process {holder_of(path)} is at work on this run. Wait for it to "
                "end, or name another output.",
                path=str(folder),
            ) from None
        if lock is not None:
            flush_folder(folder)
            return lock
    raise JournalError(
        f"{folder} is removed again and again while it is opened: name another output.",
        path=str(folder),
    )


def sweep_folder(folder: Path) -> None:
    """Delete incomplete files that a dead process has left."""
    for path in _children(folder):
        name = complete_name(path.name)
        if name is not None and (name == RECORD or is_results(name)):
            _unlink(path)


def clear_folder(folder: Path) -> None:
    """Delete our files except the lock; the record goes last.

    A process that dies meanwhile leaves either the record or nothing that was paid for.
    """
    sweep_folder(folder)
    for path in _children(folder):
        if path.name == SPOOL and not path.is_symlink():
            for spooled in _children(path):
                if is_source(spooled.name):
                    _unlink(spooled)
            with suppress(OSError):  # it is a file, or holds files of others
                path.rmdir()
        elif is_of_list(path.name):
            _unlink(path)
    _unlink(folder / RECORD)


def drop_results(folder: Path) -> None:
    """Delete the results of an earlier list."""
    for path in _children(folder):
        if is_results(path.name):
            _unlink(path)


def remove_folder(folder: Path) -> None:
    """Delete our files, the lock last, and the folder if it is then empty."""
    clear_folder(folder)
    _unlink(folder / LOCK)
    with suppress(OSError):  # it holds files of others, or another process uses it
        folder.rmdir()


def _make(folder: Path, is_record: Callable[[Path], bool]) -> None:
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        _require_ours(folder, is_record)
    else:
        flush_folder(folder.parent)


def _require_ours(folder: Path, is_record: Callable[[Path], bool]) -> None:
    """Refuse a folder that no run has made."""
    problem = None
    try:
        names = {path.name for path in folder.iterdir()}
    except FileNotFoundError:
        if folder.is_symlink():
            problem = f"a symbolic link to {folder.readlink()}, which is not there"
        names = set()  # else another process has just removed it
    except NotADirectoryError:
        problem = "no folder"
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        problem = "a symbolic link that leads to itself"
    if problem is not None:
        raise JournalError(
            f"{folder} is where this run would keep its progress, and it is {problem}. Remove it, or "
            "name another output.",
            path=str(folder),
        )
    if names and not is_file(folder / LOCK) and not is_record(folder / RECORD):
        raise JournalError(
            f"{folder} is where this run would keep its progress, and something else is in there: "
            f"{min(names)!r}. Nothing was touched. Move it, or name another output.",
            path=str(folder),
        )


def _children(folder: Path) -> Iterator[Path]:
    try:
        return iter(sorted(folder.iterdir()))
    except (FileNotFoundError, NotADirectoryError):
        return iter(())


def _unlink(path: Path) -> None:
    if is_file(path):
        path.unlink(missing_ok=True)

"""The folder of a journal: recognised by its lock, and removed file by file.

The lock file is made first and removed last, so it shows that the folder is ours. Files with other names
are never touched; the folder then stays, too.

One process holds the lock at a time. The lock ends with the process; child processes don't inherit it.
"""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from bulkverify.errors import clause
from bulkverify.files import complete_name, flush_folder, is_file, require_replaceable
from bulkverify.lists.layout import is_of_list, is_results, is_reused, is_source
from bulkverify.run.models import JournalError
from bulkverify.run.source import SPOOL

try:
    import fcntl
except ImportError:  # Windows has no flock, so a lock there does not keep out other processes
    fcntl = None  # type: ignore[assignment]

_held: Final[set["Lock"]] = set()

LOCK: Final = "bulkverify-journal.lock"
RECORD: Final = "run.json"

_TRIES: Final = 100
"""How often to try again if the folder vanishes, because another process has just finished."""


class Lock:
    """A file that this process has locked, until `release` or the end of the process."""

    def __init__(self, path: Path) -> None:
        """Lock a file, which is created if it is missing; a symbolic link is not followed.

        It raises `BlockingIOError` if another process has locked it, and `FileNotFoundError` if another
        process has just removed it.
        """
        require_replaceable(path)
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
        descriptor = os.open(path, flags, 0o600)
        self._descriptor: int | None = descriptor
        _held.add(self)
        try:
            if fcntl is not None:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            links = os.fstat(descriptor).st_nlink
            if not links:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        except OSError as error:  # some network file systems have no locks
            self.release()
            raise OSError(error.errno, error.strerror, str(path)) from error
        if links == 1:  # else it is a hard link to another file
            with suppress(OSError):  # the process id is only information
                os.truncate(descriptor, 0)
                os.write(descriptor, f"{os.getpid()}\n".encode())

    @property
    def held(self) -> bool:
        """Whether this process still holds the lock."""
        return self._descriptor is not None

    def release(self) -> None:
        """Unlock the file."""
        _held.discard(self)
        self._forget()

    def _forget(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor = None


def lock_folder(folder: Path, title_of: Callable[[Path], str | None]) -> Lock:
    """Make the folder if it is missing, and lock it.

    `title_of` returns the title of the list in a record, or `None` if a file is no record. A record shows
    that the folder is ours. `JournalError` is raised if the folder is in use, or is not a journal.
    """
    path = folder / LOCK
    for _ in range(_TRIES):
        _make(folder, title_of)
        try:
            lock = Lock(path)
        except FileNotFoundError:  # another process has just removed it
            continue
        except BlockingIOError:
            raise JournalError(
                f"{folder} is in use: process {holder_of(path)} is at work on "
                f"{title_of(folder / RECORD) or 'this run'}. Wait for it to end, or name another output.",
                path=str(folder),
            ) from None
        flush_folder(folder)
        return lock
    raise JournalError(
        f"{folder} disappeared {_TRIES} times while it was opened: name another output.",
        path=str(folder),
    )


def sweep_folder(folder: Path) -> None:
    """Delete incomplete files that a dead process has left."""
    for path in _children(folder):
        name = complete_name(path.name)
        if name is not None and (name == RECORD or is_results(name) or is_reused(name)):
            _unlink(path)


def clear_folder(folder: Path) -> None:
    """Delete our files except the lock; the record goes last.

    So a process that dies meanwhile never leaves paid results without the record.
    """
    sweep_folder(folder)
    for path in _children(folder):
        if path.name == SPOOL and not path.is_symlink():
            for spooled in _children(path):
                if is_source(spooled.name):
                    _unlink(spooled)
            with suppress(OSError):  # it is a file, or holds other files
                path.rmdir()
        elif is_of_list(path.name):
            _unlink(path)
    _unlink(folder / RECORD)


def holds_results(folder: Path) -> bool:
    """Return whether a journal has results of parts."""
    return is_file(folder / LOCK) and any(is_results(path.name) for path in _children(folder))


def drop_results(folder: Path) -> None:
    """Delete the results of an earlier list."""
    for path in _children(folder):
        if is_results(path.name):
            _unlink(path)


def remove_folder(folder: Path) -> None:
    """Delete our files, the lock last, and the folder if it is then empty."""
    clear_folder(folder)
    _unlink(folder / LOCK)
    with suppress(OSError):  # it holds other files, or another process uses it
        folder.rmdir()


def _make(folder: Path, title_of: Callable[[Path], str | None]) -> None:
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        _require_ours(folder, title_of)
    else:
        flush_folder(folder.parent)


def _require_ours(folder: Path, title_of: Callable[[Path], str | None]) -> None:
    """Refuse a folder that was not made by a run."""
    problem = None
    try:
        names = {path.name for path in folder.iterdir()}
    except FileNotFoundError:
        if folder.is_symlink():
            problem = f"a symbolic link to {folder.readlink()}, which does not exist"
        names = set()  # else another process has just removed it
    except NotADirectoryError:
        problem = "not a folder"
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        problem = "a symbolic link that leads to itself"
    if problem is not None:
        raise JournalError(
            f"This run would keep its progress in {folder}, but that is {clause(problem)}. Remove it, or "
            "name another output.",
            path=str(folder),
        )
    if names and not is_file(folder / LOCK) and title_of(folder / RECORD) is None:
        raise JournalError(
            f"This run would keep its progress in {folder}, but something else is in there: "
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


def holder_of(path: Path) -> str:
    """Return the id of the process that has locked a file, or `another` if it is unknown."""
    with suppress(OSError):
        return path.read_text(encoding="ascii", errors="replace").strip() or "another"
    return "another"


def _close_in_child() -> None:
    """Close the descriptors in a forked child, so that the locks end with its parent."""
    for lock in _held:
        lock._forget()  # noqa: SLF001 - of this module


if fcntl is not None:
    os.register_at_fork(after_in_child=_close_in_child)

"""A lock that one process holds at a time; it ends with the process, and a child does not inherit it."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

from bulkverify.files import require_replaceable

try:
    import fcntl
except ImportError:  # Windows has no flock, so nothing keeps two processes apart there
    fcntl = None  # type: ignore[assignment]

_held: Final[set["Lock"]] = set()


class Lock:
    """A file that this process has locked, until `release` or the end of the process."""

    def __init__(self, path: Path) -> None:
        """Open the file, or create it; a symbolic link is not followed.

        Raises:
            BlockingIOError: another process has locked it.
            OSError: the file can't be opened or locked.
        """
        require_replaceable(path)
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
        self._descriptor: int | None = os.open(path, flags, 0o600)
        _held.add(self)
        try:
            if fcntl is not None:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.release()
            raise
        except OSError as error:  # some network file systems have no locks
            self.release()
            raise OSError(error.errno, error.strerror, str(path)) from error

    @classmethod
    def take(cls, path: Path) -> Self | None:
        """Lock a file, and return `None` if another process has just removed it.

        Raises:
            BlockingIOError, OSError: as for the class.
        """
        lock = cls(path)
        assert lock._descriptor is not None  # noqa: S101 - it was opened just now
        links = os.fstat(lock._descriptor).st_nlink
        if not links:
            lock.release()
            return None
        if links == 1:  # else the file has another name too, and is not ours
            with suppress(OSError):  # the process id is only information
                os.truncate(lock._descriptor, 0)
                os.write(lock._descriptor, f"{os.getpid()}\n".encode())
        return lock

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


def holder_of(path: Path) -> str:
    """Return the id of the process that has locked a file, or `another` if it is unknown."""
    with suppress(OSError):
        return path.read_text(encoding="ascii", errors="replace").strip() or "another"
    return "another"


def _leave_to_parent() -> None:
    """Close the descriptors in a child, which would hold the locks longer than its parent."""
    for lock in _held:
        lock._forget()  # noqa: SLF001 - of this module
    _held.clear()


if fcntl is not None:
    os.register_at_fork(after_in_child=_leave_to_parent)

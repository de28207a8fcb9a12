"""A lock for one process at a time: it ends with the process, and no child keeps it."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

from bulkverify.files import require_replaceable

try:
    import fcntl
except ImportError:  # there is no flock on Windows, and so nothing that keeps two processes apart
    fcntl = None  # type: ignore[assignment]

_held: Final[set["Lock"]] = set()


class Lock:
    """A file that this process has locked, until `release` or the end of the process."""

    def __init__(self, path: Path) -> None:
        """Open the file, and create it where need be; a link to one is not followed.

        Raises:
            BlockingIOError: another has locked it.
            OSError: it can't be opened or locked.
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
        """Lock a file; `None` if its last holder has just removed it.

        Raises:
            BlockingIOError, OSError: as for the class.
        """
        lock = cls(path)
        assert lock._descriptor is not None  # noqa: S101 - it was opened just now
        links = os.fstat(lock._descriptor).st_nlink
        if not links:
            lock.release()
            return None
        if links == 1:  # else it is another's file too
            with suppress(OSError):  # the holder's id is only good to know
                os.truncate(lock._descriptor, 0)
                os.write(lock._descriptor, f"{os.getpid()}\n".encode())
        return lock

    @property
    def held(self) -> bool:
        """Whether this process still has it."""
        return self._descriptor is not None

    def release(self) -> None:
        """Let go of it."""
        _held.discard(self)
        self._forget()

    def _forget(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor = None


def holder_of(path: Path) -> str:
    """Name the process that has a file locked, as far as that is known."""
    with suppress(OSError):
        return path.read_text(encoding="ascii", errors="replace").strip() or "another"
    return "another"


def _leave_to_parent() -> None:
    """Close the descriptors that a child has inherited: it would keep the locks after its parent."""
    for lock in _held:
        lock._forget()  # noqa: SLF001 - of this module
    _held.clear()


if fcntl is not None:
    os.register_at_fork(after_in_child=_leave_to_parent)

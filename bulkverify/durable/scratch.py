"""A folder of this process's own, for the files of runs that are not beside an output."""

import os
import shutil
import tempfile
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from stat import S_ISDIR
from typing import Final

from bulkverify.run.folder import Lock

_PREFIX: Final = "bulkverify-worker-"
_LOCK: Final = "lock"


class Scratch:
    """A temporary folder with a folder for each run. It is made when it is first needed."""

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._lock: Lock | None = None

    def path(self, name: str) -> Path:
        """Return the path of a run's folder; an absolute one stays as it is."""
        if Path(name).is_absolute():
            return Path(name)
        if self._folder is None or not self._folder.is_dir():  # it was tidied up by others
            folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
            self._lock = Lock(folder / _LOCK)
            self._folder = folder
        return self._folder / name

    def runs(self) -> set[str]:
        """Return the ids of the runs that have a folder."""
        return {_run_of(path) for path in self._folders()}

    def drop(self, run_ids: Collection[str]) -> None:
        """Delete the folders of runs, and those of processes that have died."""
        for path in self._folders():
            if _run_of(path) in run_ids:
                shutil.rmtree(path, ignore_errors=True)
        for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
            with suppress(OSError):  # its process is alive, or it has just gone
                if path != self._folder and _is_ours(path):
                    lock = Lock(path / _LOCK)
                    shutil.rmtree(path, ignore_errors=True)
                    lock.release()

    def _folders(self) -> list[Path]:
        return [] if self._folder is None else [*self._folder.glob("*.*")]

    def close(self) -> None:
        """Delete the folder."""
        if self._folder is not None and self._lock is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._lock.release()


def _run_of(folder: Path) -> str:
    return folder.name.partition(".")[0]


def _is_ours(folder: Path) -> bool:
    """Whether a folder is one of this user, which nobody else can have put there, and has a lock."""
    found = folder.lstat()
    return S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and (folder / _LOCK).is_file()

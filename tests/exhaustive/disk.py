"""Kills a process at a chosen file operation, or cuts its power.

All operations that change a folder are counted: opening for writing, writing, syncing, renaming, removing,
making and truncating. The process is killed with SIGKILL before or after the chosen one.

After a power cut the disk keeps only synced data. A file that was not synced after a write loses the new
data, or half of it, or has zeros instead. A new or removed name is undone if its folder was not synced.
That is the strictest reading of POSIX; most file systems keep more.
"""

import builtins
import io
import os
import shutil
import signal
import stat
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import attrs

CONTENTS: Final = ("kept", "emptied", "halved", "zeroed")
NAMES: Final = ("kept", "undone", "undone inside", "undone outside")
"""What happens to unsynced names: inside the journal, outside of it, or everywhere."""

_WRITES: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_AUDITED: Final = {
    "open": "open",
    "os.rename": "rename",
    "os.remove": "unlink",
    "os.mkdir": "mkdir",
    "os.rmdir": "rmdir",
    "os.truncate": "truncate",
    "os.link": "link",
    "os.symlink": "symlink",
}
"""The audit events of Python that change a folder, and their names here."""

_ALSO_CALLED: Final = {"replace": "rename", "remove": "unlink", "ftruncate": "truncate"}
_real: Final = {name: getattr(os, name) for name in dir(os) if callable(getattr(os, name))}
_real_open: Final = io.open


@attrs.frozen
class Death:
    """When the process dies, and what the disk keeps."""

    number: int
    when: str
    content: str = "kept"
    names: str = "kept"


@attrs.frozen
class Operation:
    """An operation of an undisturbed run, and whether data or names were unsynced after it."""

    what: str
    path: str
    unsynced: bool
    unnamed: bool


@attrs.frozen
class _Naming:
    """A change of names in a folder that a power cut may undo."""

    folder: Path
    undo: Callable[[], object]
    removed: Path | None = None


class Disk:
    """Watches the file operations of this process below `root`; `spare` keeps files for an undo."""

    def __init__(self, root: Path, spare: Path, death: Death | None) -> None:
        self.operations: list[Operation] = []
        self._tried: Counter[str] = Counter()
        self._audited: Counter[str] = Counter()
        self._root, self._spare, self._death = root, spare, death
        self._lock = threading.RLock()
        self._synced: dict[int, int] = {}  # synced bytes of the files with unsynced ones, by inode
        self._namings: list[_Naming] = []
        self._spares = 0

    def install(self) -> None:
        """Replace the functions that change files, until the process ends."""
        for name in ("unlink", "remove", "rmdir", "mkdir", "truncate"):
            setattr(os, name, self._watched(name, self._by_path(name)))
        for name in ("replace", "rename", "link", "symlink"):
            setattr(os, name, self._watched_pair(name))
        for name in ("write", "fsync", "fdatasync", "ftruncate"):
            setattr(os, name, self._watched(name, lambda fd, *_, **__: _path_of(fd)))
        setattr(os, "open", self._open)  # noqa: B010 - its type is too complex to write
        setattr(io, "open", self._open_file)  # noqa: B010 - likewise
        setattr(builtins, "open", self._open_file)  # noqa: B010 - likewise
        sys.addaudithook(self._audit)

    def unnoticed(self) -> dict[str, int]:
        """Count the operations that only Python's audit has seen; there should be none."""
        return dict(self._audited - self._tried)

    def _audit(self, event: str, args: tuple[Any, ...]) -> None:
        if event not in _AUDITED or isinstance(args[0], int):
            return
        if event == "open" and not (args[2] or 0) & _WRITES:
            return
        path, *more = args[1:] if event in {"os.rename", "os.link", "os.symlink"} else args
        folder = more[-1] if event not in {"open", "os.truncate"} and more else -1
        where = _resolved(path, folder if isinstance(folder, int) and folder >= 0 else None)
        self._audited[_AUDITED[event]] += where.is_relative_to(self._root)

    @contextmanager
    def operation(self, what: str, path: Path | None) -> Iterator[None]:
        """Count an operation, and die before or after it if it is the chosen one."""
        if path is None or not path.is_relative_to(self._root):
            yield
            return
        with self._lock:
            number = len(self.operations) + 1
            self._tried[_ALSO_CALLED.get(what, what)] += 1
            self._die_at(number, "before")
            yield
            names = self._namings
            self.operations.append(
                Operation(what, str(path.relative_to(self._root)), self._unsynced(), bool(names))
            )
            self._die_at(number, "after")

    def _die_at(self, number: int, when: str) -> None:
        death = self._death
        if death is not None and (death.number, death.when) == (number, when):
            self._cut(death)
            os.kill(os.getpid(), signal.SIGKILL)

    def _cut(self, death: Death) -> None:
        """Remove everything from the disk that was not synced."""
        if death.content != "kept":
            for path in self._files():
                self._spoil(path, death.content)
        inside = self._journal()
        for naming in reversed(self._namings):
            where = "inside" if inside and naming.folder.is_relative_to(inside) else "outside"
            if death.names in {"undone", f"undone {where}"}:
                with suppress(OSError):
                    naming.undo()

    def _journal(self) -> Path | None:
        folders = [naming.folder for naming in self._namings if naming.folder != self._root]
        return min(folders, key=lambda folder: len(folder.parts), default=None)

    def _files(self) -> list[Path]:
        """Find all files with unsynced data."""
        found = [*self._root.rglob("*"), *self._spare.rglob("*")]
        return [path for path in found if path.is_file() and path.stat().st_ino in self._synced]

    def _unsynced(self) -> bool:
        return any(
            path.stat().st_size > self._synced[path.stat().st_ino]
            and path.name != "bulkverify-journal.lock"
            for path in self._files()
        )

    def _spoil(self, path: Path, content: str) -> None:
        found = path.stat()
        safe, size = self._synced[found.st_ino], found.st_size
        if size <= safe:
            return
        with _real_open(path, "r+b") as file:
            file.truncate(safe + (size - safe) // 2 if content == "halved" else safe)
            if content == "zeroed":
                file.truncate(size)

    # The effect of each operation on the synced state.

    def _by_path(self, name: str) -> Callable[..., Path | None]:
        def resolved(path: Any, *_: Any, dir_fd: int | None = None, **__: Any) -> Path | None:  # noqa: ANN401
            if name == "truncate" and isinstance(path, int):
                return _path_of(path)
            return _resolved(path, dir_fd)

        return resolved

    def _watched(self, name: str, path_of: Callable[..., Path | None]) -> Callable[..., Any]:
        real = _real[name]

        def watched(*args: Any, **options: Any) -> Any:  # noqa: ANN401 - handed on
            path = path_of(*args, **options)
            with self.operation(name, path):
                undone = self._prepare(name, path)
                done = real(*args, **options)
                if path is not None:
                    self._note(name, path, undone)
                return done

        return watched

    def _watched_pair(self, name: str) -> Callable[..., Any]:
        real = _real[name]

        def watched(
            source: Any,  # noqa: ANN401 - handed on
            target: Any,  # noqa: ANN401 - likewise
            *args: Any,  # noqa: ANN401 - likewise
            **options: Any,  # noqa: ANN401 - likewise
        ) -> Any:  # noqa: ANN401 - likewise
            path = _resolved(target, options.get("dst_dir_fd", options.get("dir_fd")))
            with self.operation(name, path):
                kept = self._keep(path)
                real(source, target, *args, **options)
                if path is not None:
                    self._namings.append(self._paired(name, _resolved(source, None), path, kept))

        return watched

    def _paired(self, name: str, source: Path, target: Path, kept: Path | None) -> _Naming:
        def undo() -> None:
            if name in {"replace", "rename"}:
                _real["rename"](target, source)
            else:
                _real["unlink"](target)
            if kept is not None:
                _real["rename"](kept, target)

        return _Naming(target.parent, undo)

    def _prepare(self, name: str, path: Path | None) -> Any:  # noqa: ANN401 - for `_note`
        if path is None or not path.is_relative_to(self._root):
            return None
        if name in {"unlink", "remove"}:
            return self._keep(path)
        return path.stat() if name in {"write", "truncate", "ftruncate"} else None

    def _note(self, name: str, path: Path, before: Any) -> None:  # noqa: ANN401 - see above
        if not path.is_relative_to(self._root):
            return
        match name:
            case "unlink" | "remove" if before is not None:
                self._namings.append(_Naming(path.parent, lambda: _real["rename"](before, path)))
            case "mkdir":
                undo = lambda: shutil.rmtree(path)  # noqa: E731 - as short as the others
                self._namings.append(_Naming(path.parent, undo))
            case "rmdir":
                undo = lambda: _real["mkdir"](path, 0o700)  # noqa: E731 - likewise
                self._namings.append(_Naming(path.parent, undo, removed=path))
            case "write":
                self._synced.setdefault(before.st_ino, before.st_size)
            case "truncate" | "ftruncate":
                known = self._synced.get(before.st_ino, before.st_size)
                self._synced[before.st_ino] = min(known, path.stat().st_size)
            case "fsync" | "fdatasync":
                self._sync(path)

    def _sync(self, path: Path) -> None:
        if not path.is_dir():
            if path.exists():
                self._synced.pop(path.stat().st_ino, None)
            return
        gone = [naming.removed for naming in self._namings if naming.folder == path]
        self._namings = [
            naming
            for naming in self._namings
            if naming.folder != path
            and not any(folder and naming.folder.is_relative_to(folder) for folder in gone)
        ]

    def _keep(self, path: Path | None) -> Path | None:
        """Keep a file whose name is about to be replaced or removed."""
        if path is None or not path.is_relative_to(self._root) or not path.exists():
            return None
        self._spares += 1
        kept = self._spare / f"{os.getpid()}-{self._spares}"
        _real["link"](path, kept, follow_symlinks=False)
        return kept

    def _open(
        self,
        path: Any,  # noqa: ANN401 - handed on
        flags: int,
        mode: int = 0o777,
        *,
        dir_fd: int | None = None,
    ) -> int:
        where = _resolved(path, dir_fd) if flags & _WRITES else None
        with self.operation("open", where):
            existed = where is None or where.exists()
            descriptor: int = _real["open"](path, flags, mode, dir_fd=dir_fd)
            if where is not None and where.is_relative_to(self._root):
                if not existed:
                    self._synced[os.fstat(descriptor).st_ino] = 0
                    undo = lambda: _real["unlink"](where)  # noqa: E731 - as short as the others
                    self._namings.append(_Naming(where.parent, undo))
                elif flags & os.O_TRUNC and stat.S_ISREG(os.fstat(descriptor).st_mode):
                    self._synced[os.fstat(descriptor).st_ino] = 0
            return descriptor

    def _open_file(self, file: Any, mode: str = "r", *args: Any, **options: Any) -> Any:  # noqa: ANN401
        if not {*mode} & {*"wax+"}:
            return _real_open(file, mode, *args, **options)
        if not isinstance(file, int):
            flags = os.O_RDWR if "+" in mode else os.O_WRONLY
            for letter, more in (
                ("w", os.O_CREAT | os.O_TRUNC),
                ("x", os.O_CREAT | os.O_EXCL),
                ("a", os.O_CREAT | os.O_APPEND),
            ):
                flags |= more if letter in mode else 0
            file = self._open(file, flags | os.O_CLOEXEC, 0o666)
        raw = _WatchedFile(file, mode.replace("b", "").replace("t", ""), self)
        buffered: Any = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        if "b" in mode:
            return buffered
        options.pop("buffering", None)
        return io.TextIOWrapper(buffered, **options)


class _WatchedFile(io.FileIO):
    """A file whose writes are operations."""

    def __init__(self, descriptor: int, mode: str, disk: Disk) -> None:
        super().__init__(descriptor, mode)
        self._disk = disk

    def write(self, data: Any, /) -> int:  # noqa: ANN401 - any buffer
        path = _path_of(self.fileno())
        with self._disk.operation("write", path):
            before = self._disk._prepare("write", path)
            count = super().write(data)
            self._disk._note("write", path, before)
            return count

    def truncate(self, size: int | None = None, /) -> int:
        path = _path_of(self.fileno())
        with self._disk.operation("truncate", path):
            before = self._disk._prepare("truncate", path)
            done = super().truncate(size)
            self._disk._note("truncate", path, before)
            return done


def _path_of(descriptor: int) -> Path:
    return Path(os.readlink(f"/proc/self/fd/{descriptor}"))  # noqa: PTH115 - it may not be a path


def _resolved(path: Any, dir_fd: int | None) -> Path:  # noqa: ANN401 - any name of a file
    named = Path(os.fsdecode(path))
    return (_path_of(dir_fd) if dir_fd is not None else Path.cwd()) / named

"""Files that get their name only when they are complete."""

import errno
import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

_KINDS: Final = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)

_INCOMPLETE: Final = re.compile(r"\.(.+)\.[0-9a-f]{8}\.part", re.DOTALL)

# A fixed mark, so that the next call removes the file of a killed process.
_PROBE: Final = "probe"


@contextmanager
def replacing(
    destination: str | os.PathLike[str], *, mark: str | None = None, public: bool = False
) -> Iterator[BinaryIO]:
    """Open a file that replaces `destination` at the end of the block.

    If the block raises, the old file stays as it is. Only the owner can read the new file, unless it is `public`. All its data
    is on the disk before it gets its name. Only files are replaced: symbolic links, pipes and devices
    are refused.

    Args:
        destination: the path of the file.
        mark: part of the incomplete file's name. The next call with the same mark removes the incomplete
            file of a killed process. Only one call at a time may use a mark.
        public: whether others can read the file, as far as the umask allows.

    Raises:
        OSError: the file can't be written; the error names `destination`, even if the disk is full.
    """
    path = Path(destination)
    partial = None
    try:
        require_replaceable(path)
        descriptor, partial = _create_beside(path, mark, 0o666 if public else 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                yield file
                flush_to_disk(file)
            require_replaceable(path)  # it may have changed during the block
            Path(partial).replace(path)
        except BaseException:
            with suppress(FileNotFoundError):
                Path(partial).unlink()
            raise
    except OSError as error:
        ours = error.filename in {None, partial, str(path)}
        # Errors about other files come from the block, and so do our timeouts, which have no errno.
        if not ours or error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def incomplete_path(path: Path, mark: str) -> Path:
    """Return the path of a file while it is incomplete."""
    return path.with_name(f".{path.name}.{mark}.part")


def complete_name(name: str) -> str | None:
    """Return the name that an incomplete file will get, or `None` if it is not one."""
    found = _INCOMPLETE.fullmatch(name)
    return None if found is None else found[1]


def flush_to_disk(file: BinaryIO) -> None:
    """Write out the buffer, and wait until the data is on the disk."""
    file.flush()
    os.fsync(file.fileno())


def check_writable(destination: str | os.PathLike[str], *, overwrite: bool) -> None:
    """Check that `replacing` can write a file.

    Raises:
        FileExistsError: it exists, and must not be overwritten.
        OSError: its folder does not exist or can't be written to, or it is not a regular file.
    """
    path = Path(destination)
    require_replaceable(path)
    if path.exists() and not overwrite:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
    try:
        descriptor, partial = _create_beside(path, _PROBE)
    except FileExistsError:  # another process is making the same check
        return
    os.close(descriptor)
    Path(partial).unlink(missing_ok=True)


def is_file(path: Path) -> bool:
    """Return whether the path is a regular file, and not a link, a pipe or a device."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def is_same_file(path: Path, other: Path) -> bool:
    """Whether two paths lead to one existing file or folder."""
    with suppress(OSError, ValueError):
        return path.samefile(other)
    return False


def is_within(path: Path, folder: Path) -> bool:
    """Whether a path leads to a folder, or to something in it."""
    top, real = Path(os.path.realpath(folder)), Path(os.path.realpath(path))
    return any(one == top or is_same_file(one, top) for one in (real, *real.parents))


def require_replaceable(path: Path) -> None:
    """Raise `OSError` if the path is a folder, a link, a pipe or a device."""
    try:
        mode = path.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):  # opening the file reports a missing folder
        return
    if stat.S_ISREG(mode):
        return
    if stat.S_ISLNK(mode):
        raise OSError(
            errno.ELOOP,
            f"It is a symbolic link to {path.readlink()}, and links are not followed: name the file itself",
            str(path),
        )
    for is_kind, kind in _KINDS:
        if is_kind(mode):
            raise OSError(
                errno.EINVAL,
                f"It is {kind}, not a file: name a file",
                str(path),
            )
    raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))


def make_folder(path: Path) -> None:
    """Make a folder that only its owner can use, unless there is one. A link to a folder is refused."""
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        if not stat.S_ISDIR(path.lstat().st_mode):
            raise


def _create_beside(path: Path, mark: str | None = None, mode: int = 0o600) -> tuple[int, str]:
    """Create a file in the same folder, because a rename is atomic only within one file system."""
    if not path.name:  # "" and "/" have none
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    partial = incomplete_path(path, mark or secrets.token_hex(4))
    try:
        if mark is not None:
            require_replaceable(partial)
            partial.unlink(missing_ok=True)
        return os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), str(partial)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def flush_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk, so that a rename survives a power cut."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except PermissionError:  # Windows can't open folders
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

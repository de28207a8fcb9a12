"""Files that appear under their name only when they are complete."""

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

# Always the same, so that the next call removes what a killed process has left.
_PROBE: Final = "probe"


@contextmanager
def replacing(
    destination: str | os.PathLike[str], *, mark: str | None = None
) -> Iterator[BinaryIO]:
    """Give a file to write that takes the place of `destination` when the block ends well.

    Until then, and for good if the block raises, whatever is there stays as it is. Only the owner
    can read the new file. What was written has reached the disk before it gets its name. Only a
    file is replaced: a symbolic link, a pipe or a device stays, and so does what a link points to.

    Args:
        destination: the path of the file.
        mark: is part of the unfinished file's name, so that the next one with the same mark takes
            the place of what a killed process has left; only one may be at work at a time.

    Raises:
        OSError: it can't be written; the error names `destination`, also where the disk is full.
    """
    path = Path(destination)
    partial = None
    try:
        require_replaceable(path)
        descriptor, partial = _create_beside(path, mark)
        try:
            with os.fdopen(descriptor, "wb") as file:
                yield file
                flush_to_disk(file)
            require_replaceable(path)  # once more: the block may have taken hours
            Path(partial).replace(path)
        except BaseException:
            with suppress(FileNotFoundError):
                Path(partial).unlink()
            raise
    except OSError as error:
        ours = error.filename in {None, partial, str(path)}
        # Of another file, or without a number as our own timeouts are: raised inside the block.
        if not ours or error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def incomplete_path(path: Path, mark: str) -> Path:
    """Return where a file is written until it is complete."""
    return path.with_name(f".{path.name}.{mark}.part")


def complete_name(name: str) -> str | None:
    """Return the name that an incomplete file gets; `None` if it is none, or has a mark of its caller's."""
    found = _INCOMPLETE.fullmatch(name)
    return None if found is None else found[1]


def flush_to_disk(file: BinaryIO) -> None:
    """Write out what is buffered, and wait until the disk has it."""
    file.flush()
    os.fsync(file.fileno())


def check_writable(destination: str | os.PathLike[str], *, overwrite: bool) -> None:
    """Find out before any work is done whether `replacing` will be able to write a file.

    Raises:
        FileExistsError: it exists, and is not to be overwritten.
        OSError: its folder does not exist, or can't be written to, or it is no file.
    """
    path = Path(destination)
    require_replaceable(path)
    if path.exists() and not overwrite:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
    try:
        descriptor, partial = _create_beside(path, _PROBE)
    except FileExistsError:  # another process can write there, and finds that out just now
        return
    os.close(descriptor)
    Path(partial).unlink(missing_ok=True)


def is_file(path: Path) -> bool:
    """Tell whether a regular file is there: no link to one, and nothing that opening would wait for."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def require_replaceable(path: Path) -> None:
    """Refuse to put a file in the place of anything but a file.

    Raises:
        IsADirectoryError: a folder is there.
        OSError: a symbolic link, a pipe, a socket or a device is there.
    """
    try:
        mode = path.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):  # the latter is told by what opens it
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
                f"It is {kind} and would be replaced by a file: name a file",
                str(path),
            )
    raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))


def make_folder(path: Path) -> None:
    """Make a folder for its owner alone, unless it is there; a link to one is refused.

    Raises:
        OSError: it can't be made, or something else is there.
    """
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        if not stat.S_ISDIR(path.lstat().st_mode):
            raise


def _create_beside(path: Path, mark: str | None = None) -> tuple[int, str]:
    """Create a file in the same folder: a rename is atomic only within one file system."""
    if not path.name:  # as of "" and "/"
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    partial = incomplete_path(path, mark or secrets.token_hex(4))
    try:
        if mark is not None:
            require_replaceable(partial)
            partial.unlink(missing_ok=True)
        return os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), str(partial)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def flush_folder(folder: Path) -> None:
    """Wait until the disk knows the names in a folder: a rename in it then survives a power cut."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except PermissionError:  # Windows opens no folders
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

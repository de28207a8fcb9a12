"""Lists and outputs in object stores, such as `s3://bucket/list.csv`.

fsspec reads and writes them; keys come from the environment, as fsspec finds them. All calls but `put`
block, so they are made in threads.
"""

import errno
import os
import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from filecmp import cmp
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from bulkverify.errors import BulkVerifyError, InvalidListError, UsageError, clause
from bulkverify.files import flush_folder, replacing
from bulkverify.lists.layout import create
from bulkverify.lists.spooling import write
from bulkverify.lists.stopping import StoppedError, checkpoint
from bulkverify.run.source import was_url
from bulkverify.run.threads import in_thread
from bulkverify.run.written import note_of

_URL: Final = re.compile(r"[a-z][a-z0-9+.-]+://.*", re.DOTALL | re.IGNORECASE)

_WRITTEN: Final = frozenset({"s3", "s3a"})
"""The stores for outputs: in them an object appears when its upload is committed, and as a whole."""

_NUMBERS: Final[dict[type[Exception], int]] = {
    FileNotFoundError: errno.ENOENT,
    PermissionError: errno.EACCES,
}
"""The numbers of errors that stores raise without one."""

_PIECE_BYTES: Final = 1 << 20
_BLOCK_BYTES: Final = 8 << 20
"""How much of an object is sent or read at once; S3 takes up to 10,000 blocks of an upload."""


def is_url(place: str) -> bool:
    """Whether the place of a list or an output is a URL, and not a path."""
    return _URL.fullmatch(place) is not None


def checked_place(place: str | os.PathLike[str], *, written: bool = False) -> str:
    """Return a URL as it is, and a path as an absolute one, so that other processes find the file.

    Raises:
        UsageError: the URL may hold a secret, which no table may, or no output can be `written` to it.
    """
    text = os.fspath(place)
    if not is_url(text):
        if not isinstance(place, str) and was_url(Path(text)):
            raise UsageError(f"{text} was a URL: pass it as a str, because a Path merges slashes.")
        return str(Path(text).absolute())  # symbolic links stay
    scheme = text.partition(":")[0].lower()
    if _may_hold_secret(text):
        raise UsageError(  # without the URL
            f"A {scheme} URL must not hold a password, a key or a query, because the database keeps it: "
            "the environment of the workers holds the keys of a store."
        )
    if written and scheme not in _WRITTEN:
        raise UsageError(
            f"An output can't be written to {scheme}://: name a path, or an object of s3://."
        )
    bucket, _, name = text.partition("://")[2].rpartition("/")
    if not (bucket and name):
        raise UsageError(f"{text} names no object: a URL is such as s3://bucket/list.csv.")
    return text


def _may_hold_secret(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        known = host.startswith("arn:") or parts.port is not False  # an invalid port raises
    except ValueError:
        return True
    named = parts.username is not None and parts.scheme in {"http", "https"}
    return not known or parts.password is not None or bool(parts.query) or named or "::" in url


def download(url: str, path: Path) -> None:
    """Copy an object into a file, which appears when it is complete.

    Raises:
        InvalidListError: there is no such object.
        UsageError: there is no such kind of store.
        OSError: the store is away, or does not let this machine read.
    """
    with replacing(path) as file:
        for piece in _pieces(url):
            write(file, piece)


def _pieces(url: str) -> Iterator[bytes]:
    with _naming(url):
        store, place = _found(url)
        try:
            opened = store.open(place, "rb", block_size=_BLOCK_BYTES)
        except FileNotFoundError:
            raise InvalidListError(f"There is no list at {url}.") from None
        with opened:
            while piece := opened.read(_PIECE_BYTES):
                yield piece


def require_writable(url: str) -> None:
    """Raise `OSError` unless an object can be written; one that is there stays as it is."""
    with _naming(url):
        _discard(_sent(Path(os.devnull), url))


async def put(path: Path, url: str, check: Callable[[], Awaitable[object]]) -> None:
    """Put a file into a store, and give it the time of the object.

    `check` is called when all bytes are there and only the last request is left; if it raises, the
    object that is there stays as it is.
    """
    upload = await in_thread(partial(_sent, path, url), leave=True)
    try:
        await check()
    except BaseException:  # those of DBOS are no exceptions
        await in_thread(partial(_discard, upload), leave=True)
        raise
    await in_thread(partial(_commit, upload, path, url), leave=True)


async def put_note(path: Path, url: str, check: Callable[[], Awaitable[object]]) -> None:
    """Put the note about an output beside its object."""
    await put(note_of(path), _note_of(url), check)


def _sent(path: Path, url: str) -> Any:  # noqa: ANN401 - of fsspec
    with _naming(url):
        store, place = _found(url)
        upload = store.open(place, "wb", block_size=_BLOCK_BYTES, autocommit=False)
        store.transaction.files.remove(upload)  # else the store keeps it for ever
        try:
            with path.open("rb") as file:
                while piece := file.read(_PIECE_BYTES):
                    checkpoint()
                    upload.write(piece)
            upload.close()
        except BaseException:
            _discard(upload)
            raise
    return upload


def _discard(upload: Any) -> None:  # noqa: ANN401 - of fsspec
    with suppress(Exception):  # the store is away; an upload without an end is no object
        upload.close()
    with suppress(Exception):
        upload.discard()


def _commit(upload: Any, path: Path, url: str) -> None:  # noqa: ANN401 - of fsspec
    with _naming(url):
        upload.commit()
        if (found := stat(url)) is None or found[0] != path.stat().st_size:
            raise OSError(errno.EIO, "The object is not what was written", url)
        os.utime(path, ns=(found[1], found[1]))


def mirror(url: str, path: Path) -> None:
    """Make an empty file with the size and the time of an object, and copy the note about it.

    By these an output is recognised. There is no file if there is no object.
    """
    with _naming(url):
        found = stat(url)
        if found is None:
            return
        with create(path) as file:
            file.truncate(found[0])
        os.utime(path, ns=(found[1], found[1]))
        with suppress(InvalidListError):
            download(_note_of(url), note_of(path))
        flush_folder(path.parent)


def stat(place: str) -> tuple[int, int] | None:
    """Return the size and the time of a file or an object, or `None` if there is none."""
    try:
        if not is_url(place):
            file = Path(place).lstat()
            return file.st_size, file.st_mtime_ns
        store, name = _found(place)
        found = store.info(name)
        modified = store.modified(name) if found["type"] == "file" else None
    except FileNotFoundError:
        return None
    return None if modified is None else (int(found["size"]), int(modified.timestamp() * 1e9))


def differs(place: str, path: Path) -> bool:
    """Whether there is a file or an object that is no copy of the file at `path`."""
    if not is_url(place):
        return Path(place).exists() and not cmp(place, path, shallow=False)
    with _naming(place):
        found = stat(place)
    if found is None or found[0] != path.stat().st_size:
        return found is not None
    with path.open("rb") as file:
        return any(file.read(len(piece)) != piece for piece in _pieces(place))


def _found(url: str) -> tuple[Any, str]:
    """Return a store and a place in it."""
    try:
        from fsspec.core import url_to_fs  # noqa: PLC0415 - an extra, and only for URLs

        store, place = url_to_fs(url)
    except ImportError as error:
        raise OSError(
            errno.ENOSYS, f'{error}: pip install "bulkverify[durable,s3]" for s3://', url
        ) from error
    except ValueError as error:
        raise UsageError(f"There is no store for {url}: {clause(error)}.") from error
    store.invalidate_cache()
    return store, place


def _note_of(url: str) -> str:
    folder, _, name = url.rpartition("/")
    return f"{folder}/{note_of(Path(name))}"


@contextmanager
def _naming(url: str) -> Iterator[None]:
    """Turn all errors of a store into an `OSError` that names the URL."""
    try:
        yield
    except (BulkVerifyError, StoppedError):
        raise
    except Exception as error:
        number = getattr(error, "errno", None)
        if isinstance(error, OSError) and number is not None and error.filename is not None:
            raise
        number = number or _NUMBERS.get(type(error), errno.EIO)
        raise OSError(number, str(error) or type(error).__name__, url) from error

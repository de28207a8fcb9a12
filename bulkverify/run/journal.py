"""What a run has done, kept beside its output, so that the same call goes on after a crash.

    verified.csv.progress/
    ├── run.json                what was sent, started, paid and fetched, part by part
    ├── rows.bin                which row has which address
    ├── part-0001.csv           the addresses of a part, as they are sent
    ├── part-0001.results.csv   what the service found out about them
    └── lock                    held by the process that is at work

Each step that can cost something is written down before it is taken and again when it has been. So
whatever moment a process dies at, the next one knows for every part which list it is on the service,
or that its upload may have got lost on the way. Neither the key nor an address is in `run.json`.
"""

import json
import os
import re
import shutil
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import attrs
from cattrs.errors import BaseValidationError

from bulkverify.errors import JournalError
from bulkverify.files import flush_folder, replacing
from bulkverify.lists import Split
from bulkverify.models import converter
from bulkverify.run.reading import Splitting
from bulkverify.run.report import RunReport

try:
    import fcntl
except ImportError:  # there is no flock on Windows, and so nothing that keeps two processes apart
    fcntl = None  # type: ignore[assignment]

VERSION: Final = 1
_RECORD: Final = "run.json"
_LOCK: Final = "lock"
# What may be in the folder of a run; where anything else is, nothing is touched.
_OURS: Final = re.compile(
    r"lock|run\.json|rows\.bin|input|part-[0-9]+(\.results)?\.csv|source-[0-9]+\..*|\..*\.part"
)


class PartState(StrEnum):
    """How far a part is, as far as its owner knows; the lists of the service may be further."""

    PENDING = "pending"
    UPLOADING = "uploading"
    """It is being sent. Found in the journal of a process that died, it may have arrived or not."""
    UPLOADED = "uploaded"
    STARTING = "starting"
    """It is being started. Found in the journal of a process that died, it may have been or not."""
    STARTED = "started"
    DOWNLOADED = "downloaded"


# Without it a state would be read as what every other text is.
converter.register_structure_hook(PartState, lambda value, _: PartState(value))

UNPAID: Final = frozenset({PartState.PENDING, PartState.UPLOADING, PartState.UPLOADED})
"""The states of a part for which nobody has asked the service to begin."""


@attrs.define(kw_only=True)
class PartRecord:
    """What has been done about one part.

    `credits` is what its start has cost, or may have; `orphans` counts the uploads of it that may
    have arrived without anybody knowing their id.
    """

    number: int
    state: PartState = PartState.PENDING
    job_id: str | None = None
    credits: int = 0
    orphans: int = 0
    uploaded_at: datetime | None = None


@attrs.frozen(kw_only=True)
class Written:
    """The output as it was written last: how to know it again, and what was told of it."""

    size: int
    mtime_ns: int
    report: RunReport

    def is_at(self, path: Path) -> bool:
        """Tell whether the file at `path` is that very output."""
        try:
            found = path.stat()
        except OSError:
            return False
        return (found.st_size, found.st_mtime_ns) == (self.size, self.mtime_ns)


@attrs.define(kw_only=True)
class Record:
    """All that is written down: whose lists these are, how the list was split, and what was done."""

    version: int = VERSION
    base_url: str
    splitting: Splitting
    split: Split
    parts: list[PartRecord]
    written: Written | None = None

    def __attrs_post_init__(self) -> None:
        """Refuse what does not belong together, as after an edit by hand."""
        if [part.number for part in self.parts] != [part.number for part in self.split.parts]:
            raise ValueError("the parts are not those of the split")

    @property
    def sent(self) -> bool:
        """Whether anything has left this machine that would be lost with the journal."""
        return any(part.state is not PartState.PENDING or part.orphans for part in self.parts)

    @property
    def credits(self) -> int:
        """What the parts that were started have cost."""
        return sum(part.credits for part in self.parts)


class Journal:
    """The folder of a run, locked as long as it is open; `record` is `None` until the list is split."""

    def __init__(self, folder: Path, *, restart: bool = False) -> None:
        """Open it, or begin one; whoever has it open keeps everybody else out.

        Args:
            folder: where it is.
            restart: forget what is in there.

        Raises:
            JournalError: it is in use, no journal, or can't be read.
            OSError: it can't be made.
        """
        self.folder = folder
        self.record: Record | None = None
        self._removed = False
        self._lock: int | None = _locked(folder)
        try:
            if not restart:
                self.record = _load(folder)
            if self.record is None:
                self._clear()
            for partial in folder.glob(".*.part"):  # of a process that died while it wrote
                partial.unlink()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def begin(self, split: Split, base_url: str, splitting: Splitting) -> Record:
        """Write down how the list was split; from here on there is something to go on with."""
        self.record = Record(
            base_url=base_url,
            splitting=splitting,
            split=split,
            parts=[PartRecord(number=part.number) for part in split.parts],
        )
        self.save()
        return self.record

    def save(self) -> None:
        """Write the record, and return when the disk has it.

        It is small, and is written without giving way to anybody: between an answer of the service
        and the note of it there must be no moment at which a task can be cancelled.

        Raises:
            OSError: it can't be written; what was there before still is.
        """
        text = json.dumps(converter.unstructure(self.record), indent=1)
        with replacing(self.folder / _RECORD) as file:
            file.write(text.encode())
        flush_folder(self.folder)

    def list_of(self, number: int) -> Path:
        """Where the addresses of a part are."""
        return self.folder / f"part-{number:04}.csv"

    def results_of(self, number: int) -> Path:
        """Where the results of a part are, once they have been fetched."""
        return self.folder / f"part-{number:04}.results.csv"

    def results(self) -> dict[int, Path]:
        """Say where the results of all parts are that have been fetched, by number."""
        parts = self.record.parts if self.record else ()
        return {
            part.number: self.results_of(part.number)
            for part in parts
            if part.state is PartState.DOWNLOADED
        }

    def remove(self) -> None:
        """Delete it; the record goes first, so that what is left of it is never gone on with."""
        if self._removed:  # what is there now is somebody else's
            return
        self._removed = True
        (self.folder / _RECORD).unlink(missing_ok=True)
        self._clear()
        (self.folder / _LOCK).unlink(missing_ok=True)
        with suppress(OSError):  # somebody has come upon the folder meanwhile
            self.folder.rmdir()

    def close(self) -> None:
        """Let go of it."""
        if self._lock is not None:
            os.close(self._lock)
        self._lock = None

    def _clear(self) -> None:
        for path in self.folder.iterdir():
            if path.name == _LOCK:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()


def _locked(folder: Path) -> int:
    """Make the folder where need be, and return the open lock file in it."""
    path = folder / _LOCK
    while True:
        _make(folder)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except FileNotFoundError:
            if folder.exists():
                raise
            continue  # its owner was done with it just now
        try:
            if fcntl is not None:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(descriptor).st_nlink:
                with suppress(OSError):  # who it is is only good to know
                    os.truncate(descriptor, 0)
                    os.write(descriptor, f"{os.getpid()}\n".encode())
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            raise JournalError(
                f"{folder} is in use: process {_holder(path)} is at work on this run. Wait for it to "
                "end, or name another output.",
                path=str(folder),
            ) from None
        except OSError as error:  # as some file systems of a network know no locks
            os.close(descriptor)
            raise OSError(error.errno, error.strerror, str(path)) from error
        os.close(descriptor)  # whoever had it has removed it between our opening and locking it


def _make(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        foreign = sorted(name for name in _names(folder) if not _OURS.fullmatch(name))
        if foreign:
            raise JournalError(
                f"{folder} is where this run keeps its progress, and something else is in there: "
                f"{foreign[0]!r}. Move it, or name another output.",
                path=str(folder),
            ) from None


def _names(folder: Path) -> set[str]:
    try:
        return {path.name for path in folder.iterdir()}
    except NotADirectoryError:
        return {folder.name}
    except FileNotFoundError:  # its owner was done with it just now
        return set()


def _holder(path: Path) -> str:
    with suppress(OSError):
        return path.read_text(encoding="ascii", errors="replace").strip() or "another"
    return "another"


def _load(folder: Path) -> Record | None:
    try:
        document = json.loads((folder / _RECORD).read_bytes())
        version = document["version"]
        record = converter.structure(document, Record) if version == VERSION else None
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, RecursionError, BaseValidationError) as error:
        raise JournalError(
            f"{folder / _RECORD} can't be read ({type(error).__name__}). {ways_out(folder)}",
            path=str(folder),
        ) from None
    if record is None:
        raise JournalError(
            f"{folder} was written by another version of bulkverify (format {version}): go on with that "
            f"one. {ways_out(folder)}",
            path=str(folder),
        )
    _resume(record.parts)
    return record


def _resume(parts: Iterable[PartRecord]) -> None:
    """Take what a process that died was about to send as not sent: nobody will ever know its id."""
    for part in parts:
        if part.state is PartState.UPLOADING:
            part.state = PartState.PENDING
            part.orphans += 1


def ways_out(folder: Path, credits_: int = 0) -> str:
    """Say how to begin anew, and what that costs."""
    lost = f", and the {credits_:,} credits spent so far with it" if credits_ else ""
    return f"To give up what was done so far{lost}, use `restart=True`, or delete {folder}."

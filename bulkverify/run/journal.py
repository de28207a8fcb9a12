"""What a run has done, kept beside its output, so that the same call goes on after a crash.

    verified.csv.progress/
    ├── run.json                what was sent, started, paid and fetched, part by part
    ├── rows.bin                which row has which address
    ├── part-0001.csv           the addresses of a part, as they are sent
    ├── part-0001.results.csv   what the service found out about them
    ├── input/                  what of the list can be read only once
    └── bulkverify-journal.lock held by the process that is at work

Each step that can cost something is written down before it is taken and again when it has been. So
whatever moment a process dies at, the next one knows for every part which list it is on the service,
or that its upload may have got lost on the way. Neither the key nor an address is in `run.json`.

All files are on the disk before anything is sent that relies on them, and `run.json` has their digests.
What was damaged meanwhile is made again from the list, or fetched again.
"""

import json
import os
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from enum import StrEnum
from hashlib import blake2b
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import attrs
from cattrs.errors import BaseValidationError

from bulkverify.files import flush_folder, flush_to_disk, is_file, replacing
from bulkverify.lists import Split, file_digest, part_path, results_path
from bulkverify.run.errors import JournalError
from bulkverify.run.folder import (
    RECORD,
    SPARE,
    clear_folder,
    lock_folder,
    remove_folder,
    sweep_folder,
)
from bulkverify.run.source import Splitting
from bulkverify.run.written import Written
from bulkverify.service.converter import converter

VERSION: Final = 1


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

_SPARE_BYTES: Final = 64 * 1024

_UNREADABLE: Final = (ValueError, KeyError, TypeError, RecursionError, BaseValidationError)

_NAMED: Final = frozenset(PartState) - {PartState.PENDING, PartState.UPLOADING}
# A lone address is verified without a list, which would have an id.
_NAMELESS: Final = frozenset({PartState.STARTING, PartState.DOWNLOADED})


@attrs.define(kw_only=True)
class PartRecord:
    """What has been done about one part.

    `credits` is what its start has cost, or may have; `orphans` counts the uploads of it that may
    have arrived without anybody knowing their id; `results` is the digest of what was fetched;
    `answer` is what the service said about a lone address, but for the address.
    """

    number: int
    state: PartState = PartState.PENDING
    job_id: str | None = None
    credits: int = 0
    orphans: int = 0
    uploaded_at: datetime | None = None
    results: str | None = None
    answer: tuple[str, ...] | None = None

    def __attrs_post_init__(self) -> None:
        """Refuse what no run writes down, as after an edit by hand."""
        if self.credits < 0 or self.orphans < 0:
            raise ValueError("less than nothing was spent or lost")


@attrs.define(kw_only=True)
class Record:
    """All that is written down: whose lists these are, how the list was split, and what was done.

    `seal` is the digest of `split`. A run is `finished` when its caller has got what was paid for:
    what is left of its journal only waits to be deleted. `replaced` is the output that was there
    when `written` was about to take its place: a process may die before it does.
    """

    version: int = VERSION
    base_url: str
    splitting: Splitting
    split: Split
    seal: str
    parts: list[PartRecord]
    written: Written | None = None
    replaced: Written | None = None
    finished: bool = False

    def __attrs_post_init__(self) -> None:
        """Refuse what does not belong together, as after an edit by hand."""
        if [part.number for part in self.parts] != list(range(1, len(self.split.parts) + 1)):
            raise ValueError("the parts are not those of the split")
        ids = [part.job_id for part in self.parts if part.job_id is not None]
        if len(ids) != len(set(ids)):
            raise ValueError("two parts have one job")
        for part, record in zip(self.split.parts, self.parts, strict=True):
            alone = part.addresses == 1 and record.state in _NAMELESS
            if record.job_id is None and record.state in _NAMED and not alone:
                raise ValueError("a list is on the service, and its id is missing")

    @property
    def is_sealed(self) -> bool:
        """Whether `split` is as it was written down first."""
        return self.seal == seal_of(self.split)

    def output_at(self, path: Path) -> Written | None:
        """Return what this run has written, if the file at `path` is that."""
        outputs = (self.written, self.replaced)
        return next((one for one in outputs if one is not None and one.is_at(path)), None)

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
        self._lock = lock_folder(folder, _is_record)
        try:
            if not restart:
                self.record = _load(folder)
            if self.record is None:
                clear_folder(folder)
            sweep_folder(folder)
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
            seal=seal_of(split),
            parts=[PartRecord(number=part.number) for part in split.parts],
        )
        self.save()
        return self.record

    def save(self) -> None:
        """Write the record, and return when the disk has it.

        It is small, and is written without giving way to anybody: between an answer of the service
        and the note of it there must be no moment at which a task can be cancelled.

        Raises:
            JournalError: it is the parent of this process that has it open.
            OSError: it can't be written; what was there before still is.
        """
        if not self._lock.held:
            raise JournalError(f"{self.folder} is no longer open here.", path=str(self.folder))
        text = json.dumps(converter.unstructure(self.record), indent=1)
        with replacing(self.folder / RECORD) as file:
            file.write(text.encode())
        flush_folder(self.folder)

    @contextmanager
    def room(self) -> Iterator[Callable[[], None]]:
        """Take room on the disk for what must be written down later, and give what frees it.

        Raises:
            OSError: there is none.
        """
        path = self.folder / SPARE

        def free() -> None:
            path.unlink(missing_ok=True)

        try:
            free()
            with path.open("xb") as file:
                file.write(os.urandom(_SPARE_BYTES))  # zeros need no room on some disks
                flush_to_disk(file)
            yield free
        finally:
            free()

    def list_of(self, number: int) -> Path:
        """Where the addresses of a part are."""
        return part_path(self.folder, number)

    def results_of(self, number: int) -> Path:
        """Where the results of a part are, once they have been fetched."""
        return results_path(self.folder, number)

    def digest_of_results(self, number: int) -> str | None:
        """Return the digest of the results of a part; `None` where there are none."""
        return file_digest(self.results_of(number))

    def results(self) -> dict[int, Path]:
        """Say where the results of all parts are that have been fetched, by number."""
        parts = self.record.parts if self.record else ()
        return {
            part.number: self.results_of(part.number)
            for part in parts
            if part.state is PartState.DOWNLOADED
        }

    def lost_results(self) -> list[int]:
        """Name the parts whose results are not here as they were fetched, by number."""
        return [
            part.number
            for part in (self.record.parts if self.record else ())
            if part.state is PartState.DOWNLOADED
            and (part.results is None or part.results != self.digest_of_results(part.number))
        ]

    def forget_results(self, numbers: Collection[int]) -> None:
        """Write down that the results of parts are to be fetched again.

        Those of a lone address are made again from the answer that was noted.
        """
        for part in self.record.parts if self.record else ():
            if part.number in numbers:
                part.state = PartState.STARTING if part.job_id is None else PartState.STARTED
        self.save()

    def remove(self) -> None:
        """Delete it and let go of it; only whoever has it open does."""
        if self._lock.held:
            remove_folder(self.folder)
        self.close()

    def close(self) -> None:
        """Let go of it."""
        self._lock.release()


def seal_of(split: Split) -> str:
    """Return a digest of how a list was split."""
    return blake2b(repr(split).encode(), digest_size=16).hexdigest()


def _is_record(path: Path) -> bool:
    try:
        return is_file(path) and isinstance(_read(path), Record)
    except (OSError, *_UNREADABLE):
        return False


def _read(path: Path) -> Record | int:
    """Read a record, or the version of one that is not for us."""
    document = json.loads(path.read_bytes())
    version = document["version"]
    return converter.structure(document, Record) if version == VERSION else version


def _load(folder: Path) -> Record | None:
    path = folder / RECORD
    try:
        if not is_file(path) and (path.exists() or path.is_symlink()):
            raise ValueError("it is no file")
        record = _read(path)
    except FileNotFoundError:
        return None
    except _UNREADABLE as error:
        raise JournalError(
            f"{path} can't be read ({type(error).__name__}). {ways_out(folder)}", path=str(folder)
        ) from None
    if not isinstance(record, Record):
        raise JournalError(
            f"{folder} was written by another version of bulkverify (format {record}): go on with that "
            f"one. {ways_out(folder)}",
            path=str(folder),
        )
    if any(
        part.state in UNPAID and is_file(results_path(folder, part.number)) for part in record.parts
    ):
        raise JournalError(
            f"{path} is older than the results beside it, and what was paid since then is not in it. "
            f"Restore the newer one. {ways_out(folder)}",
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

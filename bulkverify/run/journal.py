"""What a run has done, kept beside its output, so that the same call goes on after a crash.

    verified.csv.progress/
    ├── run.json                what was sent, started, paid and fetched, part by part
    ├── rows.bin                which row has which address
    ├── part-0001.csv           the addresses of a part, as they are sent
    ├── part-0001.results.csv   the results of the part, as they were fetched
    ├── input/                  copies of sources that can be read only once
    └── bulkverify-journal.lock held by the process that is at work

Each step that may cost something is recorded before it begins, and again after it. So a process that
takes over knows the list of each part on the service, or that an upload may have been lost. `run.json`
holds neither the key nor an address.

Before anything is sent, all files that a run needs are on the disk, and `run.json` has their digests.
Damaged files are made again from the list, or fetched again.
"""

import json
from collections.abc import Collection
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import Final, Self

import attrs
from cattrs.errors import BaseValidationError

from bulkverify.files import flush_folder, is_file, replacing
from bulkverify.lists import Split, file_digest, part_path, results_path
from bulkverify.run.folder import (
    RECORD,
    clear_folder,
    drop_results,
    holds_results,
    lock_folder,
    remove_folder,
    sweep_folder,
)
from bulkverify.run.models import CurvePoint, JournalError
from bulkverify.run.record import UNPAID, PartRecord, PartState
from bulkverify.run.source import Splitting
from bulkverify.run.written import Written
from bulkverify.service.converter import converter

VERSION: Final = 1

_UNREADABLE: Final = (ValueError, KeyError, TypeError, RecursionError, BaseValidationError)

_WITH_LIST: Final = frozenset(PartState) - {PartState.PENDING, PartState.UPLOADING}
# A single address is verified without a list.
_WITHOUT_LIST: Final = frozenset({PartState.STARTING, PartState.DOWNLOADED})


@attrs.define(kw_only=True)
class RunRecord:
    """The content of `run.json`."""

    version: int = VERSION
    title: str = ""
    """The name of the list, if it has one; earlier versions did not record it."""
    base_url: str
    splitting: Splitting
    split: Split
    seal: str
    """The digest of `split`."""
    parts: list[PartRecord]
    written: Written | None = None
    """The output that the run has written."""
    replaced: Written | None = None
    """The output that `written` replaces. It is still there if the process died before the replacement."""
    finished: bool = False
    """Whether the caller has all results, so that the journal can be deleted."""
    began_at: datetime = attrs.field(factory=lambda: datetime.now(UTC))
    """When the first call began."""
    curve: list[CurvePoint] = attrs.field(factory=list)
    """The progress of all calls so far."""
    trial: bool = False
    """Whether the service has said that it is the sandbox."""

    def __attrs_post_init__(self) -> None:
        """Refuse a record that contradicts itself, as after an edit by hand."""
        if [part.number for part in self.parts] != list(range(1, len(self.split.parts) + 1)):
            raise ValueError("the parts are not those of the split")
        ids = [part.job_id for part in self.parts if part.job_id is not None]
        if len(ids) != len(set(ids)):
            raise ValueError("two parts have the same job")
        for part, record in zip(self.split.parts, self.parts, strict=True):
            alone = part.addresses == 1 and record.state in _WITHOUT_LIST
            if record.job_id is None and record.state in _WITH_LIST and not alone:
                raise ValueError("a list is on the service, and its id is missing")

    @property
    def is_sealed(self) -> bool:
        """Whether `split` is unchanged since it was recorded."""
        return self.seal == seal_of(self.split)

    def output_at(self, path: Path) -> Written | None:
        """Return the output of this run that is at `path`, if there is one."""
        outputs = (self.written, self.replaced)
        return next((one for one in outputs if one is not None and one.is_at(path)), None)

    @property
    def sent(self) -> bool:
        """Whether anything was sent, so that the journal is needed to go on."""
        return any(part.state is not PartState.PENDING or part.orphans for part in self.parts)

    @property
    def credits(self) -> int:
        """The credits that the started parts have cost."""
        return sum(part.credits for part in self.parts)

    @property
    def owed(self) -> int:
        """The credits that are still to be paid: one for each address of the unpaid parts."""
        return sum(
            part.addresses
            for part, record in zip(self.split.parts, self.parts, strict=True)
            if record.state in UNPAID
        )

    @property
    def uncertain(self) -> int:
        """The credits in `credits` of starts that may not have arrived, as after a lost answer."""
        return sum(
            part.credits
            for part in self.parts
            if part.state is PartState.STARTING and part.answer is None
        )


class Records:
    """The record of a run and the paths of its files; `record` is `None` until the list is split.

    The record is kept in memory. A journal also writes it into the folder.
    """

    def __init__(self, folder: Path, record: RunRecord | None = None) -> None:
        self.folder = folder
        self.record: RunRecord | None = record
        self.has_lost_record: bool = False

    # It is here because pyright treats an assignment in a subclass as an override.
    def _find(self, record: RunRecord | None, *, lost: bool) -> None:
        self.record, self.has_lost_record = record, lost

    def begin(
        self, split: Split, base_url: str, splitting: Splitting, title: str = ""
    ) -> RunRecord:
        """Record how the list was split; from now on a later call can go on.

        Raises:
            JournalError: an earlier record was lost.
        """
        if self.has_lost_record:
            raise lost_record(self.folder)
        drop_results(self.folder)  # they would look newer than the new record
        self.record = RunRecord(
            title=title,
            base_url=base_url,
            splitting=splitting,
            split=split,
            seal=seal_of(split),
            parts=[PartRecord(number=part.number) for part in split.parts],
        )
        self.save()
        return self.record

    def note(self, record: PartRecord) -> None:
        """Save the record of a part, see `Notes`."""
        self._replace(record)
        self.save()

    def save(self) -> None:
        """Keep the record."""

    def remove(self) -> None:
        """End the run: a later call can't go on with it."""

    def list_of(self, number: int) -> Path:
        """Return the path of a part's addresses."""
        return part_path(self.folder, number)

    def results_of(self, number: int) -> Path:
        """Return the path of a part's results."""
        return results_path(self.folder, number)

    def results(self) -> dict[int, Path]:
        """Return the paths of all results that have been fetched, by part."""
        return {
            part.number: self.results_of(part.number)
            for part in self._parts
            if part.state is PartState.DOWNLOADED
        }

    def lost_results(self) -> list[int]:
        """Return the parts whose results are missing or changed since they were fetched."""
        digests = {part.number: part.results for part in self._parts}
        return [
            number
            for number, path in self.results().items()
            if digests[number] is None or digests[number] != file_digest(path)
        ]

    def forget_results(self, numbers: Collection[int]) -> None:
        """Record that the results of parts must be fetched again.

        The result of a single address is made again from the answer in its record.
        """
        for part in self._parts:
            if part.number in numbers:
                state = PartState.STARTING if part.job_id is None else PartState.STARTED
                self._replace(attrs.evolve(part, state=state))
        self.save()

    @property
    def _parts(self) -> tuple[PartRecord, ...]:
        return tuple(self.record.parts) if self.record else ()

    def _replace(self, record: PartRecord) -> None:
        assert self.record is not None  # noqa: S101 - `begin` comes first
        self.record.parts[record.number - 1] = record


class Journal(Records):
    """The folder of a run, locked while it is open."""

    def __init__(self, folder: Path, *, restart: bool = False) -> None:
        """Open the journal or begin one; with `restart`, forget the earlier run.

        No other process can open it until it is closed. `JournalError` is raised if another process has
        it open, or if it can't be read.
        """
        super().__init__(folder)
        self._lock = lock_folder(folder, title_of)
        try:
            record = None if restart else read_record(folder)
            self._find(record, lost=has_lost_record(folder) and not restart)
            if self.record is None and not self.has_lost_record:
                clear_folder(folder)
            sweep_folder(folder)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def save(self) -> None:
        """Write the record, and return when it is on the disk.

        Raises:
            JournalError: the parent of this process has it open.
            OSError: the record can't be written; the earlier one is still there.
        """
        if not self._lock.held:
            raise JournalError(f"{self.folder} is no longer open here.", path=str(self.folder))
        text = json.dumps(converter.unstructure(self.record), indent=1)
        with replacing(self.folder / RECORD) as file:
            file.write(text.encode())
        flush_folder(self.folder)

    def remove(self) -> None:
        """Delete the journal and unlock it; a forked child deletes nothing."""
        if self._lock.held:
            remove_folder(self.folder)
        self.close()

    def close(self) -> None:
        """Unlock the journal."""
        self._lock.release()


def seal_of(split: Split) -> str:
    """Return a digest of how a list was split."""
    return blake2b(repr(split).encode(), digest_size=16).hexdigest()


def title_of(path: Path) -> str | None:
    """Return the title of the list in a record, or `None` if the file is no record that can be read."""
    try:
        record = _read(path) if is_file(path) else None
    except (OSError, *_UNREADABLE):
        return None
    return record.title if isinstance(record, RunRecord) else None


def _read(path: Path) -> RunRecord | int:
    """Read a record; return only its version if the format is another one."""
    document = json.loads(path.read_bytes())
    version = document["version"]
    return converter.structure(document, RunRecord) if version == VERSION else version


def journal_of(destination: Path) -> Path:
    """Return the folder that keeps the progress of a run by default."""
    return destination.with_name(f"{destination.name}.progress")


def read_record(folder: Path) -> RunRecord | None:
    """Read the record of a run, or return `None` if there is none.

    Raises:
        JournalError: it can't be read.
    """
    path = folder / RECORD
    try:
        if not is_file(path) and (path.exists() or path.is_symlink()):
            raise ValueError("it is not a file")
        record = _read(path)
    except FileNotFoundError:
        return None
    except _UNREADABLE as error:
        raise JournalError(
            f"{path} can't be read ({type(error).__name__}).", path=str(folder)
        ).with_hint(*restart_hints(folder)) from None
    if not isinstance(record, RunRecord):
        raise JournalError(
            f"{folder} was written by another version of bulkverify (format {record}): use that version.",
            path=str(folder),
        ).with_hint(*restart_hints(folder))
    if any(
        part.state in UNPAID and is_file(results_path(folder, part.number)) for part in record.parts
    ):
        raise JournalError(
            f"{path} is older than the results beside it, so later payments are missing in it. Restore "
            "the newer one.",
            path=str(folder),
        ).with_hint(*restart_hints(folder))
    record.parts = [part.taken_over() for part in record.parts]
    return record


def has_lost_record(folder: Path) -> bool:
    """Return whether results are here without the record, which says what was paid."""
    return holds_results(folder) and not (folder / RECORD).exists()


def lost_record(folder: Path) -> JournalError:
    """Return the error for results without a record."""
    return JournalError(
        f"{folder / RECORD} is missing, but results of parts that were paid for are beside it. Restore it.",
        path=str(folder),
    ).with_hint(*restart_hints(folder))


def restart_hints(folder: Path, credits_: int = 0) -> tuple[str, str]:
    """Return the hints, for Python and the shell, that say how to restart and what that costs."""
    lost = f", and the {credits_:,} credits spent on it" if credits_ else ""
    begin = f"To give up what was done so far{lost}, use "
    return f"{begin}`restart=True`, or delete {folder}.", f"{begin}--restart, or delete {folder}."

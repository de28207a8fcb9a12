"""The list of a run: opened, split and recognised in threads, while its rows are counted."""

import asyncio
import os
import re
import shutil
import tempfile
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Collection,
    ItemsView,
    Iterator,
    KeysView,
    Mapping,
)
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Final, TypeAlias

import attrs

from bulkverify.errors import UsageError
from bulkverify.files import is_same_file, make_folder
from bulkverify.limits import FEWEST_PART_ROWS, LONGEST_LIST_ROWS
from bulkverify.lists import (
    Examples,
    ListFormat,
    ListSource,
    Reuse,
    Split,
    Spool,
    Table,
    file_digest,
    fingerprint,
    open_table,
    split,
)
from bulkverify.run.earlier import Given, MaxAge, drained, seconds_by_verdict
from bulkverify.run.models import Stage
from bulkverify.run.progress import Tracker
from bulkverify.run.threads import drain, in_thread

RunSource: TypeAlias = ListSource | AsyncIterable[str] | AsyncIterable[Mapping[str, object]]
"""A path, several paths as one list, an iterable of addresses or mappings, async or not, or a frame."""

_UNORDERED: Final[tuple[type, ...]] = (AbstractSet, type(iter(set())))

_URL: Final = re.compile(r"[a-z][a-z0-9+.-]+:/", re.IGNORECASE)
"""The beginning of a URL as a path, in which two slashes are one; a drive of Windows has one letter."""

SPOOL: Final = "input"


@attrs.frozen(kw_only=True)
class Splitting:
    """How a list is split into parts."""

    judge: bool = True
    deduplicate: bool = True
    largest_rows: int = attrs.field(default=LONGEST_LIST_ROWS)
    max_ages: dict[str, float] | None = None
    """The seconds that earlier verdicts may be old, by verdict; `None` if none is reused."""

    def __attrs_post_init__(self) -> None:
        """Refuse sizes that the service refuses, and parts of one address, which may fail."""
        if not FEWEST_PART_ROWS <= self.largest_rows <= LONGEST_LIST_ROWS:
            raise UsageError(
                f"A part has {FEWEST_PART_ROWS} to {LONGEST_LIST_ROWS:,} addresses, not {self.largest_rows:,}."
            ).with_hint("Correct `largest_part`.", "Correct --largest-part.")


def was_url(path: Path) -> bool:
    """Whether a path was a URL."""
    return _URL.match(str(path)) is not None


def require_path(path: Path) -> None:
    """Raise `UsageError` if a path was a URL."""
    if was_url(path) and not path.exists():
        raise UsageError(
            f"{path} is a URL, and only durable runs read and write those. Nothing was sent."
        ).with_hint(
            "Use `bulkverify.durable.Engine`, or name a file.",
            "Use `bulkverify submit`, or name a file.",
        )


@attrs.frozen(kw_only=True)
class ListReader:
    """Reads a list; options that are `None` are detected."""

    source: RunSource = attrs.field(repr=False)
    column: str | None
    delimiter: str | None
    encoding: str
    format: ListFormat | None
    header_row: int | None = None
    sheet: str | None = None
    reuse: tuple[Given, ...] = attrs.field(default=(), repr=False)
    """Where earlier verdicts are read, if the splitting asks for them."""

    def __attrs_post_init__(self) -> None:
        """Refuse a URL, and a set: its order changes with the process, so a later call could not go on."""
        for path in self.paths():
            require_path(path)
        if isinstance(self.source, _UNORDERED) and not isinstance(
            self.source, KeysView | ItemsView
        ):
            raise UsageError(
                f"The order of a {type(self.source).__name__} changes with each process, so a later call could not "
                "go on. Nothing was sent."
            ).with_hint("Pass `sorted(...)` of it.", "Write it to a file, and name that.")

    def splitting(
        self, *, judge: bool, deduplicate: bool, largest_part: int, max_age: MaxAge
    ) -> Splitting:
        """Say how the list is split; an age counts only if there are earlier verdicts."""
        return Splitting(
            judge=judge,
            deduplicate=deduplicate,
            largest_rows=largest_part,
            max_ages=seconds_by_verdict(max_age) if self.reuse else None,
        )

    def paths(self) -> tuple[Path, ...]:
        """Return the files of the list, as far as they are known before it is read."""
        source = self.source
        if isinstance(source, str | os.PathLike):
            return (Path(source),)
        if not isinstance(source, Collection):
            return ()
        if not isinstance(next(iter(source), None), os.PathLike):
            return ()
        return tuple(Path(one) for one in source if isinstance(one, str | os.PathLike))

    def earlier_paths(self) -> tuple[Path, ...]:
        """Return the files with earlier verdicts."""
        return tuple(source for source in self.reuse if isinstance(source, Path))

    def is_at(self, path: Path) -> bool:
        """Whether the list, or a part of it, is in the file at `path`."""
        return any(is_same_file(one, path) for one in self.paths())

    async def beside(self, path: Path) -> str | None:
        """Return a digest of the options and of all files of the list except the one at `path`.

        `None` if one of them can't be read twice.
        """
        return await in_thread(partial(self._beside, path))

    def _beside(self, path: Path) -> str | None:
        options = [self.column, self.delimiter, self.encoding, self.format, self.header_row]
        if self.sheet is not None:  # earlier versions had no such option
            options.append(self.sheet)
        digests: list[str | None] = []
        for one in self.paths():
            if is_same_file(one, path):
                digests.append("")
            elif one.is_file():
                digests.append(file_digest(one.resolve()))
            else:
                return None
        return blake2b(repr((tuple(options), digests)).encode(), digest_size=16).hexdigest()

    async def open(self, folder: Path) -> Table:
        """Detect how to read the list; a source that can be read only once is copied into the folder."""
        spool = folder / SPOOL
        with _naming(folder):
            make_folder(spool)
            if isinstance(self.source, AsyncIterable):
                return await _drained(self.source, spool, self.column)
            opening = partial(
                open_table,
                self.source,
                column=self.column,
                header_row=self.header_row,
                sheet=self.sheet,
                delimiter=self.delimiter,
                encoding=self.encoding,
                format=self.format,
                spool=spool,
            )
            return await in_thread(opening, leave=True)

    async def split(
        self,
        table: Table,
        folder: Path,
        splitting: Splitting,
        tracker: Tracker,
        examples: Examples | None = None,
        *,
        began_at: datetime,
        reused: Path | None = None,
    ) -> Split:
        """Write the parts of the list into the folder.

        The age of an earlier verdict is counted from `began_at`. If an earlier call has chosen them,
        `reused` is the file that it wrote.
        """
        sieve = None
        if splitting.max_ages is not None:
            sieve = Reuse(
                [reused] if reused else await drained(self.reuse, folder / SPOOL),
                splitting.max_ages,
                began_at,
                folder / SPOOL,
                column=self.column is not None,
                recorded=reused is not None,
            )
        options = attrs.asdict(splitting, filter=_is_of_split)
        work = partial(split, table, folder, examples=examples, sieve=sieve, **options)
        with _naming(folder):
            return await in_thread(work, lambda rows: tracker.tell(Stage.READING, rows_done=rows))

    async def fingerprint(self, table: Table, splitting: Splitting) -> str:
        """Return the fingerprint that `split` would return."""
        return await in_thread(partial(fingerprint, table, **attrs.asdict(splitting)))


def _is_of_split(field: "attrs.Attribute[object]", _: object) -> bool:
    return field.name != "max_ages"


@asynccontextmanager
async def temporary_folder() -> AsyncIterator[Path]:
    """Make a folder that is deleted afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="bulkverify-"))
    try:
        yield folder
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


@contextmanager
def _naming(folder: Path) -> Iterator[None]:
    """Name the folder in an error of the disk, because a failed write does not name it."""
    try:
        yield
    except OSError as error:
        if error.filename is not None or error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(folder)) from error


async def _drained(
    source: AsyncIterable[str] | AsyncIterable[Mapping[str, object]],
    folder: Path,
    column: str | None,
) -> Table:
    """Copy an async iterable to the disk, in bounded memory and without blocking the loop."""
    with Spool(folder) as spool:
        await drain(source, spool.extend)
        return await in_thread(partial(spool.table, column=column))

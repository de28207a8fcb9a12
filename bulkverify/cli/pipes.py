"""Lists from stdin, and outputs to stdout.

A run reads its list twice, so stdin is copied to a file. An output for stdout is first written to a file,
and its progress is kept beside that. Both are in a folder that the list and its options determine, so
the same command finds them again. The file stays for six days, because nothing tells whether the
program behind the pipe has used what it was given.

    ~/.local/state/bulkverify/5b1c…/output.csv
                                    output.csv.progress/    until the run is complete
                                    .output.csv.done        the note about the output
"""

import errno
import os
import stat
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final

import attrs

from bulkverify.cli.interrupts import interrupting_at_once
from bulkverify.cli.options import STDIO
from bulkverify.cli.output import OutputClosedError, Show, give_up
from bulkverify.cli.streams import has_room
from bulkverify.errors import UsageError, clause
from bulkverify.files import flush_folder
from bulkverify.lists import Copied, format_of
from bulkverify.lists.spooling import copy, title_of
from bulkverify.models import FlagName, Verdict
from bulkverify.run.filter import filter_list
from bulkverify.run.models import RunReport
from bulkverify.run.source import ListReader, RunSource
from bulkverify.run.threads import in_thread

KEPT: Final = (
    "The output is kept for six days. The same command writes it again, and spends nothing."
)

_NAMES: Final = ("output.csv", "output.jsonl")
_PIECE_BYTES: Final = 4096  # a writable pipe takes so many without blocking


@asynccontextmanager
async def ends_of(
    sources: Sequence[Path],
    output: Path | None,
    reading: Callable[..., ListReader],
    *,
    kept: bool,
    dry: bool,
) -> AsyncIterator[tuple[RunSource, Path | None]]:
    """Yield a list that can be read twice, and the file to write.

    Args:
        sources: the list; `-` is stdin.
        output: as the user named it; `-` is stdout.
        reading: makes the reader of a source.
        kept: keep an output for stdout, so that the same command finds it again.
        dry: nothing will be written.
    """
    if list(sources).count(STDIO) > 1:
        raise UsageError("stdin can be read only once: name - once.")
    with tempfile.TemporaryDirectory(prefix="bulkverify-") as folder:
        lists = [
            await copied(source, Path(folder) / f"list-{number}{source.suffix}")
            if source == STDIO or (output == STDIO and _is_pipe(source))
            else source
            for number, source in enumerate(sources)
        ]
        source = lists[0] if len(lists) == 1 else lists
        if output == STDIO:
            reader = reading(source=source)
            kind = reader.format or format_of(
                reader.paths()[0], reader.encoding, title_of(lists[0])
            )
            name = _NAMES[kind == "jsonl"]
            output = (await _kept_for(reader, dry=dry) if kept else Path(folder)) / name
        yield source, output


async def copied(source: Path, path: Path) -> Copied:
    """Copy a list that can be read only once."""
    pipe = sys.stdin.fileno() if source == STDIO else source
    await in_thread(partial(copy, pipe, path), leave=True)
    return Copied(path, "stdin" if source == STDIO else str(source))


async def _kept_for(reader: ListReader, *, dry: bool) -> Path:
    """Return the folder in which the output of a list is kept for stdout; make it unless the call is `dry`."""
    state = Path(os.environ.get("XDG_STATE_HOME") or "~/.local/state").expanduser() / "bulkverify"
    own = state / str(await reader.beside(Path(os.devnull)))  # a digest of the list and its options
    if dry:
        return own
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        own.mkdir(mode=0o700, exist_ok=True)
        flush_folder(state)
    except OSError as error:
        raise UsageError(
            f"The progress for stdout can't be kept in {own}: {clause(error.strerror)}. Name an output with -o, or "
            "another folder with XDG_STATE_HOME."
        ) from None
    await in_thread(partial(_sweep, state, own))
    return own


async def send_rows(
    report: RunReport,
    path: Path,
    only: Collection[Verdict] | None,
    without: Collection[FlagName],
    *,
    show: Show,
    kept: str,
) -> RunReport:
    """Write the wanted rows of an output to stdout, and return the report about them.

    `kept` says how to get them again.

    Raises:
        OutputClosedError: the reader went away.
    """
    written = report.written
    with tempfile.TemporaryDirectory(prefix="bulkverify-") as folder:
        if only is not None or without:
            wanted = Path(folder) / path.name
            filtered = await filter_list(path, wanted, only=only, without=without)
            path, written = wanted, filtered.groups[0].rows
        try:
            send(path)
        except OutputClosedError:
            show.note(
                f"bulkverify: stdout was closed before all rows were written. {kept}".rstrip()
            )
            raise
    return attrs.evolve(report, destination="stdout", written=written)


def send(path: Path) -> None:
    """Write a file to stdout. A signal ends the wait for a reader.

    Raises:
        OutputClosedError: the reader went away.
        Interrupted: a signal came before all was written.
    """
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            try:
                while piece:
                    with interrupting_at_once():
                        has_room(sys.stdout)
                    piece = piece[os.write(sys.stdout.fileno(), piece) :]
            except BrokenPipeError:
                give_up(sys.stdout)
                raise OutputClosedError from None


def _is_pipe(path: Path) -> bool:
    """Whether a list can be read only once; a folder raises `IsADirectoryError`."""
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    return not stat.S_ISREG(mode)


def _sweep(state: Path, own: Path) -> None:
    """Delete the outputs that are too old for the same command to write them again."""
    from bulkverify.run.written import VALID, note_of  # noqa: PLC0415 - cattrs; not for --dry-run

    oldest = time.time() - VALID.total_seconds()
    for folder in state.iterdir():
        if folder == own or folder.is_symlink() or not folder.is_dir():
            continue
        with suppress(OSError):  # another process uses it
            if any(path.stat().st_mtime > oldest or path.is_dir() for path in folder.iterdir()):
                continue
            for name in _NAMES:
                (folder / name).unlink(missing_ok=True)
                note_of(folder / name).unlink(missing_ok=True)
            folder.rmdir()

"""Copies of lists that can be read only once."""

import json
import os
import select
import sys
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from datetime import date, time
from io import FileIO
from math import isinf, isnan
from pathlib import Path
from typing import BinaryIO, Final, Self

import attrs

from bulkverify.errors import UsageError, clause
from bulkverify.lists.bounds import Columns
from bulkverify.lists.jsonlines import ADDRESS_KEY, open_json_lines
from bulkverify.lists.layout import create, source_path
from bulkverify.lists.stopping import checkpoint
from bulkverify.lists.surveying import surveyed
from bulkverify.lists.tables import PIECE_BYTES, Table
from bulkverify.results.records import DEFAULT_ENCODING

UNNAMED: Final = "The list"
"""The title of a list that is no file."""
_LOOK_AGAIN_MILLISECONDS: Final = 200


class Spool:
    """Takes addresses or rows as mappings, many at a time, and makes a table of them."""

    def __init__(self, folder: Path) -> None:
        self._path = source_path(folder, 1, ".jsonl")
        self._file = create(self._path)
        self._columns = Columns(UNNAMED)
        self._count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def extend(self, items: Iterable[object]) -> None:
        """Add addresses (str) or rows (mappings); anything else raises `UsageError`, which names its number."""
        lines = []
        for item in items:
            checkpoint()  # the item may have taken long to arrive
            self._count += 1
            if isinstance(item, Mapping):
                row = {str(name): value for name, value in item.items()}
                self._columns.add(row)
                lines.append(self._dump(row))
            elif isinstance(item, str) or _is_missing(item):
                self._columns.add((ADDRESS_KEY,))
                lines.append(json.dumps(item if isinstance(item, str) else ""))
            else:
                raise UsageError(
                    f"Row {self._count:,} of the list is neither an address nor a mapping, but {type(item).__name__}."
                )
            if len(lines) >= 1000:  # noqa: PLR2004 - so that an endless iterable does not fill the memory
                self._write(lines)
                lines = []
        self._write(lines)

    def table(self, *, column: str | None = None) -> Table:
        """Close the file and make a table of it, as `open_table` does."""
        self._file.close()
        table = open_json_lines(
            self._path,
            title=UNNAMED,
            column=column,
            encoding=DEFAULT_ENCODING,
            names=self._columns.names,
        )
        return surveyed(table, column)

    def _dump(self, row: dict[str, object]) -> str:
        try:
            try:
                return _encode(row)
            except ValueError:
                return _encode(_finite(row))
        except (ValueError, TypeError, RecursionError) as error:
            raise UsageError(
                f"Row {self._count:,} of the list can't be written as JSON: {clause(error)}."
            ) from None

    def _write(self, lines: list[str]) -> None:
        write(self._file, "".join(f"{line}\n" for line in lines).encode())


@attrs.frozen
class Copied(os.PathLike[str]):
    """The copy of a source that can be read only once, and the name of that source for messages."""

    path: Path
    title: str

    def __fspath__(self) -> str:
        return str(self.path)


def title_of(source: str | os.PathLike[str]) -> str:
    """Return the name of a source for messages."""
    return source.title if isinstance(source, Copied) else str(Path(source))


def copy(source: Path | int, destination: Path) -> None:
    """Copy the content of a pipe, which can be an open file; a wait for its writer can be stopped."""
    # On Linux this opens a pipe without a writer, and `poll` waits for one. Elsewhere a missing writer
    # would look like the end.
    waiting = os.O_NONBLOCK if sys.platform == "linux" else 0
    opened = os.dup(source) if isinstance(source, int) else os.open(source, os.O_RDONLY | waiting)
    with FileIO(opened) as pipe:
        checkpoint()
        with create(destination) as output:
            while piece := _next_piece(pipe):
                write(output, piece)


def write(file: BinaryIO, data: bytes) -> None:
    """Write a piece of a list, unless the work was stopped.

    The buffer is flushed, so that an abandoned thread writes nothing when it closes the file.
    """
    checkpoint()
    file.write(data)
    file.flush()


def _next_piece(pipe: FileIO) -> bytes:
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    while True:
        ready = poll.poll(_LOOK_AGAIN_MILLISECONDS)
        checkpoint()
        if ready and (piece := pipe.read(PIECE_BYTES)) is not None:
            return piece


def _is_missing(value: object) -> bool:
    """Whether a value is None, NaN, NaT or NA; the last three do not equal themselves."""
    try:
        return value is None or not value == value  # noqa: PLR0124, SIM201
    except (TypeError, ValueError):  # NA and arrays are neither true nor false
        return type(value).__name__ == "NAType"


def _finite(value: object) -> object:
    """Turn a float that JSON does not know into one that it knows, also within lists."""
    if isinstance(value, float):
        return None if isnan(value) else str(value) if isinf(value) else value
    if isinstance(value, Mapping):
        return {str(name): _finite(item) for name, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value


def _plain(value: object) -> object:
    """Turn a value into one that JSON knows."""
    if _is_missing(value):
        return None
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, AbstractSet):
        return sorted(map(str, value))  # the next process has another order
    if callable(listed := getattr(value, "tolist", None)):  # arrays and numbers of numpy
        return _finite(listed())
    return str(value)


_encode: Final = json.JSONEncoder(default=_plain, allow_nan=False).encode

"""Opens a list from any source, and detects how to read it."""

import os
from collections.abc import Iterable, Mapping
from itertools import chain, count
from pathlib import Path
from typing import Final, Literal, TypeAlias, get_args

import attrs

from bulkverify.errors import UsageError
from bulkverify.lists.decoding import sample_of
from bulkverify.lists.detecting import open_delimited
from bulkverify.lists.frames import Frame, frame_rows
from bulkverify.lists.jsonlines import open_json_lines
from bulkverify.lists.layout import create, source_path
from bulkverify.lists.lines import open_lines
from bulkverify.lists.several import put_together
from bulkverify.lists.spooling import Spool, copy, title_of
from bulkverify.lists.spreadsheets import refuse_uncalculated_column, write_as_csv
from bulkverify.lists.surveying import surveyed
from bulkverify.lists.tables import Table
from bulkverify.results.records import DEFAULT_ENCODING, check_encoding

ListFormat: TypeAlias = Literal["csv", "tsv", "txt", "jsonl", "xlsx"]
"""How a list is written."""

ListSource: TypeAlias = (
    str
    | os.PathLike[str]
    | bytes
    | bytearray
    | Iterable[os.PathLike[str]]
    | Iterable[str]
    | Iterable[Mapping[str, object]]
    | Frame
)
"""A path, the content of a file, several paths as one list, addresses, rows as mappings, or a frame."""

_END: Final = object()

_FORMATS: Final[dict[str, ListFormat]] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".txt": "txt",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".xlsx": "xlsx",
    ".xlsm": "xlsx",
}


def open_table(
    source: ListSource,
    *,
    column: str | None = None,
    header_row: int | None = None,
    sheet: str | None = None,
    delimiter: str | None = None,
    encoding: str = DEFAULT_ENCODING,
    format: ListFormat | None = None,  # noqa: A002 - the usual name
    spool: Path,
) -> Table:
    """Read the beginning of a list, and detect how to read it.

    The header is the first row if that has no address, or a later row that names the column of the
    addresses below it. Without `column`, the column with addresses whose name fits e-mail best is taken.

    Args:
        source: a path; several paths, read as one list with the columns of all; the content of a file;
            addresses; rows as mappings; or a frame of pandas or polars. A `str` is a path.
        column: the name of the address column, in any case, or its place from 1; `col0`, `col1`, ... in
            a list without a header.
        header_row: the number of the header row, from 1, counting empty rows; 0 if there is no header;
            detected by default. For tables only.
        sheet: the name of the sheet of a workbook; by default the first that has addresses and is not hidden.
        delimiter: between the cells of CSV; detected by default.
        encoding: of the text; the default is UTF-8 with or without a byte order mark, or UTF-16 with
            one.
        format: how the list is written; detected by its suffix or its beginning by default.
        spool: a folder for copies of sources that can't be read twice, and for workbooks as CSV.

    Raises:
        InvalidListError: the list is empty, binary or without addresses, or has them in several columns.
        UsageError: the column, sheet, encoding, delimiter or format does not exist, or the source is not a list.
        OSError: a file can't be read or written.
    """
    check_encoding(encoding)
    if format is not None and format not in get_args(ListFormat):
        raise UsageError(
            f"There is no format {format!r}; there are {', '.join(get_args(ListFormat))}."
        )
    reading = _Reading(column, header_row, sheet, delimiter, encoding, format, spool)
    if isinstance(source, bytes | bytearray):
        path = source_path(spool, 1, ".csv")
        with create(path) as file:
            file.write(source)
        return reading.open(path, "The list", 1)
    if isinstance(source, str):
        if "\n" in source or "\r" in source:
            raise UsageError("A str must be the path of a list, not its content.").with_hint(
                "Pass the content of a file as bytes: `text.encode()`.",
                "Write the list to a file, and name that.",
            )
        source = Path(source)
    if isinstance(source, os.PathLike):
        source = (source,)
    rows: object = source if (found := frame_rows(source)) is None else found
    if isinstance(rows, Mapping) or not isinstance(rows, Iterable):
        raise UsageError(
            f"A list is a path, a frame, or an iterable of paths, addresses or mappings, not {type(source).__name__}."
        )
    items = iter(rows)
    first = next(items, _END)
    if isinstance(first, os.PathLike):
        named = map(_named, chain((first,), items), count(1))
        return put_together(
            [
                reading.open(path, title, number)
                for number, (path, title) in enumerate(named, start=1)
            ],
            column,
        )
    if header_row is not None or sheet is not None:
        raise UsageError("Only a file has a row with the names of its columns, or sheets.")
    with Spool(spool) as spooled:
        if first is not _END:
            _refuse_names_of_files(first)
            spooled.extend(chain((first,), items))
        return spooled.table(column=column)


@attrs.frozen
class _Reading:
    """The options for reading lists."""

    column: str | None
    header_row: int | None
    sheet: str | None
    delimiter: str | None
    encoding: str
    format: ListFormat | None
    spool: Path

    def open(self, path: Path, title: str, number: int) -> Table:
        """Detect how to read a file; `number` counts the files from 1."""
        if path.exists() and not path.is_file() and not path.is_dir():
            spooled = source_path(self.spool, number, path.suffix)
            copy(path, spooled)  # a pipe can be read only once
            path = spooled
        kind = self.format or format_of(path, self.encoding, title)
        if kind == "xlsx":
            return self._open_workbook(path, title, number)
        if self.sheet is not None:
            raise UsageError(f"{title} is no workbook, so it has no sheets.")
        delimiter, encoding = self.delimiter, self.encoding
        if self.header_row is not None and (kind == "jsonl" or (kind == "txt" and not delimiter)):
            raise UsageError(f"{title} is no table, so it has no header row.")
        table: Table
        if kind == "txt" and delimiter is None:
            table = open_lines(path, title=title, column=self.column, encoding=encoding)
        elif kind == "jsonl":
            table = open_json_lines(path, title=title, column=self.column, encoding=encoding)
        else:
            if kind == "tsv":
                delimiter = delimiter or "\t"
            table = open_delimited(
                path,
                title=title,
                column=self.column,
                delimiter=delimiter,
                encoding=encoding,
                header_row=self.header_row,
            )
        return attrs.evolve(surveyed(table, self.column), format=kind)

    def _open_workbook(self, path: Path, title: str, number: int) -> Table:
        spooled = source_path(self.spool, number, ".xlsx.csv")
        sheet = write_as_csv(path, spooled, title, self.sheet)
        table = open_delimited(
            spooled,
            title=title,
            column=self.column,
            delimiter=",",
            encoding=DEFAULT_ENCODING,
            header_row=self.header_row,
            sheet=sheet,
        )
        table = surveyed(table, self.column)
        if self.column is None:
            refuse_uncalculated_column(table, sheet)
        return attrs.evolve(table, format="xlsx")


def format_of(path: Path, encoding: str, title: str) -> ListFormat:
    """Tell how a file is written, by its suffix or its beginning."""
    return _FORMATS.get(path.suffix.lower()) or _guess_format(path, encoding, title)


def _guess_format(path: Path, encoding: str, title: str) -> ListFormat:
    with path.open("rb") as file:
        if file.read(4) == b"PK\x03\x04":
            return "xlsx"
    return "jsonl" if sample_of(path, encoding, title)[0].lstrip().startswith("{") else "csv"


def _named(item: object, number: int) -> tuple[Path, str]:
    if not isinstance(item, str | os.PathLike):
        raise UsageError(f"Source {number:,} is not a path, but {type(item).__name__}.")
    return Path(item), title_of(item)


def _refuse_names_of_files(first: object) -> None:
    """Refuse names of files: as addresses, they would all be invalid."""
    if isinstance(first, str) and "@" not in first and first and Path(first).is_file():
        raise UsageError(
            f"{first!r} is a file, not an address: pass several lists as Path objects."
        )

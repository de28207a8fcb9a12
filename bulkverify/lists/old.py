"""Address lists as people have them: reading a CSV file, and joining the verdicts back to its rows."""

import codecs
import csv
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from io import StringIO, TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final, Protocol, TextIO

import attrs

from bulkverify.errors import InvalidListError, UsageError
from bulkverify.models import ResultRow

_SAMPLE_ROWS: Final = 100
_SAMPLE_BYTES: Final = 64 * 1024
_DELIMITERS: Final = ",;\t|"
_ADDRESS_NAMES: Final = ("email", "e-mail", "email address", "e-mail address", "mail", "address")
_VERDICT_COLUMNS: Final = (
    "verdict",
    "syntax_error",
    "common_isp",
    "role_based",
    "disposable",
    "spamtrap",
    "verified_at",
)


@attrs.frozen(kw_only=True)
class AddressList:
    """Where a list is, and how its rows are to be read.

    `header` is `None` for a list without one; its columns are then called `col0`, `col1`, ... as the
    service calls them. `column` is the place of the addresses.
    """

    path: Path
    encoding: str
    delimiter: str
    newline: str
    header: tuple[str, ...] | None
    column: int
    width: int

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns."""
        return self.header or tuple(f"col{index}" for index in range(self.width))

    def rows(self) -> Iterator[list[str]]:
        """Read the rows in order, each as wide as the list; empty lines are no rows.

        Raises:
            InvalidListError: a row has more cells than the list has columns, or the file is not
                text in this encoding; the message names the line.
        """
        with self.path.open(encoding=self.encoding, newline="") as file:
            reader = csv.reader(file, delimiter=self.delimiter)
            records = _checked(reader, self.path, self.encoding)
            if self.header is not None:
                next(records, None)
            for record in records:
                missing = self.width - len(record)
                if missing < 0:
                    raise InvalidListError(
                        f"Line {reader.line_num} of {self.path} has {len(record)} cells where the list has "
                        f"{self.width} columns. Quote cells that hold {self.delimiter!r}, or name the "
                        "delimiter. Nothing was sent."
                    )
                yield [*record, *[""] * missing]

    def address(self, row: Sequence[str]) -> str:
        """Return the address in a row, without the blanks around it; empty if there is none."""
        return row[self.column].strip()


def address_key(address: str) -> str:
    """Return what two addresses have in common if mail takes them for one: a domain has no case."""
    local, at, domain = address.strip().rpartition("@")
    return f"{local}{at}{domain.lower()}"


def inspect_list(
    path: str | os.PathLike[str],
    *,
    column: str | None = None,
    delimiter: str | None = None,
    encoding: str = "utf-8-sig",
) -> AddressList:
    """Look at the beginning of a CSV file and find out how to read it.

    A first row without any `@` is a header. Without `column`, the addresses are in the column that is
    named like them, else in the one that holds most of the `@`.

    Args:
        path: the file.
        column: the name of the address column, in any case; `col0`, `col1`, ... where there is no
            header.
        delimiter: between cells; found out if left out.
        encoding: of the file; the default is UTF-8 with or without a byte order mark.

    Raises:
        InvalidListError: the file is empty or binary, or has no addresses.
        UsageError: there is no such column, encoding or delimiter.
        OSError: the file can't be read.
    """
    path = Path(path)
    try:
        "".encode(encoding)  # a codec that is none of text, such as hex, is found out here
    except LookupError:
        raise UsageError(f"There is no encoding {encoding!r}; try 'cp1252' or 'utf-8'.") from None
    if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n'):
        raise UsageError(
            f"A delimiter is one character, and neither a quote nor a line end, not {delimiter!r}."
        )
    beginning = _beginning(path).decode(encoding, "replace")
    newline = "\r\n" if "\r\n" in beginning else "\n"
    delimiter = delimiter or _guess_delimiter(beginning)
    with path.open(encoding=encoding, newline="") as file:
        records = _checked(csv.reader(file, delimiter=delimiter), path, encoding)
        sample = list(islice(records, _SAMPLE_ROWS + 1))
    if not sample:
        raise InvalidListError(f"{path} is empty: a list needs at least one address.")
    header = None if any("@" in cell for cell in sample[0]) else tuple(sample.pop(0))
    if not sample:
        raise InvalidListError(f"{path} has a header and no rows: there is nothing to verify.")
    width = len(header) if header else max(len(row) for row in sample)
    names = header or tuple(f"col{index}" for index in range(width))
    return AddressList(
        path=path,
        encoding=encoding,
        delimiter=delimiter,
        newline=newline,
        header=header,
        column=_find_column(path, names, sample, column),
        width=width,
    )


def write_joined(
    file: BinaryIO, source: AddressList, verdicts: Mapping[str, ResultRow]
) -> Iterator[ResultRow | None]:
    """Write every row of a list with its verdict behind it, and give that verdict for each.

    The rows come in the order of the list, with all of its columns as they are. Where a column of
    the list already has the name of one of ours, ours is called `bulkverify_...`. A row that has no
    verdict has empty cells there.

    Args:
        file: takes UTF-8, with the list's own delimiter and line ends.
        source: the list.
        verdicts: by `address_key`.
    """
    text = TextIOWrapper(file, encoding="utf-8", newline="", write_through=False)
    write = row_writer(text, delimiter=source.delimiter, newline=source.newline)
    taken = {name.strip().lower() for name in source.names}
    write([*source.names, *(_untaken(name, taken) for name in _VERDICT_COLUMNS)])
    for row in source.rows():
        result = verdicts.get(address_key(source.address(row)))
        write([*row, *_cells(result)])
        yield result
    text.flush()
    text.detach()


def _untaken(name: str, taken: Collection[str]) -> str:
    while name in taken:
        name = f"bulkverify_{name}"
    return name


def row_writer(
    file: TextIO, *, delimiter: str = ",", newline: str = "\n"
) -> Callable[[Sequence[str]], object]:
    """Return what writes a row to a CSV file, so that it reads back cell for cell.

    Up to Python 3.12 `csv` quotes a carriage return only where it is part of the line ends, and yet
    takes it for one when it reads.
    """
    plain = csv.writer(file, delimiter=delimiter, lineterminator=newline)
    quoting = csv.writer(file, delimiter=delimiter, lineterminator=newline, quoting=csv.QUOTE_ALL)

    def write(row: Sequence[str]) -> object:
        return (quoting if "\r" in "".join(row) else plain).writerow(row)

    return write


def _cells(result: ResultRow | None) -> list[str]:
    if result is None:
        return [""] * len(_VERDICT_COLUMNS)
    flags = (
        result.syntax_error,
        result.common_isp,
        result.role_based,
        result.disposable,
        result.spamtrap,
    )
    moment = result.verified_at.isoformat(timespec="milliseconds") if result.verified_at else ""
    return [
        result.verdict.value,
        *("" if flag is None else "Y" if flag else "N" for flag in flags),
        moment.replace("+00:00", "Z"),
    ]


def _beginning(path: Path) -> bytes:
    with path.open("rb") as file:
        beginning = file.read(_SAMPLE_BYTES)
    if beginning.startswith(b"PK\x03\x04"):
        raise InvalidListError(f"{path} is a spreadsheet or a ZIP file: save it as CSV (UTF-8).")
    if b"\0" in beginning and not beginning.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise InvalidListError(f"{path} is no text file: save it as CSV (UTF-8).")
    return beginning


def _guess_delimiter(sample: str) -> str:
    """Take the delimiter that cuts the sample's lines most evenly; a comma where none does."""

    def evenness(delimiter: str) -> tuple[int, int]:
        try:
            records = list(csv.reader(StringIO(sample, newline=""), delimiter=delimiter))
        except csv.Error:
            return 0, 0
        widths = [len(record) for record in records if record][:_SAMPLE_ROWS]
        if not widths or widths[0] == 1:
            return 0, 0
        return widths.count(widths[0]), widths[0]

    return max(_DELIMITERS, key=evenness)


def _find_column(
    path: Path, names: Sequence[str], sample: Sequence[Sequence[str]], wanted: str | None
) -> int:
    folded = [_fold(name) for name in names]
    if wanted is not None:
        if wanted in names:
            return names.index(wanted)
        if _fold(wanted) in folded:
            return folded.index(_fold(wanted))
        raise UsageError(
            f"{path} has no column {wanted!r}; it has {', '.join(map(repr, names))}. "
            "A list without a header has col0, col1, ..."
        )
    for name in _ADDRESS_NAMES:
        if name in folded:
            return folded.index(name)
    found = [
        sum(1 for row in sample if len(row) > index and "@" in row[index])
        for index in range(len(names))
    ]
    if not any(found):
        raise InvalidListError(
            f"{path} has no column of addresses among {', '.join(map(repr, names))}. Name it with `column`."
        )
    return found.index(max(found))


def _fold(name: str) -> str:
    return " ".join(name.lower().split())


class _CsvReader(Protocol):
    """What `csv.reader` returns; its type has no public name."""

    @property
    def line_num(self) -> int: ...

    def __iter__(self) -> Iterator[list[str]]: ...

    def __next__(self) -> list[str]: ...


def _checked(reader: _CsvReader, path: Path, encoding: str) -> Iterator[list[str]]:
    """Give the records that are not empty, and say what is wrong with a file that can't be read."""
    while True:
        try:
            record = next(reader)
        except StopIteration:
            return
        except UnicodeDecodeError as error:
            byte = error.object[error.start]
            raise InvalidListError(
                f"{path} is not {encoding} text: byte 0x{byte:02x} after line {reader.line_num} ({error.reason}). "
                'Name its encoding, for example `encoding="cp1252"`. Nothing was sent.'
            ) from None
        except UnicodeError as error:  # as UTF-16 without its byte order mark
            raise InvalidListError(
                f"{path} is not {encoding} text: {error}. Nothing was sent."
            ) from None
        except csv.Error as error:
            raise InvalidListError(
                f"{path} can't be read as CSV at line {reader.line_num}: {error}. Nothing was sent."
            ) from None
        if record:
            yield record

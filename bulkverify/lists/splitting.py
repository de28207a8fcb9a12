"""Splits a list into parts that the service takes: each address once, and nothing but addresses."""

import hashlib
import re
import sys
from array import array
from collections.abc import Callable
from itertools import count, islice
from operator import itemgetter
from pathlib import Path
from typing import BinaryIO, Final, Self

import attrs

from bulkverify.errors import InvalidListError
from bulkverify.files import flush_to_disk
from bulkverify.limits import FEWEST_PART_ROWS, LARGEST_PART_BYTES, LONGEST_LIST_ROWS
from bulkverify.lists.addresses import keys_of
from bulkverify.lists.cells import CellKind, CellReader, Examples
from bulkverify.lists.columns import SAMPLE_ROWS, first_cells
from bulkverify.lists.distinct import Distinct
from bulkverify.lists.layout import create, part_path, rows_path
from bulkverify.lists.stopping import checkpoint
from bulkverify.lists.tables import Table, digest_of, file_digest, uncalculated_error

BLANK: Final = 0
INVALID: Final = 1
FIRST_ADDRESS: Final = 2
UNCLEAR: Final = -1
"""The codes of rows in `rows.bin`: no address, an invalid one, the first address, or an unclear cell. The
codes of the other addresses follow that of the first."""

UNSENT: Final = {CellKind.UNCLEAR: UNCLEAR, CellKind.INVALID: INVALID}
"""The codes of cells that are not sent."""

ONE_A_ROW: Final = ("Write each address in a row of its own, with nothing else in its cell.",) * 2
"""The hints about cells with several addresses."""

_HEADER: Final = b"email\n"
_TO_QUOTE: Final = re.compile(r'[",;\t|\r\n]')


@attrs.frozen(kw_only=True)
class Part:
    """The addresses of one upload; they first appear in the rows from `first_row` to `last_row`.

    `digest` is that of the file.
    """

    number: int
    addresses: int
    size_bytes: int
    first_row: int
    last_row: int
    digest: str = ""


@attrs.frozen(kw_only=True)
class Split:
    """The result of a split.

    Of the `rows`, `duplicates` repeat the address of an earlier row, `blank` have no address, `invalid`
    have a text that can't be one, and `unclear` have several. Only the distinct `addresses` are sent.
    `unwrapped` rows have other text around the address. `short` rows had too few cells, and got empty
    ones. `stray` rows have a quote that opens a cell and does not close it. `content` is a digest of the
    list, `fingerprint` one of the list and the options of the split, and `codes` one of `rows.bin`.
    """

    rows: int
    addresses: int
    duplicates: int
    blank: int
    invalid: int
    parts: tuple[Part, ...]
    content: str
    fingerprint: str
    short: int = 0
    codes: str = ""
    unclear: int = 0
    unwrapped: int = 0
    stray: int = 0
    stray_at: str = attrs.field(default="", eq=False)  # it has the path, in any spelling


def fingerprint(
    table: Table,
    *,
    largest_rows: int = LONGEST_LIST_ROWS,
    largest_bytes: int = LARGEST_PART_BYTES,
    judge: bool = True,
    deduplicate: bool = True,
) -> str:
    """Return the fingerprint that `split` would give, at a gigabyte a second."""
    return _fingerprint(digest_of(table), largest_rows, largest_bytes, judge, deduplicate)


def _fingerprint(content: str, *options: int) -> str:
    return hashlib.blake2b(repr((content, *options)).encode(), digest_size=16).hexdigest()


def split(
    table: Table,
    folder: Path,
    *,
    largest_rows: int = LONGEST_LIST_ROWS,
    largest_bytes: int = LARGEST_PART_BYTES,
    judge: bool = True,
    deduplicate: bool = True,
    examples: Examples | None = None,
) -> Split:
    """Write the addresses of a list as parts, and note the address of each row.

    A part is a CSV file with a header and one address on each line. `rows.bin` has four bytes for each
    row (see `BLANK`). Addresses are numbered as they first appear, so a part holds consecutive ones.

    Args:
        table: the list.
        folder: gets the files; those of an earlier try are replaced.
        largest_rows: the most rows of a part, without its header. With 2, the last part can have 3, so
            that it never has a single row.
        largest_bytes: the most bytes of a part.
        judge: leave out cells that can't be addresses.
        deduplicate: leave out addresses of earlier rows.
        examples: gets the first cells that are not just an address.

    Raises:
        InvalidListError: the list can't be read, or has no addresses at all.
        OSError: a file can't be read or written.
    """
    digest = hashlib.blake2b(digest_size=16)
    codes_digest = hashlib.blake2b(digest_size=16)
    distinct = Distinct() if deduplicate else None
    rows = addresses = blank = 0
    examples = examples or Examples()
    reader = CellReader(examples, judge=judge, row_number=table.row_number)
    pick = itemgetter(table.column)
    parts = _Parts(folder, largest_rows, largest_bytes, table.row_number)
    with create(rows_path(folder)) as file, parts:
        for batch in table.batches(digest):
            checkpoint(len(batch))
            cells = list(map(str.strip, map(pick, batch)))
            unsent = reader.read(cells, rows)
            keys = keys_of(cells)
            sent = list(filter(None, keys))
            numbers = iter(
                distinct.number(sent)
                if distinct is not None
                else range(addresses, addresses + len(sent))
            )
            codes = array("i")
            add = codes.append
            fresh: list[str] = []
            fresh_rows: list[int] = []
            for place, key in enumerate(keys):
                if key:
                    number = next(numbers)
                    add(number + FIRST_ADDRESS)
                    if number == addresses:
                        addresses += 1
                        fresh.append(cells[place])
                        fresh_rows.append(rows + place + 1)
                else:
                    blank += place not in unsent
                    add(UNSENT[unsent[place]] if place in unsent else BLANK)
            rows += len(batch)
            data = _little_endian(codes)
            codes_digest.update(data)
            file.write(data)
            parts.add(fresh, fresh_rows)
        flush_to_disk(file)
    for number in count(len(parts.done) + 1):
        if not (stale := part_path(folder, number)).exists():
            break
        stale.unlink()
    digest.update(table.described().encode())
    invalid, unclear = reader.counts[CellKind.INVALID], reader.counts[CellKind.UNCLEAR]
    if not addresses:
        raise _without_addresses(table, unclear, examples)
    content = digest.hexdigest()
    return Split(
        rows=rows,
        addresses=addresses,
        duplicates=rows - addresses - blank - invalid - unclear,
        blank=blank,
        invalid=invalid,
        parts=tuple(parts.done),
        content=content,
        fingerprint=_fingerprint(content, largest_rows, largest_bytes, judge, deduplicate),
        short=table.short,
        codes=codes_digest.hexdigest(),
        unclear=unclear,
        unwrapped=reader.counts[CellKind.UNWRAPPED],
        stray=table.stray,
        stray_at=table.stray_at,
    )


def find_examples(table: Table, split: Split, examples: Examples, *, judge: bool = True) -> None:
    """Add the first cells that are not just an address, for a list that was split earlier."""
    reader = CellReader(examples, judge=judge)
    counts = {
        CellKind.UNWRAPPED: split.unwrapped,
        CellKind.UNCLEAR: split.unclear,
        CellKind.INVALID: split.invalid,
    }
    rows = 0
    for batch in table.batches():
        checkpoint(len(batch))
        left = [kind for kind, count in counts.items() if reader.counts[kind] < count]
        if not any(map(examples.wants, left)):
            return
        reader.read([row[table.column].strip() for row in batch], rows)
        rows += len(batch)


def _without_addresses(table: Table, unclear: int, examples: Examples) -> InvalidListError:
    name = table.names[table.column]
    if not unclear and table.sheet and (found := table.sheet.uncalculated.get(table.column)):
        return uncalculated_error(table.title, found, name)
    if not unclear:
        cells = first_cells([[row[table.column]] for row in islice(table.rows(), SAMPLE_ROWS)])
        return InvalidListError(
            f"{table.title} has no addresses in its column {name!r}: there is nothing to verify. "
            f"The column begins with {cells}. Nothing was sent."
        ).with_hint("Name the right one with `column`.", "Name the right one with --column.")
    shown = next(one for one in examples if one.kind is CellKind.UNCLEAR)
    return InvalidListError(
        f"{table.title} has no row with a single address: {unclear:,} cells of its column {name!r} have several, "
        f"or one among other words, such as row {shown.row:,}: {shown.cell!r}. Nothing was sent."
    ).with_hint(*ONE_A_ROW)


def is_intact(folder: Path, split: Split) -> bool:
    """Whether all files that `split` has written are there and unchanged."""
    return file_digest(rows_path(folder)) == split.codes and all(
        file_digest(part_path(folder, part.number)) == part.digest for part in split.parts
    )


class _Parts:
    """Writes addresses to one part after the other; a new part begins when one is full.

    If there are several parts, none has a single address, because some services accept such a list and
    then fail it. So the last address of a full part is held back: if one address is left over at the
    end, both form a new part. If the full part has only two, the address left over joins it instead.
    """

    def __init__(
        self,
        folder: Path,
        largest_rows: int,
        largest_bytes: int,
        row_number: Callable[[int], int],
    ) -> None:
        self.done: list[Part] = []
        self._folder = folder
        self._largest_rows = max(largest_rows, FEWEST_PART_ROWS)
        self._largest_bytes = largest_bytes
        self._row_number = row_number
        # Each part has room for three, so an address that is left over always fits.
        self._longest_line = (largest_bytes - len(_HEADER)) // 3
        self._file: BinaryIO | None = None
        self._digest = hashlib.blake2b(digest_size=16)
        self._last = b""
        self._addresses = self._bytes = self._first_row = self._last_row = self._row_before = 0
        self._left_over: tuple[bytes, int] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, exc_type: type[BaseException] | None, *_: object) -> None:
        if exc_type is None:
            self._finish()
        elif self._file is not None:
            self._file.close()

    def add(self, addresses: list[str], rows: list[int]) -> None:
        """Write addresses, which first appear in these rows."""
        if not addresses:
            return
        lines = [_line(address) for address in addresses]
        for line, row in zip(lines, rows, strict=True):
            if len(line) > self._longest_line:
                raise InvalidListError(
                    f"The address in row {self._row_number(row):,} has {len(line):,} bytes, which is more than an "
                    f"address may have ({self._longest_line:,}). Nothing was sent."
                )
        data = b"".join(lines)
        if self._left_over is None and self._fits(len(lines), len(data)):
            self._write(lines, rows)
            return
        for line, row in zip(lines, rows, strict=True):
            if self._left_over is not None:  # now there are two for the next part
                first, first_row = self._left_over
                self._left_over = None
                self._end()
                self._write([first], [first_row])
            if self._fits(1, len(line)):
                self._write([line], [row])
            else:
                self._left_over = line, row

    def _fits(self, addresses: int, size_bytes: int) -> bool:
        return (
            self._addresses + addresses <= self._largest_rows
            and (self._bytes or len(_HEADER)) + size_bytes <= self._largest_bytes
        )

    def _write(self, lines: list[bytes], rows: list[int]) -> None:
        if self._file is None:
            self._file = create(part_path(self._folder, len(self.done) + 1))
            self._last = _HEADER
            self._digest = hashlib.blake2b(digest_size=16)
            self._bytes = len(_HEADER)
            self._first_row = rows[0]
        data = b"".join([self._last, *lines[:-1]])
        self._file.write(data)
        self._digest.update(data)
        self._last = lines[-1]
        self._bytes += sum(map(len, lines))
        self._addresses += len(lines)
        *_, self._row_before, self._last_row = (self._last_row, *rows)

    def _finish(self) -> None:
        """End the last part, and place an address that is left over."""
        if self._left_over is not None:
            line, row = self._left_over
            if self._addresses > FEWEST_PART_ROWS:
                moved, moved_row = self._last, self._last_row
                self._last, self._last_row = b"", self._row_before
                self._addresses -= 1
                self._bytes -= len(moved)
                self._end()
                self._write([moved, line], [moved_row, row])
            else:
                self._write([line], [row])
        self._end()

    def _end(self) -> None:
        if self._file is None:
            return
        with self._file as file:
            file.write(self._last)
            self._digest.update(self._last)
            flush_to_disk(file)
        self.done.append(
            Part(
                number=len(self.done) + 1,
                addresses=self._addresses,
                size_bytes=self._bytes,
                first_row=self._row_number(self._first_row),
                last_row=self._row_number(self._last_row),
                digest=self._digest.hexdigest(),
            )
        )
        self._file = None
        self._addresses = self._bytes = 0


def _line(address: str) -> bytes:
    if _TO_QUOTE.search(address):
        address = '"' + address.replace('"', '""') + '"'
    return f"{address}\n".encode(errors="replace")


def _little_endian(codes: "array[int]") -> bytes:
    if sys.byteorder == "big":
        codes.byteswap()
    return codes.tobytes()

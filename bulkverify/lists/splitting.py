"""From a list to the parts that the service takes: every address once, and nothing but addresses."""

import hashlib
import re
import sys
from array import array
from itertools import count
from operator import itemgetter
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self

import attrs

from bulkverify.errors import InvalidListError
from bulkverify.files import flush_to_disk
from bulkverify.limits import FEWEST_PART_ROWS, LARGEST_PART_BYTES, LONGEST_LIST_ROWS
from bulkverify.lists.addresses import keys_of
from bulkverify.lists.distinct import Distinct
from bulkverify.lists.layout import create, part_path, rows_path
from bulkverify.lists.tables import Table, digest_of, file_digest

BLANK: Final = 0
INVALID: Final = 1
FIRST_ADDRESS: Final = 2
"""What stands in `rows.bin` for a row: no address, none that can be one, or from here on its number."""

_HEADER: Final = b"email\n"
_TO_QUOTE: Final = re.compile(r'[",;\t|\r\n]')


@attrs.frozen(kw_only=True)
class Part:
    """What one upload holds: the addresses that the rows from `first_row` to `last_row` brought.

    `digest` is that of its file.
    """

    number: int
    addresses: int
    size_bytes: int
    first_row: int
    last_row: int
    digest: str = ""


@attrs.frozen(kw_only=True)
class Split:
    """What a list came to.

    Of its `rows`, `duplicates` have an address that an earlier row has, `blank` have none, and
    `invalid` have what can't be one; none of these is sent, and `addresses` are. `short` rows had
    fewer cells than the list has columns, and got empty ones. `fingerprint` tells whether a list is
    still the one that was split, and was split the same way; `content` only the former. `codes` is
    the digest of `rows.bin`.
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


def fingerprint(
    table: Table,
    *,
    largest_rows: int = LONGEST_LIST_ROWS,
    largest_bytes: int = LARGEST_PART_BYTES,
    judge: bool = True,
    deduplicate: bool = True,
) -> str:
    """Return what `split` would, without splitting: a second for a gigabyte."""
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
) -> Split:
    """Write a list's addresses as parts to be sent, and note which row has which.

    The parts are `part-0001.csv` and so on, each with a header and an address a line. `rows.bin`
    has four bytes a row (see `BLANK`); addresses are numbered as they first appear, so that a part
    holds consecutive ones.

    Args:
        table: the list.
        folder: takes the files; those of an earlier try are replaced.
        largest_rows: of a part, without its header. No part of several has a single row, so with 2 the
            last one can have 3.
        largest_bytes: of a part.
        judge: leave out what can't be an address.
        deduplicate: leave out what an earlier row has.

    Raises:
        InvalidListError: the list can't be read, or has no addresses at all.
        OSError: something can't be read or written.
    """
    digest = hashlib.blake2b(digest_size=16)
    codes_digest = hashlib.blake2b(digest_size=16)
    distinct = Distinct() if deduplicate else None
    rows = addresses = blank = invalid = 0
    pick = itemgetter(table.column)
    parts = _Parts(folder, largest_rows, largest_bytes)
    with create(rows_path(folder)) as file, parts:
        for batch in table.batches(digest):
            cells = list(map(str.strip, map(pick, batch)))
            keys = keys_of(cells, judge=judge)
            sent = [key for key in keys if key]
            numbers = iter(
                distinct.number(sent)
                if distinct is not None
                else range(addresses, addresses + len(sent))
            )
            codes = array("I")
            add = codes.append
            fresh: list[str] = []
            fresh_rows: list[int] = []
            for row, key in enumerate(keys, start=rows + 1):
                if key:
                    number = next(numbers)
                    add(number + FIRST_ADDRESS)
                    if number == addresses:
                        addresses += 1
                        fresh.append(cells[row - rows - 1])
                        fresh_rows.append(row)
                elif key is None:
                    invalid += 1
                    add(INVALID)
                else:
                    blank += 1
                    add(BLANK)
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
    if blank == rows:
        raise InvalidListError(
            f"{table.title} has no addresses in its column {table.names[table.column]!r}: there is nothing to "
            "verify. Nothing was sent."
        ).with_hint("Name the right one with `column`.", "Name the right one with --column.")
    content = digest.hexdigest()
    return Split(
        rows=rows,
        addresses=addresses,
        duplicates=rows - addresses - blank - invalid,
        blank=blank,
        invalid=invalid,
        parts=tuple(parts.done),
        content=content,
        fingerprint=_fingerprint(content, largest_rows, largest_bytes, judge, deduplicate),
        short=table.short,
        codes=codes_digest.hexdigest(),
    )


def is_intact(folder: Path, split: Split) -> bool:
    """Tell whether the folder has all that `split` has written into it, unchanged."""
    return file_digest(rows_path(folder)) == split.codes and all(
        file_digest(part_path(folder, part.number)) == part.digest for part in split.parts
    )


class _Parts:
    """Writes addresses to one part after the other, and begins the next when one is full.

    No part of several has one address: some services acknowledge such a list and then fail it. So the
    last address of a part is written only when its place is certain: the one that would be left over at
    the end takes it along into a part of two, or joins it where that leaves one behind.
    """

    def __init__(self, folder: Path, largest_rows: int, largest_bytes: int) -> None:
        self.done: list[Part] = []
        self._folder = folder
        self._largest_rows = max(largest_rows, FEWEST_PART_ROWS)
        self._largest_bytes = largest_bytes
        # So each part has room for three: whichever is left over at the end finds a place.
        self._longest_line = (largest_bytes - len(_HEADER)) // 3
        self._file: BinaryIO | None = None
        self._digest = hashlib.blake2b(digest_size=16)
        self._last = b""
        self._addresses = self._bytes = self._first_row = self._last_row = self._row_before = 0
        self._left_over: tuple[bytes, int] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if exc_type is None:
            self._finish()
        elif self._file is not None:
            self._file.close()

    def add(self, addresses: list[str], rows: list[int]) -> None:
        """Write addresses that first appear in these rows."""
        if not addresses:
            return
        lines = [_line(address) for address in addresses]
        for line, row in zip(lines, rows, strict=True):
            if len(line) > self._longest_line:
                raise InvalidListError(
                    f"The address in row {row:,} has {len(line):,} bytes, which is more than a list may "
                    f"have in one ({self._longest_line:,}). Nothing was sent."
                )
        data = b"".join(lines)
        if self._left_over is None and self._fits(len(lines), len(data)):
            self._write(lines, rows)
            return
        for line, row in zip(lines, rows, strict=True):
            if self._left_over is not None:  # it no longer is: there are two for the next part
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
        """End the last part, and find a place for an address that is left over."""
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
                first_row=self._first_row,
                last_row=self._last_row,
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

"""Writes the addresses of a list as parts that the service takes."""

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final, Self

import attrs

from bulkverify.errors import InvalidListError
from bulkverify.files import flush_to_disk
from bulkverify.limits import FEWEST_PART_ROWS
from bulkverify.lists.layout import create, part_path

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


class Parts:
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


def quoted(addresses: list[str]) -> list[str]:
    """Write addresses as cells of CSV."""
    if not _TO_QUOTE.search("".join(addresses)):
        return addresses
    return [_quoted(address) for address in addresses]


def _line(address: str) -> bytes:
    return f"{_quoted(address)}\n".encode(errors="replace")


def _quoted(address: str) -> str:
    if _TO_QUOTE.search(address):
        return '"' + address.replace('"', '""') + '"'
    return address

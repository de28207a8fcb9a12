"""Counts the records of a CSV file as `csv` does, with cells of any length.

The limit of `csv` for the length of a cell is global, so this package does not change it.
"""

import codecs
import re
from enum import Enum, auto
from typing import Final

from bulkverify.errors import IncompleteDownloadError

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_QUOTE: Final = ord('"')
_COMMA: Final = ord(",")

# A quote opens a quoted cell only at the beginning of a cell. Text after the closing quote is kept.
_CELL: Final = rb'(?:"(?:[^"]++|"")*+"[^,\r\n]*+|(?!")[^,\r\n]*+)'
_RECORD: Final = re.compile(rb"[\r\n]*+" + _CELL + rb"(?:," + _CELL + rb")*+[\r\n]")
_LINE_ENDS: Final = re.compile(rb"[\r\n]*+")
_CELL_END: Final = re.compile(rb"[,\r\n]")

_MARKS: Final = {  # UTF-32 first: its mark begins with that of UTF-16
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_WIDE: Final = ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be")
_VERDICT: Final = re.compile(r"verification[\s_-]*result", re.IGNORECASE)
_BEGINNING_BYTES: Final = 64 * 1024


class _Place(Enum):
    """The place of the last byte."""

    BETWEEN = auto()  # between records
    CELL = auto()  # at the beginning of a cell
    PLAIN = auto()  # in a cell, outside quotes
    QUOTED = auto()  # in a cell, inside quotes
    QUOTE = auto()  # at a quote inside quotes: it ends them, unless another quote follows


class RecordCounter:
    """Counts the complete records of a CSV file, fed in pieces of any size. Empty lines don't count."""

    def __init__(self) -> None:
        self.count: int = 0
        self._place = _Place.BETWEEN
        self._begun = False
        self._cells = 0  # of the last record that `_step` has read
        self._width = 0

    def feed(self, piece: bytes) -> None:
        """Take the next piece. The first may begin with a byte order mark."""
        if not self._begun:
            self._begun = True
            piece = piece.removeprefix(_BYTE_ORDER_MARK)
        at = 0
        while at < len(piece):
            if self._place is _Place.BETWEEN:
                while self.count and (found := _RECORD.match(piece, at)):
                    self.count += 1
                    at = found.end()
                at = self._skip_line_ends(piece, at)
            else:
                at = self._step(piece, at)

    def finish(self) -> bool:
        """Count a last record without a line end; return whether it has as many cells as the first."""
        if self._place is _Place.BETWEEN:
            return True
        whole = self._place is not _Place.QUOTED and self._cells >= self._width
        self.count += 1
        return whole

    def _skip_line_ends(self, piece: bytes, at: int) -> int:
        found = _LINE_ENDS.match(piece, at)
        end = found.end() if found else at
        if end < len(piece):
            self._place = _Place.CELL
            self._cells = 1
        return end

    def _step(self, piece: bytes, at: int) -> int:
        """Read part of a record that crosses the end of a piece; return the new position."""
        match self._place:
            case _Place.QUOTED:
                end = piece.find(b'"', at) + 1
                if not end:
                    return len(piece)
                self._place = _Place.QUOTE
                return end
            case _Place.CELL | _Place.QUOTE:
                quote = piece[at] == _QUOTE
                self._place = _Place.QUOTED if quote else _Place.PLAIN
                return at + quote
            case _:
                found = _CELL_END.search(piece, at)
                if found is None:
                    return len(piece)
                if piece[found.start()] == _COMMA:
                    self._place = _Place.CELL
                    self._cells += 1
                else:
                    if not self.count:
                        self._width = self._cells
                    self.count += 1
                    self._place = _Place.BETWEEN
                return found.end()


class RowCounter:
    """Counts the rows of a results file, fed in pieces of any size, also in UTF-16 or UTF-32."""

    def __init__(self) -> None:
        self._records = RecordCounter()
        self._beginning: bytearray | None = bytearray()
        self._decoder: codecs.IncrementalDecoder | None = None

    def feed(self, piece: bytes) -> None:
        """Take the next piece; an unclear encoding raises `IncompleteDownloadError`."""
        if self._beginning is None:
            self._count(piece)
            return
        self._beginning += piece
        if len(self._beginning) >= _BEGINNING_BYTES:
            self._begin(bytes(self._beginning))

    def finish(self) -> int:
        """Return the number of rows; a file that ends inside one raises `IncompleteDownloadError`."""
        if self._beginning is not None:
            self._begin(bytes(self._beginning))
        partial_character = self._decoder is not None and bool(self._decoder.getstate()[0])
        if not self._records.finish() or partial_character:
            raise IncompleteDownloadError(
                "The results end inside a row: they were cut off. Download them again."
            )
        return max(0, self._records.count - 1)  # without the header

    def _begin(self, beginning: bytes) -> None:
        self._beginning = None
        encoding = _wide_encoding(beginning)
        if encoding is not None:
            self._decoder = codecs.getincrementaldecoder(encoding)("replace")
        self._count(beginning)

    def _count(self, piece: bytes) -> None:
        if self._decoder is not None:
            piece = self._decoder.decode(piece).encode()
        self._records.feed(piece)


def _wide_encoding(beginning: bytes) -> str | None:
    """Return the variant of UTF-16 or UTF-32, or `None` if the encoding is neither."""
    for mark, encoding in _MARKS.items():
        if beginning.startswith(mark):
            return encoding
    if b"\0" not in beginning or _VERDICT.search(beginning.decode("latin-1")):
        return None
    for encoding in _WIDE:
        if _VERDICT.search(beginning.decode(encoding, "replace")):
            return encoding
    raise IncompleteDownloadError(
        "The results contain NUL bytes and no column `Verification Result`: the file was cut off, or is not "
        "a results file. Download it again."
    )


def first_record(content: bytes) -> bytes:
    """Return the bytes of the first record of a file."""
    found = _RECORD.match(content)
    return found.group() if found else content

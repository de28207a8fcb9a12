"""How many records a CSV file has: counted from its bytes as `csv` would, whatever its cells hold.

`csv` itself refuses cells beyond a limit that belongs to the whole process.
"""

import re
from enum import Enum, auto
from typing import Final

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_QUOTE: Final = ord('"')
_COMMA: Final = ord(",")

# A quote opens a quoted cell only where the cell begins, and what follows its end is taken as it is.
_CELL: Final = rb'(?:"(?:[^"]++|"")*+"[^,\r\n]*+|(?!")[^,\r\n]*+)'
_RECORD: Final = re.compile(rb"[\r\n]*+" + _CELL + rb"(?:," + _CELL + rb")*+[\r\n]")
_LINE_ENDS: Final = re.compile(rb"[\r\n]*+")
_CELL_END: Final = re.compile(rb"[,\r\n]")


class _Place(Enum):
    """Where in a record the last byte was."""

    BETWEEN = auto()  # the records
    CELL = auto()  # one begins
    PLAIN = auto()  # a cell, outside of quotes
    QUOTED = auto()  # a cell, inside of quotes
    QUOTE = auto()  # behind a quote inside of quotes, which ends the cell unless another follows


class RecordCounter:
    """Takes a CSV file in pieces of any size; `count` is how many records are complete, without empty lines."""

    def __init__(self) -> None:
        """Start at the beginning of a file."""
        self.count = 0
        self._place = _Place.BETWEEN
        self._begun = False

    def feed(self, piece: bytes) -> None:
        """Take the next piece; the first holds the byte order mark, if there is one."""
        if not self._begun:
            self._begun = True
            piece = piece.removeprefix(_BYTE_ORDER_MARK)
        at = 0
        while at < len(piece):
            if self._place is _Place.BETWEEN:
                while found := _RECORD.match(piece, at):
                    self.count += 1
                    at = found.end()
                at = self._skip_line_ends(piece, at)
            else:
                at = self._step(piece, at)

    def finish(self) -> bool:
        """Count a last record without a line end; return whether the file ends where it may."""
        cut = self._place is _Place.QUOTED
        self.count += self._place is not _Place.BETWEEN
        self._place = _Place.BETWEEN
        return not cut

    def _skip_line_ends(self, piece: bytes, at: int) -> int:
        found = _LINE_ENDS.match(piece, at)
        end = found.end() if found else at
        if end < len(piece):
            self._place = _Place.CELL
        return end

    def _step(self, piece: bytes, at: int) -> int:
        """Go on within a record that is not complete in its piece; return where."""
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
                else:
                    self.count += 1
                    self._place = _Place.BETWEEN
                return found.end()


def first_record(content: bytes) -> bytes:
    """Return the bytes of the first record of a file."""
    found = _RECORD.match(content)
    return found.group() if found else content

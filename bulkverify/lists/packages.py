"""Reads the XML inside an Excel workbook as a stream, within limits of size."""

import os
import zipfile
from collections.abc import Callable, Iterator
from typing import BinaryIO, Final
from xml.parsers import expat

from bulkverify.lists.stopping import checkpoint

_PIECE_BYTES: Final = 64 * 1024
_SMALL_BYTES: Final = 256_000_000
_GROWTH: Final = 400
_FEW_ELEMENTS: Final = 10_000_000
_ELEMENTS_A_BYTE: Final = 10
_LONGEST_TOKEN_BYTES: Final = 1_000_000
_DEEPEST: Final = 100
_MOST_NAMES: Final = 10_000

Start = Callable[[str, dict[str, str]], None]
End = Callable[[str], None]
Text = Callable[[str], None]


class UnreadableError(ValueError):
    """A file is not an Excel workbook, or would take too much memory."""


class Package:
    """The files of a workbook.

    Sizes are counted while the files are unpacked, because those in the directory may be wrong. A sheet
    takes up to thirty times its packed size and is read three times; `_GROWTH` is far above that.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._archive = zipfile.ZipFile(file)
        self._names = frozenset(self._archive.namelist())
        self.size_bytes: int = file.seek(0, os.SEEK_END)
        self._left = max(_SMALL_BYTES, _GROWTH * self.size_bytes)
        self._elements_left = max(_FEW_ELEMENTS, _ELEMENTS_A_BYTE * self.size_bytes)

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def spend(self, size: int) -> None:
        """Count unpacked or written bytes; raise `UnreadableError` if they exceed the limit."""
        self._left -= size
        if self._left < 0:
            raise UnreadableError("its content is far too large for the size of the file")

    def parse(self, name: str, start: Start, end: End, text: Text) -> Iterator[None]:
        """Parse a file, and pause after each piece, so that its elements can be used.

        `start` is called with the name of an element, without its prefix, and its attributes; `end` with
        the name, and `text` with text.
        """
        info = self._archive.getinfo(name)
        if info.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
            raise UnreadableError("it is compressed in a way that Excel does not use")
        parser = _parser(self._counting(start), end, text)
        fed = 0
        with self._archive.open(info) as file:
            while piece := file.read(_PIECE_BYTES):
                checkpoint()
                self.spend(len(piece))
                fed += len(piece)
                parser.Parse(piece, False)  # noqa: FBT003 - it takes no keywords
                if fed - max(0, parser.CurrentByteIndex) > _LONGEST_TOKEN_BYTES:
                    raise UnreadableError("it has a tag without an end")
                if len(parser.intern) > _MOST_NAMES:
                    raise UnreadableError("its elements have too many names")
                yield
        parser.Parse(b"", True)  # noqa: FBT003 - likewise
        yield

    def _counting(self, start: Start) -> Start:
        def started(name: str, attributes: dict[str, str]) -> None:
            self._elements_left -= 1
            if self._elements_left < 0:
                raise UnreadableError("it has far too many elements for its size")
            start(name, attributes)

        return started

    def read(self, name: str, start: Start) -> None:
        """Parse a file for its elements only."""
        for _ in self.parse(name, start, _ignore, _ignore):
            pass


def _parser(start: Start, end: End, text: Text) -> expat.XMLParserType:
    depth = 0

    def started(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > _DEEPEST:
            raise UnreadableError("it is nested too deeply")
        start(name.rpartition(":")[2] if ":" in name else name, attributes)

    def ended(name: str) -> None:
        nonlocal depth
        depth -= 1
        end(name.rpartition(":")[2] if ":" in name else name)

    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = started
    parser.EndElementHandler = ended
    parser.CharacterDataHandler = text
    parser.StartDoctypeDeclHandler = _refuse_declarations  # entities can be bombs
    return parser


def _refuse_declarations(*_: object) -> None:
    raise UnreadableError("it declares entities")


def _ignore(_: str) -> None:
    """Ignore an end or a text."""

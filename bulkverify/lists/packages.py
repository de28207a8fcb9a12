"""Reads the XML inside an Excel workbook as a stream, within limits of size."""

import os
import re
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
_UTF_8: Final = re.compile(
    rb"(?:\xef\xbb\xbf)?(?:<[^?]|<\?xml(?:(?!encoding)[^>])*(?:encoding=[\"']utf-8[\"'][^>]*)?>)",
    re.IGNORECASE,
)

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

    def pieces(self, name: str) -> Iterator[bytes]:
        """Unpack a file, piece by piece."""
        info = self._archive.getinfo(name)
        if info.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
            raise UnreadableError("it is compressed in a way that Excel does not use")
        with self._archive.open(info) as file:
            while piece := file.read(_PIECE_BYTES):
                checkpoint()
                self.spend(len(piece))
                yield piece

    def count_elements(self, count: int = 1) -> None:
        """Count elements; raise `UnreadableError` if they exceed the limit."""
        self._elements_left -= count
        if self._elements_left < 0:
            raise UnreadableError("it has far too many elements for its size")

    def parser(self, start: Start, end: End, text: Text, *, watched: str = "") -> "Parser":
        """Make a parser for one of the files.

        `start` is called with the name of an element, without its prefix, and its attributes; `end` with
        the name, and `text` with text. `watched` is the element that `scan` looks for.
        """

        def counted(name: str, attributes: dict[str, str]) -> None:
            self.count_elements()
            start(name, attributes)

        return Parser(counted, end, text, watched)

    def parse(self, name: str, start: Start, end: End, text: Text) -> None:
        """Parse a file."""
        parser = self.parser(start, end, text)
        for piece in self.pieces(name):
            parser.feed(piece)
        parser.finish()

    def scan(
        self,
        name: str,
        parser: "Parser",
        pattern: re.Pattern[str],
        take: Callable[[re.Match[str]], None],
        *,
        inside: Callable[[], bool] = lambda: True,
    ) -> Iterator[None]:
        """Parse a file, except elements that a pattern finds, and pause after each piece.

        It is several times as fast as the parser alone, and exact: the pattern is tried only behind the end
        tag of a watched element that the parser has seen, or behind another match. So it never looks into a
        comment. The rest, such as a text that is no UTF-8, is left to the parser.

        Args:
            name: of the file.
            parser: gets all the rest; it watches an element.
            pattern: matches a whole element of this name, and blanks before it.
            take: takes a match.
            inside: whether the parser is where such elements count.
        """
        pieces = self.pieces(name)
        rest = next(pieces, b"")
        if not _UTF_8.match(rest):
            parser.feed(rest)
            for piece in pieces:
                parser.feed(piece)
                yield
            rest = b""
        end_tag = f"</{parser.watched}>"
        between = False
        while rest:
            # Bytes that are no characters, as where a piece is cut, are never matched.
            text = rest.decode("utf-8", "surrogateescape")
            at = 0
            while True:
                if between and (found := pattern.match(text, at)):
                    take(found)
                    at = found.end()
                    continue
                end = text.find(end_tag, at) + len(end_tag)
                if end < len(end_tag):
                    break
                parser.feed(text[at:end].encode("utf-8", "surrogateescape"))
                between = parser.ended_at == parser.fed - len(end_tag) and inside()
                at = end
            yield
            rest = text[at:].encode("utf-8", "surrogateescape")
            if len(rest) > _LONGEST_TOKEN_BYTES or not between:
                parser.feed(rest[: -len(end_tag)])
                rest = rest[-len(end_tag) :]
                between = False
            piece = next(pieces, b"")
            if not piece:
                break
            rest += piece
        parser.feed(rest)
        parser.finish()
        yield

    def read(self, name: str, start: Start) -> None:
        """Parse a file for its elements only."""
        self.parse(name, start, _ignore, _ignore)


class Parser:
    """Parses XML within limits of its depth, its names and its tags; `watched` is an element, see `scan`."""

    def __init__(self, start: Start, end: End, text: Text, watched: str) -> None:
        self.watched = watched
        self.ended_at: int = -1
        """Where the last end tag of a watched element begins, in bytes."""
        self._start = start
        self._end = end
        self._depth = 0
        self.fed: int = 0
        self._parser = parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartElementHandler = self._started
        parser.EndElementHandler = self._ended
        parser.CharacterDataHandler = text
        parser.StartDoctypeDeclHandler = _refuse_declarations  # entities can be bombs

    def feed(self, data: bytes) -> None:
        """Parse the next piece."""
        self._parser.Parse(data, False)  # noqa: FBT003 - it takes no keywords
        self.fed += len(data)
        if self.fed - max(0, self._parser.CurrentByteIndex) > _LONGEST_TOKEN_BYTES:
            raise UnreadableError("it has a tag without an end")
        if len(self._parser.intern) > _MOST_NAMES:
            raise UnreadableError("its elements have too many names")

    def finish(self) -> None:
        """End the file; what is missing is an error."""
        self._parser.Parse(b"", True)  # noqa: FBT003 - likewise

    def _started(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise UnreadableError("it is nested too deeply")
        self._start(name.rpartition(":")[2] if ":" in name else name, attributes)

    def _ended(self, name: str) -> None:
        self._depth -= 1
        if name == self.watched:
            self.ended_at = self._parser.CurrentByteIndex
        self._end(name.rpartition(":")[2] if ":" in name else name)


def _refuse_declarations(*_: object) -> None:
    raise UnreadableError("it declares entities")


def _ignore(_: str) -> None:
    """Ignore an end or a text."""

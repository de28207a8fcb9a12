"""Reads the texts of cells, and those that cells share."""

import re
from array import array
from collections.abc import Sequence
from html import unescape
from typing import Final, TypeAlias

from bulkverify.lists.packages import Package, UnreadableError
from bulkverify.lists.values import plain_text
from bulkverify.results.records import LARGEST_RECORD_CHARACTERS

_TEXT_BYTES: Final = 64_000_000
_TEXT_GROWTH: Final = 30

_PLAIN: Final = r"[^<&\r\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]*+"
TEXT_PATTERN: Final = rf"({_PLAIN}(?:&(?:amp|lt|gt|quot|apos);{_PLAIN})*+)"
"""A text with no more escapes than are usual."""

_SHARED: Final = re.compile(rf'[ \t\n]*+<si><t(?: xml:space="preserve")?>{TEXT_PATTERN}</t></si>')


Gathered: TypeAlias = str | int | tuple[int, str | int]
"""A cell: its text, or the number of a shared one. A number below 0 stands for so many empty cells. A place
and a cell replace an earlier cell."""


class SharedTexts:
    """The texts that cells share, by number, in one buffer."""

    def __init__(self, package: Package) -> None:
        self._package = package
        self._most = max(_TEXT_BYTES, _TEXT_GROWTH * package.size_bytes)
        self._bytes = bytearray()
        self._ends = array("Q", [0])

    def row(self, cells: Sequence[Gathered]) -> list[str]:
        """Return the cells of a row as texts."""
        row: list[str] = []
        size = 0
        for gathered in cells:
            place, cell = gathered if isinstance(gathered, tuple) else (None, gathered)
            if isinstance(cell, int):
                if cell < 0:
                    row += [""] * -cell
                    continue
                cell = self._text(cell)
                size += len(cell)
                if size > LARGEST_RECORD_CHARACTERS:
                    raise UnreadableError("a row is too long")
            if place is None:
                row.append(cell)
            else:
                row[place] = cell
        return row

    def _text(self, number: int) -> str:
        if number >= len(self._ends) - 1:
            raise UnreadableError("a cell refers to a text that does not exist")
        begin, end = self._ends[number], self._ends[number + 1]
        return self._bytes[begin:end].decode("utf-8", "surrogatepass")

    def read(self, path: str) -> None:
        """Read all of them."""
        text = CellText()

        def end(name: str) -> None:
            text.end(name)
            if name == "si":
                self._add(text.take())

        def take(found: re.Match[str]) -> None:
            self._package.count_elements(2)
            self._add(plain_text(unescape(found[1])))

        parser = self._package.parser(text.start, end, text.text, watched="si")
        for _ in self._package.scan(path, parser, _SHARED, take):
            pass

    def _add(self, text: str) -> None:
        self._bytes += text.encode("utf-8", "surrogatepass")
        self._ends.append(len(self._bytes))
        if len(self._bytes) + 8 * len(self._ends) > self._most:
            raise UnreadableError("it has too many texts for its size")


class CellText:
    """Joins the text of a cell, whose pieces may have several formats."""

    def __init__(self) -> None:
        self._wanted = False
        self._sounds = False  # phonetic guides of Japanese texts are left out
        self._pieces: list[str] = []
        self._characters = 0

    def start(self, name: str, _: dict[str, str]) -> None:
        """Begin an element."""
        if name == "rPh":
            self._sounds = True
        self._wanted = name == "t" and not self._sounds

    def end(self, name: str) -> None:
        """End an element."""
        self._wanted = False
        if name == "rPh":
            self._sounds = False

    def text(self, data: str) -> None:
        """Take a piece of text, unless it is no text of the cell."""
        if self._wanted:
            self._pieces.append(data)
            self._characters += len(data)
            if self._characters > LARGEST_RECORD_CHARACTERS:
                raise UnreadableError("a text is too long")

    def take(self) -> str:
        """Return the text without its escapes, and begin a new one."""
        text = plain_text("".join(self._pieces))
        self._pieces.clear()
        self._characters = 0
        return text

"""Reads the rows of a sheet from its XML, and the texts that its cells share."""

import re
from array import array
from collections.abc import Iterator
from datetime import date
from html import unescape
from typing import Final, NamedTuple

from bulkverify.lists.packages import LONGEST_TOKEN_BYTES, Package, Parser, UnreadableError
from bulkverify.lists.values import NUMBER, column_of, iso_text, number_text, plain_text
from bulkverify.results.records import LARGEST_RECORD_CHARACTERS

MOST_ROWS: Final = 1_048_576
MOST_COLUMNS: Final = 16_384
_TEXT_BYTES: Final = 64_000_000
_TEXT_GROWTH: Final = 30
_TRUE: Final = frozenset({"1", "true"})

# A row as nearly all programs write it. Other rows are left to the parser.
_PLAIN: Final = r"[^<&\r\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]*+"
_TEXT: Final = rf"({_PLAIN}(?:&(?:amp|lt|gt|quot|apos);{_PLAIN})*+)"
_CELL_PATTERN: Final = (
    r'<c r="([A-Z]{1,3})[0-9]{1,7}"(?: s="([0-9]{1,6})")?(?: t="([a-zA-Z]{1,9})")?'
    r"(?:/>|>(<f(?: [^<>]*+)?(?:/>|>[^<]*+</f>))?"
    rf'(?:<v>{_TEXT}</v>|<v ?/>|<is><t(?: xml:space="preserve")?>{_TEXT}</t></is>)?</c>)'
)
_CELL: Final = re.compile(_CELL_PATTERN)
_ROW: Final = re.compile(
    r'[ \t\n]*+<row(?: r="([0-9]{1,7})")?((?: (?!r=)[A-Za-z0-9:]++="[^"<&]*+")*+)>'
    rf"((?:{re.sub(r'[(](?![?])', '(?:', _CELL_PATTERN)})*+)</row>"
)
_ROW_END: Final = "</row>"
_HIDDEN: Final = re.compile(' hidden="(?:1|true)"')
_UTF_8: Final = re.compile(
    rb"(?:\xef\xbb\xbf)?(?:<[^?]|<\?xml(?:(?!encoding)[^>])*(?:encoding=[\"']utf-8[\"'][^>]*)?>)",
    re.IGNORECASE,
)


class SheetRow(NamedTuple):
    """A row of a sheet; the columns `uncalculated`, from 1, are formulas without a value."""

    number: int
    hidden: bool
    cells: list[str]
    uncalculated: list[int]


class _Gathered(NamedTuple):
    number: int
    hidden: bool
    cells: list[str | int]  # a number means a shared text
    uncalculated: list[int]


class SharedTexts:
    """The texts that cells share, by number, in one buffer."""

    def __init__(self, package: Package) -> None:
        self._package = package
        self._most = max(_TEXT_BYTES, _TEXT_GROWTH * package.size_bytes)
        self._bytes = bytearray()
        self._ends = array("Q", [0])

    def __getitem__(self, number: int) -> str:
        begin, end = self._ends[number], self._ends[number + 1]
        return self._bytes[begin:end].decode("utf-8", "surrogatepass")

    def size(self, number: int) -> int:
        """Return the size of a text in bytes."""
        if not 0 <= number < len(self._ends) - 1:
            raise UnreadableError("a cell refers to a text that does not exist")
        return self._ends[number + 1] - self._ends[number]

    def read(self, path: str) -> None:
        """Read all of them."""
        text = _Text()

        def end(name: str) -> None:
            text.end(name)
            if name == "si":
                self._bytes += text.take().encode("utf-8", "surrogatepass")
                self._ends.append(len(self._bytes))
                if len(self._bytes) + 8 * len(self._ends) > self._most:
                    raise UnreadableError("it has too many texts for its size")

        self._package.parse(path, text.start, end, text.text)


class _Text:
    """Joins the text of a cell, whose pieces may have several formats."""

    def __init__(self) -> None:
        self._wanted = False
        self._sounds = False  # phonetic guides of Japanese texts are left out
        self._pieces: list[str] = []
        self._characters = 0

    def start(self, name: str, _: dict[str, str]) -> None:
        if name == "rPh":
            self._sounds = True
        self._wanted = name == "t" and not self._sounds

    def end(self, name: str) -> None:
        self._wanted = False
        if name == "rPh":
            self._sounds = False

    def text(self, data: str) -> None:
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


class _Places(dict[str, int]):
    """The columns by their letters."""

    def __missing__(self, letters: str) -> int:
        column = column_of(f"{letters}1")
        if column > MOST_COLUMNS:
            raise UnreadableError(f"a row has more than {MOST_COLUMNS:,} cells")
        self[letters] = column
        return column


class SheetReader:
    """Reads the rows of one sheet.

    Rows of the usual form are found by a pattern, five times as fast as by the parser, which gets all
    the rest. The pattern is tried only between two rows, so it never looks into a comment.
    """

    def __init__(
        self,
        package: Package,
        texts: SharedTexts,
        styles: bytearray,
        first_day: date,
        *,
        calculate: bool,
    ) -> None:
        """Begin to read.

        Args:
            package: the workbook.
            texts: that its cells share.
            styles: for each cell style, what its numbers mean.
            first_day: from which its dates are counted.
            calculate: whether it asks for its formulas to be calculated, so that a 0 may be no value.
        """
        self._package = package
        self._texts = texts
        self._styles = styles
        self._first_day = first_day
        self._calculate = calculate
        self._parser: Parser = package.parser(self._start, self._end, self._text)
        self._rows: list[_Gathered] = []
        self._ended_at = -1  # where the last tag begins that ends a row
        self._inside = False
        self._count = 0
        self._places = _Places()
        self._row = _Gathered(0, False, [], [])  # noqa: FBT003 - a field
        self._size = 0
        self._column = 0
        self._cells = 0
        self._type = ""
        self._style = 0
        self._formula = False
        self._in_value = False
        self._value: list[str] = []
        self._inline = _Text()

    def read(self, sheet: str) -> Iterator[SheetRow]:
        """Read the rows of a sheet, without empty rows and empty cells at the end of a row."""
        pieces = self._package.pieces(sheet)
        first = next(pieces, b"")
        if _UTF_8.match(first):
            yield from self._quickly(first, pieces)
        else:
            yield from self._parsed(first)
            for piece in pieces:
                yield from self._parsed(piece)
        self._parser.finish()
        yield from self._taken()

    def _quickly(self, first: bytes, pieces: Iterator[bytes]) -> Iterator[SheetRow]:
        """Read rows of the usual form by the pattern, and parse all the rest."""
        rest = first
        between = False
        while True:
            # Bytes that are no characters, as where a piece is cut, are left to the parser.
            text = rest.decode("utf-8", "surrogateescape")
            at = 0
            while True:
                if between and (found := _ROW.match(text, at)):
                    at = found.end()
                    self._take_regular(found)
                    continue
                end = text.find(_ROW_END, at) + len(_ROW_END)
                if end < len(_ROW_END):
                    break
                yield from self._taken()
                yield from self._parsed(text[at:end].encode("utf-8", "surrogateescape"))
                between = self._inside and self._ended_at == self._parser.fed - len(_ROW_END)
                at = end
            yield from self._taken()
            rest = text[at:].encode("utf-8", "surrogateescape")
            piece = next(pieces, None)
            if piece is None:
                yield from self._parsed(rest)
                return
            if len(rest) > LONGEST_TOKEN_BYTES or not between:
                kept = len(_ROW_END)
                yield from self._parsed(rest[:-kept])
                rest = rest[-kept:]
                between = False
            rest += piece

    def _parsed(self, data: bytes) -> Iterator[SheetRow]:
        self._parser.feed(data)
        yield from self._taken()

    def _taken(self) -> Iterator[SheetRow]:
        """Give the rows that were gathered, with the texts of their cells."""
        for number, hidden, gathered, uncalculated in self._rows:
            cells = [cell if isinstance(cell, str) else self._texts[cell] for cell in gathered]
            while cells and not cells[-1]:
                cells.pop()
            if cells or uncalculated:
                self._package.spend(sum(map(len, cells)) + 3 * len(cells))
                yield SheetRow(number, hidden, cells, uncalculated)
        self._rows.clear()

    def _take_regular(self, found: re.Match[str]) -> None:
        """Take a row that the pattern has found."""
        number, attributes, text = found.groups()
        self._begin_row(number, hidden=_HIDDEN.search(attributes) is not None)
        cells = _CELL.findall(text)
        self._package.count_elements(2 * len(cells))
        if len(cells) > MOST_COLUMNS:
            raise UnreadableError(f"a row has more than {MOST_COLUMNS:,} cells")
        for letters, style, kind, formula, value, inline in cells:
            column = self._places[letters]
            if "&" in value or "&" in inline:
                value, inline = unescape(value), unescape(inline)  # noqa: PLW2901 - the same text
            self._take(
                column,
                kind or "n",
                int(style or 0),
                value,
                plain_text(inline),
                formula=bool(formula),
            )
        self._end_row()

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if not self._inside:
            self._inside = name == "sheetData"
        elif name == "c":
            self._cells += 1
            reference = attributes.get("r")
            self._column = self._column + 1 if reference is None else column_of(reference)
            if max(self._column, self._cells) > MOST_COLUMNS:
                raise UnreadableError(f"a row has more than {MOST_COLUMNS:,} cells")
            self._type = attributes.get("t", "n")
            self._style = int(attributes.get("s") or 0)
            self._formula = False
        elif name == "v":
            self._in_value = True
        elif name == "row":
            self._begin_row(attributes.get("r"), hidden=attributes.get("hidden") in _TRUE)
        else:
            self._formula = self._formula or name == "f"
            self._inline.start(name, attributes)

    def _end(self, name: str) -> None:
        if name == "c":
            value = "".join(self._value)
            self._value.clear()
            self._take(
                *(self._column, self._type, self._style, value, self._inline.take()),
                formula=self._formula,
            )
        elif name == "sheetData":
            self._inside = False
        elif name == "v":
            self._in_value = False
        elif name == "row":
            self._end_row()
            self._ended_at = self._parser.at
        else:
            self._inline.end(name)

    def _text(self, data: str) -> None:
        if self._in_value:
            self._value.append(data)
            self._grow(len(data))
        elif self._type == "inlineStr":
            self._inline.text(data)

    def _begin_row(self, reference: str | None, *, hidden: bool) -> None:
        number = self._row.number + 1 if reference is None else float(reference)
        self._count += 1
        if self._count > MOST_ROWS or not 1 <= number <= MOST_ROWS:
            raise UnreadableError(f"it has more than {MOST_ROWS:,} rows")
        self._row = _Gathered(int(number), hidden, [], [])
        self._size = self._column = self._cells = 0

    def _end_row(self) -> None:
        if self._row.cells or self._row.uncalculated:
            self._rows.append(self._row)
        self._row = _Gathered(self._row.number, False, [], [])  # noqa: FBT003 - a field

    def _take(
        self, column: int, kind: str, style: int, value: str, inline: str, *, formula: bool
    ) -> None:
        """Put the value of a cell into the row."""
        cell: str | int
        if formula and (
            (not value and kind != "str") or (self._calculate and value == "0" and kind == "n")
        ):
            self._row.uncalculated.append(column)
            return
        if kind == "inlineStr":
            cell = inline
            self._grow(len(cell))
        elif not value:
            return
        elif kind == "s":
            cell = int(value)
            self._grow(self._texts.size(cell))
        elif kind == "n":
            number = self._styles[style] if style < len(self._styles) else NUMBER
            cell = number_text(value, number, self._first_day)
        elif kind == "b":
            cell = str(bool(int(value))).upper()
        elif kind == "d":
            cell = iso_text(value)
        else:
            cell = plain_text(value)
        if cell != "":
            cells = self._row.cells
            if len(cells) < column:
                cells += [""] * (column - len(cells))
            cells[column - 1] = cell

    def _grow(self, size: int) -> None:
        self._size += size
        if self._size > LARGEST_RECORD_CHARACTERS:
            raise UnreadableError("a row is too long")

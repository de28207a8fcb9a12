"""Reads the rows of a sheet from its XML."""

import re
from collections.abc import Iterator
from datetime import date
from html import unescape
from typing import Final, NamedTuple

from bulkverify.lists.packages import Package, UnreadableError
from bulkverify.lists.texts import TEXT_PATTERN, CellText, Gathered, SharedTexts
from bulkverify.lists.values import NUMBER, column_of, iso_text, number_text, plain_text
from bulkverify.results.records import LARGEST_RECORD_CHARACTERS

MOST_ROWS: Final = 1_048_576
MOST_COLUMNS: Final = 16_384
_TRUE: Final = frozenset({"1", "true"})

# A row as nearly all programs write it. Other rows are left to the parser.
_CELL_PATTERN: Final = (
    r'<c r="([A-Z]{1,3})[0-9]{1,7}"(?: s="([0-9]{1,6})")?(?: t="([a-zA-Z]{1,9})")?'
    r"(?:/>|>(<f(?: [^<>]*+)?(?:/>|>[^<]*+</f>))?"
    rf'(?:<v>{TEXT_PATTERN}</v>|<v ?/>|<is><t(?: xml:space="preserve")?>{TEXT_PATTERN}</t></is>)?</c>)'
)
_CELL: Final = re.compile(_CELL_PATTERN)
_ROW: Final = re.compile(
    r'[ \t\n]*+<row(?: r="([0-9]{1,7})")?((?: (?!r=)[A-Za-z0-9:]++="[^"<&]*+")*+)>'
    rf"((?:{re.sub(r'[(](?![?])', '(?:', _CELL_PATTERN)})*+)</row>"
)
_HIDDEN: Final = re.compile(' hidden="(?:1|true)"')


class SheetRow(NamedTuple):
    """A row of a sheet; the columns `uncalculated`, from 1, are formulas without a value."""

    number: int
    hidden: bool
    cells: list[str]
    uncalculated: list[int]


class _Places(dict[str, int]):
    """The columns by their letters."""

    def __missing__(self, letters: str) -> int:
        column = column_of(f"{letters}1")
        if column > MOST_COLUMNS:
            raise UnreadableError(f"a row has more than {MOST_COLUMNS:,} cells")
        self[letters] = column
        return column


class SheetReader:
    """Reads the rows of one sheet. Those of the usual form need no parser."""

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
        self._places = _Places()
        # Complete rows, and the one that is read.
        self._rows: list[tuple[int, bool, list[Gathered], list[int]]] = []
        self._row: list[Gathered] = []
        self._width = 0
        self._uncalculated: list[int] = []
        self._number = self._count = self._size = 0
        self._hidden = False
        # The cell that is parsed.
        self._inside = False
        self._column = 0
        self._cells = 0
        self._type = ""
        self._style = 0
        self._formula = False
        self._in_value = False
        self._value: list[str] = []
        self._inline = CellText()

    def read(self, sheet: str) -> Iterator[SheetRow]:
        """Read the rows of a sheet, without empty rows and empty cells at the end of a row."""
        parser = self._package.parser(self._start, self._end, self._text, watched="row")
        steps = self._package.scan(
            sheet, parser, _ROW, self._take_regular, inside=lambda: self._inside
        )
        for _ in steps:
            for number, hidden, gathered, uncalculated in self._rows:
                cells = self._texts.row(gathered)
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
        escaped = "&" in text or "_x" in text
        places = self._places
        for letters, style, kind, formula, value, inline in cells:
            if escaped:
                value, inline = unescape(value), plain_text(unescape(inline))  # noqa: PLW2901 - the same texts
            if formula or kind not in {"s", "inlineStr"}:
                self._take(
                    *(places[letters], kind or "n", int(style or 0), value, inline),
                    formula=bool(formula),
                )
            elif cell := inline if kind == "inlineStr" else value:
                self._put(places[letters], cell if kind == "inlineStr" else _shared(cell))
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
        else:
            self._inline.end(name)

    def _text(self, data: str) -> None:
        if self._in_value:
            self._value.append(data)
            self._grow(len(data))
        elif self._type == "inlineStr":
            self._inline.text(data)

    def _begin_row(self, reference: str | None, *, hidden: bool) -> None:
        number = self._number + 1 if reference is None else float(reference)
        self._count += 1
        if self._count > MOST_ROWS or not 1 <= number <= MOST_ROWS:
            raise UnreadableError(f"it has more than {MOST_ROWS:,} rows")
        self._number = int(number)
        self._hidden = hidden
        self._row, self._uncalculated = [], []
        self._size = self._width = self._column = self._cells = 0

    def _end_row(self) -> None:
        if self._row or self._uncalculated:
            self._rows.append((self._number, self._hidden, self._row, self._uncalculated))
        self._row, self._uncalculated = [], []

    def _take(
        self, column: int, kind: str, style: int, value: str, inline: str, *, formula: bool
    ) -> None:
        """Put the value of a cell into the row."""
        cell: str | int
        if formula and (
            (not value and not inline and kind != "str")
            or (self._calculate and value == "0" and kind == "n")
        ):
            self._uncalculated.append(column)
            return
        if kind == "inlineStr":
            cell = inline
            self._grow(len(cell))
        elif not value:
            return
        elif kind == "s":
            cell = _shared(value)
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
            self._put(column, cell)

    def _put(self, column: int, cell: str | int) -> None:
        missing = column - self._width - 1
        if missing < 0:
            self._row.append((column - 1, cell))
            return
        if missing:
            self._row.append(-missing)
        self._row.append(cell)
        self._width = column

    def _grow(self, size: int) -> None:
        self._size += size
        if self._size > LARGEST_RECORD_CHARACTERS:
            raise UnreadableError("a row is too long")


def _shared(text: str) -> int:
    """Return the number of a shared text."""
    number = int(text)
    if number < 0:
        raise UnreadableError("a cell refers to a text that does not exist")
    return number

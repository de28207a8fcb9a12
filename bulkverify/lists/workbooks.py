"""Reads Excel workbooks: their sheets, and the rows of a sheet one by one."""

import posixpath
import re
from array import array
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from typing import BinaryIO, Final

from bulkverify.lists.packages import Package, UnreadableError
from bulkverify.results.records import LARGEST_RECORD_CHARACTERS

_MOST_ROWS: Final = 1_048_576
_MOST_COLUMNS: Final = 16_384
_MOST_STYLES: Final = 1_000_000
_MOST_SHEETS: Final = 10_000
_LONGEST_FORMAT: Final = 1000
_TEXT_BYTES: Final = 64_000_000
_TEXT_GROWTH: Final = 30

_REFERENCE: Final = re.compile(r"([A-Z]{1,3})[0-9]{1,7}", re.IGNORECASE)
_ROOT_RELATIONS: Final = "_rels/.rels"

# Not a date in a number format: literals, and brackets other than [h], [mm] and [ss].
_LITERAL: Final = re.compile(r'".*?"|\[(?!hh?\]|mm?\]|ss?\])[^\]]*\]')
_DATE: Final = re.compile(r"(?<![_\\])[dmhys]", re.IGNORECASE)
_DURATION: Final = re.compile(r"\[(?:hh?|mm?|ss?)\]", re.IGNORECASE)
_NUMBER, _MOMENT, _SPAN = range(3)
_KNOWN_FORMATS: Final = {**dict.fromkeys((*range(14, 23), 45, 47), _MOMENT), 46: _SPAN}
_LARGEST_WHOLE_FLOAT: Final = 10.0**15


class Workbook:
    """A workbook; `sheets` holds the names and the files of its worksheets."""

    def __init__(self, file: BinaryIO) -> None:
        """Read the texts and styles that its cells refer to."""
        self._package = package = Package(file)
        self._texts = _Texts(package)
        self._styles = bytearray()
        self._first_day = date(1899, 12, 30)
        self.sheets: list[tuple[str, str]] = []
        path = next(iter(self._related("", _ROOT_RELATIONS, "/officeDocument").values()))
        relations = posixpath.join(
            posixpath.dirname(path), "_rels", f"{posixpath.basename(path)}.rels"
        )
        for texts in self._related(path, relations, "/sharedStrings").values():
            self._texts.read(texts)
        for styles in self._related(path, relations, "/styles").values():
            self._read_styles(styles)
        self._read_sheets(path, self._related(path, relations, "/worksheet"))

    def rows(self, sheet: str) -> Iterator[list[str]]:
        """Read the rows of a sheet, without empty rows and empty cells at the end of a row."""
        reader = _Sheet(self._texts, self._styles, self._first_day)
        for _ in self._package.parse(sheet, reader.start, reader.end, reader.text):
            for row in reader.rows:
                cells = [cell if isinstance(cell, str) else self._texts[cell] for cell in row]
                while cells and not cells[-1]:
                    cells.pop()
                if cells:
                    self._package.spend(sum(map(len, cells)) + 3 * len(cells))
                    yield cells
            reader.rows.clear()

    def _related(self, path: str, relations: str, kind: str) -> dict[str, str]:
        """Find the files of a kind that a file refers to, by their ids."""
        found: dict[str, str] = {}

        def start(name: str, attributes: dict[str, str]) -> None:
            if name == "Relationship" and attributes.get("Type", "").endswith(kind):
                target = posixpath.join("/", posixpath.dirname(path), attributes["Target"])
                target = posixpath.normpath(target).lstrip("/")
                if target in self._package and len(found) < _MOST_SHEETS:
                    found[attributes["Id"]] = target

        self._package.read(relations, start)
        if not found and kind == "/officeDocument":
            raise UnreadableError("it has no workbook in it")
        return found

    def _read_sheets(self, path: str, files: dict[str, str]) -> None:
        def start(name: str, attributes: dict[str, str]) -> None:
            if name == "workbookPr" and attributes.get("date1904") in {"1", "true"}:
                self._first_day = date(1904, 1, 1)
            if name == "sheet" and len(self.sheets) < _MOST_SHEETS:
                ids = [value for key, value in attributes.items() if key.endswith(":id")]
                self.sheets += [
                    (attributes.get("name", ""), files[id_]) for id_ in ids if id_ in files
                ]

        self._package.read(path, start)

    def _read_styles(self, path: str) -> None:
        """Note for each cell style whether its numbers are dates."""
        formats = dict(_KNOWN_FORMATS)
        inside = False

        def start(name: str, attributes: dict[str, str]) -> None:
            nonlocal inside
            if name == "numFmt" and len(formats) < _MOST_STYLES:
                formats[int(attributes["numFmtId"])] = _kind_of(attributes.get("formatCode", ""))
            elif name == "cellXfs":
                inside = True
            elif name == "xf" and inside:
                self._styles.append(formats.get(int(attributes.get("numFmtId", 0)), _NUMBER))
                if len(self._styles) > _MOST_STYLES:
                    raise UnreadableError("it has too many styles")

        def end(name: str) -> None:
            nonlocal inside
            inside = inside and name != "cellXfs"

        for _ in self._package.parse(path, start, end, lambda _: None):
            pass


class _Texts:
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
                # `_x005F_` stands for an underscore, as in openpyxl.
                self._bytes += text.take().replace("x005F_", "").encode("utf-8", "surrogatepass")
                self._ends.append(len(self._bytes))
                if len(self._bytes) + 8 * len(self._ends) > self._most:
                    raise UnreadableError("it has too many texts for its size")

        for _ in self._package.parse(path, text.start, end, text.text):
            pass


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
        """Return the text, and begin a new one."""
        text = "".join(self._pieces)
        self._pieces.clear()
        self._characters = 0
        return text


class _Sheet:
    """Gathers the cells of a sheet in `rows`; a number means a shared text."""

    def __init__(self, texts: _Texts, styles: bytearray, first_day: date) -> None:
        self.rows: list[list[str | int]] = []
        self._texts = texts
        self._styles = styles
        self._first_day = first_day
        self._inside = False
        self._row: list[str | int] = []
        self._count = 0
        self._size = 0
        self._column = 0
        self._cells = 0
        self._type = ""
        self._style = 0
        self._in_value = False
        self._value: list[str] = []
        self._inline = _Text()

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if not self._inside:
            self._inside = name == "sheetData"
        elif name == "c":
            self._cells += 1
            reference = attributes.get("r")
            self._column = self._column + 1 if reference is None else _column(reference)
            if max(self._column, self._cells) > _MOST_COLUMNS:
                raise UnreadableError(f"a row has more than {_MOST_COLUMNS:,} cells")
            self._type = attributes.get("t", "n")
            self._style = int(attributes.get("s") or 0)
        elif name == "v":
            self._in_value = True
        elif name == "row":
            self._count += 1
            number = float(attributes.get("r", 1))
            if self._count > _MOST_ROWS or not 1 <= number <= _MOST_ROWS:
                raise UnreadableError(f"it has more than {_MOST_ROWS:,} rows")
            self._row, self._size, self._column, self._cells = [], 0, 0, 0
        else:
            self._inline.start(name, attributes)

    def end(self, name: str) -> None:
        if name == "c":
            self._end_cell()
        elif name == "sheetData":
            self._inside = False
        elif name == "v":
            self._in_value = False
        elif name == "row":
            if self._row:
                self.rows.append(self._row)
            self._row = []
        else:
            self._inline.end(name)

    def text(self, data: str) -> None:
        if self._in_value:
            self._value.append(data)
            self._grow(len(data))
        elif self._type == "inlineStr":
            self._inline.text(data)

    def _end_cell(self) -> None:
        value = "".join(self._value)
        self._value.clear()
        cell: str | int = ""
        if self._type == "inlineStr":
            cell = self._inline.take()
            self._grow(len(cell))
        elif not value:
            return
        elif self._type == "s":
            cell = int(value)
            self._grow(self._texts.size(cell))
        elif self._type == "n":
            kind = self._styles[self._style] if self._style < len(self._styles) else _NUMBER
            cell = _number(value, kind, self._first_day)
        elif self._type == "b":
            cell = str(bool(int(value))).upper()
        elif self._type == "d":
            cell = _iso(value)
        else:
            cell = value
        if cell != "":
            if len(self._row) < self._column:
                self._row += [""] * (self._column - len(self._row))
            self._row[self._column - 1] = cell

    def _grow(self, size: int) -> None:
        self._size += size
        if self._size > LARGEST_RECORD_CHARACTERS:
            raise UnreadableError("a row is too long")


def _column(reference: str) -> int:
    """Return the number of the column, from 1, in a reference such as B7."""
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        raise UnreadableError(f"{reference[:20]!r} is not a cell")
    column = 0
    for letter in match[1].upper():
        column = 26 * column + ord(letter) - ord("A") + 1
    return column


def _kind_of(code: str) -> int:
    """Tell whether a number format shows a number, a date or time, or a duration."""
    code = code[:_LONGEST_FORMAT].partition(";")[0]
    if _DURATION.search(code):
        return _SPAN
    return _MOMENT if _DATE.search(_LITERAL.sub("", code)) else _NUMBER


def _number(text: str, kind: int, first_day: date) -> str:
    """Write a number as Excel shows it."""
    number = float(text) if set(text) & set(".eE") else int(text)
    if kind != _NUMBER:
        try:
            return _date(float(number), kind, first_day)
        except (OverflowError, ValueError):
            return "#VALUE!"
    if isinstance(number, float) and number.is_integer() and abs(number) < _LARGEST_WHOLE_FLOAT:
        number = int(number)
    return str(number)


def _date(number: float, kind: int, first_day: date) -> str:
    """Write a date or a time, which Excel counts in days, to the millisecond."""
    if kind == _SPAN:
        return str(
            timedelta(milliseconds=round(timedelta(days=number) / timedelta(milliseconds=1)))
        )
    days, rest = divmod(number, 1)
    passed = timedelta(milliseconds=round(rest * 86_400_000))
    if 0 <= number < 1 and not passed.days:
        return str((datetime.combine(first_day, time.min) + passed).time())
    if 0 < number < 60 and first_day.year < 1900:  # noqa: PLR2004 - Excel has a 29 February 1900
        days += 1
    moment = datetime.combine(first_day, time.min) + timedelta(days=days) + passed
    return str(moment.date() if moment.time() == time.min else moment)


def _iso(text: str) -> str:
    """Write a date that the file holds as text."""
    try:
        moment = datetime.fromisoformat(text.removesuffix("Z"))
    except ValueError:
        return text
    return str(moment.date() if moment.time() == time.min else moment)

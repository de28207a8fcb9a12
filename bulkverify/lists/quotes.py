"""Records with quotes that do not follow CSV.

`csv` reads well-formed records as they stand. Records with other quotes are first rewritten as CSV:

- A quote after a delimiter and blanks opens a cell, if it closes before a delimiter or the end of a line,
  and the cell is not longer than a spreadsheet allows.
- A backslash before a quote within a cell keeps the cell open. Both stay in the cell.
- A quote that opens a cell and does not close it before a delimiter or the end of the line is read as
  text. It is stray, and counted. If the line has a second quote, delimiters between the two still
  belong to the cell, as in `"Lima, Ana" <ana@example.com>`.
"""

import re
from collections.abc import Sequence
from enum import Enum, auto
from io import StringIO
from typing import Final

from bulkverify.lists.addresses import is_ordinary
from bulkverify.results.records import RecordError, TextRecords

_ESCAPED_QUOTE: Final = '\\"'
_LINE_END: Final = re.compile(r"\r\n?|\n")
_AFTER_QUOTE: Final = "expected after"  # what `csv` says of text behind a closing quote
_OPEN: Final = re.compile(r' *"(?:[^"]++|"")*+\Z')
_LONGEST_AFTER_BLANK: Final = 32_767
"""The characters of the longest cell in Excel. A stray quote after a blank hides no more text than this."""

_MOST_IN_A_CELL: Final = 2


class _Cell(Enum):
    UNCHANGED = auto()
    REWRITTEN = auto()
    STRAY = auto()


def swallowed_rows(
    record: Sequence[str], delimiter: str, width: int, column: int, *, spaced: bool
) -> int | None:
    """Return the place of a cell that looks like several rows, because a quote opens it by mistake.

    Args:
        record: as it was read.
        delimiter: between the cells of the list.
        width: how many columns the list has.
        column: the place of the column of addresses.
        spaced: whether a blank before a cell can be no part of it, as in `1, "a"`.
    """
    if width == 1:  # a cell may have two addresses, but hardly more
        lines = _LINE_END.split(record[0])
        return 0 if len(lines) > _MOST_IN_A_CELL and all(map(_is_address, lines)) else None
    spaced = spaced or any(cell[:1] == " " for cell in record)
    for place, cell in enumerate(record):
        lines = _LINE_END.split(cell)
        if len(lines) > 1:
            first, *full, last = (line.split(delimiter) for line in lines)
            closed = place - len(record) + width  # the column in which the quote closes
            if any(len(row) == width and _is_address(row[column]) for row in full) or (
                len(first) == width - place
                and len(last) == closed + 1
                and (spaced or not any(piece[:1] == " " for piece in (*first[1:], *last[1:])))
                and any(map(_is_address, (*first[column - place :][:1], *last[column:][:1])))
            ):
                return place
    return None


def _is_address(cell: str) -> bool:
    return is_ordinary(cell.strip())


class ListRecords(TextRecords):
    """Takes the text of a list in pieces of any size and gives its records, without empty lines.

    `stray` counts the records with stray quotes, and `stray_line` is the line of the first such quote.
    `stray_lines` covers the text that was read last. It maps the first line of a record to the line of
    its stray quote. `escapes` tells whether there was a backslash before a quote, and `spaced` whether a
    cell of several lines had blanks before its quote.
    """

    def __init__(self, delimiter: str = ",") -> None:
        super().__init__(delimiter, strict=True)
        self.stray: int = 0
        self.stray_line: int = 0
        self.stray_lines: dict[int, int] = {}
        self.escapes: bool = False
        self.spaced: bool = False
        self._at_end = False
        one = re.escape(delimiter)
        self._after_blank = (f'{delimiter} "', '\n "', '\r "')
        self._after_blanks = re.compile(rf'(?:\A|[{one}\r\n]) +"')
        end = rf"(?={one}|[\r\n]|\Z)"
        self._spaced = re.compile(rf' +"((?:[^"]++|"")*+)" *{end}')
        self._quoted = re.compile(rf'"((?:[^"]++|"")*+)"( *){end}')
        self._backslashed = re.compile(rf'"((?:[^"\\\r\n]++|\\.|"")*+)" *{end}', re.DOTALL)
        self._tailed = re.compile(rf'"(?:[^"\r\n]++|"")*+"[^"{one}\r\n]+{end}')
        self._wrapped = re.compile(rf'"([^{one}\r\n]*)" *{end}')
        self._delimiter_or_end = re.compile(rf"{one}|[\r\n]")

    @property
    def lines_read(self) -> int:
        """The number of lines, including empty ones, of the records that were given last."""
        return self._lines_in_text

    def finish(self) -> list[list[str]]:
        """Return the last record; a quote after a blank that is still open is stray."""
        self._at_end = True
        return super().finish()

    def _read(self, text: str) -> tuple[list[list[str]], int]:
        self.stray_lines = {}
        before = self.line - 1
        if '"' not in text:
            return super()._read(text)
        if not self._is_unusual(text):
            try:
                return super()._read(text)
            except RecordError as error:
                if _AFTER_QUOTE not in str(error):
                    raise
        written, end = self._mended(text, before)
        records, _ = super()._read(written)
        return records, end

    def _is_unusual(self, text: str) -> bool:
        # The pattern is as slow as reading, so it is used only if there are two blanks before a quote.
        return (
            any(sign in text for sign in self._after_blank)
            or text.startswith(' "')
            or ('  "' in text and self._after_blanks.search(text) is not None)
            or (self.escapes and _ESCAPED_QUOTE in text)
        )

    def _mended(self, text: str, before: int) -> tuple[str, int]:
        """Rewrite records with other quotes as CSV; return the complete records of the text, and where they end.

        Args:
            text: whole lines.
            before: how many lines come before them.
        """
        pieces: list[str] = []
        at = seen = 0
        for number, line in enumerate(StringIO(text, newline=""), start=before + 1):
            begin = seen
            seen += len(line)
            if begin < at:  # within a record that began on an earlier line
                continue
            if '"' in line:
                found = self._record(text, begin, number)
                if found is None:  # the text ends within the record
                    break
                written, at = found
                pieces.append(written)
            else:
                pieces.append(line)
                at = seen
        return "".join(pieces), at

    def _record(self, text: str, begin: int, line: int) -> tuple[str, int] | None:
        """Write a record as CSV, and return it with the place of its end; `None` if the text ends within it."""
        cells: list[str] = []
        stray: int | None = None
        unchanged = True
        at = begin
        while True:
            found = self._cell(text, at)
            if found is None:
                return None
            cell, end, kind = found
            if kind is _Cell.STRAY and stray is None:
                stray = line + text.count("\n", begin, at)
            unchanged = unchanged and kind is _Cell.UNCHANGED
            cells.append(cell.replace('"', '""'))
            at = end + 1
            if not text.startswith(self._delimiter, end):
                break
        if text.startswith("\r\n", end):
            at += 1
        if stray is not None:
            self.stray += 1
            self.stray_line = self.stray_line or stray
            self.stray_lines[line] = stray
        if unchanged:
            return text[begin:at], at
        joined = f'"{self._delimiter}"'.join(cells)
        return f'"{joined}"{text[end:at]}', at

    def _cell(self, text: str, at: int) -> "tuple[str, int, _Cell] | None":
        """Return a cell, its end and its kind; `None` if the text ends within it."""
        quoted = text.startswith('"', at)
        found = self._quoted_cell(text, at) if quoted else self._spaced_cell(text, at)
        if found:
            return found
        if _OPEN.match(text, at) and (quoted or self._may_close(text, at)):
            return None
        if quoted:
            if tailed := self._tailed.match(text, at):
                return tailed[0], tailed.end(), _Cell.STRAY
            if wrapped := self._wrapped.match(text, at):
                return _unquoted(wrapped), wrapped.end(), _Cell.STRAY
        end = self._end_of(text, at)
        cell = text[at:end]
        opened = cell.lstrip(" ").startswith('"') and (cell[0] == '"' or cell.count('"') % 2)
        return cell, end, _Cell.STRAY if opened else _Cell.UNCHANGED

    def _end_of(self, text: str, at: int) -> int:
        """Return where a cell without quotes around it ends."""
        found = self._delimiter_or_end.search(text, at)
        return found.start() if found else len(text)

    def _quoted_cell(self, text: str, at: int) -> "tuple[str, int, _Cell] | None":
        """Return a cell whose quotes are well-formed, with or without backslashes."""
        quoted = self._quoted.match(text, at)
        if self.escapes or not quoted:
            found = self._backslashed.match(text, at)
            if found and _ESCAPED_QUOTE in found[1]:
                self.escapes = True
                return _unquoted(found), found.end(), _Cell.REWRITTEN
        if not quoted:
            return None
        kind = _Cell.REWRITTEN if quoted[2] else _Cell.UNCHANGED
        return _unquoted(quoted) + quoted[2], quoted.end(), kind

    def _spaced_cell(self, text: str, at: int) -> "tuple[str, int, _Cell] | None":
        """Return a cell with well-formed quotes after blanks."""
        spaced = self._spaced.match(text, at)
        if spaced is None or len(spaced[1]) > _LONGEST_AFTER_BLANK:
            return None
        self.spaced = self.spaced or _LINE_END.search(spaced[1]) is not None
        return _unquoted(spaced), spaced.end(), _Cell.REWRITTEN

    def _may_close(self, text: str, at: int) -> bool:
        """Whether a quote after blanks, open so far, may close in text that is yet to come."""
        return not self._at_end and len(text) - at <= _LONGEST_AFTER_BLANK


def _unquoted(found: re.Match[str]) -> str:
    return found[1].replace('""', '"')

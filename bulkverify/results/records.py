"""Reads CSV records from a stream, exactly as `csv.reader` reads the whole file."""

import codecs
import csv
import re
from collections import deque
from collections.abc import Iterator
from io import StringIO
from itertools import chain, islice
from typing import Final

from bulkverify.errors import IncompleteDownloadError, ProtocolError, UsageError, clause

LARGEST_RECORD_CHARACTERS: Final = 4 * 1024 * 1024
"""Longer records are refused, to bound the memory."""

MOST_COLUMNS: Final = 20_000
"""More than any spreadsheet has."""

DEFAULT_ENCODING: Final = "utf-8-sig"
"""UTF-8 with or without a byte order mark."""

DOWNLOAD_INSTEAD: Final = (
    "Download the file with `download`, which does not parse it.",
    "Download the file with `bulkverify download`, which does not parse it.",
)
"""The hints of an error about results that can't be read."""

# A longer record is read again only after it has grown by an eighth. Otherwise a record in
# tiny pieces would be read again for each piece.
_LONG_RECORD_CHARACTERS: Final = 64 * 1024
_GROWTH: Final = 8

_EMPTY_LINE: Final = ("\n",)
_CUT_OFF: Final = "unexpected end of data"  # what `csv` says if it is strict

# A cell as `csv` reads it, and its end. A quote is special only at the beginning of a cell.
_CELL: Final = re.compile(r'(?:"([^"]*+(?:""[^"]*+)*+)"([^,\r\n]*+)|(?!")([^,\r\n]*+))(,|\r\n?|\n)')
_LINE_ENDS: Final = re.compile(r"[\r\n]*+")


class RecordError(csv.Error):
    """A record can't be read, or is too long. It begins on line `line`."""

    def __init__(self, message: str = "", *, line: int = 0) -> None:
        super().__init__(message)
        self.line = line


class TextRecords:
    """Splits the text of a CSV file, fed in pieces of any size, into records. Empty lines are skipped.

    A record is not a line, because a quoted cell may hold line ends. So `csv` reads the complete lines,
    and if they end inside a record, that record is read again with the next piece. `csv` keeps no state
    between records, so this is exact for any input.
    """

    def __init__(self, delimiter: str = ",", *, strict: bool = False) -> None:
        self._delimiter = delimiter
        self._strict = strict  # text behind a closing quote is an error
        self._rest = ""
        self._held: list[str] = []  # pieces that follow `_rest` and were not read yet
        self._held_size = 0
        self._text = ""
        self._given = ""  # the text of the records that were given last
        self._lines = 0  # lines before the last text that was read
        self._lines_in_text = 0

    @property
    def unfinished(self) -> bool:
        """Whether the last record is incomplete."""
        return bool(self._rest)

    @property
    def rest(self) -> str:
        """The text after the last complete record."""
        return self._rest + "".join(self._held)

    @property
    def line(self) -> int:
        """The number of the next line, from 1."""
        return self._lines + self._lines_in_text + 1

    def feed(self, piece: str) -> list[list[str]]:
        """Take the next piece and return the records that are now complete."""
        self._held.append(piece)
        self._held_size += len(piece)
        if (
            self._held_size * _GROWTH < len(self._rest) - _LONG_RECORD_CHARACTERS
            and self._held_size + len(self._rest) <= LARGEST_RECORD_CHARACTERS
        ):
            return []
        text = self._take()
        end = last_line_end(text)
        records, read = self._read(text[:end])
        self._given, self._rest = text[:read], text[read:]
        if len(self._rest) > LARGEST_RECORD_CHARACTERS:
            raise RecordError(
                f"a record of more than {LARGEST_RECORD_CHARACTERS:,} characters", line=self.line
            )
        return records

    def finish(self) -> list[list[str]]:
        """Return the last record, if the file did not end with a line end.

        A record is still `unfinished` afterwards if the file ends inside a quoted cell.
        """
        text = self._take()
        records, read = self._read(text)
        self._given, self._rest = text[:read], text[read:]
        return records

    def texts(self, count: int) -> list[str]:
        """Return the text of each record in the list of `count` records that was returned last.

        Line ends belong to the text, and so do empty lines before the next record.
        """
        lines = list(StringIO(self._given, newline=""))
        if len(lines) == count:
            return lines
        begins = [0, *islice(self._begins(), 1, count)]
        ends = [*begins[1:], len(lines)]
        return ["".join(lines[begin:end]) for begin, end in zip(begins, ends, strict=True)]

    def line_of(self, index: int) -> int:
        """Return the line on which a record begins. `index` is its place in the list that was returned last."""
        return self._lines + next(islice(self._begins(), index, None), 0) + 1

    def _begins(self) -> Iterator[int]:
        """Give the line on which each record begins, from 0 at the text that was read last."""
        reader = csv.reader(StringIO(self._text, newline=""), delimiter=self._delimiter)
        before = 0
        for record in reader:
            if record:
                yield before
            before = reader.line_num

    def _take(self) -> str:
        """Return `rest`, and empty it."""
        text = self.rest
        self._held.clear()
        self._held_size = 0
        return text

    def _read(self, text: str) -> tuple[list[list[str]], int]:
        """Return the complete records of whole lines, and the length of their text."""
        self._lines += self._lines_in_text
        self._text, self._lines_in_text = text, 0
        # The empty line becomes a record without cells, unless the text ends inside a quoted cell.
        reader = csv.reader(
            chain(StringIO(text, newline=""), _EMPTY_LINE),
            delimiter=self._delimiter,
            strict=self._strict,
        )
        records: list[list[str]] = []
        try:
            records.extend(reader)
            complete = not records.pop()
            problem = ""
        except csv.Error as error:
            complete = False
            problem = str(error)
        if complete:
            self._lines_in_text = reader.line_num - 1
            return list(filter(None, records)), len(text)
        if problem in {"", _CUT_OFF}:
            reader = csv.reader(StringIO(text, newline=""), delimiter=self._delimiter)
            deque(islice(reader, len(records)), maxlen=0)
            self._lines_in_text = reader.line_num
            lines = islice(StringIO(text, newline=""), reader.line_num)
            return list(filter(None, records)), sum(map(len, lines))
        raise self._locate(problem)

    def _locate(self, problem: str) -> RecordError:
        """Find the record that `csv` can't read."""
        reader = csv.reader(
            StringIO(self._text, newline=""), delimiter=self._delimiter, strict=self._strict
        )
        before = 0
        try:
            for _ in reader:
                before = reader.line_num
        except csv.Error:
            pass
        return RecordError(problem, line=self._lines + before + 1)


class _ResultRecords(TextRecords):
    """Also reads cells beyond the limit of `csv`, which is global."""

    def _read(self, text: str) -> tuple[list[list[str]], int]:
        try:
            return super()._read(text)
        except RecordError:
            return _read_long(text)


def _read_long(text: str) -> tuple[list[list[str]], int]:
    """Do the same as `_read`, with cells of any length."""
    records: list[list[str]] = []
    record: list[str] = []
    read = at = _skip_line_ends(text, 0)
    ended = text + "\n"
    while at < len(text) or record:
        cell = _CELL.match(ended, at)
        if cell is None:
            break
        quoted, tail, plain, end = cell.groups()
        record.append(plain if quoted is None else quoted.replace('""', '"') + tail)
        at = cell.end()
        if len(record) > MOST_COLUMNS:
            raise RecordError(f"a record of more than {MOST_COLUMNS:,} cells")
        if end != ",":
            records.append(record)
            record = []
            read = at = _skip_line_ends(text, at)
    return records, min(read, len(text))


def _skip_line_ends(text: str, at: int) -> int:
    found = _LINE_ENDS.match(text, at)
    return found.end() if found else at


def check_encoding(encoding: str) -> None:
    """Raise `UsageError` if there is no text encoding with this name."""
    try:
        "".encode(encoding)  # refuses codecs that are not for text, such as hex
        codecs.getincrementaldecoder(encoding)
    except (LookupError, TypeError, ValueError):  # ValueError: the name is malformed
        raise UsageError(f"There is no encoding {encoding!r}; try 'cp1252' or 'utf-8'.") from None


class RecordReader:
    """Splits a results file, fed in pieces of any size, into records. Empty lines are skipped."""

    def __init__(self, encoding: str = DEFAULT_ENCODING) -> None:
        check_encoding(encoding)
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._encoding = encoding
        self._records = _ResultRecords()

    def feed(self, piece: bytes) -> list[list[str]]:
        """Take the next piece and return the records that are now complete."""
        text = self._decode(piece)
        try:
            return self._records.feed(text)
        except RecordError as error:
            problem = error
        raise _unreadable(problem)

    def finish(self) -> list[list[str]]:
        """Return the last record, if the file did not end with a line end.

        The reader does not change, so more can be fed if the file turns out to have been cut off.
        """
        state = self._decoder.getstate()
        try:
            text = self._decode(b"", final=True)
        finally:
            self._decoder.setstate(state)
        ending = _ResultRecords()
        try:
            records = ending.feed(self._records.rest + text) + ending.finish()
        except RecordError as error:
            problem = error
        else:
            if ending.unfinished:
                raise IncompleteDownloadError(
                    "The results end inside a quoted cell: they were cut off. Download them again."
                )
            return records
        raise _unreadable(problem)

    def _decode(self, piece: bytes, *, final: bool = False) -> str:
        try:
            return self._decoder.decode(piece, final)
        except UnicodeDecodeError as error:
            problem = f"byte 0x{error.object[error.start]:02x}, {error.reason}"
        except UnicodeError as error:  # for example UTF-16 without a byte order mark
            problem = str(error)
        raise ProtocolError(f"The results are not {self._encoding} text ({problem}).").with_hint(
            'Pass the encoding of the uploaded list, as in `rows(encoding="cp1252")`.',
            "Download the file with `bulkverify download`, which does not parse it.",
        )


def last_line_end(text: str) -> int:
    """Return where the last complete line of a text ends, or 0."""
    end = text.rfind("\n") + 1
    # Without line feeds, carriage returns end lines. One at the end may be half of a CRLF.
    return end or text.rfind("\r", 0, max(0, len(text) - 1)) + 1


def _unreadable(error: RecordError) -> ProtocolError:
    return ProtocolError(f"The results can't be read: {clause(error)}.").with_hint(
        *DOWNLOAD_INSTEAD
    )

"""CSV records out of a stream of bytes, exactly as `csv.reader` would read the whole file."""

import codecs
import csv
from collections.abc import Iterator
from io import StringIO
from itertools import chain
from typing import Final

from bulkverify.errors import IncompleteDownloadError, ProtocolError, UsageError

LARGEST_RECORD_CHARACTERS: Final = 4 * 1024 * 1024
"""A record that is longer than this is refused rather than gathered in memory."""


class RecordReader:
    """Takes a CSV file in pieces of any size and gives its records, without the empty lines.

    A record is not a line, because a quoted cell may hold line ends. So the lines that are complete
    are given to `csv`, and when it runs out of them inside a record, that record waits for the next
    piece. Nothing carries over from one record to the next, which makes this exact for any input.
    """

    def __init__(self, encoding: str = "utf-8-sig") -> None:
        """Start at the beginning of a file.

        Args:
            encoding: of the bytes; the default is UTF-8 with or without a byte order mark.

        Raises:
            UsageError: there is no such encoding of text.
        """
        try:
            "".encode(encoding)  # a codec that is none of text, such as hex, is found out here
            self._decoder = codecs.getincrementaldecoder(encoding)()
        except LookupError:
            raise UsageError(
                f"There is no encoding {encoding!r}; try 'cp1252' or 'utf-8'."
            ) from None
        self._encoding = encoding
        self._rest = ""

    def feed(self, piece: bytes) -> list[list[str]]:
        """Take the next piece and return the records that are now complete."""
        text = self._rest + self._decode(piece)
        end = text.rfind("\n") + 1
        records, unfinished = _parse(text[:end])
        self._rest = unfinished + text[end:]
        if len(self._rest) > LARGEST_RECORD_CHARACTERS:
            raise ProtocolError(
                f"The results hold a record of more than {LARGEST_RECORD_CHARACTERS:,} characters. "
                "Download the file with `download`, which does not read it."
            )
        return records

    def finish(self) -> list[list[str]]:
        """Return the last record, if the file did not end with a line end.

        Raises:
            IncompleteDownloadError: the file ends inside a quoted cell.
        """
        text = self._rest + self._decode(b"", final=True)
        self._rest = ""
        records, unfinished = _parse(text)
        if unfinished:
            raise IncompleteDownloadError(
                "The results end inside a quoted cell: they were cut off. Download them again."
            )
        return records

    def _decode(self, piece: bytes, *, final: bool = False) -> str:
        try:
            return self._decoder.decode(piece, final)
        except UnicodeDecodeError as error:
            problem = f"byte 0x{error.object[error.start]:02x}, {error.reason}"
        except UnicodeError as error:  # as UTF-16 without its byte order mark
            problem = str(error)
        raise ProtocolError(
            f"The results are not {self._encoding} text ({problem}). Name the encoding of the "
            'list that was uploaded, as in `rows(encoding="cp1252")`.'
        )


def _parse(text: str) -> tuple[list[list[str]], str]:
    """Read whole lines; return the complete records, and the text of an unfinished one."""
    records: list[list[str]] = []
    ran_out = False

    def notice_the_end() -> Iterator[str]:
        nonlocal ran_out
        ran_out = True
        yield from ()

    reader = csv.reader(chain(StringIO(text, newline=""), notice_the_end()))
    lines_read = 0
    try:
        for record in reader:
            if ran_out:  # csv asked for one more line while it was inside this record
                lines = list(StringIO(text, newline=""))
                return records, "".join(lines[lines_read:])
            if record:
                records.append(record)
            lines_read = reader.line_num
    except csv.Error as error:
        problem = str(error)
    else:
        return records, ""
    raise ProtocolError(
        f"The results can't be read as CSV after {len(records)} more records: {problem}. "
        "Download the file with `download`, which does not read it."
    )

"""Text files with one address on each line."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import attrs

from bulkverify.errors import InvalidListError
from bulkverify.lists.cells import read_cell
from bulkverify.lists.columns import (
    SAMPLE_ROWS,
    find_column,
    sample_rows,
)
from bulkverify.lists.decoding import decoded, sample_of
from bulkverify.lists.delimited import DELIMITERS
from bulkverify.lists.lines_of_addresses import refuse_rows_of_addresses
from bulkverify.lists.naming import Rank, name_meaning
from bulkverify.lists.tables import Digest, FileTable
from bulkverify.results.records import LARGEST_RECORD_CHARACTERS, last_line_end


@attrs.frozen(kw_only=True)
class Lines(FileTable):
    """A file of addresses; `headed` tells whether its first line is the name of the column."""

    headed: bool

    def batches(self, digest: Digest | None = None) -> Iterator[list[list[str]]]:
        """Read the rows in order; quotes and commas are part of the text."""
        header = self.headed
        for lines in text_lines(self.path, self.encoding, self.title, digest):
            rows = [[line] for line in lines if line]
            if header and rows:
                del rows[0]
                header = False
            if rows:
                yield rows


def open_lines(path: Path, *, title: str, column: str | None, encoding: str) -> Lines:
    """Look at the beginning of a file of addresses."""
    beginning, encoding = sample_of(path, encoding, title)
    lines = chain.from_iterable(text_lines(path, encoding, title))
    sample = sample_rows(filter(None, lines), SAMPLE_ROWS + 1)
    if not sample:
        raise InvalidListError(f"{title} is empty: a list needs at least one address.")
    headed = name_meaning(sample[0]).rank is Rank.MAIN or sample[0].strip().lower() == "address"
    names = (sample.pop(0) if headed else "email",)
    if not sample:
        raise InvalidListError(f"{title} has a header and no rows: there is nothing to verify.")
    for delimiter in DELIMITERS:
        found = [
            line for line in sample if delimiter in line and not read_cell(line.strip()).address
        ]
        if len(found) > len(sample) / 2:
            refuse_rows_of_addresses(title, (line.split(delimiter) for line in found))
            raise InvalidListError(
                f"{title} has more than one cell on a line, with {delimiter!r} between them. "
                "Nothing was sent."
            ).with_hint(
                'If it is a table, say so with `format="csv"`.',
                "If it is a table, say so with --format csv.",
            )
    return Lines(
        title=title,
        names=names,
        column=find_column(title, names, [[line] for line in sample], column).column,
        newline="\r\n" if "\r\n" in beginning else "\n",
        path=path,
        encoding=encoding,
        headed=headed,
    )


def text_lines(
    path: Path, encoding: str, title: str, digest: Digest | None = None
) -> Iterator[list[str]]:
    """Read the lines of a file without their ends, many at a time.

    Lines end where editors end them; `str.splitlines` would also end them at U+2028 and others.
    """
    rest = ""
    count = 0
    for piece in decoded(path, encoding, title, digest):
        text = rest + piece
        end = last_line_end(text) if piece else len(text)
        rest = text[end:]
        if len(rest) > LARGEST_RECORD_CHARACTERS:
            raise InvalidListError(
                f"Line {count + 1:,} of {title} has more than {LARGEST_RECORD_CHARACTERS:,} characters. Nothing was sent."
            )
        lines = text[:end].replace("\r\n", "\n").replace("\r", "\n").split("\n")
        if not lines[-1]:  # nothing follows the last line end
            lines.pop()
        count += len(lines)
        if lines:
            yield lines

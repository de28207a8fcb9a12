"""Joins the verdicts to the rows of a list, with all of its columns."""

import csv
import hashlib
import json
import re
import sys
from array import array
from collections import Counter
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from io import StringIO
from itertools import compress
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal, TypeVar

import attrs

from bulkverify.errors import InvalidListError
from bulkverify.lists.addresses import is_ordinary
from bulkverify.lists.cells import CellExample, Examples, read_cell
from bulkverify.lists.layout import rows_path
from bulkverify.lists.matching import MISSING
from bulkverify.lists.moments import EPOCH, NEVER, moments
from bulkverify.lists.splitting import UNSENT, Split
from bulkverify.lists.stopping import checkpoint
from bulkverify.lists.tables import Table
from bulkverify.lists.tallies import Domains, Finding, count_domains, findings
from bulkverify.lists.verdict_columns import verdict_names
from bulkverify.lists.verdicts import FLAGS, VERDICT_COLUMNS, Verdicts, cells_of, is_wanted
from bulkverify.lists.workbook_output import rows_above, sheet_bytes, write_workbook
from bulkverify.models import Analysis, Verdict, VerdictCounts
from bulkverify.results.rows import unique_names

# These begin a formula, also as full-width characters. Spreadsheets skip a tab or a line end before them.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")

_EMPTY_OBJECT: Final = re.compile(r"^\{, ", re.MULTILINE)  # our members follow without a comma
_Row = TypeVar("_Row")


@attrs.frozen(kw_only=True)
class Joined:
    """The result of a join. `written` counts rows of the output; all other numbers count rows of the list."""

    rows: int
    written: int
    missing: int
    verdicts: VerdictCounts
    flags: Analysis
    examples: tuple[CellExample, ...] = ()
    findings: tuple[Finding, ...] = ()
    domains: Domains | None = None


@attrs.frozen(kw_only=True)
class JoinedRow:
    """A row of a list with its verdict. A flag is `None` if the results have no column for it."""

    row: int
    """The number of the row, from 1; in a workbook that of the sheet."""
    email: str
    """The address as it is sent, or the text of the cell if none is sent."""
    columns: Mapping[str, str]
    """All columns of the list by name, in their order."""
    verdict: Verdict | str | None
    """The verdict, a text if this version does not know it; `None` if the service returned none, or if it is unclear which address is meant."""
    syntax_error: bool | None = None
    """Whether the text is not an address."""
    common_isp: bool | None = None
    """Whether it is at a free provider, such as Gmail."""
    role_based: bool | None = None
    """Whether it belongs to a role, such as info@."""
    disposable: bool | None = None
    """Whether it is at a provider of short-lived mailboxes."""
    spamtrap: bool | None = None
    """Whether it exists to catch senders of spam."""
    verified_at: datetime | None = None
    """When it was verified, in UTC."""


def join(
    table: Table,
    split: Split,
    folder: Path,
    results: Mapping[int, Path],
    file: BinaryIO,
    *,
    format: Literal["csv", "tsv", "jsonl", "xlsx"] = "csv",  # noqa: A002 - the usual name
    only: Collection[Verdict] | None = None,
    without: Collection[str] = (),
    excel_safe: bool = False,
    domains: bool = False,
) -> Joined:
    """Write every row of a list with its verdict, in the order of the list.

    If the list has a column of the same name, ours is called `bulkverify_...`. A row without a verdict has
    empty cells in our columns.

    Args:
        table: the list.
        split: the result of `split`.
        folder: the folder that `split` wrote to.
        results: the downloaded results by the number of their part; rows of a missing part have no
            verdict.
        file: the output; text is UTF-8.
        format: of the output. CSV has the list's own delimiter and line ends, TSV has tabs. If the list
            and the output are JSON Lines, the values keep their types.
        only: leave out rows with another verdict or without one.
        without: leave out rows with one of these flags.
        excel_safe: put an apostrophe before formulas in CSV, see `harmless`.
        domains: count the rows of each domain, too.

    Raises:
        InvalidListError: the list is not the one that was split, or can't be read.
        ProtocolError: results can't be read.
        OSError: a file can't be read or written.
    """
    rows = _Rows(table, split, folder, results, only=only, without=without)
    if format == "xlsx":
        characters = sum(map(len, table.pieces()))  # no more than bytes
        columns = len(table.names) + len(VERDICT_COLUMNS)
        largest = sheet_bytes(split.rows, columns, characters)
        write_workbook(file, _cells_of(table, rows), largest_bytes=largest)
        return rows.joined(domains=domains)
    if format == "jsonl":
        chunks = _json_lines(table, rows)
    else:
        delimiter = "\t" if format == "tsv" else table.delimiter
        chunks = _csv(table, rows, delimiter, excel_safe=excel_safe)
    file.writelines(chunk.encode(errors="replace") for chunk in chunks)
    return rows.joined(domains=domains)


def joined_rows(
    table: Table,
    split: Split,
    folder: Path,
    results: Mapping[int, Path],
    *,
    only: Collection[Verdict] | None = None,
    without: Collection[str] = (),
) -> Generator[JoinedRow]:
    """Give every row of a list with its verdict, in the order of the list. Errors are as for `join`."""
    rows = _Rows(table, split, folder, results, only=only, without=without)
    names = unique_names(table.names)
    meanings: list[dict[str, Any]] = [
        {"verdict": None} if finding is None else dict(zip(VERDICT_COLUMNS, finding, strict=False))
        for finding in rows.findings
    ]
    for batch, codes, times, numbers in rows.with_verdicts(table.batches(rows.digest)):
        for row, code, time, number in zip(batch, codes, times, numbers, strict=True):
            yield JoinedRow(
                row=table.row_number(number),
                email=_address(row[table.column].strip()),
                columns=dict(zip(names, row, strict=True)),
                verified_at=None if time == NEVER else EPOCH + timedelta(milliseconds=time),
                **meanings[code],
            )


class _Rows:
    """Finds the verdicts of rows while they are read, and counts them."""

    def __init__(
        self,
        table: Table,
        split: Split,
        folder: Path,
        results: Mapping[int, Path],
        *,
        only: Collection[Verdict] | None,
        without: Collection[str],
    ) -> None:
        self.digest = hashlib.blake2b(digest_size=16)
        self._verdicts = Verdicts(split.addresses, split.reused.addresses)
        self._verdicts.take(split, folder, results)
        self.findings = self._verdicts.findings
        self._table = table
        self._split = split
        self._folder = folder
        self._wanted: list[bool] | None = None
        if only is not None or without:
            self._wanted = [is_wanted(finding, only, without) for finding in self.findings]
        self._counts: Counter[int] = Counter()
        self._written = 0
        self._examples = Examples()
        self._name = unique_names(table.names)[table.column]

    def with_verdicts(
        self, batches: Iterable[list[_Row]]
    ) -> Iterator[tuple[list[_Row], list[int], list[int], Sequence[int]]]:
        """Give the wanted rows, the codes and times of their verdicts, and their numbers."""
        code_of, time_of = self._verdicts.codes.__getitem__, self._verdicts.times.__getitem__
        done = 0
        with rows_path(self._folder).open("rb") as file:
            for batch in batches:
                checkpoint(len(batch))
                places = self._places(file, len(batch))
                self._note_examples(batch, places, done)
                codes = list(map(code_of, places))
                times = list(map(time_of, places))
                numbers: Sequence[int] = range(done + 1, done + len(batch) + 1)
                done += len(batch)
                self._counts.update(codes)
                kept = batch
                if self._wanted is not None:
                    keep = [self._wanted[code] for code in codes]
                    kept = list(compress(batch, keep))
                    codes, times, numbers = (
                        list(compress(one, keep)) for one in (codes, times, numbers)
                    )
                self._written += len(kept)
                yield kept, codes, times, numbers
        self.digest.update(self._table.described().encode())
        if self.digest.hexdigest() != self._split.content:
            raise self._changed()

    def joined(self, *, domains: bool) -> Joined:
        """Return the result of the join."""
        verdicts: Counter[Verdict | str] = Counter()
        flags: Counter[str] = Counter()
        for code, finding in enumerate(self.findings):
            if finding is not None:
                count = self._counts[code]
                verdict, *its_flags = finding
                verdicts[verdict] += count
                flags.update(
                    {name: count * bool(flag) for name, flag in zip(FLAGS, its_flags, strict=True)}
                )
        return Joined(
            rows=self._split.rows,
            written=self._written,
            missing=self._counts[MISSING],
            verdicts=VerdictCounts(
                **{verdict.name.lower(): verdicts[verdict] for verdict in Verdict}
            ),
            flags=Analysis(**{name: flags[name] for name in FLAGS}),
            examples=tuple(self._examples),
            findings=findings(self._verdicts, self._counts),
            domains=count_domains(self._split, self._folder, self._verdicts) if domains else None,
        )

    def _note_examples(self, batch: Sequence[object], places: "array[int]", before: int) -> None:
        for kind, code in UNSENT.items():
            if self._examples.wants(kind) and code in places:
                for index, place in enumerate(places):
                    if place == code:
                        self._examples.add(
                            self._table.row_number(before + index + 1),
                            kind,
                            self._cell(batch[index]),
                        )

    def _cell(self, row: object) -> str:
        """Return the address cell of a row, which may be a JSON object without its closing brace."""
        if isinstance(row, list):
            return str(row[self._table.column])
        text = f"{row}}}"
        cell = json.loads(text).get(self._name) or text  # the key may have another spelling here
        return cell if isinstance(cell, str) else json.dumps(cell, ensure_ascii=False)

    def _places(self, file: BinaryIO, count: int) -> "array[int]":
        data = file.read(4 * count)
        if len(data) != 4 * count:
            raise self._changed()
        places = array("i", data)
        if sys.byteorder == "big":
            places.byteswap()
        return places

    def _changed(self) -> InvalidListError:
        return InvalidListError(
            f"{self._table.title} has changed since it was split: its rows and verdicts no longer match. "
            "Nothing was written."
        )


def _csv(table: Table, rows: _Rows, delimiter: str, *, excel_safe: bool) -> Iterator[str]:
    """Write the rows as CSV, many at a time."""
    names = [*table.names, *verdict_names(table.names)]
    if excel_safe:
        names = harmless(names)
    if table.marked:
        yield "\ufeff"
    if table.preface:
        yield table.preface
    # Quotes keep a byte order mark in a name from being read as that of the file.
    yield csv_text([names], delimiter, table.newline, quoted=names[0].startswith("\ufeff"))
    cells = [cells_of(finding) for finding in rows.findings]
    ends = ["".join(f"{delimiter}{cell}" for cell in [*own, ""]) for own in cells]
    # Our cells never hold a delimiter other than these, but unknown verdicts may.
    plain = not (
        delimiter.isalnum()
        or delimiter in "_-:."
        or any(delimiter in cell for own in cells for cell in own)
    )
    for found, codes, times, _ in rows.with_verdicts(table.batches(rows.digest)):
        batch = list(map(harmless, found)) if excel_safe else found
        written = _as_in(table, csv_text(batch, delimiter, table.newline))
        lines = written.split(table.newline)
        if plain and len(lines) == len(batch) + 1:
            # Each row is one line, so our cells are added as text.
            texts = zip(lines, codes, moments(times), strict=False)
            joined = [f"{line}{ends[code]}{moment}" for line, code, moment in texts]
            yield table.newline.join([*joined, ""])
            continue
        for row, code, moment in zip(batch, codes, moments(times), strict=True):
            row += cells[code]  # noqa: PLW2901 - in place, on purpose
            row.append(moment)
        yield _as_in(table, csv_text(batch, delimiter, table.newline))


def _cells_of(table: Table, rows: _Rows) -> Iterator[list[list[str]]]:
    """Give the rows as cells, many at a time, the names of the columns first."""
    yield [*rows_above(table), [*table.names, *verdict_names(table.names)]]
    cells = [cells_of(finding) for finding in rows.findings]
    for found, codes, times, _ in rows.with_verdicts(table.batches(rows.digest)):
        yield [
            [*row, *cells[code], moment]
            for row, code, moment in zip(found, codes, moments(times), strict=True)
        ]


def _as_in(table: Table, text: str) -> str:
    """Write quotes within cells with a backslash, if the list does."""
    return text.replace('\\""', '\\"') if table.escapes else text


def csv_text(
    rows: Sequence[Sequence[str]], delimiter: str, newline: str, *, quoted: bool = False
) -> str:
    """Write rows as CSV, so that reading gives the same cells.

    Up to Python 3.12 `csv` writes a carriage return without quotes, unless it is part of the line ends,
    but reads it as a line end.
    """
    text = StringIO(newline="")
    csv.writer(
        text,
        delimiter=delimiter,
        lineterminator=newline,
        quoting=csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL,
    ).writerows(rows)
    written = text.getvalue()
    if quoted or newline == "\r\n" or "\r" not in written:
        return written
    if len(rows) == 1:
        return csv_text(rows, delimiter, newline, quoted=True)
    return "".join(csv_text([row], delimiter, newline) for row in rows)


def harmless(cells: Sequence[str]) -> list[str]:
    """Put an apostrophe before each cell that a spreadsheet would take for a formula."""
    return [f"'{cell}" if cell.startswith(_FORMULA) else cell for cell in cells]


def _address(cell: str) -> str:
    return cell if is_ordinary(cell) else (cell and read_cell(cell).address) or cell


def _json_lines(table: Table, rows: _Rows) -> Iterator[str]:
    """Write the rows as JSON Lines, many at a time."""
    encode = json.JSONEncoder(ensure_ascii=False).encode
    *ours, last = verdict_names(table.names)
    ends = []
    for finding in rows.findings:
        values = [None] * len(ours) if finding is None else finding
        members = encode(dict(zip(ours, values, strict=True)))[1:-1]
        ends.append(f", {members}, {encode(last)}: ")
    for batch, codes, times, _ in rows.with_verdicts(table.objects(rows.digest)):
        written = "".join(
            f'{text}{ends[code]}"{moment}"}}\n' if moment else f"{text}{ends[code]}null}}\n"
            for text, code, moment in zip(batch, codes, moments(times), strict=True)
        )
        yield _EMPTY_OBJECT.sub("{", written) if "{" in batch else written

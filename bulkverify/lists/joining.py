"""The verdicts joined back to every row of a list, with all of its columns."""

import csv
import json
import sys
from array import array
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from io import TextIOWrapper
from operator import itemgetter
from pathlib import Path
from typing import BinaryIO, Final, Literal, TextIO

import attrs

from bulkverify.errors import InvalidListError
from bulkverify.lists.splitting import Split, rows_path
from bulkverify.lists.tables import Table, unique
from bulkverify.lists.verdicts import NEVER, Finding, Verdicts
from bulkverify.models import Analysis, Verdict, VerdictCounts

VERDICT_COLUMNS: Final = (
    "verdict",
    "syntax_error",
    "common_isp",
    "role_based",
    "disposable",
    "spamtrap",
    "verified_at",
)
_FLAGS: Final = VERDICT_COLUMNS[1:-1]
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@attrs.frozen(kw_only=True)
class Joined:
    """What a join came to: all numbers but `written` count the rows of the list."""

    rows: int
    written: int
    missing: int
    verdicts: VerdictCounts
    flags: Analysis


@attrs.frozen(kw_only=True)
class JoinedRow:
    """A row of a list with its verdict, which is `None` where the service returned none.

    `row` counts from 1. `columns` are all of the list's, in their order.
    """

    row: int
    email: str
    columns: Mapping[str, str]
    verdict: Verdict | None
    syntax_error: bool | None = None
    common_isp: bool | None = None
    role_based: bool | None = None
    disposable: bool | None = None
    spamtrap: bool | None = None
    verified_at: datetime | None = None


def join(
    table: Table,
    split: Split,
    folder: Path,
    results: Mapping[int, Path],
    file: BinaryIO,
    *,
    format: Literal["csv", "jsonl"] = "csv",  # noqa: A002 - what everybody calls it
    only: Collection[Verdict] | None = None,
) -> Joined:
    """Write every row of a list with its verdict behind it."""
    verdicts = Verdicts(split)
    verdicts.take(split, folder, results)
    counts: Counter[int] = Counter()
    text = TextIOWrapper(file, encoding="utf-8", newline="")
    writer = csv.writer(text, delimiter=table.delimiter, lineterminator=table.newline)
    writer.writerow([*table.names, *verdict_names(table.names)])
    cells = [_cells(finding) for finding in verdicts.findings]
    written = 0
    wanted = [only is None or (f is not None and f.verdict in only) for f in verdicts.findings]
    for batch, numbers in _numbered(table, folder):
        codes = [verdicts.codes[number] for number in numbers]
        counts.update(codes)
        out = [
            [*row, *cells[code], moment(verdicts.times[number])]
            for row, code, number in zip(batch, codes, numbers, strict=True)
            if wanted[code]
        ]
        written += len(out)
        writer.writerows(out)
    text.flush()
    text.detach()
    return _joined(split, counts, written, verdicts.findings)


def joined_rows(
    table: Table,
    split: Split,
    folder: Path,
    results: Mapping[int, Path],
    *,
    only: Collection[Verdict] | None = None,
) -> Iterator[JoinedRow]:
    """Give every row of a list with its verdict, typed."""
    verdicts = Verdicts(split)
    verdicts.take(split, folder, results)
    names = unique(table.names)
    index = 0
    for batch, numbers in _numbered(table, folder):
        for row, number in zip(batch, numbers, strict=True):
            index += 1
            finding = verdicts.findings[verdicts.codes[number]]
            if only is not None and (finding is None or finding.verdict not in only):
                continue
            time = verdicts.times[number]
            yield JoinedRow(
                row=index,
                email=row[table.column].strip(),
                columns=dict(zip(names, row, strict=True)),
                verified_at=None if time == NEVER else _EPOCH + timedelta(milliseconds=time),
                **({"verdict": None} if finding is None else attrs.asdict(finding)),
            )


def verdict_names(names: Sequence[str]) -> list[str]:
    """Name the columns of ours so that none has the name of one of the list's."""
    taken = {name.strip().lower() for name in names}
    ours = []
    for name in VERDICT_COLUMNS:
        while name in taken:
            name = f"bulkverify_{name}"
        ours.append(name)
    return ours


def moment(time: int) -> str:
    """Write a time as the service does, or nothing if there is none."""
    if time == NEVER:
        return ""
    text = (_EPOCH + timedelta(milliseconds=time)).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def _numbered(table: Table, folder: Path) -> Iterator[tuple[list[list[str]], "array[int]"]]:
    with rows_path(folder).open("rb") as file:
        for batch in table.batches():
            numbers = array("I")
            numbers.frombytes(file.read(4 * len(batch)))
            if sys.byteorder == "big":
                numbers.byteswap()
            if len(numbers) < len(batch):
                raise InvalidListError(f"{table.title} has changed since it was split.")
            yield batch, numbers


def _cells(finding: Finding | None) -> list[str]:
    if finding is None:
        return [""] * (len(VERDICT_COLUMNS) - 1)
    flags = (getattr(finding, name) for name in _FLAGS)
    return [finding.verdict.value, *("" if flag is None else "NY"[flag] for flag in flags)]


def _joined(
    split: Split, counts: Counter[int], written: int, findings: Sequence[Finding | None]
) -> Joined:
    verdicts: Counter[str] = Counter()
    flags: Counter[str] = Counter()
    for code, finding in enumerate(findings):
        if finding is not None:
            verdicts[finding.verdict.value] += counts[code]
            flags.update({name: counts[code] for name in _FLAGS if getattr(finding, name)})
    return Joined(
        rows=split.rows,
        written=written,
        missing=counts[0],
        verdicts=VerdictCounts(**{verdict.value: verdicts[verdict.value] for verdict in Verdict}),
        flags=Analysis(**{name: flags[name] for name in _FLAGS}),
    )

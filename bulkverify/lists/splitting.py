"""Splits a list into parts that the service takes: each address once, and nothing but addresses."""

import hashlib
import sys
from array import array
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from itertools import count, islice
from operator import itemgetter
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import attrs

from bulkverify.errors import InvalidListError
from bulkverify.files import flush_to_disk
from bulkverify.limits import LARGEST_PART_BYTES, LONGEST_LIST_ROWS
from bulkverify.lists.addresses import keys_of
from bulkverify.lists.cells import CellKind, CellReader, Examples
from bulkverify.lists.columns import SAMPLE_ROWS, first_cells
from bulkverify.lists.distinct import Distinct
from bulkverify.lists.layout import (
    BLANK,
    FIRST_ADDRESS,
    INVALID,
    UNCLEAR,
    create,
    part_path,
    reused_path,
    rows_path,
)
from bulkverify.lists.parts import Part, Parts
from bulkverify.lists.stopping import checkpoint
from bulkverify.lists.tables import Digest, Table, digest_of, file_digest, uncalculated_error

UNSENT: Final = {CellKind.UNCLEAR: UNCLEAR, CellKind.INVALID: INVALID}
"""The codes of cells that are not sent."""

ONE_A_ROW: Final = ("Write each address in a row of its own, with nothing else in its cell.",) * 2
"""The hints about cells with several addresses."""


@attrs.frozen(kw_only=True)
class Reused:
    """The verdicts of earlier lists that are not bought again, and why others are."""

    addresses: int = 0
    """The distinct addresses with a verdict that is recent enough; none was sent, and each saved a credit."""
    average_age: float = 0.0
    """The seconds from their verdicts to the beginning of the call, on average."""
    expired: int = 0
    """The earlier verdicts on addresses of the list that are too old, even if a later one is reused."""
    undated: int = 0
    """The earlier verdicts without a time, or with one that can't be read."""
    future: int = 0
    """The earlier verdicts with a time after the beginning of the call."""


@attrs.frozen(kw_only=True)
class Split:
    """The result of a split.

    Of the `rows`, `duplicates` repeat the address of an earlier row, `blank` have no address, `invalid`
    have a text that can't be one, and `unclear` have several. Only the distinct `addresses` are sent.
    `unwrapped` rows have other text around the address. `short` rows had too few cells, and got empty
    ones. `stray` rows have a quote that opens a cell and does not close it. `content` is a digest of the
    list, `fingerprint` one of the list and the options of the split, and `codes` one of `rows.bin`.
    Addresses that were `reused` are not among those that are sent; `reused_digest` is that of their file.
    """

    rows: int
    addresses: int
    duplicates: int
    blank: int
    invalid: int
    parts: tuple[Part, ...]
    content: str
    fingerprint: str
    short: int = 0
    codes: str = ""
    unclear: int = 0
    unwrapped: int = 0
    stray: int = 0
    stray_at: str = attrs.field(default="", eq=False)  # it has the path, in any spelling
    reused: Reused = attrs.field(factory=Reused)
    reused_digest: str = ""


def fingerprint(
    table: Table,
    *,
    largest_rows: int = LONGEST_LIST_ROWS,
    largest_bytes: int = LARGEST_PART_BYTES,
    judge: bool = True,
    deduplicate: bool = True,
    max_ages: Mapping[str, float] | None = None,
) -> str:
    """Return the fingerprint that `split` would give, at a gigabyte a second."""
    return _fingerprint(digest_of(table), max_ages, largest_rows, largest_bytes, judge, deduplicate)


def _fingerprint(content: str, max_ages: Mapping[str, float] | None, *options: int) -> str:
    reuse = () if max_ages is None else (sorted(max_ages.items()),)
    return hashlib.blake2b(repr((content, *options, *reuse)).encode(), digest_size=16).hexdigest()


class Numbered(NamedTuple):
    """Rows of a list: their codes in `rows.bin`, and the addresses to send with the rows that they first appear in."""

    codes: "array[int]"
    fresh: list[str]
    rows: list[int]


class Sieve(Protocol):
    """Takes out the addresses with an earlier verdict, and writes these verdicts into the folder."""

    @property
    def max_ages(self) -> Mapping[str, float]:
        """How old a verdict may be, in seconds; others count for nothing."""
        ...

    @property
    def reused(self) -> Reused:
        """What was taken out."""
        ...

    @property
    def digest(self) -> str:
        """The digest of the file with the verdicts."""
        ...

    def sift(
        self, numbered: Iterator[Numbered], distinct: Distinct, table: Table, folder: Path
    ) -> Generator[Numbered]:
        """Give the rows of a list again, once all have been read; its keys are in `distinct`."""
        ...


def split(
    table: Table,
    folder: Path,
    *,
    largest_rows: int = LONGEST_LIST_ROWS,
    largest_bytes: int = LARGEST_PART_BYTES,
    judge: bool = True,
    deduplicate: bool = True,
    examples: Examples | None = None,
    sieve: Sieve | None = None,
) -> Split:
    """Write the addresses of a list as parts, and note the address of each row.

    A part is a CSV file with a header and one address on each line. `rows.bin` has four bytes for each
    row (see `BLANK`). Addresses are numbered as they first appear, so a part holds consecutive ones.

    Args:
        table: the list.
        folder: gets the files; those of an earlier try are replaced.
        largest_rows: the most rows of a part, without its header. With 2, the last part can have 3, so
            that it never has a single row.
        largest_bytes: the most bytes of a part.
        judge: leave out cells that can't be addresses.
        deduplicate: leave out addresses of earlier rows.
        examples: gets the first cells that are not just an address.
        sieve: takes out the addresses with an earlier verdict.

    Raises:
        InvalidListError: the list can't be read, or has no addresses at all.
        OSError: a file can't be read or written.
    """
    digest = hashlib.blake2b(digest_size=16)
    codes_digest = hashlib.blake2b(digest_size=16)
    distinct = Distinct() if deduplicate or sieve is not None else None
    rows = addresses = blank = 0
    examples = examples or Examples()
    reader = CellReader(examples, judge=judge, row_number=table.row_number)
    numbered = _numbered(table, digest, reader, distinct, every=not deduplicate)
    if sieve is not None and distinct is not None:
        numbered = sieve.sift(numbered, distinct, table, folder)
    parts = Parts(folder, largest_rows, largest_bytes, table.row_number)
    with closing(numbered), create(rows_path(folder)) as file, parts:
        for codes, fresh, fresh_rows in numbered:
            rows += len(codes)
            blank += codes.count(BLANK)
            addresses += len(fresh)
            data = _little_endian(codes)
            codes_digest.update(data)
            file.write(data)
            parts.add(fresh, fresh_rows)
        flush_to_disk(file)
    for number in count(len(parts.done) + 1):
        if not (stale := part_path(folder, number)).exists():
            break
        stale.unlink()
    digest.update(table.described().encode())
    invalid, unclear = reader.counts[CellKind.INVALID], reader.counts[CellKind.UNCLEAR]
    reused = Reused() if sieve is None else sieve.reused
    if not addresses + reused.addresses:
        raise _without_addresses(table, unclear, examples)
    content = digest.hexdigest()
    return Split(
        rows=rows,
        addresses=addresses,
        duplicates=rows - addresses - reused.addresses - blank - invalid - unclear,
        blank=blank,
        invalid=invalid,
        parts=tuple(parts.done),
        content=content,
        fingerprint=_fingerprint(
            content,
            None if sieve is None else sieve.max_ages,
            *(largest_rows, largest_bytes, judge, deduplicate),
        ),
        short=table.short,
        codes=codes_digest.hexdigest(),
        unclear=unclear,
        unwrapped=reader.counts[CellKind.UNWRAPPED],
        stray=table.stray,
        stray_at=table.stray_at,
        reused=reused,
        reused_digest="" if sieve is None else sieve.digest,
    )


def _numbered(
    table: Table, digest: Digest, reader: CellReader, distinct: Distinct | None, *, every: bool
) -> Generator[Numbered]:
    """Number the addresses of a list; `every` row has one to send, not only the first with an address."""
    pick = itemgetter(table.column)
    rows = addresses = 0
    for batch in table.batches(digest):
        checkpoint(len(batch))
        cells = list(map(str.strip, map(pick, batch)))
        unsent = reader.read(cells, rows)
        keys = keys_of(cells)
        sent = list(filter(None, keys))
        numbers = iter(
            range(addresses, addresses + len(sent)) if distinct is None else distinct.number(sent)
        )
        codes = array("i")
        add = codes.append
        fresh: list[str] = []
        fresh_rows: list[int] = []
        for place, key in enumerate(keys):
            if key:
                number = next(numbers)
                add(number + FIRST_ADDRESS)
                if number == addresses or every:
                    addresses += number == addresses
                    fresh.append(cells[place])
                    fresh_rows.append(rows + place + 1)
            else:
                add(UNSENT[unsent[place]] if place in unsent else BLANK)
        rows += len(batch)
        yield Numbered(codes, fresh, fresh_rows)


def find_examples(table: Table, split: Split, examples: Examples, *, judge: bool = True) -> None:
    """Add the first cells that are not just an address, for a list that was split earlier."""
    reader = CellReader(examples, judge=judge)
    counts = {
        CellKind.UNWRAPPED: split.unwrapped,
        CellKind.UNCLEAR: split.unclear,
        CellKind.INVALID: split.invalid,
    }
    rows = 0
    for batch in table.batches():
        checkpoint(len(batch))
        left = [kind for kind, count in counts.items() if reader.counts[kind] < count]
        if not any(map(examples.wants, left)):
            return
        reader.read([row[table.column].strip() for row in batch], rows)
        rows += len(batch)


def _without_addresses(table: Table, unclear: int, examples: Examples) -> InvalidListError:
    name = table.names[table.column]
    if not unclear and table.sheet and (found := table.sheet.uncalculated.get(table.column)):
        return uncalculated_error(table.title, found, name)
    if not unclear:
        cells = first_cells([[row[table.column]] for row in islice(table.rows(), SAMPLE_ROWS)])
        return InvalidListError(
            f"{table.title} has no addresses in its column {name!r}: there is nothing to verify. "
            f"The column begins with {cells}. Nothing was sent."
        ).with_hint("Name the right one with `column`.", "Name the right one with --column.")
    shown = next(one for one in examples if one.kind is CellKind.UNCLEAR)
    return InvalidListError(
        f"{table.title} has no row with a single address: {unclear:,} cells of its column {name!r} have several, "
        f"or one among other words, such as row {shown.row:,}: {shown.cell!r}. Nothing was sent."
    ).with_hint(*ONE_A_ROW)


def is_intact(folder: Path, split: Split) -> bool:
    """Whether all files that `split` has written are there and unchanged."""
    return (
        file_digest(rows_path(folder)) == split.codes
        and has_reused(folder, split)
        and all(file_digest(part_path(folder, part.number)) == part.digest for part in split.parts)
    )


def has_reused(folder: Path, split: Split) -> bool:
    """Whether the earlier verdicts that `split` has written are there and unchanged."""
    return not split.reused_digest or file_digest(reused_path(folder)) == split.reused_digest


def _little_endian(codes: "array[int]") -> bytes:
    if sys.byteorder == "big":
        codes.byteswap()
    return codes.tobytes()

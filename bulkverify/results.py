"""A results file as typed rows: columns are found by name, wherever a vendor puts them."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from bulkverify.csvstream import RecordReader
from bulkverify.errors import ProtocolError
from bulkverify.models import ResultRow, parse_flag, parse_timestamp, parse_verdict

_VERDICT: Final = "verificationresult"
_VERIFIED_AT: Final = "verifiedat"
_FLAGS: Final = {
    "syntaxerror": "syntax_error",
    "isp": "common_isp",
    "role": "role_based",
    "disposable": "disposable",
    "trap": "spamtrap",
}
# Some accounts get a column of this name; the verdict says the same.
_REDUNDANT: Final = "acceptall"
_SAMPLE_ROWS: Final = 100
_ADDRESS_NAMES: Final = ("email", "emailaddress", "mail", "address")


class ResultsReader:
    """Takes a results file in pieces of any size and gives its rows; `count` is how many so far."""

    def __init__(self, encoding: str = "utf-8-sig") -> None:
        """Start at the beginning of a file."""
        self._records = RecordReader(encoding)
        self._rows: RowReader | None = None
        self._held: list[list[str]] = []

    @property
    def count(self) -> int:
        """How many rows have been given."""
        return self._rows.count if self._rows else 0

    def feed(self, piece: bytes) -> Iterator[ResultRow]:
        """Take the next piece and give the rows that are now complete."""
        records = self._records.feed(piece)
        if self._rows is None and records:
            self._rows = RowReader(records.pop(0))
        if self._rows is None or self._rows.knows_address:
            return self._rows.rows(records) if self._rows else iter(())
        # Which column has the addresses is found out from the first rows, however they arrive.
        self._held += records
        return self._let_go() if len(self._held) >= _SAMPLE_ROWS else iter(())

    def finish(self) -> Iterator[ResultRow]:
        """Give the last row, if the file did not end with a line end."""
        self._held += self._records.finish()
        if self._rows is None and self._held:
            self._rows = RowReader(self._held.pop(0))
        return self._let_go()

    def _let_go(self) -> Iterator[ResultRow]:
        held, self._held = self._held, []
        return self._rows.rows(held) if self._rows else iter(())


class RowReader:
    """Turns the records of one results file into rows; the header says which column is which.

    The list's own columns may bear names of the service's (a list can have a `Role` of its own): the
    service appends its columns, so the last of a name is the service's.
    """

    def __init__(self, header: Sequence[str]) -> None:
        """Read the header.

        Raises:
            ProtocolError: there is no verdict column.
        """
        last = {_fold(name): index for index, name in enumerate(header)}
        verdict = last.get(_VERDICT)
        if verdict is None:
            raise ProtocolError(
                "The results have no column `Verification Result`, but "
                f"{', '.join(repr(name[:40]) for name in header[:20])}.",
                path="Verification Result",
            )
        self._verdict = verdict
        self._verified_at = last.get(_VERIFIED_AT)
        self._flags = [(name, last.get(folded)) for folded, name in _FLAGS.items()]
        services = {verdict, self._verified_at, last.get(_REDUNDANT)} | {
            index for _, index in self._flags
        }
        own = [index for index in range(len(header)) if index not in services]
        self._own = list(zip(_unique([header[index] for index in own]), own, strict=True))
        self._address = next(
            (index for name in _ADDRESS_NAMES for index in own if _fold(header[index]) == name),
            None,
        )
        self._names = tuple(header)
        self.count = 0

    @property
    def knows_address(self) -> bool:
        """Whether it is known which column has the addresses."""
        return self._address is not None

    def rows(self, records: Sequence[Sequence[str]]) -> Iterator[ResultRow]:
        """Give one row a record.

        Raises:
            ProtocolError: a cell does not fit, naming its row and column.
        """
        if self._address is None and records:
            self._address = self._find_address(records[:_SAMPLE_ROWS])
        for record in records:
            self.count += 1
            if len(record) != len(self._names):
                raise ProtocolError(
                    f"Row {self.count} of the results has {len(record)} cells where the header has {len(self._names)}. "
                    "Download the file with `download` to look at it.",
                    path=f"row {self.count}",
                )
            yield self._row(record, self._address or 0)

    def _row(self, record: Sequence[str], address: int) -> ResultRow:
        verified_at = "" if self._verified_at is None else record[self._verified_at].strip()
        try:
            column = "Verification Result"
            verdict = parse_verdict(record[self._verdict])
            flags: dict[str, bool | None] = {}
            for name, index in self._flags:
                if index is None:
                    flags[name] = None
                else:
                    column = self._names[index]
                    flags[name] = parse_flag(record[index])
            column = "Verified At"
            moment = parse_timestamp(verified_at) if verified_at else None
        except ValueError as error:
            problem = str(error)
        else:
            return ResultRow(
                email=record[address],
                verdict=verdict,
                verified_at=moment,
                columns={name: record[index] for name, index in self._own if index != address},
                **flags,
            )
        raise ProtocolError(
            f"Row {self.count} of the results does not fit at `{column}`: {problem}.", path=column
        )

    def _find_address(self, sample: Sequence[Sequence[str]]) -> int:
        """Find the addresses of a list whose header does not name them, as in `col0`, `col1`, ..."""
        if not self._own:
            raise ProtocolError(
                "The results have no column of addresses beside the verdicts.", path="Email"
            )
        return max(
            (index for _, index in self._own),
            key=lambda index: sum(len(row) > index and "@" in row[index] for row in sample),
        )


def _fold(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name).lower()


def _unique(names: Iterable[str]) -> list[str]:
    """Number the repetitions of a name, so that no column of a list hides another."""
    taken: dict[str, None] = {}
    for name in names:
        candidate, number = name, 1
        while candidate in taken:
            number += 1
            candidate = f"{name}_{number}"
        taken[candidate] = None
    return list(taken)

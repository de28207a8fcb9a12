"""The results of a list as CSV: the columns of the list, then those of the service."""

import csv
import io
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import datetime
from itertools import islice
from types import MappingProxyType
from typing import Final, Literal

import attrs

from bulkverify.models import Verdict
from bulkverify.sandbox.clock import iso_text
from bulkverify.sandbox.jobs import Job
from bulkverify.sandbox.verdicts import Flag

Vendor = Literal["bouncify", "validto"]
"""The vendors, which order the columns differently."""

_FLAGS: Final = (
    ("Syntax Error", Flag.SYNTAX_ERROR),
    ("ISP", Flag.ISP),
    ("Role", Flag.ROLE),
    ("Disposable", Flag.DISPOSABLE),
    ("Trap", Flag.TRAP),
)
_FLAG_NAMES: Final = tuple(name for name, _ in _FLAGS)

COLUMNS: Final[Mapping[Vendor, tuple[str, ...]]] = MappingProxyType(
    {
        "bouncify": ("Verification Result", *_FLAG_NAMES, "Verified At"),
        "validto": ("Verification Result", "Verified At", *_FLAG_NAMES),
    }
)
"""The columns that the service adds, in the order of each vendor."""

ROWS_PER_CHUNK: Final = 1000
_CELLS: Final = tuple(
    tuple("Y" if flag & value else "N" for _, flag in _FLAGS) for value in range(2 * Flag.TRAP)
)


@attrs.frozen(kw_only=True)
class Results:
    """The results of a completed list. `at` turns a time into a date; a fault lowers `share`."""

    job: Job
    vendor: Vendor
    at: Callable[[float], datetime]
    wanted: Collection[Verdict]
    share: float = 1.0

    def chunks(self) -> Iterator[bytes]:
        """Yield the header, then the wanted ones of each thousand rows; a chunk may be empty."""
        job = self.job
        yield _text([[*job.addresses.header, *COLUMNS[self.vendor]]])
        every = enumerate(zip(job.addresses.rows(), job.addresses.findings(), strict=True))
        found = islice(every, int(job.total * self.share))
        while part := list(islice(found, ROWS_PER_CHUNK)):
            rows = []
            for place, (row, (verdict, flags)) in part:
                if verdict in self.wanted:
                    when = iso_text(self.at(job.verified_at(place)))
                    cells = _CELLS[flags]
                    bouncify = self.vendor == "bouncify"
                    own = (verdict, *cells, when) if bouncify else (verdict, when, *cells)
                    rows.append([*row, *own])
            yield _text(rows)


def _text(rows: Iterable[Iterable[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()

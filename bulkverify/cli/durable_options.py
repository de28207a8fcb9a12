"""Options of the commands for durable runs: the database, and how a list is verified."""

import os
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import attrs
from cyclopts import Group, Parameter

from bulkverify.cli.options import Format, Only, Timeout, Without
from bulkverify.errors import UsageError
from bulkverify.limits import DEFAULT_TIMEOUT, LONGEST_LIST_ROWS

if TYPE_CHECKING:
    from bulkverify.durable import Engine

VARIABLE: Final = "BULKVERIFY_DATABASE"
SAME_DATABASE: Final = {"--database": True}
"""The option that commands for the same runs share; see `Recovery.other`."""

_DATABASE: Final = Group("Database", sort_key=10)
_READING: Final = Group("How to read the list", sort_key=2)


@Parameter(name="*", group=_DATABASE)
@attrs.frozen(kw_only=True)
class RunDatabase:
    """The database of durable runs."""

    database: Annotated[str | None, Parameter(metavar="URL")] = None
    """The database of the runs: sqlite:///PATH on one machine, or postgresql://USER@HOST/NAME. By default \
BULKVERIFY_DATABASE, where a password can't be seen by other users."""

    @property
    def url(self) -> str:
        """The URL, which may have a password.

        Raises:
            UsageError: there is none.
        """
        url = self.database or os.environ.get(VARIABLE, "").strip()
        if not url:
            raise UsageError(
                f"There is no database: set {VARIABLE}, or name one with --database, such as sqlite:///runs.db."
            )
        return url

    @asynccontextmanager
    async def open(self, *, new: bool = False) -> AsyncIterator["Engine"]:
        """Open the database without taking work. Only a `new` file of SQLite may be made.

        Raises:
            UsageError: it can't be used, or the extra is missing.
        """
        with usable(self.url):
            from bulkverify.durable import Engine  # noqa: PLC0415 - slow, and an extra

            engine = Engine(self.url, work=False)
            if not new:
                _require_file(self.url)
            async with engine:
                yield engine


DATABASE: Final = RunDatabase()


@Parameter(name="*")
@attrs.frozen(kw_only=True)
class ListOptions:
    """How a list is verified; see `verify`."""

    only: Only = None
    """Write only the rows with one of these verdicts, such as deliverable,accept-all."""

    without: Without = None
    """Leave out the rows with one of these flags, such as disposable,role-based,spamtrap."""

    max_credits: Annotated[int | None, Parameter(metavar="N")] = None
    """Refuse to spend more credits than this."""

    force: bool = False
    """Replace OUT if it exists."""

    excel_safe: bool = False
    """Put an apostrophe before each cell that a spreadsheet would take for a formula (CSV only)."""

    restart: bool = False
    """Start over. Addresses that an earlier run paid for are paid for again."""

    delete: bool = False
    """Delete the lists from the service when OUT is complete."""

    send_duplicates: bool = False
    """Send and pay for an address once for each of its rows."""

    send_invalid: bool = False
    """Also send and pay for text that can't be an address."""

    largest_part: Annotated[int, Parameter(metavar="N")] = LONGEST_LIST_ROWS
    """Send at most this many addresses in one list."""

    timeout: Timeout = DEFAULT_TIMEOUT
    """Give up a part when one of its waits takes longer than this, such as 90, 90s, 15m or 6h."""

    column: Annotated[str | None, Parameter(group=_READING, metavar="NAME")] = None
    """The name of the address column, or its place, such as 3. Found automatically by default."""

    header_row: Annotated[int | None, Parameter(group=_READING, metavar="N")] = None
    """The number of the header row, from 1; 0 if there is no header. Found automatically by default."""

    sheet: Annotated[str | None, Parameter(group=_READING, metavar="NAME")] = None
    """The sheet of a workbook. By default the first that has addresses and is not hidden."""

    delimiter: Annotated[str | None, Parameter(group=_READING, metavar="CHAR")] = None
    """The character between two cells. Found automatically by default."""

    encoding: Annotated[str, Parameter(group=_READING)] = "utf-8-sig"
    """The encoding of the list, such as cp1252."""

    format_: Annotated[Format | None, Parameter(name="--format", group=_READING)] = None
    """The format of the list, if the file's name does not show it."""

    def of_reading(self) -> dict[str, Any]:
        """Return the options of `plan_list`."""
        return {
            "column": self.column,
            "header_row": self.header_row,
            "sheet": self.sheet,
            "delimiter": self.delimiter,
            "encoding": self.encoding,
            "format": self.format_,
            "judge": not self.send_invalid,
            "deduplicate": not self.send_duplicates,
            "largest_part": self.largest_part,
        }

    def of_run(self) -> dict[str, Any]:
        """Return the options of `Engine.submit`."""
        return {
            **self.of_reading(),
            "max_credits": self.max_credits,
            "only": self.only,
            "without": self.without or (),
            "overwrite": self.force,
            "excel_safe": self.excel_safe,
            "restart": self.restart,
            "delete": self.delete,
            "timeout": self.timeout,
        }


OPTIONS: Final = ListOptions()


def require_files(sources: Iterable[str | Path]) -> None:
    """Refuse a list that is not there, because workers would wait for it; of URLs only they know."""
    for path in sources:
        if "://" not in str(path):
            Path(path).open("rb").close()


@contextmanager
def usable(url: str) -> Iterator[None]:
    """Say what is wrong with a database, or with the installation, while the block runs."""
    try:
        import bulkverify.durable  # noqa: F401, PLC0415 - slow, and an extra
    except ImportError as error:
        raise UsageError(str(error)) from None
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415 - likewise

    from bulkverify.durable.database import reason  # noqa: PLC0415 - likewise

    try:
        yield
    except SQLAlchemyError as error:
        raise UsageError(f"The database {shown(url)} can't be used: {reason(error)}") from None


def shown(url: str) -> str:
    """Return the URL of a database that was opened, without its password and options."""
    from sqlalchemy import make_url  # noqa: PLC0415 - slow, and an extra

    return make_url(url).set(password=None, query={}).render_as_string()


def is_sqlite(url: str) -> bool:
    """Whether a database is a file on this machine."""
    return url.partition(":")[0].partition("+")[0] == "sqlite"


def _require_file(url: str) -> None:
    from sqlalchemy import make_url  # noqa: PLC0415 - slow, and an extra

    name = make_url(url).database
    if is_sqlite(url) and name is not None and not Path(name).exists():
        raise UsageError(f"There is no database {name}: `bulkverify submit` makes it.")

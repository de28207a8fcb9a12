"""A list, wherever it is and whatever it is: found out how to read it."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeAlias

from bulkverify.errors import UsageError
from bulkverify.lists.decoding import DEFAULT_ENCODING, check_encoding
from bulkverify.lists.delimited import open_delimited
from bulkverify.lists.tables import Table

ListFormat: TypeAlias = Literal["csv", "tsv", "txt", "jsonl", "xlsx"]
"""How a list is written."""

ListSource: TypeAlias = (
    str
    | os.PathLike[str]
    | Sequence[os.PathLike[str]]
    | Iterable[str]
    | Iterable[Mapping[str, object]]
)
"""A path, several paths (as one list), addresses, or rows by the names of their columns."""


def open_table(
    source: ListSource,
    *,
    column: str | None = None,
    delimiter: str | None = None,
    encoding: str = DEFAULT_ENCODING,
    format: ListFormat | None = None,  # noqa: A002 - what everybody calls it
    spool: Path,
) -> Table:
    """Look at the beginning of a list and find out how to read it."""
    check_encoding(encoding)
    if not isinstance(source, str | os.PathLike):
        raise UsageError("not yet")
    path = Path(source)
    return open_delimited(
        path, title=str(path), column=column, delimiter=delimiter, encoding=encoding
    )

"""Reads and checks a list before it is uploaded."""

import asyncio
import os
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Final, TypeAlias

from bulkverify.errors import InvalidListError, UsageError
from bulkverify.limits import LARGEST_LIST_BYTES, LONGEST_LIST_ROWS
from bulkverify.models import Acknowledgement
from bulkverify.service import calls as wire
from bulkverify.service.answers import printable
from bulkverify.service.counting import RecordCounter, first_record

UploadSource: TypeAlias = (
    str | os.PathLike[str] | bytes | bytearray | Iterable[str] | Iterable[Mapping[str, object]]
)
"""A path, the content of a CSV file, addresses, or rows that have their address under `email`."""

_DEFAULT_NAME: Final = "list.csv"

_SLICE_ROWS: Final = 1_000
"""How many rows are read before other tasks run again. Reading them takes a few milliseconds."""


async def prepare(
    source: UploadSource, *, auto_verify: bool, title: str | None
) -> wire.Call[Acknowledgement]:
    """Read a list and return the call that uploads it. It raises as `Client.upload` does.

    Files are read in another thread. Iterables may run the caller's code, and are read in the caller's
    thread. Other tasks run in between.
    """
    if isinstance(source, str) and ("\n" in source or "\r" in source):
        raise UsageError("A str must be the path of a list, not its content.").with_hint(
            "Pass the content of a CSV file as bytes: `text.encode()`.",
            "Write the list to a file, and name that.",
        )
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        content = await asyncio.to_thread(_read_file, path)
        name = _as_csv(title or path.name)
        return wire.upload_file(content, name, auto_verify=auto_verify)
    if isinstance(source, bytes | bytearray):
        content = bytes(source)
        await asyncio.to_thread(check_content, content, title or "The list")
        return wire.upload_file(content, _as_csv(title or _DEFAULT_NAME), auto_verify=auto_verify)
    return wire.upload_rows(await _encode_rows(source), auto_verify=auto_verify, title=title)


def check_content(content: bytes, name: str) -> None:
    """Raise `InvalidListError` for a CSV file that is empty, binary, or larger than the service takes."""
    if not content.strip(b"\xef\xbb\xbf \t\r\n"):
        raise InvalidListError(f"{name} is empty: a list needs at least one address.")
    _check_size(len(content), name)
    if b"\0" in content[:4096] or content.startswith(b"PK\x03\x04"):
        raise InvalidListError(
            f"{name} is not a text file. Save a spreadsheet as CSV (UTF-8) first."
        )
    if not any(character in content.strip() for character in (b"\n", b"\r", b"@")):
        raise InvalidListError(f"{name} has a header and no rows: there is nothing to verify.")
    line_ends = content.count(b"\n") + content.count(b"\r")
    if line_ends >= LONGEST_LIST_ROWS:  # the last row may have no line end
        _check_rows(_count_rows(content), name)


def _read_file(path: Path) -> bytes:
    _check_size(path.stat().st_size, str(path))  # before it is read into memory
    content = path.read_bytes()
    check_content(content, str(path))
    return content


def _count_rows(content: bytes) -> int:
    """Count the rows of a list, without the header."""
    records = RecordCounter()
    records.feed(content)
    records.finish()
    return max(0, records.count - (b"@" not in first_record(content)))


async def _encode_rows(source: Iterable[str] | Iterable[Mapping[str, object]]) -> list[bytes]:
    """Read and encode rows in slices, up to the limits of the service."""
    if isinstance(source, Mapping) or not isinstance(source, Iterable):
        raise UsageError(
            "A list must be a path, bytes, or an iterable of addresses or mappings, "
            f"not {type(source).__name__}."
        )
    encoded: list[bytes] = []
    count = size = 0
    items = iter(source)
    while rows := [_row(item, n) for n, item in enumerate(islice(items, _SLICE_ROWS), count + 1)]:
        count += len(rows)
        if count > LONGEST_LIST_ROWS:
            raise InvalidListError(
                f"The list has more than {LONGEST_LIST_ROWS:,} rows, the most that the service takes. Split it."
            )
        size += sum(_csv_bytes(row) for row in rows)
        _check_size(size, "The list, as CSV,")
        encoded.append(wire.rows_to_json(rows))
        await asyncio.sleep(0)
    if not encoded:
        raise InvalidListError("The list is empty: a list needs at least one address.")
    return encoded


def _row(item: object, number: int) -> Mapping[str, object]:
    row = {"email": item} if isinstance(item, str) else item
    if not isinstance(row, Mapping) or not isinstance(row.get("email"), str):
        raise UsageError(
            f"Row {number} of the list is neither an address nor a mapping with its address under 'email'."
        )
    return row


def _csv_bytes(row: Mapping[str, object]) -> int:
    return sum(len(str(value).encode(errors="replace")) + 1 for value in row.values())


def _check_size(size: int, name: str) -> None:
    if size > LARGEST_LIST_BYTES:
        raise InvalidListError(
            f"{name} has {size:,} bytes, and the service takes at most {LARGEST_LIST_BYTES:,} (10 MB) per list. "
            "Split it, or leave columns out."
        )


def _check_rows(count: int, name: str) -> None:
    if count > LONGEST_LIST_ROWS:
        raise InvalidListError(
            f"{name} has {count:,} rows, and the service takes at most {LONGEST_LIST_ROWS:,} per list. Split it."
        )


def _as_csv(name: str) -> str:
    """Return a file name with the suffix `.csv`, by which the service recognises the format."""
    # A file name may hold any bytes, but a form takes only printable UTF-8.
    name = printable(" ".join(name.split()).encode(errors="replace").decode())
    return name if name.lower().endswith(".csv") else f"{name}.csv"

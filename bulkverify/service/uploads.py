"""Reads and checks a caller's list before anything is sent."""

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
"""So many rows are read without a turn for other tasks, which takes a few milliseconds."""


async def prepare(
    source: UploadSource, *, auto_verify: bool, title: str | None
) -> wire.Call[Acknowledgement]:
    """Read a list and return the call that uploads it; what is no list raises as in `Client.upload`.

    Files are read in a thread. An iterable is read in the caller's thread, because it is the caller's
    code; other tasks get their turns in between.
    """
    if isinstance(source, str) and ("\n" in source or "\r" in source):
        raise UsageError("A str is the path of a list.").with_hint(
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
    return wire.upload_rows(await _written(source), auto_verify=auto_verify, title=title)


def check_content(content: bytes, name: str) -> None:
    """Raise `InvalidListError` for a CSV file that is empty, binary, or larger than the service takes."""
    if not content.strip(b"\xef\xbb\xbf \t\r\n"):
        raise InvalidListError(f"{name} is empty: a list needs at least one address.")
    _check_size(len(content), name)
    if b"\0" in content[:4096]:
        raise InvalidListError(
            f"{name} is not a text file. Save a spreadsheet as CSV (UTF-8), and upload that."
        )
    if content.count(b"\n") + content.count(b"\r") >= LONGEST_LIST_ROWS:  # the last may have none
        _check_rows(_count_rows(content), name)


def _read_file(path: Path) -> bytes:
    _check_size(path.stat().st_size, str(path))  # before a file of any size is read into memory
    content = path.read_bytes()
    check_content(content, str(path))
    return content


def _count_rows(content: bytes) -> int:
    """Count the rows of a list, without the header; quoted cells may contain line ends."""
    records = RecordCounter()
    records.feed(content)
    records.finish()
    return max(0, records.count - (b"@" not in first_record(content)))


async def _written(source: Iterable[str] | Iterable[Mapping[str, object]]) -> list[bytes]:
    """Read and encode rows slice by slice, and no more than the service takes."""
    if isinstance(source, Mapping) or not isinstance(source, Iterable):
        raise UsageError(
            f"A list is a path, bytes, or an iterable of addresses or of mappings, not {type(source).__name__}."
        )
    written: list[bytes] = []
    count = size = 0
    items = iter(source)
    while rows := [_row(item, n) for n, item in enumerate(islice(items, _SLICE_ROWS), count + 1)]:
        count += len(rows)
        if count > LONGEST_LIST_ROWS:
            raise InvalidListError(
                f"The list has more than {LONGEST_LIST_ROWS:,} rows, and the service takes "
                "no more a list. Split it."
            )
        size += sum(_csv_bytes(row) for row in rows)
        _check_size(size, "The list, as CSV,")
        written.append(wire.rows_to_json(rows))
        await asyncio.sleep(0)
    if not written:
        raise InvalidListError("The list is empty: a list needs at least one address.")
    return written


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
            f"{name} has {size:,} bytes, and the service takes 10 MB ({LARGEST_LIST_BYTES:,} bytes) a list. "
            "Split it, or leave columns out."
        )


def _check_rows(count: int, name: str) -> None:
    if count > LONGEST_LIST_ROWS:
        raise InvalidListError(
            f"{name} has {count:,} rows, and the service takes {LONGEST_LIST_ROWS:,} a list. Split it."
        )


def _as_csv(name: str) -> str:
    """Return a file name that the service accepts: it recognises the format by the suffix."""
    # A file name may be any bytes, and a form takes neither control characters nor what is not UTF-8.
    name = printable(" ".join(name.split()).encode(errors="replace").decode())
    return name if name.lower().endswith(".csv") else f"{name}.csv"

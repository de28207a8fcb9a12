"""The files of a split list: their names, and how they are created. Only their owner can read them."""

import os
import re
from pathlib import Path
from typing import BinaryIO, Final

from bulkverify.files import require_replaceable

BLANK: Final = 0
INVALID: Final = 1
FIRST_ADDRESS: Final = 2
UNCLEAR: Final = -1
FIRST_REUSED: Final = -2
"""The codes of rows in `rows.bin`: no address, an invalid one, the first address that is sent, an unclear
cell, or the first address with an earlier verdict. The codes of other addresses that are sent count up from
that of the first, and those of others with an earlier verdict count down."""

_RESULTS: Final = re.compile(r"part-[0-9]{4,}\.results\.csv")
_REUSED: Final = re.compile(r"reused\.csv")
_LIST: Final = re.compile(
    rf"rows\.bin|{_REUSED.pattern}|listed\.bin|part-[0-9]{{4,}}\.csv|{_RESULTS.pattern}"
)
_SOURCE: Final = re.compile(r"source-[0-9]+(\..*)?", re.DOTALL)


def part_path(folder: Path, number: int) -> Path:
    """Return the path of the addresses of a part."""
    return folder / f"part-{number:04}.csv"


def results_path(folder: Path, number: int) -> Path:
    """Return the path of the results of a part."""
    return folder / f"part-{number:04}.results.csv"


def rows_path(folder: Path) -> Path:
    """Return the path of the file that tells the address of each row."""
    return folder / "rows.bin"


def reused_path(folder: Path) -> Path:
    """Return the path of the addresses with an earlier verdict, written like results."""
    return folder / "reused.csv"


def listed_path(folder: Path) -> Path:
    """Return the path of the codes and the addresses of a list, until the earlier verdicts are known."""
    return folder / "listed.bin"


def source_path(folder: Path, number: int, suffix: str) -> Path:
    """Return the path of the copy of a source that can't be read as it is."""
    return folder / f"source-{number}{suffix}"


def is_results(name: str) -> bool:
    """Whether a file of this name holds the results of a part."""
    return _RESULTS.fullmatch(name) is not None


def is_reused(name: str) -> bool:
    """Whether a file of this name holds the earlier verdicts that a run reuses."""
    return _REUSED.fullmatch(name) is not None


def is_of_list(name: str) -> bool:
    """Whether a file of this name belongs to a split list or its results."""
    return _LIST.fullmatch(name) is not None


def is_source(name: str) -> bool:
    """Whether a file of this name is the copy of a source."""
    return _SOURCE.fullmatch(name) is not None


def create(path: Path) -> BinaryIO:
    """Create a file that only its owner can read; an existing file is replaced.

    It is a new file, so that a hard link to the old one keeps its content.
    """
    require_replaceable(path)
    path.unlink(missing_ok=True)
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")

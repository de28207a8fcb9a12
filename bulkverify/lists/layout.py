"""The files of a split list: their names, and how they are created. Only their owner can read them."""

import os
import re
from pathlib import Path
from typing import BinaryIO, Final

from bulkverify.files import require_replaceable

_RESULTS: Final = re.compile(r"part-[0-9]{4,}\.results\.csv")
_LIST: Final = re.compile(rf"rows\.bin|part-[0-9]{{4,}}\.csv|{_RESULTS.pattern}")
_SOURCE: Final = re.compile(r"source-[0-9]+(\..*)?", re.DOTALL)


def part_path(folder: Path, number: int) -> Path:
    """Return where the addresses of a part are."""
    return folder / f"part-{number:04}.csv"


def results_path(folder: Path, number: int) -> Path:
    """Return where the results of a part are, once they have been fetched."""
    return folder / f"part-{number:04}.results.csv"


def rows_path(folder: Path) -> Path:
    """Return where it is noted which row has which address."""
    return folder / "rows.bin"


def source_path(folder: Path, number: int, suffix: str) -> Path:
    """Return where a source that can't be read as it is has been written down."""
    return folder / f"source-{number}{suffix}"


def is_results(name: str) -> bool:
    """Whether a file of this name holds the results of a part."""
    return _RESULTS.fullmatch(name) is not None


def is_of_list(name: str) -> bool:
    """Whether a file of this name belongs to a split list or its results."""
    return _LIST.fullmatch(name) is not None


def is_source(name: str) -> bool:
    """Whether a file of this name is a source that was written down."""
    return _SOURCE.fullmatch(name) is not None


def create(path: Path) -> BinaryIO:
    """Create a file that only its owner can read, or begin one anew; nothing but a file is replaced.

    A new file takes the old one's place, so that a hard link to it keeps its content.

    Raises:
        OSError: it can't be made, or something that is no file is there.
    """
    require_replaceable(path)
    path.unlink(missing_ok=True)
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")

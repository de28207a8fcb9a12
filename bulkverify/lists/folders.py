"""What a split list leaves in its folder; only its owner can read it."""

import os
from pathlib import Path
from typing import BinaryIO


def part_path(folder: Path, number: int) -> Path:
    """Return where the addresses of a part are."""
    return folder / f"part-{number:04}.csv"


def rows_path(folder: Path) -> Path:
    """Return where it is noted which row has which address."""
    return folder / "rows.bin"


def source_path(folder: Path, number: int, suffix: str) -> Path:
    """Return where a source that can't be read as it is has been written down."""
    return folder / f"source-{number}{suffix}"


def create(path: Path) -> BinaryIO:
    """Create or replace a file that only its owner can read."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")

"""Lists that can be read only once, written down."""

from collections.abc import Iterable, Mapping
from pathlib import Path


class Spool:
    """Takes addresses or rows, many at a time, and keeps them in a file."""

    def __init__(self, folder: Path) -> None:
        """Create the file in a folder."""
        self.path = folder / "source.jsonl"

    def extend(self, items: Iterable[str] | Iterable[Mapping[str, object]]) -> None:
        """Add more."""
        raise NotImplementedError

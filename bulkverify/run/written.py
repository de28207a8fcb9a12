"""An output as it was written: how to recognise it, and the note about it that is kept beside it.

    verified.csv
    .verified.csv.done     size and time of the output, the list it came from, and the report

The note is written before the output gets its name, and stays when the journal is gone. So the same
call always finds out that the work is done, and pays for nothing again. The note holds neither the key
nor an address.
"""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Self

import attrs
from cattrs.errors import BaseValidationError

from bulkverify.files import flush_folder, is_file, replacing
from bulkverify.models import Verdict
from bulkverify.run.models import JournalError, RunReport
from bulkverify.run.source import Splitting
from bulkverify.service.converter import converter
from bulkverify.service.logs import SafeLogger

_log: Final = SafeLogger(__name__)

VALID: Final = timedelta(days=6)
"""How long an output counts as done: less than a week, so that a weekly job gets new verdicts."""

_VERSION: Final = 1


@attrs.frozen(kw_only=True)
class Written:
    """The output as it was last written."""

    version: int = _VERSION
    size: int
    mtime_ns: int
    written_at: datetime = attrs.field(factory=lambda: datetime.now(UTC))
    base_url: str
    splitting: Splitting
    fingerprint: str
    """The digest of the list and its splitting."""
    only: tuple[Verdict, ...] | None
    without: tuple[str, ...] = ()
    excel_safe: bool
    beside: str | None
    """If the output has replaced the list, a digest of the options and of all other files."""
    deleted: bool = False
    """Whether the lists were deleted from the service."""
    report: RunReport

    @classmethod
    def noted(cls, output: Path) -> Self | None:
        """Read the note beside an output, if both are there.

        A note that can't be read raises `JournalError`, because the output may already be paid for.
        """
        path = note_of(output)
        if not (is_file(path) and is_file(output)):
            return None
        try:
            document = json.loads(path.read_bytes())
            version = document["version"]
            found = converter.structure(document, cls) if version == _VERSION else None
        except (OSError, ValueError, TypeError, KeyError, RecursionError, BaseValidationError):
            found = None
        if found is None:
            raise JournalError(
                f"{path} is the note about an earlier {output}, and this version can't read it.",
                path=str(path),
            ).with_hint(
                f"To have the list verified and paid for again, use `restart=True`, or delete {path}.",
                f"To have the list verified and paid for again, use --restart, or delete {path}.",
            )
        return found

    def note(self, output: Path) -> bool:
        """Write the note beside an output, and return whether it is on the disk.

        A note that can't be written is no error, because the output matters more.
        """
        path = note_of(output)
        try:
            with replacing(path, mark="new") as file:
                file.write(json.dumps(converter.unstructure(self), indent=1).encode())
            flush_folder(path.parent)
        except OSError as error:
            _log.warning("%s can't be written, so the journal of the run stays: %s", path, error)
            return False
        return True

    def is_noted(self, output: Path) -> bool:
        """Whether the note beside an output is this one."""
        try:
            found = Written.noted(output)
        except JournalError:
            return False
        return found is not None and found.written_at == self.written_at

    def is_at(self, path: Path) -> bool:
        """Whether the file at `path` is this output."""
        try:
            found = path.lstat()
        except OSError:
            return False
        return (found.st_size, found.st_mtime_ns) == (self.size, self.mtime_ns)

    @property
    def is_complete(self) -> bool:
        """Whether no part has failed."""
        return not self.report.failures

    @property
    def is_valid(self) -> bool:
        """Whether it is recent enough for the same call to return it."""
        return abs(datetime.now(UTC) - self.written_at) < VALID


def note_of(output: Path) -> Path:
    """Return the path of the note about an output."""
    return output.with_name(f".{output.name}.done")

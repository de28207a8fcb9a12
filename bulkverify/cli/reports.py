"""The page of a run's report: the command that makes it later, and the option of `verify`."""

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import Parameter

from bulkverify.cli.commands import Output
from bulkverify.cli.interrupts import interrupting_at_once
from bulkverify.cli.options import keep_apart, sqlite_file
from bulkverify.cli.output import SHOW, Show
from bulkverify.errors import UsageError
from bulkverify.files import check_writable, is_file, is_within, replacing

if TYPE_CHECKING:
    from bulkverify.run.models import RunReport

_OURS: Final = b'name="generator" content="bulkverify'
_HEAD_BYTES: Final = 2048


async def report(
    source: Annotated[Path, Parameter(name="RUN.json", allow_leading_hyphen=True)],
    /,
    *,
    output: Output,
    small_domains: bool = False,
    force: bool = False,
    show: Show = SHOW,
) -> None:
    """Write the report of a run as a page for readers who did not write the list.

    Args:
        source: What `verify --json` printed, or - for stdin.
        output: The page to write.
        small_domains: Name domains with fewer than five rows, too. Such a name can point to a person.
        force: Replace the file if it exists. A page that this command wrote is always replaced.
    """
    read = Path(os.devnull) if str(source) == "-" else source
    keep_apart(output, "the page", [("the run", read)])
    check_page(output, force=force)
    from bulkverify.report.documents import report_of  # noqa: PLC0415 - cattrs; not for --help

    if str(source) == "-":
        with interrupting_at_once():
            text, name = sys.stdin.buffer.read(), "stdin"
    else:
        text, name = source.read_bytes(), str(source)
    write_page(output, report_of(text, name=name), small_domains=small_domains)
    show.acknowledge({"destination": str(output)}, f"Wrote the page to {output}.")


def check_page(path: Path | None, *, force: bool = False) -> None:
    """Check that a page can be made and written, before anything is spent; `None` is no page.

    Raises:
        UsageError: the extra is missing, or another file is there, and `force` is off.
        OSError: the file can't be written.
    """
    if path is None:
        return
    try:
        import bulkverify.report.page  # noqa: F401, PLC0415 - jinja2; not for --help
    except ImportError as error:
        raise UsageError(str(error)) from None
    check_writable(path, overwrite=force or _is_ours(path))


def check_page_of_run(
    path: Path | None,
    output: Path,
    sources: Iterable[Path],
    earlier: Iterable[Path],
    *,
    key: Path | None,
    database: str | None,
) -> None:
    """Check the page of a run like `check_page`. It replaces nothing but a page, even with `--force`."""
    if path is None or not output.name:
        return
    from bulkverify.run.journal import journal_of  # noqa: PLC0415 - imports the client
    from bulkverify.run.written import note_of  # noqa: PLC0415 - likewise

    files: list[tuple[str, Path | None]] = [
        ("the output", output),
        ("the note about the output", note_of(output)),
        *(("the list", source) for source in sources),
        *(("a file with earlier verdicts", one) for one in earlier),
        ("the API key", key),
        ("the database", sqlite_file(database)),
    ]
    keep_apart(path, "the page", files)
    if is_within(path, journal_of(output)):
        raise UsageError(
            f"{path} is in {journal_of(output)}, where the progress is kept: name another file for the page."
        )
    try:
        check_page(path)
    except FileExistsError:
        raise UsageError(
            f"{path} already exists and is no page of bulkverify: name another file for the page."
        ) from None


def write_page(path: Path | None, found: "RunReport", *, small_domains: bool = False) -> None:
    """Write a report as a page, which is to be sent on, so the umask says who can read it; `None` is no page."""
    if path is None:
        return
    page = found.to_html(small_domains=small_domains)
    with replacing(path, public=True) as file:
        file.write(page.encode(errors="replace"))


def note_earlier(report: "RunReport", what: str, show: Show, *, force: bool) -> None:
    """Say so if an earlier command has verified the list."""
    if report.already_verified_at is not None:
        again = "--restart" if force else "--restart with --force"
        show.note(
            f"{what} was already verified at {report.already_verified_at:%Y-%m-%d %H:%M} UTC. "
            f"Nothing was sent or spent. {again} verifies it again."
        )


def _is_ours(path: Path) -> bool:
    """Whether a file is a page of ours, which the same command may replace."""
    if not is_file(path):
        return False
    with path.open("rb") as file:
        return _OURS in file.read(_HEAD_BYTES)

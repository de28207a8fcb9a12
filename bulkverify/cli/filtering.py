"""The command that filters a list that was verified."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

import bulkverify
from bulkverify.cli.options import STDIO, Only, Without
from bulkverify.cli.output import SHOW, Show
from bulkverify.errors import UsageError, plural

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


async def filter_(
    source: Annotated[Path, Parameter(name="VERIFIED")],
    /,
    *,
    output: Annotated[Path | None, Parameter(alias="-o", metavar="OUT")] = None,
    only: Only = None,
    without: Without = None,
    split: bool = False,
    force: bool = False,
    encoding: str = "utf-8-sig",
    show: Show = SHOW,
) -> None:
    """Choose rows of a list that was verified, or split it into rows to mail, to hold and to remove.

    Args:
        source: An output of verify, or results that were downloaded: a CSV, TSV, JSON Lines or .xlsx file;
            - is stdin.
        output: The file to write, or - for stdout. It appears when it is complete. With --split, OUT-mail, OUT-hold and OUT-remove are
            written; by default they are named after VERIFIED.
        only: Write only the rows with one of these verdicts, such as deliverable,accept-all. With --split, mail
            to these; by default to deliverable.
        without: Leave out the rows with one of these flags, such as disposable,role-based,spamtrap. With --split, hold
            them.
        split: Write three files, with each row in one of them. Rows to remove are undeliverable or spam traps. Rows to
            hold are all that are neither to mail nor to remove, such as accept-all, unknown and rows without a verdict.
        force: Replace files that exist.
        encoding: The encoding of the list, such as cp1252.
    """
    from bulkverify.cli.pipes import copied, send  # noqa: PLC0415 - slow, and not for --help

    if output is None and (not split or source == STDIO):
        raise UsageError("Name the file to write with --output (-o), or use --split.")
    piped = output == STDIO
    if piped and (split or show.json):
        raise UsageError(
            "-o - writes rows to stdout: leave out --split and --json, or name a file."
        )
    with tempfile.TemporaryDirectory(prefix="bulkverify-") as folder:
        opened = await copied(source, Path(folder) / "list") if source == STDIO else source
        path, *others = _names(output or source) if split else [output or source]
        path = Path(folder) / "rows" if piped else path
        report = await bulkverify.filter_list(
            opened,
            path,
            only=only,
            without=without or (),
            hold=others[0] if split else None,
            remove=others[1] if split else None,
            encoding=encoding,
            overwrite=force,
        )
        if piped:
            send(path)
    names = {str(path): "stdout"} if piped else {}
    show.acknowledge(report, "\n".join(_line(group, names) for group in report.groups))


def _names(path: Path) -> "Sequence[Path]":
    """Name the three files of a split after another file."""
    end = ".csv" if path.suffix.lower() == ".xlsx" else path.suffix
    return [path.with_name(f"{path.stem}-{name}{end}") for name in ("mail", "hold", "remove")]


def _line(group: "bulkverify.RowGroup", names: "Mapping[str, str]") -> str:
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in group.reasons.items())
    where = names.get(group.destination, group.destination)
    return f"{group.name}: {plural(group.rows, 'row')}{where and f' to {where}'}{f' ({reasons})' if reasons else ''}"

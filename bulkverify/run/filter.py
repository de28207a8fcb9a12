"""The call that filters a list that was verified. It needs no client, no network and no key."""

import os
from collections import Counter
from collections.abc import Collection
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from bulkverify.errors import UsageError
from bulkverify.files import (
    check_writable,
    flush_folder,
    flush_to_disk,
    is_same_file,
    replacing,
)
from bulkverify.lists import FilterReport, RowGroup, Rule, Verified, filter_rows, open_verified
from bulkverify.lists.layout import source_path
from bulkverify.lists.spooling import copy, title_of
from bulkverify.models import FlagName, Verdict, VerdictName
from bulkverify.run.selection import unwanted_flags, wanted_verdicts
from bulkverify.run.source import temporary_folder
from bulkverify.run.threads import in_thread


async def filter_list(
    source: str | os.PathLike[str],
    destination: str | os.PathLike[str],
    *,
    only: Collection[Verdict | VerdictName] | None = None,
    without: Collection[FlagName] = (),
    hold: str | os.PathLike[str] | None = None,
    remove: str | os.PathLike[str] | None = None,
    encoding: str = "utf-8-sig",
    overwrite: bool = False,
) -> FilterReport:
    """Write the wanted rows of a list that was verified. It sends nothing and costs nothing.

    All columns and cells stay as they are, and so do the delimiter, the encoding and the order of the
    rows. The files appear when they are complete.

    With `hold` and `remove` the list is split into three files, and each row is in one of them. Rows to
    remove are undeliverable or spam traps. Rows to mail have one of the verdicts `only`, by default
    `deliverable`, and none of the flags `without`. All others are held: accept-all, unknown, without a
    verdict, or with an unwanted flag.

    Args:
        source: an output of `verify_list`, or the results of a list that were downloaded.
        destination: the file of the wanted rows; with `hold` and `remove`, of the rows to mail.
        only: the rows with one of these verdicts.
        without: leave out the rows with one of these flags.
        hold: a file for the rows to hold.
        remove: a file for the rows to remove.
        encoding: of the list.
        overwrite: replace files that exist.

    Raises:
        FileExistsError: a file exists.
        InvalidListError: the list has no verdicts, or can't be read.
        UsageError: an argument is invalid, or the list does not tell which rows have a flag.
        OSError: a file can't be read or written.
    """
    if (hold is None) != (remove is None):
        raise UsageError(
            "To split a list, name a file for the rows to hold and one for those to remove."
        )
    split = hold is not None
    rule = Rule(only=wanted_verdicts(only), without=unwanted_flags(without), split=split)
    paths = [Path(path) for path in (destination, hold, remove) if path is not None]
    _check_paths(Path(source), paths, overwrite=overwrite)
    named: dict[str, Path] = dict(zip(rule.groups, paths, strict=False))
    async with temporary_folder() as folder:
        opening = partial(_open, source, encoding, folder)
        verified = await in_thread(opening, leave=True)  # it may be a pipe that stays silent
        counts = await in_thread(partial(_write, verified, rule, named))
    return FilterReport(
        rows=sum(reasons.total() for reasons in counts.values()),
        groups=tuple(
            RowGroup(
                name=name,
                destination=str(named.get(name, "")),
                rows=counts[name].total(),
                reasons=dict(counts[name].most_common()),
            )
            for name in rule.groups
        ),
    )


def _check_paths(source: Path, paths: list[Path], *, overwrite: bool) -> None:
    for number, path in enumerate(paths):
        if is_same_file(source, path):
            raise UsageError(
                f"{path} is the list itself: rows that are left out would be lost. Name another file."
            )
        if path.resolve() in [other.resolve() for other in paths[:number]]:
            raise UsageError(f"{path} is named twice: each group needs a file of its own.")
        check_writable(path, overwrite=overwrite)


def _open(source: str | os.PathLike[str], encoding: str, folder: Path) -> Verified:
    path = Path(source)
    if path.exists() and not path.is_file() and not path.is_dir():
        pipe, path = path, source_path(folder, 1, path.suffix)
        copy(pipe, path)  # a pipe can be read only once
    return open_verified(path, title=title_of(source), encoding=encoding, spool=folder)


def _write(verified: Verified, rule: Rule, paths: dict[str, Path]) -> dict[str, Counter[str]]:
    for path in paths.values():
        if path.suffix.lower() not in {"", *verified.ends}:
            raise UsageError(
                f"{path} does not end in {' or '.join(verified.ends)}: a filter writes rows as they are in {verified.title}."
            )
    with ExitStack() as stack:
        files = {name: stack.enter_context(replacing(path)) for name, path in paths.items()}
        counts = filter_rows(verified, rule, files)
        for file in files.values():
            flush_to_disk(file)  # before the first file gets its name
    for folder in {path.parent for path in paths.values()}:
        flush_folder(folder)
    return counts

"""What a run is to do, and what its parts came to, as JSON for the database: no key and no address."""

import errno
import os
import re
from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import attrs

from bulkverify import errors
from bulkverify.client import Client
from bulkverify.durable.stores import checked_place, is_url
from bulkverify.errors import BulkVerifyError, LifecycleError, UsageError, clause
from bulkverify.files import is_same_file, require_replaceable
from bulkverify.limits import DEFAULT_TIMEOUT, LONGEST_LIST_ROWS, PARTS_AT_ONCE
from bulkverify.lists import Copied, ListFormat
from bulkverify.models import Verdict
from bulkverify.run.journal import Records, journal_of
from bulkverify.run.models import IncompleteRunError, JournalError
from bulkverify.run.output import Output
from bulkverify.run.run import Run, RunSettings
from bulkverify.run.source import ListReader, Splitting
from bulkverify.service.converter import converter

JSON = dict[str, Any]

_ID: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,63}")
_ACCOUNT: Final = re.compile(r"[a-z0-9_]{1,64}")
_ADDRESS: Final = re.compile(r"[^\s'\"<>()]+@[^\s'\"<>()]+")


class RunCancelledError(LifecycleError):
    """A durable run was cancelled."""


@attrs.frozen(kw_only=True)
class RunSpec:
    """The arguments of a run; the options are those of `verify_list`."""

    source: tuple[str, ...]
    output: str
    account: str
    column: str | None = None
    header_row: int | None = None
    sheet: str | None = None
    delimiter: str | None = None
    encoding: str = "utf-8-sig"
    format: ListFormat | None = None
    max_credits: int | None = None
    only: tuple[Verdict, ...] | None = None
    without: tuple[str, ...] = ()
    judge: bool = True
    deduplicate: bool = True
    largest_part: int = LONGEST_LIST_ROWS
    restart: bool = False
    overwrite: bool = False
    excel_safe: bool = False
    domains: bool = False
    delete: bool = False
    timeout: float | None = DEFAULT_TIMEOUT

    @property
    def folder(self) -> Path | None:
        """The folder beside the output, with a folder for each execution of the run."""
        return None if is_url(self.output) else journal_of(Path(self.output))

    @property
    def place(self) -> str:
        """The output, however it is spelled: the same for two runs that would write the same."""
        if is_url(self.output):
            return f"s3://{self.output.partition('://')[2]}"
        output = Path(self.output)
        return str(output.parent.resolve() / output.name)

    def reader(self, files: Sequence[Path | Copied]) -> ListReader:
        """Return what reads the list from its files."""
        return ListReader(
            source=files[0] if len(files) == 1 else files,
            column=self.column,
            header_row=self.header_row,
            sheet=self.sheet,
            delimiter=self.delimiter,
            encoding=self.encoding,
            format=self.format,
        )

    @property
    def splitting(self) -> Splitting:
        """How the list is split."""
        return Splitting(
            judge=self.judge, deduplicate=self.deduplicate, largest_rows=self.largest_part
        )

    def written_as(self, path: Path, **options: Any) -> Output:  # noqa: ANN401 - fields of the output
        """Return what writes the output to a path."""
        return Output(
            path=path,
            name=self.output,
            only=None if self.only is None else frozenset(self.only),
            in_place=False,
            restart=self.restart,
            excel_safe=self.excel_safe,
            domains=self.domains,
            without=frozenset(self.without),
            **{"overwrite": self.overwrite, **options},
        )

    def run(self, client: Client, records: Records, files: Sequence[Path | Copied]) -> Run:
        """Return what reads, splits and joins the list."""
        settings = RunSettings(
            splitting=self.splitting,
            parts_at_once=PARTS_AT_ONCE,
            max_credits=None,  # what an earlier run has paid is not known yet
            timeout=self.timeout,
            wait=None,
        )
        reader = self.reader(files)
        return Run(client=client, journal=records, reader=reader, settings=settings, tell=None)


def checked_id(run_id: str) -> str:
    """Return an id, or raise `UsageError`."""
    if _ID.fullmatch(run_id) is None:
        raise UsageError(
            f"{run_id!r} can't be the id of a run: use up to 64 letters, digits, - and _, and not - first."
        )
    return run_id


def checked_account(account: str) -> str:
    """Return the name of an account, or raise `UsageError`.

    There is one spelling for each variable with a key: two would have the limits of the account twice.
    """
    if _ACCOUNT.fullmatch(account) is None:
        raise UsageError(
            f"{account[:8]!r} can't be the name of an account: use up to 64 lower-case letters, digits and _."
        )
    return account


def checked_spec(source: object, output: str | os.PathLike[str], **options: Any) -> RunSpec:  # noqa: ANN401 - as documented
    """Return a spec with absolute paths, so that other processes find the files.

    Raises:
        UsageError: the source is not made of paths and URLs, the output would replace it, or a URL can't
            be used.
        OSError: the output is a link, a folder or the like.
    """
    given: Collection[Any] = source if isinstance(source, Collection) else [source]
    if isinstance(source, str | os.PathLike):
        given = [source]
    if not given or not all(isinstance(one, str | os.PathLike) for one in given):
        raise UsageError(
            "A durable run needs the paths or URLs of files, which other processes can read."
        )
    source = tuple(map(checked_place, given))
    spec = RunSpec(source=source, output=checked_place(output, written=True), **options)
    same = partial(is_same_file, Path(spec.output))
    if spec.output in source or any(map(same, map(Path, source))):
        raise UsageError(
            f"{spec.output} is the list itself, and a durable run can't replace it: name another output."
        )
    spec.written_as(Path(spec.output))
    if spec.folder is not None:
        require_replaceable(Path(spec.output))
    _ = spec.splitting
    return spec


def as_json(value: object) -> JSON:
    """Return attributes as JSON, without those that are `None`."""
    found: JSON = converter.unstructure(value)
    return {name: one for name, one in found.items() if one is not None}


def told(error: Exception) -> JSON:
    """Describe an error for the database, without addresses."""
    message = str(error)
    if isinstance(error, BulkVerifyError):
        message = error.message
    elif isinstance(error, OSError) and error.filename is not None:
        message = f"{error.filename}: {clause(error.strerror)}."
    return {"error": type(error).__name__, "message": _ADDRESS.sub("***", message)}


def rebuilt(found: JSON) -> Exception:
    """Return the error that was described."""
    name, message = str(found["error"]), str(found["message"])
    if name == FileExistsError.__name__:
        return FileExistsError(errno.EEXIST, message)
    ours = (JournalError, IncompleteRunError, RunCancelledError)
    kind = {kind.__name__: kind for kind in ours}.get(name, getattr(errors, name, BulkVerifyError))
    return kind(message) if isinstance(kind, type) else BulkVerifyError(message)

"""The output of a run: it appears when it is complete, and a later call recognises it."""

import errno
import os
from collections.abc import Awaitable, Callable
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Final

import attrs

from bulkverify.errors import UsageError
from bulkverify.files import flush_folder, flush_to_disk, incomplete_path, replacing
from bulkverify.lists import Joined, Split, Table, check_fits
from bulkverify.models import Analysis, Verdict, VerdictCounts
from bulkverify.run.journal import RunRecord
from bulkverify.run.models import RunReport, Stage
from bulkverify.run.resume import ComparedList
from bulkverify.run.run import OutputFormat, Run
from bulkverify.run.threads import in_thread
from bulkverify.run.written import Written, note_of
from bulkverify.service.logs import SafeLogger

_log: Final = SafeLogger(__name__)

_FORMATS: Final[dict[str, OutputFormat]] = {
    "": "csv",
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".xlsx": "xlsx",
}
"""The format by the end of a name. Other ends are refused: CSV under another name misleads its readers."""


@attrs.frozen(kw_only=True)
class Output:
    """The options of the output; it is `in_place` if it replaces the list.

    `name` stands for the path in messages and reports. `mark` names the incomplete file; without one, only
    one process at a time may write. `before_rename` gets the path of the incomplete file, once all rows are
    in it; if it raises, the file that is there stays.
    """

    path: Path
    only: frozenset[Verdict] | None
    overwrite: bool
    in_place: bool
    restart: bool
    excel_safe: bool
    domains: bool = False
    without: frozenset[str] = frozenset()
    mark: str | None = None
    before_rename: Callable[[Path], Awaitable[object]] | None = None
    name: str = attrs.field(default=attrs.Factory(lambda self: str(self.path), takes_self=True))

    def __attrs_post_init__(self) -> None:
        """Refuse a name that no format has, and `excel_safe` where it is of no use."""
        if self.path.suffix.lower() not in _FORMATS:
            *ends, last = filter(None, _FORMATS)
            raise UsageError(
                f"{self.name} ends in {self.path.suffix!r}, which is none of the formats of an output: name one "
                f"that ends in {', '.join(ends)} or {last}. Nothing was sent."
            )
        if self.excel_safe and self.format in {"jsonl", "xlsx"}:
            kind = (
                "JSON Lines, which no spreadsheet opens"
                if self.format == "jsonl"
                else "a workbook of text cells, which are never formulas"
            )
            raise UsageError(f"{self.name} would be {kind}.").with_hint(
                "`excel_safe` is for CSV: leave it out, or name an output that ends in .csv.",
                "--excel-safe is for CSV: leave it out, or name an output that ends in .csv.",
            )

    @property
    def format(self) -> OutputFormat:
        """How the rows are written."""
        return _FORMATS[self.path.suffix.lower()]

    async def write(self, run: Run, *, delete: bool) -> RunReport:
        """Verify the list and write the output, unless an earlier call has written it.

        Raises:
            FileExistsError: the file exists, and an earlier call of this run did not write it.
            IncompleteRunError: some parts failed, and their rows have no verdicts.
            BulkVerifyError, OSError: as `Run.verify`.
        """
        report = await self.earlier(run, delete=delete)
        if report is not None:
            return report
        await run.verify()
        return await self.deliver(run, delete=delete)

    async def earlier(self, run: Run, *, delete: bool) -> RunReport | None:
        """Return the report if an earlier call has written the output.

        Raises:
            FileExistsError, UsageError: as `write`.
        """
        if not self.restart and (done := await self.done(run.journal.record, run.list)) is not None:
            await self._finish(run, done, delete=delete)
            again = "" if self.overwrite else " with `overwrite=True`"
            _log.info(
                "%s was verified at %s, and nothing was sent or spent. `restart=True`%s verifies it again.",
                *(self.name, f"{done.written_at:%Y-%m-%d %H:%M} UTC", again),
            )
            return run.report_again(done, self.name)
        self.require_free(run.journal.record)
        await self.check(await run.list.open())
        return None

    async def deliver(self, run: Run, *, delete: bool) -> RunReport:
        """Write the output of a list that was verified.

        Raises:
            IncompleteRunError: as `write`.
        """
        if run.failures and (self.in_place or not run.journal.results()):
            report = run.report(_without_results(run.record.split), self.name)
            raise run.incomplete(report, "Nothing was written.")
        written, report = await self._write(run)
        if run.failures:
            raise run.incomplete(report, f"{self.name} has those of the other parts.")
        await self._finish(run, written, delete=delete)
        return report

    async def check(self, table: Table) -> None:
        """Raise `UsageError` if a list does not fit into the output."""
        if self.format == "xlsx":
            await in_thread(partial(check_fits, table))

    def require_free(self, record: RunRecord | None) -> None:
        """Raise `FileExistsError` if there is a file that may not be replaced."""
        if self.path.exists() and not (self.overwrite or self._was_written_by(record)):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), self.name)

    def _was_written_by(self, record: RunRecord | None) -> bool:
        """Whether the existing file was written by a run that is not finished."""
        if record is None or record.finished:
            return False
        return record.output_at(self.path) is not None

    async def done(self, record: RunRecord | None, listed: ComparedList) -> Written | None:
        """Return the output that the same call wrote earlier, if it is still there."""
        in_place = self.path if self.in_place else None
        if record is not None and record.sent and not record.finished:
            written = record.written
            if written is None or not (written.is_complete and written.is_at(self.path)):
                return None  # that run is not finished
            same = written.is_valid and await listed.produced(written, in_place=in_place)
            if same and self._has_options_of(written):
                return written
            # All paid results were delivered. The journal is of use only if the same list is written
            # with other options, and the output has not replaced it.
            record.finished = self.in_place or not same
            return None
        written = Written.noted(self.path) or (record.written if record is not None else None)
        if (
            written is not None
            and written.is_complete
            and written.is_valid
            and written.is_at(self.path)
            and self._has_options_of(written)
            and await listed.produced(written, in_place=in_place)
        ):
            return written
        return None

    def _has_options_of(self, written: Written) -> bool:
        only = None if written.only is None else frozenset(written.only)
        return (only, frozenset(written.without), written.excel_safe) == (
            self.only,
            self.without,
            self.excel_safe,
        )

    async def _finish(self, run: Run, written: Written, *, delete: bool) -> None:
        report = written.report
        if delete and not report.missing and not written.deleted:
            await run.delete(part.job_id for part in report.parts if part.job_id is not None)
            written = attrs.evolve(written, deleted=True)
            await in_thread(partial(written.note, self.path))
        if written.is_noted(self.path) or await in_thread(partial(written.note, self.path)):
            await run.finish(delivered=True)
        else:  # the journal stays, because only it shows that the work is done
            run.tracker.tell(Stage.DONE)

    async def _write(self, run: Run) -> tuple[Written, RunReport]:
        folder = os.fsencode(run.journal.folder.resolve())
        mark = self.mark or blake2b(folder, digest_size=4).hexdigest()
        with replacing(self.path, mark=mark) as file:
            joined = await run.join(
                file,
                self.format,
                self.only,
                without=self.without,
                excel_safe=self.excel_safe,
                domains=self.domains,
            )
            await in_thread(partial(flush_to_disk, file))
            report = run.report(joined, self.name)
            if self.before_rename is not None:
                await self.before_rename(incomplete_path(self.path, mark))
            else:  # a file may have appeared since the beginning
                self.require_free(run.record)
            found = os.fstat(file.fileno())
            written = Written(
                size=found.st_size,
                mtime_ns=found.st_mtime_ns,
                base_url=run.record.base_url,
                splitting=run.record.splitting,
                fingerprint=run.record.split.fingerprint,
                only=None if self.only is None else tuple(sorted(self.only)),
                without=tuple(sorted(self.without)),
                excel_safe=self.excel_safe,
                beside=await run.list.reader.beside(self.path) if self.in_place else None,
                report=attrs.evolve(report, examples=()),  # no note holds an address
            )
            # Noted before the file gets its name, so that the next call knows the output.
            run.record.replaced = run.record.output_at(self.path)
            run.record.written = written
            run.journal.save()
            if written.is_complete:
                await in_thread(partial(written.note, self.path))
        if not written.is_complete:
            note_of(self.path).unlink(missing_ok=True)
        flush_folder(self.path.parent)
        return written, report


def _without_results(split: Split) -> Joined:
    """Count the rows of a list without any results: those without an address are undeliverable, as in `join`."""
    unsent = split.blank + split.invalid
    verdicts = VerdictCounts(deliverable=0, undeliverable=unsent, accept_all=0, unknown=0)
    flags = Analysis(common_isp=0, role_based=0, disposable=0, spamtrap=0, syntax_error=unsent)
    missing = split.rows - unsent - split.unclear
    return Joined(rows=split.rows, written=0, missing=missing, verdicts=verdicts, flags=flags)

"""The file that a run writes: there when it is complete, and known again if it has to be written anew."""

import errno
import os
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Final

import attrs

from bulkverify.errors import UsageError
from bulkverify.files import flush_folder, flush_to_disk, replacing
from bulkverify.lists import Joined, Split
from bulkverify.models import Analysis, Verdict, VerdictCounts
from bulkverify.run.journal import Written
from bulkverify.run.report import RunReport
from bulkverify.run.steps import Form, Run

_JSON_LINES: Final = (".jsonl", ".ndjson")


@attrs.frozen(kw_only=True)
class Output:
    """Where the rows go, and which of them; `in_place` if that is where the list is now."""

    path: Path
    only: frozenset[Verdict] | None
    overwrite: bool
    in_place: bool
    excel_safe: bool = False

    def __attrs_post_init__(self) -> None:
        """Refuse to promise what nobody needs of JSON Lines, and what would spoil them."""
        if self.excel_safe and self.form == "jsonl":
            raise UsageError(
                f"`excel_safe` is for CSV, and {self.path} would be JSON Lines, which no spreadsheet opens: "
                "leave it out, or name an output that ends in .csv."
            )

    @property
    def form(self) -> Form:
        """How the rows are written."""
        return "jsonl" if self.path.suffix.lower() in _JSON_LINES else "csv"

    async def write(self, run: Run, *, delete: bool) -> RunReport:
        """See a run through, and write what it came to.

        Raises:
            FileExistsError: there is a file that no earlier call of this run has written.
            IncompleteRunError: rows of parts that failed have no verdicts.
            BulkVerifyError, OSError: as `Run.verify`.
        """
        record = run.journal.record
        written = record.written if record else None
        if written is not None and not written.is_at(self.path):
            written = None
        if written and self.in_place and not written.report.failures:
            # A call that died before it was done with the journal: the list is no more what it was.
            await run.finish(delete=delete and not written.report.missing)
            return written.report
        if self.path.exists() and not (self.overwrite or written):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(self.path))
        await run.verify()
        if run.failures and (self.in_place or not run.journal.results()):
            report = run.report(_nothing(run.record.split), self.path)
            raise run.incomplete(report, "Nothing was written.")
        report = await self._write(run)
        if run.failures:
            raise run.incomplete(report, f"{self.path} has those of the others.")
        await run.finish(delete=delete and not report.missing)
        return report

    async def _write(self, run: Run) -> RunReport:
        mark = blake2b(os.fsencode(run.journal.folder.resolve()), digest_size=4).hexdigest()
        with replacing(self.path, mark=mark) as file:
            joined = await run.join(file, self.form, self.only, excel_safe=self.excel_safe)
            await run.in_thread(partial(flush_to_disk, file))
            report = run.report(joined, self.path)
            found = os.fstat(file.fileno())
            # Before it gets its name: whoever finds it there must know that it is ours.
            run.record.written = Written(
                size=found.st_size, mtime_ns=found.st_mtime_ns, report=report
            )
            run.journal.save()
        flush_folder(self.path.parent)
        return report


def _nothing(split: Split) -> Joined:
    verdicts = VerdictCounts(deliverable=0, undeliverable=0, accept_all=0, unknown=0)
    flags = Analysis(common_isp=0, role_based=0, disposable=0, spamtrap=0, syntax_error=0)
    return Joined(rows=split.rows, written=0, missing=split.rows, verdicts=verdicts, flags=flags)

"""The list of a run, compared with what earlier calls have recorded about it."""

from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import attrs

from bulkverify.files import is_file
from bulkverify.lists import Examples, Split, Table, find_examples, has_reused, is_intact
from bulkverify.lists.layout import reused_path
from bulkverify.lists.spooling import UNNAMED
from bulkverify.run.journal import Records, RunRecord, restart_hints, seal_of
from bulkverify.run.models import JournalError, Stage
from bulkverify.run.progress import Tracker
from bulkverify.run.source import ListReader, Splitting
from bulkverify.run.threads import in_thread
from bulkverify.run.written import Written


@attrs.define(kw_only=True, eq=False)
class ComparedList:
    """Compares a list with what earlier calls have recorded in a folder."""

    reader: ListReader
    splitting: Splitting
    base_url: str
    folder: Path
    _table: Table | None = attrs.field(default=None, alias="table")

    async def open(self) -> Table:
        """Return the list, which was opened before."""
        assert self._table is not None  # noqa: S101 - as the docstring says
        return self._table

    async def produced(self, written: Written, *, in_place: Path | None) -> bool:
        """Whether an output came from this list, split the same way, on this service.

        If the output has replaced the list, `in_place` is its path, and only the other files are compared.
        """
        before, now = written.splitting, self.splitting
        if (written.base_url, before.judge, before.deduplicate, before.max_ages) != (
            self.base_url,
            now.judge,
            now.deduplicate,
            now.max_ages,
        ):
            return False
        if in_place is not None:
            beside = await self.reader.beside(in_place)
            return beside is not None and beside == written.beside
        fingerprint = await self.reader.fingerprint(await self.open(), before)
        return fingerprint == written.fingerprint

    async def require_same(self, table: Table, record: RunRecord) -> None:
        """Raise `JournalError` if an earlier call recorded another list, or one that was split differently."""
        folder, before, now = self.folder, record.splitting, self.splitting
        out = restart_hints(folder, record.credits)
        of_list = f" for {record.title}" if record.title else ""
        if record.base_url != self.base_url:
            raise JournalError(
                f"{folder} was begun{of_list} at {record.base_url}, not at {self.base_url}. Use that service, "
                "or name another output.",
                path=str(folder),
            ).with_hint(*out)
        if (before.judge, before.deduplicate) != (now.judge, now.deduplicate):
            raise JournalError(
                f"{folder} was begun{of_list} with other options for choosing rows.",
                path=str(folder),
            ).with_hint(
                f"Use the same `judge` and `deduplicate`. {out[0]}",
                f"Use the same --send-invalid and --send-duplicates. {out[1]}",
            )
        if before.max_ages != now.max_ages:
            raise JournalError(
                f"{folder} was begun{of_list} with other options for reusing earlier verdicts.",
                path=str(folder),
            ).with_hint(
                f"Use the same `reuse` and `max_age`. {out[0]}",
                f"Use the same --reuse and --max-age. {out[1]}",
            )
        if await self.reader.fingerprint(table, before) != record.split.fingerprint:
            if record.title and Path(record.title).name != Path(table.title).name:
                raise JournalError(
                    f"{folder} belongs to {record.title}, and its verdicts would not belong to the rows of this list. "
                    f"Go on with {record.title}, or name another output.",
                    path=str(folder),
                ).with_hint(*out)
            raise JournalError(
                f"{table.title} has changed since {folder} was begun, or is read differently: the verdicts would "
                "not belong to its rows. Restore it, or name another output; an iterable must give the same rows in "
                "the same order.",
                path=str(folder),
            ).with_hint(*out)


@attrs.define(kw_only=True, eq=False)
class RecordedList(ComparedList):
    """Reads and splits a list, unless an earlier call has split the same list."""

    journal: Records
    tracker: Tracker
    began_at: datetime = attrs.field(factory=lambda: datetime.now(UTC))
    """The beginning of this call."""
    examples: Examples = attrs.field(factory=Examples, init=False)
    """The first cells that are not just an address."""

    async def open(self) -> Table:
        """Return the list, which is opened once, because some lists can't be opened again."""
        if self._table is None:
            self.tracker.tell(Stage.READING)
            self._table = await self.reader.open(self.journal.folder)
        return self._table

    async def split(self) -> RunRecord:
        """Split the list, or return the record of an earlier call that has split it in the same way."""
        table = await self.open()
        splitting, record = self.splitting, self.journal.record
        if record is not None and record.sent and not record.finished:
            await self.require_same(table, record)
            await self._repair(table, record)
            if record.owed or record.uncertain:  # the plan will be shown again
                judge = record.splitting.judge
                await in_thread(
                    partial(find_examples, table, record.split, self.examples, judge=judge)
                )
            return record
        split = await self.reader.split(
            *(table, self.journal.folder, splitting, self.tracker, self.examples),
            began_at=self.began_at,
        )
        title = table.title if table.title != UNNAMED else ""
        return self.journal.begin(split, self.base_url, splitting, title)

    async def _repair(self, table: Table, record: RunRecord) -> None:
        """Make damaged files again from the list, and have lost results fetched again."""
        folder = self.journal.folder
        if not record.is_sealed or not await in_thread(partial(is_intact, folder, record.split)):
            split = await self._split_again(table, record)
            if (record.is_sealed and split != record.split) or len(split.parts) != len(
                record.parts
            ):
                raise JournalError(
                    f"{folder} is damaged, and {table.title} is no longer split as before: the verdicts would "
                    "not belong to its rows.",
                    path=str(folder),
                ).with_hint(*restart_hints(folder, record.credits))
            record.split, record.seal = split, seal_of(split)
        lost = await in_thread(self.journal.lost_results)
        if lost:
            self.journal.forget_results(lost)

    async def _split_again(self, table: Table, record: RunRecord) -> Split:
        """Split the list as before: by the earlier verdicts that were chosen then, unless they are lost."""
        folder, before = self.journal.folder, record.split
        reused: Path | None = reused_path(folder)
        if not is_file(reused_path(folder)) or (
            record.is_sealed and not await in_thread(partial(has_reused, folder, before))
        ):
            reused = None
        try:
            split = await self.reader.split(
                *(table, folder, record.splitting, self.tracker),
                began_at=record.began_at,
                reused=reused,
            )
        except FileNotFoundError as error:
            if reused is not None or error.filename not in map(str, self.reader.earlier_paths()):
                raise
            raise JournalError(
                f"{folder} is damaged: the earlier verdicts that the run had taken are lost. They would be taken from "
                f"{error.filename} again, but there is no such file. Put it back, as it was.",
                path=str(folder),
            ).with_hint(*restart_hints(folder, record.credits)) from None
        return split if reused is None else attrs.evolve(split, reused=before.reused)

"""A run: read the list, compare it with the journal, verify its parts, join their results."""

from collections import deque
from collections.abc import Callable, Collection, Generator, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from inspect import isawaitable
from pathlib import Path
from time import monotonic
from typing import BinaryIO, Final, Literal, TypeAlias

import attrs
from tenacity.wait import wait_base

from bulkverify.client import Client, known_of
from bulkverify.errors import BulkVerifyError, JobNotFoundError, TransportError, UsageError, clause
from bulkverify.lists import Joined, JoinedRow, join, joined_rows
from bulkverify.models import Verdict
from bulkverify.results.downloads import read_rows
from bulkverify.run.account import Account
from bulkverify.run.costs import check_allowed, check_cost, log_plan, plan_of, planned_lists
from bulkverify.run.curve import Curve
from bulkverify.run.journal import Records, RunRecord, restart_hints
from bulkverify.run.models import (
    Confirm,
    IncompleteRunError,
    PartFailure,
    PartReport,
    PlannedList,
    RunPlan,
    RunProgress,
    RunReport,
    Stage,
)
from bulkverify.run.outages import Outages
from bulkverify.run.parts import AnyRun, failures, part_runs, verify_parts
from bulkverify.run.progress import Tracker
from bulkverify.run.record import PartState
from bulkverify.run.resume import RecordedList
from bulkverify.run.source import ListReader, Splitting
from bulkverify.run.threads import in_thread
from bulkverify.run.written import Written

OutputFormat: TypeAlias = Literal["csv", "tsv", "jsonl", "xlsx"]
"""How an output is written."""

_FAILURES_SHOWN: Final = 3


@attrs.frozen(kw_only=True)
class RunSettings:
    """The options of a run, except how the list is read."""

    splitting: Splitting
    parts_at_once: int
    max_credits: int | None
    timeout: float | None
    wait: wait_base | None
    confirm: Confirm | None = None

    def __attrs_post_init__(self) -> None:
        """Refuse numbers that can't be."""
        check_allowed(self.max_credits)
        if self.parts_at_once < 1:
            raise UsageError(
                f"At least 1 part must be sent at once, not {self.parts_at_once}."
            ).with_hint("Correct `parts_at_once`.", "Correct --parts-at-once.")


class Run:
    """One run, from the list to the joined rows."""

    def __init__(
        self,
        *,
        client: Client,
        journal: Records,
        reader: ListReader,
        settings: RunSettings,
        tell: Callable[[RunProgress], object] | None,
    ) -> None:
        self.journal = journal
        self.tracker: Tracker = Tracker(tell)
        self._began_at = datetime.now(UTC)
        self.list: RecordedList = RecordedList(
            reader=reader,
            splitting=settings.splitting,
            base_url=client.base_url,
            folder=journal.folder,
            journal=journal,
            tracker=self.tracker,
            began_at=self._began_at,
        )
        self.failures: tuple[PartFailure, ...] = ()
        self._client = client
        self._settings = settings
        self._began = monotonic()
        self._requests = client.stats.requests
        self._parts: list[AnyRun] = []
        self._lists: tuple[PlannedList, ...] = ()

    @property
    def record(self) -> RunRecord:
        """The record of the run, once the list has been split."""
        assert self.journal.record is not None  # noqa: S101 - `verify` comes first
        return self.journal.record

    async def prepare(self) -> RunRecord:
        """Read and split the list, or compare it with the record and repair damaged files."""
        table = await self.list.open()
        record = await self.list.split()
        self._lists = planned_lists(table)
        record.began_at = min(record.began_at, self._began_at)  # before the list was read
        curve = Curve(record.curve, record.began_at, self.journal.save)
        self.tracker.set_parts(record.split, self.journal.results(), curve)
        allowed = self._settings.max_credits
        check_cost(table.title, record.owed + record.uncertain, allowed, sent=record.sent)
        return record

    async def verify(self) -> None:
        """Get the results of all parts; afterwards `failures` has the parts that failed."""
        record = await self.prepare()
        table = await self.list.open()
        account = Account(
            client=self._client,
            timeout=self._settings.timeout,
            wait=self._settings.wait,
            outages=Outages(self._settings.timeout, reached=record.sent),
        )
        title = Path(table.title).name

        async def check() -> int | None:
            return await account.check_credits(record.owed, title=title, spent=record.credits)

        self._parts = part_runs(
            account, self.journal, record, tracker=self.tracker, check=check, title=title
        )
        balance = await account.outages.retry(check, self._held_up)
        record.trial = record.trial or known_of(self._client).is_sandbox
        plan = plan_of(
            table,
            record.split,
            self.list.examples,
            cost=record.owed,
            spent_before=record.credits,
            uncertain=record.uncertain,
            balance=balance,
        )
        log_plan(plan)
        if plan.cost or plan.uncertain:
            await self._confirm(plan)
        self._fail(await verify_parts(self._parts, self.journal, self._settings.parts_at_once))

    async def fetch_lost(
        self, account: Account, failed: Mapping[int, BulkVerifyError], paid_before: Collection[int]
    ) -> None:
        """Fetch lost results again, after other processes have verified all parts but the `failed` ones.

        Nothing is uploaded or started. An earlier run has paid for the parts in `paid_before`.
        """
        record, check = await self.prepare(), account.client.credits  # which no part needs
        self._parts = part_runs(
            account, self.journal, record, tracker=self.tracker, check=check, title=""
        )
        for part in self._parts:
            part.spent = 0 if part.part.number in paid_before else part.record.credits
        lost = [part for part in self._parts if part.part.number not in failed]
        again = await verify_parts(lost, self.journal, self._settings.parts_at_once)
        self._fail({**failed, **again})

    async def _confirm(self, plan: RunPlan) -> None:
        """Ask whether to go on.

        Raises:
            UsageError: the answer is no, or is not a bool.
        """
        if self._settings.confirm is None:
            return
        answer = self._settings.confirm(plan)
        confirmed = await answer if isawaitable(answer) else answer
        nothing = f"Nothing {'more ' if self.record.sent else ''}was sent or spent."
        if not isinstance(confirmed, bool):
            raise UsageError(
                f"The answer to the plan must be True or False, not {confirmed!r}. {nothing}"
            )
        if not confirmed:
            raise UsageError(f"The plan was not confirmed. {nothing}")

    def _held_up(self, why: str) -> None:
        """Tell why nothing is sent, as a note on the first part that has no results yet."""
        for record in self.record.parts:
            if record.state is not PartState.DOWNLOADED:
                self.tracker.tell_part(record.number, Stage.QUEUED, note=why)
                return

    def _fail(self, failed: Mapping[int, BulkVerifyError]) -> None:
        """Remember the parts that failed; if there is only one part, raise its error."""
        if failed and len(self.record.parts) == 1:
            raise failed[1]
        self.failures += failures(self.record, failed)

    async def join(
        self,
        file: BinaryIO,
        output_format: OutputFormat,
        only: frozenset[Verdict] | None,
        *,
        without: frozenset[str] = frozenset(),
        excel_safe: bool,
        domains: bool,
    ) -> Joined:
        """Write all rows, each with its verdict if it has one.

        A part whose results can't be read counts as failed; the next call fetches them again.
        """
        writing = partial(
            join,
            file=file,
            format=output_format,
            only=only,
            without=without,
            excel_safe=excel_safe,
            domains=domains,
        )
        try:
            return await self._join(writing)
        except TransportError:
            unreadable = await in_thread(partial(_unreadable, self.journal.results()))
            if not unreadable:
                raise
            self.journal.forget_results(unreadable)
            for error in unreadable.values():
                known_of(self._client).redacted(error)
            self._fail(unreadable)
        # All results are read before the first row is written, so the file is still empty.
        return await self._join(writing)

    async def _join(self, writing: Callable[..., Joined]) -> Joined:
        self.tracker.tell(Stage.JOINING)
        table, journal = await self.list.open(), self.journal
        work = partial(writing, table, self.record.split, journal.folder, journal.results())
        return await in_thread(work, lambda rows: self.tracker.tell(Stage.JOINING, rows_done=rows))

    async def rows(
        self, only: frozenset[Verdict] | None, without: frozenset[str] = frozenset()
    ) -> Generator[JoinedRow]:
        """Give all rows, each with its verdict if it has one."""
        self.tracker.tell(Stage.JOINING)
        return joined_rows(
            await self.list.open(),
            self.record.split,
            self.journal.folder,
            self.journal.results(),
            only=only,
            without=without,
        )

    def incomplete(self, report: RunReport | None, outcome: str) -> IncompleteRunError:
        """Make the error of a run with failed parts; `outcome` says where the other rows are."""
        told = [
            f"Part {failure.number} (rows {failure.first_row:,} to {failure.last_row:,}): {failure.error}: "
            f"{clause(failure.message)}."
            for failure in self.failures[:_FAILURES_SHOWN]
        ]
        if len(self.failures) > _FAILURES_SHOWN:
            told.append(f"And {len(self.failures) - _FAILURES_SHOWN} more.")
        lost = sum(failure.addresses for failure in self.failures)
        goes_on = "goes on with them, and pays for nothing twice."
        out = shell_out = ""
        if any(failure.paid for failure in self.failures):
            out, shell_out = (
                f" {way}" for way in restart_hints(self.journal.folder, self.record.credits)
            )
        return IncompleteRunError(
            f"{len(self.failures)} of {len(self.record.parts)} parts, with {lost:,} addresses, got no verdicts. "
            f"{outcome} {' '.join(told)}",
            report=report,
            failures=self.failures,
        ).with_hint(f"The same call {goes_on}{out}", f"The same command {goes_on}{shell_out}")

    def job_ids(self) -> list[str]:
        """Return the ids of the lists on the service."""
        return [part.job_id for part in self.record.parts if part.job_id is not None]

    async def delete(self, job_ids: Iterable[str]) -> None:
        """Delete lists from the service, unless they are gone."""
        for job_id in job_ids:
            with suppress(JobNotFoundError):
                await self._client.delete(job_id)

    async def finish(self, *, delivered: bool) -> None:
        """End a run that is complete, and delete its journal.

        If the caller has all rows (`delivered`), the next call ignores a journal that can't be deleted.
        """
        record = self.journal.record
        if delivered and record is not None and record.sent:
            record.finished = True
            self.journal.save()
        await in_thread(self.journal.remove)
        self.tracker.tell(Stage.DONE)

    async def end(self) -> None:
        """Delete the journal if a later call could not go on with it."""
        record = self.journal.record
        if not (self.journal.has_lost_record or (record is not None and record.sent)):
            await in_thread(self.journal.remove)

    def report_again(self, written: Written, destination: str) -> RunReport:
        """Return the report of an output that an earlier call has written."""
        before = written.report
        return attrs.evolve(
            before,
            destination=destination,
            credits_spent=0,
            credits_spent_before=before.credits_spent + before.credits_spent_before,
            requests=self._client.stats.requests - self._requests,
            seconds=round(monotonic() - self._began, 3),
            durations=self.tracker.durations(),
            already_verified_at=written.written_at,
        )

    def report(self, joined: Joined, destination: str) -> RunReport:
        """Return the report of the run."""
        split, parts = self.record.split, self.record.parts
        spent = sum(part.spent for part in self._parts)
        return RunReport(
            destination=destination,
            lists=self._lists,
            rows=split.rows,
            written=joined.written,
            addresses=split.addresses,
            duplicates=split.duplicates,
            invalid=split.invalid,
            blank=split.blank,
            short=split.short,
            saved=split.rows - split.addresses,
            missing=joined.missing,
            verdicts=joined.verdicts,
            flags=joined.flags,
            credits_spent=spent,
            credits_spent_before=self.record.credits - spent,
            orphans=sum(part.orphans for part in parts),
            requests=self._client.stats.requests - self._requests,
            seconds=round(monotonic() - self._began, 3),
            durations=self.tracker.durations(),
            parts=tuple(
                PartReport(
                    number=part.number,
                    addresses=part.addresses,
                    first_row=part.first_row,
                    last_row=part.last_row,
                    job_id=record.job_id,
                    credits=record.credits,
                )
                for part, record in zip(split.parts, parts, strict=True)
            ),
            failures=self.failures,
            unclear=split.unclear,
            unwrapped=split.unwrapped,
            stray=split.stray,
            stray_at=split.stray_at,
            examples=joined.examples,
            began_at=self.record.began_at,
            ended_at=datetime.now(UTC),
            service=self.record.base_url,
            trial=self.record.trial or known_of(self._client).is_sandbox,
            findings=joined.findings,
            domains=joined.domains,
            curve=tuple(self.record.curve),
            reused=split.reused,
        )


def _unreadable(results: Mapping[int, Path]) -> dict[int, BulkVerifyError]:
    """Return the errors of the results that can't be read, by part."""
    errors: dict[int, BulkVerifyError] = {}
    for number, path in results.items():
        try:
            deque(read_rows(path), maxlen=0)
        except TransportError as error:
            errors[number] = error
    return errors

"""What a run reports: its progress, its plan, its outcome and its errors."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from enum import StrEnum
from importlib import import_module
from typing import TypeAlias

import attrs

from bulkverify.errors import BulkVerifyError, UsageError
from bulkverify.lists import CellExample, Domains, Finding, Reused
from bulkverify.models import Analysis, JobSnapshot, VerdictCounts


class Stage(StrEnum):
    """What a run, or one part of its list, is doing."""

    READING = "reading"
    """The list is read and split."""
    QUEUED = "queued"
    """A part waits for its turn, or until the account has room for one more list."""
    UPLOADING = "uploading"
    """A part is uploaded."""
    PREPARING = "preparing"
    """The service reads a part."""
    STARTING = "starting"
    """A part is started, which spends its credits."""
    VERIFYING = "verifying"
    """The service verifies a part."""
    DOWNLOADING = "downloading"
    """The results of a part are being downloaded."""
    FETCHED = "fetched"
    """The results of a part are here."""
    FAILED = "failed"
    """A part gets no verdicts in this run."""
    JOINING = "joining"
    """The rows are written with their verdicts."""
    DONE = "done"
    """The output is complete."""


@attrs.frozen(kw_only=True)
class PartProgress:
    """The progress of one part of a list."""

    number: int
    """The number of the part, from 1."""
    addresses: int
    """The addresses that it holds."""
    stage: Stage = Stage.QUEUED
    """What the part is doing."""
    job_id: str | None = None
    """The id of its job; `None` before it is uploaded."""
    snapshot: JobSnapshot | None = None
    """The last snapshot of its job; `None` before the first."""
    note: str = ""
    """Why the part does not move, if that is known."""

    @property
    def verified(self) -> int:
        """How many of its addresses have a verdict, by the last snapshot."""
        if self.stage in {Stage.DOWNLOADING, Stage.FETCHED}:
            return self.addresses
        if self.stage is not Stage.VERIFYING or self.snapshot is None:
            return 0
        return min(self.addresses, max(0, self.snapshot.verified or 0))


@attrs.frozen(kw_only=True)
class RunProgress:
    """The progress of a run."""

    stage: Stage
    """The stage of `part`, or of the whole run."""
    rows: int = 0
    """The rows of the list; 0 until it has been read."""
    rows_done: int = 0
    """The rows that have been read, or joined with their verdicts."""
    addresses: int = 0
    """The addresses that are sent and paid for; 0 until the list has been read."""
    part: PartProgress | None = None
    """The part whose progress has changed; `None` for the whole run."""
    parts: tuple[PartProgress, ...] = ()
    """All parts, once the list has been split."""
    rate: float | None = None
    """The addresses that get a verdict in a second; `None` before it is known."""
    seconds_left: float | None = None
    """The seconds until all addresses have a verdict at this rate; `None` before it is known."""

    @property
    def verified(self) -> int:
        """How many addresses have a verdict, over all parts."""
        return sum(part.verified for part in self.parts)

    @property
    def fraction(self) -> float | None:
        """The share of the addresses that have a verdict, from 0 to 1; `None` until the list has been read."""
        return self.verified / self.addresses if self.addresses else None


@attrs.frozen(kw_only=True)
class PlannedList:
    """How a list is read, and which column is taken."""

    title: str
    """The path of the list, or a name for it."""
    format: str
    """How it is written: `csv`, `tsv`, `txt`, `jsonl`, `xlsx`, or `rows` if it is no file."""
    encoding: str
    """The encoding of its text; empty if it has none."""
    column: str
    """The name of the column of addresses."""
    place: int
    """The place of this column, from 1."""
    others: tuple[str, ...] = ()
    """The names of other columns with addresses among the first rows; these are not sent."""
    sheet: str = ""
    """The sheet of a workbook that is read; empty for other lists."""
    other_sheets: tuple[str, ...] = ()
    """The other sheets that have addresses; these are not read."""
    hidden_sheets: tuple[str, ...] = ()
    """Those of the sheets with addresses that are hidden."""
    hidden_rows: int = 0
    """The rows that are hidden in the sheet, as by a filter; they are read like all others."""
    uncalculated: int = 0
    """The formulas without a value, because they were never calculated; their cells are read as empty."""
    uncalculated_at: str = ""
    """The first cell with such a formula."""


@attrs.frozen(kw_only=True)
class RunPlan:
    """What a run would send and cost. Rows that are duplicate, invalid, blank or unclear are not sent."""

    lists: tuple[PlannedList, ...]
    """The lists that are read as one."""
    rows: int
    """The rows of the list."""
    addresses: int
    """The distinct addresses that would be sent; each costs one credit."""
    duplicates: int
    """The rows that repeat the address of an earlier row."""
    invalid: int
    """The rows with a text that can't be an address."""
    blank: int
    """The rows without an address."""
    short: int
    """The rows with fewer cells than the list has columns."""
    parts: int
    """The number of parts that would be sent."""
    cost: int
    """The credits that the run would spend; earlier calls have paid the rest."""
    spent_before: int = 0
    """The credits that earlier calls have spent on the list."""
    uncertain: int = 0
    """The credits in `spent_before` of starts that may not have arrived; the run spends them if they did not."""
    balance: int | None = None
    """The credits that the account has, if the service was asked."""
    already_verified_at: datetime | None = None
    """When an earlier call wrote the output, if one did; the run would then send and spend nothing."""
    unclear: int = 0
    """The rows with several addresses in one cell, or one among other words; none would be sent."""
    unwrapped: int = 0
    """The rows with something around the address that would not be sent, such as a name."""
    stray: int = 0
    """The rows with a quote that opens a cell and does not close it; the quote was read as text."""
    stray_at: str = ""
    """The line of the first such quote, and its list."""
    examples: tuple[CellExample, ...] = ()
    """The first cells that are unwrapped, unclear or invalid."""

    reused: Reused = attrs.field(factory=Reused)
    """The addresses that would not be sent, because an earlier verdict is reused."""

    @property
    def saved(self) -> int:
        """The additional credits that sending every row would cost."""
        return self.rows - self.addresses


Confirm: TypeAlias = Callable[[RunPlan], bool | Awaitable[bool]]
"""Called with the plan before anything is spent; returns whether to go on."""


@attrs.frozen(kw_only=True)
class _PartOfList:
    """One part of a list, as it was sent."""

    number: int
    """The number of the part, from 1."""
    addresses: int
    """The addresses that it held."""
    first_row: int
    """The row, counted from 1, in which the part's first address first appears."""
    last_row: int
    """The row, counted from 1, in which the part's last address first appears."""
    job_id: str | None
    """The id of its job; `None` if it had none."""


@attrs.frozen(kw_only=True)
class PartReport(_PartOfList):
    """One part of a list that was verified."""

    credits: int
    """The credits that it cost."""


@attrs.frozen(kw_only=True)
class PartFailure(_PartOfList):
    """A part that got no verdicts, and why."""

    paid: bool
    """Whether its verification had been started."""
    error: str
    """The name of the error's class."""
    message: str
    """The message of the error."""


@attrs.frozen(kw_only=True)
class Durations:
    """The seconds that a run spent in each stage. Stages of different parts overlap."""

    reading: float = 0.0
    """Reading and splitting the list."""
    uploading: float = 0.0
    """Uploading parts."""
    preparing: float = 0.0
    """Waiting until parts were ready."""
    starting: float = 0.0
    """Starting parts."""
    verifying: float = 0.0
    """Waiting until parts were completed."""
    downloading: float = 0.0
    """Downloading results."""
    joining: float = 0.0
    """Writing the rows with their verdicts."""


@attrs.frozen(kw_only=True)
class CurvePoint:
    """How far a run was at one moment."""

    seconds: float
    """The seconds since the first call began."""
    verified: int
    """The addresses that had a verdict."""


@attrs.frozen(kw_only=True)
class RunReport:
    """The outcome of a run."""

    destination: str
    """The path of the output."""
    rows: int
    """The rows of the list."""
    written: int
    """The rows of the output; fewer if only some verdicts were wanted."""
    addresses: int
    """The distinct addresses that were sent; each was paid for once."""
    duplicates: int
    """The rows that repeat the address of an earlier row."""
    invalid: int
    """The rows with a text that can't be an address; none was sent."""
    blank: int
    """The rows without an address."""
    short: int
    """The rows with fewer cells than the list has columns; the output has empty cells there."""
    saved: int
    """The credits that sending duplicates, invalid, blank and unclear rows, and reused addresses would have cost."""
    missing: int
    """The rows without a verdict, except unclear ones: their part failed, or the service left them out."""
    verdicts: VerdictCounts
    """The rows by verdict. `findings` also has verdicts that this version does not know."""
    flags: Analysis
    """The rows by flag."""
    credits_spent: int
    """The credits that this call spent."""
    credits_spent_before: int
    """The credits that earlier calls spent."""
    orphans: int
    """Uploads whose answer was lost. Each may have left a list on the service that is never started and costs nothing."""
    requests: int
    """The requests that the client sent during this call."""
    seconds: float
    """The seconds that this call took."""
    durations: Durations
    """The seconds of each stage."""
    parts: tuple[PartReport, ...]
    """The parts of the list."""
    failures: tuple[PartFailure, ...] = ()
    """The parts that got no verdicts."""
    unclear: int = 0
    """The rows with several addresses in one cell, or one among other words; none was sent."""
    unwrapped: int = 0
    """The rows with something around the address that was not sent, such as a name."""
    stray: int = 0
    """The rows with a quote that opens a cell and does not close it; the quote was read as text."""
    stray_at: str = ""
    """The line of the first such quote, and its list."""
    examples: tuple[CellExample, ...] = ()
    """The first cells that are unclear or invalid."""
    lists: tuple[PlannedList, ...] = ()
    """The lists that were read as one, and the column of each."""
    already_verified_at: datetime | None = None
    """When an earlier call wrote this output, if one did; this call then sent and spent nothing."""
    version: int = 1
    """The format of the report as JSON; it changes only if older versions can't read it."""
    began_at: datetime | None = None
    """When the first call began, in UTC."""
    ended_at: datetime | None = None
    """When the output was complete, in UTC."""
    service: str = ""
    """The base URL of the service."""
    trial: bool = False
    """Whether the service said that it is bulkverify's sandbox: its verdicts are made up, and no credit was spent."""
    findings: tuple[Finding, ...] = ()
    """The rows and addresses by verdict and flags."""
    domains: Domains | None = None
    """The rows by domain; `None` unless they were asked for."""
    curve: tuple[CurvePoint, ...] = ()
    """The progress of the run over all of its calls, as at most 240 points."""
    reused: Reused = attrs.field(factory=Reused)
    """The addresses that were not sent, because an earlier verdict was reused."""

    def to_html(self, *, small_domains: bool = False) -> str:
        """Return a page for readers who did not write the list; it loads nothing and runs no script.

        It needs `pip install "bulkverify[report]"`, and shows no address. Domains are on it only if the
        run counted them (`verify_list(..., domains=True)`). With `small_domains`, it also names domains
        with fewer than five rows, which can point to a person.
        """
        page: str = import_module("bulkverify.report.page").html_of(
            self, small_domains=small_domains
        )
        return page

    def to_json(self) -> str:
        """Return the report as JSON."""
        document: str = import_module("bulkverify.report.documents").json_of(self)
        return document

    @classmethod
    def from_json(cls, text: str | bytes) -> "RunReport":
        """Read a report from JSON; those of earlier versions open as well.

        Raises:
            UsageError: it is not a report, or a newer version wrote it.
        """
        report: RunReport = import_module("bulkverify.report.documents").report_of(text)
        return report


class JournalError(UsageError):
    """The progress of an earlier run at `path` is in use, can't be read, or belongs to another list.

    Nothing was sent.
    """

    def __init__(self, message: str = "", *, path: str | None = None) -> None:
        super().__init__(message)
        self.path = path


class IncompleteRunError(BulkVerifyError):
    """A run has ended, and some parts of its list have no verdicts.

    `report` covers the other parts (`None` if the rows were given one by one). `failures` says for
    each failed part which rows it held, and why it failed. The same call goes on with these parts.
    """

    def __init__(
        self,
        message: str = "",
        *,
        report: RunReport | None = None,
        failures: tuple[PartFailure, ...] = (),
    ) -> None:
        super().__init__(message)
        self.report = report
        self.failures = failures

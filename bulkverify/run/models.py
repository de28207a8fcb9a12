"""What a run tells: how far it is while it lasts, and what it came to."""

from datetime import datetime
from enum import StrEnum

import attrs

from bulkverify.models import Analysis, JobSnapshot, VerdictCounts


class Stage(StrEnum):
    """What a run, or one part of its list, is busy with."""

    READING = "reading"
    QUEUED = "queued"
    """A part waits until its turn has come, or until the account may have one more list."""
    UPLOADING = "uploading"
    PREPARING = "preparing"
    STARTING = "starting"
    VERIFYING = "verifying"
    DOWNLOADING = "downloading"
    FETCHED = "fetched"
    """The results of a part are here."""
    FAILED = "failed"
    """A part will get no verdicts in this run."""
    JOINING = "joining"
    DONE = "done"


@attrs.frozen(kw_only=True)
class PartProgress:
    """How far one part of a list is; `note` says why it does not move, where that is known."""

    number: int
    addresses: int
    stage: Stage = Stage.QUEUED
    job_id: str | None = None
    snapshot: JobSnapshot | None = None
    note: str = ""

    @property
    def verified(self) -> int:
        """How many of its addresses have a verdict, as far as the service has told."""
        if self.stage in {Stage.DOWNLOADING, Stage.FETCHED}:
            return self.addresses
        if self.stage is not Stage.VERIFYING or self.snapshot is None:
            return 0
        return min(self.addresses, max(0, self.snapshot.verified or 0))


@attrs.frozen(kw_only=True)
class RunProgress:
    """How far a run is.

    Attributes:
        stage: what has just begun or changed.
        rows: of the list; 0 until it has been read.
        rows_done: that have been read, or joined with their verdicts.
        addresses: that are sent and paid for; 0 until the list has been read.
        part: the part that it is about, if it is about one.
        parts: all of them, once the list has been split.
    """

    stage: Stage
    rows: int = 0
    rows_done: int = 0
    addresses: int = 0
    part: PartProgress | None = None
    parts: tuple[PartProgress, ...] = ()

    @property
    def verified(self) -> int:
        """How many addresses have a verdict, over all parts."""
        return sum(part.verified for part in self.parts)


@attrs.frozen(kw_only=True)
class RunPlan:
    """What a run would send and cost: one credit for each of the `addresses`, in so many `parts`.

    Of the `rows`, `duplicates` have an address that an earlier row has, `invalid` hold none that
    could be one, and `blank` hold nothing: none of them is sent. `short` rows lack cells at their ends.
    """

    rows: int
    addresses: int
    duplicates: int
    invalid: int
    blank: int
    short: int
    parts: int

    @property
    def saved(self) -> int:
        """The credits that sending every row would have cost on top."""
        return self.duplicates + self.invalid + self.blank


@attrs.frozen(kw_only=True)
class PartReport:
    """One part of a list: what it held, which job it was, and how many credits went into it.

    The addresses of a part first appear in the rows from `first_row` to `last_row`, counted from 1.
    """

    number: int
    addresses: int
    first_row: int
    last_row: int
    job_id: str | None
    credits: int


@attrs.frozen(kw_only=True)
class PartFailure:
    """A part that got no verdicts: which rows it held, and the error with its message.

    `paid` says whether its verification had been started.
    """

    number: int
    addresses: int
    first_row: int
    last_row: int
    job_id: str | None
    paid: bool
    error: str
    message: str


@attrs.frozen(kw_only=True)
class Durations:
    """For how many seconds a run was busy with each stage; stages of different parts overlap."""

    reading: float = 0.0
    uploading: float = 0.0
    preparing: float = 0.0
    starting: float = 0.0
    verifying: float = 0.0
    downloading: float = 0.0
    joining: float = 0.0


@attrs.frozen(kw_only=True)
class RunReport:
    """What a run came to.

    Attributes:
        destination: the output.
        rows: of the list.
        written: rows of the output; fewer where only some verdicts were wanted.
        addresses: distinct ones, each sent and paid for once.
        duplicates: rows with an address that an earlier row has.
        invalid: rows with what can't be an address, which was found out here.
        blank: rows without an address.
        short: rows with fewer cells than the list has columns; the output has empty ones there.
        saved: the credits that sending these three would have cost.
        missing: rows without a verdict, because the service did not return their address or their
            part failed.
        verdicts: rows by verdict.
        flags: rows by flag.
        credits_spent: by this call.
        credits_spent_before: by earlier calls.
        orphans: uploads whose answer was lost with such a call: at most so many lists are on the
            service that nobody will start; they cost nothing.
        requests: sent by this client meanwhile.
        seconds: that this call took.
        durations: of its stages.
        parts: of the list.
        failures: the parts that got no verdicts.
        already_verified_at: when an earlier call has written this very output; this one has sent
            and spent nothing.
    """

    destination: str
    rows: int
    written: int
    addresses: int
    duplicates: int
    invalid: int
    blank: int
    short: int
    saved: int
    missing: int
    verdicts: VerdictCounts
    flags: Analysis
    credits_spent: int
    credits_spent_before: int
    orphans: int
    requests: int
    seconds: float
    durations: Durations
    parts: tuple[PartReport, ...]
    failures: tuple[PartFailure, ...] = ()
    already_verified_at: datetime | None = None

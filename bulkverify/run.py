"""The whole job in one call: from a list of people's to a verdict behind every row."""

import asyncio
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from enum import StrEnum
from io import StringIO
from pathlib import Path
from typing import Final

import attrs
from tenacity.wait import wait_base

from bulkverify.client import Client, Job
from bulkverify.downloads import read_rows
from bulkverify.errors import (
    AlreadyStartedError,
    InsufficientCreditsError,
    InvalidListError,
    UsageError,
)
from bulkverify.files import check_writable, replacing
from bulkverify.lifecycle import JobStatus
from bulkverify.lists import AddressList, address_key, inspect_list, row_writer, write_joined
from bulkverify.models import Analysis, JobSnapshot, ResultRow, Verdict, VerdictCounts
from bulkverify.waiting import DEFAULT_TIMEOUT, wait_until


class Stage(StrEnum):
    """What a run is busy with."""

    READING = "reading"
    UPLOADING = "uploading"
    PREPARING = "preparing"
    STARTING = "starting"
    VERIFYING = "verifying"
    DOWNLOADING = "downloading"
    JOINING = "joining"
    DONE = "done"


@attrs.frozen(kw_only=True)
class RunProgress:
    """How far a run is; `rows` and `addresses` are 0 while the list is being read."""

    stage: Stage
    job_id: str | None = None
    rows: int = 0
    addresses: int = 0
    snapshot: JobSnapshot | None = None


@attrs.frozen(kw_only=True)
class RunReport:
    """What a run came to.

    Of the list's `rows`, `duplicates` had an address that an earlier row has, and `blank` had none:
    neither was sent, and each address was paid for once. `verdicts` and `flags` count rows; `missing`
    rows got no verdict, because the service did not return their address.
    """

    job_id: str
    rows: int
    addresses: int
    duplicates: int
    blank: int
    missing: int
    verdicts: VerdictCounts
    flags: Analysis
    credits_spent: int
    seconds: float
    destination: str


@attrs.frozen(kw_only=True)
class _Contents:
    """A list as read: its distinct addresses, as they are written where they come first."""

    source: AddressList
    rows: int
    blank: int
    addresses: dict[str, str] = attrs.field(repr=False)

    def as_csv(self) -> bytes:
        """Write the addresses as the list that is sent: nothing else leaves this machine."""
        text = StringIO(newline="")
        write = row_writer(text)
        write(["email"])
        for address in self.addresses.values():
            write([address])
        return text.getvalue().encode()


# What has no address can't be delivered to: known without asking, and without paying.
_BLANK: Final = ResultRow(
    email="",
    verdict=Verdict.UNDELIVERABLE,
    syntax_error=True,
    common_isp=False,
    role_based=False,
    disposable=False,
    spamtrap=False,
)


async def verify_list(
    client: Client,
    source: str | os.PathLike[str],
    destination: str | os.PathLike[str],
    *,
    column: str | None = None,
    delimiter: str | None = None,
    encoding: str = "utf-8-sig",
    max_credits: int | None = None,
    job_id: str | None = None,
    overwrite: bool = False,
    delete: bool = False,
    timeout: float | None = DEFAULT_TIMEOUT,
    wait: wait_base | None = None,
    on_progress: Callable[[RunProgress], object] | None = None,
) -> RunReport:
    """Verify a CSV file, and write it again with a verdict behind every row.

    Each distinct address is sent and paid for once; the other columns stay here. The output has the
    rows of the list in their order with all their columns, then `verdict`, the five flags as `Y` or `N`,
    and `verified_at`. It appears when it is complete.

    Args:
        client: the account.
        source: the list, of at most 500,000 distinct addresses and 10 MB of them.
        destination: the output, as UTF-8.
        column: the name of the address column; found out if left out.
        delimiter: between cells; found out if left out.
        encoding: of the list.
        max_credits: refuse to spend more than this.
        job_id: go on with the upload of an earlier run of this list, instead of a new one.
        overwrite: replace an output that exists.
        delete: delete the list from the service when the output is complete; it is kept where rows
            are missing.
        timeout: seconds for each of the two waits; `None` for no limit.
        wait: when to ask again, as for `wait_until`.
        on_progress: called when something has changed.

    Raises:
        FileExistsError: the output exists.
        InvalidListError: the list can't be used; the message names the line.
        InsufficientCreditsError: the account has too few; nothing was spent, and `job_id` goes on.
        UsageError: an argument can't be right, or the run would cost more than `max_credits`.
        LifecycleError, ServiceError, TransportError: as for `Client` and `wait_until`.
        OSError: a file can't be read or written.
    """
    began = time.monotonic()
    run = _Run(client, on_progress, resumed=job_id is not None)
    check_writable(destination, overwrite=overwrite)
    contents = await asyncio.to_thread(_read, source, column, delimiter, encoding)
    run.contents = contents
    cost = len(contents.addresses)
    if max_credits is not None and cost > max_credits:
        raise UsageError(
            f"{contents.source.path} has {cost:,} distinct addresses and would cost as many credits, more than "
            f"the {max_credits:,} allowed. Nothing was sent."
        )
    if job_id is None:
        run.tell(Stage.UPLOADING)
        run.job = await client.upload(contents.as_csv(), title=Path(source).name)
    else:
        run.job = client.job(job_id)
    spent = await run.verify(timeout, wait, max_credits)
    with tempfile.TemporaryDirectory(prefix="bulkverify-") as folder:
        results = Path(folder) / "results.csv"
        run.tell(Stage.DOWNLOADING)
        await run.job.download(results)
        run.tell(Stage.JOINING)
        outcome = await asyncio.to_thread(_join, contents, results, destination)
    if delete and not outcome["missing"]:
        await run.job.delete()
    run.tell(Stage.DONE)
    return RunReport(
        job_id=run.job.id,
        rows=contents.rows,
        addresses=cost,
        duplicates=contents.rows - contents.blank - cost,
        blank=contents.blank,
        missing=outcome["missing"],
        verdicts=VerdictCounts(**{verdict.value: outcome[verdict.value] for verdict in Verdict}),
        flags=Analysis(**{flag.name: outcome[flag.name] for flag in attrs.fields(Analysis)}),
        credits_spent=spent,
        seconds=round(time.monotonic() - began, 3),
        destination=os.fspath(destination),
    )


class _Run:
    """One run under way: its job, and whoever wants to know."""

    def __init__(
        self,
        client: Client,
        on_progress: Callable[[RunProgress], object] | None,
        *,
        resumed: bool,
    ) -> None:
        self._client = client
        self._resumed = resumed
        self._on_progress = on_progress
        self.contents: _Contents | None = None
        self.job: Job | None = None
        self.tell(Stage.READING)

    def tell(self, stage: Stage, snapshot: JobSnapshot | None = None) -> None:
        if self._on_progress is None:
            return
        contents, job = self.contents, self.job
        self._on_progress(
            RunProgress(
                stage=stage,
                job_id=job.id if job else None,
                rows=contents.rows if contents else 0,
                addresses=len(contents.addresses) if contents else 0,
                snapshot=snapshot or (job.snapshot if job else None),
            )
        )

    async def verify(
        self, timeout: float | None, wait: wait_base | None, max_credits: int | None
    ) -> int:
        """See the job through to its completion, and return the credits spent on it by this run."""
        assert self.job is not None  # noqa: S101 - set before
        assert self.contents is not None  # noqa: S101 - set before
        self.tell(Stage.PREPARING)
        snapshot = await wait_until(
            self.job,
            JobStatus.READY,
            timeout=timeout,
            wait=wait,
            on_progress=lambda seen: self.tell(Stage.PREPARING, seen),
        )
        cost = len(self.contents.addresses) if snapshot.total is None else snapshot.total
        if self._resumed and cost != len(self.contents.addresses):
            raise UsageError(
                f"Job {self.job.id} holds {cost:,} addresses and this list has "
                f"{len(self.contents.addresses):,}: it is not an upload of this list. Nothing was started."
            )
        spent = 0
        if snapshot.status is JobStatus.READY:
            if max_credits is not None and cost > max_credits:
                raise UsageError(
                    f"Job {self.job.id} would cost {cost:,} credits, more than the {max_credits:,} allowed: the "
                    f"service counts otherwise than we do ({len(self.contents.addresses):,}). Nothing was started."
                )
            self.tell(Stage.STARTING)
            spent = await self._start(self.job, cost)
        self.tell(Stage.VERIFYING)
        await wait_until(
            self.job,
            JobStatus.COMPLETED,
            timeout=timeout,
            wait=wait,
            on_progress=lambda seen: self.tell(Stage.VERIFYING, seen),
        )
        return spent

    async def _start(self, job: Job, cost: int) -> int:
        account = await self._client.credits()
        if account.remaining < cost:
            hint = "Nothing was started and nothing spent; order credits, then go on with this job."
            if self._resumed:  # the status may not show yet that it was started, and paid
                hint = (
                    "This run started nothing. If an earlier run has only just started the job, go on "
                    "with it in a minute; else order credits first."
                )
            raise InsufficientCreditsError(
                f"Job {job.id} costs {cost:,} credits and the account has {account.remaining:,}. {hint}"
            )
        try:
            await job.start()
        except AlreadyStartedError:  # by an earlier run, whose start the status does not show yet
            return 0
        return cost


def _read(
    path: str | os.PathLike[str], column: str | None, delimiter: str | None, encoding: str
) -> _Contents:
    source = inspect_list(path, column=column, delimiter=delimiter, encoding=encoding)
    addresses: dict[str, str] = {}
    rows = blank = 0
    for row in source.rows():
        rows += 1
        address = source.address(row)
        if address:
            addresses.setdefault(address_key(address), address)
        else:
            blank += 1
    if not addresses:
        name = source.names[source.column]
        raise InvalidListError(
            f"{path} has no addresses in its column {name!r}: there is nothing to verify. Name the "
            "right one with `column`."
        )
    return _Contents(source=source, rows=rows, blank=blank, addresses=addresses)


def _join(contents: _Contents, results: Path, destination: str | os.PathLike[str]) -> Counter[str]:
    """Write the output; count the rows of each verdict and flag, and those that are missing."""
    verdicts = {address_key(row.email): row for row in read_rows(results)}
    if not contents.addresses.keys() <= verdicts.keys():
        # A service that writes addresses in lower case has still answered for them.
        folded = {key.lower(): row for key, row in verdicts.items()}
        for key in contents.addresses.keys() - verdicts.keys():
            if key.lower() in folded:
                verdicts[key] = folded[key.lower()]
    verdicts[""] = _BLANK
    outcome: Counter[str] = Counter()
    with replacing(destination) as file:
        for row in write_joined(file, contents.source, verdicts):
            if row is None:
                outcome["missing"] += 1
                continue
            outcome[row.verdict.value] += 1
            for flag in attrs.fields(Analysis):
                outcome[flag.name] += bool(getattr(row, flag.name))
    return outcome

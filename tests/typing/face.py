"""The public face as a type checker sees it: checked by mypy and pyright, and never run."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import assert_type

import aiohttp
import pandas as pd
import polars as pl
from tenacity import wait_exponential, wait_fixed, wait_random

import bulkverify
from bulkverify import (
    Acknowledgement,
    AddressVerdict,
    Analysis,
    BulkVerifyError,
    Client,
    Credits,
    Durations,
    FilterReport,
    FlagName,
    IllegalTransitionError,
    IncompleteDownloadError,
    IncompleteRunError,
    Job,
    JobSnapshot,
    JobStatus,
    JoinedRow,
    JournalError,
    LifecycleError,
    ListFormat,
    PartFailure,
    PartProgress,
    PartReport,
    PollState,
    Progress,
    ProtocolError,
    RateLimitedError,
    RequestTimeoutError,
    ResultRow,
    RowGroup,
    RunPlan,
    RunProgress,
    RunReport,
    RunSource,
    ServiceError,
    Stage,
    Stats,
    StatusName,
    UploadSource,
    UploadUncertainError,
    Verdict,
    VerdictCounts,
    VerdictName,
    WaitTimeoutError,
    as_completed,
    filter_list,
    plan_list,
    verify_list,
    verify_rows,
    wait_all,
    wait_for_progress,
    wait_until,
    watch,
)

assert_type(bulkverify.__version__, str)
no_such_name = bulkverify.no_such_name  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]


def settings(session: aiohttp.ClientSession) -> None:
    assert_type(Client(), Client)
    assert_type(
        Client(
            "key",
            base_url="https://api.validto.com/v1",
            session=session,
            attempts=2,
            backoff=wait_exponential(max=10) + wait_random(0, 1),
            requests_per_minute=None,
            allow_http=True,
        ),
        Client,
    )


async def calls(rows: list[dict[str, int | str]]) -> None:
    async with Client() as client:
        assert_type(client, Client)
        assert_type(await client.upload("contacts.csv"), Job)
        assert_type(await client.upload(Path("contacts.csv"), auto_verify=True), Job)
        assert_type(await client.upload(b"email\na@example.com\n", title="July"), Job)
        assert_type(await client.upload(address for address in ("a@example.com",)), Job)
        assert_type(await client.upload(rows), Job)
        source: UploadSource = rows
        assert_type(await client.upload(source), Job)
        assert_type(client.job("r374"), Job)
        assert_type(client.job("r374", started=True), Job)
        assert_type(await client.status("r374"), JobSnapshot)
        assert_type(await client.start("r374"), Acknowledgement)
        assert_type(await client.download("r374", "out.csv", verdicts=["deliverable"]), int)
        assert_type(
            client.rows("r374", verdicts=[Verdict.UNKNOWN]), AsyncGenerator[ResultRow, None]
        )
        assert_type(await client.delete("r374"), Acknowledgement)
        assert_type(await client.verify("a@example.com", timeout=60), AddressVerdict)
        assert_type(await client.credits(), Credits)
        assert_type(client.stats, Stats)
        assert_type(client.stats.requests, int)
        assert_type(await client.close(), None)


async def a_job(job: Job) -> None:
    assert_type(job.id, str)
    assert_type(job.client, Client)
    assert_type(job.snapshot, JobSnapshot | None)
    assert_type(await job.status(), JobSnapshot)
    assert_type(await job.start(), Acknowledgement)
    assert_type(await job.download(Path("out.csv")), int)
    async for row in job.rows(encoding="cp1252"):
        assert_type(row, ResultRow)
    assert_type(await job.delete(), Acknowledgement)


async def waits(job: Job) -> None:
    def show(snapshot: JobSnapshot) -> None:
        print(snapshot.progress)  # noqa: T201 - never run

    assert_type(await wait_until(job), JobSnapshot)
    assert_type(await wait_until(job, "ready", timeout=None, on_progress=show), JobSnapshot)
    status: StatusName = "verifying"
    assert_type(await wait_until(job, status), JobSnapshot)
    assert_type(await wait_until(job, JobStatus.READY, wait=wait_fixed(5)), JobSnapshot)
    assert_type(
        await wait_until(job, wait=wait_for_progress(floor=2, ceiling=60) + wait_random(0, 1)),
        JobSnapshot,
    )
    assert_type(await wait_all([job, job], timeout=60), list[JobSnapshot])
    async for finished, outcome in as_completed({job}):
        assert_type(finished, Job)
        assert_type(outcome, JobSnapshot | BulkVerifyError)
    async for snapshot in watch(job, timeout=60):
        assert_type(snapshot, JobSnapshot)


async def a_run(client: Client) -> None:
    def show(progress: RunProgress) -> None:
        assert_type(progress.stage, Stage)
        assert_type(progress.rows, int)
        assert_type(progress.rows_done, int)
        assert_type(progress.addresses, int)
        assert_type(progress.verified, int)
        assert_type(progress.part, PartProgress | None)
        for part in progress.parts:
            assert_type(part, PartProgress)
            assert_type(part.job_id, str | None)
            assert_type(part.snapshot, JobSnapshot | None)

    report = await verify_list(
        client,
        Path("contacts.csv"),
        "verified.csv",
        column="Mail",
        delimiter=";",
        encoding="cp1252",
        format="csv",
        max_credits=1000,
        only=[Verdict.DELIVERABLE, "unknown"],
        without=["disposable"],
        judge=False,
        deduplicate=False,
        largest_part=100_000,
        parts_at_once=4,
        journal=Path("progress"),
        restart=True,
        overwrite=True,
        excel_safe=True,
        delete=True,
        timeout=None,
        wait=wait_fixed(5),
        on_progress=show,
    )
    assert_type(report, RunReport)
    assert_type(report.verdicts, VerdictCounts)
    assert_type(report.flags, Analysis)
    assert_type(report.credits_spent, int)
    assert_type(report.seconds, float)
    assert_type(report.durations, Durations)
    assert_type(report.parts, tuple[PartReport, ...])
    assert_type(report.failures, tuple[PartFailure, ...])
    assert_type(report.destination, str)


async def filtered(source: Path, without: list[FlagName]) -> None:
    report = await filter_list(source, "mail.csv", only=["deliverable"], without=without)
    assert_type(report, FilterReport)
    assert_type(report.groups, tuple[RowGroup, ...])
    assert_type(report.groups[0].reasons, Mapping[str, int])
    await filter_list(source, "mail.csv", hold=Path("hold.csv"), remove="remove.csv")
    await filter_list(source, "mail.csv", without=["free"])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]


async def rows_of_a_run(client: Client, stream: AsyncIterator[Mapping[str, object]]) -> None:
    await verify_list(client, [Path("a.csv"), Path("b.csv")], "verified.jsonl")
    await verify_list(client, ["a@example.com", "b@example.com"], "verified.csv")
    await verify_list(client, [{"email": "a@example.com", "age": 7}], "verified.csv")
    await verify_list(client, pd.DataFrame(), "verified.csv")
    await verify_list(client, pd.Series(["a@example.com"]), "verified.csv")
    await verify_list(client, pl.DataFrame(), "verified.csv")
    await verify_list(client, pl.Series(["a@example.com"]), "verified.csv")
    await verify_list(client, pl.LazyFrame(), "verified.csv")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    source: RunSource = stream
    await verify_list(client, source, "verified.csv")
    only: list[VerdictName] = ["deliverable", "accept-all"]
    form: ListFormat = "csv"
    async for row in verify_rows(client, stream, only=only, format=form, journal="progress"):
        assert_type(row, JoinedRow)
        assert_type(row.verdict, Verdict | str | None)
        assert_type(row.columns, Mapping[str, str])
    assert_type(await plan_list("contacts.csv", column="Mail"), RunPlan)
    assert_type((await plan_list("contacts.csv")).saved, int)


def models(snapshot: JobSnapshot, row: ResultRow, address: AddressVerdict) -> None:
    assert_type(snapshot.status, JobStatus)
    assert_type(snapshot.created_at, datetime | None)
    assert_type(snapshot.total, int | None)
    assert_type(snapshot.verified, int | None)
    assert_type(snapshot.pending, int | None)
    assert_type(snapshot.analysis, Analysis | None)
    assert_type(snapshot.results, VerdictCounts | None)
    assert_type(snapshot.message, str)
    assert_type(snapshot.ended, bool)
    assert_type(snapshot.progress, float | None)
    assert_type(row.email, str)
    assert_type(row.verdict, Verdict | str)
    assert_type(row.role_based, bool | None)
    assert_type(row.verified_at, datetime | None)
    assert_type(row.columns, Mapping[str, str])
    assert_type(address.verdict, Verdict | str)
    assert_type(address.accept_all, bool | None)
    assert_type(address.free_email, bool)
    assert_type(Credits(remaining=1).remaining, int)
    assert_type(Acknowledgement(job_id="r374").message, str)


def errors(error: Exception) -> None:
    match error:
        case RateLimitedError():
            assert_type(error.retry_after, float | None)
        case ServiceError():
            assert_type(error.status, int | None)
            assert_type(error.text, str)
        case IncompleteDownloadError():
            assert_type(error.received, int | None)
            assert_type(error.expected, int | None)
        case ProtocolError():
            assert_type(error.path, str | None)
        case UploadUncertainError():
            assert_type(error.auto_verify, bool)
        case RequestTimeoutError():
            assert_type(error.sent, bool)
        case IllegalTransitionError():
            assert_type(error.known, JobStatus | None)
            assert_type(error.seen, JobStatus | None)
        case WaitTimeoutError():
            assert_type(error.polls, int)
            assert_type(error.last_error, BulkVerifyError | None)
        case LifecycleError():
            assert_type(error.job_id, str | None)
            assert_type(error.snapshot, JobSnapshot | None)
        case _:
            pass


def errors_of_a_run(error: IncompleteRunError, refusal: JournalError) -> None:
    assert_type(error.report, RunReport | None)
    assert_type(error.failures, tuple[PartFailure, ...])
    assert_type(refusal.path, str | None)


def policies(state: PollState) -> None:
    assert_type(state.snapshot, JobSnapshot | None)
    assert_type(state.progress, Progress | None)
    assert_type(state.failures, int)
    assert_type(wait_for_progress()(state), float)


# Type checkers must refuse these lines: both complain about an unneeded ignore.


async def refused(client: Client, job: Job, snapshot: JobSnapshot) -> None:
    Client(key="k")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Client("k", "https://api.validto.com/v1")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await client.upload(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await client.upload("a.csv", True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]  # noqa: FBT003 - that is the point
    await wait_until("r374")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await wait_until(job, "ready", 60)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await verify_list(client, 5, "out.csv")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    snapshot.total = 5  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    Credits(1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


async def refused_names(client: Client, job: Job, text: str) -> None:
    await wait_until(job, "complete")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await wait_all([job], "done")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    as_completed([job], "finished")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await job.download("out.csv", verdicts=["good"])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    await client.download("r374", "out.csv", verdicts=["good"])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    job.rows(verdicts=["accept"])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    client.rows("r374", verdicts="unknown")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await verify_list(client, "in.csv", "out.csv", only=["good"])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    verify_rows(client, "in.csv", only=["catch-all"])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    await verify_list(client, "in.csv", "out.csv", format="pdf")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await plan_list("in.csv", format="xls")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    # A text known only at run time goes through its enum, which refuses other texts.
    await wait_until(job, text)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    job.rows(verdicts=[text])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    await wait_until(job, JobStatus(text))
    job.rows(verdicts=[Verdict(text)])

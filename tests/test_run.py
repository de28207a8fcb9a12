"""A list in, a verdict behind every row out: against the sandbox, by its books."""

import asyncio
import csv
import tempfile
from collections.abc import AsyncIterator, Callable
from io import StringIO
from pathlib import Path

import pytest
import pytest_asyncio
from tenacity import wait_fixed

from bulkverify import (
    Analysis,
    BulkVerifyError,
    Client,
    InsufficientCreditsError,
    InvalidListError,
    JobCancelledError,
    JobFailedError,
    JobNotFoundError,
    NotReadyError,
    RunProgress,
    RunReport,
    ServerError,
    Stage,
    UploadUncertainError,
    UsageError,
    VerdictCounts,
    WaitTimeoutError,
    verify_list,
)
from bulkverify.sandbox import Sandbox
from tests.served import fault, served

SOON = wait_fixed(0.01)
VERDICT_COLUMNS = [
    "verdict",
    "syntax_error",
    "common_isp",
    "role_based",
    "disposable",
    "spamtrap",
    "verified_at",
]
BLANK = ["undeliverable", "Y", "N", "N", "N", "N", ""]


class Desk:
    """A folder with a list in it, and the account that it is verified with."""

    def __init__(self, folder: Path, sandbox: Sandbox, client: Client) -> None:
        self.sandbox = sandbox
        self.client = client
        self.scratch = folder / "scratch"
        self.scratch.mkdir()
        self.folder = folder / "desk"
        self.folder.mkdir()
        self.source = self.folder / "list.csv"
        self.output = self.folder / "verified.csv"
        self.progress: list[RunProgress] = []

    async def verify(self, content: bytes | str | None = None, **options: object) -> RunReport:
        if content is not None:
            self.source.write_bytes(content.encode() if isinstance(content, str) else content)
        options = {"wait": SOON, "on_progress": self.progress.append} | options
        return await verify_list(self.client, self.source, self.output, **options)  # type: ignore[arg-type]

    def rows(self, delimiter: str = ",") -> list[list[str]]:
        return read(self.output.read_bytes(), delimiter)

    def has_only_the_list(self) -> bool:
        return [*self.folder.iterdir(), *self.scratch.iterdir()] == [self.source]


def read(data: bytes, delimiter: str = ",") -> list[list[str]]:
    return [
        row for row in csv.reader(StringIO(data.decode(), newline=""), delimiter=delimiter) if row
    ]


@pytest_asyncio.fixture
async def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
    async with served(attempts=2) as (sandbox, client):
        desk = Desk(tmp_path, sandbox, client)
        monkeypatch.setattr(tempfile, "tempdir", str(desk.scratch))
        yield desk


def at_stage(stage: Stage, act: Callable[[str], object]) -> Callable[[RunProgress], None]:
    """Do something to the job when the run comes to a stage, once."""
    done = False

    def look(progress: RunProgress) -> None:
        nonlocal done
        if progress.stage is stage and not done:
            done = True
            act(progress.job_id or "")

    return look


UNTIDY = (
    '\ufeffName,Kontakt,"Größe, cm",Twitter\r\n'
    "Anna,deliverable@example.com,170,@anna\r\n"
    "\r\n"
    '"Müller, Bernd",undeliverable@example.com,"1,80\r\nungefähr",@bernd\r\n'
    '"Carla ""C"" Díaz", deliverable@EXAMPLE.com ,,@carla\r\n'
    ",,,\r\n"
    "Долли,info@gmail.com,165,@dolly\r\n"
    "Emil,   ,190,@emil\r\n"
    "Anna,deliverable@example.com,170,@anna\r\n"
    "Fanny,no address at all,1,@fanny\r\n"
    "\r\n"
    "Gül,accept-all+1@example.com,2"
)


@pytest.mark.asyncio
async def test_an_untidy_list_comes_back_row_for_row_with_a_verdict_behind_each(desk: Desk) -> None:
    report = await desk.verify(UNTIDY, column="Kontakt")
    given = read(UNTIDY.removeprefix("\ufeff").encode())
    given[-1].append("")
    rows = desk.rows()
    assert [row[:4] for row in rows] == given
    assert rows[0][4:] == VERDICT_COLUMNS
    assert [row[4] for row in rows[1:]] == [
        "deliverable",
        "undeliverable",
        "deliverable",
        "undeliverable",
        rows[5][4],
        "undeliverable",
        "deliverable",
        "undeliverable",
        "accept_all",
    ]
    assert rows[4][4:] == rows[6][4:] == BLANK
    assert rows[5][5:10] == ["N", "Y", "Y", "N", "N"]
    assert rows[8][5] == "Y"
    assert rows[1][4:] == rows[3][4:] == rows[7][4:]
    assert desk.output.read_bytes().count(b"\r\n") == len(rows) + 1
    assert (report.rows, report.addresses, report.duplicates, report.blank) == (9, 5, 2, 2)
    assert report.missing == 0


@pytest.mark.asyncio
async def test_each_address_is_sent_and_paid_for_once(desk: Desk) -> None:
    report = await desk.verify(UNTIDY, column="Kontakt")
    ledger = desk.sandbox.ledger
    assert ledger.paid == {
        "deliverable@example.com": 1,
        "undeliverable@example.com": 1,
        "info@gmail.com": 1,
        "no address at all": 1,
        "accept-all+1@example.com": 1,
    }
    assert report.credits_spent == ledger.credits_spent == 5
    assert [upload.filename for upload in ledger.uploads] == ["list.csv"]
    assert ledger.starts == ledger.downloads == [report.job_id]
    assert ledger.deletes == []


ROWS = [["Müller", "deliverable@example.com"], ["a,b;c\td|e", "unknown@example.com"], ['"\n', ""]]


def written(rows: list[list[str]], delimiter: str, newline: str) -> str:
    text = StringIO(newline="")
    csv.writer(text, delimiter=delimiter, lineterminator=newline).writerows(rows)
    return text.getvalue()


@pytest.mark.asyncio
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
async def test_a_list_may_be_written_in_many_ways(
    desk: Desk, delimiter: str, encoding: str, newline: str
) -> None:
    rows = [["Nachname", "E-Mail"], *ROWS]
    named = "utf-8-sig" if encoding == "utf-8" else encoding
    report = await desk.verify(written(rows, delimiter, newline).encode(encoding), encoding=named)
    found = desk.rows(delimiter)
    assert [row[:2] for row in found] == rows
    assert [row[2] for row in found[1:]] == ["deliverable", "unknown", "undeliverable"]
    assert (report.rows, report.addresses, report.blank) == (3, 2, 1)


@pytest.mark.asyncio
@pytest.mark.parametrize("column", [None, "col1"])
async def test_a_list_without_a_header_gets_one(desk: Desk, column: str | None) -> None:
    await desk.verify(written(ROWS, ",", "\n"), column=column)
    rows = desk.rows()
    assert rows[0] == ["col0", "col1", *VERDICT_COLUMNS]
    assert [row[:2] for row in rows[1:]] == ROWS


@pytest.mark.asyncio
async def test_a_column_of_the_list_keeps_its_name_where_ours_has_the_same(desk: Desk) -> None:
    await desk.verify("email,Verdict,disposable\ndeliverable@example.com,good,old\n")
    header, row = desk.rows()
    assert header[:4] == ["email", "Verdict", "disposable", "bulkverify_verdict"]
    assert "bulkverify_disposable" in header
    assert len(set(header)) == len(header)
    assert row[:4] == ["deliverable@example.com", "good", "old", "deliverable"]


@pytest.mark.asyncio
async def test_the_report_counts_rows(desk: Desk) -> None:
    report = await desk.verify(
        "deliverable@gmail.com\n" * 3
        + "undeliverable@example.com\naccept_all@example.com\nunknown@mailinator.com\n"
        + "spamtrap@example.com\nunknown+1@example.com\nwrong@\n"
    )
    assert report.verdicts == VerdictCounts(deliverable=3, undeliverable=3, accept_all=1, unknown=2)
    assert report.flags == Analysis(
        common_isp=3, role_based=0, disposable=1, spamtrap=1, syntax_error=1
    )
    assert (report.rows, report.addresses, report.duplicates) == (9, 7, 2)
    assert report.destination == str(desk.output)
    assert 0 < report.seconds < 60


@pytest.mark.asyncio
async def test_a_run_tells_how_far_it_is(desk: Desk) -> None:
    report = await desk.verify(
        "email\ndeliverable@example.com\nunknown@example.com\n,\n".replace(",", " ")
    )
    stages = list(dict.fromkeys(seen.stage for seen in desk.progress))
    assert stages == list(Stage)
    assert desk.progress[0] == RunProgress(stage=Stage.READING)
    assert desk.progress[1] == RunProgress(stage=Stage.UPLOADING, rows=3, addresses=2)
    for seen in desk.progress[2:]:
        assert (seen.job_id, seen.rows, seen.addresses) == (report.job_id, 3, 2)
    last = desk.progress[-1].snapshot
    assert last is not None
    assert (last.status, last.total) == ("completed", 2)


# Before anything is sent


@pytest.mark.asyncio
async def test_an_output_that_exists_is_left_alone(desk: Desk) -> None:
    desk.output.write_text("precious")
    with pytest.raises(FileExistsError, match=r"verified\.csv"):
        await desk.verify("deliverable@example.com\n")
    assert desk.output.read_text() == "precious"
    assert desk.sandbox.ledger.requests.total() == 0


@pytest.mark.asyncio
async def test_an_output_that_exists_is_replaced_when_that_is_wanted(desk: Desk) -> None:
    desk.output.write_text("old")
    await desk.verify("deliverable@example.com\n", overwrite=True)
    assert len(desk.rows()) == 2


@pytest.mark.asyncio
async def test_a_list_may_be_replaced_by_its_output(desk: Desk) -> None:
    desk.output = desk.source
    await desk.verify("email\ndeliverable@example.com\n", overwrite=True)
    assert [row[:2] for row in desk.rows()] == [
        ["email", "verdict"],
        ["deliverable@example.com", "deliverable"],
    ]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("options", "expected", "message"),
    [
        ({"column": "Mail"}, UsageError, "has no column 'Mail'"),
        ({"encoding": "klingon"}, UsageError, "no encoding 'klingon'"),
        ({"encoding": "ascii"}, InvalidListError, "is not ascii text"),
        ({"delimiter": ";;"}, UsageError, "A delimiter is one character"),
        ({"max_credits": 1}, UsageError, "has 2 distinct addresses .* more than the 1 allowed"),
        ({"max_credits": 0}, UsageError, "more than the 0 allowed. Nothing was sent"),
        ({"job_id": "../bulk"}, UsageError, "is no job id"),
    ],
)
async def test_an_argument_that_cannot_be_right_is_refused_before_anything_is_sent(
    desk: Desk, options: dict[str, object], expected: type[BulkVerifyError], message: str
) -> None:
    with pytest.raises(expected, match=message):
        await desk.verify("email,ort\ndeliverable@example.com,Köln\nunknown@x.org,\n", **options)
    assert desk.sandbox.ledger.requests.total() == 0
    assert desk.has_only_the_list()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"email\n", "a header and no rows"),
        (b"PK\x03\x04...", "a spreadsheet or a ZIP file"),
        (b"name\nAnna\n", "no column of addresses"),
        (b"email,x\na@x.org,1\nb@x.org,1,2\n", "Line 3 of .* has 3 cells"),
        (b"email\ncaf\xe9@x.org\n", "byte 0xe9"),
        (b"email\n" + b"x" * 200_000 + b"@x.org\n", "can't be read as CSV"),
    ],
)
async def test_a_list_that_cannot_be_used_is_never_sent(
    desk: Desk, content: bytes, message: str
) -> None:
    with pytest.raises(InvalidListError, match=message):
        await desk.verify(content)
    assert desk.sandbox.ledger.requests.total() == 0
    assert desk.has_only_the_list()


@pytest.mark.asyncio
async def test_a_list_that_is_not_there_is_an_error_of_the_system(desk: Desk) -> None:
    with pytest.raises(FileNotFoundError, match=r"list\.csv"):
        await desk.verify()


@pytest.mark.asyncio
async def test_an_output_in_a_folder_that_is_not_there_costs_nothing(desk: Desk) -> None:
    desk.output = desk.folder / "missing" / "verified.csv"
    with pytest.raises(FileNotFoundError, match="missing"):
        await desk.verify("deliverable@example.com\n")
    assert desk.sandbox.ledger.requests.total() == 0


# Money


@pytest.mark.asyncio
async def test_a_run_may_cost_as_much_as_is_allowed(desk: Desk) -> None:
    report = await desk.verify("deliverable@example.com\nunknown@example.com\n", max_credits=2)
    assert report.credits_spent == 2


@pytest.mark.asyncio
async def test_too_few_credits_start_nothing_and_the_upload_can_be_used_later(desk: Desk) -> None:
    desk.sandbox.credits = 1
    with pytest.raises(
        InsufficientCreditsError, match="costs 2 credits and the account has 1"
    ) as info:
        await desk.verify("deliverable@example.com\nunknown@example.com\n")
    ledger = desk.sandbox.ledger
    assert (ledger.starts, ledger.credits_spent, ledger.requests["start"]) == ([], 0, 0)
    assert desk.has_only_the_list()

    (upload,) = ledger.uploads
    assert upload.job_id in str(info.value)
    desk.sandbox.credits = 2
    report = await desk.verify(job_id=upload.job_id)
    assert (report.job_id, report.credits_spent) == (upload.job_id, 2)
    assert len(desk.sandbox.ledger.uploads) == 1
    assert len(desk.rows()) == 2


TWO = "email\ndeliverable@example.com\nunknown@example.com\n"


@pytest.mark.asyncio
@pytest.mark.parametrize("seconds", [0, 5, 1000])
async def test_a_job_that_was_started_before_costs_nothing_again(
    desk: Desk, seconds: float
) -> None:
    job = await desk.client.upload(TWO.encode(), auto_verify=True)
    desk.sandbox.advance(10 + seconds)
    report = await desk.verify(TWO, job_id=job.id)
    assert (report.job_id, report.credits_spent) == (job.id, 0)
    assert desk.sandbox.ledger.credits_spent == 2
    assert [row[1] for row in desk.rows()] == ["verdict", "deliverable", "unknown"]
    assert Stage.STARTING not in {seen.stage for seen in desk.progress}


@pytest.mark.asyncio
async def test_a_start_that_the_status_does_not_show_yet_is_not_paid_again(desk: Desk) -> None:
    job = await desk.client.upload(TWO.encode(), auto_verify=True)
    desk.sandbox.advance(10)
    desk.sandbox.inject(fault("status", "stale"))  # type: ignore[arg-type]
    report = await desk.verify(TWO, job_id=job.id)
    assert report.credits_spent == 0
    assert desk.sandbox.ledger.starts == [job.id]
    assert desk.sandbox.ledger.requests["start"] == 1


@pytest.mark.asyncio
async def test_a_lost_answer_to_a_start_is_paid_once(desk: Desk) -> None:
    desk.sandbox.inject(fault("start", "drop_after"))  # type: ignore[arg-type]
    report = await desk.verify(TWO)
    assert report.credits_spent == desk.sandbox.ledger.credits_spent == 2


@pytest.mark.asyncio
async def test_an_upload_of_another_list_is_not_started(desk: Desk) -> None:
    job = await desk.client.upload(["a@example.com"])
    with pytest.raises(UsageError, match="holds 1 addresses and this list has 2: .* Nothing was"):
        await desk.verify(TWO, job_id=job.id)
    assert desk.sandbox.ledger.starts == []
    assert desk.has_only_the_list()


@pytest.mark.asyncio
async def test_a_job_that_there_is_not_is_told(desk: Desk) -> None:
    with pytest.raises(JobNotFoundError):
        await desk.verify(TWO, job_id="x" * 36)
    assert desk.has_only_the_list()


@pytest.mark.asyncio
async def test_a_row_whose_address_the_service_did_not_return_is_missing(desk: Desk) -> None:
    job = await desk.client.upload(["deliverable@example.com", "else@example.com"])
    report = await desk.verify(TWO, job_id=job.id)
    assert report.missing == 1
    assert desk.rows()[1][1] == "deliverable"
    assert desk.rows()[2] == ["unknown@example.com", *[""] * 7]
    assert report.verdicts == VerdictCounts(deliverable=1, undeliverable=0, accept_all=0, unknown=0)


@pytest.mark.asyncio
async def test_a_service_that_changes_the_case_has_still_answered(desk: Desk) -> None:
    job = await desk.client.upload(["deliverable@example.com", "unknown@example.com"])
    report = await desk.verify("Deliverable@Example.com\nUNKNOWN@example.com\n", job_id=job.id)
    assert report.missing == 0
    assert [row[1] for row in desk.rows()[1:]] == ["deliverable", "unknown"]


# Afterwards


@pytest.mark.asyncio
async def test_the_list_is_deleted_from_the_service_when_that_is_wanted(desk: Desk) -> None:
    report = await desk.verify(TWO, delete=True)
    assert desk.sandbox.ledger.deletes == [report.job_id]
    assert len(desk.rows()) == 3


@pytest.mark.asyncio
async def test_a_deletion_that_fails_leaves_the_output(desk: Desk) -> None:
    desk.sandbox.inject(fault("delete", "answer", times=None))  # type: ignore[arg-type]
    with pytest.raises(ServerError):
        await desk.verify(TWO, delete=True)
    assert len(desk.rows()) == 3


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("endpoint", "kind", "options", "expected"),
    [
        ("upload", "drop_after", {}, UploadUncertainError),
        ("credits", "answer", {"status": 500}, ServerError),
        ("start", "answer", {"status": 402}, InsufficientCreditsError),
        ("download", "answer", {"status": 503}, ServerError),
        (
            "download",
            "answer",
            {
                "status": 400,
                "body": '{"success": false, "result": "Job is being verified, please wait"}',
            },
            NotReadyError,
        ),
        ("download", "truncate", {}, BulkVerifyError),
        ("download", "truncate_cleanly", {}, BulkVerifyError),
    ],
)
async def test_an_error_leaves_nothing_behind(
    desk: Desk,
    endpoint: str,
    kind: str,
    options: dict[str, object],
    expected: type[BulkVerifyError],
) -> None:
    desk.sandbox.inject(fault(endpoint, kind, times=None, **options))  # type: ignore[arg-type]
    with pytest.raises(expected):
        await desk.verify(TWO)
    assert desk.has_only_the_list()


@pytest.mark.asyncio
@pytest.mark.parametrize("stage", [Stage.PREPARING, Stage.VERIFYING])
@pytest.mark.parametrize(
    ("act", "expected"), [("fail", JobFailedError), ("cancel", JobCancelledError)]
)
async def test_a_job_that_ends_otherwise_ends_the_run(
    desk: Desk, stage: Stage, act: str, expected: type[BulkVerifyError]
) -> None:
    end = getattr(desk.sandbox, act)
    with pytest.raises(expected):
        await desk.verify(TWO, on_progress=at_stage(stage, end))
    assert desk.has_only_the_list()


@pytest.mark.asyncio
async def test_a_run_ends_at_its_timeout(desk: Desk) -> None:
    with pytest.raises(WaitTimeoutError):
        await desk.verify(TWO, timeout=0)
    assert desk.has_only_the_list()


@pytest.mark.asyncio
@pytest.mark.parametrize("stage", [Stage.PREPARING, Stage.VERIFYING, Stage.DOWNLOADING])
async def test_a_run_that_is_cancelled_leaves_nothing_behind(desk: Desk, stage: Stage) -> None:
    task = asyncio.current_task()
    assert task is not None
    with pytest.raises(asyncio.CancelledError):
        await desk.verify(TWO, on_progress=at_stage(stage, lambda _: task.cancel()))
    task.uncancel()
    assert desk.has_only_the_list()

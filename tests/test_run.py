"""From a list to a verdict for every row, against the sandbox on a real socket."""

import asyncio
import csv
import os
from collections.abc import AsyncIterator, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import attrs
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tenacity import wait_fixed

from bulkverify import (
    Analysis,
    Client,
    ConnectionFailedError,
    IncompleteDownloadError,
    InsufficientCreditsError,
    InvalidListError,
    JobCancelledError,
    JobFailedError,
    JobNotFoundError,
    ResultRow,
    RunProgress,
    RunReport,
    ServerError,
    Stage,
    UnreadableAnswerError,
    UploadUncertainError,
    UsageError,
    Verdict,
    VerdictCounts,
    WaitTimeoutError,
    verify_list,
)
from bulkverify import run as run_module
from bulkverify.lists import inspect_list
from bulkverify.sandbox import Fault, FaultKind, Sandbox, Timings

FAST = wait_fixed(0.01)
OURS = [
    "verdict",
    "syntax_error",
    "common_isp",
    "role_based",
    "disposable",
    "spamtrap",
    "verified_at",
]
D, U, A, K = "deliverable", "undeliverable", "accept_all", "unknown"


@pytest_asyncio.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox(speed=1000, requests_per_minute=None) as sandbox:
        yield sandbox


@pytest_asyncio.fixture
async def client(sandbox: Sandbox) -> AsyncIterator[Client]:
    async with Client(
        sandbox.api_key, base_url=sandbox.url, requests_per_minute=None, backoff=FAST
    ) as client:
        yield client


@pytest.fixture(autouse=True)
def temporary(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep what is written in between where a test can look for it."""
    folder = tmp_path_factory.mktemp("temporary")
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "list.csv"
    path.write_text(f"name,email\nAnna,{D}@x.com\nBob,{U}@x.com\nAnna,{D}@X.com\n")
    return path


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "verified.csv"


async def verified(client: Client, source: Path, output: Path, **options: Any) -> RunReport:  # noqa: ANN401
    return await verify_list(client, source, output, wait=FAST, **options)


def table(path: Path, delimiter: str = ",") -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file, delimiter=delimiter))


def left_behind(output: Path, temporary: Path) -> list[str]:
    others = {output.name, "list.csv"}
    return [
        path.name
        for folder in (output.parent, temporary)
        for path in folder.iterdir()
        if path.name not in others
    ]


def verdicts_of(rows: Sequence[Sequence[str]]) -> list[str]:
    return [row[-len(OURS)] for row in rows]


# The untidy list

UNTIDY_HEADER = ["Contact", "Name", "verdict", "Note"]
UNTIDY = [
    [f"{D}@example.com", "Müller, Anna", "guilty", "two\r\nlines"],
    [f" {U}@example.com ", 'Bob "B"', "", ""],
    ["", "nobody", "", "blank"],
    [f"{D}@EXAMPLE.com", "Anna again", "", "測📬"],
    [f"{A}@example.com", "", "", "\u2028\x0b"],
    ["info@gmail.com", "role", "", "=1+1"],
    ["not an address", "", "", "x"],
    [f"{K}@example.com", "", "", ""],
    [f"{D}@example.com", "third time", "", "same"],
    ["   ", "blanks", "", ""],
]


def untidy_content() -> bytes:
    text = StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(UNTIDY_HEADER)
    for row in UNTIDY:
        writer.writerow(row)
        text.write("\r\n")
    return text.getvalue().encode("utf-8-sig")


@pytest.mark.asyncio
@pytest.mark.parametrize("vendor", ["bouncify", "validto"])
async def test_an_untidy_list_comes_back_row_for_row(
    tmp_path: Path,
    output: Path,
    vendor: Any,  # noqa: ANN401 - a literal of the sandbox's
) -> None:
    source = tmp_path / "list.csv"
    source.write_bytes(untidy_content())
    async with (
        Sandbox(speed=1000, requests_per_minute=None, vendor=vendor) as sandbox,
        Client(sandbox.api_key, base_url=sandbox.url, requests_per_minute=None) as client,
    ):
        report = await verified(client, source, output, column="contact")
        ledger = sandbox.ledger
        assert set(ledger.paid.values()) == {1}
        assert set(ledger.paid) == {
            *(f"{name}@example.com" for name in (D, U, A, K)),
            "info@gmail.com",
            "not an address",
        }
        assert ledger.credits_spent == 6
        assert ledger.starts == [report.job_id]
        assert [upload.filename for upload in ledger.uploads] == ["list.csv"]

    header, *rows = table(output)
    assert header == [*UNTIDY_HEADER, "bulkverify_verdict", *OURS[1:]]
    assert [row[:4] for row in rows] == UNTIDY
    by_row = verdicts_of(rows)
    assert by_row[:5] == [D, U, U, D, A]
    assert by_row[6:] == [U, K, D, U]
    assert rows[2][4:] == [U, "Y", "N", "N", "N", "N", ""]
    assert rows[5][5:10] == ["N", "Y", "Y", "N", "N"]
    assert all(row[-1].endswith("Z") for row in rows if row[0].strip())
    assert report == RunReport(
        job_id=report.job_id,
        rows=10,
        addresses=6,
        duplicates=2,
        blank=2,
        missing=0,
        verdicts=VerdictCounts(
            deliverable=by_row.count(D),
            undeliverable=by_row.count(U),
            accept_all=by_row.count(A),
            unknown=by_row.count(K),
        ),
        flags=Analysis(common_isp=1, role_based=1, disposable=0, spamtrap=0, syntax_error=3),
        credits_spent=6,
        seconds=report.seconds,
        destination=str(output),
    )
    assert report.seconds > 0


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("content", "options", "delimiter", "expected"),
    [
        (f"name;email\nMüller;{D}@x.com\n", {}, ";", [["Müller", f"{D}@x.com"]]),
        (f"name\temail\nA, B\t{D}@x.com\n", {}, "\t", [["A, B", f"{D}@x.com"]]),
        (f"name:email\nA:{D}@x.com\n", {"delimiter": ":"}, ":", [["A", f"{D}@x.com"]]),
        (
            f"name,email\nMüller €,{D}@x.com\n".encode("cp1252"),
            {"encoding": "cp1252"},
            ",",
            [["Müller €", f"{D}@x.com"]],
        ),
        (
            f"name,email\n測,{D}@x.com\n".encode("utf-16"),
            {"encoding": "utf-16"},
            ",",
            [["測", f"{D}@x.com"]],
        ),
        (f"{D}@x.com\n{U}@x.com", {}, ",", [[f"{D}@x.com"], [f"{U}@x.com"]]),
        (f"A,{D}@x.com\nB,{U}@x.com\n", {}, ",", [["A", f"{D}@x.com"], ["B", f"{U}@x.com"]]),
        (f"email,name\n{D}@x.com\n", {}, ",", [[f"{D}@x.com", ""]]),
        (
            f"email,backup\na@x.com,{D}@x.com\n",
            {"column": "backup"},
            ",",
            [["a@x.com", f"{D}@x.com"]],
        ),
        (f"email\n{D}+ä@x.com\n", {}, ",", [[f"{D}+ä@x.com"]]),
        (f'email,x\n"{D}@x.com\r\n",y\n', {}, ",", [[f"{D}@x.com\r\n", "y"]]),
    ],
)
async def test_a_list_may_be_of_any_kind(  # noqa: PLR0917 - a row of the table
    client: Client,
    source: Path,
    output: Path,
    content: str | bytes,
    options: dict[str, Any],
    delimiter: str,
    expected: list[list[str]],
) -> None:
    source.write_bytes(content if isinstance(content, bytes) else content.encode())
    report = await verified(client, source, output, **options)
    _, *rows = table(output, delimiter)
    assert [row[: -len(OURS)] for row in rows] == expected
    assert set(verdicts_of(rows)) <= {D, U}
    assert rows[0][-len(OURS)] == D
    assert (report.rows, report.missing) == (len(expected), 0)


@pytest.mark.asyncio
async def test_a_lone_carriage_return_in_an_address_makes_no_second_one(
    sandbox: Sandbox, client: Client, source: Path, output: Path
) -> None:
    source.write_bytes(f'email,x\n"{D}\r@x.com",y\n{U}@x.com,z\n'.encode())
    report = await verified(client, source, output)
    assert sandbox.ledger.uploads[0].total == 2
    assert (report.addresses, report.missing) == (2, 0)
    assert [row[:2] for row in table(output)[1:]] == [[f"{D}\r@x.com", "y"], [f"{U}@x.com", "z"]]


@pytest.mark.asyncio
async def test_only_addresses_leave_this_machine(
    client: Client, source: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[object] = []
    upload = client.upload

    async def look(content: Any, **options: Any) -> Any:  # noqa: ANN401
        sent.append(content)
        return await upload(content, **options)

    monkeypatch.setattr(client, "upload", look)
    await verified(client, source, output)
    assert sent == [f"email\n{D}@x.com\n{U}@x.com\n".encode()]


@pytest.mark.asyncio
async def test_the_output_is_the_owners_only(client: Client, source: Path, output: Path) -> None:
    await verified(client, source, output)
    assert output.stat().st_mode & 0o777 == 0o600


@pytest.mark.asyncio
async def test_paths_may_be_text(client: Client, source: Path, output: Path) -> None:
    report = await verify_list(client, str(source), str(output), wait=FAST)
    assert report.destination == str(output)
    assert len(table(output)) == 4


CELL = st.text(
    alphabet=st.one_of(
        st.sampled_from("\"',;\t|\r\n ä測📬"), st.characters(codec="utf-8", exclude_characters="\0")
    ),
    max_size=6,
)
ADDRESS = st.one_of(
    st.sampled_from([f"{D}@x.com", f"{U}@x.com", f"{D}@X.com", "", " ", "nobody", "Info@x.com"]),
    CELL,
)


@given(rows=st.lists(st.tuples(CELL, ADDRESS), max_size=6).map(lambda rows: [*rows, ("", "a@x")]))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_table_of_text_comes_back_cell_for_cell(
    source: Path, output: Path, rows: list[tuple[str, str]]
) -> None:
    # The two halves that touch the caller's cells, with the service's part played by a table.
    text = StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows([["note", "email"], *rows])
    source.write_bytes(text.getvalue().encode())
    contents = run_module._read(source, None, ",", "utf-8-sig")
    sent = list(csv.reader(StringIO(contents.as_csv().decode(), newline="")))
    assert sent == [["email"], *([address] for address in contents.addresses.values())]
    results = output.with_name("results.csv")
    with results.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n")
        writer.writerow(["email", "Verification Result"])
        writer.writerows([address, "unknown"] for [address] in sent[1:])
    outcome = run_module._join(contents, results, output)
    assert outcome["missing"] == 0
    assert [tuple(row[:2]) for row in table(output)[1:]] == rows
    assert verdicts_of(table(output)[1:]) == [K if address.strip() else U for _, address in rows]


# What is refused before anything is sent


async def refused(
    kind: type[Exception],
    message: str,
    client: Client,
    source: Path,
    output: Path,
    **options: Any,  # noqa: ANN401
) -> None:
    with pytest.raises(kind, match=message):
        await verified(client, source, output, **options)


@pytest.mark.asyncio
async def test_an_output_that_exists_is_kept(
    sandbox: Sandbox, client: Client, source: Path, output: Path
) -> None:
    output.write_text("before")
    await refused(FileExistsError, "verified.csv", client, source, output)
    assert output.read_text() == "before"
    assert sandbox.ledger.requests.total() == 0


@pytest.mark.asyncio
async def test_an_output_that_exists_is_replaced_when_it_may_be(
    client: Client, source: Path, output: Path
) -> None:
    output.write_text("before")
    await verified(client, source, output, overwrite=True)
    assert len(table(output)) == 4


@pytest.mark.asyncio
async def test_a_list_may_be_verified_in_place(client: Client, source: Path) -> None:
    await verified(client, source, source, overwrite=True)
    assert table(source)[0] == ["name", "email", *OURS]


@pytest.mark.asyncio
async def test_an_output_without_a_folder_is_told_before_anything_is_spent(
    sandbox: Sandbox, client: Client, source: Path, tmp_path: Path
) -> None:
    await refused(FileNotFoundError, "nowhere", client, source, tmp_path / "nowhere" / "x.csv")
    assert sandbox.ledger.requests.total() == 0


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("content", "options", "kind", "message"),
    [
        ("", {}, InvalidListError, "is empty"),
        ("name\nAnna\n", {}, InvalidListError, "no column of addresses"),
        ("email\na@x\nb@x,c\n", {}, InvalidListError, "Line 3 of"),
        ("email\na@x\n", {"column": "mail"}, UsageError, "no column 'mail'"),
        ("email\na@x\n", {"encoding": "klingon"}, UsageError, "no encoding 'klingon'"),
        ("email\na@x\n", {"delimiter": "::"}, UsageError, "one character"),
        ("email\na@x\n", {"job_id": "a/b"}, UsageError, "is no job id"),
        (
            "email,none\na@x,\n",
            {"column": "none"},
            InvalidListError,
            "no addresses in its column 'none'",
        ),
    ],
)
async def test_what_cannot_be_verified_costs_no_request(  # noqa: PLR0917 - a row of the table
    sandbox: Sandbox,
    client: Client,
    source: Path,
    output: Path,
    temporary: Path,
    content: str,
    options: dict[str, Any],
    kind: type[Exception],
    message: str,
) -> None:
    source.write_text(content)
    await refused(kind, message, client, source, output, **options)
    assert sandbox.ledger.requests.total() == 0
    assert not output.exists()
    assert left_behind(output, temporary) == []


@pytest.mark.asyncio
@pytest.mark.parametrize("max_credits", [2, 3, None])
async def test_a_run_may_cost_as_much_as_is_allowed(
    client: Client, source: Path, output: Path, max_credits: int | None
) -> None:
    report = await verified(client, source, output, max_credits=max_credits)
    assert report.credits_spent == 2


@pytest.mark.asyncio
@pytest.mark.parametrize("max_credits", [0, 1])
async def test_a_run_that_would_cost_more_sends_nothing(
    sandbox: Sandbox, client: Client, source: Path, output: Path, max_credits: int
) -> None:
    message = f"2 distinct addresses .* more than the {max_credits} allowed. Nothing was sent"
    await refused(UsageError, message, client, source, output, max_credits=max_credits)
    assert sandbox.ledger.requests.total() == 0


@pytest.mark.asyncio
async def test_what_the_service_counts_may_not_cost_more_either(
    sandbox: Sandbox,
    client: Client,
    source: Path,
    output: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A service that takes the header for an address.
    monkeypatch.setattr(
        run_module._Contents, "as_csv", lambda _: f"email\nemail\n{D}@x.com\n{U}@x.com\n".encode()
    )
    await refused(UsageError, "3 credits, more than the 2", client, source, output, max_credits=2)
    assert sandbox.ledger.starts == []


@pytest.mark.asyncio
async def test_too_few_credits_start_nothing_and_the_run_can_go_on(
    sandbox: Sandbox, client: Client, source: Path, output: Path, temporary: Path
) -> None:
    sandbox.credits = 1
    await refused(
        InsufficientCreditsError, "costs 2 credits and the account has 1", client, source, output
    )
    assert sandbox.ledger.starts == []
    assert sandbox.ledger.requests["start"] == 0
    assert left_behind(output, temporary) == []
    sandbox.credits = 2
    job_id = sandbox.ledger.uploads[0].job_id
    report = await verified(client, source, output, job_id=job_id)
    assert (report.job_id, report.credits_spent) == (job_id, 2)
    assert len(sandbox.ledger.uploads) == 1
    assert sandbox.credits == 0


# Going on with an earlier run


@pytest.mark.asyncio
@pytest.mark.parametrize("until", ["upload", "start", "complete", "output"])
async def test_a_run_goes_on_from_wherever_it_was(
    sandbox: Sandbox, client: Client, source: Path, output: Path, until: str
) -> None:
    job = await client.upload(f"email\n{D}@x.com\n{U}@x.com\n".encode())
    sandbox.advance(60)
    if until != "upload":
        await job.start()
    if until == "complete":
        sandbox.advance(3600)
    if until == "output":
        await verified(client, source, output, job_id=job.id)
    report = await verified(client, source, output, job_id=job.id, overwrite=True)
    assert report.job_id == job.id
    assert report.credits_spent == (2 if until == "upload" else 0)
    assert sandbox.ledger.credits_spent == 2
    assert verdicts_of(table(output)) == ["verdict", D, U, D]


@pytest.mark.asyncio
async def test_a_start_that_the_status_does_not_show_yet_is_not_paid_again(
    source: Path, output: Path
) -> None:
    async with Sandbox(
        speed=1000, requests_per_minute=None, timings=Timings(start_delay=36e5)
    ) as sandbox:
        settings: dict[str, Any] = {"base_url": sandbox.url, "requests_per_minute": None}
        async with Client(sandbox.api_key, **settings) as earlier:
            job = await earlier.upload(f"email\n{D}@x.com\n{U}@x.com\n".encode())
            sandbox.advance(60)
            await job.start()

        def show_it(progress: RunProgress) -> None:
            if progress.stage is Stage.VERIFYING:
                sandbox.advance(36e5)

        async with Client(sandbox.api_key, **settings) as client:
            assert (await client.status(job.id)).status == "ready"
            report = await verified(client, source, output, job_id=job.id, on_progress=show_it)
        assert report.credits_spent == 0
        assert sandbox.ledger.credits_spent == 2
        assert sandbox.ledger.requests["start"] == 2


@pytest.mark.asyncio
async def test_too_few_credits_do_not_deny_the_start_of_an_earlier_run(
    source: Path, output: Path
) -> None:
    async with Sandbox(
        speed=1000, credits=2, requests_per_minute=None, timings=Timings(start_delay=36e5)
    ) as sandbox:
        async with Client(sandbox.api_key, base_url=sandbox.url) as earlier:
            job = await earlier.upload(f"email\n{D}@x.com\n{U}@x.com\n".encode())
            sandbox.advance(60)
            await job.start()
        async with Client(sandbox.api_key, base_url=sandbox.url) as client:
            with pytest.raises(InsufficientCreditsError, match=r"has 0.*an earlier run") as info:
                await verified(client, source, output, job_id=job.id)
        assert "nothing spent" not in str(info.value)
        assert sandbox.ledger.credits_spent == 2


@pytest.mark.asyncio
@pytest.mark.parametrize("completed", [False, True])
async def test_an_upload_of_another_list_is_not_gone_on_with(
    sandbox: Sandbox, client: Client, source: Path, output: Path, *, completed: bool
) -> None:
    other = await client.upload([f"{D}@x.com"])
    if completed:
        sandbox.advance(60)
        await other.start()
        sandbox.advance(3600)
    message = f"Job {other.id} holds 1 addresses and this list has 2"
    await refused(UsageError, message, client, source, output, job_id=other.id, delete=True)
    assert len(sandbox.ledger.starts) == completed
    assert sandbox.ledger.deletes == []
    assert not output.exists()


@pytest.mark.asyncio
async def test_a_job_that_there_is_not_is_told(client: Client, source: Path, output: Path) -> None:
    await refused(JobNotFoundError, "Job not found", client, source, output, job_id="x" * 36)


# What the service makes of it


@pytest.mark.asyncio
async def test_rows_that_the_service_has_lost_are_kept_and_counted(
    client: Client, source: Path, output: Path, sandbox: Sandbox
) -> None:
    job = await client.upload(f"email\n{D}@x.com\nother@x.com\n".encode())
    sandbox.advance(60)
    report = await verified(client, source, output, job_id=job.id)
    assert (report.rows, report.missing) == (3, 1)
    assert report.verdicts == VerdictCounts(deliverable=2, undeliverable=0, accept_all=0, unknown=0)
    _, *rows = table(output)
    assert rows[1] == ["Bob", f"{U}@x.com", *[""] * len(OURS)]
    assert verdicts_of(rows) == [D, "", D]


@pytest.mark.asyncio
async def test_a_service_that_writes_addresses_in_lower_case_has_answered_for_them(
    client: Client, source: Path, output: Path, sandbox: Sandbox
) -> None:
    source.write_text(f"email\n{D.upper()}@X.com\n{U}@x.com\nUNKNOWN@x.com\n")
    job = await client.upload(f"email\n{D}@x.com\n{U}@x.com\nother@x.com\n".encode())
    sandbox.advance(60)
    report = await verified(client, source, output, job_id=job.id)
    assert report.missing == 1
    assert verdicts_of(table(output)[1:]) == [D, U, ""]


@pytest.mark.asyncio
async def test_a_list_is_deleted_when_that_was_asked_for(
    sandbox: Sandbox, client: Client, source: Path, output: Path
) -> None:
    report = await verified(client, source, output, delete=True)
    assert sandbox.ledger.deletes == [report.job_id]
    assert output.exists()


@pytest.mark.asyncio
async def test_a_list_that_left_rows_without_a_verdict_is_not_deleted(
    sandbox: Sandbox, client: Client, source: Path, output: Path
) -> None:
    job = await client.upload(f"email\n{D}@x.com\nother@x.com\n".encode())
    sandbox.advance(60)
    report = await verified(client, source, output, job_id=job.id, delete=True)
    assert report.missing == 1
    assert sandbox.ledger.deletes == []


@pytest.mark.asyncio
async def test_a_list_is_kept_otherwise(
    sandbox: Sandbox, client: Client, source: Path, output: Path
) -> None:
    await verified(client, source, output)
    assert sandbox.ledger.deletes == []


@pytest.mark.asyncio
@pytest.mark.parametrize("stage", Stage)
async def test_whoever_stops_a_run_leaves_nothing_behind(
    client: Client, source: Path, output: Path, temporary: Path, stage: Stage
) -> None:
    def stop(progress: RunProgress) -> None:
        if progress.stage is stage:
            raise RuntimeError(f"stopped while {stage}")

    await refused(RuntimeError, f"stopped while {stage}", client, source, output, on_progress=stop)
    assert output.exists() is (stage is Stage.DONE)
    assert left_behind(output, temporary) == []


@pytest.mark.asyncio
async def test_a_list_that_changes_meanwhile_leaves_nothing_behind(
    client: Client, source: Path, output: Path, temporary: Path
) -> None:
    def change(progress: RunProgress) -> None:
        if progress.stage is Stage.JOINING:
            source.write_text("name,email\na,b,c,d\n")

    await refused(InvalidListError, "Line 2", client, source, output, on_progress=change)
    assert not output.exists()
    assert left_behind(output, temporary) == []


@pytest.mark.asyncio
async def test_results_that_are_cut_off_are_fetched_again(
    sandbox: Sandbox, client: Client, source: Path, output: Path
) -> None:
    sandbox.inject(Fault(endpoint="download", kind=FaultKind.TRUNCATE_CLEANLY, times=1))
    report = await verified(client, source, output)
    assert report.missing == 0
    assert sandbox.ledger.faults.total() == 1


# Progress


@pytest.mark.asyncio
async def test_a_run_tells_what_it_is_busy_with(client: Client, source: Path, output: Path) -> None:
    seen: list[RunProgress] = []
    report = await verified(client, source, output, on_progress=seen.append)
    stages = [progress.stage for progress in seen]
    assert list(dict.fromkeys(stages)) == list(Stage)
    assert stages == sorted(stages, key=list(Stage).index)
    reading, uploading, *later = seen
    assert reading == RunProgress(stage=Stage.READING)
    assert uploading == RunProgress(stage=Stage.UPLOADING, rows=3, addresses=2)
    assert {(progress.rows, progress.addresses, progress.job_id) for progress in later} == {
        (3, 2, report.job_id)
    }
    assert later[-1].snapshot is not None
    assert later[-1].snapshot.status == "completed"
    verifying = [p.snapshot.status for p in seen if p.stage is Stage.VERIFYING and p.snapshot]
    assert verifying[-1] == "completed"


@pytest.mark.asyncio
async def test_a_run_that_goes_on_uploads_nothing(
    sandbox: Sandbox, client: Client, source: Path, output: Path
) -> None:
    job = await client.upload(f"email\n{D}@x.com\n{U}@x.com\n".encode())
    sandbox.advance(60)
    stages: list[Stage] = []
    await verified(
        client,
        source,
        output,
        job_id=job.id,
        on_progress=lambda progress: stages.append(progress.stage),
    )
    assert Stage.UPLOADING not in stages
    assert list(dict.fromkeys(stages)) == [stage for stage in Stage if stage != "uploading"]


@pytest.mark.parametrize("cls", [RunProgress, RunReport])
def test_what_a_run_tells_cannot_be_changed(cls: type) -> None:
    assert attrs.has(cls)
    assert all(field.kw_only for field in attrs.fields(cls))
    assert not hasattr(cls.__new__(cls), "__dict__")


def test_what_is_read_of_a_list_does_not_show_its_addresses(source: Path) -> None:
    contents = run_module._read(source, None, None, "utf-8-sig")
    assert "@" not in repr(contents)
    assert isinstance(contents.source, type(inspect_list(source)))
    assert os.fspath(contents.source.path) == str(source)


def test_what_has_no_address_is_undeliverable_without_asking() -> None:
    assert (
        ResultRow(
            email="",
            verdict=Verdict.UNDELIVERABLE,
            syntax_error=True,
            common_isp=False,
            role_based=False,
            disposable=False,
            spamtrap=False,
        )
        == run_module._BLANK
    )


# What goes wrong on the way


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault(endpoint="upload", kind=FaultKind.DROP_AFTER), UploadUncertainError),
        (Fault(endpoint="credits", kind=FaultKind.ANSWER, times=None), ServerError),
        (
            Fault(endpoint="start", kind=FaultKind.ANSWER, status=402),
            InsufficientCreditsError,
        ),
        (Fault(endpoint="download", kind=FaultKind.ANSWER, times=None), ServerError),
        (
            Fault(endpoint="download", kind=FaultKind.ANSWER, status=400, times=None),
            UnreadableAnswerError,
        ),
        (Fault(endpoint="download", kind=FaultKind.TRUNCATE, times=None), ConnectionFailedError),
        (
            Fault(endpoint="download", kind=FaultKind.TRUNCATE_CLEANLY, times=None),
            IncompleteDownloadError,
        ),
    ],
)
async def test_an_error_leaves_nothing_behind(  # noqa: PLR0917 - fixtures
    sandbox: Sandbox,
    client: Client,
    source: Path,
    output: Path,
    temporary: Path,
    fault: Fault,
    kind: type[Exception],
) -> None:
    sandbox.inject(fault)
    await refused(kind, r"\w", client, source, output)
    assert not output.exists()
    assert left_behind(output, temporary) == []


@pytest.mark.asyncio
async def test_a_start_whose_answer_was_lost_is_paid_once(
    sandbox: Sandbox, client: Client, source: Path, output: Path
) -> None:
    sandbox.inject(Fault(endpoint="start", kind=FaultKind.DROP_AFTER))
    report = await verified(client, source, output)
    assert report.credits_spent == sandbox.ledger.credits_spent == 2


@pytest.mark.asyncio
async def test_a_deletion_that_fails_leaves_the_output(
    sandbox: Sandbox, client: Client, source: Path, output: Path
) -> None:
    sandbox.inject(Fault(endpoint="delete", kind=FaultKind.ANSWER, times=None))
    await refused(ServerError, "delete", client, source, output, delete=True)
    assert len(table(output)) == 4


@pytest.mark.asyncio
@pytest.mark.parametrize("stage", [Stage.PREPARING, Stage.VERIFYING])
@pytest.mark.parametrize(("end", "kind"), [("fail", JobFailedError), ("cancel", JobCancelledError)])
async def test_a_job_that_ends_otherwise_leaves_nothing_behind(  # noqa: PLR0917 - a row of the table
    source: Path, output: Path, temporary: Path, end: str, kind: type[Exception], stage: Stage
) -> None:
    def end_it(progress: RunProgress) -> None:
        if progress.stage is stage and progress.job_id:
            getattr(sandbox, end)(progress.job_id)

    async with (
        Sandbox(
            speed=1000, requests_per_minute=None, timings=Timings(verifying=36e5)
        ) as sandbox,  # so that no slow machine finds it completed before
        Client(sandbox.api_key, base_url=sandbox.url, requests_per_minute=None) as client,
    ):
        await refused(kind, end, client, source, output, on_progress=end_it)
    assert not output.exists()
    assert left_behind(output, temporary) == []


@pytest.mark.asyncio
@pytest.mark.parametrize("stage", [Stage.PREPARING, Stage.VERIFYING, Stage.DOWNLOADING])
async def test_a_run_whose_task_is_cancelled_leaves_nothing_behind(
    client: Client, source: Path, output: Path, temporary: Path, stage: Stage
) -> None:
    def cancel(progress: RunProgress) -> None:
        if progress.stage is stage:
            run.cancel()

    run = asyncio.create_task(verified(client, source, output, on_progress=cancel))
    with pytest.raises(asyncio.CancelledError):
        await run
    assert not output.exists()
    assert left_behind(output, temporary) == []


@pytest.mark.asyncio
async def test_a_run_ends_at_its_timeout_and_can_go_on(
    source: Path, output: Path, temporary: Path
) -> None:
    async with (
        Sandbox(speed=0, requests_per_minute=None) as sandbox,
        Client(sandbox.api_key, base_url=sandbox.url, requests_per_minute=None) as client,
    ):
        await refused(WaitTimeoutError, "preparing", client, source, output, timeout=0.05)
        assert left_behind(output, temporary) == []
        (upload,) = sandbox.ledger.uploads
        report = await verified(
            client,
            source,
            output,
            job_id=upload.job_id,
            on_progress=lambda _: sandbox.advance(3600),
        )
        assert report.credits_spent == sandbox.ledger.credits_spent == 2


@pytest.mark.asyncio
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "cp1252", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
async def test_the_output_keeps_the_delimiter_and_the_line_ends_of_the_list(  # noqa: PLR0917 - a row of the table
    client: Client, source: Path, output: Path, delimiter: str, encoding: str, newline: str
) -> None:
    rows = [
        ["Nachname", "E-Mail"],
        ["Müller", f"{D}@x.com"],
        ["a,b;c\td|e", f"{K}@x.com"],
        ['"', ""],
    ]
    text = StringIO(newline="")
    csv.writer(text, delimiter=delimiter, lineterminator=newline).writerows(rows)
    source.write_bytes(text.getvalue().encode(encoding))
    await verified(client, source, output, encoding=encoding)
    found = table(output, delimiter)
    assert [row[:2] for row in found] == rows
    assert verdicts_of(found[1:]) == [D, K, U]
    assert output.read_bytes().count(newline.encode()) == len(rows)
    assert output.read_bytes().count(b"\r") == (len(rows) if newline == "\r\n" else 0)

"""A list of a single part, from its file to a verdict in every row, against the sandbox."""

import codecs
import csv
import json
from io import StringIO
from pathlib import Path
from time import monotonic
from typing import Any

import attrs
import pytest

from bulkverify import (
    Analysis,
    CellExample,
    CellKind,
    Client,
    IncompleteRunError,
    InvalidListError,
    PartReport,
    PlannedList,
    RunProgress,
    RunReport,
    Stage,
    UsageError,
    VerdictCounts,
    verify_list,
)
from bulkverify.sandbox import Fault, FaultKind, Sandbox

from .lists import FAST, OURS, A, D, K, U, left_behind, numbered, table, verdicts_of, verified

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
        began = monotonic()
        report = await verified(client, source, output, column="contact")
        assert 0 < report.seconds < monotonic() - began + 0.001
        ledger = sandbox.ledger
        assert set(ledger.paid.values()) == {1}
        assert set(ledger.paid) == {
            *(f"{name}@example.com" for name in (D, U, A, K)),
            "info@gmail.com",
        }
        assert ledger.credits_spent == 5
        [job_id] = ledger.starts
        assert [upload.filename for upload in ledger.uploads] == ["list.csv"]

    header, *rows = table(output)
    assert header == [*UNTIDY_HEADER, "bulkverify_verdict", *OURS[1:]]
    assert [row[:4] for row in rows] == UNTIDY
    by_row = verdicts_of(rows)
    assert by_row[:5] == [D, U, U, D, A]
    assert by_row[6:] == [U, K, D, U]
    assert rows[2][4:] == [U, "Y", "N", "N", "N", "N", ""]
    assert rows[5][5:10] == ["N", "Y", "Y", "N", "N"]
    assert all(row[-1].endswith("Z") for row in rows if "@" in row[0])
    assert rows[6][4:] == [U, "Y", "N", "N", "N", "N", ""]
    assert report == RunReport(
        lists=(
            PlannedList(
                title=str(source), format="csv", encoding="utf-8-sig", column="Contact", place=1
            ),
        ),
        rows=10,
        written=10,
        addresses=5,
        duplicates=2,
        invalid=1,
        blank=2,
        short=0,
        saved=5,
        missing=0,
        verdicts=VerdictCounts(
            deliverable=by_row.count(D),
            undeliverable=by_row.count(U),
            accept_all=by_row.count(A),
            unknown=by_row.count(K),
        ),
        flags=Analysis(common_isp=1, role_based=1, disposable=0, spamtrap=0, syntax_error=3),
        credits_spent=5,
        credits_spent_before=0,
        orphans=0,
        requests=report.requests,
        seconds=report.seconds,
        durations=report.durations,
        parts=(
            PartReport(number=1, addresses=5, first_row=1, last_row=8, job_id=job_id, credits=5),
        ),
        destination=str(output),
        examples=(CellExample(row=7, kind=CellKind.INVALID, cell="not an address"),),
        trial=True,
        began_at=report.began_at,
        ended_at=report.ended_at,
        service=client.base_url,
        findings=report.findings,
        curve=report.curve,
    )
    assert report.seconds > report.durations.verifying > 0
    assert report.requests >= 6


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
async def test_lists_of_any_format_are_verified(  # noqa: PLR0917 - a row of the table
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
    report = await verified(client, source, output, judge=False)
    assert sandbox.ledger.uploads[0].total == 2
    assert (report.addresses, report.missing) == (2, 0)
    assert [row[:2] for row in table(output)[1:]] == [[f"{D}\r@x.com", "y"], [f"{U}@x.com", "z"]]


@pytest.mark.asyncio
async def test_only_addresses_leave_this_machine(
    client: Client, source: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[tuple[bytes, str]] = []
    upload = client.upload

    async def look(path: Path, *, title: str) -> Any:  # noqa: ANN401
        sent.append((path.read_bytes(), title))
        return await upload(path, title=title)

    monkeypatch.setattr(client, "upload", look)
    await verified(client, source, output)
    assert sent == [(f"email\n{D}@x.com\n{U}@x.com\n".encode(), "list.csv")]


@pytest.mark.asyncio
async def test_the_output_is_the_owners_only(client: Client, source: Path, output: Path) -> None:
    await verified(client, source, output)
    assert output.stat().st_mode & 0o777 == 0o600


@pytest.mark.asyncio
async def test_paths_may_be_text(client: Client, source: Path, output: Path) -> None:
    report = await verify_list(client, str(source), str(output), wait=FAST)
    assert report.destination == str(output)
    assert len(table(output)) == 4


@pytest.mark.asyncio
async def test_invalid_addresses_and_duplicates_are_sent_on_request(
    sandbox: Sandbox, client: Client, source: Path, output: Path
) -> None:
    source.write_text(f"email\nnobody\n{D}@x.com\n{D}@x.com\n")
    report = await verified(client, source, output, judge=False, deduplicate=False)
    assert sandbox.ledger.paid == {"nobody": 1, f"{D}@x.com": 2}
    assert (report.credits_spent, report.saved, report.invalid) == (3, 0, 0)
    assert verdicts_of(table(output)[1:]) == [U, D, D]


@pytest.mark.asyncio
async def test_a_list_without_any_possible_address_is_refused_without_a_request(
    sandbox: Sandbox, client: Client, source: Path, output: Path
) -> None:
    source.write_text("email,x\nnobody,1\n,2\n")
    with pytest.raises(InvalidListError, match=r"no addresses in its column 'email'.*'nobody'"):
        await verified(client, source, output)
    assert sandbox.ledger.requests.total() == 0
    assert not output.exists()
    assert left_behind(output) == []


@pytest.mark.asyncio
@pytest.mark.parametrize("only", [["deliverable"], {"deliverable", "unknown"}, "deliverable"])
async def test_only_rows_with_the_given_verdicts_are_written(
    client: Client,
    source: Path,
    output: Path,
    only: Any,  # noqa: ANN401 - any collection
) -> None:
    report = await verified(client, source, output, only=only)
    assert verdicts_of(table(output)) == ["verdict", D, D]
    assert (report.rows, report.written, report.verdicts.undeliverable) == (3, 2, 1)


@pytest.mark.asyncio
async def test_an_output_of_either_spelling_is_a_list_like_any_other(
    client: Client, tmp_path: Path
) -> None:
    first, second = tmp_path / "first.csv", tmp_path / "second.csv"
    await verified(client, [f"{A}+1@x.com", f"{D}+1@x.com"], first, only=["accept_all"])
    assert verdicts_of(table(first)) == ["verdict", A]
    older = tmp_path / "older.csv"
    older.write_text(
        first.read_text() + first.read_text().partition("\n")[2].replace(f",{A},", ",accept_all,")
    )
    report = await verified(client, older, second)
    assert report.addresses == 1
    assert [row[1] for row in table(second)] == ["verdict", "accept-all", "accept_all"]
    assert verdicts_of(table(second)) == ["bulkverify_verdict", A, A]


@pytest.mark.asyncio
async def test_rows_without_results_are_kept_and_counted(
    sandbox: Sandbox, client: Client, source: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = client.upload

    async def lose(path: Path, *, title: str) -> Any:  # noqa: ANN401
        lines = path.read_bytes().splitlines(keepends=True)
        content = b"".join(line for line in lines if b"undeliverable" not in line)
        return await upload(content, title=title)

    monkeypatch.setattr(client, "upload", lose)
    report = await verified(client, source, output, delete=True)
    assert (report.rows, report.missing) == (3, 1)
    assert report.verdicts == VerdictCounts(deliverable=2, undeliverable=0, accept_all=0, unknown=0)
    _, *rows = table(output)
    assert rows[1] == ["Bob", f"{U}@x.com", *[""] * len(OURS)]
    assert verdicts_of(rows) == [D, "", D]
    assert sandbox.ledger.deletes == []  # so that the service is asked
    assert left_behind(output) == []


@pytest.mark.asyncio
async def test_a_list_is_deleted_on_request(
    sandbox: Sandbox, client: Client, source: Path, output: Path
) -> None:
    report = await verified(client, source, output, delete=True)
    assert sandbox.ledger.deletes == [report.parts[0].job_id]
    assert output.exists()


@pytest.mark.asyncio
async def test_a_list_is_kept_by_default(
    sandbox: Sandbox, client: Client, source: Path, output: Path
) -> None:
    await verified(client, source, output)
    assert sandbox.ledger.deletes == []


@pytest.mark.asyncio
async def test_results_that_are_cut_off_are_fetched_again(
    sandbox: Sandbox, client: Client, source: Path, output: Path
) -> None:
    sandbox.inject(Fault(endpoint="download", kind=FaultKind.TRUNCATE_CLEANLY, times=1))
    report = await verified(client, source, output)
    assert report.missing == 0
    assert sandbox.ledger.faults.total() == 1


@pytest.mark.asyncio
async def test_a_start_whose_answer_was_lost_is_paid_once(
    sandbox: Sandbox, client: Client, source: Path, output: Path
) -> None:
    sandbox.inject(Fault(endpoint="start", kind=FaultKind.DROP_AFTER))
    report = await verified(client, source, output)
    assert report.credits_spent == sandbox.ledger.credits_spent == 2


@pytest.mark.asyncio
async def test_a_list_may_be_verified_in_place(client: Client, source: Path) -> None:
    await verified(client, source, source, overwrite=True)
    assert table(source)[0] == ["name", "email", *OURS]
    assert left_behind(source) == []


@pytest.mark.asyncio
async def test_an_existing_output_is_replaced_with_overwrite(
    client: Client, source: Path, output: Path
) -> None:
    output.write_text("before")
    await verified(client, source, output, overwrite=True)
    assert len(table(output)) == 4


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
    assert output.read_bytes().startswith(codecs.BOM_UTF8)
    assert verdicts_of(found[1:]) == [D, K, U]
    assert output.read_bytes().count(newline.encode()) == len(rows)
    assert output.read_bytes().count(b"\r") == (len(rows) if newline == "\r\n" else 0)


@pytest.mark.asyncio
async def test_an_existing_output_is_kept(
    sandbox: Sandbox, client: Client, source: Path, output: Path
) -> None:
    output.write_text("before")
    with pytest.raises(FileExistsError, match=r"verified\.csv"):
        await verified(client, source, output)
    assert output.read_text() == "before"
    assert sandbox.ledger.requests.total() == 0
    assert left_behind(output) == []


@pytest.mark.asyncio
async def test_a_file_that_appears_during_the_run_is_kept(
    sandbox: Sandbox, client: Client, source: Path, output: Path
) -> None:
    def interfere(progress: RunProgress) -> None:
        if progress.stage is Stage.VERIFYING:
            output.write_text("of another program")

    with pytest.raises(FileExistsError, match=r"verified\.csv"):
        await verified(client, source, output, on_progress=interfere)
    assert output.read_text() == "of another program"
    paid = sandbox.ledger.credits_spent
    output.unlink()
    report = await verified(client, source, output)
    assert sandbox.ledger.credits_spent == paid == report.credits_spent_before
    assert not report.missing
    assert left_behind(output) == []


@pytest.mark.asyncio
async def test_the_incomplete_output_of_a_killed_process_is_replaced(
    client: Client, source: Path, output: Path
) -> None:
    incomplete: set[Path] = set()

    def look(seen: RunProgress) -> None:
        if seen.stage is Stage.JOINING:
            incomplete.update(output.parent.glob(".*.part"))

    await verified(client, source, output, on_progress=look)
    [left] = incomplete
    left.write_text("half")  # as if this process had been killed
    await verified(client, source, output, overwrite=True, restart=True)
    assert left_behind(output) == []


@pytest.mark.asyncio
@pytest.mark.parametrize("name", ["out.jsonl", "out.ndjson", "OUT.NDJSON"])
async def test_the_name_of_the_output_decides_its_format(
    client: Client, source: Path, tmp_path: Path, name: str
) -> None:
    await verified(client, source, tmp_path / name)
    rows = [json.loads(line) for line in (tmp_path / name).read_text().splitlines()]
    assert [row["verdict"] for row in rows] == [D, U, D]


@pytest.mark.asyncio
@pytest.mark.parametrize("name", ["out.tsv", "OUT.TAB"])
async def test_an_output_that_ends_in_tsv_has_tabs_between_its_cells(
    client: Client, source: Path, tmp_path: Path, name: str
) -> None:
    source.write_text(f'name,email\n"Ek, Bo",{D}@x.com\n"a\tb",{U}@x.com\n')
    await verified(client, source, tmp_path / name)
    header, *rows = table(tmp_path / name, delimiter="\t")
    assert header[:3] == ["name", "email", "verdict"]
    assert [row[:3] for row in rows] == [["Ek, Bo", f"{D}@x.com", D], ["a\tb", f"{U}@x.com", U]]


@pytest.mark.asyncio
@pytest.mark.parametrize("name", ["out.pdf", "out.json", "out.csv.bak", "out.txt", "a.2026-11"])
async def test_an_output_with_another_end_is_refused(
    sandbox: Sandbox, client: Client, source: Path, tmp_path: Path, name: str
) -> None:
    with pytest.raises(UsageError, match=r"name one that ends in \.csv, .* or \.xlsx"):
        await verified(client, source, tmp_path / name)
    assert sandbox.ledger.requests.total() == 0
    assert [path.name for path in tmp_path.iterdir()] == [source.name]


@pytest.mark.asyncio
async def test_an_output_without_an_end_is_csv(
    client: Client, source: Path, tmp_path: Path
) -> None:
    await verified(client, source, tmp_path / "out")
    assert table(tmp_path / "out")[0][:3] == ["name", "email", "verdict"]


@pytest.mark.asyncio
async def test_the_report_counts_every_row_as_missing_if_nothing_was_written(
    sandbox: Sandbox, client: Client, source: Path, output: Path
) -> None:
    source.write_text(numbered(4))
    sandbox.inject(Fault(endpoint="upload", kind=FaultKind.DROP_AFTER, times=2))
    with pytest.raises(IncompleteRunError, match="Nothing was written") as info:
        await verified(client, source, output, largest_part=2)
    report = info.value.report
    assert report is not None
    assert (report.rows, report.written, report.missing) == (4, 0, 4)
    assert set(attrs.asdict(report.verdicts).values()) == {0}
    assert set(attrs.asdict(report.flags).values()) == {0}
    assert not output.exists()


@pytest.mark.asyncio
async def test_only_the_address_of_a_cell_is_sent_and_unclear_cells_are_told(
    sandbox: Sandbox, client: Client, source: Path, output: Path
) -> None:
    cells = [
        f"Ana Lima <{D}@x.com>",
        f"{U}@x.com; {K}@x.com",
        f"\u200b{D}@X.com",
        f"mailto:{A}@müller.example",
        f"{A}@xn--mller-kva.example",
    ]
    text = StringIO()
    csv.writer(text).writerows([["email"], *([cell] for cell in cells)])
    source.write_text(text.getvalue(), encoding="utf-8")
    report = await verified(client, source, output)
    assert sandbox.ledger.credits_spent == report.credits_spent == 2
    assert (report.addresses, report.duplicates, report.unwrapped, report.unclear) == (2, 2, 3, 1)
    assert (report.missing, report.saved) == (0, 3)
    assert report.examples == (CellExample(row=2, kind=CellKind.UNCLEAR, cell=cells[1]),)
    found = table(output)[1:]
    assert [row[0] for row in found] == cells
    assert verdicts_of(found) == [D, "", D, A, A]
    assert f"{U}@x.com" not in output.with_name(f".{output.name}.done").read_text()
    again = await verified(client, source, output)
    assert (again.credits_spent, again.unclear, again.examples) == (0, 1, ())

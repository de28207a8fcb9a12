"""A list that was verified is filtered into files that appear whole, and nothing is sent."""

import json
import os
import threading
from pathlib import Path

import pytest

from bulkverify import Client, InvalidListError, UsageError, Verdict, filter_list
from bulkverify.sandbox import Sandbox

from .lists import A, D, K, U, numbered, table, verdicts_of, verified


@pytest.mark.asyncio
async def test_a_verified_list_is_split_and_nothing_is_sent(
    sandbox: Sandbox, client: Client, source: Path, output: Path, tmp_path: Path
) -> None:
    source.write_text(f"{numbered(40)}40,\n41,x@x.com y@x.com\n42,info+{D}@x.com\n")
    await verified(client, source, output)
    requests, everything = sandbox.ledger.requests.total(), output.read_bytes()
    paths = [tmp_path / f"{name}.csv" for name in ("mail", "hold", "remove")]
    mail, hold, remove = paths
    report = await filter_list(output, mail, hold=hold, remove=remove, without=["role_based"])
    assert report.rows == 43
    assert [(group.name, group.destination, group.rows) for group in report.groups] == [
        ("mail", str(mail), 10),
        ("hold", str(hold), 22),
        ("remove", str(remove), 11),
    ]
    reasons = [group.reasons for group in report.groups]
    assert reasons == [
        {D: 10},
        {A: 10, K: 10, "no verdict": 1, "role-based": 1},
        {U: 10, "no address": 1},
    ]
    header, *rows = everything.splitlines(keepends=True)
    found = [path.read_bytes().splitlines(keepends=True) for path in paths]
    assert [lines[0] for lines in found] == [header] * 3
    assert sorted(line for lines in found for line in lines[1:]) == sorted(rows)
    assert output.read_bytes() == everything
    assert sandbox.ledger.requests.total() == requests


@pytest.mark.asyncio
async def test_wanted_rows_are_written_and_the_others_counted(
    client: Client, source: Path, output: Path, tmp_path: Path
) -> None:
    source.write_text(numbered(8))
    await verified(client, source, output)
    report = await filter_list(str(output), tmp_path / "mail.csv", only=["deliverable", "unknown"])
    assert verdicts_of(table(tmp_path / "mail.csv")[1:]) == [D, K] * 2
    wanted, left_out = report.groups
    assert (wanted.name, wanted.rows, wanted.reasons) == ("wanted", 4, {D: 2, K: 2})
    assert (left_out.name, left_out.destination, left_out.rows) == ("left out", "", 4)


@pytest.mark.asyncio
async def test_downloaded_results_are_filtered(
    client: Client, source: Path, tmp_path: Path
) -> None:
    job = await client.upload(source, auto_verify=True)
    while not (await job.status()).ended:
        pass
    await job.download(tmp_path / "results.csv")
    report = await filter_list(tmp_path / "results.csv", tmp_path / "mail.csv", only=[Verdict(D)])
    assert [group.rows for group in report.groups] == [2, 1]


@pytest.fixture
def done(tmp_path: Path) -> Path:
    path = tmp_path / "done.csv"
    path.write_text(f"email,verdict,disposable\na@x.com,{D},N\nb@x.com,{K},Y\n")
    return path


@pytest.mark.asyncio
async def test_no_file_appears_if_a_row_can_not_be_read(done: Path, tmp_path: Path) -> None:
    done.write_text(f"{done.read_text()}c@x.com,{D},perhaps\n")
    names = ("mail.csv", "hold.csv", "remove.csv")
    mail, hold, remove = (tmp_path / name for name in names)
    with pytest.raises(InvalidListError, match="Row 3 "):
        await filter_list(done, mail, hold=hold, remove=remove)
    assert [path.name for path in tmp_path.iterdir()] == [done.name]


@pytest.mark.asyncio
@pytest.mark.parametrize("name", ["mail.csv", "hold.csv", "remove.csv"])
async def test_an_existing_file_is_replaced_only_if_told(
    done: Path, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_text("precious")
    mail, hold, remove = (tmp_path / one for one in ("mail.csv", "hold.csv", "remove.csv"))
    with pytest.raises(FileExistsError, match=name):
        await filter_list(done, mail, hold=hold, remove=remove)
    assert (tmp_path / name).read_text() == "precious"
    assert len([*tmp_path.iterdir()]) == 2
    await filter_list(done, mail, hold=hold, remove=remove, overwrite=True)
    assert (tmp_path / name).read_text() != "precious"


@pytest.mark.asyncio
async def test_a_list_is_read_from_a_pipe(done: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    content = done.read_text()
    writer = threading.Thread(target=lambda: (tmp_path / "pipe").write_text(content))
    writer.start()
    await filter_list(tmp_path / "pipe", tmp_path / "mail.csv", only=[Verdict(K)])
    writer.join()
    assert table(tmp_path / "mail.csv")[1:] == [["b@x.com", K, "Y"]]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("destination", "options", "message"),
    [
        ("done.csv", {"only": [D]}, "is the list itself"),
        ("./link.csv", {"only": [D]}, "is the list itself"),
        ("mail.csv", {"hold": "mail.csv", "remove": "remove.csv"}, "is named twice"),
        ("mail.csv", {"hold": "hold.csv"}, "name a file for the rows to hold and one"),
        ("mail.csv", {}, "Nothing is to be filtered"),
        ("mail.csv", {"only": ["good"]}, "verdicts are deliverable"),
        ("mail.csv", {"without": ["free"]}, "There is no flag 'free'"),
        ("mail.jsonl", {"only": [D]}, r"does not end in \.csv"),
        ("mail.csv", {"only": [D], "encoding": "no"}, "There is no encoding 'no'"),
    ],
)
async def test_what_can_not_be_done_is_refused(
    done: Path, monkeypatch: pytest.MonkeyPatch, destination: str, options: dict[str, object], message: str
) -> None:  # fmt: skip
    monkeypatch.chdir(done.parent)
    Path("link.csv").hardlink_to(done)
    before = done.read_bytes()
    with pytest.raises(UsageError, match=message):
        await filter_list(done, destination, overwrite=True, **options)  # type: ignore[arg-type]
    assert {path.name for path in done.parent.iterdir()} == {"done.csv", "link.csv"}
    assert done.read_bytes() == before


@pytest.mark.asyncio
async def test_json_lines_are_filtered(client: Client, source: Path, tmp_path: Path) -> None:
    await verified(client, source, tmp_path / "out.jsonl")
    await filter_list(tmp_path / "out.jsonl", tmp_path / "bad.ndjson", only=[Verdict(U)])
    rows = [json.loads(line) for line in (tmp_path / "bad.ndjson").read_text().splitlines()]
    assert [row["email"] for row in rows] == [f"{U}@x.com"]

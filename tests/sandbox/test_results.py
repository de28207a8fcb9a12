import csv
from datetime import timedelta
from pathlib import Path

import pytest

from .caller import Caller, Serve
from .conftest import EPOCH

pytestmark = pytest.mark.asyncio

PAYLOADS = Path(__file__).parent.parent / "payloads"
OWN = ["Verification Result", "Syntax Error", "ISP", "Role", "Disposable", "Trap", "Verified At"]
FOUR = "email\n" + "".join(
    f"{verdict}@example.com\n"
    for verdict in ("deliverable", "undeliverable", "accept-all", "unknown")
)


@pytest.mark.parametrize(
    ("vendor", "sample"), [("bouncify", "results.csv"), ("validto", "results_validto.csv")]
)
async def test_the_sample_lists_give_the_sample_headers(
    serve: Serve, vendor: str, sample: str
) -> None:
    caller = await serve(vendor=vendor)
    expected = (PAYLOADS / sample).read_text()
    addresses = [row["Email"] for row in csv.DictReader(expected.splitlines())]
    job_id = await caller.bring("\n".join(["Email", *addresses]), "completed")
    answer = await caller.download(job_id)
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    found = answer.content.decode().splitlines(keepends=True)
    assert found[0] == expected.splitlines(keepends=True)[0]
    assert [len(line) for line in answer.table] == [8, 8, 8]
    assert [line[0] for line in answer.table[1:]] == addresses
    assert all(line.startswith('"') and line.endswith('"\n') for line in found)


async def test_the_columns_of_the_list_come_first_and_unchanged(caller: Caller) -> None:
    content = '\ufeffname,E-Mail\r\n"Doe, J\n",Info@Gmail.com \r\nÉva\r\nx,oops,more\r\n'
    table = (await caller.download(await caller.bring(content, "completed"))).table
    assert table[0] == ["name", "E-Mail", "col2", *OWN]
    assert [row[:3] for row in table[1:]] == [
        ["Doe, J\n", "Info@Gmail.com ", ""],
        ["Éva", "", ""],
        ["x", "oops", "more"],
    ]
    assert [row[4:9] for row in table[1:]] == [
        ["N", "Y", "Y", "N", "N"],
        ["Y", "N", "N", "N", "N"],
        ["Y", "N", "N", "N", "N"],
    ]


@pytest.mark.parametrize("vendor", ["bouncify", "validto"])
async def test_some_accounts_get_a_column_that_marks_accept_all(serve: Serve, vendor: str) -> None:
    caller = await serve(vendor=vendor, accept_all_column=True)
    table = (await caller.download(await caller.bring(FOUR, "completed"))).table
    place = table[0].index("Accept-all")
    assert table[0][place - 1 : place + 2] == ["Role", "Accept-all", "Disposable"]
    assert [row[place] for row in table[1:]] == ["N", "N", "Y", "N"]
    assert {len(row) for row in table} == {9}


async def test_a_list_without_a_header_gets_numbered_columns(caller: Caller) -> None:
    job_id = await caller.bring("1,a@example.com\n2,b@example.com\n", "completed")
    table = (await caller.download(job_id)).table
    assert table[0] == ["col0", "col1", *OWN]
    assert len(table) == 3


async def test_rows_come_back_with_their_keys_as_columns(caller: Caller) -> None:
    answer = await caller.send_rows({"email": "a@example.com", "id": 7}, auto_verify=True)
    caller.sandbox.advance(1000)
    table = (await caller.download(answer.body["job_id"])).table
    assert [row[:2] for row in table] == [["email", "id"], ["a@example.com", "7"]]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ([], ["deliverable", "undeliverable", "accept-all", "unknown"]),
        (["deliverable"], ["deliverable"]),
        (["unknown", "accept_all"], ["accept-all", "unknown"]),
    ],
)
async def test_the_download_has_only_the_wanted_verdicts(
    caller: Caller, wanted: list[str], found: list[str]
) -> None:
    job_id = await caller.bring(FOUR, "completed")
    table = (await caller.download(job_id, *wanted)).table
    assert [row[1] for row in table[1:]] == found


async def test_a_body_without_a_filter_wants_all(caller: Caller) -> None:
    job_id = await caller.bring(FOUR, "completed")
    answer = await caller.ask("POST", "/download", {"jobId": job_id}, {})
    assert len(answer.table) == 5


async def test_every_row_is_dated_within_the_verification(caller: Caller) -> None:
    job_id = await caller.bring(FOUR, "completed")
    dates = [row[-1] for row in (await caller.download(job_id)).table[1:]]
    begin = EPOCH + timedelta(seconds=4)
    assert dates == sorted(dates)
    assert dates[-1] == (begin + timedelta(seconds=10.08)).strftime("%Y-%m-%dT%H:%M:%S.080Z")


@pytest.mark.parametrize(("rows", "chunked"), [(1000, False), (1001, True), (2500, True)])
async def test_large_results_are_streamed(caller: Caller, rows: int, *, chunked: bool) -> None:
    content = "email\n" + "".join(f"u{number}@example.com\n" for number in range(rows))
    answer = await caller.download(await caller.bring(content, "completed"))
    assert ("Content-Length" not in answer.headers) == chunked
    assert [row[0] for row in answer.table[1:]] == [f"u{n}@example.com" for n in range(rows)]

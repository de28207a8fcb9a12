"""Rows continue after a broken connection: each comes once, or an error says that the results changed."""

import asyncio
import csv
from pathlib import Path

import pytest
from tenacity import wait_none

from bulkverify import (
    Client,
    ConnectionFailedError,
    IncompleteDownloadError,
    ProtocolError,
    ResultRow,
    ServerError,
)
from bulkverify.files import flush_to_disk
from bulkverify.results.records import LARGEST_RECORD_CHARACTERS
from bulkverify.sandbox import FaultKind
from tests.scripted import seen
from tests.served import completed, fault, served
from tests.wire import Arrived, http, wire

HEADER = "Email,Note,Verification Result\n"
ROWS = [f'ä{n}@example.com,"a\n{"x" * (n % 7)}",unknown\n' for n in range(60)]
RESULTS = (HEADER + "".join(ROWS)).encode()
ADDRESSES = [f"ä{n}@example.com" for n in range(60)]
PAGE = http(b"<html>busy</html>", 502, "text/html")


class Service:
    """Answers downloads from a script; the last entry repeats.

    At an int's byte the connection breaks. A negative int ends the file there without an error.
    Bytes are the answer itself.
    """

    def __init__(self, *script: int | bytes | None, total: int | None = len(ROWS)) -> None:
        self.script = list(script)
        self.results = RESULTS
        self.total = total
        self.downloads = 0

    async def __call__(self, arrived: Arrived) -> bytes | None:
        if "/download" not in arrived.target:
            total = "" if self.total is None else f', "total": {self.total}'
            return http(
                f'{{"success": true, "job_id": "job1", "status": "completed"{total}}}'.encode()
            )
        self.downloads += 1
        step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(step, bytes):
            return step
        whole = http(self.results, content_type="text/csv")
        if step is None:
            return whole
        if step < 0:
            return http(self.results[:-step], content_type="text/csv")
        return whole[: len(whole) - len(self.results) + step] + BREAK


BREAK = b"\0break\0"


async def rows_of(service: Service, attempts: int = 4, **options: str) -> list[ResultRow]:
    rows: list[ResultRow] = []
    await gather(service, rows, attempts, **options)
    return rows


async def gather(
    service: Service, rows: list[ResultRow], attempts: int = 4, encoding: str = "utf-8-sig"
) -> None:
    async with (
        wire(service, cut=BREAK) as (url, _),
        Client("key", base_url=url, attempts=attempts, backoff=wait_none()) as client,
    ):
        async for row in client.rows("job1", encoding=encoding):
            rows.append(row)  # noqa: PERF401 - also kept when it breaks


@pytest.mark.asyncio
@pytest.mark.parametrize("at", [0, 1, 40, 70, 500, 1000, 1001, 1500, len(RESULTS) - 20])
@pytest.mark.parametrize("how", ["broken", "cut cleanly"])
async def test_rows_go_on_where_they_broke_off(at: int, how: str) -> None:
    service = Service(at if how == "broken" else -at or PAGE, None)
    rows = await rows_of(service)
    assert [row.email for row in rows] == ADDRESSES
    assert [row.columns["Note"] for row in rows] == [f"a\n{'x' * (n % 7)}" for n in range(60)]
    assert service.downloads == 2


@pytest.mark.asyncio
async def test_rows_go_on_over_several_breaks_and_other_faults() -> None:
    service = Service(300, PAGE, -900, 700, None)
    assert [row.email for row in await rows_of(service, attempts=5)] == ADDRESSES
    assert service.downloads == 5


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("script", "error"),
    [
        ((300, PAGE, 900), ConnectionFailedError),
        ((300, -900), IncompleteDownloadError),
        ((300, PAGE), ServerError),
        ((300, 900, PAGE), ServerError),
        ((900, 300), ConnectionFailedError),
        ((900, -300), IncompleteDownloadError),
    ],
)
async def test_rows_are_attempted_as_often_as_other_calls(
    script: tuple[int | bytes, ...], error: type[Exception]
) -> None:
    service, rows = Service(*script), list[ResultRow]()
    with pytest.raises(error):
        await gather(service, rows, attempts=4)
    assert service.downloads == 4
    assert [row.email for row in rows] == ADDRESSES[: len(rows)]
    assert rows


@pytest.mark.asyncio
async def test_a_client_with_one_attempt_does_not_repeat_it() -> None:
    service = Service(300, None)
    with pytest.raises(ConnectionFailedError):
        await rows_of(service, attempts=1)
    assert service.downloads == 1


@pytest.mark.asyncio
async def test_rows_that_never_begin_are_requested_as_often_as_other_calls() -> None:
    for attempts in (1, 2):
        service = Service(PAGE)
        with pytest.raises(ServerError):
            await rows_of(service, attempts=attempts)
        assert service.downloads == attempts


@pytest.mark.asyncio
@pytest.mark.parametrize("status", ["preparing", "ready", "verifying"])
async def test_the_total_of_a_list_that_was_seen_before_its_end_is_asked_for(
    tmp_path: Path, status: str
) -> None:
    service = Service(-len((HEADER + "".join(ROWS[:20])).encode()), None)
    async with (
        wire(service, cut=BREAK) as (url, _),
        Client("key", base_url=url, backoff=wait_none()) as client,
    ):
        job = client.job("job1")
        job.note(seen(status, total=20, job_id="job1"))
        assert await job.download(tmp_path / "out.csv") == len(ROWS)
    assert service.downloads == 2


@pytest.mark.asyncio
async def test_the_total_of_a_list_that_has_ended_is_not_asked_for_again(tmp_path: Path) -> None:
    service = Service(None)
    async with wire(service) as (url, arrived), Client("key", base_url=url) as client:
        job = client.job("job1")
        job.note(seen("completed", total=len(ROWS), job_id="job1"))
        assert await job.download(tmp_path / "out.csv") == len(ROWS)
    assert len(arrived) == service.downloads == 1


@pytest.mark.asyncio
@pytest.mark.parametrize("at", [900, -900])
async def test_results_that_change_between_attempts_are_an_error(at: int) -> None:
    service, rows = Service(at, None), list[ResultRow]()

    async def change() -> None:
        while service.downloads < 1:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0)
        service.results = RESULTS.replace(b"3@example.com", b"3@example.org")

    changing = asyncio.ensure_future(change())
    with pytest.raises(ProtocolError, match="results changed while they were read"):
        await gather(service, rows)
    await changing
    assert service.downloads == 2
    assert [row.email for row in rows] == ADDRESSES[: len(rows)]


@pytest.mark.asyncio
@pytest.mark.parametrize("left", ["ä59@exam", 'ä59@example.com,"a', "ä59@example.com,"])
async def test_a_file_that_ends_inside_its_last_row_is_requested_again(left: str) -> None:
    for total in (len(ROWS), None):
        service = Service(-RESULTS.index("ä59".encode()) - len(left.encode()), None, total=total)
        assert [row.email for row in await rows_of(service)] == ADDRESSES
        assert service.downloads == 2


@pytest.mark.asyncio
async def test_an_answer_shorter_than_the_last_one_is_not_the_end() -> None:
    service = Service(900, -300, None, total=None)
    assert [row.email for row in await rows_of(service)] == ADDRESSES
    assert service.downloads == 3


@pytest.mark.asyncio
async def test_a_shorter_answer_is_not_the_end_even_without_a_total() -> None:
    end = len((HEADER + "".join(ROWS[:5])).encode())  # at the end of a row
    middle = len((HEADER + "".join(ROWS[:20])).encode())
    service = Service(middle, http(RESULTS[:end], content_type="text/csv"), None, total=None)
    assert [row.email for row in await rows_of(service)] == ADDRESSES
    assert service.downloads == 3


@pytest.mark.asyncio
async def test_a_split_character_is_completed() -> None:
    at = RESULTS.index("ä30".encode()) + 1
    service = Service(-at, None)
    assert [row.email for row in await rows_of(service)] == ADDRESSES


@pytest.mark.asyncio
async def test_results_in_another_encoding_are_refused_without_a_repeat() -> None:
    service = Service(None)
    service.results = HEADER.encode() + b"a@example.com,x,unknown\nb@example.com,x,unkn\xe9"
    for total in (None, 1):
        service.total = total
        with pytest.raises(ProtocolError, match='rows\\(encoding="cp1252"\\)'):
            await rows_of(service)
    assert service.downloads == 2


@pytest.mark.asyncio
async def test_leaving_the_rows_early_ends_the_download() -> None:
    service = Service(300, None)
    async with wire(service, cut=BREAK) as (url, _), Client("key", base_url=url) as client:
        rows = client.rows("job1")
        assert (await anext(rows)).email == ADDRESSES[0]
        await rows.aclose()
    assert service.downloads == 1


LONG_CELL = "x" * (csv.field_size_limit() + 1)


@pytest.mark.asyncio
@pytest.mark.parametrize("quoted", [False, True])
async def test_a_cell_of_any_length_leaves_no_gap_in_the_count(
    tmp_path: Path,
    *,
    quoted: bool,
) -> None:
    cell = f'"{LONG_CELL}\n"' if quoted else LONG_CELL
    whole = HEADER + "".join(f"a{n}@x,{cell if n == 5 else 'y'},unknown\n" for n in range(10))
    short = "".join(whole.splitlines(keepends=True)[:-2])
    for results, expected in ((whole, 10), (short, None)):
        service = Service(None, total=10)
        service.results = results.encode()
        async with (
            wire(service) as (url, _),
            Client("key", base_url=url, attempts=2, backoff=wait_none()) as client,
        ):
            if expected is None:
                with pytest.raises(IncompleteDownloadError) as caught:
                    await client.download("job1", tmp_path / "out.csv")
                assert (caught.value.received, caught.value.expected) == (8, 10)
            else:
                assert await client.download("job1", tmp_path / "out.csv") == expected
                assert (tmp_path / "out.csv").read_bytes() == service.results
                (tmp_path / "out.csv").unlink()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.asyncio
@pytest.mark.parametrize("place", [0, 5, 9])
async def test_rows_with_a_cell_of_any_length_all_come_in_one_answer(place: int) -> None:
    service = Service(None, total=10)
    cells = [LONG_CELL * 3 if n == place else "y" for n in range(10)]
    service.results = (
        HEADER + "".join(f"a{n}@x,{cell},unknown\n" for n, cell in enumerate(cells))
    ).encode()
    assert [row.columns["Note"] for row in await rows_of(service)] == cells
    assert service.downloads == 1


@pytest.mark.asyncio
@pytest.mark.parametrize("end", [",unknown\n", ""])
async def test_a_row_that_is_too_long_is_an_error_at_once(end: str) -> None:
    service, rows = Service(None, total=2), list[ResultRow]()
    long = "x" * (LARGEST_RECORD_CHARACTERS + 100_000)
    service.results = f"{HEADER}a@x,y,unknown\nb@x,{long}{end}".encode()
    with pytest.raises(ProtocolError, match=r"a record of more than 4,194,304 .* `download`"):
        await gather(service, rows)
    assert [row.email for row in rows] == ["a@x"]
    assert service.downloads == 1


@pytest.mark.asyncio
async def test_a_download_of_only_a_header_has_no_rows(tmp_path: Path) -> None:
    for results in (HEADER, "", "\n\n"):
        service = Service(None, total=None)
        service.results = results.encode()
        async with wire(service) as (url, _), Client("key", base_url=url) as client:
            assert await client.download("job1", tmp_path / "out.csv") == 0


@pytest.mark.asyncio
@pytest.mark.parametrize("left", ["", ',"a', ',"a"', ","])
@pytest.mark.parametrize("total", [len(ROWS), None])
async def test_a_download_that_ends_inside_a_row_is_requested_again(
    tmp_path: Path, left: str, total: int | None
) -> None:
    end = RESULTS.index("ä59".encode()) + len(f"ä59@example.com{left}".encode())
    target = tmp_path / "out.csv"
    for script in ((end,), (end, None)):
        service = Service(*(step and -step for step in script), total=total)
        async with (
            wire(service) as (url, _),
            Client("key", base_url=url, attempts=3, backoff=wait_none()) as client,
        ):
            if len(script) == 1:
                with pytest.raises(IncompleteDownloadError, match="end inside a row"):
                    await client.download("job1", target)
                assert service.downloads == 3
                assert list(tmp_path.iterdir()) == []
            else:
                assert await client.download("job1", target) == len(ROWS)
                assert service.downloads == 2
                assert target.read_bytes() == RESULTS


@pytest.mark.asyncio
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig"])
async def test_a_download_in_any_encoding_that_lacks_its_last_row_is_refused(
    tmp_path: Path, encoding: str
) -> None:
    target = tmp_path / "out.csv"
    for rows in (ROWS, ROWS[:-1]):
        service = Service(None)
        service.results = (HEADER + "".join(rows)).encode(encoding)
        async with wire(service) as (url, _), Client("key", base_url=url, attempts=1) as client:
            if rows is ROWS:
                assert await client.download("job1", target) == len(ROWS)
                assert target.read_bytes() == service.results
                target.unlink()
            else:
                with pytest.raises(IncompleteDownloadError) as caught:
                    await client.download("job1", target)
                assert (caught.value.received, caught.value.expected) == (59, 60)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.asyncio
async def test_a_file_is_synced_in_a_thread_before_it_is_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[bool] = []

    def note(file: object) -> None:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            synced.append((tmp_path / "out.csv").exists())
        flush_to_disk(file)  # type: ignore[arg-type]

    monkeypatch.setattr("bulkverify.results.downloads.flush_to_disk", note)
    async with served() as (_, client):
        job = await completed(client)
        await job.download(tmp_path / "out.csv")
    assert synced == [False]


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", [FaultKind.TRUNCATE, FaultKind.TRUNCATE_CLEANLY])
async def test_rows_that_break_off_twice_each_come_once(kind: FaultKind) -> None:
    addresses = [f"deliverable+{n}@example.com" for n in range(500)]
    async with served() as (sandbox, client):
        job = await completed(client, addresses)
        sandbox.inject(fault("download", kind, times=2))
        assert [row.email async for row in job.rows()] == addresses
        assert sandbox.ledger.faults[kind] == 2

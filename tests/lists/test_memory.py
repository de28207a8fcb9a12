"""What a list takes of the memory does not grow with its rows."""

import tracemalloc
from collections.abc import Callable
from io import RawIOBase
from pathlib import Path

import pytest

from bulkverify.lists import join, joined_rows, open_table, split
from bulkverify.lists.verdicts import Verdicts
from bulkverify.lists.workbook_output import write_workbook
from bulkverify.models import Verdict
from tests.lists.made import answered


class Nowhere(RawIOBase):
    """Discards everything that is written."""

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        return len(data)  # type: ignore[arg-type]


def peak_of(work: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("name", "head", "row"),
    [
        ("list.csv", "n,email,note\n", '{n},a{a}@example.com,"{n}, ""{n}"""\n'),
        ("list.txt", "", "a{a}@example.com\n"),
        ("list.jsonl", "", '{{"email": "a{a}@example.com", "n": {n}}}\n'),
    ],
)
def test_a_list_of_any_size_takes_the_same_memory(
    tmp_path: Path, name: str, head: str, row: str
) -> None:
    peaks = []
    for rows in (8_000, 20_000):
        path = tmp_path / name
        path.write_text(head + "".join(row.format(n=n, a=n % 100) for n in range(rows)))
        table = open_table(path, spool=tmp_path)
        done = split(table, tmp_path)
        assert (done.rows, done.addresses) == (rows, 100)
        results = answered(done, tmp_path)

        def everything(path: Path = path, results: dict[int, Path] = results) -> None:
            table = open_table(path, spool=tmp_path)
            done = split(table, tmp_path)
            join(table, done, tmp_path, results, Nowhere())  # type: ignore[arg-type]
            for _ in joined_rows(table, done, tmp_path, results):
                pass

        peaks.append(peak_of(everything))
    assert peaks[1] < peaks[0] + 300_000
    assert peaks[1] < 8_000_000


def test_a_workbook_of_any_size_is_written_in_the_same_memory() -> None:
    def peak(rows: int) -> int:
        batches = ([[f"a{n}@example.com", "x"] for _ in range(1000)] for n in range(rows // 1000))
        return peak_of(lambda: write_workbook(Nowhere(), batches, largest_bytes=0))  # type: ignore[arg-type]

    assert peak(40_000) < peak(10_000) + 300_000


def test_verdicts_that_are_new_objects_each_time_take_no_memory() -> None:
    verdicts = Verdicts(1)
    before = len(verdicts.findings)
    codes = {verdicts._code((Verdict(text), *[False] * 5)) for text in ["unknown"] * 20_000}  # type: ignore[arg-type]
    assert len(codes) == 1
    assert len(verdicts.findings) == before + 1
    assert len(verdicts._known) <= 8192

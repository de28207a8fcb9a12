"""Records are counted as `csv` counts them, for any cells and any pieces."""

import csv
import tracemalloc
from io import StringIO

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bulkverify import IncompleteDownloadError
from bulkverify.service.counting import RecordCounter, RowCounter, first_record


def counted(data: bytes, size: int) -> tuple[int, bool]:
    counter = RecordCounter()
    for at in range(0, len(data), size):
        counter.feed(data[at : at + size])
    whole = counter.finish()
    return counter.count, whole


def records_of(data: bytes) -> list[list[str]]:
    return [record for record in csv.reader(StringIO(data.decode("latin-1"), newline="")) if record]


@given(data=st.text('a",\r\n\0 ', max_size=40), size=st.integers(1, 7))
@example(data='"a""b"c"d,"\n"', size=1)
@example(data='a"b,"c\r\n"\r,', size=2)
@example(data='"a",b\n"c"\n"d"', size=1000)
@example(data='x\n"a\nb",c\n"d"\n"e\nf"\n', size=4)
@example(data='"",""\r\n\r\n"', size=3)
def test_the_count_is_that_of_csv(data: str, size: int) -> None:
    count, _ = counted(data.encode(), size)
    assert count == len(records_of(data.encode()))


@pytest.mark.parametrize("size", [1, 1000, 65536, 10**7])
def test_a_cell_of_any_length_counts_as_one(size: int) -> None:
    long = b"x" * 300_000
    data = b"a,b\n" + b"1," + long + b'\n2,"' + long + b'\n""' + long + b'"\n3,4'
    if size == 1:
        data = data.replace(long, b"x" * 140_000)
    assert counted(data, size) == (4, True)


def test_a_file_that_ends_inside_a_quoted_cell_is_cut() -> None:
    assert counted(b'a,b\n1,"x', 3) == (2, False)
    assert counted(b'a,b\n1,"x"', 3) == (2, True)
    assert counted(b"", 1) == (0, True)


@pytest.mark.parametrize("size", [1, 2, 3, 100])
@pytest.mark.parametrize(
    ("data", "whole"),
    [
        (b"a,b\n1", False),
        (b'a,b\n1,2\n"x"', False),
        (b'\n"a\n","b"\r\n1,2\r\n\r\n3', False),
        (b"a,b\r1,2\r3", False),
        (b"a,b\n1,", True),
        (b"a,b\n1\n", True),
        (b"a,b\n1\n1,2,3", True),
        (b"a,b\n1\n1", False),
        (b"a,b", True),
        (b"a", True),
        (b"a\n1", True),
        (b"", True),
    ],
)
def test_a_file_that_ends_with_too_few_cells_is_cut(data: bytes, size: int, *, whole: bool) -> None:
    assert counted(data, size) == (len(records_of(data)), whole)


HEADER = "Email,Verification Result,Note\n"
FOREIGN = "測試,Verification Result,Note\n"
BEYOND_ASCII = 'a@x,unknown,"Ḁ\n∢Ⱁ\U00010d0a"\n'  # bytes of commas, quotes and line ends
WIDE = ["utf-16", "utf-32", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"]


def rows_in(data: bytes, size: int) -> int:
    counter = RowCounter()
    for at in range(0, len(data), size):
        counter.feed(data[at : at + size])
    return counter.finish()


@pytest.mark.parametrize("size", [1, 1000])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", *WIDE])
@pytest.mark.parametrize("header", [HEADER.upper(), FOREIGN])
@pytest.mark.parametrize("count", [0, 1, 4000])
def test_rows_are_counted_in_any_encoding(
    header: str, encoding: str, size: int, count: int
) -> None:
    count = min(count, 30 * size)
    text = header + BEYOND_ASCII * count
    for end in ("", "\n\n", "b@x,unknown,y"):
        assert rows_in((text + end).encode(encoding), size) == count + (len(end) > 2)


@pytest.mark.parametrize("mark", ["utf-16", "utf-32"])
def test_results_in_the_other_byte_order_are_counted_too(mark: str) -> None:
    assert rows_in(("\ufeff" + HEADER + BEYOND_ASCII * 3).encode(f"{mark}-be"), 7) == 3


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_rows_under_other_names_are_counted_after_a_byte_order_mark(encoding: str) -> None:
    assert rows_in("\ufeffEmail,Result\na@x,ok\nb@x,ok\n".encode(encoding), 7) == 2


@pytest.mark.parametrize("encoding", WIDE)
def test_results_that_end_inside_a_character_are_cut(encoding: str) -> None:
    data = (HEADER + BEYOND_ASCII * 2).encode(encoding)
    with pytest.raises(IncompleteDownloadError, match="end inside a row"):
        rows_in(data[:-1], 100)


@pytest.mark.parametrize("encoding", WIDE)
@pytest.mark.parametrize("rows", [1, 3000])
def test_a_count_that_cannot_be_right_is_not_returned(encoding: str, rows: int) -> None:
    data = (
        ("Email\n" + "a@x\n" * 30 * rows).encode(encoding).removeprefix("\ufeff".encode(encoding))
    )
    if encoding in ("utf-16", "utf-32"):
        data = data[len("\ufeff".encode(f"{encoding}-le")) :]
    with pytest.raises(IncompleteDownloadError, match="cut off, or is not a results file"):
        rows_in(data, 1000)


def test_results_of_any_size_are_counted_in_little_memory() -> None:
    counter = RowCounter()
    counter.feed(b"email,verification_result\n")
    tracemalloc.start()
    try:
        for _ in range(100):
            counter.feed(b"a@x,deliverable\n" * 2000)
        assert tracemalloc.get_traced_memory()[1] < 500_000
    finally:
        tracemalloc.stop()
    assert counter.finish() == 200_000


def test_a_nul_in_a_cell_does_not_suggest_utf_16() -> None:
    assert rows_in(HEADER.encode() + b"a@x,unknown,\0\0\0\n,\0\0,\0\n" * 3, 5) == 6


def test_the_first_cell_excludes_a_byte_order_mark() -> None:
    assert counted(b'\xef\xbb\xbf"a\nb",c\n1,2\n', 100) == (2, True)


def test_a_later_byte_order_mark_belongs_to_its_cell() -> None:
    counter = RecordCounter()
    for piece in (b"a\n", b'\xef\xbb\xbf"b\nc\n'):  # so this quote does not open a quoted cell
        counter.feed(piece)
    assert counter.finish()
    assert counter.count == 3


def test_the_first_record_may_have_several_lines() -> None:
    assert first_record(b'\n"a\nb",c\r\n1,2\n') == b'\n"a\nb",c\r'
    assert first_record(b"a,b") == b"a,b"


def test_a_quoted_cell_ends_at_its_first_closing_quote() -> None:
    counter = RecordCounter()
    for piece in (b'a\n"b', b'c"\n"d"\n"e"\n"f', b'"\n'):
        counter.feed(piece)
    assert counter.finish()
    assert counter.count == 5

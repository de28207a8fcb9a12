"""Records are counted as `csv` counts them, whatever is in their cells and however they arrive."""

import csv
from io import StringIO

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bulkverify.counting import RecordCounter, first_record


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


def test_a_byte_order_mark_is_no_part_of_the_first_cell() -> None:
    assert counted(b'\xef\xbb\xbf"a\nb",c\n1,2\n', 100) == (2, True)


def test_the_first_record_may_have_several_lines() -> None:
    assert first_record(b'\n"a\nb",c\r\n1,2\n') == b'\n"a\nb",c\r'
    assert first_record(b"a,b") == b"a,b"

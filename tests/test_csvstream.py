"""A file that comes in pieces has the records of the whole file."""

import csv
from collections.abc import Iterable
from io import StringIO
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bulkverify.errors import (
    IncompleteDownloadError,
    ProtocolError,
    TransportError,
    UsageError,
)
from bulkverify.results.records import LARGEST_RECORD_CHARACTERS, MOST_COLUMNS, RecordReader

UNTIDY = (
    b"\xef\xbb\xbf"
    b"email,name,note\r\n"
    b'a@example.com,"M\xc3\xbcller, Anna","two\r\nlines"\r\n'
    b"\r\n"
    b'b@example.com,"say ""hi""",\r\n'
    b"\xe6\xb8\xac@example.com,\xf0\x9f\x93\xac,\xe2\x80\xa8\x0b\r\n"
    b'c@example.com,5" nails,"a"b\r\n'
    b"last@example.com,no line end,"
)


def whole(data: bytes, encoding: str = "utf-8-sig") -> list[list[str]]:
    """Read a whole file with `csv`."""
    text = data.decode(encoding)
    return [record for record in csv.reader(StringIO(text, newline="")) if record]


def in_pieces(pieces: Iterable[bytes], encoding: str = "utf-8-sig") -> list[list[str]]:
    reader = RecordReader(encoding)
    records = [record for piece in pieces for record in reader.feed(piece)]
    return [*records, *reader.finish()]


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    edges = [0, *sorted({place % (len(data) + 1) for place in places}), len(data)]
    return [data[begin:end] for begin, end in pairwise(edges)]


CELLS = st.text(
    alphabet=st.one_of(
        st.sampled_from('",\r\n ;a\u2028\x0b\x85ä測📬\0'), st.characters(codec="utf-8")
    ),
    max_size=8,
)
TABLES = st.lists(st.lists(CELLS, min_size=1, max_size=4), max_size=6)
CUTS = st.lists(st.integers(0, 400), max_size=12)
# Text that csv.writer never writes: stray quotes, bare carriage returns.
SCRAWLS = st.text(alphabet='",\r\nax', max_size=40)


@settings(deadline=None)
@given(
    table=TABLES,
    cuts=CUTS,
    bom=st.booleans(),
    line_end=st.sampled_from(["\n", "\r\n"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_a_file_in_pieces_has_the_records_of_the_whole_file(
    table: list[list[str]], cuts: list[int], line_end: str, quoting: int, *, bom: bool
) -> None:
    text = StringIO(newline="")
    csv.writer(text, lineterminator=line_end, quoting=quoting).writerows(table)  # type: ignore[arg-type]
    data = text.getvalue().encode("utf-8-sig" if bom else "utf-8")
    assert in_pieces(cut(data, cuts)) == whole(data)


@settings(deadline=None)
@given(table=TABLES, cuts=CUTS)
def test_a_table_written_by_csv_is_read_back(table: list[list[str]], cuts: list[int]) -> None:
    text = StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows(table)
    data = text.getvalue().encode("utf-8-sig")
    assert in_pieces(cut(data, cuts)) == table


@settings(deadline=None)
@given(text=SCRAWLS, cuts=CUTS)
@example(text='a"b,"c\nd', cuts=[4])
@example(text='""a",\n"', cuts=[])
def test_stray_quotes_are_read_as_csv_reads_them(text: str, cuts: list[int]) -> None:
    data = text.encode()
    try:
        records = in_pieces(cut(data, cuts))
    except IncompleteDownloadError:
        # Then csv was inside a quoted cell too; one more quote ends it and changes nothing else.
        assert whole(data + b"x")[-1][-1] == whole(data + b'"')[-1][-1] + "x"
        return
    assert records == whole(data)


@pytest.mark.parametrize("place", range(len(UNTIDY)))
def test_a_cut_at_any_byte_changes_nothing(place: int) -> None:
    assert in_pieces([UNTIDY[:place], UNTIDY[place:]]) == whole(UNTIDY)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_pieces_of_any_size_change_nothing(size: int) -> None:
    pieces = [UNTIDY[place : place + size] for place in range(0, len(UNTIDY), size)]
    assert in_pieces(pieces) == [
        ["email", "name", "note"],
        ["a@example.com", "Müller, Anna", "two\r\nlines"],
        ["b@example.com", 'say "hi"', ""],
        ["測@example.com", "📬", "\u2028\x0b"],
        ["c@example.com", '5" nails', "ab"],
        ["last@example.com", "no line end", ""],
    ]


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ([], []),
        ([b""], []),
        ([b"\xef\xbb\xbf"], []),
        ([b"\xef", b"\xbb", b"\xbfa\n"], [["a"]]),
        ([b"a\r", b"\nb\r\n"], [["a"], ["b"]]),
        ([b'"a\r', b'\nb"\n'], [["a\r\nb"]]),
        ([b"\xc3", b"\xa4\n"], [["ä"]]),
        ([b'"a"', b'"b"\n'], [['a"b']]),
        ([b'"a\n', b"", b'b"\n'], [["a\nb"]]),
        ([b"\n\r\n\n", b"\na\n"], [["a"]]),
        ([b"a\rb\n"], [["a"], ["b"]]),
        ([b"a,b"], [["a", "b"]]),
        ([b'"a"'], [["a"]]),
        ([b'""\n'], [[""]]),
        ([b",\n"], [["", ""]]),
        ([b"a\0b\n"], [["a\0b"]]),
    ],
)
def test_a_record_may_be_cut_anywhere(pieces: list[bytes], expected: list[list[str]]) -> None:
    assert in_pieces(pieces) == expected


def test_a_record_is_returned_once_it_is_complete() -> None:
    reader = RecordReader()
    assert reader.feed(b'a\n"b') == [["a"]]
    assert reader.feed(b"\n") == []
    assert reader.feed(b'c"\nd') == [["b\nc"]]
    assert reader.finish() == [["d"]]


def test_a_reader_can_be_fed_after_a_failed_finish() -> None:
    reader = RecordReader()
    assert reader.feed('a\n"b\nä'.encode()[:-1]) == [["a"]]
    for _ in range(2):
        with pytest.raises(TransportError):
            reader.finish()
    assert reader.feed('ä"\nc'.encode()[1:]) == [["b\nä"]]
    assert reader.finish() == reader.finish() == [["c"]]
    assert reader.feed(b"d\n") == [["cd"]]


@pytest.mark.parametrize("data", [b'a\n"b', b'a\n"b\n', b'"', b'a,"b""', b'a\n"b\r'])
def test_a_file_that_ends_inside_a_quoted_cell_was_cut_off(data: bytes) -> None:
    reader = RecordReader()
    reader.feed(data)
    with pytest.raises(IncompleteDownloadError, match="end inside a quoted cell"):
        reader.finish()


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16", "utf-8"])
def test_any_encoding_can_be_named(encoding: str) -> None:
    data = 'name\n"Müller\nAnna"\n'.encode(encoding)
    pieces = [data[place : place + 1] for place in range(len(data))]
    assert in_pieces(pieces, encoding) == [["name"], ["Müller\nAnna"]]


@pytest.mark.parametrize(
    ("data", "problem"),
    [(b"caf\xe9\n", "byte 0xe9, invalid continuation"), (b"\xff\n", "byte 0xff, invalid start")],
)
def test_bytes_of_another_encoding_are_named(data: bytes, problem: str) -> None:
    with pytest.raises(ProtocolError, match=rf"not utf-8-sig text \({problem}") as info:
        RecordReader().feed(data)
    assert 'rows(encoding="cp1252")' in str(info.value)
    assert info.value.__context__ is None


def test_an_incomplete_character_is_an_error() -> None:
    reader = RecordReader()
    assert reader.feed(b"a\n\xc3") == [["a"]]
    with pytest.raises(ProtocolError, match="byte 0xc3, unexpected end of data"):
        reader.finish()


def test_a_missing_byte_order_mark_is_an_error() -> None:
    with pytest.raises(ProtocolError, match="not utf-16 text"):
        RecordReader("utf-16").feed(b"email\n")


@pytest.mark.parametrize("encoding", ["klingon", "hex", "a\0b", "undefined", "\ud800", "", None])
def test_an_unknown_encoding_is_refused(encoding: str) -> None:
    with pytest.raises(UsageError, match="There is no encoding") as caught:
        RecordReader(encoding)
    assert repr(encoding) in str(caught.value)


def test_a_record_that_is_too_long_is_not_buffered() -> None:
    reader = RecordReader()
    piece = b'"' + b"x" * 99_997 + b'",'
    for _ in range(LARGEST_RECORD_CHARACTERS // len(piece)):
        assert reader.feed(piece) == []
    with pytest.raises(ProtocolError, match="a record of more than 4,194,304 characters"):
        reader.feed(piece)


def test_a_long_record_is_read() -> None:
    cells = ["x" * 100_000] * 40
    data = ",".join(cells).encode() + b"\n"
    pieces = [data[place : place + 65536] for place in range(0, len(data), 65536)]
    assert in_pieces(pieces) == [cells]


LONG_CELL = "x" * (csv.field_size_limit() + 1)


@pytest.mark.parametrize("size", [1000, 65536, 10**7])
@pytest.mark.parametrize(
    ("cell", "read"),
    [
        (LONG_CELL, LONG_CELL),
        (f'"{LONG_CELL}\r\n""\n"y', f'{LONG_CELL}\r\n"\ny'),
        (f'"{LONG_CELL},"', f"{LONG_CELL},"),
    ],
    ids=["plain", "lines", "comma"],
)
@pytest.mark.parametrize("end", ["\nc,d\n\n", "\r\nc,d", "\rc,d\r"])
def test_a_cell_beyond_the_limit_of_csv_is_read(size: int, cell: str, read: str, end: str) -> None:
    data = f"a,b\n\n{cell},1\n2,{cell}{end}".encode()
    pieces = [data[place : place + size] for place in range(0, len(data), size)]
    assert in_pieces(pieces) == [["a", "b"], [read, "1"], ["2", read], ["c", "d"]]


def test_a_record_of_endless_cells_is_not_buffered() -> None:
    reader = RecordReader()
    with pytest.raises(ProtocolError, match="a record of more than 20,000 cells") as info:
        reader.feed(f"a\n{LONG_CELL}{',' * MOST_COLUMNS}\n".encode())
    assert info.value.__context__ is None
    assert (
        len(RecordReader().feed(f"{LONG_CELL}{',' * (MOST_COLUMNS - 1)}\n".encode())[0])
        == MOST_COLUMNS
    )


@settings(deadline=None)
@given(text=SCRAWLS, cuts=CUTS, limit=st.integers(0, 2))
@example(text='a,\r\n""\r\r\n,"b\n', cuts=[4], limit=0)
@example(text='aa,"b"', cuts=[], limit=0)
def test_any_limit_of_csv_leaves_the_records_as_they_are(
    text: str, cuts: list[int], limit: int
) -> None:
    pieces = cut(text.encode(), cuts)
    try:
        expected = in_pieces(pieces)
    except IncompleteDownloadError:
        expected = None
    before = csv.field_size_limit(limit)
    try:
        if expected is not None:
            assert in_pieces(pieces) == expected
        else:
            with pytest.raises(IncompleteDownloadError):
                in_pieces(pieces)
    finally:
        csv.field_size_limit(before)

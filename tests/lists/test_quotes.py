"""Lists whose quotes are not as CSV wants them: no row is lost, and no cell changes in silence."""

import csv
from io import StringIO
from pathlib import Path

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl import Workbook

from bulkverify.errors import InvalidListError
from bulkverify.lists import Table, open_table, split
from bulkverify.lists.quotes import ListRecords
from tests.lists.made import joined, opened, write


def records_of(
    text: str, size: int = 0, delimiter: str = ","
) -> tuple[list[list[str]], ListRecords]:
    """Read a text, in pieces of a size or at once."""
    records = ListRecords(delimiter)
    found = []
    for begin in range(0, len(text), size or len(text)):
        found += records.feed(text[begin : begin + (size or len(text))])
    return found + records.finish(), records


@pytest.mark.parametrize(
    ("text", "expected", "stray"),
    [
        ('a,"b"\n', [["a", "b"]], 0),
        ('a,"b, c"  ,d\n', [["a", "b, c  ", "d"]], 0),
        ('a, "b, c" , d\n', [["a", "b, c", " d"]], 0),
        ('a,  "b, c"\n', [["a", "b, c"]], 0),
        (' "a", b\n   "c" , "d"\n', [["a", " b"], ["c", "d"]], 0),
        ('a, "say ""hi"""\n', [["a", 'say "hi"']], 0),
        ('a, ""\n', [["a", ""]], 0),
        ('a, 5" pipe, b\n', [["a", ' 5" pipe', " b"]], 0),
        ('a, "b" c, d\n', [["a", ' "b" c', " d"]], 0),
        ('"he said, ""hi"", twice",x\n', [['he said, "hi", twice', "x"]], 0),
        ('"a\nb","c, ""d"""\n', [["a\nb", 'c, "d"']], 0),
        ('"a \\"b\\", c",d\n', [['a \\"b\\", c', "d"]], 0),
        (
            '"C:\\",x\n"say \\"hi",y\n"D:\\",z\n',
            [["C:\\", "x"], ['say \\"hi', "y"], ["D:\\", "z"]],
            0,
        ),
        ('"a" b,c\n', [['"a" b', "c"]], 1),
        ('x,"Joe\'s 16 inch\ny,"Best" shop\n', [["x", "\"Joe's 16 inch"], ["y", '"Best" shop']], 2),
        ('x,"Joe\ny,"z"\n', [["x", '"Joe'], ["y", "z"]], 1),
        ('"Lima, Ana" <a@x.com>,b\n', [['"Lima, Ana" <a@x.com>', "b"]], 1),
        ('x,"Joe, 16 inch,"Best" shop\n', [["x", '"Joe', " 16 inch", '"Best" shop']], 1),
        ('"5" screen",x\n', [['5" screen', "x"]], 1),
        ('a, "b\nc,d\n', [["a", ' "b'], ["c", "d"]], 1),
        ('a, "b\nc"\n', [["a", "b\nc"]], 0),
        ('a, "b\n\nc", d\ne, f, g\n', [["a", "b\n\nc", " d"], ["e", " f", " g"]], 0),
        ('a, "b\nc" d\n', [["a", ' "b'], ['c" d']], 1),
        ('a,"b""\nc"\n', [["a", 'b"\nc']], 0),
        ('a,b"c"d\n', [["a", 'b"c"d']], 0),
        ('"a"b\r\nc,d\r\n', [['"a"b'], ["c", "d"]], 1),
        ('x,y\n"a" b', [["x", "y"], ['"a" b']], 1),
    ],
)
def test_a_quote_opens_a_cell_only_if_it_closes_it(
    text: str, expected: list[list[str]], stray: int
) -> None:
    for size in (0, 1, 2, 3, 7):
        found, records = records_of(text, size)
        assert not records.unfinished
        assert (found, records.stray) == (expected, stray)


CELL = st.text(alphabet='ab \\",\n;', max_size=6)


@settings(max_examples=500, deadline=None)
@given(
    rows=st.lists(st.lists(CELL, min_size=1, max_size=3), min_size=1, max_size=5),
    delimiter=st.sampled_from(",;"),
    quoting=st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
    size=st.integers(0, 9),
)
def test_well_formed_quotes_are_read_as_csv_reads_them(
    rows: list[list[str]], delimiter: str, quoting: int, size: int
) -> None:
    text = StringIO()
    csv.writer(text, delimiter=delimiter, quoting=quoting, lineterminator="\n").writerows(rows)  # type: ignore[arg-type]
    written = text.getvalue()
    if f'{delimiter} "' in written or '\n "' in f"\n{written}":
        return  # a quote after a blank is read in another way
    expected = list(filter(None, csv.reader(StringIO(written, newline=""), delimiter=delimiter)))
    found, records = records_of(written, size, delimiter)
    assert found == expected
    assert records.stray == 0


@settings(max_examples=500, deadline=None)
@given(
    text=st.text(alphabet='ab ,"\n', min_size=1, max_size=40),
    size=st.integers(1, 9),
)
def test_the_size_of_the_pieces_changes_nothing(text: str, size: int) -> None:
    found, records = records_of(text)
    again, others = records_of(text, size)
    assert found == again
    assert attrs.astuple(
        attrs.make_class("Seen", ["a", "b", "c", "d"])(
            records.stray, records.stray_line, records.escapes, records.unfinished
        )
    ) == (others.stray, others.stray_line, others.escapes, others.unfinished)


# In a list


def refusal(table: Table) -> str:
    with pytest.raises(InvalidListError) as info:
        list(table.rows())
    return info.value.message


def test_rows_with_stray_quotes_are_kept_and_told(path: Path) -> None:
    rows = "".join(f"{number},p{number}@x.com,Plain\n" for number in range(5))
    table = opened(
        path, f'id,email,company\n{rows}5,a@x.com,"Joe\'s 16 inch\n{rows}6,b@x.com,"Best" shop\n'
    )
    done = split(table, path.parent)
    assert (done.rows, done.addresses, done.stray) == (12, 7, 2)
    assert done.stray_at == f"line 7 of {path}"
    text, _ = joined(table, path.parent)
    cells = [row[2] for row in csv.reader(StringIO(text))]
    assert (cells[6], cells[12]) == ("\"Joe's 16 inch", '"Best" shop')


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ('name;email\nA;a@x.com\n"Cy;c@x.com\nDi;d@x.com\nEd";e@x.com\n', 3),
        ('name;email\n"Cy;c@x.com\nEd";e@x.com\n', 2),
        ('id,email,note\n1,a@x.com,"16 inch\n2,b@x.com,24"\n3,c@x.com,\n', 2),
        ('id,email,note\n1,a@x.com,"16 inch\n2,b@x.com,x\n3,c@x.com,24"\n', 2),
        ('id,email,note\n1,a@x.com,"two\nlines"\n2,b@x.com,"16 inch\n3,c@x.com,24"\n', 4),
        ('email,a,b\na@x.com,"1\n\nb@x.com,2,3\nc@x.com,4",5\n', 2),
        ('name, email\n"Cy, c@x.com\nEd", e@x.com\nFlo, f@x.com\n', 2),
        ('email, note\na@x.com, "5 inch\nb@x.com, 6"\nc@x.com, x\n', 2),
        ('email,note\na@x.com, "5 inch\nb@x.com, 6"\nc@x.com,x\n', 2),
        ('id,email,note\n1,a@x.com, "5\n2,b@x.com,6\n3,c@x.com,7"\n', 2),
        ('name,email\r"Cy,c@x.com\rEd",e@x.com\r', 2),
        ('a,b,email\n1,"x,a@x.com\n2,y",b@x.com\n3,z,c@x.com\n', 2),
        ('email\n"a@x.com\nb@x.com\nc@x.com"\nd@x.com\n', 2),
        ('email\r\na@x.com\r\n"b@x.com\r\nc@x.com\r\nd@x.com"\r\n', 3),
    ],
)
def test_a_cell_of_lines_that_look_like_rows_is_refused(
    path: Path, content: str, line: int
) -> None:
    message = refusal(opened(path, content))
    assert message.startswith(f"Line {line:,} of {path} opens a quote that closes on a later line")


@pytest.mark.parametrize(
    "cell",
    [
        "12 Main St, Apt 4\nSpringfield, IL",
        "Call Bo, bo@x.com\nthanks",
        "Regards,\nAna Lima, CEO, ana@x.com\n+351 900",
        "b@x.com\nc@x.com",
        "line\nline\nline",
        "ask Bo\nbo@x.com, or Cy",
        "one\r\ntwo",
    ],
)
@pytest.mark.parametrize("place", [1, 2])
def test_a_cell_of_lines_that_are_text_is_kept(path: Path, cell: str, place: int) -> None:
    rows = [["email", "note", "more"], ["a@x.com", "", ""], ["b@x.com", "", ""]]
    rows[1][place] = cell
    text = StringIO()
    csv.writer(text).writerows(rows)
    assert list(opened(path, text.getvalue()).rows()) == rows[1:]
    narrow = [[row[0], row[place]] for row in rows]
    text = StringIO()
    csv.writer(text).writerows(narrow)
    assert list(opened(path, text.getvalue()).rows()) == narrow[1:]


def test_a_cell_of_a_workbook_may_have_lines_that_look_like_rows(tmp_path: Path) -> None:
    rows = [["email", "a", "b"], ["a@x.com", "x", "1\n2,b@x.com,3\n4,c@x.com,5"]]
    book = Workbook()
    sheet = book.create_sheet("People", 0)
    for row in rows:
        sheet.append(row)
    book.save(tmp_path / "list.xlsx")
    assert list(open_table(tmp_path / "list.xlsx", spool=tmp_path).rows()) == rows[1:]


def test_a_row_that_loses_cells_by_a_stray_quote_is_refused(path: Path) -> None:
    table = opened(path, 'name,email\nA,a@x.com\nB,b@x.com\n"Cy" Lima\nD,d@x.com\n')
    assert refusal(table).startswith(
        f"Line 4 of {path} opens a quote that does not close before the next cell, and the row has 1 cells "
        "where the list has 2 columns: '\"Cy\" Lima'."
    )


def test_a_quote_after_delimiter_and_blank_opens_a_cell(path: Path) -> None:
    table = opened(path, 'name, email\n"Lima, Ana", "a@x.com"\n"Ek, Bo", "b@x.com"\n')
    assert list(table.rows()) == [["Lima, Ana", "a@x.com"], ["Ek, Bo", "b@x.com"]]
    assert split(table, path.parent).addresses == 2


def test_a_cell_of_several_lines_may_follow_a_delimiter_and_a_blank(path: Path) -> None:
    table = opened(path, 'email, note\na@x.com, "12 Main St, Apt 4\nLima, Ohio"\nb@x.com, z\n')
    assert list(table.rows()) == [["a@x.com", "12 Main St, Apt 4\nLima, Ohio"], ["b@x.com", " z"]]


def test_a_quote_after_a_blank_hides_no_more_than_a_long_cell(path: Path) -> None:
    filler = "".join(f"p{number}@x.com, z\n" for number in range(20_000))
    table = opened(path, f'email, note\na@x.com, "5 inch\n{filler}b@x.com, 6"\n')
    rows = list(table.rows())
    assert (len(rows), rows[0], rows[-1]) == (
        20_002,
        ["a@x.com", ' "5 inch'],
        ["b@x.com", ' 6"'],
    )
    assert table.stray == 1


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_backslashes_before_quotes_come_back_as_they_were(path: Path, newline: str) -> None:
    lines = [
        "id,email,company",
        "1,a@x.com,plain",
        r'2,b@x.com,"this is not \"fine"',
        r'3,c@x.com,"ends \"here\""',
        r'4,d@x.com,"a \"b\", c"',
        r"5,e@x.com,C:\x",
    ]
    text, _ = joined(opened(path, newline.join([*lines, ""])), path.parent)
    given_back = [line.rpartition(",accept-all,")[0] for line in text.split(newline)[1:-1]]
    assert given_back == lines[1:]
    again = opened(path.with_name("again.csv"), text)
    assert [row[2] for row in again.rows()] == [
        row[2] for row in opened(path, path.read_bytes()).rows()
    ]


# Byte order marks


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_the_output_begins_with_a_byte_order_mark_if_the_list_does(
    path: Path, encoding: str
) -> None:
    content = "name,email\r\nJörg,a@x.com\r\n".encode(encoding)
    options = {"encoding": "utf-32"} if encoding == "utf-32" else {}
    text, _ = joined(opened(path, content, **options), path.parent)
    assert text.startswith("\ufeffname,email,verdict,")
    assert text.count("\ufeff") == 1
    text, _ = joined(opened(path, content, **options), path.parent, format="jsonl")
    assert text.startswith('{"name"')


def test_the_output_of_a_unicode_list_has_no_mark_that_the_list_has_not(path: Path) -> None:
    for content, options in [
        (b"email\na@x.com\n", {}),
        ("email\na@x.com\n".encode("utf-16-le"), {"encoding": "utf-16-le"}),
    ]:
        text, _ = joined(opened(path, content, **options), path.parent)
        assert not text.startswith("\ufeff")


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "shift_jis", "utf-8", "ascii"])
def test_a_list_with_the_mark_of_utf_8_is_read_as_utf_8(path: Path, encoding: str) -> None:
    content = "name,email\nZoë,a@x.com\n"
    table = opened(path, content.encode("utf-8-sig"), encoding=encoding)
    assert (table.names, list(table.rows())) == (("name", "email"), [["Zoë", "a@x.com"]])
    assert joined(table, path.parent)[0].startswith("\ufeffname,email,verdict,")


def test_of_several_lists_the_first_decides(tmp_path: Path) -> None:
    first = write(tmp_path / "1.csv", '\ufeffemail,x\na@x.com,"b" c\n')
    second = write(tmp_path / "2.csv", "email\nb@x.com\n")
    table = open_table([first, second], spool=tmp_path)
    text, _ = joined(table, tmp_path)
    assert text.startswith("\ufeffemail,x,")
    assert (table.stray, table.stray_at, table.escapes) == (1, f"line 2 of {first}", False)
    text, _ = joined(open_table([second, first], spool=tmp_path), tmp_path)
    assert text.startswith("email,x,")

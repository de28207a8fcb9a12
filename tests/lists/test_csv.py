"""CSV files in many dialects: detected, and read."""

import csv
import re
from pathlib import Path

import pytest

from bulkverify.errors import InvalidListError, UsageError
from bulkverify.lists import open_table, split
from bulkverify.lists.delimited import Delimited
from tests.lists.made import opened, write


@pytest.mark.parametrize(
    ("content", "names", "column", "skipped"),
    [
        ("email\na@x\n", ("email",), 0, 1),
        ("\ufeffemail\na@x\n", ("email",), 0, 1),
        ("Name,E-Mail\nAnna,a@x\n", ("Name", "E-Mail"), 1, 1),
        ("Name, E-mail  ADDRESS \nAnna,a@x\n", ("Name", " E-mail  ADDRESS "), 1, 1),
        ("Address,Email\n@home,a@x\n", ("Address", "Email"), 1, 1),
        ("Name,Address,Contact\nAnna,Main St 1,a@x\n", ("Name", "Address", "Contact"), 2, 1),
        ("Name,Email\nAnna,\nBob,\n", ("Name", "Email"), 1, 1),
        ("Name,Contact\nAnna,a@x\n", ("Name", "Contact"), 1, 1),
        ("Twitter,Contact\n@a,a@x\n,b@x\n", ("Twitter", "Contact"), 1, 1),
        ("Name,E-Mail (@)\nAnna,a@x\n", ("Name", "E-Mail (@)"), 1, 1),
        ("a@x\nb@x\n", ("col0",), 0, 0),
        ("Anna,a@x\nBob,b@x\n", ("col0", "col1"), 1, 0),
        ("a@x\nb@x,Bob\n", ("col0", "col1"), 0, 0),
        ("\n\r\nemail\n\na@x\n", ("email",), 0, 1),
        ("email\na@x", ("email",), 0, 1),
        ('"email"\n"a@x"\n', ("email",), 0, 1),
        (",email\n,a@x\n", ("", "email"), 1, 1),
        ("email,email\nx,a@x\n", ("email", "email"), 1, 1),
        ("sep=;\nemail;name\na@x;Anna\n", ("email", "name"), 0, 2),
        ("SEP=\t\r\na@x\r\n", ("col0",), 0, 1),
    ],
)
def test_the_header_and_the_address_column_are_detected(
    path: Path, content: str, names: tuple[str, ...], column: int, skipped: int
) -> None:
    table = opened(path, content)
    assert isinstance(table, Delimited)
    assert (table.names, table.column, table.skipped) == (names, column, skipped)


@pytest.mark.parametrize(
    ("content", "delimiter"),
    [
        ("email,name\na@x,Anna\n", ","),
        ("email;name\na@x;Anna\n", ";"),
        ("email\tname\na@x\tAnna\n", "\t"),
        ("email|name\na@x|Anna\n", "|"),
        ("email;name\na@x;Müller, Anna\nb@x;B, C, D\n", ";"),
        ('email;note\na@x;"1;2"\n', ";"),
        ("email\na@x\n", ","),
        ("email,name;title\na@x,Anna;Dr\nb@x,Bob\n", ","),
    ],
)
def test_the_delimiter_is_detected(path: Path, content: str, delimiter: str) -> None:
    assert opened(path, content).delimiter == delimiter


def test_a_delimiter_can_be_named(path: Path) -> None:
    table = opened(path, "email:name\na@x:Anna\n", delimiter=":")
    assert list(table.rows()) == [["a@x", "Anna"]]


@pytest.mark.parametrize("delimiter", ["", ",,", '"', "\n", "\r", "\0", "\ud800"])
def test_an_invalid_delimiter_is_refused(path: Path, delimiter: str) -> None:
    with pytest.raises(UsageError, match="A delimiter is one character"):
        opened(path, "email\na@x\n", delimiter=delimiter)


@pytest.mark.parametrize(
    ("content", "newline"), [("email\na@x\n", "\n"), ("email\r\na@x\r\n", "\r\n"), ("a@x", "\n")]
)
def test_the_line_ends_are_detected(path: Path, content: str, newline: str) -> None:
    assert opened(path, content).newline == newline


@pytest.mark.parametrize(
    ("content", "wanted", "column"),
    [
        ("email,backup\na@x,b@x\n", "backup", 1),
        ("email,Backup\na@x,b@x\n", "backup", 1),
        ("email,Backup  Mail\na@x,b@x\n", " backup mail ", 1),
        ("email,Backup\na@x,b@x\n", "BACKUP\t", 1),
        ("x,X\na@x,b@x\n", "X", 1),
        ("a@x,b@x\nc@x,d@x\n", "col1", 1),
        ("email,none\na@x,c\n", "none", 1),
        ("owner@corp.example,Name\na@x,Anna\n", "Owner@corp.example", 0),
    ],
)
def test_the_column_of_the_addresses_can_be_named(
    path: Path, content: str, wanted: str, column: int
) -> None:
    assert opened(path, content, column=wanted).column == column


def test_the_error_for_an_unknown_column_lists_the_columns(path: Path) -> None:
    with pytest.raises(UsageError, match=r"no column 'mail'; it has 'email', 'name'\. A list"):
        opened(path, "email,name\na@x,Anna\n", column="mail")


def test_a_message_about_many_columns_stays_short(path: Path) -> None:
    names = ",".join(f"{'x' * 100}{number}" for number in range(1000))
    with pytest.raises(UsageError, match="and 980 more") as info:
        opened(path, f"{names}\na@x{',' * 999}\n", column="mail")
    assert len(str(info.value)) < 2000


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"list\.csv is empty: a list needs at least one address"),
        (b"\n\r\n\n", r"list\.csv is empty"),
        (b"\xef\xbb\xbf", r"list\.csv is empty"),
        (b"email\n", r"list\.csv has a header and no rows: there is nothing to verify"),
        (b"email,name\n\n", r"list\.csv has a header and no rows"),
        (b"name,city\nAnna,Berlin\n", r"no column of addresses among 'name', 'city'\. Name it"),
        (b"PK\x03\x04rest", r"is a spreadsheet or a ZIP file: save it as CSV"),
        (b"\xd0\xcf\x11\xe0rest", r"is an old Excel file.*: save it as Excel Workbook"),
        (b"\x1f\x8brest", r"is compressed with gzip"),
        (b" <!DOCTYPE html><p>a@x", r"is HTML or XML, despite its name: save it as CSV"),
        (b"sep=;\n", r"is empty"),
        (b"email\0\n", r"is not a text file: line 1 has a NUL character"),
        (
            b"email\n" + b"a@x.com\n" * 20_000 + b"b\0@x.com\n",
            r"is not a text file: line 20,002 has a NUL character\. Save it as CSV",
        ),
        (b"\x7fELF\x02\x01\x01\0\0", r"is not a text file: line 1 has a NUL character"),
        (
            b"name,email\ncaf\xe9,a@x\n",
            r"is not utf-8-sig text: byte 0xe9 at position 14, on line 2 .*Nothing was sent\. .*`encoding=\"cp1252\"`",
        ),
        (b"email,name\na@x,b,c\n", r"Line 2 of .*list\.csv has 3 cells where the list has 2"),
        (
            b'email,name\na@x,"b\n',
            r"can't be read as CSV at line 2: a quote is opened and never closed: 'a@x,\"b'\. Remove the quote, or close it\. Nothing",
        ),
    ],
)
def test_a_file_that_is_not_a_list_is_refused_with_the_reason(
    path: Path, content: bytes, message: str
) -> None:
    with pytest.raises(InvalidListError, match=message) as info:
        list(opened(path, content).rows())
    assert info.value.__cause__ is None


def test_a_missing_file_raises_pythons_error(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_table(path, spool=path.parent)


def test_a_folder_is_not_a_list(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        open_table(tmp_path, spool=tmp_path)


@pytest.mark.parametrize("encoding", ["klingon", "hex", "", "undefined", "a\0"])
def test_an_unknown_encoding_is_refused(path: Path, encoding: str) -> None:
    with pytest.raises(
        UsageError, match=re.escape(f"There is no encoding {encoding!r}; try 'cp1252'")
    ):
        opened(path, "email\na@x\n", encoding=encoding)


@pytest.mark.parametrize(
    "encoding", ["cp1252", "utf-8", "latin-1", "utf-16", "utf-16-le", "utf-32", "shift_jis"]
)
def test_a_list_may_be_in_any_encoding(path: Path, encoding: str) -> None:
    name = "山田" if encoding == "shift_jis" else "Müller"
    table = opened(path, f"name;email\n{name};a@x\n".encode(encoding), encoding=encoding)
    assert list(table.rows()) == [[name, "a@x"]]


@pytest.mark.parametrize("encoding", ["utf-8", "UTF8", "utf-16-le", "utf_16_be", "utf-32-be"])
def test_a_byte_order_mark_is_not_part_of_the_first_name(path: Path, encoding: str) -> None:
    table = opened(path, "\ufeffemail\na@x\n".encode(encoding), encoding=encoding)
    assert table.names == ("email",)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_a_byte_order_mark_reveals_utf_16(path: Path, encoding: str) -> None:
    table = opened(path, "\ufeffname\temail\r\nMüller\ta@x\r\n".encode(encoding))
    assert list(table.rows()) == [["Müller", "a@x"]]
    assert (table.delimiter, table.newline) == ("\t", "\r\n")


def test_utf_16_without_a_byte_order_mark_is_refused(path: Path) -> None:
    with pytest.raises(InvalidListError, match=r"is not utf-16 text: .*Nothing was sent"):
        opened(path, b"email\na@x\n", encoding="utf-16")


def test_a_character_cut_off_at_the_end_is_an_error(path: Path) -> None:
    table = opened(path, b"email,name\n" + b"a@x,A\n" * 20_000 + b"b@x,\xc3")
    with pytest.raises(InvalidListError, match="byte 0xc3 at position 120,015, on line 20,002"):
        list(table.rows())


def test_the_rows_come_in_order_and_are_as_wide_as_the_list(path: Path) -> None:
    table = opened(
        path, 'email,name,note\r\na@x,"Müller, Anna","1\r\n2"\r\n\r\nb@x\r\n,,\r\n" c@x ",C,'
    )
    rows = [
        ["a@x", "Müller, Anna", "1\r\n2"],
        ["b@x", "", ""],
        ["", "", ""],
        [" c@x ", "C", ""],
    ]
    assert list(table.rows()) == rows
    assert list(table.rows()) == rows


def test_empty_cells_beyond_the_last_column_are_dropped(path: Path) -> None:
    table = opened(path, "email,name\na@x,A,,\nb@x,B,\n")
    assert list(table.rows()) == [["a@x", "A"], ["b@x", "B"]]


def test_rows_with_too_few_cells_are_filled_up_and_counted(path: Path) -> None:
    table = opened(path, "email,name\n" + "a@x.com,A\nb@x.com\n" * 20_000 + "c@x.com,C,\n")
    assert list(table.rows())[1:3] == [["b@x.com", ""], ["a@x.com", "A"]]
    assert split(table, path.parent).short == table.short == 20_000


def test_the_first_row_of_a_list_without_a_header_is_a_row(path: Path) -> None:
    assert list(opened(path, "a@x\nb@x\n").rows()) == [["a@x"], ["b@x"]]


def test_lines_end_as_in_csv(path: Path) -> None:
    table = opened(path, "email,note\na@x,1\u20282\x0b3\x0c4\x855\n")
    assert list(table.rows()) == [["a@x", "1\u20282\x0b3\x0c4\x855"]]


def test_lines_may_end_as_on_an_old_mac(path: Path) -> None:
    table = opened(path, "email,name\r" + "a@x,A\r" * 50_000)
    assert sum(1 for _ in table.rows()) == 50_000


def test_a_row_that_is_too_wide_is_named_by_its_line(path: Path) -> None:
    table = opened(path, 'email,name\n\na@x,"A\nB"\n' + "c@x,C\n" * 30_000 + "b@x,Müller, Bob\n")
    with pytest.raises(
        InvalidListError,
        match=r"Line 30,005 of .*list\.csv has 3 cells where the list has 2 columns\. Quote cells that hold ','",
    ):
        list(table.rows())


def test_bytes_of_another_encoding_far_into_a_list_are_named(path: Path) -> None:
    table = opened(path, b"email\n" + b"a@x\n" * 100_000 + b"caf\xe9@x\n")
    with pytest.raises(InvalidListError, match="byte 0xe9 at position 400,009, on line 100,002"):
        list(table.rows())


def test_csv_errors_name_their_line(path: Path) -> None:
    content = b"email\n" + b"a@x\n" * 200 + b"x" * (csv.field_size_limit() + 1)
    table = opened(path, content)
    with pytest.raises(InvalidListError, match="can't be read as CSV at line 202: a cell has more"):
        list(table.rows())


def test_a_lower_field_limit_of_csv_is_named_in_the_error(path: Path) -> None:
    before = csv.field_size_limit(10)
    try:
        with pytest.raises(InvalidListError, match=r"a cell has more than 10 characters"):
            opened(path, "email;name\na@example.com;Anna\n")
    finally:
        csv.field_size_limit(before)


def test_a_quote_that_is_never_closed_does_not_swallow_the_rest(path: Path) -> None:
    table = opened(path, "email,name\n" + "a@x,A\n" * 1000 + 'b@x,"B\n' + "c@x,C\n" * 1000)
    with pytest.raises(InvalidListError, match="at line 1,002: a quote is opened and never closed"):
        list(table.rows())


def test_70000_columns_are_read(path: Path) -> None:
    names = [f"column{index}" for index in range(70_000)]
    rows = [["x"] * 69_999 + ["a@x"], ["y"] * 69_999 + ["b@x"]]
    table = opened(path, "".join(",".join(record) + "\n" for record in [names, *rows]))
    assert (len(table.names), table.column) == (70_000, 69_999)
    assert list(table.rows()) == rows


def test_a_tsv_is_recognised_by_its_name(tmp_path: Path) -> None:
    path = write(tmp_path / "list.tsv", "email\tnames\na@x\tA, B; C; D\n")
    table = open_table(path, spool=tmp_path)
    assert list(table.rows()) == [["a@x", "A, B; C; D"]]


def test_a_2_gb_line_is_refused_before_it_fills_the_memory(path: Path) -> None:
    with path.open("wb") as file:
        file.write(b"email,name\na@x," + b"x," * 3_000_000)
        file.truncate(2 * 1024**3)
    with pytest.raises(InvalidListError, match="at line 2: a record of more than 4,194,304 char"):
        open_table(path, spool=path.parent)


def test_a_2_gb_line_far_into_a_list_is_refused_too(path: Path) -> None:
    with path.open("wb") as file:
        file.write(b"email,name\n" + b"a@x,A\n" * 30_000 + b"x," * 3_000_000)
        file.truncate(2 * 1024**3)
    table = open_table(path, spool=path.parent)
    with pytest.raises(InvalidListError, match="at line 30,002: a record of more than 4,194,304"):
        list(table.rows())

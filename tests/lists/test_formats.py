"""Lists in other formats: text, JSON Lines, workbooks, iterables, pipes, and several at once."""

import json
import os
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from threading import Thread
from typing import Any
from zipfile import ZipFile

import pytest
from openpyxl import Workbook

from bulkverify.errors import InvalidListError, UsageError
from bulkverify.lists import ListFormat, Spool, Table, fingerprint, open_table
from tests.lists.made import joined, write


def at(tmp_path: Path, name: str, content: str | bytes, **options: Any) -> Table:  # noqa: ANN401
    return open_table(write(tmp_path / name, content), spool=tmp_path, **options)


def workbook(path: Path, *sheets: list[list[object]]) -> Path:
    book = Workbook()
    del book["Sheet"]
    for number, rows in enumerate(sheets, start=1):
        sheet = book.create_sheet(f"S{number}")
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path


# Text


@pytest.mark.parametrize(
    ("content", "names", "rows"),
    [
        ("a@x\nb@x\n", ("email",), ["a@x", "b@x"]),
        ("a@x\r\n\r\nb@x", ("email",), ["a@x", "b@x"]),
        ("a@x\rb@x\r", ("email",), ["a@x", "b@x"]),
        ("\ufeffE-Mail\na@x\n", ("E-Mail",), ["a@x"]),
        ("nobody\na@x\n", ("email",), ["nobody", "a@x"]),
        ('"a b"@x\n"\nb@x\n', ("email",), ['"a b"@x', '"', "b@x"]),
        (" a@x \n \nb@x\n", ("email",), [" a@x ", " ", "b@x"]),
        ("a@x\u2028y\nb@x\n", ("email",), ["a@x\u2028y", "b@x"]),
        ('"a,b"@x\nb@x\nc@x\n', ("email",), ['"a,b"@x', "b@x", "c@x"]),
    ],
)
def test_a_text_has_one_address_per_line(
    tmp_path: Path, content: str, names: tuple[str, ...], rows: list[str]
) -> None:
    table = at(tmp_path, "list.txt", content)
    assert table.names == names
    assert [row[0] for row in table.rows()] == rows


def test_long_texts_are_read_in_pieces(tmp_path: Path) -> None:
    table = at(tmp_path, "list.txt", "".join(f"a{number}@x\r\n" for number in range(50_000)))
    assert [row[0] for row in table.rows()] == [f"a{number}@x" for number in range(50_000)]


def test_a_table_in_a_text_file_is_refused(tmp_path: Path) -> None:
    content = "email;name\na@x;Anna\nb@x;Bob\n"
    with pytest.raises(InvalidListError, match=r"with ';' between them.* `format=\"csv\"`"):
        at(tmp_path, "list.txt", content)
    assert at(tmp_path, "list.txt", content, format="csv").names == ("email", "name")
    assert at(tmp_path, "list.txt", content, delimiter=";").names == ("email", "name")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"list\.txt is empty"),
        (b"\n\r\n", r"list\.txt is empty"),
        (b"email\n", "has a header and no rows"),
        (b"Anna\nBob\n", None),
        (b"a@x\n\0", "is not a text file"),
        (b"a@x\nm\xfcller@x\n", "byte 0xfc at position 5, on line 2"),
    ],
)
def test_a_text_without_addresses_is_refused_with_the_reason(
    tmp_path: Path, content: bytes, message: str | None
) -> None:
    if message is None:  # addresses may follow further down
        assert at(tmp_path, "list.txt", content).names == ("email",)
        return
    with pytest.raises(InvalidListError, match=message):
        list(at(tmp_path, "list.txt", content).rows())


def test_a_2_gb_line_of_text_is_refused_before_it_fills_the_memory(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    with path.open("wb") as file:
        file.write(b"a@x\n" + b"x" * 5_000_000)
        file.truncate(2 * 1024**3)
    with pytest.raises(InvalidListError, match=r"Line 2 of .* has more than 4,194,304 characters"):
        open_table(path, spool=tmp_path)


# JSON Lines


LINES = """\
{"name": "Anna", "email": "a@x.com", "age": 1.10, "tags": ["x", 1], "vip": true}

"b@x.com"
  {"email": null, "id": 12345678901234567890, "name": "B\\u00f6b \\ud83d"}
{}
"""


def test_json_lines_have_the_columns_of_all_their_objects(tmp_path: Path) -> None:
    table = at(tmp_path, "list.jsonl", LINES)
    assert table.names == ("name", "email", "age", "tags", "vip", "id")
    assert list(table.rows()) == [
        ["Anna", "a@x.com", "1.10", '["x", 1]', "true", ""],
        ["", "b@x.com", "", "", "", ""],
        ["Böb \ufffd", "", "", "", "", "12345678901234567890"],
        ["", "", "", "", "", ""],
    ]


def test_json_lines_come_back_with_every_value_as_it_was(tmp_path: Path) -> None:
    text, outcome = joined(at(tmp_path, "list.jsonl", LINES), tmp_path, format="jsonl")
    behind = (
        '"verdict": "accept-all", "syntax_error": false, "common_isp": true, "role_based": null, '
        '"disposable": false, "spamtrap": false, "verified_at": "2021-09-13T06:49:39.280Z"}'
    )
    nowhere = (
        '"verdict": "undeliverable", "syntax_error": true, "common_isp": false, "role_based": false, '
        '"disposable": false, "spamtrap": false, "verified_at": null}'
    )
    assert text.split("\n") == [
        '{"name": "Anna", "email": "a@x.com", "age": 1.10, "tags": ["x", 1], "vip": true, '
        + behind,
        '{"email": "b@x.com", ' + behind,
        '{"email": null, "id": 12345678901234567890, "name": "B\\u00f6b \\ud83d", ' + nowhere,
        "{" + nowhere,
        "",
    ]
    assert [len(json.loads(line)) for line in text.splitlines()] == [12, 8, 10, 7]
    assert (outcome.rows, outcome.written, outcome.missing) == (4, 4, 0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"list\.jsonl is empty"),
        ("\n \n", r"list\.jsonl is empty"),
        (
            '{"email": "a@x"}\n{"email":',
            r"Line 2 of .*list\.jsonl is not valid JSON Lines: Expecting value",
        ),
        ('{"email": "a@x"}\n\n[1]', r"Line 3 of .* neither an object nor an address"),
        ("12", r"Line 1 of .* neither an object nor an address"),
        ("[" * 100_000, r"Line 1 of .* nested too deeply"),
        ('{"name": "Anna"}', "has no column of addresses among 'name'"),
        (b'{"email": "\xff"}', "byte 0xff at position 11, on line 1"),
    ],
)
def test_invalid_json_lines_are_refused_with_the_reason(
    tmp_path: Path, content: str | bytes, message: str
) -> None:
    with pytest.raises(InvalidListError, match=message):
        at(tmp_path, "list.jsonl", content)


def test_the_error_for_a_json_array_says_how_to_convert_it(tmp_path: Path) -> None:
    with pytest.raises(InvalidListError, match=r"one JSON array: write each .* `jq -c '\.\[\]'`"):
        at(tmp_path, "list.json", '[{"email": "a@x"}]')


def test_json_lines_that_change_between_two_reads_are_noticed(tmp_path: Path) -> None:
    table = at(tmp_path, "list.jsonl", '{"email": "a@x"}\n')
    write(tmp_path / "list.jsonl", '{"email": "a@x", "new": 1}\n')
    with pytest.raises(InvalidListError, match="has changed since it was opened: 'new' is a new"):
        list(table.rows())


# Workbooks


def test_a_workbook_is_read_as_excel_shows_it(tmp_path: Path) -> None:
    path = workbook(
        tmp_path / "list.xlsx",
        [],
        [
            ["Name", "E-Mail", "Age", "Since", "VIP"],
            ["Müller, Anna", "a@x.com", 41.0, datetime(2021, 9, 13, 6, 49), True],  # noqa: DTZ001 - as Excel has it
            [None, None, None, None],
            ['B "Bob"\nB', "b@x.com", 1.5, date(2021, 9, 13), None],
        ],
    )
    table = open_table(path, spool=tmp_path)
    assert (table.title, table.names) == (str(path), ("Name", "E-Mail", "Age", "Since", "VIP"))
    assert list(table.rows()) == [
        ["Müller, Anna", "a@x.com", "41", "2021-09-13 06:49:00", "TRUE"],
        ['B "Bob"\nB', "b@x.com", "1.5", "2021-09-13", ""],
    ]
    assert fingerprint(table) == fingerprint(open_table(path, spool=tmp_path))


def test_a_workbook_is_recognised_by_its_beginning_too(tmp_path: Path) -> None:
    path = workbook(tmp_path / "list.xlsx", [["email"], ["a@x"]]).rename(tmp_path / "list")
    assert list(open_table(path, spool=tmp_path).rows()) == [["a@x"]]


def test_a_workbook_with_too_small_a_dimension_is_read_whole(tmp_path: Path) -> None:
    path = workbook(tmp_path / "right.xlsx", [["n", "email"], [1, "a@x"], [2, "b@x"]])
    with ZipFile(path) as right, ZipFile(tmp_path / "wrong.xlsx", "w") as wrong:
        for name in right.namelist():
            content = right.read(name).replace(b'<dimension ref="A1:B3"', b'<dimension ref="A1"')
            wrong.writestr(name, content)
    table = open_table(tmp_path / "wrong.xlsx", spool=tmp_path)
    assert list(table.rows()) == [["1", "a@x"], ["2", "b@x"]]


@pytest.mark.parametrize(
    ("sheets", "message"),
    [
        ([[]], r"list\.xlsx is empty"),
        ([[["email"]]], "has a header and no rows"),
        ([[["name"], ["Anna"]]], "no column of addresses among 'name'"),
    ],
)
def test_a_workbook_without_usable_addresses_is_refused_with_the_reason(
    tmp_path: Path, sheets: list[list[list[object]]], message: str
) -> None:
    path = workbook(tmp_path / "list.xlsx", *sheets)
    with pytest.raises(InvalidListError, match=message):
        open_table(path, spool=tmp_path)


@pytest.mark.parametrize("content", [b"", b"email\na@x\n", b"PK\x03\x04rest"])
def test_a_file_that_is_only_named_like_a_workbook_is_refused(
    tmp_path: Path, content: bytes
) -> None:
    with pytest.raises(InvalidListError, match=r"list\.xlsx can't be read as an Excel workbook"):
        at(tmp_path, "list.xlsx", content)


# Iterables


def test_addresses_can_come_from_any_iterable(tmp_path: Path) -> None:
    table = open_table((f"a{number}@x" for number in range(3)), spool=tmp_path)
    assert table.names == ("email",)
    assert list(table.rows()) == [["a0@x"], ["a1@x"], ["a2@x"]]
    assert list(table.rows()) == [["a0@x"], ["a1@x"], ["a2@x"]]


def test_rows_can_come_as_mappings(tmp_path: Path) -> None:
    rows: list[Any] = [
        {"id": 1, "mail": "a@x", "since": datetime(2021, 9, 13, tzinfo=UTC)},
        {"mail": "b@x", "more": {"x": [1.5, None]}, 7: b"x"},
        "c@x",
    ]
    table = open_table(rows, column="mail", spool=tmp_path)
    assert table.names == ("id", "mail", "since", "more", "7", "email")
    assert list(table.rows()) == [
        ["1", "a@x", "2021-09-13T00:00:00+00:00", "", "", ""],
        ["", "b@x", "", '{"x": [1.5, null]}', "b'x'", ""],
        ["", "", "", "", "", "c@x"],
    ]


def test_an_iterable_is_never_held_in_memory(tmp_path: Path) -> None:
    alive = 0
    most = 0

    class Address(str):
        __slots__ = ()

        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    def endless() -> Iterator[str]:
        nonlocal alive, most
        for number in range(20_000):
            alive += 1
            most = max(most, alive)
            yield Address(f"a{number}@x")

    table = open_table(endless(), spool=tmp_path)
    assert sum(1 for _ in table.rows()) == 20_000
    assert most < 10


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"email": "a@x"}, "not dict"),
        (7, "not int"),
        ([7], "Row 1 of the list is neither an address nor a mapping, but int"),
        (["a@x", ["b@x"]], "Row 2 of the list is neither an address nor a mapping, but list"),
        ("email\na@x", "A str must be the path of a list, not its content"),
        ([{"email": "a@x", "loop": float}], None),
    ],
)
def test_a_source_that_is_not_a_list_is_refused(
    tmp_path: Path,
    source: Any,  # noqa: ANN401
    message: str | None,
) -> None:
    if message is None:
        assert list(open_table(source, spool=tmp_path).rows()) == [["a@x", "<class 'float'>"]]
        return
    with pytest.raises((UsageError, FileNotFoundError), match=message):
        open_table(source, spool=tmp_path)


def test_paths_can_not_be_mixed_with_other_items(tmp_path: Path) -> None:
    path = write(tmp_path / "list.csv", "a@x\n")
    sources: Any = [path, 7]
    with pytest.raises(UsageError, match="Source 2 is not a path, but int"):
        open_table(sources, spool=tmp_path)


def test_a_row_that_holds_itself_is_refused(tmp_path: Path) -> None:
    row: dict[str, Any] = {"email": "a@x"}
    row["self"] = row
    with pytest.raises(UsageError, match="Row 1 of the list can't be written as JSON"):
        open_table([row], spool=tmp_path)


def test_an_empty_list_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidListError, match="The list is empty"):
        open_table([], spool=tmp_path)


def test_names_of_files_are_not_taken_for_addresses(tmp_path: Path) -> None:
    path = write(tmp_path / "list.csv", "a@x\n")
    with pytest.raises(UsageError, match="is a file, not an address: pass several lists as Path"):
        open_table([str(path)], spool=tmp_path)


def test_the_content_of_a_file_is_a_list(tmp_path: Path) -> None:
    table = open_table(b"email;name\na@x;Anna\n", spool=tmp_path)
    assert (table.title, list(table.rows())) == ("The list", [["a@x", "Anna"]])


def test_a_spool_can_be_extended_several_times(tmp_path: Path) -> None:
    with Spool(tmp_path) as spool:
        spool.extend(["a@x"])
        assert spool._path.read_text() == '"a@x"\n'
        spool.extend([{"email": "b@x", "n": 1}])
        table = spool.table()
    assert list(table.rows()) == [["a@x", ""], ["b@x", "1"]]
    assert spool._path.stat().st_mode & 0o777 == 0o600


def test_a_pipe_is_copied(tmp_path: Path) -> None:
    pipe = tmp_path / "list.csv"
    os.mkfifo(pipe)
    writing = Thread(target=pipe.write_bytes, args=[b"email,name\na@x,Anna\n"])
    writing.start()
    spool = tmp_path / "spool"
    spool.mkdir()
    table = open_table(pipe, spool=spool)
    writing.join()
    assert (table.title, list(table.rows())) == (str(pipe), [["a@x", "Anna"]])
    assert list(table.rows()) == [["a@x", "Anna"]]


# Formats


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("list.CSV", "email\na@x\n"),
        ("list", "email\na@x\n"),
        ("list.dat", '{"email": "a@x"}\n'),
        ("list.ndjson", '"a@x"\n'),
        ("list.Txt", "a@x\n"),
        ("list.tab", "email\na@x\n"),
    ],
)
def test_the_format_is_detected_by_the_name_or_the_beginning(
    tmp_path: Path, name: str, content: str
) -> None:
    assert list(at(tmp_path, name, content).rows()) == [["a@x"]]


@pytest.mark.parametrize(
    ("form", "content"),
    [("jsonl", '"a@x"'), ("txt", "a@x"), ("csv", "email\na@x"), ("tsv", "email\na@x")],
)
def test_a_format_can_be_named(tmp_path: Path, form: ListFormat, content: str) -> None:
    assert list(at(tmp_path, "list.xlsx", content, format=form).rows()) == [["a@x"]]


def test_an_unknown_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="There is no format 'xml'; there are csv, tsv, txt"):
        at(tmp_path, "list.csv", "a@x", format="xml")


# Several


def test_several_lists_are_one_with_all_their_columns(tmp_path: Path) -> None:
    paths = [
        write(tmp_path / "1.csv", "email;name;note\r\na@x.com;Anna;1\r\n"),
        write(tmp_path / "2.csv", "city,E-Mail,name\nOslo,b@x.com,Bob\n"),
        write(tmp_path / "3.txt", "c@x.com\n"),
        write(tmp_path / "4.jsonl", '{"email": "d@x.com", "name": null, "age": 4}\n'),
    ]
    table = open_table(paths, spool=tmp_path)
    assert table.title == " + ".join(map(str, paths[:3])) + " + …"
    assert table.names == ("email", "name", "note", "city", "age")
    assert (table.column, table.delimiter, table.newline) == (0, ";", "\r\n")
    assert list(table.rows()) == [
        ["a@x.com", "Anna", "1", "", ""],
        ["b@x.com", "Bob", "", "Oslo", ""],
        ["c@x.com", "", "", "", ""],
        ["d@x.com", "", "", "", "4"],
    ]
    text, _ = joined(table, tmp_path, format="jsonl")
    own = [json.loads(line) for line in text.splitlines()]
    assert [list(row)[:-7] for row in own] == [
        ["email", "name", "note"],
        ["city", "email", "name"],
        ["email"],
        ["email", "name", "age"],
    ]
    assert own[3]["age"] == 4


def test_several_lists_of_the_same_columns_are_read_as_they_are(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{n}.csv", f"n,email\n{n},a@x\n") for n in range(3)]
    table = open_table(iter(paths), spool=tmp_path)
    assert table.names == ("n", "email")
    assert list(table.rows()) == [["0", "a@x"], ["1", "a@x"], ["2", "a@x"]]


def test_columns_with_the_same_name_stay_separate(tmp_path: Path) -> None:
    paths = [
        write(tmp_path / "1.csv", "x,email,x\n1,a@x,2\n"),
        write(tmp_path / "2.csv", "x,x,x,email\n3,4,5,b@x\n"),
    ]
    table = open_table(paths, spool=tmp_path)
    assert table.names == ("x", "email", "x", "x")
    assert list(table.rows()) == [["1", "a@x", "2", ""], ["3", "b@x", "4", "5"]]


def test_the_order_of_several_lists_counts(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{n}.csv", f"email\n{n}@x\n") for n in range(2)]
    one, other = (open_table(order, spool=tmp_path) for order in (paths, paths[::-1]))
    assert fingerprint(one) != fingerprint(other)


def test_the_error_names_the_bad_list_of_several(tmp_path: Path) -> None:
    paths = [write(tmp_path / "1.csv", "a@x\n"), write(tmp_path / "2.csv", "email\n")]
    with pytest.raises(InvalidListError, match=r"2\.csv has a header and no rows"):
        open_table(paths, spool=tmp_path)

"""Workbooks as an output: text cells as they were, the same bytes each time, and refusals before anything is paid."""

import struct
import zipfile
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl import load_workbook

from bulkverify.errors import UsageError
from bulkverify.lists import check_fits, open_table, split, workbook_output
from bulkverify.lists.joining import join
from bulkverify.lists.values import plain_text
from bulkverify.lists.workbook_output import LONGEST_CELL, sheet_bytes, write_workbook
from bulkverify.lists.workbooks import Workbook
from tests.lists.made import CELLS, OURS, answered, write

AWKWARD = [
    *("=1+1", "+49", "-1", "@x", "'x", "1e5", "007", "TRUE", "2024-02-29", "https://example.com"),
    *("_x000D_", "_x005F_", "_xD83D_", "a_x0041_", "_x00G1_", "__x0041_"),
    *(
        " a ",
        "\ta",
        "a\nb",
        "a\r\nb",
        "\r",
        "a & <b> ]]>",
        "&amp;",
        "\x01\x1f\ufffe",
        "\U0001f600é",
    ),
    *("", "x" * 32_767),
]


def written(rows: list[list[str]]) -> bytes:
    file = BytesIO()
    write_workbook(file, [rows[:2], rows[2:]], largest_bytes=0)
    return file.getvalue()


def read(content: bytes) -> list[list[str]]:
    book = Workbook(BytesIO(content))
    return [row.cells for row in book.rows(book.sheets[0])]


def without_empty(rows: list[list[str]]) -> list[list[str]]:
    """Leave out what a sheet leaves out: empty rows, and empty cells at the end of a row."""
    kept = []
    for row in rows:
        cells = list(row)
        while cells and not cells[-1]:
            cells.pop()
        if cells:
            kept.append(cells)
    return kept


def test_awkward_cells_come_back_as_they_were() -> None:
    rows = [[text, "x"] for text in AWKWARD]
    assert read(written(rows)) == rows


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))),
        max_size=6,
    )
)
def test_any_cells_come_back_as_they_were(rows: list[list[str]]) -> None:
    assert read(written(rows)) == without_empty(rows)


def test_openpyxl_reads_the_same_texts_and_no_formula() -> None:
    rows = [[text, "x"] for text in AWKWARD]
    sheet = load_workbook(BytesIO(written(rows))).worksheets[0]
    for number, row in enumerate(rows, start=1):
        cell = sheet.cell(number, 1)
        assert cell.data_type in {"s", "inlineStr"} or cell.value is None
        # openpyxl leaves escapes as they are, and reads line ends as XML does.
        assert plain_text(str(cell.value or "")) == row[0] or "_x" in row[0]
    assert sheet.max_row == len(rows)


def test_half_of_a_pair_is_replaced_as_in_other_outputs() -> None:
    assert read(written([["a\ud83d"]])) == [["a?"]]


def test_the_same_rows_give_the_same_bytes() -> None:
    rows = [[text, "x"] for text in AWKWARD]
    assert written(rows) == written(rows)


def test_a_workbook_is_a_plain_archive_unless_it_is_huge() -> None:
    for huge in (False, True):
        file = BytesIO()
        write_workbook(file, [[["a"]]], largest_bytes=2**31 if huge else 0)
        [info] = [one for one in zipfile.ZipFile(file).infolist() if "sheet1" in one.filename]
        header = file.getvalue()[info.header_offset :]  # Python 3.11.2 gives no version for it
        name, extra = struct.unpack("<HH", header[26:30])
        assert (header[30 + name : 30 + name + extra][:2] == b"\x01\x00") == huge


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=3, max_size=3),
        min_size=1,
    )
)
def test_the_limit_of_the_size_is_never_exceeded(rows: list[list[str]]) -> None:
    content = written(rows)
    with zipfile.ZipFile(BytesIO(content)) as archive:
        size = archive.getinfo("xl/worksheets/sheet1.xml").file_size
    characters = sum(len(text.encode()) for row in rows for text in row)
    assert size <= sheet_bytes(len(rows) + 10, 3, characters)


def test_a_list_is_joined_into_a_workbook_with_what_stands_above_its_names(tmp_path: Path) -> None:
    content = "Our people\n\nName,E-mail\nAna,a@x.com\n=1,nothing\n"
    table = open_table(write(tmp_path / "list.csv", content), spool=tmp_path)
    done = split(table, tmp_path)
    file = BytesIO()
    join(table, done, tmp_path, answered(done, tmp_path), file, format="xlsx")
    found = read(file.getvalue())
    assert found[:3] == [["Our people"], ["Name", "E-mail", *OURS], ["Ana", "a@x.com", *CELLS]]
    assert found[3][:3] == ["=1", "nothing", "undeliverable"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("e\n" + "a@x.com\n" * 4, ""),
        ("e\n" + "a@x.com\n" * 5, "has more rows than a sheet, which has 5 with the names"),
        ("Title\n\ne,f\n" + "a@x.com,b\n" * 3, "has more rows than a sheet"),
        (f"e,f\na@x.com,{'y' * LONGEST_CELL}\n", ""),
        (f"e,f\na@x.com,b\na@x.com,{'y' * LONGEST_CELL}y\n", "Row 2 of .* of 32,768 characters"),
        ("e,f\na@x.com," + "\U0001f600" * 16_384 + "\n", "Row 1 of .* of 32,768 characters"),
        (
            f"e,{'f' * 32_768}\na@x.com,b\n",
            "A name of a column, or a title, of .* 32,768 characters",
        ),
        (",".join("abcdefghijkl") + ",e\n" + "," * 12 + "a@x.com\n", ""),
        (",".join("abcdefghijklm") + ",e\n" + "," * 13 + "a@x.com\n", "would have 21 columns"),
    ],
)
def test_what_does_not_fit_into_a_sheet_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, message: str
) -> None:
    monkeypatch.setattr(workbook_output, "MOST_ROWS", 5)
    monkeypatch.setattr(workbook_output, "MOST_COLUMNS", 20)
    table = open_table(write(tmp_path / "list.csv", content), spool=tmp_path)
    if not message:
        check_fits(table)
        return
    with pytest.raises(UsageError, match=message) as caught:
        check_fits(table)
    assert "Name an output that ends in .csv instead of .xlsx. Nothing was sent." in str(
        caught.value
    )

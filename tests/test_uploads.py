"""Sources that are uploaded, and sources that are refused before anything is sent."""

import asyncio
import csv
import itertools
import json
import os
import threading
from collections import UserDict
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from io import StringIO
from pathlib import Path
from types import MappingProxyType
from typing import Any

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bulkverify.errors import InvalidListError, UsageError
from bulkverify.limits import LARGEST_LIST_BYTES
from bulkverify.service import uploads
from bulkverify.service.calls import Call, FilePart
from bulkverify.service.uploads import (
    _count_rows,
    check_content,
    prepare,
)

LIST = b"email\na@example.com\n"


async def call_for(
    source: Any,  # noqa: ANN401 - wrong types too
    *,
    auto_verify: bool = False,
    title: str | None = None,
) -> Call[Any]:
    return await prepare(source, auto_verify=auto_verify, title=title)


async def file_for(source: Any, *, title: str | None = None) -> FilePart:  # noqa: ANN401
    call = await call_for(source, title=title)
    assert call.file is not None
    assert call.json is None
    return call.file


async def rows_for(source: Any) -> Any:  # noqa: ANN401
    call = await call_for(source)
    assert call.file is None
    return json.loads(call.json or b"")["emails"]


# Sources


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", [Path, str])
async def test_a_path_is_uploaded_under_its_file_name(
    tmp_path: Path, kind: type[Path | str]
) -> None:
    path = tmp_path / "contacts.csv"
    path.write_bytes(LIST)
    assert await file_for(kind(path)) == FilePart(filename="contacts.csv", content=LIST)


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", [bytes, bytearray])
async def test_bytes_are_uploaded_as_a_file(kind: type[bytes | bytearray]) -> None:
    assert await file_for(kind(LIST)) == FilePart(filename="list.csv", content=LIST)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "source",
    [
        ["a@x", "b@x"],
        ("a@x", "b@x"),
        {"a@x": 1, "b@x": 2}.keys(),
        iter(["a@x", "b@x"]),
        [{"email": "a@x"}, "b@x"],
        [{"email": "a@x"}, {"email": "b@x"}],
        [MappingProxyType({"email": "a@x"}), UserDict(email="b@x")],
    ],
)
async def test_addresses_and_mappings_are_rows(source: object) -> None:
    assert await rows_for(source) == [{"email": "a@x"}, {"email": "b@x"}]


@pytest.mark.asyncio
async def test_a_mapping_keeps_its_other_columns() -> None:
    row = {"name": "Ä", "email": "a@x", "age": 7, "vip": True, "note": None}
    assert await rows_for([row]) == [row]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("source", "fields"), [(LIST, {"auto_verify": "true"}), (["a@x"], {"auto_verify": "true"})]
)
async def test_auto_verify_is_passed_on(source: object, fields: dict[str, str]) -> None:
    call = await call_for(source, auto_verify=True)
    said = call.file.fields if call.file else json.loads(call.json or b"")
    assert said.items() >= fields.items()


@pytest.mark.asyncio
async def test_a_title_names_rows() -> None:
    call = await call_for(["a@x"], title="July")
    assert json.loads(call.json or b"")["title"] == "July"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("name", "title", "expected"),
    [
        ("contacts.csv", None, "contacts.csv"),
        ("contacts.CSV", None, "contacts.CSV"),
        ("contacts.txt", None, "contacts.txt.csv"),
        ("contacts", None, "contacts.csv"),
        ("contacts.csv", "", "contacts.csv"),
        ("contacts.txt", "July", "July.csv"),
        ("contacts.txt", "July.csv", "July.csv"),
        ("contacts.csv", "two\r\nlines", "two lines.csv"),
        ("Kundenä.csv", None, "Kundenä.csv"),
    ],
)
async def test_a_file_name_gets_the_ending_that_the_service_wants(
    tmp_path: Path, name: str, title: str | None, expected: str
) -> None:
    path = tmp_path / name
    path.write_bytes(LIST)
    assert (await file_for(path, title=title)).filename == expected


@pytest.mark.asyncio
@pytest.mark.parametrize(("title", "expected"), [("July", "July.csv"), (None, "list.csv")])
async def test_bytes_are_named_by_their_title(title: str | None, expected: str) -> None:
    assert (await file_for(LIST, title=title)).filename == expected


@pytest.mark.asyncio
async def test_a_file_name_that_cannot_be_decoded_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.csv")
    path.write_bytes(LIST)
    part = await file_for(path)
    form = aiohttp.FormData()
    form.add_field("local_file", part.content, filename=part.filename)
    assert form() is not None
    assert part.filename == "caf?.csv"


# Refusals


@pytest.mark.asyncio
@pytest.mark.parametrize("text", ["email\na@x\n", "a@x\r"])
async def test_text_with_line_ends_is_refused_as_a_path(text: str) -> None:
    with pytest.raises(UsageError, match="Pass the content of a CSV file as bytes"):
        await call_for(text)


async def no_list() -> AsyncIterator[str]:
    yield "a@x"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("source", "name"),
    [
        (None, "NoneType"),
        (5, "int"),
        ({"email": "a@x"}, "dict"),
        (MappingProxyType({"email": "a@x"}), "mappingproxy"),
        (no_list(), "async_generator"),
    ],
)
async def test_the_error_for_a_wrong_source_names_its_type(source: object, name: str) -> None:
    with pytest.raises(UsageError, match=f"or mappings, not {name}."):
        await call_for(source)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "row",
    [
        {},
        {"Email": "a@x"},
        {"address": "a@x"},
        {"email": None},
        {"email": b"a@x"},
        {"email": 5},
        5,
        None,
        b"a@x",
        ["a@x"],
    ],
)
async def test_the_error_for_a_row_without_an_address_has_its_number(row: object) -> None:
    with pytest.raises(UsageError, match="Row 2 of the list is neither an address nor a mapping"):
        await call_for(["a@x", row])


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "value", [float("nan"), {1}, b"x", Decimal(1), object(), "\ud800", Path("x")]
)
async def test_a_value_that_json_cannot_hold_is_refused(value: object) -> None:
    with pytest.raises(UsageError, match=r"can't be sent as JSON: .* into text first"):
        await call_for([{"email": "a@x", "x": value}])


@pytest.mark.asyncio
@pytest.mark.parametrize("source", [[], (), iter([]), {}.keys()])
async def test_a_list_without_rows_is_refused(source: object) -> None:
    with pytest.raises(InvalidListError, match=r"^The list is empty: a list needs at least"):
        await call_for(source)


@pytest.mark.parametrize("content", [b"", b" \n", b"\xef\xbb\xbf\r\n", b"\t"])
def test_a_list_of_blanks_is_refused(content: bytes) -> None:
    with pytest.raises(InvalidListError, match=r"^x\.csv is empty: a list needs at least"):
        check_content(content, "x.csv")


@pytest.mark.parametrize("content", [b"x@", b"X@\n", b"@XX"])
def test_a_list_of_any_text_is_not_empty(content: bytes) -> None:
    check_content(content, "x.csv")


@pytest.mark.parametrize("content", [b"email", b"\xef\xbb\xbfemail,name\r\n\r\n"])
def test_a_header_without_rows_is_refused(content: bytes) -> None:
    with pytest.raises(InvalidListError, match=r"^x\.csv has a header and no rows"):
        check_content(content, "x.csv")


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "content", [b"PK\x03\x04\0\0", b"PK\x03\x04junk@x", "email\na@x\n".encode("utf-16")]
)
async def test_a_binary_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(content)
    with pytest.raises(
        InvalidListError, match=r"list\.csv is not a text file\. Save a spreadsheet"
    ):
        await call_for(path)


@pytest.mark.asyncio
async def test_a_missing_file_raises_pythons_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await call_for(tmp_path / "list.csv")


@pytest.mark.asyncio
async def test_a_folder_raises_pythons_error(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        await call_for(tmp_path)


# Limits


def content_of_size(size: int) -> bytes:
    line = b"a" * 1023 + b"\n"
    return (line * (size // len(line) + 1))[:size]


@pytest.mark.asyncio
async def test_a_file_may_have_10_mib(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(content_of_size(LARGEST_LIST_BYTES))
    assert len((await file_for(path)).content) == 10 * 1024 * 1024


@pytest.mark.asyncio
async def test_a_file_of_one_byte_more_is_refused_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(content_of_size(LARGEST_LIST_BYTES + 1))
    monkeypatch.setattr(Path, "read_bytes", None)
    with pytest.raises(
        InvalidListError, match=r"list\.csv has 10,485,761 bytes, .* at most 10,485,760 \(10 MB\)"
    ):
        await call_for(path)


@pytest.mark.asyncio
async def test_bytes_have_the_same_limit() -> None:
    assert len((await file_for(content_of_size(LARGEST_LIST_BYTES))).content) == LARGEST_LIST_BYTES
    with pytest.raises(InvalidListError, match=r"^July has 10,485,761 bytes"):
        await call_for(content_of_size(LARGEST_LIST_BYTES + 1), title="July")


@pytest.mark.asyncio
async def test_the_limit_of_rows_is_the_size_of_their_csv() -> None:
    row = {"email": "a@x", "note": "ä" * 1024}
    count = LARGEST_LIST_BYTES // (4 + 2049)
    assert len(await rows_for([row] * count)) == count
    with pytest.raises(InvalidListError, match=r"^The list, as CSV, has 10,4\d\d,\d\d\d bytes"):
        await call_for([row] * (count + 1))


def test_the_service_takes_500_000_rows() -> None:
    rows = b"a@x\n" * 500_000
    check_content(rows, "x.csv")
    with pytest.raises(
        InvalidListError, match=r"^x\.csv has 500,001 rows, .* takes at most 500,000 per list"
    ):
        check_content(rows + b"b@x", "x.csv")


@pytest.fixture
def few_rows(monkeypatch: pytest.MonkeyPatch) -> int:
    """Lower the limit of rows, so that a test reaches it quickly."""
    monkeypatch.setattr(uploads, "LONGEST_LIST_ROWS", 50)
    return 50


@pytest.mark.asyncio
async def test_the_maximum_number_of_rows_is_sent(few_rows: int) -> None:
    assert len(await rows_for(["a@x"] * few_rows)) == few_rows
    with pytest.raises(InvalidListError, match=r"^The list has more than 50 rows"):
        await call_for(["a@x"] * (few_rows + 1))


@pytest.mark.asyncio
@pytest.mark.usefixtures("few_rows")
async def test_endless_rows_are_read_only_up_to_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidListError, match=r"^The list has more than 50 rows"):
        await call_for(itertools.repeat("a@x"))
    monkeypatch.setattr(uploads, "LONGEST_LIST_ROWS", 10**9)
    with pytest.raises(InvalidListError, match=r"^The list, as CSV, has 1\d,\d\d\d,\d\d\d bytes"):
        await call_for(itertools.repeat({"email": "a@x", "note": "x" * 1000}))


@pytest.mark.asyncio
async def test_rows_are_read_in_the_callers_thread_without_blocking_other_tasks() -> None:
    threads: set[int] = set()
    turns: list[int] = []
    read = 0

    def addresses() -> Iterator[str]:
        nonlocal read
        for read in range(1, 20_001):
            threads.add(threading.get_ident())
            yield f"{read}@x"

    async def others() -> None:
        while True:
            turns.append(read)
            await asyncio.sleep(0)

    beside = asyncio.create_task(others())
    rows = await rows_for(addresses())
    beside.cancel()
    assert [row["email"] for row in rows] == [f"{number}@x" for number in range(1, 20_001)]
    assert threads == {threading.get_ident()}
    assert max(later - earlier for earlier, later in itertools.pairwise(turns)) <= 1000


@pytest.mark.parametrize("header", [b"", b"email\n", b"\xef\xbb\xbfemail\r\n", b"\n\nemail\n"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r", b"\n\n"])
def test_headers_and_empty_lines_do_not_count_as_rows(
    few_rows: int, header: bytes, end: bytes
) -> None:
    rows = (b"a@x" + end) * few_rows
    check_content(header + rows, "x.csv")
    with pytest.raises(InvalidListError, match=r"^x\.csv has 51 rows"):
        check_content(header + rows + b"b@x", "x.csv")


def test_line_ends_in_quoted_cells_do_not_count_as_rows(few_rows: int) -> None:
    rows = b'a@x,"1\n2\n3"\n' * few_rows
    check_content(b"email,note\n" + rows, "x.csv")


def test_rows_with_long_cells_are_counted(few_rows: int) -> None:
    long = b"x" * (csv.field_size_limit() + 1)
    check_content(long + b"\na@x" * few_rows, "x.csv")
    with pytest.raises(InvalidListError, match=r"^x\.csv has 51 rows"):
        check_content(long + b"\na@x" * (few_rows + 1), "x.csv")


@settings(deadline=None)
@given(
    st.lists(
        st.lists(st.text(alphabet='a@",\r\n ', max_size=5), min_size=2, max_size=2), min_size=1
    )
)
def test_rows_are_counted_as_csv_counts_them(table: list[list[str]]) -> None:
    text = StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows([["email", "note"], *table])
    assert _count_rows(text.getvalue().encode()) == len(table)

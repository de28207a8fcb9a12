import asyncio
import csv
import io
import random
from collections.abc import Coroutine
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bulkverify.limits import LARGEST_LIST_BYTES
from bulkverify.models import Analysis, Verdict, VerdictCounts
from bulkverify.sandbox.reading import (
    AddressList,
    UnusableListError,
    read_file,
    read_rows,
)

T = TypeVar("T")


def run(work: Coroutine[None, None, T]) -> T:
    """Like `asyncio.run`, but leaves the thread's current loop alone, which is pytest-asyncio's."""
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(work)
    finally:
        loop.close()


def read(content: str | bytes) -> AddressList:
    return run(read_file(content.encode() if isinstance(content, str) else content))


@pytest.mark.parametrize(
    ("content", "header", "addresses"),
    [
        ("email\na@x.com\n", ("email",), ["a@x.com"]),
        ("name,E-Mail Address\nJ,a@x.com", ("name", "E-Mail Address"), ["a@x.com"]),
        ("reference,MAIL\na@ref.com,a@x.com\n", ("reference", "MAIL"), ["a@x.com"]),
        ("e_mail\r\na@x.com\r\n\r\n  \r\nb@x.com\r\n", ("e_mail",), ["a@x.com", "b@x.com"]),
        ("\ufeffemail,id\na@x.com,1\n", ("email", "id"), ["a@x.com"]),
        ('\ufeff"email"\n"a@x.com"\n', ("email",), ["a@x.com"]),
        ("a@x.com\nb@x.com\n", ("col0",), ["a@x.com", "b@x.com"]),
        ("J,a@x.com\nK,b@x.com\n", ("col0", "col1"), ["a@x.com", "b@x.com"]),
        ("who,where\nJ,a@x.com\n", ("who", "where"), ["a@x.com"]),
        ("who,where\nJ,nowhere\nK,a@x.com\n", ("who", "where"), ["nowhere", "a@x.com"]),
        ("email\nA@x.com\na@x.com\na@x.com\n", ("email",), ["a@x.com"] * 3),
        ('name,email\n"Doe, J","a@x.com"\n', ("name", "email"), ["a@x.com"]),
        ('name,email\n"J\nDoe",a@x.com\nK,b@x.com\n', ("name", "email"), ["a@x.com", "b@x.com"]),
        ("email\rа@x.com\rb@x.com\r", ("email",), ["а@x.com", "b@x.com"]),  # noqa: RUF001
        ("email,id\na@x.com\nb@x.com,2,more\n", ("email", "id", "col2"), ["a@x.com", "b@x.com"]),
        ("id,email\n1\n2,b@x.com\n", ("id", "email"), ["", "b@x.com"]),
        ("email,id\n,\na@x.com,1\n", ("email", "id"), ["", "a@x.com"]),
        ("naïve,email\nÉ,jürgen@exämple.de\n", ("naïve", "email"), ["jürgen@exämple.de"]),
        ("email\na@x.com\u2028b\nc@x.com\n", ("email",), ["a@x.com\u2028b", "c@x.com"]),
    ],
)
def test_a_list_is_read(content: str, header: tuple[str, ...], addresses: list[str]) -> None:
    found = read(content)
    assert found.header == header
    assert list(found.addresses()) == addresses
    assert found.total == len(addresses)
    assert found.usable


def test_cells_are_unchanged_and_short_rows_are_padded() -> None:
    found = read('email,note\n A@x.com ,"a ""b"",\r\nc"\nb@x.com\n')
    assert list(found.rows()) == [[" A@x.com ", 'a "b",\r\nc'], ["b@x.com", ""]]


@pytest.mark.parametrize(
    "content", ["email\n", "email\nnobody\n", "just words\n", "email,other\nnobody,a@x.com\n"]
)
def test_a_list_without_an_address_is_read_but_not_usable(content: str) -> None:
    found = read(content)
    assert not found.usable
    assert not list(found.addresses())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b" \r\n\n",
        b"\xef\xbb\xbf",
        b"a@x.com\n\xff\xfe",
        "a@x.com\n".encode("utf-16"),
        b"PK\x03\x04\x00\x00a@x.com",
        b'"' + b"a@x.com\n" * 20_000,
        b"a" * (LARGEST_LIST_BYTES + 1),
        b"a@x.com\n" * 500_001,
    ],
    ids=["empty", "blank", "bom", "latin", "utf16", "zip", "open quote", "too large", "too long"],
)
def test_an_unusable_upload_is_refused(content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "bulkverify.sandbox.reading.judge", lambda _: (Verdict.DELIVERABLE, 0)
    )  # only faster
    with pytest.raises(UnusableListError):
        read(content)


def test_flags_and_verdicts_are_counted() -> None:
    found = read(
        "email\ndeliverable@gmail.com\naccept-all@x.com\ninfo@mailinator.com\nspamtrap@x.com\noops\nunknown@x.com\n"
    )
    assert found.analysis == Analysis(
        common_isp=1, role_based=1, disposable=1, spamtrap=1, syntax_error=1
    )
    assert found.count(2) == VerdictCounts(deliverable=1, undeliverable=0, accept_all=1, unknown=0)
    assert found.count(5).undeliverable == 2


def test_rows_become_columns_in_the_order_of_first_appearance() -> None:
    found = run(
        read_rows(
            [
                {"email": "a@x.com", "n": 1},
                {"tags": ["é"], "email": "b@x.com", "ok": True, "n": None, "odd": "\ud800"},
            ]
        )
    )
    assert found.header == ("email", "n", "tags", "ok", "odd")
    assert list(found.rows()) == [
        ["a@x.com", "1", "", "", ""],
        ["b@x.com", "", '["é"]', "true", "?"],
    ]


@pytest.mark.parametrize(
    "rows", [[], ["a@x.com"], [{"email": "a@x.com"}, None], [{"email": "a@x.com"}] * 500_001]
)
def test_rows_that_are_not_mappings_are_refused(rows: list[object]) -> None:
    with pytest.raises(UnusableListError):
        run(read_rows(rows))


def test_rows_have_a_header_even_with_an_at_sign_in_it() -> None:
    found = run(read_rows([{"email": "a@x.com", "@": "1"}]))
    assert found.header == ("email", "@")


CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)


@settings(max_examples=50)
@given(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=20), st.sampled_from(["\n", "\r\n"]))
def test_every_cell_survives(cells: list[tuple[str, str]], end: str) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator=end)
    writer.writerow(["note", "email", "more"])
    rows = [[note, f"user{place}@x.com", more] for place, (note, more) in enumerate(cells)]
    writer.writerows(rows)
    assert list(read(text.getvalue()).rows()) == rows


@settings(max_examples=200)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_list_or_refused(content: bytes) -> None:
    try:
        found = read(content)
    except UnusableListError:
        return
    assert len(list(found.rows())) == found.total == len(found.flags)
    assert found.count(found.total).deliverable <= found.total


def test_other_tasks_run_while_a_large_list_is_read() -> None:
    async def main() -> int:
        turns = 0
        numbers = random.Random(1)  # noqa: S311
        content = "".join(f"u{numbers.random()}@x.com\n" for _ in range(20_000)).encode()
        reading = asyncio.ensure_future(read_file(content))
        while not reading.done():
            turns += 1
            await asyncio.sleep(0)
        return turns

    assert run(main()) >= 40

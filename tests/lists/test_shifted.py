"""Rows whose address stands in another column, because a cell has a delimiter or lacks a quote."""

import re
from pathlib import Path

import pytest

from bulkverify.errors import InvalidListError
from bulkverify.lists import split
from tests.lists.made import opened

PEOPLE = "name,email,city,zip\n" + "".join(f"N{n},p{n}@x.com,Rome,{n}\n" for n in range(150))
SHIFTED = [
    # the list, the line, and its text
    (PEOPLE + "Ek, Bo,b@x.com,Oslo\n", 152, "Ek, Bo,b@x.com,Oslo"),
    ("name,email,city,zip\nEk,Bo,b@x.com,Oslo\n" + PEOPLE.partition("\n")[2], 2, "Ek,Bo,b@x.com,Oslo"),
    ('firm;city;email\nAcme;Rome;a@x.com\n";";b@x.com\n', 3, ";;b@x.com"),
    ("name,email,phone\nAna,a@x.com,1\nb@x.com,2\n", 3, "b@x.com,2"),
    ("name,email,phone\nAna,a@x.com,1\n\nb@x.com\n", 4, "b@x.com"),
    ("n,email,x,y,z\n1,a@x.com,,,\n2,Ek, B., jr.,b@x.com\n", 3, "2,Ek, B., jr.,b@x.com"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "line", "text"), SHIFTED)
def test_a_row_with_its_address_in_another_column_is_refused(
    path: Path, content: str, line: int, text: str
) -> None:
    message = (
        rf"^Line {line} of .* has its address in the column .*: {re.escape(repr(text))}\. Quote"
    )
    table = opened(path, content)
    with pytest.raises(InvalidListError, match=message) as info:
        split(table, path.parent)
    assert "--column" in f"{info.value.shell_hint}"
    names = content.partition("\n")[0]
    email = next(name for name in re.split("[,;]", names) if name == "email")
    assert split(opened(path, content, column=email), path.parent).addresses >= 1


@pytest.mark.parametrize(
    "row",
    [
        "Bo,,b@x.com,1",  # the address may be another's
        "Bo,n/a,b@x.com,1",
        "Bo,-,b@x.com,1",
        "Bo,unknown,b@x.com,1",
        "Bo,by phone,see b@x.com,1",
        "Bo,by phone,@bo,1",
        "Bo,b@,Oslo,1",
        "Bo",
        "",
    ],
)
def test_a_row_without_an_address_is_not_taken_for_a_shifted_one(path: Path, row: str) -> None:
    assert split(opened(path, f"{PEOPLE}{row}\n"), path.parent).addresses == 150


@pytest.mark.parametrize(
    "content",
    [
        "name,email,manager\nAna,a@x.com,m@x.com\nBo,by phone,m@x.com\n",
        "name,email,email 2\nAna,a@x.com,\nBo,by phone,b2@x.com\n",
        "manager,email,phone\nm@x.com,a@x.com,1\nm@x.com\n",
    ],
)
def test_other_columns_with_addresses_are_expected(path: Path, content: str) -> None:
    assert split(opened(path, content), path.parent).addresses == 1


def test_a_column_that_is_found_late_does_not_make_rows_look_shifted(path: Path) -> None:
    rows = "rep@x.com,\n" * 120 + "Zoe Rep,a@x.com\n" * 3 + "rep@x.com,b@x.com\n"
    assert split(opened(path, f"Manager,Email\n{rows}"), path.parent).addresses == 2

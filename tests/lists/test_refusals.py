"""A refusal says what the list really is, and what to do."""

from pathlib import Path

import pytest

from bulkverify.errors import InvalidListError
from bulkverify.lists import open_table, split
from tests.lists.made import opened, write

TITLES = "".join(f"Line {number} of the preamble\n" for number in range(12))


@pytest.mark.parametrize("sign", [",", ";", "\t", "|"])
def test_the_delimiter_is_found_below_more_titles_than_rows(path: Path, sign: str) -> None:
    rows = "Nr,Name,E-Mail\n1,Ana,a@x.com\n2,Bo,b@x.com\n".replace(",", sign)
    table = opened(path, TITLES + rows)
    assert (table.names, table.delimiter, table.preface) == (("Nr", "Name", "E-Mail"), sign, TITLES)
    assert table.names == opened(path, TITLES + rows, header_row=13).names


def test_addresses_above_a_row_with_several_are_no_titles(path: Path) -> None:
    content = "a@x.com\nb@x.com\nc@x.com\nd@x.com; e@x.com\nf@x.com; g@x.com\n"
    assert split(opened(path, content), path.parent).addresses == 3


REFUSED = [
    # the list, what is said, and the hint
    ("name,email\nAna;a@x.com\nBo;b@x.com\n", "Row 1 of .* has ',' between its names where the rows have ';'", ""),
    ("x\x1femail\n1\x1fa@x.com\n", r"seems to have '\\x1f' between its cells", r"--delimiter $'\x1f'"),
    ("Ana\x01a@x.com\nBo\x01b@x.com\n", r"seems to have '\\x01' between its cells", r"--delimiter $'\x01'"),
    ('"id,email"\n"1,a@x.com"\n"2,b@x.com"\n', "has quotes around whole rows", ""),
    ('"1,""Ana"",""a@x.com"""\n"2,""Bo, Jr."",""b@x.com"""\n', "has quotes around whole rows", ""),
    ("email\na@x.com,b@x.com\nc@x.com,d@x.com,e@x.com\n", "several addresses on a line: .* Write one address a line", ""),
    ('["a@x.com","Ana"]\n["b@x.com","Bo"]\n', "is a JSON array on each line: write each as an object", ""),
    ("name,email\nAna,a@x.com\nBo\0,b@x.com\n", "line 3 has a NUL character", ""),
    ("note,email\n" + "x" * 140_000 + ",a@x.com\n", "at line 2: a cell has more than 131,072 characters. Shorten", ""),
]  # fmt: skip


@pytest.mark.parametrize(("content", "message", "hint"), REFUSED)
def test_a_refusal_says_what_the_list_is(path: Path, content: str, message: str, hint: str) -> None:
    with pytest.raises(InvalidListError, match=message) as info:
        split(opened(path, content), path.parent)
    assert hint in f"{info.value.shell_hint}"
    if "\x1f" in content or "\x01" in content:
        delimiter = content[content.index("a@x.com") - 1]
        assert split(opened(path, content, delimiter=delimiter), path.parent).addresses > 0


@pytest.mark.parametrize("text", ["name,email\nAna,a@x.com\n", "名前,邮箱\n山田,a@x.com\n"])
@pytest.mark.parametrize(
    "encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be", "utf-32", "iso-2022-jp"]
)
def test_an_encoding_that_must_be_named_is_named(path: Path, encoding: str, text: str) -> None:
    if encoding == "iso-2022-jp":
        text = text.replace("name", "名前").replace("邮箱", "email")
    with pytest.raises(InvalidListError, match=f"seems to be {encoding} text") as info:
        opened(path, text.encode(encoding))
    assert f"--encoding {encoding}." in f"{info.value.shell_hint}"
    assert split(opened(path, text.encode(encoding), encoding=encoding), path.parent).addresses == 1


@pytest.mark.parametrize("suffix", ["tab", "tsv"])
def test_a_file_that_is_named_like_another_format_says_its_delimiter(
    tmp_path: Path, suffix: str
) -> None:
    path = write(tmp_path / f"list.{suffix}", "name,email\nAna,a@x.com\nBo,b@x.com\n")
    with pytest.raises(InvalidListError, match="seems to have ',' between its cells") as info:
        open_table(path, spool=tmp_path)
    assert info.value.shell_hint == "Name it with --delimiter ,."
    assert open_table(path, delimiter=",", spool=tmp_path).column == 1


def test_addresses_within_objects_are_shown_with_their_keys(tmp_path: Path) -> None:
    lines = (
        '{"id": 1, "contact": {"email": "a@x.com"}}\n{"id": 2, "contact": {"email": "b@x.com"}}\n'
    )
    with pytest.raises(InvalidListError, match=r"'email' in 'contact', such as 'a@x.com'") as info:
        open_table(write(tmp_path / "list.jsonl", lines), spool=tmp_path)
    assert "{email: .contact.email}" in str(info.value)

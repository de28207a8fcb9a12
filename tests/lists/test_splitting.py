"""From a list to parts of distinct addresses."""

import json
import os
import sys
from array import array
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import attrs
import cattrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bulkverify.errors import InvalidListError
from bulkverify.lists import (
    CellKind,
    Examples,
    Part,
    Split,
    address_key,
    file_digest,
    find_examples,
    fingerprint,
    is_intact,
    layout,
    open_table,
    part_path,
    split,
)
from bulkverify.lists.delimited import Delimited
from tests.lists.made import addresses, opened, write

CONTENT = (
    "name,email\nAnna,a@x.com\nBob,b@x.com\nAgain, a@X.com \nNobody,\nWrong,n/a\nEve,c@x.com\n"
)


def places(folder: Path) -> list[int]:
    found = array("I", (folder / "rows.bin").read_bytes())
    if sys.byteorder == "big":
        found.byteswap()
    return list(found)


def all_addresses(done: Split, folder: Path) -> list[str]:
    return [address for part in done.parts for address in addresses(folder, part.number)]


def test_examples_of_every_kind_are_found_again_wherever_they_are(path: Path) -> None:
    nothing = "no address\n" * 7000  # more than is read at once
    table = opened(path, f"email\na@x.com\n{nothing}b@x.com c@x.com\n")
    first, again = Examples(), Examples()
    done = split(table, path.parent, examples=first)
    find_examples(table, done, again)
    assert list(again) == list(first)
    assert {one.kind for one in again} == {CellKind.INVALID, CellKind.UNCLEAR}


def test_the_numbers_of_rows_have_the_same_bytes_on_every_machine(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    split(opened(path, CONTENT), path.parent)
    here = places(path.parent)
    other = {"little": "big", "big": "little"}[sys.byteorder]
    with monkeypatch.context() as patched:
        patched.setattr(sys, "byteorder", other)
        split(opened(path, CONTENT), path.parent)
    found = array("I", here)
    found.byteswap()
    assert places(path.parent) == list(found)


def test_only_distinct_addresses_are_sent(path: Path) -> None:
    done = split(opened(path, CONTENT), path.parent)
    assert attrs.evolve(done, fingerprint="", content="") == Split(
        rows=6,
        addresses=3,
        duplicates=1,
        blank=1,
        invalid=1,
        parts=(
            Part(
                number=1,
                addresses=3,
                size_bytes=30,
                first_row=1,
                last_row=6,
                digest=file_digest(part_path(path.parent, 1)) or "",
            ),
        ),
        fingerprint="",
        content="",
        codes=file_digest(path.with_name("rows.bin")) or "",
    )
    assert part_path(path.parent, 1).read_bytes() == b"email\na@x.com\nb@x.com\nc@x.com\n"
    assert places(path.parent) == [2, 3, 2, 0, 1, 4]


def test_invalid_addresses_are_sent_without_judge(path: Path) -> None:
    done = split(opened(path, CONTENT), path.parent, judge=False)
    assert (done.addresses, done.invalid) == (4, 0)
    assert addresses(path.parent, 1) == ["a@x.com", "b@x.com", "n/a", "c@x.com"]


def test_duplicates_are_sent_without_deduplicate(path: Path) -> None:
    done = split(opened(path, CONTENT), path.parent, deduplicate=False)
    assert (done.addresses, done.duplicates) == (4, 0)
    assert addresses(path.parent, 1) == ["a@x.com", "b@x.com", "a@X.com", "c@x.com"]
    assert places(path.parent) == [2, 3, 4, 0, 1, 5]


def test_parts_stay_below_the_number_of_rows(path: Path) -> None:
    content = "email\n" + "".join(f"a{number}@x.com\n" for number in range(25))
    done = split(opened(path, content), path.parent, largest_rows=10)
    assert [(p.number, p.addresses, p.first_row, p.last_row) for p in done.parts] == [
        (1, 10, 1, 10),
        (2, 10, 11, 20),
        (3, 5, 21, 25),
    ]
    assert all_addresses(done, path.parent) == [f"a{number}@x.com" for number in range(25)]


def test_parts_stay_below_the_number_of_bytes(path: Path) -> None:
    content = "email\n" + "".join(f"ä{number:02}@x.com\n" for number in range(25))
    done = split(opened(path, content), path.parent, largest_bytes=100)
    sizes = [part_path(path.parent, part.number).stat().st_size for part in done.parts]
    assert sizes == [part.size_bytes for part in done.parts]
    assert max(sizes) <= 100
    assert all_addresses(done, path.parent) == [f"ä{number:02}@x.com" for number in range(25)]


@pytest.mark.parametrize(("bytes_", "parts"), [(69, 2), (70, 1)])
def test_the_header_counts_as_bytes_of_a_part(path: Path, bytes_: int, parts: int) -> None:
    content = "email\n" + "".join(f"{n}@x.com\n" for n in range(8))
    done = split(opened(path, content), path.parent, largest_bytes=bytes_)
    assert len(content) == 70
    assert len(done.parts) == parts


def test_parts_are_filled_across_batches(path: Path) -> None:
    content = "n,email\n" + "".join(f"{n},user{n // 2}@x.com\n" for n in range(60_000))
    done = split(opened(path, content), path.parent, largest_rows=7_000)
    assert [part.addresses for part in done.parts] == [7_000] * 4 + [2_000]
    assert [part.first_row for part in done.parts] == [14_000 * n + 1 for n in range(5)]
    assert all_addresses(done, path.parent) == [f"user{n}@x.com" for n in range(30_000)]
    assert places(path.parent) == [n // 2 + 2 for n in range(60_000)]


def test_an_address_too_long_for_a_part_is_refused(path: Path) -> None:
    table = opened(path, f"email\na@x.com\n{'b' * 100}@x.com\n")
    with pytest.raises(
        InvalidListError,
        match=r"address in row 2 has 107 bytes, which is more than an address may have \(106\)",
    ):
        split(table, path.parent, largest_bytes=326, judge=False)
    done = split(table, path.parent, largest_bytes=327, judge=False)
    assert [part.addresses for part in done.parts] == [2]


@pytest.mark.parametrize(
    ("count", "largest_rows", "parts"),
    [
        (1, 2, [1]),
        (2, 2, [2]),
        (3, 2, [3]),
        (4, 2, [2, 2]),
        (5, 2, [2, 3]),
        (3, 3, [3]),
        (4, 3, [2, 2]),
        (7, 3, [3, 2, 2]),
        (10, 3, [3, 3, 2, 2]),
        (11, 10, [9, 2]),
        (12, 10, [10, 2]),
        (21, 10, [10, 9, 2]),
    ],
)
@pytest.mark.parametrize("at_once", [True, False])
def test_no_part_has_one_address_unless_there_is_only_one(
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    count: int,
    largest_rows: int,
    parts: list[int],
    *,
    at_once: bool,
) -> None:
    if not at_once:  # a batch a row
        batches = Delimited.batches
        monkeypatch.setattr(
            Delimited,
            "batches",
            lambda *given: ([row] for batch in batches(*given) for row in batch),
        )
    content = "n,email\n" + "".join(f"{n},a{n // 2}@x.com\n" for n in range(2 * count))
    done = split(opened(path, content), path.parent, largest_rows=largest_rows)
    assert [part.addresses for part in done.parts] == parts
    assert all_addresses(done, path.parent) == [f"a{n}@x.com" for n in range(count)]
    before = 0
    for part in done.parts:
        assert part.size_bytes == part_path(path.parent, part.number).stat().st_size
        assert (part.first_row, part.last_row) == (
            2 * before + 1,
            2 * (before + part.addresses) - 1,
        )
        before += part.addresses


def test_half_of_a_character_is_sent_as_a_question_mark(path: Path) -> None:
    table = opened(path, "email\n+2AA-@x.com\nb@x.com\n", encoding="utf-7")
    split(table, path.parent, judge=False)
    assert addresses(path.parent, 1) == ["?@x.com", "b@x.com"]


@pytest.mark.parametrize(
    "cell", ['"a b"@x.com', '"a,b"@x.com', '"a""b"@x', "a;b", "a\tb", "a\nb", "a\rb", "a|b"]
)
def test_an_address_is_quoted_if_necessary(path: Path, cell: str) -> None:
    quoted = cell.replace('"', '""')
    split(opened(path, f'email,n\n"{quoted}",1\n'), path.parent, judge=False)
    assert addresses(path.parent, 1) == [cell]


def test_a_list_without_addresses_is_refused(path: Path) -> None:
    table = opened(path, "email,name\n,Anna\n  ,Bob\n")
    with pytest.raises(InvalidListError, match="no addresses in its column 'email': there is noth"):
        split(table, path.parent)


def test_a_list_of_invalid_addresses_is_refused_with_the_first_ones(path: Path) -> None:
    table = opened(path, "email\nn/a\n\n-\n")
    with pytest.raises(InvalidListError, match=r"The column begins with 'n/a', '-'\. Nothing was"):
        split(table, path.parent)


def test_only_the_owner_can_read_what_is_written(path: Path) -> None:
    folder = path.parent / "folder"
    folder.mkdir()
    split(opened(path, CONTENT), folder)
    assert {entry.name for entry in folder.iterdir()} == {"part-0001.csv", "rows.bin"}
    assert {entry.stat().st_mode & 0o777 for entry in folder.iterdir()} == {0o600}


def test_parts_of_an_earlier_try_are_deleted(path: Path) -> None:
    table = opened(path, CONTENT)
    longer = opened(path.with_name("longer.csv"), CONTENT * 3)
    split(longer, path.parent, largest_rows=2, judge=False)
    results = write(path.parent / "part-0003.results.csv", "kept")
    split(table, path.parent)
    assert sorted(entry.name for entry in path.parent.glob("part-*")) == [
        "part-0001.csv",
        results.name,
    ]


def test_a_split_survives_json(path: Path) -> None:
    done = split(opened(path, CONTENT), path.parent)
    assert cattrs.structure(json.loads(json.dumps(cattrs.unstructure(done))), Split) == done


def test_an_unreadable_row_ends_the_split(path: Path) -> None:
    table = opened(path, "email\n" + "a@x.com\n" * 50_000 + "b@x.com,1\n")
    with pytest.raises(InvalidListError, match="Line 50,002"):
        split(table, path.parent)


# Whether it is still the same list


def test_a_list_is_recognised_without_splitting_it(path: Path) -> None:
    table = opened(path, CONTENT)
    done = split(table, path.parent)
    assert fingerprint(table) == done.fingerprint
    assert fingerprint(open_table(path, spool=path.parent)) == done.fingerprint
    assert fingerprint(table, judge=False) == split(table, path.parent, judge=False).fingerprint


@pytest.mark.parametrize(
    "changed",
    [
        CONTENT.replace("Anna", "Anne"),
        CONTENT.replace("name,", "Name,"),
        CONTENT.replace(",", ";"),
        CONTENT + "\n",
        CONTENT[:-1],
    ],
)
def test_a_list_that_has_changed_is_noticed(path: Path, changed: str) -> None:
    before = fingerprint(opened(path, CONTENT))
    assert fingerprint(opened(path, changed)) != before


def test_a_different_split_is_noticed(path: Path) -> None:
    table = opened(path, "email,mail\na@x,b@x\n")
    options: list[dict[str, bool | int]] = [
        {},
        {"judge": False},
        {"deduplicate": False},
        {"largest_rows": 7},
        {"largest_bytes": 7},
    ]
    found = {fingerprint(table, **option) for option in options}  # type: ignore[arg-type]
    found.add(fingerprint(open_table(path, column="mail", spool=path.parent)))
    found.add(fingerprint(open_table(path, encoding="cp1252", spool=path.parent)))
    assert len(found) == 7


def test_a_list_that_was_moved_is_the_same(tmp_path: Path) -> None:
    one = open_table(write(tmp_path / "1.csv", CONTENT), spool=tmp_path)
    other = open_table(write(tmp_path / "2.csv", CONTENT), spool=tmp_path)
    assert fingerprint(one) == fingerprint(other)


CELLS = st.sampled_from(["a@x.com", "A@x.com", "a@X.com", "b@x.com", " b@x.com", "", " ", "n/a"])


@given(
    cells=st.lists(CELLS, min_size=1, max_size=30),
    judge=st.booleans(),
    deduplicate=st.booleans(),
    largest_rows=st.integers(1, 10),
    largest_bytes=st.integers(36, 80),
)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_row_is_accounted_for(
    path: Path,
    cells: list[str],
    largest_rows: int,
    largest_bytes: int,
    *,
    judge: bool,
    deduplicate: bool,
) -> None:
    content = "email,n\n" + "".join(f"{cell},{n}\n" for n, cell in enumerate(cells))
    table = opened(path, content, column="email")
    if not any("@" in cell if judge else cell.strip() for cell in cells):
        with pytest.raises(InvalidListError, match="has no addresses"):
            split(table, path.parent, judge=judge)
        return
    done = split(
        table,
        path.parent,
        judge=judge,
        deduplicate=deduplicate,
        largest_rows=largest_rows,
        largest_bytes=largest_bytes,
    )
    sent = all_addresses(done, path.parent)
    assert done.rows == len(cells)
    assert done.rows == done.addresses + done.duplicates + done.blank + done.invalid
    assert len(sent) == done.addresses == sum(part.addresses for part in done.parts)
    assert all(part.addresses <= max(largest_rows, 3) for part in done.parts)
    assert all(part.addresses >= 2 for part in done.parts) or done.addresses == 1
    assert all(part.size_bytes <= largest_bytes for part in done.parts)
    if deduplicate:
        assert len({address_key(address) for address in sent}) == len(sent)
    for cell, place in zip(cells, places(path.parent), strict=True):
        if place >= 2:
            assert address_key(sent[place - 2]) == address_key(cell)
        else:
            assert cell.strip() == ("" if place == 0 else "n/a")


@pytest.mark.parametrize("name", ["rows.bin", "part-0001.csv", "part-0002.csv"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda _: b"",
        lambda content: bytes(len(content)),
        lambda content: content[: len(content) // 2],
        lambda content: content + b"\n",
        lambda _: None,
    ],
)
def test_a_split_that_was_damaged_is_noticed(
    path: Path, name: str, damage: Callable[[bytes], bytes | None]
) -> None:
    table = opened(path, f"{CONTENT}Tim,d@x.com\n")
    done = split(table, path.parent, largest_rows=2)
    assert is_intact(path.parent, done)
    place = path.parent / name
    content = damage(place.read_bytes())
    place.unlink()
    if content is not None:
        place.write_bytes(content)
    assert not is_intact(path.parent, done)
    assert split(table, path.parent, largest_rows=2) == done
    assert is_intact(path.parent, done)


def test_all_files_of_a_split_are_synced(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sync, synced = os.fsync, Counter[tuple[int, int]]()

    def note(descriptor: int) -> None:
        found = os.fstat(descriptor)
        synced[found.st_ino, found.st_size] += 1
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    split(opened(path, f"{CONTENT}Tim,d@x.com\n"), path.parent, largest_rows=2)
    files = [path.parent / name for name in ("rows.bin", "part-0001.csv", "part-0002.csv")]
    assert {(file.stat().st_ino, file.stat().st_size) for file in files} <= set(synced)


def test_links_to_other_files_are_not_written_through(path: Path) -> None:
    mine = path.with_name("mine")
    mine.write_text("mine")
    part_path(path.parent, 1).symlink_to(mine)
    with pytest.raises(OSError, match="It is a symbolic link to"):
        split(opened(path, CONTENT), path.parent)
    part_path(path.parent, 1).unlink()
    part_path(path.parent, 1).hardlink_to(mine)
    split(opened(path, CONTENT), path.parent)
    assert mine.read_text() == "mine"


def test_the_names_of_files_are_recognised(tmp_path: Path) -> None:
    number = 12_345
    of_list = (layout.rows_path(tmp_path), part_path(tmp_path, number))
    results = layout.results_path(tmp_path, number)
    source = layout.source_path(tmp_path, 1, ".xlsx.csv")
    assert all(layout.is_of_list(path.name) for path in (*of_list, results))
    assert [path for path in (*of_list, results, source) if layout.is_results(path.name)] == [
        results
    ]
    assert [path for path in (*of_list, results, source) if layout.is_source(path.name)] == [source]
    assert not layout.is_of_list("part-1.csv")

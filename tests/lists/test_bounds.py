"""Small lists that would grow: their memory and time, measured in real processes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bulkverify.errors import InvalidListError
from bulkverify.lists import Spool, open_table

MOST_MEGABYTES = 300
LIMIT = 100

# Reads, splits and joins lists as CSV, as JSON Lines and row by row, and prints its peak memory.
CHILD = """if True:
    import resource, sys
    from io import RawIOBase
    from pathlib import Path
    from bulkverify.errors import InvalidListError
    from bulkverify.lists import join, joined_rows, open_table, split

    class Nowhere(RawIOBase):
        def writable(self):
            return True
        def write(self, data):
            return len(data)

    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
    *paths, folder = map(Path, sys.argv[1:])
    problem = "read"
    try:
        table = open_table(paths[0] if len(paths) == 1 else paths, spool=folder)
        done = split(table, folder)
        for form in ("csv", "jsonl"):
            join(table, done, folder, {}, Nowhere(), format=form)
        for _ in joined_rows(table, done, folder, {}):
            pass
    except InvalidListError as error:
        problem = str(error)
    # `ru_maxrss` counts what the parent had when it forked.
    peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM:"))
    print(int(peak.split()[1]) // 1024, problem)
"""


def outcome_of(*paths: Path) -> str:
    """Read a list in its own process, check its memory, and return the outcome."""
    assert sum(path.stat().st_size for path in paths) <= 2_000_000
    folder = paths[0].parent / "folder"
    folder.mkdir()
    done = subprocess.run(  # noqa: S603 - ours
        [sys.executable, "-c", CHILD, *map(str, paths), str(folder)],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-500:]
    megabytes, _, outcome = done.stdout.rstrip().partition(" ")
    assert int(megabytes) < MOST_MEGABYTES, outcome
    return outcome.replace(str(paths[0].parent), ".")


WIDE = ",".join(f"{number:x}" for number in range(60_000))
LISTS = {
    "few short rows below 60,000 columns": ("list.csv", f"email,{WIDE}\n" + "a@b.co\n" * 200),
    "many short rows below 60,000 columns": ("list.csv", f"email,{WIDE}\n" + "a@b.co\n" * 200_000),
    "short rows below long names": (
        "list.csv",
        "email," + ",".join("x" * 1000 + str(n) for n in range(900)) + "\n" + "a@b.co\n" * 130_000,
    ),
    "a million columns": ("list.csv", "email" + "," * 999_999 + "\na@b.co\n"),
    "a row of a million cells": ("list.csv", "email,x\na@b.co" + "," * 999_999 + "\n"),
    "a row of a million cells that are not empty": ("list.csv", "a@b.co" + ",xy" * 600_000 + "\n"),
    "a quote that never ends": ("list.csv", 'email\n"' + "a@b.co\n" * 250_000),
    "nothing but line ends": ("list.csv", "email\n" + "\n" * 500_000 + "a@b.co"),
    "rows of one character": ("list.csv", "email\na@b.co\n" + "x\n" * 300_000),
    "astral characters": ("list.csv", "email\n" + "\U0001f600" * 480_000 + "\n"),
    "quotes": ("list.csv", "email\na@b.co\n" + '""""\n' * 100_000),
    "lines of text": ("list.txt", "a@b.co\n" + "x\n" * 300_000),
    "one line of text": ("list.txt", "a@b.co\n" + "x" * 1_900_000),
    "carriage returns": ("list.txt", "a@b.co\n" + "\r" * 1_900_000),
    "objects of many keys": (
        "list.jsonl",
        json.dumps({"email": "a@b.co"} | {f"{n:x}": 0 for n in range(60_000)})
        + "\n"
        + "{}\n" * 300_000,
    ),
    "a new key in each object": (
        "list.jsonl",
        '{"email":"a@b.co"}\n' + "".join(f'{{"{n:x}":0}}\n' for n in range(160_000)),
    ),
    "few keys in each of many columns": (
        "list.jsonl",
        '{"email":"a@b.co"}\n' + "".join(f'{{"{n:x}":0}}\n' for n in range(90_000)),
    ),
    "long keys": (
        "list.jsonl",
        '{"email":"a@b.co"}\n'
        f'{{"{"x" * 900_000}":0}}\n{{"{"y" * 900_000}":0}}\n' + "{}\n" * 50_000,
    ),
    "an object of nothing but lists": (
        "list.jsonl",
        json.dumps({"email": "a@b.co"} | {f"{n:x}": [] for n in range(90_000)}) + "\n",
    ),
    "nested lists": (
        "list.jsonl",
        '{"email":"a@b.co","x":' + "[" * 900_000 + "]" * 900_000 + "}\n",
    ),
    "a list of lists": (
        "list.jsonl",
        '{"email":"a@b.co","x":[' + "[]," * 600_000 + "[]]}\n",
    ),
    "digits": ("list.jsonl", '{"email":"a@b.co","x":[' + "9" * 1_900_000 + "]}\n"),
}
REFUSED = {
    "many short rows below 60,000 columns": "./list.csv has 60,001 columns, and nearly all cells of its rows are missing",
    "short rows below long names": "./list.csv has 901 columns, and nearly all cells",
    "a million columns": "./list.csv has more than the 100,000 columns that a list may have.",
    "a row of a million cells": "./list.csv has more than the 100,000 columns",
    "a row of a million cells that are not empty": "./list.csv has more than the 100,000 columns",
    "a quote that never ends": "./list.csv can't be read as CSV at line 2: ",
    "astral characters": "./list.csv can't be read as CSV at line 2: a cell has more than 131,072 characters",
    "objects of many keys": "./list.jsonl has 60,001 columns, and nearly all cells",
    "a new key in each object": "./list.jsonl has more than the 100,000 columns",
    "few keys in each of many columns": "./list.jsonl has 90,001 columns, and nearly all cells",
    "long keys": "./list.jsonl has 3 columns, and nearly all cells",
    "nested lists": "Line 1 of ./list.jsonl is not valid JSON Lines: it is nested too deeply.",
}


@pytest.mark.parametrize("name", LISTS)
def test_a_small_list_takes_bounded_memory(tmp_path: Path, name: str) -> None:
    file, content = LISTS[name]
    (tmp_path / file).write_text(content, newline="")
    outcome = outcome_of(tmp_path / file)
    expected = REFUSED.get(name, "read")
    assert outcome[: len(expected)] == expected


@pytest.mark.parametrize("rows", [200, 200_000])
def test_several_small_lists_take_bounded_memory(tmp_path: Path, rows: int) -> None:
    paths = []
    for number in range(5):
        names = ",".join(f"{number}-{n}" for n in range(10_000))
        paths.append(tmp_path / f"{number}.csv")
        paths[-1].write_text(f"email,{names}\na@b.co{',x' * 10_000}\n")
    paths.append(tmp_path / "list.txt")
    paths[-1].write_text("a@b.co\n" * rows)
    outcome = outcome_of(*paths)
    assert ("nearly all cells" in outcome) is (rows > 200)
    assert outcome == "read" or rows > 200


def test_several_lists_have_no_more_columns_than_one(tmp_path: Path) -> None:
    paths = []
    for number in range(3):
        names = ",".join(f"{number}-{n}" for n in range(40_000))
        paths.append(tmp_path / f"{number}.csv")
        paths[-1].write_text(f"email,{names}\na@b.co\n")
    assert "has more than the 100,000 columns" in outcome_of(*paths)


@pytest.mark.parametrize("encoding", ["utf-32", "utf-16"])
def test_wide_characters_take_bounded_memory(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "list.csv"
    path.write_text("email\n" + "a@b.co\n" * 60_000, encoding=encoding)
    outcome = outcome_of(path)
    assert outcome == "read" or f"seems to be {encoding} text" in outcome


def test_a_shift_sequence_that_never_ends_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(b"email\na@b.co\n+" + b"A" * 6_000_000)
    with pytest.raises(InvalidListError, match="on line 3 a shift sequence never ends"):
        list(open_table(path, spool=tmp_path, encoding="utf-7").rows())


def test_rows_as_mappings_have_no_more_columns_than_a_list(tmp_path: Path) -> None:
    with Spool(tmp_path) as spool, pytest.raises(InvalidListError, match="100,000 columns"):
        spool.extend({f"key {number}": ""} for number in range(100_001))


@pytest.mark.parametrize("depth", [*range(90, 110), *range(300, 1000, 7)])
def test_values_that_can_be_read_can_be_written(tmp_path: Path, depth: int) -> None:
    """Reading and writing fail at different depths, and a paid list must not fail."""
    path = tmp_path / "list.jsonl"
    nested = "[" * (depth - 1) + "]" * (depth - 1)
    path.write_text(f'{{"email": "a@b.co", "x": {nested}}}\n')
    try:
        [row] = open_table(path, spool=tmp_path).rows()
    except InvalidListError:
        assert depth > 100
    else:
        assert depth <= 100
        assert row == ["a@b.co", nested]


def test_many_brackets_are_not_deep(tmp_path: Path) -> None:
    path = tmp_path / "list.jsonl"
    path.write_text(
        '{"email": "a@b.co", "x": "' + "[{" * 500 + '", "y": [' + "[]," * 500 + "[]]}\n"
    )
    [row] = open_table(path, spool=tmp_path).rows()
    assert row[1] == "[{" * 500


def test_a_number_of_any_length_is_kept(tmp_path: Path) -> None:
    digits = "9" * 5000
    path = tmp_path / "list.jsonl"
    path.write_text(f'{{"email": "a@b.co", "x": {digits}, "y": [{digits}, 7]}}\n')
    [row] = open_table(path, spool=tmp_path).rows()
    assert row == ["a@b.co", digits, f'["{digits}", 7]']


def test_line_numbers_are_right_after_a_batch_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    names = ",".join("x" * 300 + str(number) for number in range(1000))
    path.write_text(f"email,{names}\n" + "a@b.co\n" * 50 + "a@b.co" + "," * 1000 + ",x\n")
    with pytest.raises(InvalidListError, match=r"Line 52 of .* has 1,002 cells"):
        list(open_table(path, spool=tmp_path).rows())
    path.write_text(f"email,{names}\n" + "".join(f"a{number}@b.co\n" for number in range(50)))
    table = open_table(path, spool=tmp_path)
    assert [row[0] for row in table.rows()] == [f"a{number}@b.co" for number in range(50)]
    assert table.short == 50

"""Frames of pandas and polars as lists: their columns, their missing values, and their order."""

import datetime as dt
import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from bulkverify import InvalidListError, UsageError
from bulkverify.lists import Table, open_table
from bulkverify.lists.frames import frame_rows
from bulkverify.lists.tables import digest_of

array: Any = pd.array  # the stubs know fewer values than these functions
to_datetime: Any = pd.to_datetime

ROOT = Path(__file__).parents[2]
A, B, C = "a@x.com", "b@x.com", "c@x.com"
DAY = dt.datetime(2024, 1, 2)  # noqa: DTZ001 - as in most frames
NOON = dt.datetime(2024, 1, 2, 12, 30)  # noqa: DTZ001 - likewise


def rows_of(frame: object) -> list[Mapping[str, object]]:
    rows = frame_rows(frame)
    assert rows is not None
    return list(rows)


def read(frame: Any, folder: Path, **options: Any) -> Table:  # noqa: ANN401 - any frame
    return open_table(frame, spool=folder, **options)


def column(values: object) -> list[object]:
    """Return the values of a column as they are written."""
    return [row["x"] for row in rows_of(pd.DataFrame({"x": values}))]


PANDAS: dict[str, tuple[object, list[object]]] = {
    "text": ([A, None, np.nan, pd.NA], [A, None, None, None]),
    "str": (array([A, None], dtype="string"), [A, None]),
    "whole": ([1, 2], [1, 2]),
    "whole, one missing": ([1, np.nan, 3], [1, None, 3]),
    "whole, very large": ([1e20, np.nan], [1e20, None]),
    "nullable": (array([1, None], dtype="Int64"), [1, None]),
    "nullable float": (array([1.5, None], dtype="Float64"), [1.5, None]),
    "float": ([1.0, 2.5, np.nan], [1.0, 2.5, None]),
    "float of whole numbers": ([1.0, 2.0], [1.0, 2.0]),
    "short float": (np.array([0.1, 16777217, np.nan, 1 / 3], dtype="float32"), [0.1, 16777216.0, None, 0.33333334]),
    "infinite": ([1.5, float("inf"), float("-inf")], [1.5, "inf", "-inf"]),
    "truth": (array([True, None], dtype="boolean"), [True, None]),
    "days": (to_datetime([DAY, None]), ["2024-01-02", None]),
    "moments": (to_datetime([DAY, NOON]), ["2024-01-02 00:00:00", "2024-01-02 12:30:00"]),
    "moments with a zone": (to_datetime([DAY], utc=True), ["2024-01-02 00:00:00+00:00"]),
    "no moments": (to_datetime([None, None]), [None, None]),
    "dates": ([DAY.date(), None], ["2024-01-02", None]),
    "spans": (pd.to_timedelta([90, None], unit="min"), ["0 days 01:30:00", None]),
    "categories": (pd.Categorical(["x", None, "y"]), ["x", None, "y"]),
    "sparse": (pd.arrays.SparseArray([1.0, np.nan]), [1, None]),
    "arrow": (array([1, None], dtype="int64[pyarrow]"), [1, None]),
    "arrow text": (array([A, None], dtype="string[pyarrow]"), [A, None]),
    "arrow float": (array([1.0, 1.5, None], dtype="float64[pyarrow]"), [1.0, 1.5, None]),
    "arrow short float": (array([0.1, None], dtype="float32[pyarrow]"), [0.1, None]),
    "arrow moments": (array([DAY, None], dtype="timestamp[us][pyarrow]"), ["2024-01-02", None]),
    "arrow zone": (array([DAY], dtype="timestamp[us, UTC][pyarrow]"), ["2024-01-02 00:00:00+00:00"]),
    "arrow dates": (array([DAY.date(), None], dtype="date32[pyarrow]"), ["2024-01-02", None]),
}  # fmt: skip


@pytest.mark.parametrize("name", PANDAS)
def test_a_column_of_pandas_is_written_as_people_see_it(name: str) -> None:
    values, written = PANDAS[name]
    found = column(values)
    assert found == written
    assert list(map(type, found)) == list(map(type, written))


POLARS: dict[str, tuple[pl.Series, list[object]]] = {
    "text": (pl.Series([A, None]), [A, None]),
    "whole": (pl.Series([1, None]), [1, None]),
    "float": (pl.Series([1.0, None, float("nan"), float("inf")]), [1.0, None, None, "inf"]),
    "short float": (pl.Series([0.1, None], dtype=pl.Float32), [0.1, None]),
    "truth": (pl.Series([True, None]), [True, None]),
    "dates": (pl.Series([DAY.date(), None]), ["2024-01-02", None]),
    "moments": (pl.Series([NOON, None]), ["2024-01-02 12:30:00", None]),
    "times": (pl.Series([dt.time(1, 2, 3)]), ["01:02:03"]),
    "categories": (pl.Series(["x", None], dtype=pl.Categorical), ["x", None]),
    "enum": (pl.Series(["x", None], dtype=pl.Enum(["x"])), ["x", None]),
    "lists": (pl.Series([[1, 2], None]), [[1, 2], None]),
    "structs": (pl.Series([{"a": 1}, None]), [{"a": 1}, None]),
    "nothing": (pl.Series([None, None]), [None, None]),
}


@pytest.mark.parametrize("name", POLARS)
def test_a_column_of_polars_is_written_as_people_see_it(name: str) -> None:
    values, written = POLARS[name]
    found = [row["x"] for row in rows_of(pl.DataFrame({"x": values}))]
    assert found == written
    assert list(map(type, found)) == list(map(type, written))


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame])
def test_odd_values_become_text_or_json(tmp_path: Path, make: Any) -> None:  # noqa: ANN401 - a class
    cells = []
    for place, odd in enumerate(
        [
            Decimal("1.10"),
            b"ab",
            [1, float("nan")],
            {"when": DAY},
            {"b", "a"},
            np.int64(7),
            pd.Period("2024-01"),
        ]
    ):
        values = pl.Series([odd], dtype=pl.Object) if make is pl.DataFrame else [odd]
        folder = tmp_path / str(place)
        folder.mkdir()
        cells += next(read(make({"email": [A], "x": values}), folder).rows())[1:]
    assert cells == [
        "1.10",
        "b'ab'",
        "[1, null]",
        '{"when": "2024-01-02T00:00:00"}',
        '["a", "b"]',
        "7",
        "2024-01",
    ]


FRAMES: dict[str, Callable[[Any], Any]] = {
    "pandas": pd.DataFrame,
    "pandas with arrow": lambda data: pd.DataFrame(data).convert_dtypes(dtype_backend="pyarrow"),
    "polars": pl.DataFrame,
}


@pytest.mark.parametrize("kind", FRAMES)
def test_a_frame_is_read_by_its_columns(tmp_path: Path, kind: str) -> None:
    frame = FRAMES[kind]({"name": ["Anna", "Bo", None], "Mail": [A, None, B], "n": [1, 2, 3]})
    table = read(frame, tmp_path)
    assert (table.names, table.column) == (("name", "Mail", "n"), 1)
    assert list(table.rows()) == [["Anna", A, "1"], ["Bo", "", "2"], ["", B, "3"]]


@pytest.mark.parametrize("kind", FRAMES)
def test_the_column_may_be_named_or_counted(tmp_path: Path, kind: str) -> None:
    frame = FRAMES[kind]({"from": [A], "to": [B]})
    with pytest.raises(InvalidListError, match="several columns"):
        read(frame, tmp_path)
    for number, column in enumerate(("to", "2")):
        (tmp_path / str(number)).mkdir()
        assert read(frame, tmp_path / str(number), column=column).column == 1


@pytest.mark.parametrize("kind", FRAMES)
def test_a_frame_without_rows_or_addresses_is_refused(tmp_path: Path, kind: str) -> None:
    for number, data in enumerate(({"email": []}, {}, {"name": ["x", "y"]})):
        (tmp_path / str(number)).mkdir()
        with pytest.raises(InvalidListError):
            read(FRAMES[kind](data), tmp_path / str(number))


@pytest.mark.parametrize(
    "series",
    [
        pd.Series([A, None, B]),
        pd.Series([A, np.nan, B], name="mail", index=[5, 5, 1]),
        pl.Series([A, None, B]),
        pl.Series("mail", [A, None, B]),
        pd.Index([A, None, B]),
        [A, None, B],
        [A, float("nan"), B],
        [A, pd.NA, B],
        np.array([A, "", B]),
    ],
    ids=lambda series: f"{type(series).__module__}.{type(series).__name__}",
)
def test_a_series_is_a_list_of_addresses(tmp_path: Path, series: Any) -> None:  # noqa: ANN401 - any of them
    table = read(series, tmp_path)
    assert table.names[table.column] == (getattr(series, "name", "") or "email")
    assert list(table.rows()) == [[A], [""], [B]]


def test_a_series_of_counts_has_its_addresses_in_the_index(tmp_path: Path) -> None:
    counts = pd.DataFrame({"email": [A, B, A]})["email"].value_counts()
    assert list(read(counts, tmp_path).rows()) == [[A, "2"], [B, "1"]]


NAMED = pd.DataFrame({"n": [1, 2], "email": [A, B]})
INDEXES: dict[str, tuple[pd.DataFrame, tuple[str, ...]]] = {
    "numbers": (NAMED, ("n", "email")),
    "numbers after a filter": (NAMED[NAMED["n"] > 1], ("n", "email")),
    "a name": (NAMED.set_index("n"), ("n", "email")),
    "addresses": (NAMED.set_index("email"), ("email", "n")),
    "texts without a name": (NAMED.set_axis(["p", "q"]), ("index", "n", "email")),
    "levels": (NAMED.set_index(["n", "email"]).assign(x=1), ("n", "email", "x")),
    "levels, one named": (NAMED.set_index([pd.Index([8, 9]), "n"]), ("n", "email")),
    "a name that a column has": (NAMED.rename_axis("n"), ("n", "n_2", "email")),
    "a name that the address has": (NAMED.set_index("email").assign(n=1), ("email", "n")),
}


@pytest.mark.parametrize("name", INDEXES)
def test_an_index_is_written_if_it_says_something(tmp_path: Path, name: str) -> None:
    frame, names = INDEXES[name]
    before = frame.copy()
    assert read(frame, tmp_path).names == names
    pd.testing.assert_frame_equal(frame, before)


def test_names_of_columns_become_text_and_are_told_apart(tmp_path: Path) -> None:
    frame = pd.DataFrame([[A, 1, 2, 3, 4]], columns=[7, "x", "x", None, DAY])
    assert read(frame, tmp_path).names == ("7", "x", "x_2", "None", "2024-01-02 00:00:00")


def test_levels_of_names_are_joined(tmp_path: Path) -> None:
    frame = pd.DataFrame([[A, 1]], columns=pd.MultiIndex.from_tuples([("to", "email"), ("n", "")]))
    table = read(frame, tmp_path)
    assert (table.names, table.column) == (("to_email", "n"), 0)


def test_a_pivot_of_frames_is_read(tmp_path: Path) -> None:
    frame = pd.DataFrame({"email": [A, A, B], "k": [1, 2, 1], "v": [3, 4, 5]})
    table = read(frame.pivot_table(index="email", columns="k", values=["v"]), tmp_path)
    assert table.names == ("email", "v_1", "v_2")
    assert list(table.rows()) == [[A, "3.0", "4"], [B, "5.0", ""]]


def test_a_lazy_frame_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"Pass `frame\.collect\(\)`"):
        read(pl.LazyFrame({"email": [A]}), tmp_path)


@pytest.mark.parametrize("rows", [1, 9_999, 10_000, 10_001, 25_000])
@pytest.mark.parametrize("kind", FRAMES)
def test_a_long_frame_keeps_its_order(kind: str, rows: int) -> None:
    frame = FRAMES[kind]({"n": range(rows), "email": [f"u{n}@x.com" for n in range(rows)]})
    found = rows_of(frame)
    assert [row["n"] for row in found] == list(range(rows))
    assert found[-1] == {"n": rows - 1, "email": f"u{rows - 1}@x.com"}


def test_missing_values_of_mappings_are_blank_too(tmp_path: Path) -> None:
    frame = pd.DataFrame({"email": [A, B], "x": [1.5, np.nan], "when": [DAY, pd.NaT]})
    rows: Any = [*frame.to_dict("records"), {"email": C, "x": pd.NA, "when": [np.nan]}]
    table = read(rows, tmp_path)
    assert [row[1:] for row in table.rows()] == [
        ["1.5", "2024-01-02T00:00:00"],
        ["", ""],
        ["", "[null]"],
    ]


PROGRAM = """
import tempfile
from pathlib import Path
import pandas as pd, polars as pl
from bulkverify.lists import open_table
from bulkverify.lists.tables import digest_of
data = {"email": ["a@x.com", None, "b@x.com"], "n": [1.5, None, 3]}
for frame in (pd.DataFrame({**data, "s": [{"x", "y", "z"}, None, None]}), pl.DataFrame(data)):
    print(digest_of(open_table(frame, spool=Path(tempfile.mkdtemp()))))
"""


def test_the_same_frame_is_the_same_list_in_another_process() -> None:
    digests = {
        subprocess.run(  # noqa: S603 - ours
            [sys.executable, "-c", PROGRAM],
            env={"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    [digest] = digests
    assert len({*digest.split()}) == 2


def test_a_frame_that_has_changed_is_another_list(tmp_path: Path) -> None:
    frame = pd.DataFrame({"email": [A, B]})
    digests = set()
    for number, one in enumerate((frame, frame[::-1], frame.assign(n=1), frame)):
        (tmp_path / str(number)).mkdir()
        digests.add(digest_of(read(one, tmp_path / str(number))))
    assert len(digests) == 3


def test_neither_library_is_imported() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, bulkverify.run.verify, bulkverify.lists.frames as frames\nframes.frame_rows([])\n"  # noqa: ISC004
            "print({'pandas', 'polars', 'numpy', 'pyarrow'} & {*sys.modules})",
        ],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "set()\n"


def test_rows_of_a_frame_are_json() -> None:
    frame = pd.DataFrame({"email": [A, None], "x": [float("inf"), float("nan")]})
    for row in rows_of(frame):
        assert json.loads(json.dumps(row, allow_nan=False)) == row

"""Frames of pandas and polars as rows. Neither library is imported here: who has a frame has imported it."""

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from functools import partial
from struct import pack
from typing import Any, Final, Protocol, TypeAlias

from bulkverify.errors import UsageError
from bulkverify.lists.jsonlines import ADDRESS_KEY
from bulkverify.results.rows import unique_names

_ROWS_AT_ONCE: Final = 10_000
_LARGEST_WHOLE_FLOAT: Final = 10.0**15
_MOMENTS: Final = re.compile(
    r"(?:datetime64|timestamp)\[\w+\](?:\[pyarrow\])?"
)  # without a time zone
_PLAIN: Final = frozenset({str, int, bool, type(None)})

_Values: TypeAlias = list[Any]


class Frame(Protocol):
    """A frame or a series of pandas or polars."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The number of rows, and of columns."""
        ...

    def head(self, n: int = ..., /) -> object:
        """Return the first rows."""


def frame_rows(source: object) -> Iterator[Mapping[str, object]] | None:
    """Return the rows of a frame or a series; `None` for any other object.

    Numbers and truth values keep their type, dates become the text that people see, and missing values
    (NaN, NaT, NA, null) become `None`. Repeated names of columns are numbered.

    The index of pandas comes first, if it has a name, or if it is not made of whole numbers.
    """
    if (pandas := sys.modules.get("pandas")) and isinstance(
        source, pandas.DataFrame | pandas.Series
    ):
        return _pandas_rows(pandas, source)
    if polars := sys.modules.get("polars"):
        if isinstance(source, polars.LazyFrame):
            raise UsageError("A LazyFrame has no rows before it is collected.").with_hint(
                "Pass `frame.collect()`.", "Write it to a file, and name that."
            )
        if isinstance(source, polars.DataFrame | polars.Series):
            return _polars_rows(polars, source)
    return None


def _pandas_rows(pandas: Any, frame: Any) -> Iterator[dict[str, object]]:  # noqa: ANN401 - not imported
    if isinstance(frame, pandas.Series):
        frame = frame.to_frame(ADDRESS_KEY if frame.name is None else frame.name)
    index = frame.index
    kept = [
        level
        for level, name in enumerate(index.names)
        if name is not None or index.get_level_values(level).dtype.kind not in "iu"
    ]
    if kept:
        frame = frame.reset_index(level=kept, allow_duplicates=True)
    columns = [frame.iloc[:, place] for place in range(frame.shape[1])]
    texts = [_pandas_text(column) for column in columns]

    def values(place: int, begin: int) -> _Values:
        cells = columns[place].iloc[begin : begin + _ROWS_AT_ONCE]
        known = cells.astype(object).tolist()
        return [
            None if missing else value
            for value, missing in zip(known, cells.isna().tolist(), strict=True)
        ]

    return _rows(map(_name, frame.columns), len(frame), values, texts)


def _pandas_text(column: Any) -> Callable[[Any], object]:  # noqa: ANN401 - not imported
    """Choose how the values of a column are written."""
    kind = column.dtype.kind
    known = column.dropna()
    if _MOMENTS.fullmatch(str(column.dtype)) and (known.dt.normalize() == known).all():
        return partial(_text, dates=True)
    if kind == "f" and getattr(column.dtype, "itemsize", 8) < 8:  # noqa: PLR2004 - bytes
        return _short_float
    # Only a missing value makes pandas store whole numbers as floats.
    if kind == "f" and len(known) < len(column):
        numbers = known.to_numpy(dtype="float64")
        return partial(_text, whole=(numbers == numbers.round()).all())
    return _text


def _polars_rows(polars: Any, frame: Any) -> Iterator[dict[str, object]]:  # noqa: ANN401 - not imported
    if isinstance(frame, polars.Series):
        frame = frame.to_frame(frame.name or ADDRESS_KEY)
    texts = [_short_float if kind == polars.Float32 else _text for kind in frame.dtypes]

    def values(place: int, begin: int) -> _Values:
        cells: _Values = frame.to_series(place).slice(begin, _ROWS_AT_ONCE).to_list()
        return cells

    return _rows(frame.columns, frame.height, values, texts)


def _rows(
    names: Iterable[str],
    height: int,
    values: Callable[[int, int], _Values],
    texts: Sequence[Callable[[Any], object]],
) -> Iterator[dict[str, object]]:
    """Give the rows; `values` returns some of a column's values, from a row on."""
    unique = unique_names(names)
    for begin in range(0, height, _ROWS_AT_ONCE):
        columns = []
        for place, text in enumerate(texts):
            cells = values(place, begin)
            plain = _PLAIN.issuperset(map(type, cells))
            columns.append(cells if plain else list(map(text, cells)))
        for row in zip(*columns, strict=True):
            yield dict(zip(unique, row, strict=True))


def _name(name: object) -> str:
    """Write the name of a column; the levels of several are joined."""
    if isinstance(name, tuple):
        return "_".join(str(level) for level in name if level != "")
    return str(name)


def _text(value: Any, *, whole: bool = False, dates: bool = False) -> object:  # noqa: ANN401 - of any column
    """Return a value as JSON has it, or as people see it."""
    if isinstance(value, float):
        if value != value:  # noqa: PLR0124 - NaN
            return None
        if abs(value) == float("inf"):
            return str(value)
        return int(value) if whole and abs(value) < _LARGEST_WHOLE_FLOAT else value
    if dates and isinstance(value, datetime):
        return str(value.date())
    return str(value) if isinstance(value, date | time | timedelta) else value


def _short_float(value: float | None) -> object:
    """Write a float of 32 bits, which reads 0.10000000149011612 with the digits of 64 bits, as 0.1."""
    for digits in range(6, 10):
        if value and pack("f", short := float(f"{value:.{digits}g}")) == pack("f", value):
            return _text(short)
    return _text(value)

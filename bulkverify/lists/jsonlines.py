"""JSON Lines: an object or an address on each line."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, cast

import attrs

from bulkverify.errors import InvalidListError, clause
from bulkverify.lists.bounds import Columns, GrowthLimit
from bulkverify.lists.columns import (
    FURTHER_ROWS,
    SAMPLE_CHARACTERS,
    SAMPLE_ROWS,
    find_column,
    fold,
    holds_address,
)
from bulkverify.lists.decoding import sample_of
from bulkverify.lists.lines import text_lines
from bulkverify.lists.naming import Rank, name_meaning
from bulkverify.lists.tables import Digest, FileTable

ADDRESS_KEY: Final = "email"
"""The column of addresses that come without a name."""

_DEEPEST: Final = 100
_MOST_KEYS: Final = 5000


def _number(digits: str) -> int | str:
    """Read a whole number; one with more digits than Python reads becomes text."""
    try:
        return int(digits)
    except ValueError:
        return digits


# Numbers stay as they are written: 1.10 does not become 1.1, and large ones lose no digits.
_decode: Final = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=str).decode
_decode_exactly: Final = json.JSONDecoder(parse_int=_number).decode
_encode: Final = json.JSONEncoder(ensure_ascii=False).encode
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


class _Spellings:
    """The keys that may mean the column of addresses, such as `email` and `E-Mail`."""

    def __init__(self, wanted: str | None) -> None:
        self.keys: list[str] = []
        self.together = False
        self._wanted = None if wanted is None else fold(wanted)
        self._seen: set[str] = set()

    def add(self, keys: Iterable[str]) -> None:
        """Take new keys that mean the address; only the first few thousand keys are examined."""
        if len(self._seen) < _MOST_KEYS:
            fresh = [key for key in keys if key not in self._seen][:_MOST_KEYS]
            self._seen.update(fresh)
            self.keys += filter(self._means_it, fresh)

    def see(self, value: Mapping[str, object]) -> None:
        """Notice an object that fills two of these keys: then each is a column of its own."""
        self.together = self.together or sum(map(_is_filled, map(value.get, self.keys))) > 1

    @property
    def alike(self) -> tuple[str, ...]:
        """The spellings of one column, if there are several."""
        return () if self.together or len(self.keys) < 2 else tuple(self.keys)  # noqa: PLR2004

    def _means_it(self, key: str) -> bool:
        if self._wanted is not None:
            return fold(key) == self._wanted
        meaning = name_meaning(key)
        return meaning.rank is Rank.MAIN and meaning.number <= 1


@attrs.frozen(kw_only=True)
class JsonLines(FileTable):
    """A file of objects. Their keys are the columns, in the order of their first appearance.

    The keys `alike` are spellings of one column, which has the name of the first; no object fills two.
    """

    alike: tuple[str, ...] = ()

    def batches(self, digest: Digest | None = None) -> Iterator[list[list[str]]]:
        """Read the rows in order; a key that a line does not have becomes an empty cell."""
        places = {name: index for index, name in enumerate(self.names)}
        width = len(places)
        places |= dict.fromkeys(self.alike, places[self.alike[0]] if self.alike else 0)
        limit = GrowthLimit(self.title, self.names, [self.path])
        for lines in self._values(digest):
            for portion in limit.portions(lines):
                if width > 1:
                    limit.count_short(
                        sum(isinstance(item, str) or len(item) < width for item, _ in portion)
                    )
                yield [self._row(value, places, width, line) for value, line in portion]

    def objects(self, digest: Digest | None = None) -> Iterator[list[str]]:
        """Read the rows as they are written: each value keeps its type."""
        for lines in self._values(digest):
            yield [
                line[:-1].rstrip()
                if isinstance(value, dict)
                else _encode({ADDRESS_KEY: value or ""})[:-1]
                for value, line in lines
            ]

    def _values(self, digest: Digest | None) -> Iterator[list[tuple[str | dict[str, object], str]]]:
        return json_values(self.path, self.encoding, self.title, digest)

    def _row(
        self, value: str | dict[str, object], places: Mapping[str, int], width: int, line: str
    ) -> list[str]:
        row = [""] * width
        exact: dict[str, object] = {}
        try:
            if isinstance(value, str):
                row[places[ADDRESS_KEY]] = _cell(value)
                return row
            for name, item in value.items():
                if name in self.alike and not _is_filled(item):
                    continue
                if isinstance(item, list | dict):
                    exact = exact or _decode_exactly(line)
                    item = exact[name]  # noqa: PLW2901 - decoded again, so that numbers within it stay numbers
                row[places[name]] = _cell(item)
        except KeyError as error:
            raise InvalidListError(
                f"{self.title} has changed since it was opened: {error} is a new column."
            ) from None
        return row


def open_json_lines(
    path: Path, *, title: str, column: str | None, encoding: str, names: tuple[str, ...] = ()
) -> JsonLines:
    """Read a file of objects once to find their keys, or only its beginning if `names` holds them."""
    _, encoding = sample_of(path, encoding, title)
    columns = Columns(title, names)
    spellings = _Spellings(column)
    spellings.add(names)
    sample: list[str | dict[str, object]] = []
    has_address = False
    read = later = characters = 0
    for lines in json_values(path, encoding, title):
        for value, line in lines:
            keys = value.keys() if isinstance(value, dict) else {ADDRESS_KEY}
            if not columns.has(keys):
                columns.add(keys)
                spellings.add(keys)
            if len(spellings.keys) > 1 and isinstance(value, dict):
                spellings.see(value)
            read += 1
            if characters >= SAMPLE_CHARACTERS or later >= SAMPLE_ROWS:
                continue
            if len(sample) < SAMPLE_ROWS:
                has_address = has_address or _has_address(value)
            elif has_address or read > FURTHER_ROWS or not _has_address(value):
                continue
            else:  # the first rows have none, as in a list with few addresses
                later += 1
            sample.append(value)
            characters += len(line)
        complete = has_address or later or read > FURTHER_ROWS
        if names and len(sample) >= SAMPLE_ROWS and complete and not spellings.alike:
            break
    if not sample:
        raise InvalidListError(f"{title} is empty: a list needs at least one address.")
    alike = spellings.alike
    known = tuple(name for name in columns.names if name not in alike[1:])
    rows = [
        [_text(value, alike if name in alike else (name,)) for name in known]
        for value in sample[: 1 + SAMPLE_CHARACTERS // len(known)]
    ]
    columns_found = find_column(title, known, rows, column)
    _refuse_nested(title, known[columns_found.column], sample)
    return JsonLines(
        title=title,
        names=known,
        column=columns_found.column,
        alike=alike,
        others=columns_found.others,
        path=path,
        encoding=encoding,
    )


def _refuse_nested(title: str, key: str, sample: Sequence[str | dict[str, object]]) -> None:
    """Raise `InvalidListError` if the addresses are within objects under a key."""
    for value in sample:
        item = value.get(key) if isinstance(value, dict) else None
        for inner, cell in item.items() if isinstance(item, dict) else ():
            if isinstance(cell, str) and holds_address(cell):
                raise InvalidListError(
                    f"{title} has its addresses within objects: {inner!r} in {key!r}, such as {cell[:100]!r}. Write them "
                    f"as values of their own, as `jq -c '. + {{email: .{key}.{inner}}}'` does. Nothing was sent."
                )


def _has_address(value: str | dict[str, object]) -> bool:
    cells = value.values() if isinstance(value, dict) else (value,)
    return any(isinstance(cell, str) and holds_address(cell) for cell in cells)


def _text(value: str | dict[str, object], keys: Sequence[str]) -> str:
    if isinstance(value, str):
        return value
    return next((str(value[key]) for key in keys if value.get(key)), "")


def json_values(
    path: Path, encoding: str, title: str, digest: Digest | None = None
) -> Iterator[list[tuple[str | dict[str, object], str]]]:
    """Read the objects and texts of a file with the lines they are on, many at a time."""
    number = 0
    for lines in text_lines(path, encoding, title, digest):
        values = []
        for line in lines:
            number += 1
            stripped = line.strip()
            if not stripped:
                continue
            try:
                value = _decode(stripped)
            except json.JSONDecodeError as error:
                problem = f"{error.msg} at character {error.colno:,}"
            except RecursionError:
                problem = "it is nested too deeply"
            else:
                if _is_too_deep(value, stripped):
                    problem = "it is nested too deeply"
                elif stripped[0] in '"{':
                    values.append((value, stripped))
                    continue
                else:
                    problem = "it is neither an object nor an address"
            raise InvalidListError(
                f"Line {number:,} of {title} is not valid JSON Lines: {clause(problem)}. Write an object, such as "
                '{"email": "a@example.com"}, on each line. Nothing was sent.'
            )
        if values:
            yield values


def _is_too_deep(value: object, line: str) -> bool:
    """Whether a value is nested so deeply that writing it could fail, although it was read."""
    if line.count("{") + line.count("[") <= _DEEPEST:
        return False
    level = [value]
    for _ in range(_DEEPEST):
        inner: list[object] = []
        for holder in level:
            inner += holder.values() if isinstance(holder, dict) else cast("list[object]", holder)
        level = [item for item in inner if isinstance(item, list | dict)]
        if not level:
            return False
    return True


def _is_filled(value: object) -> bool:
    return value is not None and value != ""


def _cell(value: object) -> str:
    if isinstance(value, str):
        # Half a surrogate pair, as in a text that was cut within an emoji, can't be written as UTF-8.
        return _SURROGATE.sub("\ufffd", value)
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return _SURROGATE.sub("\ufffd", _encode(value))

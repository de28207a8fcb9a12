"""The columns of verdicts: how an output names them, and how they are found in a file.

An output has them together, behind the columns of the list. Other files may have them anywhere.
"""

import re
from collections.abc import Sequence
from operator import itemgetter
from typing import Final, TypeAlias

from bulkverify.lists.verdicts import VERDICT_COLUMNS
from bulkverify.results.rows import result_names

PREFIX: Final = "bulkverify_"
"""Stands before the name of our column if the list has one of the same name."""

_OURS: Final = re.compile(rf"((?:{PREFIX})*)({'|'.join(VERDICT_COLUMNS)})")

_Named: TypeAlias = tuple[str, int]
"""What a column holds, by its name in `VERDICT_COLUMNS` (or nothing), and how many prefixes that has."""


def verdict_names(names: Sequence[str]) -> list[str]:
    """Name our columns, each with more prefixes than such a column of the list has.

    So they are found again even if the order of the columns changes.
    """
    prefixes: dict[str, int] = dict.fromkeys(VERDICT_COLUMNS, 0)
    for name, depth in map(_named, names):
        if name:
            prefixes[name] = max(prefixes[name], depth + 1)
    return [PREFIX * depth + name for name, depth in prefixes.items()]


def places_of(names: Sequence[str]) -> dict[str, int]:
    """Return the places of a verdict, its flags and its time; empty if there is no verdict.

    If there are our columns and the service's, the last verdict counts. Of ours, it is the one with the
    most prefixes.

    The flags and the time of another verdict are never taken: they stand behind the verdict, and before the
    next one. If there is only one verdict, they may also stand before it; the time only if no flag is behind
    it. So the list's own time is not taken for ours, if that was deleted.
    """
    ours = list(map(_named, names))
    theirs = [(name, 0) for name in result_names(names)]
    both = enumerate(zip(ours, theirs, strict=True))
    verdicts = [place for place, (one, other) in both if "verdict" in {one[0], other[0]}]
    found = [_set_of(ours, verdicts), _set_of(theirs, verdicts)]
    return max(filter(None, found), key=itemgetter("verdict"), default={})


def _set_of(columns: Sequence[_Named], verdicts: Sequence[int]) -> dict[str, int]:
    most: dict[str, int] = {}
    for name, prefixes in columns:
        most[name] = max(prefixes, most.get(name, 0))
    own = [place for place, (name, prefixes) in enumerate(columns) if prefixes == most[name]]
    verdict = max((place for place in own if columns[place][0] == "verdict"), default=None)
    if verdict is None:
        return {}
    end = next((place for place in verdicts if place > verdict), len(columns))
    places = {columns[place][0]: place for place in reversed(own) if verdict <= place < end}
    if len(verdicts) == 1:
        before = {
            columns[place][0]: place
            for place in own
            if place < verdict and columns[place][1] == most["verdict"]
        }
        if len(places.keys() - {"", "verdict", "verified_at"}):
            before.pop("verified_at", None)
        places = before | places
    return {name: places[name] for name in VERDICT_COLUMNS if name in places}


def _named(name: str) -> _Named:
    found = _OURS.fullmatch(name.strip().lower())
    return ("", 0) if found is None else (found[2], len(found[1]) // len(PREFIX))

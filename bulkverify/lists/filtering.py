"""Sorts the rows of a list that has verdicts, without a change to any cell.

It reads what `join` has written, and the service's results. Columns are found by name. The text of a row
is written as it was read, in the list's own encoding.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import BinaryIO, Final, Literal

import attrs

from bulkverify.errors import UsageError
from bulkverify.lists.stopping import checkpoint
from bulkverify.lists.verdicts import FLAGS
from bulkverify.lists.verified import Key, Verified, read_key
from bulkverify.models import Verdict

_NO_ADDRESS: Final = "no address"


@attrs.frozen(kw_only=True)
class RowGroup:
    """The rows that a filter has put together."""

    name: Literal["wanted", "left out", "mail", "hold", "remove"]
    """What they are for: `mail`, `hold` and `remove` if the list was split, else `wanted` or `left out`."""
    destination: str
    """The path of their file; empty if they were not written."""
    rows: int
    """How many they are."""
    reasons: Mapping[str, int]
    """How many rows are in the group for which verdict or flag; `no address` if nothing was sent for them."""


@attrs.frozen(kw_only=True)
class FilterReport:
    """The outcome of a filter. Each row of the list is in one group."""

    rows: int
    """The rows of the list."""
    groups: tuple[RowGroup, ...]
    """The groups, in the order of their names in `RowGroup`."""


@attrs.frozen(kw_only=True)
class Rule:
    """Which rows are wanted, and whether the others are told apart."""

    only: frozenset[Verdict] | None
    without: frozenset[str]
    split: bool

    def __attrs_post_init__(self) -> None:
        """Refuse a rule that wants every row, or one that would mail to addresses that don't exist."""
        if self.split and Verdict.UNDELIVERABLE in (self.only or ()):
            raise UsageError(
                "Undeliverable rows are always among those to remove, so they can't be mailed."
            )
        if not self.split and self.only is None and not self.without:
            raise UsageError("Nothing is to be filtered.").with_hint(
                "Name verdicts in `only`, flags in `without`, or files in `hold` and `remove`.",
                "Name verdicts with --only or flags with --without, or use --split.",
            )

    @property
    def groups(self) -> tuple[Literal["wanted", "left out", "mail", "hold", "remove"], ...]:
        """The names of the groups."""
        return ("mail", "hold", "remove") if self.split else ("wanted", "left out")

    def sort(self, verdict: Verdict | str | None, flags: Sequence[str]) -> tuple[str, str]:
        """Return the group of a row with these flags, and the reason."""
        said = "no verdict" if verdict is None else str(verdict)
        if self.split and verdict is Verdict.UNDELIVERABLE:
            return "remove", said
        if self.split and "spamtrap" in flags:
            return "remove", "spamtrap"
        wanted = frozenset({Verdict.DELIVERABLE}) if self.split and self.only is None else self.only
        rest = "hold" if self.split else "left out"
        if wanted is not None and verdict not in wanted:
            return rest, said
        for flag in flags:
            if flag in self.without:
                return rest, flag.replace("_", "-")
        return ("mail" if self.split else "wanted"), said


def filter_rows(
    verified: Verified, rule: Rule, files: Mapping[str, BinaryIO]
) -> dict[str, Counter[str]]:
    """Write each row to the file of its group, and return the reasons of the rows by group.

    Raises:
        InvalidListError: a verdict or a flag can't be read; the message names the row.
        UsageError: nothing tells which rows have a flag that the rule leaves out.
    """
    missing = sorted(rule.without.difference(verified.columns))
    if missing:
        raise UsageError(
            f"{verified.title} has no column {missing[0]!r}, so {missing[0]} rows can't be left out."
        )
    sorter = _Sorter(verified, rule)
    counts: dict[str, Counter[str]] = {name: Counter() for name in rule.groups}
    for file in files.values():
        file.write(verified.mark + verified.head.encode(verified.codec))
    rows = 0
    for texts, keys in verified.batches():
        checkpoint(len(texts))
        found = sorter.sort(keys, rows)
        rows += len(texts)
        for (name, why), count in Counter(found).items():
            counts[name][why] += count
        for name, file in files.items():
            kept = [text for text, (group, _) in zip(texts, found, strict=True) if group == name]
            file.write("".join(kept).encode(verified.codec))
    sorter.check_flags()
    return counts


class _Sorter:
    """Sorts rows by their cells; equal cells are read once."""

    def __init__(self, verified: Verified, rule: Rule) -> None:
        self._verified = verified
        self._rule = rule
        self._known: dict[Key, tuple[str, str]] = {}
        self._told: set[str] = set()  # flags that some row has or has not
        self._any_verdict = False

    def sort(self, keys: list[Key], before: int) -> list[tuple[str, str]]:
        """Return the group and the reason of each row."""
        known = self._known
        for number in [place for place, key in enumerate(keys) if key not in known]:
            known[keys[number]] = self._read(keys[number], before + number + 1)
        found = [known[key] for key in keys]
        if len(known) > 1000:  # noqa: PLR2004 - there are few, unless the column is something else
            known.clear()
        return found

    def check_flags(self) -> None:
        """Raise `UsageError` if an unwanted flag is empty in all rows."""
        untold = sorted(self._rule.without - self._told)
        if self._any_verdict and untold:
            raise UsageError(
                f"The column {untold[0]!r} of {self._verified.title} is empty, so {untold[0]} rows can't be left out."
            )

    def _read(self, key: Key, row: int) -> tuple[str, str]:
        verdict, flags = read_key(self._verified.title, self._verified.columns, key, row)
        self._any_verdict = self._any_verdict or verdict is not None
        self._told.update(name for name, flag in flags.items() if flag is not None)
        group, why = self._rule.sort(verdict, [name for name in FLAGS if flags.get(name)])
        never_sent = not key[-1] and flags.get("syntax_error") and why == Verdict.UNDELIVERABLE
        return group, _NO_ADDRESS if never_sent else why

"""The outcomes of the changes, one JSON object a line, and their summary."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, Literal

import attrs

Result = Literal["noticed", "timeout", "survived", "not covered"]

_MISSED: Final[frozenset[Result]] = frozenset({"survived", "not covered"})


@attrs.frozen(kw_only=True)
class Outcome:
    """The outcome of a change.

    Attributes:
        line: its line in the unchanged file.
        by: the test that noticed it.
        tests: how many tests ran.
        cut: how many tests of the line did not run, for lack of time.
        seconds: how long it took.
    """

    number: int
    path: str
    line: int
    function: str
    operator: str
    before: str
    after: str
    result: Result
    by: str | None = None
    tests: int = 0
    cut: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        """Describe the change in one line."""
        place = f"{self.path}:{self.line} `{self.function}` [{self.operator}]"
        return f"{place}: `{self.before}` -> `{self.after}`"


def read(path: Path) -> Iterator[Outcome]:
    """Read earlier outcomes; a truncated line counts as not tried."""
    if path.exists():
        for line in path.read_text().splitlines():
            try:
                fields: dict[str, Any] = json.loads(line)
            except ValueError:
                continue
            if "result" in fields:
                yield Outcome(**fields)


def line_of(outcome: Outcome) -> str:
    """Return an outcome as a line of JSON."""
    return json.dumps(attrs.asdict(outcome)) + "\n"


def summary(outcomes: Iterable[Outcome], flaky: Iterable[str], head: str) -> str:
    """Return how many changes were noticed in each file, and list the others."""
    ordered = sorted(outcomes, key=lambda one: (one.path, one.line, one.number))
    there = Counter(one.path for one in ordered)
    missed = [one for one in ordered if one.result in _MISSED]
    missed_of = Counter(one.path for one in missed)
    timeouts = [one for one in ordered if one.result == "timeout"]
    at_import = sum(one.result == "noticed" and "::" not in (one.by or "") for one in ordered)
    noticed = len(ordered) - len(missed)
    share = f"{100 * noticed / len(ordered):.1f} %" if ordered else "none"
    lines = [
        f"# {head}",
        "",
        f"{noticed:,} of {len(ordered):,} changes noticed ({share}): {len(timeouts)} by a timeout,",
        f"{at_import} because the tests could not even be imported, the others by a test that failed.",
        "",
        "| file | noticed | of |",
        "| --- | ---: | ---: |",
        *(
            f"| {path} | {there[path] - missed_of[path]} | {there[path]} |"
            for path in sorted(there)
        ),
        "",
        "## Not noticed",
        "",
    ]
    for one in missed:
        why = ", no test runs it" if one.result == "not covered" else ""
        cut = f", {one.cut} slower tests left out" if one.cut else ""
        lines.append(f"- {one} ({one.tests} tests{why}{cut})")
    lines += ["", "## Timeouts", "", *(f"- {one} ({one.by})" for one in timeouts)]
    lines += ["", "## Tests that fail on the unchanged code", "", *(f"- {test}" for test in flaky)]
    return "\n".join(lines) + "\n"

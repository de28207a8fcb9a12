"""The tests to try against a change, and their order."""

import ast
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Final

from .drawing import Change
from .measuring import Measured

_AT_FIRST: Final = 2
"""How many rows of a parametrized test come before other tests that are as near."""


class Selection:
    """Finds the tests that could notice a change."""

    def __init__(self, measured: Measured, sources: Mapping[str, bytes]) -> None:
        """Find the lines that use each name."""
        self._measured = measured
        self._uses: defaultdict[str, set[tuple[str, int]]] = defaultdict(set)
        for path, source in sources.items():
            for node in ast.walk(ast.parse(source)):
                match node:
                    case ast.Name(id=name, ctx=ast.Load()) | ast.Attribute(attr=name):
                        self._uses[name].add((path, node.lineno))
        files = measured.lines.values()
        at_work = {test for lines in files for tests in lines.values() for test in tests}
        self._idle = set(measured.seconds) - at_work
        """The tests that run no line of the package; they check its constants."""

    def of(self, change: Change) -> list[str]:
        """Return the tests that run the changed code, the nearest and fastest first.

        Code that runs at import has all tests of the file, and those that run no line of the package;
        tests of lines that use the changed names come first.
        """
        lines = self._measured.lines.get(change.path, {})
        file = self._idle.union(*lines.values())
        if change.body is not None:
            if change.lines[0] < change.body[0]:  # a default value of an argument
                tests = self._running(change.path, change.body)
            else:
                tests = self._running(change.path, change.lines)
                tests = tests or self._running(change.path, change.statement)
            first = self._ordered(change.path, tests)
            if self._measured.imported.get(change.path, frozenset()).isdisjoint(
                range(change.lines[0], change.lines[1] + 1)
            ):
                return first
            return first + self._ordered(change.path, file - tests)
        near: set[str] = set()
        for name in change.names:
            for path, line in self._uses[name]:
                near |= self._running(path, (line, line))
        return self._ordered(change.path, near) + self._ordered(change.path, file - near)

    def _running(self, path: str, lines: tuple[int, int]) -> set[str]:
        found = self._measured.lines.get(path, {})
        return set().union(*(found.get(line, ()) for line in range(lines[0], lines[1] + 1)))

    def _ordered(self, path: str, tests: Iterable[str]) -> list[str]:
        seconds = self._measured.seconds
        wanted = f"test_{PurePosixPath(path).stem}.py"
        rows: Counter[str] = Counter()
        keys: dict[str, tuple[int, bool, float, str]] = {}
        for test in sorted(tests, key=lambda test: (seconds[test], test)):
            function = test.partition("[")[0]
            keys[test] = (
                rows[function] // _AT_FIRST,
                PurePosixPath(test.partition("::")[0]).name != wanted,
                seconds[test],
                test,
            )
            rows[function] += 1
        return sorted(keys, key=keys.__getitem__)

"""The tests on the unchanged code: their times, the lines they run, and whether they always pass."""

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import attrs
import coverage

from .recorder import LINES, TARGET
from .trees import OPTIONS, PACKAGE, Tree, environment
from .trying import at_once, attempt

_UNKNOWN_SECONDS: Final = 10.0


@attrs.frozen(kw_only=True)
class Measured:
    """The measurements of the tests.

    Attributes:
        seconds: the time of each test that always passes.
        flaky: the tests that failed on the unchanged code, which are left out.
        lines: for each file of the package, the tests of each line.
        imported: for each file, the lines that run outside of tests, mostly at import.
    """

    seconds: dict[str, float]
    flaky: list[str]
    lines: dict[str, dict[int, frozenset[str]]]
    imported: dict[str, frozenset[int]]

    def expected(self, test: str) -> float:
        """Return how many seconds a test should take."""
        return self.seconds.get(test, _UNKNOWN_SECONDS)


def measure(trees: Sequence[Tree], *, runs: int, without: Sequence[str]) -> Measured:
    """Run all tests once under coverage, and `runs` times as they run for a change.

    The result is kept for the same code and tests.

    Args:
        trees: copies of the worktree, which share the tests.
        runs: how often the tests run on the unchanged code.
        without: folders or files of tests, such as `tests/cli`, to leave out.
    """
    known = trees[0].work / "tests.json"
    digest = f"{_digest(trees[0].root)} {' '.join(sorted(without))}"
    if known.exists():
        kept = json.loads(known.read_text())
        if kept["digest"] == digest:
            return _read(kept)
    shares, lines = _with_lines(trees, without)
    seconds: dict[str, float] = {}
    failed: set[str] = set()
    for _ in range(runs):
        for share, found in zip(shares, _unchanged(trees, shares), strict=True):
            seconds |= found["seconds"]
            failed.update(found["failed"], set(share).difference(found["seconds"]))
    passing = {test: round(spent, 4) for test, spent in seconds.items() if test not in failed}
    numbers = {test: number for number, test in enumerate(passing)}
    kept = {
        "digest": digest,
        "seconds": passing,
        "flaky": sorted(failed),
        "lines": {
            path: {
                line: sorted({numbers[test] for test in tests if test in numbers})
                for line, tests in found.items()
            }
            for path, found in lines.items()
        },
        "imported": {
            path: [line for line, tests in found.items() if "" in tests]
            for path, found in lines.items()
        },
    }
    known.write_text(json.dumps(kept))
    return _read(json.loads(known.read_text()))


def _read(kept: Mapping[str, Any]) -> Measured:
    names = list(kept["seconds"])
    return Measured(
        seconds=kept["seconds"],
        flaky=kept["flaky"],
        lines={
            path: {
                int(line): frozenset(names[number] for number in tests)
                for line, tests in found.items()
            }
            for path, found in kept["lines"].items()
        },
        imported={path: frozenset(lines) for path, lines in kept["imported"].items()},
    )


def _digest(root: Path) -> str:
    """Return a digest of everything that the measurement depends on."""
    digest = sha256()
    for path in sorted(root.rglob("*.py")):
        if not path.is_relative_to(root / "tests" / "mutation"):
            digest.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def _with_lines(
    trees: Sequence[Tree], without: Sequence[str]
) -> tuple[list[list[str]], dict[str, dict[int, list[str]]]]:
    """Run all tests under coverage, distributed by file; return the results and the lines."""
    folder = trees[0].work / "lines"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    root = trees[0].root
    files = [
        str(path)
        for path in sorted((root / "tests").rglob("test_*.py"))
        if not any(path.is_relative_to(root / one) for one in ("tests/mutation", *without))
    ]
    running = []
    for tree in trees:
        target = tree.work / f"measured-{tree.number}.json"
        target.unlink(missing_ok=True)
        temporary = f"--basetemp={tree.work}/measured-{tree.number}"
        share = files[tree.number :: len(trees)]
        command = [sys.executable, "-m", "pytest", "-p", "tests.mutation.recorder", *OPTIONS]
        with tree.said.open("w") as said:
            process = subprocess.Popen(  # noqa: S603 - our own tests
                [*command, temporary, *share],
                cwd=root,
                env=environment(root) | {TARGET: str(target), LINES: str(folder)},
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
            )
        running.append((process, target, tree.said))
    shares = []
    for process, target, said_in in running:
        process.wait()
        if not target.exists():
            raise RuntimeError(f"the tests do not run; see {said_in}")
        shares.append(json.loads(target.read_text()))
    return shares, _combined(folder, root)


def _unchanged(trees: Sequence[Tree], shares: Sequence[Sequence[str]]) -> list[dict[str, Any]]:
    """Run the tests as for a change, but on the unchanged code."""

    def run(tree: Tree) -> None:
        tried = attempt(tree, shares[tree.number], lambda _: _UNKNOWN_SECONDS, first=False)
        found = {"seconds": tried.seconds, "failed": tried.failed}
        _result_of(tree).write_text(json.dumps(found))

    at_once(trees, run)
    return [json.loads(_result_of(tree).read_text()) for tree in trees]


def _result_of(tree: Tree) -> Path:
    return tree.work / f"unchanged-{tree.number}.json"


def _combined(folder: Path, root: Path) -> dict[str, dict[int, list[str]]]:
    """Return the lines that all processes ran, by file, with their tests."""
    combined = coverage.Coverage(data_file=str(folder / "lines"), config_file=False)
    combined.combine(data_paths=[str(folder)], keep=True)
    data = combined.get_data()
    return {
        Path(path).relative_to(root / PACKAGE).as_posix(): data.contexts_by_lineno(path)
        for path in data.measured_files()
    }

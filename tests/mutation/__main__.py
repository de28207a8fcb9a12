"""`python -m tests.mutation --count 1000 --seed 1`: change the code a little, and see whether a test notices."""

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import attrs

from . import report
from .drawing import Change, draw, modules
from .measuring import Measured, measure
from .report import Outcome, Result
from .selecting import Selection
from .trees import PACKAGE, Tree, copied
from .trying import Tried, at_once, attempt, warm_up

ROOT: Final = Path(__file__).parents[2]
LEFT_OUT: Final = ("cli", "sandbox", "testing", "__init__.py", "_version.py")
FIRST_TESTS: Final = 24
"""The nearest tests notice most changes, and few files have to be imported for them."""


@attrs.frozen(kw_only=True)
class Limits:
    """How much is tried for one change; seconds are those that its tests should take."""

    seconds: float
    again: float
    tests: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw the changes, try each, and write the summary."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="of the draw")
    parser.add_argument("--count", type=int, default=1000, help="how many changes")
    parser.add_argument("--most", type=int, default=45, help="of one file")
    parser.add_argument("--jobs", type=int, default=2, help="at once")
    parser.add_argument("--runs", type=int, default=2, help="of the unchanged code beforehand")
    parser.add_argument(
        "--seconds", type=float, default=20.0, help="of tests for a change at first"
    )
    parser.add_argument(
        "--again", type=float, default=60.0, help="of tests if none of them noticed"
    )
    parser.add_argument("--tests", type=int, default=400, help="for a change at first")
    parser.add_argument("--work", type=Path, default=Path("/dev/shm/mutation"))  # noqa: S108 - created here
    parser.add_argument("--resume", action="store_true", help="go on with what is in --work")
    parser.add_argument("--list", action="store_true", help="only show what would be changed")
    parser.add_argument("--without", nargs="*", default=LEFT_OUT, help="files or folders left out")
    parser.add_argument("--ignore", nargs="*", default=(), help="tests left out, as `tests/cli`")
    parser.add_argument(
        "only", nargs="*", help="files or folders of the package; all others left out"
    )
    options = parser.parse_args(arguments)
    jobs = 0 if options.list else options.jobs
    options.work.mkdir(parents=True, exist_ok=True)
    trees = [copied(ROOT, options.work, number) for number in range(jobs)]
    package = (trees[0].root if trees else ROOT) / PACKAGE
    sources = modules(package, options.only, options.without)
    drawn, there = draw(sources, seed=options.seed, count=options.count, most=options.most)
    head = f"{len(drawn):,} of {there:,} possible changes, seed {options.seed}"
    if options.list:
        sys.stdout.writelines(f"{change}\n" for change in drawn)
        return 0
    for tree in trees:
        warm_up(tree)
    measured = measure(trees, runs=options.runs, without=options.ignore)
    _say(f"{head}; {len(measured.seconds):,} tests, {len(measured.flaky)} of them left out")
    limits = Limits(seconds=options.seconds, again=options.again, tests=options.tests)
    results = options.work / f"changes-{options.seed}.jsonl"
    if not options.resume:
        results.unlink(missing_ok=True)
    _try_all(trees, drawn, Trial(measured, modules(package, (), ()), limits), results)
    outcomes = {one.number: one for one in report.read(results) if _is(one, drawn)}
    text = report.summary(outcomes.values(), measured.flaky, head)
    results.with_suffix(".md").write_text(text)
    _say(text)
    return 0


class Trial:
    """Tries the changes one by one."""

    def __init__(self, measured: Measured, sources: dict[str, bytes], limits: Limits) -> None:
        """Keep the measurements of the tests."""
        self._measured = measured
        self._sources = sources
        self._limits = limits
        self._selection = Selection(measured, sources)

    def outcome(self, number: int, change: Change, tree: Tree) -> Outcome:
        """Try a change."""
        begun = time.monotonic()
        tests = self._selection.of(change)
        first = self._affordable(tests[: self._limits.tests], self._limits.seconds)
        more = self._affordable(tests[len(first) :], self._limits.again)
        ran = 0
        tried = Tried(noticed=None)
        with tree.changed(change.path, change.applied(self._sources[change.path])):
            for some in (first[:FIRST_TESTS], first[FIRST_TESTS:], more):
                if some and tried.noticed is None:
                    tried = attempt(tree, some, self._measured.expected)
                    ran += len(some)
        result: Result = "survived" if tests else "not covered"
        if tried.noticed is not None:
            result = "timeout" if tried.timeout else "noticed"
        return Outcome(
            number=number,
            path=change.path,
            line=change.lines[0],
            function=change.function,
            operator=change.operator,
            before=change.before,
            after=change.after,
            result=result,
            by=tried.noticed,
            tests=ran,
            cut=len(tests) - ran if tried.noticed is None else 0,
            seconds=round(time.monotonic() - begun, 2),
        )

    def _affordable(self, tests: Sequence[str], seconds: float) -> list[str]:
        """Return the first tests that fit into the time."""
        spent = 0.0
        for number, test in enumerate(tests):
            spent += self._measured.expected(test)
            if spent > seconds:
                return list(tests[:number])
        return list(tests)


def _try_all(trees: Sequence[Tree], drawn: Sequence[Change], trial: Trial, results: Path) -> None:
    known = {one.number for one in report.read(results) if _is(one, drawn)}
    left = [number for number in range(len(drawn)) if number not in known]
    turn = multiprocessing.get_context("fork").Value("i", 0)
    begun = time.monotonic()

    def work(tree: Tree) -> None:
        while True:
            with turn.get_lock():
                index = turn.value
                turn.value += 1
            if index >= len(left):
                return
            number = left[index]
            outcome = trial.outcome(number, drawn[number], tree)
            target = os.open(results, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            os.write(target, report.line_of(outcome).encode())
            os.close(target)
            pace = (index + 1) / (time.monotonic() - begun) * 60
            shown = (
                f"{index + 1}/{len(left)} {pace:.0f}/min {outcome.seconds:5.1f} s {outcome.result}"
            )
            _say(f"{shown}: {outcome}" + (f"  <- {outcome.by}" if outcome.by else ""))

    at_once(trees, work)


def _is(outcome: Outcome, drawn: Sequence[Change]) -> bool:
    """Return whether an outcome belongs to this change and this version of the code."""
    return outcome.number < len(drawn) and str(outcome) == str(drawn[outcome.number])


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())

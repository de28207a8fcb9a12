"""`python -m tests.exhaustive` runs all cases, counts them and prints the broken promises.

`--case` runs a single case again, by the name that is printed with the promise.
"""

import argparse
import gc
import multiprocessing
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Iterable
from functools import partial

import attrs

from . import kills, product
from .product import Case, Result, firsts, run
from .world import VARIANTS

_REPORT_EVERY = 1000
_SHOWN = 3
_VARYING = re.compile(r"[0-9a-z]{32,}|[0-9a-f]{8}(?=\.part)|/dev/shm/[^ ]*|[0-9.]+")


@attrs.define
class Tally:
    """Counts the cases of each kind, and groups similar broken promises."""

    counts: Counter[str] = attrs.field(factory=Counter)
    broken: dict[str, list[str]] = attrs.field(factory=dict)
    began: float = attrs.field(factory=time.monotonic)

    def add(self, kind: str, case: object, broken: Iterable[str]) -> None:
        """Count a case."""
        self.counts[kind] += 1
        self.counts["all"] += 1
        for promise in broken:
            alike = self.broken.setdefault(_VARYING.sub("_", promise)[:80], [])
            alike.append(f"--case {str(case)!r}: {promise[:400]}")
            if len(alike) <= _SHOWN:
                sys.stdout.write(f"BROKEN {alike[-1]}\n")
        if self.counts["all"] % _REPORT_EVERY == 0:
            sys.stdout.write(f"{self.counts['all']:,} cases, {self.all_broken} promises broken\n")
        sys.stdout.flush()

    def is_late(self, minutes: float | None) -> bool:
        """Return whether this many minutes have passed."""
        return minutes is not None and time.monotonic() - self.began > 60 * minutes

    @property
    def all_broken(self) -> int:
        """The number of broken promises."""
        return sum(map(len, self.broken.values()))

    def __str__(self) -> str:
        """Return the summary as lines."""
        lines = [f"{count:9,}  {kind}" for kind, count in sorted(self.counts.items())]
        lines += [f"{len(alike):9,}  broken: {kind}" for kind, alike in self.broken.items()]
        return "\n".join([*lines, f"{self.all_broken:,} promises broken"])


def main() -> int:
    """Run the cases; return 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.exhaustive", description=__doc__)
    parser.add_argument("--jobs", type=int, default=2, help="how many processes")
    parser.add_argument("--part", choices=("faults", "kills"), help="only one of the two parts")
    parser.add_argument("--variant", action="append", help="only runs of this kind")
    parser.add_argument(
        "--each",
        action="store_true",
        help="two mishaps in a row of every text, not one of each kind",
    )
    parser.add_argument("--sample", type=int, help="only so many of each part")
    parser.add_argument("--seed", type=int, default=1, help="which ones")
    parser.add_argument("--minutes", type=float, help="stop after so long, and say so")
    parser.add_argument("--case", help="only this case")
    options = parser.parse_args()
    tally = Tally()
    if options.case is not None:
        _one(options.case, tally)
    else:
        _all(options, tally)
    sys.stdout.write(f"{tally}, in {time.monotonic() - tally.began:.0f} s\n")
    return int(bool(tally.broken))


def _all(options: argparse.Namespace, tally: Tally) -> None:
    sample = None if options.sample is None else random.Random(options.seed)  # noqa: S311 - a test
    count = options.sample or 0
    if options.part != "kills":
        names = [name for name in options.variant or VARIANTS if name in VARIANTS]
        cases = [case for name in names for case in firsts(name)]
        work = partial(product.run_all, each=options.each)
        if sample is not None:
            cases, work = sample.sample(cases, min(count, len(cases))), partial(product.run_sample)
        context = multiprocessing.get_context("fork")
        with context.Pool(options.jobs, _collect_rarely, maxtasksperchild=40) as pool:
            for results in pool.imap(work, cases):
                for result in results:
                    _count(result, tally)
                if tally.is_late(options.minutes):
                    tally.counts[f"NOT DONE: all after {results[0].case}"] += 1
                    return
    if options.part != "faults":
        names = options.variant or list(kills.VARIANTS)
        for case, promises in kills.run_all(names, options.jobs, sample, count):
            tally.add(f"kills: {case.variant}, {case.kind}", case, promises)
            if tally.is_late(options.minutes):
                tally.counts[f"NOT DONE: all after about {case}"] += 1
                return


def _collect_rarely() -> None:
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000)


def _one(text: str, tally: Tally) -> None:
    if text.startswith("kill/"):
        case = kills.Case.parse(text)
        tally.add("kills", case, kills.run_one(case))
    else:
        result = run(Case.parse(text))
        sys.stdout.write(f"{result.outcome}\n")
        _count(result, tally)


def _count(result: Result, tally: Tally) -> None:
    kind = ("one mishap", "two mishaps")[len(result.case.names) - 1]
    tally.add(f"faults: {result.case.variant}, {kind}", result.case, result.broken)
    tally.counts[f"calls made: {result.calls}"] += 1
    if result.denied:
        tally.counts["faults: done and denied by the service, so rightly done again"] += 1
    if not result.took_effect:
        tally.counts["faults: without effect (an ended list, another request than before)"] += 1


if __name__ == "__main__":
    sys.exit(main())

"""How sensitive the default pacing is to each of its numbers, made smaller and larger by a quarter.

Run with `python -m benchmarks.pacing_sensitivity`, which prints a Markdown table.
"""

import os
from concurrent.futures import ProcessPoolExecutor
from typing import Final

from benchmarks.pacing import OURS, SEED, Outcome, measure, table
from benchmarks.population import BASE, FAILING, WEAK_SPOTS, Population
from bulkverify.waiting import pacing

NUMBERS: Final = (
    "_BLIND",
    "_UNDER_WAY",
    "_DUE",
    "_LONGEST_BLIND",
    "_LONGEST_VERIFIED",
    "_GROWTH_VERIFIED",
    "_RECENT",
    "_AGE",
    "_ONE_RISE",
    "_OVERDUE",
)
JOBS: Final = 2_000
POPULATIONS: Final = (BASE, *WEAK_SPOTS, FAILING)


def changed(task: tuple[str, float, Population]) -> Outcome:
    """Measure a population with one number multiplied."""
    name, factor, population = task
    value = getattr(pacing, name)
    setattr(pacing, name, value * factor)
    try:
        return measure((population, OURS, SEED, JOBS))
    finally:
        setattr(pacing, name, value)


def main() -> None:
    """Measure everything and print the table."""
    variants = [(NUMBERS[0], 1.0), *((name, by) for name in NUMBERS for by in (0.75, 1.25))]
    tasks = [(*variant, population) for variant in variants for population in POPULATIONS]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        results = dict(zip(tasks, pool.map(changed, tasks), strict=True))
    rows = []
    for name, factor in variants:
        outcomes = [results[name, factor, population] for population in POPULATIONS]
        ratios = [
            outcome.lag / results[*variants[0], population].lag
            for outcome, population in zip(outcomes, POPULATIONS, strict=True)
        ]
        worst = max(range(len(ratios)), key=ratios.__getitem__)
        base, failing = outcomes[0], outcomes[-1]
        rows.append(
            [
                "as it is" if factor == 1 else f"`{name}` x {factor}",
                f"{base.lag:.2f} s",
                f"{base.polls:.1f}",
                f"{failing.lag:.1f} s",
                f"{max(outcome.polls for outcome in outcomes):.1f}",
                "" if factor == 1 else f"x {ratios[worst]:.2f} ({POPULATIONS[worst].title})",
            ]
        )
    table(
        [
            "number",
            "mean lag",
            "polls per job",
            "lag of a failure",
            "most polls in any population",
            "lag that grows most",
        ],
        rows,
    )


if __name__ == "__main__":
    main()

"""Runs measurements in fresh processes, and summarises several runs."""

import json
import subprocess
import sys
from statistics import median
from typing import Final

import attrs

_LONGEST_SECONDS: Final = 600


@attrs.frozen
class Spread:
    """The runs of one measurement, with their median and their spread."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The value to quote."""
        return median(self.values)

    @property
    def noise(self) -> float:
        """Half the distance between the lowest and the highest, as a share of the median."""
        return (max(self.values) - min(self.values)) / 2 / self.median if self.median else 0.0


def fresh(module: str, *arguments: object) -> dict[str, float]:
    """Run a measurement in a process of its own, and return what it prints."""
    command = [sys.executable, "-m", f"benchmarks.{module}", *map(str, arguments)]
    done = subprocess.run(  # noqa: S603 - this package's own modules
        command, check=True, capture_output=True, text=True, timeout=_LONGEST_SECONDS
    )
    result: dict[str, float] = json.loads(done.stdout)
    return result


def rounds(
    cases: dict[str, tuple[object, ...]], *, repeat: int
) -> dict[str, list[dict[str, float]]]:
    """Run the cases in turns, so that a busy minute of the machine affects all of them."""
    results: dict[str, list[dict[str, float]]] = {name: [] for name in cases}
    for turn in range(repeat):
        for name, (module, *arguments) in cases.items():
            sys.stderr.write(f"{turn + 1}/{repeat} {module} {name}\n")
            results[name].append(fresh(str(module), *arguments))
    return results


def spread(runs: list[dict[str, float]], key: str) -> Spread:
    """Collect one number from several runs."""
    return Spread(tuple(run[key] for run in runs))


def table(head: list[str], rows: list[list[str]]) -> str:
    """Write a table: the first column is text, the others are numbers."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)

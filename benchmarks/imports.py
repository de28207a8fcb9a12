"""The CPU time of importing the client, compared with its dependencies, in fresh interpreters."""

import json
import subprocess
import sys
from collections.abc import Mapping
from statistics import median
from typing import Final

from benchmarks.commands import compiled

_NEEDS: Final = "import aiohttp, attrs, cattrs, tenacity"
_OURS: Final = "from bulkverify import Client, wait_until"
_TIMED: Final = (
    "from time import process_time; _began = process_time(); {what}; print(process_time() - _began)"
)


def _cpu_ms(what: str, environment: Mapping[str, str]) -> float:
    done = subprocess.run(  # noqa: S603 - a constant
        [sys.executable, "-c", _TIMED.format(what=what)],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
    )
    return float(done.stdout) * 1e3


def main(pairs: int) -> None:
    """Measure in turns, and print the medians as JSON."""
    cases = {"needs": _NEEDS, "bulkverify": _OURS}
    times: dict[str, list[float]] = {name: [] for name in cases}
    with compiled() as environment:
        for what in cases.values():
            _cpu_ms(what, environment)
        for _ in range(pairs):
            for name, what in cases.items():
                times[name].append(_cpu_ms(what, environment))
    result = {f"{name}_ms": median(values) for name, values in times.items()}
    result["ratio"] = median(
        ours / needs for ours, needs in zip(times["bulkverify"], times["needs"], strict=True)
    )
    sys.stdout.write(json.dumps(result))


if __name__ == "__main__":
    main(int(sys.argv[1]))

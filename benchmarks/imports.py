"""What `import bulkverify` takes beyond the libraries that it needs, in CPU time of fresh interpreters."""

import json
import subprocess
import sys
from statistics import median
from typing import Final

_NEEDS: Final = "aiohttp, attrs, cattrs, tenacity"
_TIMED: Final = (
    "from time import process_time; _began = process_time(); import {what}; "
    "print(process_time() - _began)"
)


def _cpu_ms(what: str) -> float:
    done = subprocess.run(  # noqa: S603 - a constant
        [sys.executable, "-c", _TIMED.format(what=what)],
        check=True,
        capture_output=True,
        text=True,
    )
    return float(done.stdout) * 1e3


def main(pairs: int) -> None:
    """Measure in turns, and print the medians as JSON."""
    cases = {"needs": _NEEDS, "bulkverify": "bulkverify"}
    times: dict[str, list[float]] = {name: [] for name in cases}
    for what in cases.values():
        _cpu_ms(what)  # which compiles it
    for _ in range(pairs):
        for name, what in cases.items():
            times[name].append(_cpu_ms(what))
    result = {f"{name}_ms": median(values) for name, values in times.items()}
    result["ratio"] = median(
        ours / needs for ours, needs in zip(times["bulkverify"], times["needs"], strict=True)
    )
    sys.stdout.write(json.dumps(result))


if __name__ == "__main__":
    main(int(sys.argv[1]))

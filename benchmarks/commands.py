"""How long short commands take, compared with a bare interpreter and other command lines."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Final

_CONTACTS: Final = str(Path(__file__).parents[1] / "examples" / "contacts.csv")
_OURS: Final = ("-c", "from bulkverify.cli.main import main; main()")
_BARE_APP: Final = """
from cyclopts import App
app = App(name="app", version="1", help_format="plaintext")
@app.command
def command(): "Do nothing."
app()
"""
_BARE: Final = ("-c", _BARE_APP)
BARE_INTERPRETER: Final = "`python -c pass`"
CASES: Final[dict[str, tuple[str, ...]]] = {
    BARE_INTERPRETER: ("-c", "pass"),
    "`python -m json.tool --help`, with argparse": ("-m", "json.tool", "--help"),
    "an app of cyclopts with one command, `--version`": (*_BARE, "--version"),
    "an app of cyclopts with one command, `--help`": (*_BARE, "--help"),
    "**bulkverify** `--version`": (*_OURS, "--version"),
    "**bulkverify** `--help`": (*_OURS, "--help"),
    "**bulkverify** `verify --help`": (*_OURS, "verify", "--help"),
    "**bulkverify** `verify LIST --dry-run`, 184 rows": (*_OURS, "verify", _CONTACTS, "--dry-run"),
}


@contextmanager
def compiled() -> Iterator[Mapping[str, str]]:
    """Yield an environment in which modules are compiled once, as in an installed package."""
    with TemporaryDirectory() as folder:
        rest = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        yield rest | {"PYTHONPYCACHEPREFIX": folder}


def _measure(arguments: tuple[str, ...], environment: Mapping[str, str]) -> tuple[float, float]:
    """Return the CPU seconds and the wall-clock seconds of a process."""
    began = perf_counter()
    process = subprocess.Popen(  # noqa: S603 - a constant
        [sys.executable, *arguments], stdout=subprocess.DEVNULL, env=environment
    )
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{arguments} ended with {process.returncode}")
    return used.ru_utime + used.ru_stime, perf_counter() - began


def main(turns: int) -> None:
    """Measure all cases in turns, and print the medians as JSON."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in CASES}
    with compiled() as environment:
        for arguments in CASES.values():
            _measure(arguments, environment)
        for _ in range(turns):
            for name, arguments in CASES.items():
                found[name].append(_measure(arguments, environment))
    bare = found[BARE_INTERPRETER]
    result = {}
    for name, values in found.items():
        result[f"{name} cpu_ms"] = median(cpu for cpu, _ in values) * 1e3
        result[f"{name} ms"] = median(wall for _, wall in values) * 1e3
        pairs = zip(values, bare, strict=True)
        result[f"{name} ratio"] = median(cpu / bare_cpu for (cpu, _), (bare_cpu, _) in pairs)
    sys.stdout.write(json.dumps(result))


if __name__ == "__main__":
    main(int(sys.argv[1]))

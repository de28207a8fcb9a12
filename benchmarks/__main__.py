"""`python -m benchmarks`: what waiting costs the machine, compared with other libraries.

Options: `--runs 5`, `--quick` (a tenth of everything, to try it out), `--only aiohttp` (one peer; can be
repeated), and the tables to print: `memory`, `polls`, `start`, `import`, `commands`, `durable`; by default
all but the last. All tables take half an hour, or twice that on a busy machine; `durable` takes ten minutes
more, and needs the extra `dev`.
"""

import argparse
import os
import platform
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from benchmarks.commands import BARE_INTERPRETER, CASES
from benchmarks.durable import durable
from benchmarks.peers import PEERS
from benchmarks.polls import IN_FLIGHT, POLLS_A_JOB
from benchmarks.runs import Spread, rounds, spread, table
from benchmarks.waits import TOGETHER

_SHOWN: Final = (
    "aiohttp",
    "attrs",
    "cattrs",
    "tenacity",
    "cyclopts",
    "rich",
    "aiobotocore",
    "azure-core",
    "stamina",
    "httpx",
)
_MODULES: Final = {"azure": "azure.core"}  # all others have the name of their peer


_chosen: set[str] = set()  # the peers in `--only`; all if it is empty


def _peers(*more: str) -> dict[str, str]:
    names = PEERS | {name: name for name in more}
    names = {name: label for name, label in names.items() if not _chosen or name in _chosen}
    return {
        name: label
        for name, label in names.items()
        if find_spec(_MODULES.get(name, name).partition(".")[0]) is not None
    }


def _percent(value: float) -> str:
    return f"{value:.1%}".replace("%", " %")


def _with_noise(values: Spread, digits: int = 2) -> str:
    return f"{values.median:,.{digits}f} ± {_percent(values.noise)}"


def memory(runs: int, waits: int) -> str:
    """Report the memory of a wait, and how much of it is not the caller's task."""
    labels = {
        "bare": "the caller's own: a task and a future",
        "bulkverify": "**bulkverify** `wait_until`",
        TOGETHER: "**bulkverify** `wait_all`, all from one task",
        **_peers(),
        "aiohttp, json": "aiohttp, a task that sleeps, keeps what `json.loads` gave",
    }
    found = rounds({name: ("waits", "memory", name, waits) for name in labels}, repeat=runs)
    own = spread(found["bare"], "bytes").median
    rows = []
    for name, label in labels.items():
        held = spread(found[name], "bytes")
        rest = "" if name == "bare" else f"{held.median - own:,.0f}"
        rows.append([label, _with_noise(held, 0), rest])
    head = [f"{waits:,} waits, polled once", "bytes a wait", "besides the caller's own"]
    return table(head, rows)


def polls(runs: int, count: int) -> str:
    """Report the cost of a poll, compared with a bare GET."""
    labels = {
        "bare": "a bare aiohttp GET and `json.loads`",
        "bulkverify": "**bulkverify** `wait_until`",
        **_peers("httpx"),
    }
    if "httpx" in labels:
        labels["httpx"] = "httpx, a task that sleeps (a tenth of the polls)"
    slices = {name: 2 if name == "httpx" else 4 for name in labels}
    jobs = {name: count // POLLS_A_JOB // (20 if name == "httpx" else 4) for name in labels}
    found = rounds(
        {name: ("polls", name, jobs[name], slices[name]) for name in labels}, repeat=runs
    )
    rows = [
        [
            label,
            _with_noise(spread(found[name], "cpu_us"), 0),
            _with_noise(spread(found[name], "ratio")),
        ]
        for name, label in labels.items()
    ]
    head = [
        f"{count:,} polls, {IN_FLIGHT} in flight",
        "CPU µs a poll",
        "over the bare GET, in turns",
    ]
    return table(head, rows)


def start(runs: int, waits: int) -> str:
    """Report how long it takes to start many waits, and how long they block other tasks."""
    manners = {"batches": "", "at once": ", all begun at once", "frozen": ", collector off"}
    cases = {
        (name, manner): f"{label}{manners[manner]}"
        for name, label in {
            "bare": "a task and a future",
            "bulkverify": "**bulkverify** `wait_until`",
            TOGETHER: "**bulkverify** `wait_all`",
            **_peers(),
        }.items()
        for manner in (manners if name in {"bare", "bulkverify"} else ["batches"])
    }
    found = rounds(
        {label: ("waits", "start", name, waits, manner) for (name, manner), label in cases.items()},
        repeat=runs,
    )
    rows = [
        [
            label,
            *(
                _with_noise(spread(measured, key), digits)
                for key, digits in (("s", 2), ("cpu_s", 2), ("blocked_ms", 0))
            ),
            *(
                f"{spread(measured, key).median:,.0f}"
                for key in ("blocked_cpu_ms", "longest_gc_ms")
            ),
        ]
        for label, measured in found.items()
    ]
    head = [
        f"{waits:,} waits, until all have been polled once",
        "s",
        "CPU s",
        "longest block, ms",
        "of that CPU, ms",
        "longest collection, ms",
    ]
    return table(head, rows)


def imports(runs: int, pairs: int) -> str:
    """Report the cost of importing the client, compared with importing its dependencies."""
    found = rounds({"": ("imports", pairs)}, repeat=runs)[""]
    rows = [
        [
            "`import aiohttp, attrs, cattrs, tenacity`",
            _with_noise(spread(found, "needs_ms"), 1),
            "1.00",
        ],
        [
            "`from bulkverify import Client, wait_until`",
            _with_noise(spread(found, "bulkverify_ms"), 1),
            _with_noise(spread(found, "ratio")),
        ],
    ]
    return table(["import", "CPU ms", "ratio"], rows)


def commands(runs: int, turns: int) -> str:
    """Report how long short commands take."""
    found = rounds({"": ("commands", turns)}, repeat=runs)[""]
    rows = [
        [
            name,
            _with_noise(spread(found, f"{name} cpu_ms"), 0),
            _with_noise(spread(found, f"{name} ratio"), 1),
            f"{spread(found, f'{name} ms').median:,.0f}",
        ]
        for name in CASES
    ]
    return table(["command", "CPU ms", f"over {BARE_INTERPRETER}", "ms"], rows)


_TABLES: Final[dict[str, tuple[str, Callable[[int, int], str], int]]] = {
    "memory": ("Memory of a wait", memory, 100_000),
    "polls": ("CPU time of a poll", polls, 61_440),
    "start": ("Start of many waits", start, 100_000),
    "import": ("Import", imports, 20),
    "commands": ("Start of a command", commands, 10),
    "durable": ("Durable runs", durable, 2000),
}
_BY_DEFAULT: Final = [name for name in _TABLES if name != "durable"]  # the others need no database


def _version(distribution: str) -> str:
    try:
        return f"{distribution} {version(distribution)}"
    except PackageNotFoundError:
        return f"{distribution} not installed"


def _machine() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if "model name" in line), "")
    return f"{os.cpu_count()} cores ({model or platform.machine()}), {platform.system()}"


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n\n")
    sys.stdout.flush()


def main() -> None:
    """Print the tables as Markdown, in the order of the arguments."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("tables", nargs="*", metavar="table", help=", ".join(_TABLES))
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", action="append", default=[], choices=[*PEERS, "httpx"])
    options = parser.parse_args()
    _chosen.update(options.only)
    if unknown := set(options.tables) - set(_TABLES):
        parser.error(f"no such table: {', '.join(sorted(unknown))}")
    _print(
        f"{datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}, {_machine()}, "
        f"load {os.getloadavg()[0]:.1f} at the start; "
        f"{', '.join(_version(name) for name in _SHOWN)}."
    )
    _print(
        f"Medians of {options.runs} runs, each in a fresh process, all cases in turns; "
        "± is half the distance between the lowest and the highest run."
    )
    for name in options.tables or _BY_DEFAULT:
        title, measure, size = _TABLES[name]
        _print(f"## {title}")
        _print(measure(options.runs, size // 10 if options.quick else size))


if __name__ == "__main__":
    main()

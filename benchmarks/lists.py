"""`python -m benchmarks.lists`: splitting and joining large lists, compared with a copy by `csv`.

Options: `--rows 5000000`, `--runs 3`, `--folder DIR` (takes about 4 GB while it runs), and the tables to
print: `lists`, `memory`, `numbering`, `rows`, `domains`, `reuse`; by default all. All tables take twenty minutes.
"""

import argparse
import os
import platform
import shutil
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from benchmarks.lists_made import write_earlier, write_list, write_results
from benchmarks.runs import Spread, fresh, rounds, spread, table
from bulkverify.lists import part_path

_TABLES: Final = ("lists", "memory", "numbering", "rows", "domains", "reuse")
_MODULE: Final = "lists_measured"
_SHARES: Final = (0.0, 0.2, 0.5, 0.9)
_DOMAINS: Final = 500_000


def lists(folder: Path, rows: int, runs: int) -> str:
    """Report what splitting and joining take, compared with a copy."""
    prepare(folder, rows)
    cases = {
        "`csv.reader` to `csv.writer`, a bare copy": ("copy", folder),
        "**split**": ("split", folder),
        "**join**, CSV": ("join", folder, "csv"),
        "**join**, JSON Lines": ("join", folder, "jsonl"),
        "**join**, typed rows": ("joined rows", folder),
    }
    found = rounds({name: (_MODULE, *case) for name, case in cases.items()}, repeat=runs)
    bare = next(iter(found.values()))
    lines = []
    for name, measured in found.items():
        cpu, seconds = spread(measured, "cpu_s"), spread(measured, "s")
        ratios = Spread(
            tuple(run["cpu_s"] / copy["cpu_s"] for run, copy in zip(measured, bare, strict=True))
        )
        lines.append(
            [
                name,
                f"{cpu.median:.1f} ± {cpu.noise:.1%}",
                f"{ratios.median:.2f} ({min(ratios.values):.2f} to {max(ratios.values):.2f})",
                f"{seconds.median:.1f} ± {seconds.noise:.1%}",
                f"{rows / seconds.median:,.0f}",
                f"{spread(measured, 'peak_mb').median:.0f}",
            ]
        )
    size = (folder / "list.csv").stat().st_size
    head = [
        f"{rows:,} rows, {size / 1e6:,.0f} MB",
        "CPU s",
        "over the copy",
        "s",
        "rows a second",
        "peak MB",
    ]
    return table(head, lines)


def memory(folder: Path, rows: int, runs: int) -> str:
    """Report how memory grows with the number of distinct addresses."""
    del runs  # memory is the same every time
    lines = []
    for share in _SHARES:
        prepare(folder, rows, duplicates=share)
        divided = fresh(_MODULE, "split", folder)
        joined = fresh(_MODULE, "join", folder, "csv")
        found = sum(_addresses(part) for part in folder.glob("part-????.csv"))
        lines.append(
            [
                f"{rows:,} rows, {share:.0%} of them repeated",
                f"{found:,}",
                f"{divided['peak_mb']:.0f}",
                f"{(divided['peak_mb'] - divided['before_mb']) * 2**20 / found:.0f}",
                f"{joined['peak_mb']:.0f}",
                f"{(joined['peak_mb'] - joined['before_mb']) * 2**20 / found:.0f}",
            ]
        )
    head = [
        "list",
        "distinct addresses",
        "split, peak MB",
        "bytes each",
        "join, peak MB",
        "bytes each",
    ]
    return table(head, lines)


def numbering(folder: Path, rows: int, runs: int) -> str:
    """Report what it takes to recognise repeated addresses."""
    count = rows * 4 // 5
    cases = {
        "making the addresses": "generate keys",
        "**two 64-bit hashes each, and an open-addressing table**": "compact",
        "`dict` of addresses": "dict",
        "`dict` of 16-byte digests": "digests",
        "SQLite, a table on disk": "sqlite",
    }
    measured = {name: (_MODULE, what, folder, count) for name, what in cases.items()}
    found = rounds(measured, repeat=runs)
    making = spread(found["making the addresses"], "cpu_s").median
    lines = []
    for name, numbers in found.items():
        cpu, peak = spread(numbers, "cpu_s"), spread(numbers, "peak_mb").median
        before = spread(numbers, "before_mb").median
        lines.append(
            [
                name,
                f"{cpu.median - (0 if 'making' in name else making):.1f} ± {cpu.noise:.1%}",
                f"{peak - before:.0f}",
                f"{(peak - before) * 2**20 / count:.0f}",
            ]
        )
    head = [f"{count:,} distinct addresses", "CPU s", "peak MB", "bytes each"]
    return table(head, lines)


def typed_rows(folder: Path, rows: int, runs: int) -> str:
    """Report what typed rows take, compared with `csv.DictReader` over the same bytes."""
    prepare(folder, rows // 5)
    first = part_path(folder, 1)
    lines = []
    for columns in (0, 6):
        path = folder / f"results-{columns}.csv"
        write_results(first, path, columns=columns)
        cases = {"typed": (_MODULE, "typed", path), "dictionaries": (_MODULE, "dictionaries", path)}
        found = rounds(cases, repeat=2 * runs)
        ours, theirs = spread(found["typed"], "cpu_s"), spread(found["dictionaries"], "cpu_s")
        count = found["typed"][0]["rows"]
        lines.append(
            [
                f"{count:,.0f} rows of {columns + 8} columns",
                f"{ours.median / count * 1e6:.2f} ± {ours.noise:.1%}",
                f"{theirs.median / count * 1e6:.2f} ± {theirs.noise:.1%}",
                f"{ours.median / theirs.median:.2f}",
            ]
        )
    head = ["results", "typed rows, CPU µs each", "`csv.DictReader`, CPU µs each", "ratio"]
    return table(head, lines)


def domains(folder: Path, rows: int, runs: int) -> str:
    """Report what counting the domains adds to a join, and compare the largest with an exact count."""
    prepare(folder, rows, domains=_DOMAINS)
    cases = {
        "join": (_MODULE, "join", folder, "csv"),
        "**join, counting domains**": (_MODULE, "join", folder, "csv", "domains"),
    }
    found = rounds(cases, repeat=runs)
    exact = fresh(_MODULE, "exact domains", folder)
    lines = []
    for name, measured in found.items():
        last = measured[-1]
        lines.append(
            [
                name,
                f"{spread(measured, 'cpu_s').median:.1f} ± {spread(measured, 'cpu_s').noise:.1%}",
                f"{spread(measured, 'peak_mb').median:.0f}",
                f"{last.get('kept', 0):,.0f}" if "kept" in last else "",
                f"{last['unseen']:.0f}" if "kept" in last else "",
                f"{exact['same_rows']:.0f} and {exact['same_undeliverable']:.0f}"
                if "kept" in last
                else "",
            ]
        )
    lines.append(
        [
            "an exact count in a dict, alone",
            f"{exact['cpu_s']:.1f}",
            f"{exact['peak_mb']:.0f}",
            f"{exact['kept']:,.0f}",
            "0",
            "40 and 40",
        ]
    )
    head = [
        f"{rows:,} rows, {exact['kept']:,.0f} domains",
        "CPU s",
        "peak MB",
        "domains kept",
        "rows unseen, at most",
        "same among the top 40 by rows, by undeliverable rows",
    ]
    return table(head, lines)


def reuse(folder: Path, rows: int, runs: int) -> str:
    """Report what splitting takes if four fifths of the addresses are known from two earlier outputs."""
    for path in folder.iterdir():
        path.unlink()
    write_list(folder / "list.csv", rows, duplicates=0)
    earlier = [folder / f"earlier-{number}.csv" for number in (1, 2)]
    write_earlier(folder / "list.csv", earlier, rows * 4 // 5)
    cases = {"split": (_MODULE, "split", folder), "**split, reusing**": (_MODULE, "reuse", folder)}
    found = rounds(cases, repeat=runs)
    alone = found["split"]
    lines = []
    for name, measured in found.items():
        cpu, last = spread(measured, "cpu_s"), measured[-1]
        ratios = Spread(
            tuple(run["cpu_s"] / one["cpu_s"] for run, one in zip(measured, alone, strict=True))
        )
        lines.append(
            [
                name,
                f"{cpu.median:.1f} ± {cpu.noise:.1%}",
                f"{ratios.median:.2f} ({min(ratios.values):.2f} to {max(ratios.values):.2f})",
                f"{spread(measured, 'peak_mb').median:.0f}",
                f"{last.get('known', 0):,.0f}",
                f"{last.get('sent', rows):,.0f}",
            ]
        )
    head = [f"{rows:,} addresses", "CPU s", "over the split alone", "peak MB", "known", "sent"]
    return table(head, lines)


def prepare(folder: Path, rows: int, *, duplicates: float = 0.2, domains: int = 0) -> None:
    """Write a list, split it, and write the results of its parts."""
    for path in folder.iterdir():
        path.unlink()
    write_list(folder / "list.csv", rows, duplicates=duplicates, domains=domains)
    fresh(_MODULE, "split", folder)
    for part in folder.glob("part-????.csv"):
        write_results(part, part.with_suffix(".results.csv"))


def _addresses(part: Path) -> int:
    with part.open("rb") as file:
        return sum(1 for _ in file) - 1


def main() -> None:
    """Print the tables as Markdown, in the order of the arguments."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lists", description=__doc__)
    parser.add_argument("tables", nargs="*", metavar="table", help=", ".join(_TABLES))
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    if unknown := set(options.tables) - set(_TABLES):
        parser.error(f"no such table: {', '.join(sorted(unknown))}")
    measures = dict(
        zip(_TABLES, (lists, memory, numbering, typed_rows, domains, reuse), strict=True)
    )
    sys.stdout.write(
        f"{datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}, {os.cpu_count()} cores, "
        f"load {os.getloadavg()[0]:.1f} at the start; medians of {options.runs} runs, each in a fresh process, all "
        "cases in turns; ± is half the distance between the lowest and the highest.\n\n"
    )
    folder = Path(tempfile.mkdtemp(prefix="lists-", dir=options.folder))
    try:
        for name in options.tables or _TABLES:
            sys.stdout.write(f"{measures[name](folder, options.rows, options.runs)}\n\n")
            sys.stdout.flush()
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()

"""`python -m benchmarks.workbooks`: a workbook as a list and as an output, compared with other libraries.

Options: `--rows 1000000`, `--runs 3`, and `--folder DIR`, whose list is used again if there is one (takes about
2 GB while it runs). The list has texts that cells share, as Excel writes them. It needs `.[bench]`.
"""

import argparse
import csv
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

from benchmarks.lists_made import write_list, write_results
from benchmarks.lists_measured import peak_mb
from benchmarks.runs import Spread, rounds, spread, table
from bulkverify.lists import join, open_table, part_path, split

_MODULE: Final = "workbooks"
_VERDICT: Final = ("deliverable", "N", "Y", "N", "N", "N", "2026-11-24T06:39:39.280Z")


def make(folder: Path, rows: int) -> None:
    """Write a list, the same as a workbook, and the results of its parts."""
    import xlsxwriter  # noqa: PLC0415 - only what is measured is loaded

    source = folder / "list.csv"
    write_list(source, rows)
    with (
        xlsxwriter.Workbook(folder / "list.xlsx") as book,
        source.open(encoding="utf-8", newline="") as file,
    ):
        sheet = book.add_worksheet()
        for number, row in enumerate(csv.reader(file)):
            for column, text in enumerate(row):
                if number and not column:
                    sheet.write_number(number, column, int(text))
                else:
                    sheet.write_string(number, column, text)
    done = split(open_table(source, spool=folder), folder)
    for part in done.parts:
        path = part_path(folder, part.number)
        write_results(path, path.with_suffix(".results.csv"))


def read_here(folder: Path) -> None:
    """Copy the sheet as CSV, as each run does once."""
    open_table(folder / "list.xlsx", spool=folder)


def read_with_openpyxl(folder: Path) -> None:
    """Read the rows one by one."""
    from openpyxl import load_workbook  # noqa: PLC0415 - likewise

    for _ in load_workbook(folder / "list.xlsx", read_only=True).worksheets[0].values:
        pass


def read_with_calamine(folder: Path) -> None:
    """Read the sheet into memory, and then its rows."""
    from python_calamine import CalamineWorkbook  # noqa: PLC0415 - likewise

    for _ in CalamineWorkbook.from_path(folder / "list.xlsx").get_sheet_by_index(0).iter_rows():
        pass


def split_here(folder: Path) -> None:
    """Read and split the list."""
    split(open_table(folder / "list.csv", spool=folder), folder)


def write_here(folder: Path, form: str = "xlsx") -> None:
    """Join the verdicts to the list."""
    listed = open_table(folder / "list.csv", spool=folder)
    done = split(listed, folder)
    results = {
        part.number: part_path(folder, part.number).with_suffix(".results.csv")
        for part in done.parts
    }
    with (folder / f"joined.{form}").open("wb") as file:
        join(listed, done, folder, results, file, format="csv" if form == "csv" else "xlsx")


def write_csv_here(folder: Path) -> None:
    """Join the verdicts to the list, as CSV."""
    write_here(folder, "csv")


def write_with_xlsxwriter(folder: Path) -> None:
    """Write the same cells in constant memory."""
    import xlsxwriter  # noqa: PLC0415 - likewise

    path = folder / "other.xlsx"
    with (
        xlsxwriter.Workbook(path, {"constant_memory": True, "tmpdir": str(folder)}) as book,
        (folder / "list.csv").open(encoding="utf-8", newline="") as file,
    ):
        sheet = book.add_worksheet()
        for number, row in enumerate(csv.reader(file)):
            for column, text in enumerate([*row, *_VERDICT]):
                sheet.write_string(number, column, text)


_READING: Final[dict[str, Callable[[Path], None]]] = {
    "**read here**": read_here,
    "openpyxl, read-only": read_with_openpyxl,
    "python-calamine": read_with_calamine,
}
_WRITING: Final[dict[str, Callable[[Path], None]]] = {
    "**split and joined here**, to a workbook": write_here,
    "the same, to CSV": write_csv_here,
    "split alone": split_here,
    "XlsxWriter, constant memory, a constant verdict": write_with_xlsxwriter,
}
_CASES: Final = _READING | _WRITING


def compare(cases: dict[str, Callable[[Path], None]], head: str, folder: Path, runs: int) -> str:
    """Report what the cases take, compared with the first one."""
    found = rounds({name: (_MODULE, name, folder) for name in cases}, repeat=runs)
    ours = next(iter(found.values()))
    lines = []
    for name, measured in found.items():
        cpu = spread(measured, "cpu_s")
        ratios = Spread(tuple(a["cpu_s"] / b["cpu_s"] for a, b in zip(measured, ours, strict=True)))
        lines.append(
            [
                name,
                f"{cpu.median:.1f}" + (f" ± {cpu.noise:.1%}" if runs > 1 else ""),
                f"{ratios.median:.2f}",
                f"{spread(measured, 's').median:.1f}",
                f"{spread(measured, 'peak_mb').median:.0f}",
            ]
        )
    return table([head, "CPU s", "ratio", "s", "peak MB"], lines)


def main() -> None:
    """Print the tables as Markdown, or measure one case."""
    if len(sys.argv) > 1 and sys.argv[1] in _CASES:
        began, used = time.perf_counter(), time.process_time()
        _CASES[sys.argv[1]](Path(sys.argv[2]))
        cpu, wall = time.process_time() - used, time.perf_counter() - began
        sys.stdout.write(json.dumps({"cpu_s": cpu, "s": wall, "peak_mb": peak_mb()}))
        return
    parser = argparse.ArgumentParser(prog="python -m benchmarks.workbooks", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    libraries = (
        f"{name} {version(name)}" for name in ("openpyxl", "python-calamine", "XlsxWriter")
    )
    sys.stdout.write(
        f"{datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}, {os.cpu_count()} cores, load "
        f"{os.getloadavg()[0]:.1f} at the start, {', '.join(libraries)}; medians of {options.runs} runs.\n\n"
    )
    folder = options.folder or Path(tempfile.mkdtemp(prefix="workbooks-"))
    try:
        if not (folder / "list.xlsx").exists():
            make(folder, options.rows)
        size = (folder / "list.xlsx").stat().st_size / 1e6
        head = f"{options.rows:,} rows of 8 columns, {size:.0f} MB"
        sys.stdout.write(f"{compare(_READING, head, folder, options.runs)}\n\n")
        sys.stdout.flush()
        head = f"{options.rows:,} rows of 15 columns"
        sys.stdout.write(f"{compare(_WRITING, head, folder, options.runs)}\n")
    finally:
        if options.folder is None:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()

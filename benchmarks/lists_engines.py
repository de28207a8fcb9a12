"""`python -m benchmarks.lists_engines FOLDER`: the same work on polars and DuckDB, for comparison.

The folder is one that `benchmarks.lists.prepare` has filled. Each case runs once, in a process of its own.
"""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from benchmarks.lists_measured import peak_mb

_PART_ROWS: Final = 300_000
_CASES: Final = ("polars split", "polars join", "polars sink", "duckdb split", "duckdb join")
# As `address_key`: without surrounding blanks, and with the domain in lower case.
_SQL_KEY: Final = (
    "regexp_extract(trim(email), '^(.*@)', 1) || lower(regexp_extract(trim(email), '@([^@]*)$', 1))"
)


def on_polars(case: str, folder: Path) -> None:
    """Split or join with polars, eagerly or as a stream into a file."""
    import polars as pl  # noqa: PLC0415 - only what is measured is loaded

    email = pl.col("email").str.strip_chars()
    domain = email.str.extract(r"@([^@]*)$", 1).str.to_lowercase()
    key = (email.str.extract(r"^(.*@)", 1) + domain).alias("key")
    source, results = folder / "list.csv", folder / "part-*.results.csv"
    if case == "split":
        found = pl.scan_csv(source, infer_schema=False).select("email", key)
        frame = found.unique("key", keep="first", maintain_order=True).select("email").collect()
        for begin in range(0, frame.height, _PART_ROWS):
            frame[begin : begin + _PART_ROWS].write_csv(folder / f"polars-{begin}.csv")
    elif case == "join":
        verdicts = pl.read_csv(results, infer_schema=False).with_columns(key).drop("email")
        rows = pl.read_csv(source, infer_schema=False).with_columns(key)
        joined = rows.join(verdicts, on="key", how="left", maintain_order="left")
        joined.drop("key").write_csv(folder / "polars.csv")
    else:
        later = pl.scan_csv(results, infer_schema=False).with_columns(key).drop("email")
        lazy = pl.scan_csv(source, infer_schema=False).with_columns(key)
        stream = lazy.join(later, on="key", how="left", maintain_order="left")
        stream.drop("key").sink_csv(folder / "polars.csv")


def on_duckdb(case: str, folder: Path) -> None:
    """Split or join with DuckDB in 500 MB."""
    import duckdb  # noqa: PLC0415 - only what is measured is loaded

    def read(name: str) -> str:
        return f"read_csv('{folder / name}', all_varchar = true, header = true)"

    numbered = f"(SELECT *, {_SQL_KEY} AS k, row_number() OVER () AS n FROM {read('list.csv')})"  # noqa: S608
    if case == "split":
        first = f"SELECT arg_min(email, n) AS email, min(n) AS n FROM {numbered} GROUP BY k"  # noqa: S608
        query = f"SELECT email FROM ({first}) ORDER BY n"  # noqa: S608
    else:
        answers = f"(SELECT *, {_SQL_KEY} AS k FROM {read('part-*.results.csv')})"  # noqa: S608
        query = (
            f"SELECT a.* EXCLUDE (k, n), r.* EXCLUDE (k, email) FROM {numbered} a "  # noqa: S608
            f"LEFT JOIN {answers} r USING (k) ORDER BY n"
        )
    database = duckdb.connect()
    database.execute("SET memory_limit = '500MB'")
    database.execute(f"SET temp_directory = '{folder}'")
    database.execute(f"COPY ({query}) TO '{folder / 'duckdb.csv'}' (HEADER)")


def main() -> None:
    """Measure one case, or all of them in processes of their own."""
    folder = Path(sys.argv[1])
    if sys.argv[2:]:
        engine, case = sys.argv[2].split()
        began, used = time.perf_counter(), time.process_time()
        (on_polars if engine == "polars" else on_duckdb)(case, folder)
        cpu, wall = time.process_time() - used, time.perf_counter() - began
        sys.stdout.write(json.dumps({"cpu_s": cpu, "s": wall, "peak_mb": peak_mb()}))
        return
    for case in _CASES:
        command = [sys.executable, "-m", "benchmarks.lists_engines", str(folder), case]
        done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - this
        sys.stdout.write(f"{case}: {done.stdout}\n")


if __name__ == "__main__":
    main()

"""Runs one measurement of lists in this process, and prints its numbers as JSON."""

import csv
import hashlib
import json
import resource
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from io import TextIOWrapper
from operator import eq
from pathlib import Path

import attrs
import cattrs

from bulkverify.lists import (
    REUSABLE,
    Reuse,
    Split,
    Table,
    join,
    joined_rows,
    open_table,
    part_path,
    split,
)
from bulkverify.lists.distinct import Distinct
from bulkverify.results.rows import ResultsReader

_PIECE_BYTES = 256 * 1024
_LARGEST = 40


def peak_mb() -> float:
    """Return the most memory that this process has had, in MB."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def table_in(folder: Path) -> Table:
    """Open the list."""
    return open_table(folder / "list.csv", spool=folder)


def saved(folder: Path) -> Split:
    """Read the result of an earlier split."""
    return cattrs.structure(json.loads((folder / "split.json").read_text("utf-8")), Split)


def copy(folder: Path) -> None:
    """Read and write every cell, which is the least that `csv` can do."""
    with (
        (folder / "list.csv").open(encoding="utf-8", newline="") as source,
        (folder / "copy.csv").open("w", encoding="utf-8", newline="") as file,
    ):
        csv.writer(file).writerows(csv.reader(source))


def splitting(folder: Path) -> None:
    """Split the list."""
    done = split(table_in(folder), folder)
    (folder / "split.json").write_text(json.dumps(attrs.asdict(done)), encoding="utf-8")


def splitting_again(folder: Path) -> dict[str, float]:
    """Split the list without the addresses whose verdicts are in earlier outputs."""
    ages = dict.fromkeys(map(str, REUSABLE), 60 * 86_400.0)
    earlier = sorted(folder.glob("earlier-*"))
    done = split(
        table_in(folder),
        folder,
        sieve=Reuse(earlier, ages, datetime(2026, 12, 1, tzinfo=UTC), folder),
    )
    return {"known": done.reused.addresses, "sent": done.addresses}


def results_of(folder: Path, done: Split) -> dict[int, Path]:
    """Return the results files of the parts."""
    return {p.number: part_path(folder, p.number).with_suffix(".results.csv") for p in done.parts}


def joining(folder: Path, form: str, *, domains: bool) -> dict[str, float]:
    """Join the verdicts; with `domains`, count them, and write the largest as JSON."""
    done = saved(folder)
    with (folder / f"joined.{form}").open("wb") as file:
        kind = "jsonl" if form == "jsonl" else "csv"
        outcome = join(
            table_in(folder),
            done,
            folder,
            results_of(folder, done),
            file,
            format=kind,
            domains=domains,
        )
    if outcome.missing or outcome.written != done.rows:
        raise AssertionError(outcome)
    if outcome.domains is None:
        return {}
    found = {one.domain: (one.rows, one.undeliverable) for one in outcome.domains.counts}
    (folder / "domains.json").write_text(json.dumps(found), encoding="utf-8")
    return {"kept": outcome.domains.distinct, "unseen": outcome.domains.unseen}


def exact_domains(joined: Path) -> dict[str, tuple[int, int]]:
    """Count the rows and the undeliverable rows of each domain from the output, in memory without bound."""
    rows: Counter[str] = Counter()
    undeliverable: Counter[str] = Counter()
    with joined.open(encoding="utf-8", newline="") as file:
        for record in csv.DictReader(file):
            domain = record["email"].rpartition("@")[2]
            rows[domain] += 1
            undeliverable[domain] += record["verdict"] == "undeliverable"
    return {domain: (count, undeliverable[domain]) for domain, count in rows.items()}


def comparing(folder: Path) -> dict[str, float]:
    """Count exactly; return how many of the 40 largest domains have the same place and count in the join."""
    exact = exact_domains(folder / "joined.csv")
    found = json.loads((folder / "domains.json").read_text("utf-8"))
    same = {"kept": float(len(exact))}
    for place, name in enumerate(("same_rows", "same_undeliverable")):
        ours, theirs = (
            [
                (domain, counts[place])
                for domain, counts in sorted(
                    every.items(), key=lambda one: (-one[1][place], one[0])
                )[:_LARGEST]
            ]
            for every in (found, exact)
        )
        same[name] = float(sum(map(eq, ours, theirs)))
    return same


def joining_rows(folder: Path) -> None:
    """Join the verdicts as typed rows."""
    done = saved(folder)
    for _ in joined_rows(table_in(folder), done, folder, results_of(folder, done)):
        pass


def typed(path: Path) -> int:
    """Read results as typed rows."""
    results = ResultsReader()
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            for _ in results.feed(piece):
                pass
    for _ in results.finish():
        pass
    return results.count


def dictionaries(path: Path) -> int:
    """Read results as `csv.DictReader` does."""
    count = 0
    with path.open("rb") as file:
        for _ in csv.DictReader(TextIOWrapper(file, encoding="utf-8-sig", newline="")):
            count += 1
    return count


def keys(count: int) -> Iterator[list[str]]:
    """Yield `count` distinct addresses, a thousand at a time."""
    for begin in range(0, count, 1000):
        yield [f"user{n * 2654435761 % 2**32:08x}.{n}@x.com" for n in range(begin, begin + 1000)]


def number_compactly(batches: Iterable[list[str]]) -> object:
    """Number addresses as `split` does."""
    distinct = Distinct()
    for batch in batches:
        distinct.number(batch)
    return distinct


def number_in_dict(batches: Iterable[list[str]]) -> object:
    """Number addresses in a dict of them."""
    known: dict[str, int] = {}
    for batch in batches:
        for key in batch:
            known.setdefault(key, len(known))
    return known


def number_digests(batches: Iterable[list[str]]) -> object:
    """Number addresses in a dict of 16-byte digests."""
    known: dict[bytes, int] = {}
    for batch in batches:
        for key in batch:
            known.setdefault(hashlib.blake2b(key.encode(), digest_size=16).digest(), len(known))
    return known


def number_in_sqlite(batches: Iterable[list[str]]) -> object:
    """Number addresses in a table on disk."""
    database = sqlite3.connect("")
    database.execute("CREATE TABLE known (key TEXT PRIMARY KEY, number INTEGER) WITHOUT ROWID")
    count = 0
    for batch in batches:
        for key in batch:
            done = database.execute("INSERT OR IGNORE INTO known VALUES (?, ?)", (key, count))
            count += done.rowcount
    return database


NUMBERING: dict[str, Callable[[Iterable[list[str]]], object]] = {
    "compact": number_compactly,
    "dict": number_in_dict,
    "digests": number_digests,
    "sqlite": number_in_sqlite,
}


def main() -> None:  # noqa: C901 - a branch for each measurement
    """Measure what the arguments name."""
    what, folder, *rest = sys.argv[1], Path(sys.argv[2]), *sys.argv[3:]
    before = peak_mb()
    extra: dict[str, float] = {}
    began, used = time.perf_counter(), time.process_time()
    if what == "copy":
        copy(folder)
    elif what == "split":
        splitting(folder)
    elif what == "reuse":
        extra |= splitting_again(folder)
    elif what == "join":
        with_domains = "domains" in rest
        extra |= joining(folder, rest[0], domains=with_domains)
    elif what == "exact domains":
        extra |= comparing(folder)
    elif what == "joined rows":
        joining_rows(folder)
    elif what == "typed":
        extra["rows"] = typed(folder)
    elif what == "dictionaries":
        extra["rows"] = dictionaries(folder)
    elif what == "generate keys":
        for _ in keys(int(rest[0])):
            pass
    else:
        held = NUMBERING[what](keys(int(rest[0])))
        extra["held"] = float(held is not None)
    cpu = time.process_time() - used
    wall = time.perf_counter() - began
    system = resource.getrusage(resource.RUSAGE_SELF).ru_stime
    numbers = {"s": wall, "cpu_s": cpu, "system_s": system, "peak_mb": peak_mb()}
    sys.stdout.write(json.dumps(numbers | extra | {"before_mb": before}))


if __name__ == "__main__":
    main()

"""Checks the output of a run, row by row, without any code of the library.

    python -m benchmarks.run_check LIST OUTPUT URL KEY JOB...

It gets the verdicts of each job from the service itself. The output must have all rows of the list, in
the same order and with the same cells, each followed by the service's result for its address. The check
prints its counts, or fails at the first wrong row.
"""

import csv
import json
import sys
from collections import Counter
from collections.abc import Iterator
from io import TextIOWrapper
from itertools import zip_longest
from urllib.parse import urlencode
from urllib.request import Request, urlopen

SERVICE = [
    "Verification Result",
    "Syntax Error",
    "ISP",
    "Role",
    "Disposable",
    "Trap",
    "Verified At",
]
OURS = [
    "verdict",
    "syntax_error",
    "common_isp",
    "role_based",
    "disposable",
    "spamtrap",
    "verified_at",
]


def results(url: str, key: str, job: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Download the results of a job: each address and its result."""
    query = urlencode({"jobId": job, "apikey": key})
    request = Request(f"{url}/download?{query}", method="POST")  # noqa: S310 - our own server
    with urlopen(request) as answer:  # noqa: S310 - likewise
        rows = csv.reader(TextIOWrapper(answer, encoding="utf-8", newline=""))
        header = next(rows)
        places = [header.index(name) for name in SERVICE]
        address = header.index("email")
        for row in rows:
            verdict, *rest = (row[place] for place in places)
            yield folded(row[address]), (verdict.replace("-", "_"), *map(sys.intern, rest))


def folded(address: str) -> str:
    """Return the form of an address that mail systems compare."""
    local, at, domain = address.strip().rpartition("@")
    return local + at + domain.lower()


def check(source: str, output: str, truth: dict[str, tuple[str, ...]]) -> dict[str, object]:
    """Compare the two files; count rows and verdicts."""
    verdicts: Counter[str] = Counter()
    rows = 0
    with (
        open(source, encoding="utf-8", newline="") as before,  # noqa: PTH123 - as plain as can be
        open(output, encoding="utf-8", newline="") as after,  # noqa: PTH123 - likewise
    ):
        pairs = zip_longest(csv.reader(before), csv.reader(after))
        names, head = next(pairs)
        if head != names + OURS:
            sys.exit(f"the header is {head}")
        place = names.index("email")
        for row, joined in pairs:
            rows += 1
            if row is None or joined is None:
                sys.exit(f"one of the two files ends at row {rows}")
            expected = truth.get(folded(row[place]), ("",) * len(OURS))
            if joined != [*row, *expected]:
                sys.exit(f"row {rows} is {joined}, but must be {[*row, *expected]}")
            verdicts[expected[0]] += 1
    missing = verdicts.pop("", 0)
    return {"rows": rows, "verdicts": dict(verdicts), "missing": missing, "addresses": len(truth)}


if __name__ == "__main__":
    list_, output, url, key, *jobs = sys.argv[1:]
    found: dict[str, tuple[str, ...]] = {}
    sent = 0
    for job in jobs:
        for address, finding in results(url, key, job):
            sent += 1
            found[address] = finding
    if sent != len(found):
        sys.exit(f"{sent - len(found)} addresses were sent and paid for more than once")
    sys.stdout.write(json.dumps(check(list_, output, found)) + "\n")

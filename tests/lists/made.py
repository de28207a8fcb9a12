"""Lists, results and joins that the tests of lists share."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

from bulkverify.lists import Joined, Split, Table, join, open_table, part_path, split

OURS = [
    "verdict",
    "syntax_error",
    "common_isp",
    "role_based",
    "disposable",
    "spamtrap",
    "verified_at",
]
RESULT = ["accept-all", "N", "Y", "", "N", "N", "2021-09-13T06:49:39.280Z"]
"""The cells of an address in a results file."""
CELLS = ["accept-all", "N", "Y", "", "N", "N", "2021-09-13T06:49:39.280Z"]
"""The cells that its row gets in the output."""
NO_ADDRESS = ["undeliverable", "Y", "N", "N", "N", "N", ""]
HEADER = [
    "Email",
    "Verification Result",
    "Syntax Error",
    "ISP",
    "Role",
    "Disposable",
    "Trap",
    "Verified At",
]


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def opened(path: Path, content: str | bytes, **options: Any) -> Table:  # noqa: ANN401
    return open_table(write(path, content), spool=path.parent, **options)


def addresses(folder: Path, number: int) -> list[str]:
    with part_path(folder, number).open(encoding="utf-8", newline="") as file:
        header, *records = csv.reader(file)
    assert header == ["email"]
    assert all(len(record) == 1 for record in records)
    return [record[0] for record in records]


def answered(
    split_list: Split, folder: Path, answers: Mapping[str, Sequence[str]] | None = None
) -> dict[int, Path]:
    """Write the results of each part: `RESULT` for all addresses, or only these answers."""
    results = {}
    for part in split_list.parts:
        rows = [
            [address, *(RESULT if answers is None else answers[address])]
            for address in addresses(folder, part.number)
            if answers is None or address in answers
        ]
        results[part.number] = write_results(folder / f"results-{part.number}.csv", rows)
    return results


def write_results(path: Path, rows: Iterable[Sequence[str]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([HEADER, *rows])
    return path


def joined(
    table: Table,
    folder: Path,
    answers: Mapping[str, Sequence[str]] | None = None,
    **options: Any,  # noqa: ANN401
) -> tuple[str, Joined]:
    """Split a list, answer for it and join it; return the text and the outcome."""
    done = split(table, folder)
    file = BytesIO()
    outcome = join(table, done, folder, answered(done, folder, answers), file, **options)
    assert not file.closed
    return file.getvalue().decode(), outcome


def records_of(text: str, delimiter: str = ",") -> list[list[str]]:
    return list(csv.reader(StringIO(text, newline=""), delimiter=delimiter))

"""The columns of verdicts are found again in every output, whatever columns the list had itself."""

import csv
import json
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bulkverify.lists import Reuse, Rows, join, split
from bulkverify.lists.verdict_columns import places_of, verdict_names

from .made import OURS, opened, write
from .test_reuse import MONTH, NOW, at, row, sifted

FLAGS = OURS[1:-1]
OURS_AGAIN = [f"bulkverify_{name}" for name in OURS]
SERVICES = [
    "Verification Result",
    "Syntax Error",
    "ISP",
    "Role",
    "Disposable",
    "Trap",
    "Verified At",
]
STALE = ("deliverable", at(20))
FRESH = ("undeliverable", at(1))


def filled(names: list[str], fresh: list[str]) -> str:
    """Write a row whose own columns hold a stale verdict, and whose `fresh` ones hold that of the output."""
    stale = {"verdict": STALE[0], "verification result": STALE[0], "verified": STALE[1]}
    cells = {
        name: next((cell for word, cell in stale.items() if word in name.lower()), "Y")
        for name in names
    }
    cells |= dict.fromkeys(fresh, "N") | {
        "email": "a@x.com",
        fresh[0]: FRESH[0],
        fresh[-1]: FRESH[1],
    }
    return json.dumps(cells) + "\n"


@pytest.mark.parametrize(
    ("own", "ours"),
    [
        (["bulkverify_verdict"], ["bulkverify_bulkverify_verdict", *OURS[1:]]),
        (["Bulkverify_Verified_At"], [*OURS[:-1], "bulkverify_bulkverify_verified_at"]),
        (["bulkverify_verdict", "verdict"], ["bulkverify_bulkverify_verdict", *OURS[1:]]),
        (OURS, OURS_AGAIN),
        (["verdict by hand"], OURS),
    ],
)
def test_our_columns_have_more_prefixes_than_those_of_the_list(
    own: list[str], ours: list[str]
) -> None:
    assert verdict_names(["email", *own]) == ours


def test_later_objects_may_bring_columns_of_our_names(tmp_path: Path) -> None:
    ours = ["bulkverify_verdict", *FLAGS, "bulkverify_verified_at"]
    later = {**json.loads(filled(["email"], ours)), **dict.fromkeys(OURS, "N")}
    later |= {"email": "b@x.com", "verdict": STALE[0], "verified_at": STALE[1]}
    old = write(tmp_path / "old.jsonl", f"{filled(['email'], ours)}{json.dumps(later)}\n")
    _, known = sifted(tmp_path, "email\na@x.com\nb@x.com\n", old)
    assert known == {"a@x.com": FRESH, "b@x.com": FRESH}


@pytest.mark.parametrize(
    ("names", "found"),
    [
        # The rest of our columns was deleted, or another program wrote the file.
        (["email", "verdict", "verified_at"], ["verdict", "verified_at"]),
        (["verified_at", "disposable", "verdict"], ["verdict", "disposable", "verified_at"]),
        (["Verified At", "Name", "Verification Result"], ["Verification Result", "Verified At"]),
        (["verdict", "verified_at", "bulkverify_verdict"], ["bulkverify_verdict"]),
        (["bulkverify_verified_at", "verdict", "isp"], ["verdict"]),
        (["verified_at", "bulkverify_verdict"], ["bulkverify_verdict"]),
        (["bulkverify_verdict", "verdict", "verified_at"], ["bulkverify_verdict"]),
        (["verified_at", "verdict", "spamtrap"], ["verdict", "spamtrap"]),
        # The list had a verdict of its own, which now stands before our other columns.
        (["bulkverify_verdict", *OURS], ["bulkverify_verdict"]),
        ([*OURS, "bulkverify_verdict", "bulkverify_verified_at"], OURS_AGAIN[::6]),
        # A service verified one of our outputs, or we its results.
        ([*OURS, *SERVICES], SERVICES),
        ([*OURS, *SERVICES[:-1]], SERVICES[:-1]),
        ([*SERVICES, *OURS], OURS),
        (["verdict", *SERVICES, "verified_at"], SERVICES),
        (["Role", *SERVICES], SERVICES),
        (["email", "name"], []),
    ],
)
def test_the_flags_and_the_time_are_those_of_the_verdict(
    names: list[str], found: list[str]
) -> None:
    places = places_of(names)
    assert [names[place] for place in places.values()] == found


OWN = st.sampled_from(
    [*OURS, *OURS_AGAIN, *SERVICES, "VERDICT", "bulkverify_bulkverify_verdict", "note"]
)


@settings(max_examples=40, deadline=None)
@given(
    own=st.lists(OWN, max_size=9, unique_by=str.lower),
    name=st.sampled_from(["old.csv", "old.jsonl", "old.xlsx"]),
    place=st.integers(0, 9),
    data=st.data(),
)
def test_an_output_gives_its_own_verdicts_or_none(
    own: list[str], name: str, place: int, data: st.DataObject
) -> None:
    names = [*own[:place], "email", *own[place:]]
    cells = json.loads(filled(names, ["-", "-"])) | {"email": "a@x.com"}
    with TemporaryDirectory() as path:
        folder, old = Path(path), Path(path) / name
        text = "".join(f"{','.join(line)}\n" for line in (names, map(cells.get, names)))
        table = opened(folder / "list.csv", text, column="email")
        reuse = Reuse([Rows([row("a@x.com", *("undeliverable", 1))])], MONTH, NOW, folder)
        done = split(table, folder, sieve=reuse)
        with old.open("wb") as file:
            join(table, done, folder, {}, file, format=old.suffix[1:])  # type: ignore[arg-type]
        plain = "email\na@x.com\nb@x.com\n"
        assert sifted(folder, plain, old, name="plain.csv")[1] == {"a@x.com": FRESH}
        if old.suffix == ".xlsx":
            return
        rest = verdict_names(names)[1:]
        deleted = data.draw(st.lists(st.sampled_from(rest), max_size=5), label="deleted")
        if old.suffix == ".csv":
            [cells] = csv.DictReader(old.read_text().splitlines())
        else:
            cells = json.loads(old.read_text())
        left = [one for one in cells if one not in deleted]
        if not deleted and not {*own} & {*SERVICES}:  # of two verdicts, the last one counts
            left = data.draw(st.permutations(left), label="moved")
        cells = {one: cells[one] for one in left}
        if old.suffix == ".csv":
            old.write_text("".join(f"{','.join(line)}\n" for line in (cells, cells.values())))
        else:
            old.write_text(json.dumps(cells) + "\n")
        _, known = sifted(folder, plain, old, name="plain.csv")
        assert known in ({}, {"a@x.com": FRESH})


def test_a_delimiter_is_found_beside_a_column_of_ours_with_another_name(tmp_path: Path) -> None:
    table = opened(tmp_path / "list.csv", "email^verdict\na@x.com^1,2;3\n", delimiter="^")
    done = split(table, tmp_path, sieve=Reuse([Rows([row("a@x.com")])], MONTH, NOW, tmp_path))
    old = tmp_path / "old.csv"
    with old.open("wb") as file:
        join(table, done, tmp_path, {}, file)
    _, known = sifted(tmp_path, "email\na@x.com\nb@x.com\n", old, name="plain.csv")
    assert known == {"a@x.com": ("deliverable", at(1))}

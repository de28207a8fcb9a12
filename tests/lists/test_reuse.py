"""Verdicts of earlier lists are taken for the addresses of a list, and only those that may be."""

import csv
import json
import tracemalloc
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import attrs
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl import Workbook

from bulkverify import EarlierVerdict, InvalidListError, ResultRow, UsageError, Verdict
from bulkverify.lists import Reuse, Rows, Split, address_key, join, open_table, part_path, split
from bulkverify.lists.layout import listed_path, reused_path
from bulkverify.models import VerdictName

from .made import HEADER, OURS, addresses, opened, write

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
MONTH = dict.fromkeys(["deliverable", "undeliverable", "accept-all"], 30 * 86_400.0)


def days_ago(days: float) -> datetime:
    return NOW - timedelta(days=days)


def row(email: str, verdict: Any = "deliverable", days: float | None = 1) -> ResultRow:  # noqa: ANN401 - wrong ones, too
    return ResultRow(
        email=email,
        verdict=verdict,
        verified_at=None if days is None else days_ago(days),
        columns={},
        **dict.fromkeys(OURS[1:-1], False),
    )


def sifted(
    folder: Path,
    content: str,
    *sources: Path | Iterable[EarlierVerdict],
    ages: dict[str, float] = MONTH,
    column: str | None = None,
    name: str = "list.csv",
    **options: Any,  # noqa: ANN401
) -> tuple[Split, dict[str, tuple[str, str]]]:
    """Split a list, and return the verdict and the time of each known address."""
    table = opened(folder / name, content, column=column)
    reuse = Reuse(
        [one if isinstance(one, Path) else Rows(one) for one in sources],
        ages,
        NOW,
        folder,
        column=column is not None,
    )
    done = split(table, folder, sieve=reuse, **options)
    file = BytesIO()
    join(table, done, folder, {}, file)
    assert not listed_path(folder).exists()
    read = csv.DictReader(file.getvalue().decode().splitlines(), delimiter=table.delimiter)
    address = table.names[table.column]
    return done, {
        one[address].strip(): (one["verdict"], one["verified_at"])
        for one in read
        if one["verified_at"]
    }


def sent(folder: Path, done: Split) -> list[str]:
    return [one for part in done.parts for one in addresses(folder, part.number)]


def at(days: float) -> str:
    return days_ago(days).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def test_a_known_address_is_not_sent_and_its_rows_get_its_verdict(tmp_path: Path) -> None:
    content = "n,email\n1,a@x.com\n2,b@x.com\n3,a@X.com\n4,c@x.com\n5,\n6,nothing\n"
    done, known = sifted(tmp_path, content, [row("a@x.com", days=3)])
    assert sent(tmp_path, done) == ["b@x.com", "c@x.com"]
    assert known == {
        "a@x.com": ("deliverable", at(3)),
        "a@X.com": ("deliverable", at(3)),
    }
    assert (done.rows, done.addresses, done.duplicates, done.reused.addresses) == (6, 2, 1, 1)
    assert done.reused.average_age == 3 * 86_400


def test_the_latest_verdict_wins_whatever_the_order_of_the_sources(tmp_path: Path) -> None:
    old, new = [row("a@x.com", "undeliverable", 9)], [row("a@x.com", "accept-all", 2)]
    for sources in ((old, new), (new, old)):
        _, known = sifted(tmp_path, "a@x.com\nb@x.com\n", *sources, name="list.txt")
        assert known == {"a@x.com": ("accept-all", at(2))}


@pytest.mark.parametrize(
    ("verdict", "days", "count"),
    [
        ("unknown", 1, {}),
        ("risky", 1, {}),
        (None, 1, {}),
        ("deliverable", 30.01, {"expired": 1}),
        ("deliverable", None, {"undated": 1}),
        ("deliverable", -0.01, {"future": 1}),
    ],
)
def test_other_verdicts_are_not_reused_and_it_is_said_why(
    tmp_path: Path, verdict: str | None, days: float | None, count: dict[str, int]
) -> None:
    done, known = sifted(tmp_path, "email\na@x.com\n", [row("a@x.com", verdict, days)])
    assert (known, sent(tmp_path, done)) == ({}, ["a@x.com"])
    found = attrs.asdict(done.reused)
    assert {name: found[name] for name in ("expired", "undated", "future")} == {
        "expired": 0,
        "undated": 0,
        "future": 0,
        **count,
    }


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize(
    ("later", "days", "ages"),
    [
        ("unknown", 5, MONTH),
        ("risky", 5, MONTH),
        ("accept-all", 5, {"deliverable": 86_400.0 * 30, "undeliverable": 86_400.0 * 30}),
        ("accept-all", 5, {**MONTH, "accept-all": 86_400.0}),
        ("unknown", 9, MONTH),
    ],
)
def test_if_the_latest_verdict_may_not_be_reused_no_older_one_is(
    tmp_path: Path, later: str, days: float, ages: dict[str, float], order: int
) -> None:
    rows = [row("a@x.com", days=9), row("a@x.com", later, days)][::order]
    done, known = sifted(tmp_path, "email\na@x.com\n", rows, ages=ages)
    assert (known, sent(tmp_path, done)) == ({}, ["a@x.com"])
    _, known = sifted(tmp_path, "email\na@x.com\n", [*rows, row("a@x.com", days=4)], ages=ages)
    assert known == {"a@x.com": ("deliverable", at(4))}


@pytest.mark.parametrize(
    "later", [row("a@x.com", None), row("a@x.com", "unknown", None), row("a@x.com", "unknown", -1)]
)
def test_a_row_without_a_verdict_or_a_time_hides_no_older_one(
    tmp_path: Path, later: ResultRow
) -> None:
    _, known = sifted(tmp_path, "email\na@x.com\n", [row("a@x.com", days=9), later])
    assert known == {"a@x.com": ("deliverable", at(9))}


def test_the_clock_of_the_service_may_be_some_minutes_ahead(tmp_path: Path) -> None:
    done, known = sifted(tmp_path, "email\na@x.com\nb@x.com\n", [row("a@x.com", days=-4.9 / 1440)])
    assert [*known] == ["a@x.com"]
    assert (done.reused.future, done.reused.average_age) == (0, 0)


def test_each_verdict_may_have_an_age_of_its_own(tmp_path: Path) -> None:
    ages = {"deliverable": 86_400.0 * 5, "undeliverable": 86_400.0 * 90}
    rows = [row("a@x.com", "deliverable", 9), row("b@x.com", "undeliverable", 80)]
    rows += [row("c@x.com", "accept-all", 1)]
    content = "email\na@x.com\nb@x.com\nc@x.com\n"
    _, known = sifted(tmp_path, content, rows, ages=ages)
    assert known == {"b@x.com": ("undeliverable", at(80))}


def test_verdicts_of_one_time_that_differ_are_not_reused(tmp_path: Path) -> None:
    rows = [row("a@x.com"), row("a@x.com", "undeliverable")]
    done, known = sifted(tmp_path, "email\na@x.com\n", rows)
    assert (known, done.addresses) == ({}, 1)
    _, known = sifted(tmp_path, "email\na@x.com\n", [*rows, row("a@x.com", days=0.5)])
    assert known == {"a@x.com": ("deliverable", at(0.5))}


def test_an_address_that_differs_in_case_is_not_known(tmp_path: Path) -> None:
    done, known = sifted(tmp_path, "email\nAnna@x.com\n", [row("anna@x.com")])
    assert (known, sent(tmp_path, done)) == ({}, ["Anna@x.com"])


def test_two_spellings_of_a_domain_are_one(tmp_path: Path) -> None:
    rows = [row("a@xn--mller-kva.example")]
    done, known = sifted(tmp_path, "email\na@Müller.example\nb@x.com\n", rows)
    assert [*known] == ["a@Müller.example"]
    assert sent(tmp_path, done) == ["b@x.com"]


def test_text_around_an_address_does_not_matter(tmp_path: Path) -> None:
    earlier = write(
        tmp_path / "old.csv", f'email,verdict,verified_at\n"Anna <a@x.com>",deliverable,{at(1)}\n'
    )
    _, known = sifted(tmp_path, "email\n(a@x.com)\nb@x.com\n", earlier)
    assert [*known] == ["(a@x.com)"]


def test_without_removing_duplicates_known_rows_are_still_not_sent(tmp_path: Path) -> None:
    content = "email\na@x.com\nb@x.com\na@x.com\nb@x.com\nnothing\n"
    done, known = sifted(tmp_path, content, [row("a@x.com")], deduplicate=False)
    assert [*known] == ["a@x.com"]
    assert sent(tmp_path, done) == ["b@x.com", "b@x.com"]
    assert (done.rows, done.addresses, done.duplicates, done.reused.addresses) == (5, 2, 1, 1)


def test_a_list_that_is_known_whole_has_no_parts(tmp_path: Path) -> None:
    done, known = sifted(tmp_path, "email\na@x.com\nb@x.com\n", [row("a@x.com"), row("b@x.com")])
    assert (done.parts, len(known)) == ((), 2)
    assert not part_path(tmp_path, 1).exists()


FORMATS = {
    "old.csv": ",".join(["name", "email", *OURS]) + f"\nA,a@x.com,deliverable,N,Y,,N,N,{at(1)}\n",
    "old.tsv": "\t".join(["email", *OURS]) + f"\na@x.com\tdeliverable\tN\tY\t\tN\tN\t{at(1)}\n",
    "semicolons.csv": ";".join(["a,b", "email", *OURS])
    + f"\n1,2;a@x.com;deliverable;N;Y;;N;N;{at(1)}\n",
    "titled.csv": "A title\n\n"
    + ",".join(["email", *OURS])
    + f"\na@x.com,deliverable,N,Y,,N,N,{at(1)}\n",
    "results.csv": ",".join(HEADER) + f'\n"a@x.com","deliverable","N","Y","","N","N","{at(1)}"\n',
    "spaced.csv": ", ".join(f'"{name}"' for name in HEADER)
    + f'\n"a@x.com", "deliverable", "N", "Y", "", "N", "N", "{at(1)}"\n',
    "other-order.csv": "Email,Verification Result,Verified At,Syntax Error,ISP,Disposable,Trap\n"
    f"a@x.com,Deliverable,{at(1)},0,1,0,0\n",
    "old.jsonl": json.dumps(
        {
            "email": "a@x.com",
            **dict(zip(OURS, ["deliverable", False, True, None, False, False, at(1)], strict=True)),
        }
    )
    + "\n",
    "renamed.csv": ",".join(["email", "verdict", *(f"bulkverify_{name}" for name in OURS)])
    + f"\na@x.com,undeliverable,deliverable,N,Y,,N,N,{at(1)}\n",
}


@pytest.mark.parametrize("name", FORMATS)
def test_earlier_files_are_read_by_the_names_of_their_columns(tmp_path: Path, name: str) -> None:
    earlier = write(tmp_path / name, FORMATS[name])
    _, known = sifted(tmp_path, "email\na@x.com\nb@x.com\n", earlier)
    assert known == {"a@x.com": ("deliverable", at(1))}
    written = reused_path(tmp_path).read_text().splitlines()[1]
    assert written == f"a@x.com,deliverable,N,Y,,N,N,{at(1)}"


def test_a_workbook_is_read(tmp_path: Path) -> None:
    table = opened(tmp_path / "list.csv", "email\na@x.com\nb@x.com\n")
    first = Reuse([Rows([row("a@x.com")])], MONTH, NOW, tmp_path)
    done = split(table, tmp_path, sieve=first)
    with (tmp_path / "old.xlsx").open("wb") as file:
        join(table, done, tmp_path, {}, file, format="xlsx")
    _, known = sifted(tmp_path, "email\na@x.com\nb@x.com\n", tmp_path / "old.xlsx")
    assert known == {"a@x.com": ("deliverable", at(1))}


def test_a_file_without_rows_knows_nothing(tmp_path: Path) -> None:
    done, known = sifted(
        tmp_path,
        "email\na@x.com\n",
        write(tmp_path / "old.csv", "who,verdict,verified_at\n"),
        [],
    )
    assert (known, done.addresses) == ({}, 1)


def test_the_keys_of_all_objects_count(tmp_path: Path) -> None:
    told = {"verdict": "deliverable", "verified_at": at(1)}
    objects: list[dict[str, str | None]] = [
        {"note": "no address", "verdict": None, "verified_at": None},
        {"email": "a@x.com", **told},
        {"E-Mail": "b@x.com", **told},
    ]
    old = write(tmp_path / "old.jsonl", "".join(f"{json.dumps(one)}\n" for one in objects))
    _, known = sifted(tmp_path, "email\na@x.com\nb@x.com\nc@x.com\n", old)
    assert [*known] == ["a@x.com", "b@x.com"]


def test_results_of_the_service_are_read_in_the_encoding_of_the_list(tmp_path: Path) -> None:
    listed = "email,name\na@x.com,Jürgen\n"
    (tmp_path / "list.csv").write_text(listed, encoding="cp1252")
    table = open_table(tmp_path / "list.csv", spool=tmp_path, encoding="cp1252")
    for encoding in ("cp1252", "utf-8"):
        old = tmp_path / f"{encoding}.csv"
        content = (
            f"email,name,Verification Result,Verified At\na@x.com,Jürgen,deliverable,{at(1)}\n"
        )
        old.write_text(content, encoding=encoding)
        done = split(table, tmp_path, sieve=Reuse([old], MONTH, NOW, tmp_path))
        assert done.reused.addresses == 1


@pytest.mark.parametrize("days", [(1, 40), (40, 1)])
def test_a_verdict_that_is_too_old_is_counted_in_any_order(
    tmp_path: Path, days: tuple[float, float]
) -> None:
    done, known = sifted(tmp_path, "email\na@x.com\n", [row("a@x.com", days=one) for one in days])
    assert known == {"a@x.com": ("deliverable", at(1))}
    assert done.reused.expired == 1


TWO = f"email,work,verdict,verified_at\na@x.com,b@x.com,deliverable,{at(1)}\n"


def test_a_file_with_two_columns_of_addresses_is_refused(tmp_path: Path) -> None:
    old = write(tmp_path / "old.csv", TWO)
    with pytest.raises(InvalidListError, match=r"has addresses in .*email.* and in .*work"):
        sifted(tmp_path, "email\nb@x.com\n", old)
    _, known = sifted(tmp_path, "work\nb@x.com\na@x.com\n", old, column="work")
    assert [*known] == ["b@x.com"]


def two_columns(*rows: str) -> str:
    return f"email,work,verdict,verified_at\n{''.join(rows)}"


def test_all_rows_tell_whether_a_file_has_two_columns_of_addresses(tmp_path: Path) -> None:
    first = [f",b{number}@x.com,,\n" for number in range(120)]
    last = f"a@x.com,b@x.com,deliverable,{at(1)}\n"
    old = write(tmp_path / "old.csv", two_columns(*first, last))
    with pytest.raises(InvalidListError, match="it is not certain"):
        sifted(tmp_path, "email\nb@x.com\n", old)


def test_a_column_that_the_verdicts_do_not_belong_to_is_refused(tmp_path: Path) -> None:
    rows = f"a@x.com,b@x.com,deliverable,{at(1)}\n", f"c@x.com,,deliverable,{at(1)}\n"
    old = write(tmp_path / "old.csv", two_columns(*rows))
    with pytest.raises(InvalidListError, match="its verdicts belong to the latter"):
        sifted(tmp_path, "work\nb@x.com\n", old, column="work")
    unsent = two_columns(rows[0], "c@x.com,,,\n", "d@x.com,none,undeliverable,\n")
    _, known = sifted(
        tmp_path, "work\nb@x.com\n", write(tmp_path / "sent.csv", unsent), column="work"
    )
    assert [*known] == ["b@x.com"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("email,name\na@x.com,A\n", "no column of verdicts"),
        ("verdict\ndeliverable\n", "no column of addresses"),
        ("email,verdict,disposable\na@x.com,deliverable,perhaps\n", "Row 1 of .*disposable"),
        ("", "no column of verdicts|empty"),
    ],
)
def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path, content: str, said: str) -> None:
    old = write(tmp_path / "old.csv", content)
    with pytest.raises(InvalidListError, match=said):
        sifted(tmp_path, "email\na@x.com\n", old)
    assert not listed_path(tmp_path).exists()


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16-le"])
def test_an_earlier_file_in_another_encoding_is_to_be_saved_as_utf_8(
    tmp_path: Path, encoding: str
) -> None:
    old = tmp_path / "old.csv"
    old.write_text(f"email,n,verdict,verified_at\na@x.com,é,deliverable,{at(1)}\n", encoding)
    with pytest.raises(InvalidListError) as caught:
        sifted(tmp_path, "email\na@x.com\n", old)
    assert caught.value.hint == caught.value.shell_hint == "Save it as UTF-8, and then reuse it."


def test_a_workbook_without_verdicts_says_which_sheet_was_read(tmp_path: Path) -> None:
    book = Workbook()
    assert book.active is not None
    book.active.append(["email"])
    book.active.append(["a@x.com"])
    book.create_sheet("Data").append(["email", "verdict", "verified_at"])
    book.save(tmp_path / "old.xlsx")
    with pytest.raises(InvalidListError, match="in its sheet 'Sheet', the only one that is read"):
        sifted(tmp_path, "email\na@x.com\n", tmp_path / "old.xlsx")


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        sifted(tmp_path, "email\na@x.com\n", tmp_path / "old.csv")


def test_rows_of_another_kind_are_refused(tmp_path: Path) -> None:
    wrong: Any = ["a@x.com"]
    with pytest.raises(UsageError, match="Row 1 of the earlier verdicts"):
        sifted(tmp_path, "email\na@x.com\n", wrong)


def test_flags_of_rows_are_read_as_those_of_files(tmp_path: Path) -> None:
    flags: dict[str, Any] = {"disposable": "N", "role_based": "false", "spamtrap": "0"}
    flags |= {"common_isp": float("nan"), "syntax_error": "yes"}
    own = SimpleNamespace(email="a@x.com", verdict="deliverable", verified_at=days_ago(1), **flags)
    sifted(tmp_path, "email\na@x.com\n", [own])
    written = reused_path(tmp_path).read_text().splitlines()[1]
    assert written == f"a@x.com,deliverable,Y,,N,N,N,{at(1)}"
    own.disposable = "perhaps"
    with pytest.raises(InvalidListError, match=r"Row 1 of the earlier verdicts .* 'disposable'"):
        sifted(tmp_path, "email\na@x.com\n", [own])


def test_missing_values_of_a_frame_are_missing(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "email": ["a@x.com", "b@x.com", "c@x.com"],
            "verdict": ["deliverable", "deliverable", None],
            "verified_at": [days_ago(1), None, days_ago(1)],
            "spamtrap": pd.array([False, None, None], dtype="boolean"),
        }
    )
    content = "email\na@x.com\nb@x.com\nc@x.com\n"
    rows: Any = frame.itertuples()
    done, known = sifted(tmp_path, content, rows)
    assert [*known] == ["a@x.com"]
    assert done.reused.undated == 1


def test_what_was_chosen_gives_the_same_split_again(tmp_path: Path) -> None:
    content = 'email\n"Anna, <a@x.com>"\nb@x.com\na@X.com\nc@x.com\n"d,e"@x.com\n'
    rows = [row("a@x.com"), row("c@x.com", days=20), row('"d,e"@x.com', "accept-all", 4)]
    done, known = sifted(tmp_path, content, rows)
    assert len(known) == 4
    again = Reuse([reused_path(tmp_path)], MONTH, NOW, tmp_path, recorded=True)
    table = open_table(tmp_path / "list.csv", spool=tmp_path)
    assert attrs.evolve(split(table, tmp_path, sieve=again), reused=done.reused) == done


def test_the_memory_does_not_grow_with_the_earlier_files(tmp_path: Path) -> None:
    peaks = []
    for count in (8_000, 30_000):
        old = tmp_path / f"old-{count}.csv"
        lines = (f"a{number}@example.com,deliverable,{at(1)}\n" for number in range(count))
        old.write_text("email,verdict,verified_at\n" + "".join(lines))
        sifted(tmp_path, "email\na1@example.com\nb@x.com\n", old)
        tracemalloc.start()
        done, _ = sifted(tmp_path, "email\na1@example.com\nb@x.com\n", old)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert done.reused.addresses == 1
    assert peaks[1] < peaks[0] + 300_000


EMAILS = st.sampled_from(["a@x.com", "A@x.com", "a@X.com", "c@müller.de"])
VERDICTS: st.SearchStrategy[VerdictName | str | None] = st.sampled_from(
    [*["deliverable", "undeliverable", "accept-all"] * 2, "unknown", "risky", None]
)
DAYS = st.sampled_from([*(1, 0.5, 2, 4.999, 5, 5.001, 20, 29.999, 30.001, 60, 90.001, -1), None])
EARLIER = st.builds(row, EMAILS, VERDICTS, DAYS)
AGES = st.dictionaries(st.sampled_from([*MONTH]), st.sampled_from([5, 30, 90]), min_size=2)
KINDS = {
    "ours.csv": ["email", *OURS],
    "ours.jsonl": ["email", *OURS],
    "results.csv": HEADER,
    "in another order.csv": ["Verified At", "Name", "Email", "Verification Result"],
}


def source_of(path: Path, rows: Sequence[ResultRow]) -> Path | Sequence[ResultRow]:
    """Write a source as a file, unless its name says that it is none."""
    names = KINDS.get(path.name[2:])
    if names is None or not rows:
        return rows
    lines = []
    for one in rows:
        verdict = str(one.verdict or "")
        moment = "" if one.verified_at is None else one.verified_at.isoformat()
        cells = dict.fromkeys(names, "N") | {"email": one.email, "Email": one.email}
        cells |= {"verdict": verdict, "Verification Result": verdict}
        cells |= {"verified_at": moment, "Verified At": moment}
        lines.append({name: cells[name] for name in names})
    with path.open("w", encoding="utf-8", newline="") as file:
        if path.suffix == ".jsonl":
            file.writelines(f"{json.dumps(line)}\n" for line in lines)
        else:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows(lines)
    return path


@settings(deadline=None, max_examples=150)
@given(
    cells=st.lists(
        st.one_of(EMAILS, st.sampled_from(["", "nothing", "<a@x.com>", "b@x.com"])), min_size=1
    ),
    sources=st.lists(
        st.tuples(st.sampled_from(["rows", *KINDS]), st.lists(EARLIER, max_size=8)), max_size=3
    ),
    days=AGES,
    deduplicate=st.booleans(),
)
def test_each_verdict_is_the_freshest_allowed_one_or_is_bought(
    *,
    cells: Sequence[str],
    sources: Sequence[tuple[str, Sequence[ResultRow]]],
    days: dict[str, int],
    deduplicate: bool,
) -> None:
    cells = [*cells, "z@z.com"]
    ages = {verdict: age * 86_400.0 for verdict, age in days.items()}
    freshest: dict[str, list[tuple[datetime, Verdict | str]]] = {}
    for one in (one for _, rows in sources for one in rows):
        if one.verified_at and one.verdict and one.verified_at <= NOW:
            freshest.setdefault(address_key(one.email), []).append((one.verified_at, one.verdict))
    allowed = {}
    for key, found in freshest.items():
        latest = max(moment for moment, _ in found)
        said = {verdict for moment, verdict in found if moment == latest}
        age = (NOW - latest).total_seconds()
        if len(said) == 1 and age <= ages.get(next(iter(said)), -1):
            allowed[key] = said.pop(), latest
    with TemporaryDirectory() as name:
        folder = Path(name)
        content = "email\n" + "".join(f'"{cell}"\n' for cell in cells)
        given_ = [
            source_of(folder / f"{number} {kind}", rows)
            for number, (kind, rows) in enumerate(sources)
        ]
        done, known = sifted(folder, content, *given_, ages=ages, deduplicate=deduplicate)
        bought = sent(folder, done)
    addresses_ = [cell.strip("<>") for cell in cells if "@" in cell]
    for address in addresses_:
        cell = address if address in known else f"<{address}>"
        if (expected := allowed.get(address_key(address))) is not None:
            assert known[cell][0] == expected[0]
            assert datetime.fromisoformat(known[cell][1]) == expected[1]
            assert address_key(address) not in map(address_key, bought)
        else:
            assert cell not in known
            assert address_key(address) in map(address_key, bought)
    wanted = [key for key in map(address_key, addresses_) if key not in allowed]
    assert len(bought) == (len(set(wanted)) if deduplicate else len(wanted))

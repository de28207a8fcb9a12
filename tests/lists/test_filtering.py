"""Rows of a list with verdicts are sorted by a rule: none is lost, and no byte of a cell changes."""

import csv
from collections import Counter
from io import BytesIO, StringIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl import Workbook

from bulkverify.errors import InvalidListError, UsageError
from bulkverify.lists import Rule, filter_rows, open_verified
from bulkverify.models import Verdict
from tests.lists.made import HEADER, OURS, joined, opened, write

PAYLOADS = Path(__file__).parents[1] / "payloads"
SPLIT = Rule(only=None, without=frozenset(), split=True)


def only(*verdicts: Verdict, without: tuple[str, ...] = (), split: bool = False) -> Rule:
    return Rule(only=frozenset(verdicts) or None, without=frozenset(without), split=split)


def sorted_by(
    rule: Rule, path: Path, content: str | bytes, encoding: str = "utf-8-sig"
) -> tuple[dict[str, bytes], dict[str, Counter[str]]]:
    """Sort the rows of a list; return the files of all groups, and the reasons."""
    verified = open_verified(
        write(path, content), title=str(path), encoding=encoding, spool=path.parent
    )
    files: dict[str, BytesIO] = {name: BytesIO() for name in rule.groups}
    counts = filter_rows(verified, rule, files)
    return {name: file.getvalue() for name, file in files.items()}, counts


def answer(verdict: str, *flags: str) -> list[str]:
    return [verdict, *("NY"[name in flags] for name in OURS[1:6]), "2026-11-26T03:00:57.075Z"]


@pytest.mark.parametrize("format_", ["csv", "jsonl"])
def test_rows_that_never_had_an_address_are_told_apart(tmp_path: Path, format_: str) -> None:
    table = opened(tmp_path / "list.csv", "email,verified_at\na@x.com,1\n,2\nn/a,3\nb@x.com,\n")
    text, _ = joined(table, tmp_path, format=format_)
    text = text.replace("accept-all", "undeliverable")
    _, counts = sorted_by(SPLIT, tmp_path / f"done.{format_}", text)
    assert counts["remove"] == {"undeliverable": 2, "no address": 2}


def test_without_times_no_row_is_said_to_have_no_address(path: Path) -> None:
    _, counts = sorted_by(SPLIT, path, "email,verdict,syntax_error\na@x.com,undeliverable,Y\n")
    assert counts["remove"] == {"undeliverable": 1}


@pytest.mark.parametrize(
    ("rule", "verdict", "flags", "group", "reason"),
    [
        (SPLIT, "deliverable", (), "mail", "deliverable"),
        (SPLIT, "accept-all", (), "hold", "accept-all"),
        (SPLIT, "unknown", (), "hold", "unknown"),
        (SPLIT, "", (), "hold", "no verdict"),
        (SPLIT, "risky", (), "hold", "risky"),
        (SPLIT, "undeliverable", ("disposable",), "remove", "undeliverable"),
        (SPLIT, "deliverable", ("spamtrap",), "remove", "spamtrap"),
        (SPLIT, "accept-all", ("spamtrap", "role_based"), "remove", "spamtrap"),
        (SPLIT, "deliverable", ("disposable",), "mail", "deliverable"),
        (only(without=("disposable",), split=True), "deliverable", ("disposable",), "hold", "disposable"),
        (only(without=("role_based",), split=True), "unknown", ("role_based",), "hold", "unknown"),
        (only(Verdict.ACCEPT_ALL, split=True), "Accept_All", (), "mail", "accept-all"),
        (only(Verdict.ACCEPT_ALL, split=True), "deliverable", (), "hold", "deliverable"),
        (only(Verdict.DELIVERABLE), "deliverable", ("spamtrap",), "wanted", "deliverable"),
        (only(Verdict.DELIVERABLE), "", (), "left out", "no verdict"),
        (only(Verdict.UNDELIVERABLE), "undeliverable", (), "wanted", "undeliverable"),
        (only(without=("role_based",)), "deliverable", ("role_based",), "left out", "role-based"),
        (only(without=("role_based",)), "", (), "wanted", "no verdict"),
    ],
)  # fmt: skip
def test_each_row_goes_to_one_group_for_one_reason(
    path: Path, rule: Rule, verdict: str, flags: tuple[str, ...], *, group: str, reason: str
) -> None:
    cells = answer(verdict, *flags)
    head, row = ",".join(["email", *OURS]) + "\n", ",".join(["a@x.com", *cells]) + "\n"
    # Some row tells that there are flags at all.
    other = ",".join(["b@x.com", *answer("undeliverable")]) + "\n"
    files, counts = sorted_by(rule, path, head + row + other)
    assert counts[group][reason] > 0
    assert sum(map(Counter.total, counts.values())) == 2
    assert [name for name, file in files.items() if row.encode() in file] == [group]
    assert all(file.startswith(head.encode()) for file in files.values())


CELL = st.text(alphabet='aä@ \\",;\t\n', max_size=8)
ROW = st.tuples(
    st.lists(CELL, min_size=2, max_size=2), st.sampled_from([*Verdict, ""]), st.booleans()
)


@settings(max_examples=300, deadline=None)
@given(
    rows=st.lists(ROW, max_size=12),
    delimiter=st.sampled_from(",;\t|"),
    newline=st.sampled_from(["\n", "\r\n"]),
    quoting=st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]),
    title=st.sampled_from(["", "Members\n", '"two\nlines"\n\n']),
)
def test_the_three_files_of_a_split_have_every_row_once_and_unchanged(
    *,
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[list[str], str, bool]],
    delimiter: str,
    newline: str,
    quoting: int,
    encoding: str,
    title: str,
) -> None:
    text = StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, lineterminator=newline, quoting=quoting)  # type: ignore[arg-type]
    writer.writerow(["note", "email", *OURS])
    head = title + text.getvalue()
    records: dict[str, list[list[str]]] = {"mail": [], "hold": [], "remove": []}
    for cells, verdict, trap in rows:
        record = [*cells, *answer(verdict, *(["spamtrap"] if trap else []))]
        writer.writerow(record)
        records[SPLIT.sort(Verdict(verdict) if verdict else None, ["spamtrap"] * trap)[0]].append(
            record
        )
    content = (title + text.getvalue()).encode(encoding)
    path = tmp_path_factory.getbasetemp() / "filtered.csv"
    given = "utf-8-sig" if encoding != "cp1252" else encoding
    files, counts = sorted_by(SPLIT, path, content, given)
    start = len(head.encode(encoding))
    assert sum(len(file) - start for file in files.values()) == len(content) - start
    for name, file in files.items():
        assert file[:start] == content[:start]
        read = csv.reader(StringIO(file.decode(encoding), newline=""), delimiter=delimiter)
        body = list(read)[len(list(csv.reader(StringIO(head, newline=""), delimiter=delimiter))) :]
        assert body == records[name]
        assert counts[name].total() == len(body)


@pytest.mark.parametrize("name", ["results.csv", "results_validto.csv"])
def test_results_of_the_service_are_sorted_by_the_names_of_their_columns(
    path: Path, name: str
) -> None:
    content = (PAYLOADS / name).read_bytes()
    rows = list(csv.DictReader(StringIO(content.decode("utf-8-sig"))))
    files, counts = sorted_by(SPLIT, path, content)
    assert sum(map(Counter.total, counts.values())) == len(rows) > 0
    for row in rows:
        verdict = row["Verification Result"]
        assert any(verdict in reasons or "spamtrap" in reasons for reasons in counts.values())
    first, *lines = content.splitlines(keepends=True)
    kept = [line for file in files.values() for line in file.splitlines(keepends=True)]
    assert kept.count(first) == 3
    assert sorted(kept) == sorted([first] * 3 + lines)


@pytest.mark.parametrize(
    ("names", "cells", "group"),
    [
        (["verdict", *(f"bulkverify_{name}" if name == "verdict" else name for name in OURS)], ["guilty", *answer("deliverable")], "mail"),
        (["Disposable", "email", *OURS], ["Y", "a@x.com", *answer("deliverable")], "mail"),
        (["Role", *HEADER], ["Boss", "a@x.com", "deliverable", "N", "N", "N", "N", "N", ""], "mail"),
        (["Verification Result", *OURS], ["undeliverable", *answer("deliverable")], "mail"),
        (["email", *OURS, *HEADER[1:]], ["a@x", *answer("deliverable"), "undeliverable", "N", "N", "N", "N", "N", ""], "remove"),
        (["Spamtrap ", " VERDICT"], ["y", "deliverable"], "remove"),
        (["email", *OURS], ["a@x.com"], "hold"),
    ],
)  # fmt: skip
def test_the_columns_are_found_by_name(
    path: Path, names: list[str], cells: list[str], group: str
) -> None:
    _, counts = sorted_by(SPLIT, path, f"{','.join(names)}\n{','.join(cells)}\n")
    assert {name for name, reasons in counts.items() if reasons} == {group}


def test_a_delimiter_that_the_list_was_given_is_found_again(path: Path) -> None:
    content = "email^a,b;c\na@x.com^1,2;3\n"
    text, _ = joined(opened(path, content, delimiter="^"), path.parent)
    files, counts = sorted_by(only(Verdict.ACCEPT_ALL), path, text)
    assert counts["wanted"] == {"accept-all": 1}
    assert files["wanted"].decode() == text


def test_backslashes_and_empty_lines_stay_as_they_are(path: Path) -> None:
    content = 'email,a\na@x.com,"say \\"hi\\", you"\nb@x.com,"x\ny"\n'
    text, _ = joined(opened(path, content), path.parent)
    text = text.replace("\nb@x", "\n\nb@x")
    files, _ = sorted_by(only(Verdict.ACCEPT_ALL), path, text)
    assert files["wanted"].decode() == text


def test_json_lines_stay_as_they_are(tmp_path: Path) -> None:
    lines = [
        '{"n": 1.10, "email": "a@x", "verdict": "deliverable", "spamtrap": false}',
        '{"verdict":"deliverable",  "n": [1, {"a": null}], "spamtrap": true}',
        '{"n": "ä\\u00e4", "verdict": null, "spamtrap": null}',
        '{"email": "d@x", "verdict": "accept_all", "spamtrap": "N"}',
    ]
    files, counts = sorted_by(SPLIT, tmp_path / "list.jsonl", "\n\n".join(lines))
    assert files == {
        "mail": f"{lines[0]}\n".encode(),
        "hold": f"{lines[2]}\n{lines[3]}\n".encode(),
        "remove": f"{lines[1]}\n".encode(),
    }
    assert counts["hold"] == {"no verdict": 1, "accept-all": 1}


def test_a_workbook_becomes_csv(tmp_path: Path) -> None:
    book = Workbook()
    sheet = book.create_sheet("People", 0)
    for row in [["email", *OURS], ["a@x.com", *answer("deliverable")], ["b@x", *answer("unknown")]]:
        sheet.append(row)
    book.save(tmp_path / "list.xlsx")
    files, counts = sorted_by(
        only(Verdict.UNKNOWN), tmp_path / "list.xlsx", (tmp_path / "list.xlsx").read_bytes()
    )
    rows = list(csv.DictReader(StringIO(files["wanted"].decode())))
    assert [(row["email"], row["verdict"]) for row in rows] == [("b@x", "unknown")]
    assert counts["left out"] == {"deliverable": 1}


@pytest.mark.parametrize(
    ("content", "without", "message"),
    [
        ("name,email\nAna,a@x.com\n", (), "has no column of verdicts .* 'name', 'email'"),
        ("email,verdict\na@x,deliverable\n", ("disposable",), "has no column 'disposable'"),
        ("email,verdict,disposable\na@x,unknown,\n", ("disposable",), "'disposable' .* is empty"),
        ("email,verdict,disposable\na@x,unknown,N\nb@x,unknown,perhaps\n", (), "Row 2 .* 'disposable': 'perhaps' is not"),
        ("email,verdict\na@x,unknown\nb@x,4711\n", (), "Row 2 .* 'verdict': '4711' is not a verdict"),
        ('email,verdict\na@x,unknown\n"b@x,unknown\n', (), "at line 3: a quote is opened and never closed"),
    ],
)  # fmt: skip
def test_a_list_that_does_not_tell_what_is_asked_is_refused(
    path: Path, content: str, without: tuple[str, ...], message: str
) -> None:
    with pytest.raises((InvalidListError, UsageError), match=message):
        sorted_by(only(Verdict.DELIVERABLE, without=without), path, content)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"only": None, "without": frozenset(), "split": False}, "Nothing is to be filtered"),
        ({"only": frozenset({Verdict.UNDELIVERABLE}), "without": frozenset(), "split": True}, "can't be mailed"),
    ],
)  # fmt: skip
def test_a_rule_that_makes_no_sense_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Rule(**options)  # type: ignore[arg-type]

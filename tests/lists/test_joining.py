"""The verdicts joined back to every row, cell for cell."""

import csv
import json
import sys
from datetime import UTC, datetime
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from bulkverify.errors import IncompleteDownloadError, InvalidListError, ProtocolError
from bulkverify.lists import JoinedRow, join, joined_rows, open_table, part_path, split
from bulkverify.models import Verdict
from tests.lists.made import (
    CELLS,
    NO_ADDRESS,
    OURS,
    RESULT,
    addresses,
    answered,
    joined,
    opened,
    records_of,
    write,
    write_results,
)

BAD = ["undeliverable", "N", "N", "Y", "N", "N", ""]


def test_every_row_gets_its_verdict(path: Path) -> None:
    table = opened(path, "name,email\nAnna,a@x.com\nBob,b@x.com\nAgain, a@X.com \nNo,\nWrong,n/a\n")
    text, outcome = joined(table, path.parent, {"a@x.com": RESULT})
    assert text.split("\n") == [
        ",".join(["name", "email", *OURS]),
        ",".join(["Anna", "a@x.com", *CELLS]),
        "Bob,b@x.com,,,,,,,",
        ",".join(["Again", " a@X.com ", *CELLS]),
        ",".join(["No", "", *NO_ADDRESS]),
        ",".join(["Wrong", "n/a", *NO_ADDRESS]),
        "",
    ]
    assert (outcome.rows, outcome.written, outcome.missing) == (5, 5, 1)
    verdicts, flags = outcome.verdicts, outcome.flags
    assert (verdicts.accept_all, verdicts.undeliverable) == (2, 2)
    assert (verdicts.deliverable, verdicts.unknown) == (0, 0)
    assert (flags.syntax_error, flags.common_isp, flags.role_based) == (2, 2, 0)


def test_results_may_have_any_order_and_case_and_extra_rows(path: Path) -> None:
    names = [f"User{number}" for number in range(100)]
    table = opened(path, "email\n" + "".join(f"{name}@x.com\n" for name in names))
    done = split(table, path.parent)
    verdicts = ["deliverable", "undeliverable", "accept-all", "unknown"]
    rows = [
        [f"{name.lower() if number % 2 else name}@X.com", verdicts[number % 4], *BAD[1:]]
        for number, name in enumerate(names)
    ]
    rows = [*rows[:3], *rows[:2:-1], ["more@x.com", "unknown", *BAD[1:]]]
    results = {1: write_results(path.with_name("results.csv"), rows)}
    file = BytesIO()
    outcome = join(table, done, path.parent, results, file)
    assert outcome.missing == 0
    found = [record[1] for record in records_of(file.getvalue().decode())[1:]]
    assert found == [verdicts[number % 4] for number in range(100)]


@pytest.mark.parametrize("shuffled", [False, True])
def test_thousands_of_rows_get_their_own_verdicts(path: Path, *, shuffled: bool) -> None:
    verdicts = ["deliverable", "undeliverable", "accept-all", "unknown"]
    table = opened(path, "n,email\n" + "".join(f"{n},a{n % 4001}@x.com\n" for n in range(9000)))
    done = split(table, path.parent, largest_rows=1500)
    results = {}
    for part in done.parts:
        sent = addresses(path.parent, part.number)
        rows = [
            [address, verdicts[int(address[1:-6]) % 4], *RESULT[1:-1], _time(int(address[1:-6]))]
            for address in (sorted(sent) if shuffled else sent)
        ]
        results[part.number] = write_results(path.with_name(f"{part.number}.csv"), rows)
    file = BytesIO()
    outcome = join(table, done, path.parent, results, file)
    assert (outcome.written, outcome.missing) == (9000, 0)
    for n, record in enumerate(records_of(file.getvalue().decode())[1:]):
        own = n % 4001
        assert record == [
            str(n),
            f"a{own}@x.com",
            verdicts[own % 4],
            *CELLS[1:-1],
            _time(own),
        ]


def _time(number: int) -> str:
    return f"2021-09-13T06:49:{number % 60:02}.{number % 1000:03}Z" if number % 7 else ""


def test_an_address_in_two_cases_has_a_verdict_for_each(path: Path) -> None:
    table = opened(path, "email\nAnna@x.com\nanna@x.com\n")
    text, _ = joined(table, path.parent, {"Anna@x.com": RESULT, "anna@x.com": BAD})
    assert [record[1] for record in records_of(text)[1:]] == ["accept-all", "undeliverable"]


def test_an_address_sent_twice_has_its_verdict_twice(path: Path) -> None:
    table = opened(path, "email\na@x.com\nb@x.com\na@x.com\n")
    done = split(table, path.parent, deduplicate=False)
    rows = [["b@x.com", *BAD], ["a@x.com", *RESULT]]
    results = {1: write_results(path.with_name("results.csv"), rows)}
    found = [row.verdict for row in joined_rows(table, done, path.parent, results)]
    assert found == [Verdict.ACCEPT_ALL, Verdict.UNDELIVERABLE, Verdict.ACCEPT_ALL]


def test_a_part_without_results_leaves_its_rows_without_verdicts(path: Path) -> None:
    table = opened(path, "email\n" + "".join(f"a{number}@x.com\n" for number in range(10)))
    done = split(table, path.parent, largest_rows=4)
    results = answered(done, path.parent)
    del results[2]
    file = BytesIO()
    outcome = join(table, done, path.parent, results, file)
    assert (outcome.rows, outcome.written, outcome.missing) == (10, 10, 4)
    found = [record[1] for record in records_of(file.getvalue().decode())[1:]]
    assert found == ["accept-all"] * 4 + [""] * 4 + ["accept-all"] * 2


@pytest.mark.parametrize(
    ("rows", "missing"), [([], 3), ([1], 2), ([0, 1], 1), ([2, 1], 1), ([0, 2, 1], 0)]
)
def test_a_row_that_the_service_did_not_return_is_never_dropped(
    path: Path, rows: list[int], missing: int
) -> None:
    table = opened(path, "email\na0@x.com\na1@x.com\na2@x.com\n")
    done = split(table, path.parent)
    answers = [[f"a{row}@x.com", *RESULT] for row in rows]
    results = {1: write_results(path.with_name("results.csv"), answers)}
    found = list(joined_rows(table, done, path.parent, results))
    assert [row.row for row in found] == [1, 2, 3]
    assert [row.row - 1 for row in found if row.verdict is not None] == sorted(rows)
    assert join(table, done, path.parent, results, BytesIO()).missing == missing


def test_rows_can_be_chosen_by_their_verdicts(path: Path) -> None:
    table = opened(path, "n,email\n1,a@x.com\n2,b@x.com\n3,\n4,a@x.com\n5,c@x.com\n")
    answers = {"a@x.com": RESULT, "b@x.com": BAD}
    text, outcome = joined(table, path.parent, answers, only={Verdict.ACCEPT_ALL})
    assert [record[0] for record in records_of(text)] == ["n", "1", "4"]
    assert (outcome.rows, outcome.written, outcome.missing) == (5, 2, 1)
    assert (outcome.verdicts.accept_all, outcome.verdicts.undeliverable) == (2, 2)
    text, outcome = joined(table, path.parent, answers, only=[], format="jsonl")
    assert (text, outcome.written) == ("", 0)
    text, _ = joined(table, path.parent, answers, only=["undeliverable"], format="jsonl")
    assert [json.loads(line)["n"] for line in text.splitlines()] == ["2", "3"]


def test_rows_can_be_objects(path: Path) -> None:
    table = opened(path, "n,email,n\n1, a@x.com ,x\n2,b@x.com,y\n3,,z\n")
    done = split(table, path.parent)
    results = answered(done, path.parent, {"a@x.com": RESULT})
    assert list(joined_rows(table, done, path.parent, results)) == [
        JoinedRow(
            row=1,
            email="a@x.com",
            columns={"n": "1", "email": " a@x.com ", "n_2": "x"},
            verdict=Verdict.ACCEPT_ALL,
            syntax_error=False,
            common_isp=True,
            role_based=None,
            disposable=False,
            spamtrap=False,
            verified_at=datetime(2021, 9, 13, 6, 49, 39, 280_000, tzinfo=UTC),
        ),
        JoinedRow(
            row=2,
            email="b@x.com",
            columns={"n": "2", "email": "b@x.com", "n_2": "y"},
            verdict=None,
        ),
        JoinedRow(
            row=3,
            email="",
            columns={"n": "3", "email": "", "n_2": "z"},
            verdict=Verdict.UNDELIVERABLE,
            syntax_error=True,
            common_isp=False,
            role_based=False,
            disposable=False,
            spamtrap=False,
        ),
    ]
    chosen = joined_rows(table, done, path.parent, results, only=[Verdict.UNDELIVERABLE])
    assert [row.row for row in chosen] == [3]


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("2021-09-13T06:49:39.280Z", "2021-09-13T06:49:39.280Z"),
        ("2021-09-13T06:49:39Z", "2021-09-13T06:49:39.000Z"),
        ("2021-09-13T08:49:39.280999+02:00", "2021-09-13T06:49:39.280Z"),
        ("09/13/2021, 6:49:39 AM", "2021-09-13T06:49:39.000Z"),
        ("1969-12-31T23:59:59.999Z", "1969-12-31T23:59:59.999Z"),
        ("0001-01-01T00:00:00.001Z", "0001-01-01T00:00:00.001Z"),
        ("9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999Z"),
        ("", ""),
    ],
)
def test_times_are_written_in_one_format(path: Path, written: str, shown: str) -> None:
    table = opened(path, "email\na@x.com\n")
    text, _ = joined(table, path.parent, {"a@x.com": [*RESULT[:-1], written]})
    assert records_of(text)[1][-1] == shown


# What the output looks like


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_output_has_the_delimiter_and_the_line_ends_of_the_list(
    path: Path, delimiter: str, newline: str
) -> None:
    content = f"name{delimiter}email{newline}Anna{delimiter}a@x.com{newline}"
    text, _ = joined(opened(path, content), path.parent)
    assert text == newline.join(
        [
            delimiter.join(["name", "email", *OURS]),
            delimiter.join(["Anna", "a@x.com", *CELLS]),
            "",
        ]
    )


def test_a_list_without_a_header_gets_one(path: Path) -> None:
    text, _ = joined(opened(path, "Anna,a@x.com\n"), path.parent)
    assert text.splitlines()[0] == ",".join(["col0", "col1", *OURS])


@pytest.mark.parametrize(
    ("header", "ours"),
    [
        ("email,verdict", ["bulkverify_verdict", *OURS[1:]]),
        ("email, Verdict ", ["bulkverify_verdict", *OURS[1:]]),
        ("email,VERIFIED_AT", [*OURS[:-1], "bulkverify_verified_at"]),
        (
            "email,verdict,bulkverify_verdict",
            ["bulkverify_bulkverify_verdict", *OURS[1:]],
        ),
    ],
)
def test_our_columns_are_renamed_if_the_list_has_the_same_names(
    path: Path, header: str, ours: list[str]
) -> None:
    content = f"{header}\na@x.com,mine{',' * (header.count(',') - 1)}\n"
    text, _ = joined(opened(path, content), path.parent)
    assert text.splitlines()[0] == ",".join([header, *ours])
    text, _ = joined(open_table(path, spool=path.parent), path.parent, format="jsonl")
    assert list(json.loads(text))[-7:] == ours


@pytest.mark.parametrize("name", ["\ufeffname", "name\ufeff", "\ufeffemail"])
def test_a_column_keeps_a_name_with_a_byte_order_mark(path: Path, name: str) -> None:
    text, _ = joined(opened(path, f"\ufeff{name},email,n\nA,a@x.com,1\n"), path.parent)
    again = opened(path.with_name("again.csv"), text)
    assert again.names[:3] == (name, "email", "n")


@pytest.mark.parametrize("format_", ["csv", "jsonl"])
def test_half_a_character_in_a_name_is_written_as_a_question_mark(path: Path, format_: str) -> None:
    source = path.with_suffix(".jsonl")
    table = opened(source, '{"email": "a@x.com", "n\\ud83d": 1}\n')
    text, _ = joined(table, path.parent, format=format_)
    assert ("n?" if format_ == "csv" else "n\\ud83d") in text


def test_json_lines_have_all_cells_of_a_csv(path: Path) -> None:
    table = opened(path, 'x,email,x,"q""\n"\n1,a@x.com,"ä\u2028",\n')
    text, _ = joined(table, path.parent, format="jsonl")
    assert text.count("\n") == 1
    assert json.loads(text) == {
        "x": "1",
        "email": "a@x.com",
        "x_2": "ä\u2028",
        'q"\n': "",
        "verdict": "accept-all",
        "syntax_error": False,
        "common_isp": True,
        "role_based": None,
        "disposable": False,
        "spamtrap": False,
        "verified_at": "2021-09-13T06:49:39.280Z",
    }


@pytest.mark.parametrize(
    ("newline", "cells"),
    [("\n", ["1\r2", "\r", "1\n2", "\n"]), ("\r\n", ["1\r2", "\r", "1\r\n2", "\n"])],
)
def test_a_cell_may_hold_any_line_end(path: Path, newline: str, cells: list[str]) -> None:
    text = StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator=newline).writerows(
        [["email", *"wxyz"], ["a@x.com", *cells], ["a@x.com", *"abcd"]]
    )
    again, _ = joined(opened(path, text.getvalue()), path.parent)
    assert records_of(again) == [
        ["email", *"wxyz", *OURS],
        ["a@x.com", *cells, *CELLS],
        ["a@x.com", *"abcd", *CELLS],
    ]


@pytest.mark.parametrize("delimiter", ["N", "-", ":", "_", "2", ".", " ", "\x1f"])
def test_the_delimiter_may_occur_in_our_cells(path: Path, delimiter: str) -> None:
    table = opened(path, f'"email"{delimiter}x\n"a@x.com"{delimiter}y\n', delimiter=delimiter)
    text, _ = joined(table, path.parent)
    assert records_of(text, delimiter)[1:] == [["a@x.com", "y", *CELLS]]


def test_a_join_reads_the_numbers_of_rows_on_every_machine(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = "email\na@x.com\nb@y.com\na@x.com\n"
    here = joined(opened(path, content), path.parent, domains=True)
    other = {"little": "big", "big": "little"}[sys.byteorder]
    with monkeypatch.context() as patched:
        patched.setattr(sys, "byteorder", other)
        assert joined(opened(path, content), path.parent, domains=True) == here


# Changed lists and unreadable results


@pytest.mark.parametrize(
    "changed",
    [
        "n,email\n1,a@x.com\n2,b@x.com\n3,c@x.com\n",
        "n,email\n1,a@x.com\n",
        "n,email\n1,b@x.com\n2,a@x.com\n",
        "n,email\n1,a@x.com\n9,b@x.com\n",
    ],
)
@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_a_list_that_changed_since_it_was_split_is_not_joined(
    path: Path,
    changed: str,
    form: Any,  # noqa: ANN401
) -> None:
    table = opened(path, "n,email\n1,a@x.com\n2,b@x.com\n")
    done = split(table, path.parent)
    results = answered(done, path.parent)
    write(path, changed)
    with pytest.raises(InvalidListError, match="has changed since it was split"):
        join(table, done, path.parent, results, BytesIO(), format=form)
    with pytest.raises(InvalidListError, match="has changed since it was split"):
        list(joined_rows(table, done, path.parent, results))


def test_unreadable_results_are_refused(path: Path) -> None:
    table = opened(path, "email\na@x.com\n")
    done = split(table, path.parent)
    results = path.with_name("results.csv")
    with pytest.raises(ProtocolError, match="no column `Verification Result`"):
        join(table, done, path.parent, {1: write(results, "x\n1\n")}, BytesIO())
    cut = write(results, 'email,Verification Result\na@x.com,"unk')
    with pytest.raises(IncompleteDownloadError, match="cut off"):
        join(table, done, path.parent, {1: cut}, BytesIO())


# Cell for cell


TEXT = st.text(
    alphabet=st.one_of(
        st.sampled_from("\"',;\t|\r\n @\0\ufeff\u2028\x0b\x85ä測📬"), st.characters(codec="utf-8")
    ),
    max_size=8,
)


@given(
    rows=st.lists(st.lists(TEXT, min_size=3, max_size=3), min_size=1, max_size=6),
    header=st.lists(TEXT, min_size=3, max_size=3),
    newline=st.sampled_from(["\n", "\r\n"]),
    delimiter=st.sampled_from(",;\t|"),
    quoting=st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
    bom=st.booleans(),
)
@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@example(
    rows=[["", "", ""]],
    header=["\ufeff", "", ""],
    newline="\n",
    delimiter=",",
    quoting=csv.QUOTE_ALL,
    bom=True,
)
def test_any_text_comes_back_cell_for_cell(
    path: Path,
    rows: list[list[str]],
    header: list[str],
    newline: str,
    delimiter: str,
    *,
    quoting: Any,  # noqa: ANN401
    bom: bool,
) -> None:
    text = StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, lineterminator=newline, quoting=quoting)
    writer.writerows([[*header, "E-Mail"], *([*row, "a@x.com"] for row in rows)])
    # As csv reads it: a carriage return without quotes ends a line.
    expected = [record for record in records_of(text.getvalue(), delimiter) if record]
    widths = {len(record) for record in expected}
    content = text.getvalue().replace("\0", "0").encode("utf-8-sig" if bom else "utf-8")
    expected = [[cell.replace("\0", "0") for cell in record] for record in expected]
    assume(not content.lstrip(b"\xef\xbb\xbf \r\n").startswith(b"<"))  # it may be refused as HTML
    assume(not {cell.strip().lower() for cell in expected[0]} & set(OURS))
    assume(widths == {4} and (bom or not content.startswith(b"\xef\xbb\xbf")))
    table = opened(path, content, delimiter=delimiter, column="E-Mail")
    again, outcome = joined(table, path.parent)
    assert again.startswith("\ufeff") is bom
    assert records_of(again[bom:], delimiter) == [
        [*expected[0], *OURS],
        *([*record, *CELLS] for record in expected[1:]),
    ]
    # Only the byte order mark of the file is left out when the file is read, not that of a name.
    assert again.encode().decode("utf-8-sig") == again[bom:]
    assert outcome.missing == 0
    typed = joined_rows(table, split(table, path.parent), path.parent, {})
    assert [list(row.columns.values()) for row in typed] == expected[1:]


@given(
    rows=st.lists(
        st.dictionaries(
            TEXT,
            st.recursive(
                st.one_of(
                    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), TEXT
                ),
                lambda inner: (
                    st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2)
                ),
                max_leaves=4,
            ),
            max_size=4,
        ),
        min_size=1,
        max_size=5,
    ),
    ascii_only=st.booleans(),
)
@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_json_comes_back_value_for_value(
    path: Path, rows: list[dict[str, Any]], *, ascii_only: bool
) -> None:
    rows = [{**row, "E-Mail": "a@x.com"} for row in rows]
    content = "".join(json.dumps(row, ensure_ascii=ascii_only) + "\n" for row in rows)
    table = opened(path, content, format="jsonl", column="E-Mail")
    text, _ = joined(table, path.parent, format="jsonl")
    found = [json.loads(line) for line in text.split("\n")[:-1]]
    assert [list(row.items())[:-7] for row in found] == [list(row.items()) for row in rows]
    assert len(table.names) == len({name for row in rows for name in row})


def test_parts_hold_no_other_columns(path: Path) -> None:
    table = opened(path, "name,email,note\nAnna,a@x.com,secret\n")
    done = split(table, path.parent)
    assert [addresses(path.parent, part.number) for part in done.parts] == [["a@x.com"]]
    assert b"secret" not in part_path(path.parent, 1).read_bytes()


@pytest.mark.parametrize("only", [None, [Verdict.ACCEPT_ALL]])
def test_rows_keep_their_numbers_in_every_batch(path: Path, only: Any) -> None:  # noqa: ANN401
    table = opened(path, "n,email\n" + "".join(f"{n},a{n}@example.com\n" for n in range(1, 20_001)))
    assert sum(1 for _ in table.batches()) >= 4
    done = split(table, path.parent)
    found = list(joined_rows(table, done, path.parent, answered(done, path.parent), only=only))
    assert [row.row for row in found] == list(range(1, 20_001))
    assert all(row.columns["n"] == str(row.row) for row in found)


def test_only_a_row_with_a_carriage_return_gets_quotes(path: Path) -> None:
    table = opened(path, b'name,email\nAnna,a@x.com\n"B\rob",b@x.com\n')
    text, _ = joined(table, path.parent, {})
    _, anna, bob, _ = text.split("\n")
    assert anna.startswith("Anna,a@x.com,")
    assert bob.startswith('"B\rob","b@x.com",')


def test_a_byte_order_mark_in_the_first_name_stays_part_of_it(path: Path) -> None:
    table = opened(path, "\ufeff\ufeffname,email\nAnna,a@x.com\n")
    text, _ = joined(table, path.parent, {})
    assert text.startswith('\ufeff"\ufeffname","email","verdict",')
    assert text.count('"') == 2 * len(["name", "email", *OURS])

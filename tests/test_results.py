"""A results file is read into typed rows by the names of its columns."""

import csv
from collections.abc import Iterable
from datetime import UTC, datetime
from io import StringIO
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bulkverify.errors import IncompleteDownloadError, ProtocolError
from bulkverify.models import ResultRow, Verdict
from bulkverify.results.rows import ResultsReader
from tests.conftest import Payload

BOUNCIFY = (
    "Verification Result",
    "Syntax Error",
    "ISP",
    "Role",
    "Disposable",
    "Trap",
    "Verified At",
)
VALIDTO = (
    "Verification Result",
    "Verified At",
    "Syntax Error",
    "ISP",
    "Role",
    "Disposable",
    "Trap",
)
WHEN = "2021-09-13T06:49:39.280Z"
MOMENT = datetime(2021, 9, 13, 6, 49, 39, 280_000, tzinfo=UTC)
GOOD = ("deliverable", "N", "Y", "N", "N", "N", WHEN)


def read(data: bytes, size: int = 7) -> list[ResultRow]:
    reader = ResultsReader()
    pieces = [data[place : place + size] for place in range(0, len(data), size)]
    rows = [row for piece in pieces for row in reader.feed(piece)]
    rows += reader.finish()
    assert reader.count == len(rows)
    return rows


def table(*records: Iterable[str]) -> bytes:
    text = StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(records)
    return text.getvalue().encode()


def first(*records: Iterable[str]) -> ResultRow:
    return read(table(*records))[0]


def misfit(*records: Iterable[str]) -> ProtocolError:
    with pytest.raises(ProtocolError) as info:
        read(table(*records))
    assert info.value.__context__ is None
    return info.value


@pytest.mark.parametrize("size", [1, 64, 10_000])
def test_bouncifys_file_is_read(payload: Payload, size: int) -> None:
    assert read(payload("results.csv"), size) == [
        ResultRow(
            email="info@sample.com",
            verdict=Verdict.DELIVERABLE,
            syntax_error=False,
            common_isp=True,
            role_based=False,
            disposable=False,
            spamtrap=False,
            verified_at=MOMENT,
        ),
        ResultRow(
            email="support@sample.in",
            verdict=Verdict.ACCEPT_ALL,
            syntax_error=False,
            common_isp=False,
            role_based=True,
            disposable=True,
            spamtrap=False,
            verified_at=MOMENT.replace(microsecond=282_000),
        ),
    ]


@pytest.mark.parametrize("size", [1, 64, 10_000])
def test_validtos_file_is_read_in_its_own_order(payload: Payload, size: int) -> None:
    assert read(payload("results_validto.csv"), size) == [
        ResultRow(
            email="a@sample.com",
            verdict=Verdict.DELIVERABLE,
            syntax_error=False,
            common_isp=True,
            role_based=False,
            disposable=False,
            spamtrap=False,
            verified_at=datetime(2021, 9, 21, 9, 52, 19, 734_000, tzinfo=UTC),
        ),
        ResultRow(
            email="info@sample.in",
            verdict=Verdict.ACCEPT_ALL,
            syntax_error=False,
            common_isp=False,
            role_based=True,
            disposable=False,
            spamtrap=False,
            verified_at=datetime(2021, 9, 21, 9, 52, 19, 61_000, tzinfo=UTC),
        ),
    ]


@settings(deadline=None)
@given(order=st.permutations(["Email", "Name", *BOUNCIFY]))
def test_columns_are_found_by_name_in_any_order(order: list[str]) -> None:
    cells = dict(zip(("Email", "Name", *BOUNCIFY), ("a@x", "Anna", *GOOD), strict=True))
    row = first(order, [cells[name] for name in order])
    assert row == ResultRow(
        email="a@x",
        verdict=Verdict.DELIVERABLE,
        syntax_error=False,
        common_isp=True,
        role_based=False,
        disposable=False,
        spamtrap=False,
        verified_at=MOMENT,
        columns={"Name": "Anna"},
    )


def test_names_are_compared_without_case_spaces_and_dashes() -> None:
    header = ["E-MAIL", "verification_result", "SYNTAX ERROR", "isp", "verified-at"]
    row = first(header, ["a@x", "unknown", "Y", "N", WHEN])
    assert (row.email, row.syntax_error, row.common_isp) == ("a@x", True, False)
    assert row.verified_at == MOMENT
    assert (row.role_based, row.disposable, row.spamtrap) == (None, None, None)
    assert row.columns == {}


def test_the_lists_own_columns_are_kept_unchanged_and_in_order() -> None:
    row = first(["Company", "Email", " Name ", *BOUNCIFY], ["Acme, Inc.", "a@x", " A\nB ", *GOOD])
    assert list(row.columns.items()) == [("Company", "Acme, Inc."), (" Name ", " A\nB ")]


@pytest.mark.parametrize("service", [BOUNCIFY, VALIDTO])
def test_a_list_may_have_a_role_of_its_own(service: tuple[str, ...]) -> None:
    cells = dict(zip(BOUNCIFY, GOOD, strict=True))
    row = first(
        ["Email", "Role", "Verified At", *service],
        ["a@x", "engineer", "never", *(cells[name] for name in service)],
    )
    assert row.role_based is False
    assert row.columns == {"Role": "engineer", "Verified At": "never"}


def test_a_column_that_repeats_the_verdict_is_left_out() -> None:
    row = first(["Email", *BOUNCIFY, "Accept-all"], ["a@x", *GOOD, "N"])
    assert row.columns == {}


def test_columns_with_the_same_name_are_numbered() -> None:
    row = first(
        ["Email", "x", "x", "x_2", "x", "", "", *BOUNCIFY],
        ["a@x", "1", "2", "3", "4", "5", "6", *GOOD],
    )
    assert row.columns == {"x": "1", "x_2": "2", "x_2_2": "3", "x_3": "4", "": "5", "_2": "6"}


@pytest.mark.parametrize("name", ["Email", "e-mail", "E-Mail Address", "mail", "address"])
def test_the_addresses_come_from_the_column_named_for_them(name: str) -> None:
    row = first(["Contact", name, *BOUNCIFY], ["@home", "a@x", *GOOD])
    assert (row.email, row.columns) == ("a@x", {"Contact": "@home"})


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_list_without_a_header_is_searched_for_its_addresses(place: int) -> None:
    own = ["Anna", "Berlin", "7"]
    own[place] = "a@x"
    row = first(["col0", "col1", "col2", *BOUNCIFY], [*own, *GOOD])
    assert row.email == "a@x"
    assert list(row.columns) == [f"col{index}" for index in range(3) if index != place]


def test_a_list_without_any_addresses_gives_its_first_column() -> None:
    row = first(["col0", "col1", *BOUNCIFY], ["", "x", *GOOD])
    assert (row.email, row.columns) == ("", {"col1": "x"})


@pytest.mark.parametrize(
    ("spelled", "verdict"),
    [
        ("deliverable", Verdict.DELIVERABLE),
        ("Undeliverable", Verdict.UNDELIVERABLE),
        ("accept-all", Verdict.ACCEPT_ALL),
        ("accept all", Verdict.ACCEPT_ALL),
        ("accept_all", Verdict.ACCEPT_ALL),
        (" unknown ", Verdict.UNKNOWN),
    ],
)
def test_a_verdict_comes_in_several_spellings(spelled: str, verdict: Verdict) -> None:
    assert first(["Email", "Verification Result"], ["a@x", spelled]).verdict is verdict


@pytest.mark.parametrize(
    ("cell", "flag"), [("Y", True), ("N", False), ("1", True), ("0", False), ("", None)]
)
def test_a_flag_comes_in_several_spellings(cell: str, *, flag: bool | None) -> None:
    row = first(["Email", "Verification Result", "Role"], ["a@x", "unknown", cell])
    assert row.role_based is flag


@pytest.mark.parametrize("cell", ["", "  "])
def test_a_row_may_lack_the_time(cell: str) -> None:
    header = ["Email", "Verification Result", "Verified At"]
    assert first(header, ["a@x", "unknown", cell]).verified_at is None


def test_a_file_of_a_header_only_has_no_rows() -> None:
    assert read(table(["Email", *BOUNCIFY])) == []


def test_an_empty_file_has_no_rows() -> None:
    assert read(b"") == []
    assert read(b"\n\n") == []


@pytest.mark.parametrize("verdict", ["risky", "Catch-all", "do_not_mail", "not sure", "ungültig"])
def test_an_unknown_verdict_stays_a_text(verdict: str) -> None:
    header = ["Email", "Verification Result"]
    first, second, third = read(
        table(header, ["a@x", f" {verdict}"], ["b@x", "unknown"], ["c@x", verdict])
    )
    assert first.verdict == third.verdict == verdict
    assert type(first.verdict) is str
    assert second.verdict is Verdict.UNKNOWN


def test_a_file_without_verdicts_is_refused() -> None:
    error = misfit(["Email", "x" * 100], ["a@x", "y"])
    assert error.path == "Verification Result"
    assert f"no column `Verification Result`, but 'Email', '{'x' * 40}'." in str(error)


def test_a_file_without_addresses_is_refused() -> None:
    error = misfit(BOUNCIFY, GOOD)
    assert error.path == "Email"
    assert "no column with the addresses" in str(error)


@pytest.mark.parametrize("cells", [["a@x"], ["a@x", "unknown", "1", "2"]])
def test_a_ragged_row_is_named_by_its_number(cells: list[str]) -> None:
    good = ["a@x", "unknown", "1"]
    error = misfit(["Email", "Verification Result", "Own"], good, good, cells)
    assert error.path == "row 3"
    assert f"Row 3 of the results has {len(cells)} cells, and the header has 3" in str(error)


@pytest.mark.parametrize(
    ("place", "cell", "column"),
    [
        (0, "", "Verification Result"),
        (0, "=1+1", "Verification Result"),
        (0, "a@x", "Verification Result"),
        (0, "1", "Verification Result"),
        (0, "Y", "Verification Result"),
        (1, "maybe", "Syntax Error"),
        (2, "maybe", "ISP"),
        (3, "2", "Role"),
        (4, "maybe", "Disposable"),
        (5, "-", "Trap"),
        (6, "yesterday", "Verified At"),
        (6, "2021-13-13T06:49:39.280Z", "Verified At"),
    ],
)
def test_an_invalid_cell_is_named_by_its_row_and_column(place: int, cell: str, column: str) -> None:
    cells = [*GOOD[:place], cell, *GOOD[place + 1 :]]
    error = misfit(["Email", *BOUNCIFY], ["a@x", *GOOD], ["b@x", *cells])
    assert error.path == column
    assert f"Row 2 of the results is wrong at `{column}`: " in str(error)
    assert repr(cell) in str(error)


@pytest.mark.parametrize("place", range(len(BOUNCIFY)))
def test_an_invalid_huge_cell_is_not_quoted_in_full(place: int) -> None:
    cells = [*GOOD[:place], "x" * 100_000, *GOOD[place + 1 :]]
    assert len(str(misfit(["Email", *BOUNCIFY], ["a@x", *cells]))) < 300


def test_the_rows_before_a_bad_one_are_returned() -> None:
    reader = ResultsReader()
    rows = reader.feed(table(["Email", "Verification Result"], ["a@x", "unknown"], ["b@x", "?"]))
    assert next(rows).email == "a@x"
    with pytest.raises(ProtocolError, match="Row 2"):
        next(rows)


def test_a_file_that_was_cut_off_is_noticed() -> None:
    with pytest.raises(IncompleteDownloadError):
        read(table(["Email", *BOUNCIFY], ["a@x", *GOOD])[:-2])


def test_rows_are_counted_while_they_come() -> None:
    reader = ResultsReader()
    assert reader.count == 0
    assert list(reader.feed(b"Email,Verification Result\na@x,unknown\nb@x,unk"))
    assert reader.count == 1
    assert list(reader.feed(b"nown")) == []
    assert list(reader.finish())
    assert reader.count == 2


OWN = st.lists(st.text(max_size=6), min_size=2, max_size=2)


@settings(deadline=None)
@given(
    rows=st.lists(st.tuples(OWN, st.sampled_from(Verdict), st.booleans()), max_size=5),
    cuts=st.lists(st.integers(0, 500), max_size=8),
    header=st.sampled_from([["Email", "Own"], ["Own", "Email"]]),
)
def test_a_file_in_pieces_has_all_its_rows(
    rows: list[tuple[list[str], Verdict, bool]], cuts: list[int], header: list[str]
) -> None:
    data = table(
        [*header, "Verification Result", "Role"],
        *([*own, verdict, "Y" if flag else "N"] for own, verdict, flag in rows),
    )
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in cuts)})
    reader = ResultsReader()
    found = [row for begin, end in pairwise(edges) for row in reader.feed(data[begin:end])]
    found += reader.finish()
    place = header.index("Email")
    assert found == [
        ResultRow(
            email=own[place], verdict=verdict, role_based=flag, columns={"Own": own[1 - place]}
        )
        for own, verdict, flag in rows
    ]


def test_the_pieces_of_a_file_do_not_change_its_address_column() -> None:
    content = b"col0,col1,Verification Result\nno address,x,unknown\n" + b"".join(
        b"name,a%d@example.com,deliverable\n" % number for number in range(250)
    )
    results = ResultsReader()
    rows = [
        row for index in range(len(content)) for row in results.feed(content[index : index + 1])
    ]
    rows += results.finish()
    assert [row.email for row in rows] == ["x", *(f"a{n}@example.com" for n in range(250))]
    assert results.count == 251


@pytest.mark.parametrize("size", [100, 20_000, 1_000_000])
@pytest.mark.parametrize(
    "odd",
    [
        "",
        " ",
        "2021-09-13T08:49:39.280+02:00",
        "2021-09-13T06:49:39.280",
        "09/13/2021, 6:49:39 AM",
    ],
)
def test_a_batch_gives_the_rows_of_single_records(size: int, odd: str) -> None:
    verdicts = ["deliverable", "undeliverable", "accept-all", "unknown"]
    records = [
        [
            f"a{n}@x",
            f"note {n}",
            verdicts[n % 4],
            "NY"[n % 3 == 0],
            *"NNNN",
            odd if n % 1000 == 7 else f"2021-09-13T06:49:{n % 60:02}.{n % 1000:03}Z",
        ]
        for n in range(3000)
    ]
    header = ["Email", "Note", *BOUNCIFY]
    data = table(header, *records)
    rows = read(data, size)
    assert rows == [first(header, record) for record in records]
    assert {type(row) for row in rows} == {ResultRow}
    reader = ResultsReader()
    pieces = [data[place : place + size] for place in range(0, len(data), size)]
    answers = [answer for piece in pieces for answer in reader.answers(piece)]
    assert [*answers, *reader.last_answers()] == [
        (
            row.email,
            (row.verdict, row.syntax_error, *[row.common_isp] * 4),
            row.verified_at,
        )
        for row in rows
    ]
    assert reader.count == 3000


def test_a_batch_may_lack_times() -> None:
    records = [[f"a{n}@x", "unknown"] for n in range(3000)]
    rows = read(table(["Email", "Verification Result"], *records), 20_000)
    assert rows == [ResultRow(email=f"a{n}@x", verdict=Verdict.UNKNOWN) for n in range(3000)]


def test_a_bad_row_far_into_a_file_is_named_after_the_rows_before_it() -> None:
    records = [[f"a{n}@x", "unknown" if n != 2500 else "?"] for n in range(3000)]
    reader = ResultsReader()
    given = []
    with pytest.raises(ProtocolError, match="Row 2501 of the results is wrong"):  # noqa: PT012
        for row in reader.feed(table(["Email", "Verification Result"], *records)):
            given.append(row.email)  # noqa: PERF401 - the rows before the error
    assert given == [f"a{n}@x" for n in range(2500)]


def test_thousands_of_spellings_are_not_all_cached() -> None:
    records = [[f"a{n}@x", "unknown", f"{' ' * (n % 100)}N{' ' * (n // 100)}"] for n in range(9000)]
    rows = read(table(["Email", "Verification Result", "Role"], *records), 20_000)
    assert {row.role_based for row in rows} == {False}
    assert len(rows) == 9000

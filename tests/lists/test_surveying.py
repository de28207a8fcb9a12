"""Later rows count when the column of addresses is chosen, in every format."""

import json
from collections.abc import Callable, Iterator
from itertools import chain, repeat
from pathlib import Path

import pytest
from openpyxl import Workbook

from bulkverify.errors import InvalidListError, UsageError
from bulkverify.lists import Table, open_table, split
from tests.lists.made import write

Rows = list[dict[str, str]]
MANY = 3000
"""More rows than any part of the list that is kept."""


def as_csv(rows: Rows, path: Path) -> Table:
    lines = [",".join(row) for row in ([*rows[0]], *(row.values() for row in rows))]
    return open_table(write(path / "list.csv", "\n".join(lines)), spool=path)


def as_json_lines(rows: Rows, path: Path) -> Table:
    lines = [json.dumps({name: cell for name, cell in row.items() if cell}) for row in rows]
    content = "\n".join([json.dumps(dict.fromkeys(rows[0])), *lines])
    return open_table(write(path / "list.jsonl", content), spool=path)


def as_workbook(rows: Rows, path: Path) -> Table:
    book = Workbook(write_only=True)
    sheet = book.create_sheet()
    for cells in chain([[*rows[0]]], (row.values() for row in rows)):
        sheet.append([cell or None for cell in cells])
    book.save(path / "list.xlsx")
    return open_table(path / "list.xlsx", spool=path)


def as_mappings(rows: Rows, path: Path) -> Table:
    return open_table(rows, spool=path)


def as_second_of_two(rows: Rows, path: Path) -> Table:
    first = write(path / "first.csv", "email\nzoe@x.com\n")
    as_csv(rows, path)
    _, table = open_table([first, path / "list.csv"], spool=path).lists
    return table


FORMS = [as_csv, as_json_lines, as_workbook, as_mappings, as_second_of_two]


def late(first: dict[str, str], *rows: dict[str, str], before: int = MANY) -> Rows:
    """Make a list of many rows like the first, with other rows at its end."""
    return [*repeat(first, before), *rows]


def people(**names: str) -> Rows:
    return [
        {name: (cell.format(number) if cell else "") for name, cell in names.items()}
        for number in range(200)
    ]


REP = "rep@corp.example"
LATE: dict[str, tuple[Rows, str, list[str]]] = {
    # what is late: the list, the column that is taken, and the others
    "the only addresses of Email": (
        late({"Manager": REP, "Email": ""}, {"Manager": REP, "Email": "a@x.com"}),
        "Email",
        ["Manager"],
    ),
    "n/a before": (
        late({"Manager": REP, "Email": "n/a"}, {"Manager": REP, "Email": "a@x.com"}),
        "Email",
        ["Manager"],
    ),
    "the first of two names": (
        late({"E-mail 2": "b@x.com", "E-mail 1": ""}, *people(**{"E-mail 2": "", "E-mail 1": "a{}@x.com"})),
        "E-mail 1",
        ["E-mail 2"],
    ),
    "a column without a name for it": (
        late({"Owner": REP, "Who": "Ana", "Reach": ""}, *people(Owner=REP, Who="Bo", Reach="b{}@x.com")),
        "Reach",
        ["Owner"],
    ),
    "one address beside a full column": (
        [*people(**{"Work Email": "a{}@x.com", "Home Email": ""}) * 20, {"Work Email": "z@x.com", "Home Email": "h@x.com"}],
        "Work Email",
        ["Home Email"],
    ),
    "text where addresses were": (
        [
            *({"Login": f"l{n}@x.com", "Notes": f"n{n}@x.com"} for n in range(10)),
            *({"Login": f"l{n}@x.com", "Notes": "see above"} for n in range(10, MANY)),
        ],
        "Login",
        ["Notes"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("what", LATE)
def test_later_rows_count_when_the_column_is_chosen(
    tmp_path: Path, what: str, form: Callable[[Rows, Path], Table]
) -> None:
    rows, column, others = LATE[what]
    if what == "text where addresses were":
        with pytest.raises(InvalidListError, match="could be meant"):
            as_csv(rows[:10], tmp_path)
    table = form(rows, tmp_path)
    assert table.names[table.column] == column
    assert [table.names[place] for place in table.others] == others
    sent = {row[column].lower() for row in rows if "@" in row[column]}
    assert split(table, tmp_path).addresses == len(sent)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("before", [110, MANY])
def test_a_second_column_that_begins_late_is_not_left_out_in_silence(
    tmp_path: Path, before: int, form: Callable[[Rows, Path], Table]
) -> None:
    work = [{"Work Email": f"a{number}@x.com", "Home Email": ""} for number in range(before)]
    home = [{"Work Email": "", "Home Email": f"b{number}@x.com"} for number in range(before)]
    with pytest.raises(InvalidListError, match=r"'Work Email'.* and 'Home Email'"):
        form(work + home, tmp_path)


def test_columns_without_names_are_judged_by_all_rows(tmp_path: Path) -> None:
    lines = ["rep@corp.example,n/a,1\n"] * MANY + [
        f"rep@corp.example,b{n}@x.com,1\n" for n in range(9)
    ]
    table = open_table(write(tmp_path / "list.csv", "".join(lines)), spool=tmp_path)
    assert (table.names, table.column, table.others) == (("col0", "col1", "col2"), 1, (0,))


def test_a_name_that_comes_twice_means_the_column_that_is_filled_later(tmp_path: Path) -> None:
    path = write(tmp_path / "list.csv", "Email,Email\n" + ",\n" * MANY + ",a@x.com\n")
    assert open_table(path, column="Email", spool=tmp_path).column == 1
    write(path, "Email,Email\n" + "b@x.com,\n" * MANY + ",a@x.com\n")
    with pytest.raises(UsageError, match="several columns named 'Email'"):
        open_table(path, column="Email", spool=tmp_path)
    assert open_table(path, column="1", spool=tmp_path).column == 0


@pytest.mark.parametrize(
    ("content", "column"),
    [
        ("Name,Email\nAna,a@x.com\n", None),
        ("Manager,Email\nm@x.com,a@x.com\n", None),
        ("Work Email,Home Email\na@x.com,\n", "Work Email"),
        ("a@x.com\nb@x.com\n", None),
    ],
)
def test_a_list_is_read_again_only_where_another_column_could_be_meant(
    tmp_path: Path, content: str, column: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> Iterator[list[list[str]]]:
        raise AssertionError

    monkeypatch.setattr("bulkverify.lists.delimited.Delimited.batches", refuse)
    open_table(write(tmp_path / "list.csv", content), column=column, spool=tmp_path)


def test_an_address_in_few_rows_of_long_cells_is_found(tmp_path: Path) -> None:
    long = "x" * 30_000
    rows = late(
        {"Owner": REP, "Note": long, "Email": ""},
        {"Owner": REP, "Note": long, "Email": "a@x.com"},
        before=900,
    )
    table = as_csv(rows, tmp_path)
    assert table.names[table.column] == "Email"

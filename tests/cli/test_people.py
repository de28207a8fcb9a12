"""Lists as people have them, through the command: what a person expects, and what is seen.

The lists in `tests/lists/people` are made after public bug reports, with names and addresses of our own.
A refusal is right if it says what to do; a row that gets the verdict of another text is never right.
"""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from openpyxl import load_workbook

from .conftest import Cli

PEOPLE = Path(__file__).parent.parent / "lists" / "people"

READ: dict[str, tuple[str, str, dict[str, int]]] = {
    # list: the column, another one that has addresses, and the counts
    "bom-utf16.csv": ("email", "", {"addresses": 2}),
    "bom-utf8.csv": ("E-Mail", "", {"addresses": 1}),
    "cells-google-contacts.csv": (
        "E-mail 1 - Value",
        "E-mail 2 - Value",
        {"addresses": 2, "unclear": 1, "blank": 2},
    ),
    "cells-invisible-characters.csv": (
        "email",
        "",
        {"addresses": 12, "duplicates": 1, "unwrapped": 8},
    ),
    "cells-wrapped.csv": ("email", "", {"addresses": 13, "duplicates": 2, "unwrapped": 14}),
    "column-postal-address.csv": ("Email Addr.", "", {"addresses": 4}),
    "column-same-name-twice.csv": ("Email", "Email", {"addresses": 3}),
    "column-thunderbird.csv": ("Primary Email", "Secondary Email", {"addresses": 2, "blank": 1}),
    "column-usual-but-sparse.csv": ("Email", "Email verified by", {"addresses": 1, "blank": 2}),
    "escapes-x000d.xlsx": ("E-mail", "", {"addresses": 2}),
    "formulas-some.xlsx": ("E-mail", "", {"addresses": 1, "blank": 2}),
    "header-below-a-narrow-title.csv": ("E-mail", "", {"addresses": 2}),
    "header-below-a-title.csv": ("E-mail", "", {"addresses": 2}),
    "header-below-a-title.xlsx": ("E-mail", "", {"addresses": 2}),
    "header-in-two-rows.csv": ("E-mail", "", {"addresses": 2}),
    "header-in-two-rows.xlsx": ("E-mail", "", {"addresses": 2}),
    "keys-in-three-spellings.jsonl": ("email", "", {"addresses": 3}),
    "nothing-sep-quoted.csv": ("Email", "", {"addresses": 1}),
    "quotes-after-a-blank.csv": (" email", "", {"addresses": 2}),
    "quotes-backslash.csv": ("email", "", {"addresses": 5}),
    "quotes-two-stray.csv": ("email", "", {"addresses": 10}),
    "rows-hidden-by-a-filter.xlsx": ("E-mail", "", {"addresses": 3}),
    "strict-open-xml.xlsx": ("E-mail", "", {"addresses": 2}),
    "wider-than-its-header.xlsx": ("E-mail", "", {"addresses": 3}),
    "works-google-utf16.csv": ("E-mail 1 - Value", "E-mail 2 - Value", {"addresses": 2}),
    "works-hubspot.csv": ("Email", "Additional email addresses", {"addresses": 2, "blank": 1}),
    "works-mailchimp-de.csv": ("Emailadresse", "", {"addresses": 2}),
    "works-mailchimp.csv": ("Email Address", "", {"addresses": 2}),
    "works-salesforce-footer.csv": ("Email", "", {"addresses": 2, "blank": 6}),
}

REFUSED = {
    "cells-several-addresses.csv": (
        "such as row 1: 'ana.lima@example.com; ana@work.example'",
        "Write each address in a row of its own",
    ),
    "delimiters-mixed.csv": (
        "Line 3 of delimiters-mixed.csv has ';' between its cells",
        "Write all rows with one delimiter",
    ),
    "formulas-never-calculated.xlsx": (
        "2 formulas, the first in C2, were never calculated",
        "Open the file in Excel or LibreOffice, and save it there",
    ),
    "nothing.ldif": ("nothing.ldif is LDIF", "export it as CSV"),
    "one-line-commas.txt": ("several addresses on a line", "Write one address a line"),
    "one-line-semicolons.csv": ("several addresses on a line", "Write one address a line"),
    "quotes-at-the-beginning.csv": ("Line 4 of quotes-at-the-beginning.csv", "Remove the quote"),
    "works-outlook-cp1252.csv": ("on line 4", "--encoding cp1252"),
}

SANDBOX = ["--sandbox", "--sandbox-speed", "5000"]


def rows_of(path: Path) -> list[list[str]]:
    data = path.read_bytes()
    encoding = "utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    return list(filter(None, csv.reader(data.decode(encoding).splitlines(keepends=True))))


def verified(cli: Cli, name: str, *options: str) -> Any:  # noqa: ANN401 - it is JSON
    outcome = cli("verify", str(PEOPLE / name), "-o", "out.csv", *SANDBOX, *options, "--json")
    assert outcome.code == 0, outcome.out
    return outcome.document


def test_each_list_has_its_row() -> None:
    assert {path.name for path in PEOPLE.iterdir()} == {*READ, *REFUSED}


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("name", READ)
def test_a_list_is_read_as_a_person_expects(cli: Cli, name: str) -> None:
    column, other, counts = READ[name]
    report = verified(cli, name)
    [taken] = report["lists"]
    assert (taken["column"], taken["others"]) == (column, [other] if other else [])
    kinds = ("addresses", "duplicates", "blank", "invalid", "unclear", "unwrapped")
    assert {kind: report[kind] for kind in kinds if report[kind]} == counts
    unsent = report["blank"] + report["invalid"] + report["unclear"]
    assert report["rows"] == report["addresses"] + report["duplicates"] + unsent
    assert report["written"] == report["rows"]


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("name", REFUSED)
def test_a_list_is_refused_with_what_to_do(cli: Cli, tmp_path: Path, name: str) -> None:
    outcome = cli("verify", str(PEOPLE / name), "-o", "out.csv", *SANDBOX)
    assert outcome.code == 2
    told = outcome.err.replace(f"{PEOPLE}/", "")
    assert all(words in told for words in REFUSED[name])
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("name", ["header-below-a-title.csv", "header-in-two-rows.csv"])
def test_what_stands_above_the_names_comes_back(cli: Cli, tmp_path: Path, name: str) -> None:
    verified(cli, name)
    before, after = (rows_of(path) for path in (PEOPLE / name, tmp_path / "out.csv"))
    assert [row[: len(old)] for row, old in zip(after, before, strict=True)] == before


@pytest.mark.usefixtures("environment")
def test_a_column_of_a_name_that_comes_twice_is_named_by_its_place(cli: Cli) -> None:
    report = verified(cli, "column-same-name-twice.csv", "--column", "1")
    assert (report["addresses"], report["blank"]) == (1, 2)
    assert report["lists"][0]["place"] == 1


@pytest.mark.usefixtures("environment")
def test_a_list_in_another_encoding_is_read_once_that_is_named(cli: Cli) -> None:
    report = verified(cli, "works-outlook-cp1252.csv", "--encoding", "cp1252")
    assert (report["lists"][0]["column"], report["rows"]) == ("E-mail Address", 4)
    assert json.dumps(report["lists"][0]["others"]) == '["E-mail 2 Address"]'


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("formulas-some.xlsx", {"uncalculated": 2, "uncalculated_at": "C3"}),
        ("rows-hidden-by-a-filter.xlsx", {"hidden_rows": 1}),
    ],
)
def test_what_a_workbook_hides_is_said_before_and_after(
    cli: Cli, name: str, facts: dict[str, object]
) -> None:
    plan = cli("verify", str(PEOPLE / name), "--dry-run", "--json").document
    for told in (plan, verified(cli, name)):
        assert facts.items() <= told["lists"][0].items()
    shown = cli("verify", str(PEOPLE / name), "--dry-run").out
    assert "the first in C3, never calculated" in shown or "1 row hidden in the sheet" in shown


@pytest.mark.usefixtures("environment")
def test_a_sheet_is_named_and_the_output_is_a_workbook(cli: Cli, tmp_path: Path) -> None:
    name = str(PEOPLE / "strict-open-xml.xlsx")
    told = cli("verify", name, "-o", "out.xlsx", *SANDBOX, "--sheet", "sheet", "--json").document
    assert told["lists"][0]["sheet"] == "Sheet"
    book = load_workbook(tmp_path / "out.xlsx")
    rows = [row[3:8] for row in book.worksheets[0].values]
    assert rows[0] == ("Name", "E-mail", "Joined", "Phone", "verdict")
    assert rows[1][:4] == ("Ana Lima", "ana.lima@example.com", "2024-02-29", "351900000001")
    refused = cli("verify", name, "--dry-run", "--sheet", "Old")
    assert "has no sheet 'Old'; it has 'Sheet'" in refused.err

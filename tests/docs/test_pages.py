"""The pages agree with the code that they describe."""

import re
import runpy
from typing import Any

import pytest

import bulkverify
from bulkverify import errors, lifecycle
from bulkverify.cli.app import app
from bulkverify.cli.exits import Exit
from tests.docs.blocks import PAGES, ROOT

ERRORS = {name for name in bulkverify.__all__ if isinstance(getattr(bulkverify, name), type)} & {
    name for name in bulkverify.__all__ if name.endswith("Error")
}


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def rows(text: str) -> list[list[str]]:
    """Return the cells of all rows of tables."""
    found = re.findall(r"^\| (.+) \|$", text, re.MULTILINE)
    return [[cell.strip() for cell in row.split(" | ")] for row in found]


def sections() -> dict[str, list[list[str]]]:
    """Return the rows of the table of errors by the class that heads their section."""
    _, *found = re.split(r"^## (\w+Error): ", page("errors.md"), flags=re.MULTILINE)
    return {
        head: [row for row in rows(text) if row[0].startswith("`")]
        for head, text in zip(found[::2], found[1::2], strict=True)
    }


def test_the_page_about_errors_has_each_error_once_with_all_answers() -> None:
    found = [row for table in sections().values() for row in table]
    assert sorted(row[0].strip("`") for row in found) == sorted(ERRORS)
    assert all(len(row) == 4 and all(row) for row in found)


def test_each_error_is_in_the_section_of_its_class() -> None:
    for head, table in sections().items():
        for name in {row[0].strip("`") for row in table} - {"BulkVerifyError"}:
            assert issubclass(getattr(bulkverify, name), getattr(bulkverify, head)), name


def test_the_attributes_that_the_page_names_exist() -> None:
    for table in sections().values():
        for row in table:
            error = getattr(bulkverify, row[0].strip("`"))()
            for name in re.findall(r"`\.(\w+)`", " ".join(row)):
                assert hasattr(error, name) or name == "paid", (row[0], name)


def test_the_command_line_page_has_every_command_and_exit_code() -> None:
    text = page("command-line.md")
    commands = {name for name in app if not name.startswith("-")}
    assert {row[0].split()[0].strip("`") for row in rows(text)} >= commands
    assert [[f"{one.value}", one.meaning] for one in Exit] == [
        row for row in rows(text) if row[0].isdigit()
    ]


def test_the_page_of_the_lifecycle_has_every_status_in_order() -> None:
    names = [row[0].strip("`") for row in rows(page("lifecycle.md"))]
    assert [name for name in names if name in {*lifecycle.JobStatus}] == [*lifecycle.TRANSITIONS]


def test_the_wire_contract_names_the_errors_of_the_refusals() -> None:
    named = set(re.findall(r"\| `(\w+Error)` \|", page("wire.md")))
    refusals = {
        cls.__name__
        for cls in errors.ServiceError.__subclasses__()
        if cls.__module__ == errors.__name__
    }
    assert named == refusals - {"ServerError"}  # any 5xx, whatever its text


DRAWN: dict[str, Any] = runpy.run_path(str(ROOT / "tools/draw.py"))["PICTURES"]


@pytest.mark.parametrize("name", DRAWN)
def test_a_picture_shows_what_its_data_say(name: str) -> None:
    assert (ROOT / "docs/pictures" / name).read_text(encoding="utf-8") == DRAWN[name]()


def test_the_lifecycle_is_drawn_with_an_arrow_for_each_transition() -> None:
    drawn = (ROOT / "docs/pictures/lifecycle.svg").read_text(encoding="utf-8")
    assert drawn.count("marker-end") == sum(map(len, lifecycle.TRANSITIONS.values()))


def test_the_readme_is_short_and_its_links_work_on_an_index_page() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert text.count("\n") <= 120
    links = re.findall(r"(!?)\[[^\]]*\]\(([^)]+)\)", text)
    assert all(link.startswith("https://") for picture, link in links if not picture)
    # There is no home page yet to load them from, see the release in CONTRIBUTING.md.
    assert [link for picture, link in links if picture] == ["docs/pictures/terminal.svg"]
    assert (ROOT / "docs/pictures/terminal.svg").is_file()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_a_page_has_one_title_first(path: Any) -> None:  # noqa: ANN401 - a path
    text = re.sub(
        r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
    )
    if text.strip():  # else it includes another file
        assert text.lstrip().startswith("# ")
        assert len(re.findall(r"^# ", text, re.MULTILINE)) == 1

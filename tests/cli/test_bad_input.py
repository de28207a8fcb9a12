"""Every bad input of `bulkverify verify` has its message, and none costs a request."""

from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Cli, Shell, read_until
from .service import Service

GOOD = "email\na@example.com\n"


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (None, [], "list.csv: No such file or directory."),
        ("", [], "list.csv is empty: a list needs at least one address."),
        ("\ufeff\r\n\n", [], "list.csv is empty: a list needs at least one address."),
        ("email\n", [], "list.csv has a header and no rows: there is nothing to verify."),
        (
            "name,phone\nAnna,1\n",
            [],
            "list.csv begins with 'Anna', '1' and has no column of addresses among 'name', 'phone'.\n  Name it with --column, or the row of the header with --header-row.",
        ),
        (
            "email,phone\na@x.com,1\n",
            ["--column", "mail"],
            "list.csv has no column 'mail'; it has 'email', 'phone'. A list without a header has col0, col1, ... A number names a column by its place, from 1.",
        ),
        (
            "email,none\na@x.com,\n",
            ["--column", "none"],
            "list.csv has no addresses in its column 'none': there is nothing to verify. The column begins with empty cells. Nothing was sent.\n  Name the right one with --column.",
        ),
        (
            b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
            [],
            "list.csv is not a text file: line 3 has a NUL character. Save it as CSV (UTF-8). Nothing was sent.",
        ),
        (
            b"PK\x03\x04junk",
            [],
            "list.csv is a spreadsheet or a ZIP file: save it as CSV (UTF-8). Nothing was sent.",
        ),
        (
            b"name,email\nM\xfcller,a@example.com\n",
            [],
            "list.csv is not utf-8-sig text: byte 0xfc at position 12, on line 2 (invalid start byte). Nothing was sent.\n  Name its encoding, for example --encoding cp1252.",
        ),
        (GOOD, ["--encoding", "utf-33"], "There is no encoding 'utf-33'; try 'cp1252' or 'utf-8'."),
        (
            "email\n" + "a" * 5_000_000,
            [],
            "list.csv can't be read as CSV at line 2: a record of more than 4,194,304 characters. Nothing was sent.",
        ),
        (
            "email,name\na@x.com,A\nb@x.com,B,C\n",
            [],
            "Line 3 of list.csv has 3 cells where the list has 2 columns. Quote cells that hold ',', or name the delimiter. Nothing was sent.",
        ),
        (GOOD, ["-o", "nowhere/out.csv"], "nowhere/out.csv: No such file or directory."),
        (GOOD, ["-o", "."], ".: Is a directory."),
        (GOOD, ["-o", "there.csv"], "there.csv already exists."),
        (
            GOOD,
            ["--max-credits", "0"],
            "list.csv has 1 distinct address and would cost 1 credit, more than the 0 allowed. Nothing was sent.",
        ),
    ],
)
def test_bad_input_has_a_message_of_one_line_and_costs_no_request(  # noqa: PLR0917 - a row of the table
    service: Service,
    cli: Cli,
    tmp_path: Path,
    content: str | bytes | None,
    options: list[str],
    message: str,
) -> None:
    (tmp_path / "there.csv").touch()
    if content is not None:
        data = content if isinstance(content, bytes) else content.encode()
        (tmp_path / "list.csv").write_bytes(data)
    output = [] if "-o" in options else ["-o", "out.csv"]
    outcome = cli("verify", "list.csv", *output, *options)
    assert outcome.code == 2
    assert outcome.err.startswith(f"bulkverify: error: {message}\n")
    assert service.sandbox.ledger.requests.total() == 0
    assert {path.name for path in tmp_path.iterdir()} <= {"there.csv", "list.csv"}


def test_short_rows_are_padded_and_reported(service: Service, cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("email,name\ndeliverable@x.com\n")
    assert "too short   1 (have fewer cells" in cli("verify", "list.csv", "--dry-run").out
    outcome = cli("verify", "list.csv", "-o", "out.csv")
    assert outcome.code == 0
    assert "short rows     1, padded with empty cells" in outcome.err
    row = (tmp_path / "out.csv").read_text().splitlines()[1]
    assert row.startswith("deliverable@x.com,,deliverable,")
    assert service.sandbox.ledger.credits_spent == 1


def test_too_few_credits_are_a_refusal_of_the_service(
    service: Service, cli: Cli, contacts: Path
) -> None:
    service.do(lambda: setattr(service.sandbox, "credits", 1))
    outcome = cli("verify", str(contacts), "-o", "out.csv")
    assert outcome.code == 3
    assert outcome.err.startswith(
        "bulkverify: error: contacts.csv costs 3 credits and the account has 1: 2 are missing, and nothing was spent."
    )


@pytest.mark.parametrize("more", [[], ["--dry-run"]])
@pytest.mark.parametrize("words", [("s3://b/list.csv", "out.csv"), ("{}", "s3://b/out.csv")])
def test_a_url_is_for_durable_runs(
    service: Service, cli: Cli, contacts: Path, words: tuple[str, str], more: list[str]
) -> None:
    source, output = words
    outcome = cli("verify", source.format(contacts), "-o", output, *more)
    assert outcome.code == 2
    assert "is a URL, and only durable runs read and write those" in outcome.err
    assert "`bulkverify submit`" in outcome.err
    assert service.sandbox.ledger.requests.total() == 0


def test_a_folder_in_the_place_of_the_progress_is_not_touched(
    service: Service, cli: Cli, contacts: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "out.csv.progress"
    folder.mkdir()
    (folder / "precious").touch()
    outcome = cli("verify", str(contacts), "-o", "out.csv")
    assert outcome.code == 2
    assert "something else is in there" in outcome.err
    assert (folder / "precious").exists()
    assert service.sandbox.ledger.requests.total() == 0


@pytest.mark.parametrize("restart", [[], ["--restart"]])
def test_a_run_in_progress_is_not_disturbed(  # noqa: PLR0917 - fixtures
    serve: Callable[..., Service],
    environment: Callable[[Service], None],
    shell: Shell,
    cli: Cli,
    contacts: Path,
    restart: list[str],
) -> None:
    service = serve(speed=0)
    environment(service)
    process = shell("verify", str(contacts), "-o", "out.csv", "-v")
    read_until(process, "preparing, job")
    outcome = cli("verify", str(contacts), "-o", "out.csv", *restart)
    assert outcome.code == 2
    assert f"in use: process {process.pid} is at work on {contacts}." in outcome.err
    assert len(service.sandbox.ledger.uploads) == 1

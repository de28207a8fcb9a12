"""The page of a report, from `verify --report` and from `report`."""

import json
import os
import stat
import sys
from io import BytesIO, TextIOWrapper
from pathlib import Path

import pytest

from bulkverify import RunReport
from bulkverify.report.facts import Facts
from bulkverify.sandbox import Fault, FaultKind

from .conftest import Cli
from .service import KEY, Service

pytestmark = pytest.mark.usefixtures("service")

BEGIN = "<!doctype html>"


def test_verify_writes_the_page_beside_the_output(cli: Cli, contacts: Path) -> None:
    outcome = cli("verify", str(contacts), "-o", "v.csv", "--report", "page.html")
    assert outcome.code == 0
    page = Path("page.html").read_text()
    assert page.lstrip().startswith(BEGIN)
    assert contacts.name in page
    assert "did not count its domains" not in page
    assert "the verdicts are made up" in page  # the sandbox says who it is
    assert "page.html" in outcome.err


def test_a_page_is_made_later_from_json(cli: Cli, contacts: Path) -> None:
    printed = cli("verify", str(contacts), "-o", "v.csv", "--json").out
    Path("run.json").write_text(printed)
    report = RunReport.from_json(printed)
    assert report.domains is not None
    outcome = cli("report", "run.json", "-o", "page.html")
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "Wrote the page to page.html.\n")
    assert Path("page.html").read_text() == report.to_html()
    assert cli("report", ".v.csv.done", "-o", "other.html").code == 0
    assert cli("report", "run.json", "-o", "page.html", "--json").document == {
        "destination": "page.html"
    }


def test_a_report_is_read_from_stdin(
    cli: Cli, contacts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    printed = cli("verify", str(contacts), "-o", "v.csv", "--json").out
    monkeypatch.setattr(sys, "stdin", TextIOWrapper(BytesIO(printed.encode())))
    assert cli("report", "-", "-o", "page.html").code == 0
    assert BEGIN in Path("page.html").read_text()


def test_small_domains_are_named_if_asked(cli: Cli) -> None:
    rows = [f"deliverable+{n}@big.example" for n in range(30)]
    rows += [f"undeliverable+{n}@anna.example" for n in range(4)]
    Path("list.csv").write_text("email\n" + "\n".join(rows) + "\n")
    Path("run.json").write_text(cli("verify", "list.csv", "-o", "v.csv", "--json").out)
    cli("report", "run.json", "-o", "page.html")
    assert "anna.example" not in Path("page.html").read_text()
    cli("report", "run.json", "-o", "page.html", "--small-domains")
    assert "anna.example" in Path("page.html").read_text()


def test_only_our_own_pages_are_replaced_without_force(cli: Cli, contacts: Path) -> None:
    Path("run.json").write_text(cli("verify", str(contacts), "-o", "v.csv", "--json").out)
    other = Path("other.html")
    other.write_text("my page")
    outcome = cli("report", "run.json", "-o", "other.html")
    assert outcome.code == 2
    assert "--force" in outcome.err
    assert other.read_text() == "my page"
    for _ in range(2):
        assert cli("report", "run.json", "-o", "other.html", "--force").code == 0
    assert cli("report", "run.json", "-o", "other.html").code == 0


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ("v.csv", "can't be both the page and the output"),
        ("./v.csv", "can't be both the page and the output"),
        ("contacts.csv", "can't be both the page and the list"),
        ("more.csv", "can't be both the page and the list"),
        ("same.csv", "can't be both the page and the list"),
        ("old.csv", "can't be both the page and a file with earlier verdicts"),
        ("key", "can't be both the page and the API key"),
        (".v.csv.done", "can't be both the page and the note about the output"),
        ("v.csv.progress/page.html", "where the progress is kept"),
        ("mine.html", "already exists and is no page of bulkverify"),
        ("no/folder/page.html", "no/folder"),
        ("-", "--report - would be stdin or stdout"),
        ("", "The argument after --report is empty"),
    ],
)
def test_nothing_is_spent_if_the_page_can_not_be_written(
    cli: Cli, service: Service, contacts: Path, page: str, said: str
) -> None:
    Path("mine.html").write_text("mine")
    Path("more.csv").write_text("email\na@x.com\n")
    Path("same.csv").hardlink_to(contacts)
    Path("old.csv").write_text("email,verdict,verified_at\n")
    Path("key").write_text(KEY)
    before = {path: path.read_bytes() for path in Path().iterdir()}
    lists = ["verify", str(contacts), "more.csv", "-o", "v.csv"]
    others = ["--reuse", "old.csv", "--api-key-file", "key", "--force"]
    outcome = cli(*lists, *others, "--report", page)
    assert outcome.code == 2
    assert said in outcome.err
    assert service.sandbox.ledger.requests.total() == 0
    assert {path: path.read_bytes() for path in Path().iterdir()} == before


def test_a_page_never_replaces_its_run_or_a_database(cli: Cli, contacts: Path) -> None:
    run = cli("verify", str(contacts), "-o", "v.csv", "--json").out
    Path("run.json").write_text(run)
    outcome = cli("report", "run.json", "-o", "run.json", "--force")
    assert outcome.code == 2
    assert "can't be both the page and the run" in outcome.err
    assert Path("run.json").read_text() == run
    database = ["--database", "sqlite:///r.db", "--report", "r.db", "--force"]
    outcome = cli("verify", str(contacts), "-o", "w.csv", *database)
    assert "can't be both the page and the database" in outcome.err
    assert not Path("r.db").exists()


def test_others_can_read_a_page_as_far_as_the_umask_allows(cli: Cli, contacts: Path) -> None:
    before = os.umask(0o027)
    try:
        assert cli("verify", str(contacts), "-o", "v.csv", "--report", "page.html").code == 0
    finally:
        os.umask(before)
    assert stat.S_IMODE(Path("page.html").stat().st_mode) == 0o640
    assert stat.S_IMODE(Path("v.csv").stat().st_mode) == 0o600


def test_nothing_is_spent_if_the_extra_is_missing(
    cli: Cli, service: Service, contacts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "bulkverify.report.page", raising=False)
    monkeypatch.setitem(sys.modules, "jinja2", None)
    outcome = cli("verify", str(contacts), "-o", "v.csv", "--report", "page.html")
    assert outcome.code == 2
    assert 'pip install "bulkverify[report]"' in outcome.err
    assert service.sandbox.ledger.requests.total() == 0


def test_a_run_with_missing_rows_gets_its_page_and_a_new_one_when_it_is_complete(
    cli: Cli, service: Service
) -> None:
    Path("list.csv").write_text("email\n" + "".join(f"u{n}@x.com\n" for n in range(4)))
    fault = Fault(kind=FaultKind.DROP_AFTER, endpoint="upload", skip=1)
    service.do(lambda: service.sandbox.inject(fault))
    call = ("verify", "list.csv", "-o", "v.csv", "--largest-part", "2", "--report", "page.html")
    assert cli(*call).code == 7
    assert "Run the same command again" in Path("page.html").read_text()
    assert cli(*call).code == 0
    assert "Run the same command again" not in Path("page.html").read_text()
    assert service.sandbox.ledger.credits_spent == 4


def test_the_command_on_the_page_splits_the_output_as_the_page_counts(cli: Cli) -> None:
    names = ["deliverable", "undeliverable", "accept-all", "unknown", "spamtrap"]
    rows = [f"{name}+{n}@x.com" for name in names for n in range(3)]
    rows += ["deliverable@mailinator.com", "deliverable+0@x.com", "", "n/a"]
    Path("list.csv").write_text("n,email\n" + "".join(f"1,{row}\n" for row in rows))
    facts = Facts(
        report=RunReport.from_json(cli("verify", "list.csv", "-o", "v.csv", "--json").out)
    )
    assert facts.kept_back.rows == 1
    _, *command = facts.filter_command.split()
    groups = {one["name"]: one["rows"] for one in cli(*command, "--json").document["groups"]}
    assert (groups["mail"], groups["remove"]) == (facts.mail.rows, facts.remove.rows)
    assert sum(groups.values()) == facts.report.rows


@pytest.mark.parametrize("text", ["", "[]", '{"rows": 1}', '{"error": {"type": "UsageError"}}'])
def test_other_files_are_no_reports(cli: Cli, text: str) -> None:
    Path("run.json").write_text(text)
    outcome = cli("report", "run.json", "-o", "page.html")
    assert outcome.code == 2
    assert "run.json is not the report of a run" in outcome.err
    assert "bulkverify verify LIST -o OUT --json > RUN.json" in outcome.err
    assert not Path("page.html").exists()


def test_a_newer_report_is_refused(cli: Cli, contacts: Path) -> None:
    printed = json.loads(cli("verify", str(contacts), "-o", "v.csv", "--json").out)
    Path("run.json").write_text(json.dumps(printed | {"version": 9}))
    assert "written by a newer bulkverify" in cli("report", "run.json", "-o", "page.html").err

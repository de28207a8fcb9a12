import csv
import json
import re
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bulkverify.sandbox import Fault, FaultKind

from .conftest import LIMIT, Cli, Shell
from .service import Service


def test_a_list_comes_back_with_a_verdict_for_every_row(
    service: Service, cli: Cli, contacts: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.csv"
    outcome = cli("verify", str(contacts), "-o", str(out))
    assert (outcome.code, outcome.out) == (0, "")
    with out.open(newline="") as file:
        verdicts = [row["verdict"] for row in csv.DictReader(file)]
    assert verdicts == [
        "deliverable",
        "undeliverable",
        "deliverable",
        "unknown",
        "undeliverable",
    ]
    assert service.sandbox.credits == 1_000_000 - 3


@pytest.mark.usefixtures("service")
def test_the_summary_fits_80_columns_and_says_it_all(cli: Cli, contacts: Path) -> None:
    told, verdict, summary = cli("verify", str(contacts), "-o", "out.csv").err.partition(
        "  Verdict"
    )
    assert "Z  verifying, " in told
    summary = verdict + summary
    words = [line.split() for line in summary.splitlines()]
    assert ["deliverable", "2", "40.0%"] in [line[:3] for line in words]
    assert "rows           5 (3 distinct addresses, 1 repeated, 1 blank)" in summary
    assert "credits spent  3" in summary
    assert "credits saved  2" in summary
    assert max(map(len, summary.splitlines())) <= 80
    assert "\x1b" not in summary


@pytest.mark.usefixtures("service")
def test_quiet_says_nothing(cli: Cli, contacts: Path) -> None:
    outcome = cli("verify", str(contacts), "-o", "out.csv", "--quiet")
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")


@pytest.mark.usefixtures("service")
def test_the_report_as_json(cli: Cli, contacts: Path) -> None:
    options = ["--column", "email", "--delimiter", ",", "--encoding", "utf-8", "--delete"]
    document = cli("verify", str(contacts), "-o", "out.csv", *options, "--json").document
    assert document["verdicts"] == {
        "deliverable": 2,
        "undeliverable": 2,
        "accept_all": 0,
        "unknown": 1,
    }
    assert (document["rows"], document["addresses"], document["credits_spent"]) == (5, 3, 3)
    assert document["destination"] == "out.csv"
    [part] = document["parts"]
    assert cli("status", part["job_id"]).code == 3


def test_the_same_command_goes_on_once_there_are_credits(
    service: Service, cli: Cli, contacts: Path
) -> None:
    service.do(lambda: setattr(service.sandbox, "credits", 2))
    refused = cli("verify", str(contacts), "-o", "out.csv")
    assert refused.code == 3
    assert "contacts.csv costs 3 credits and the account has 2: 1 are missing" in refused.err
    assert "then run the same command again" in refused.err
    assert service.sandbox.ledger.uploads == []
    service.do(lambda: setattr(service.sandbox, "credits", 3))
    assert cli("verify", str(contacts), "-o", "out.csv").code == 0
    assert service.sandbox.ledger.credits_spent == 3


def test_a_limit_on_the_credits_is_kept(service: Service, cli: Cli, contacts: Path) -> None:
    outcome = cli("verify", str(contacts), "-o", "out.csv", "--max-credits", "2")
    assert outcome.code == 2
    assert "3 distinct addresses" in outcome.err
    assert service.sandbox.ledger.uploads == []


@pytest.mark.usefixtures("service")
def test_an_output_that_exists_is_kept_unless_forced(
    cli: Cli,
    contacts: Path,
    tmp_path: Path,
) -> None:
    (tmp_path / "out.csv").write_text("precious")
    outcome = cli("verify", str(contacts), "-o", "out.csv")
    assert (
        outcome.err == "bulkverify: error: out.csv already exists.\n  Use --force to replace it.\n"
    )
    assert (tmp_path / "out.csv").read_text() == "precious"
    assert cli("verify", str(contacts), "-o", "out.csv", "--force").code == 0


def test_a_lost_upload_is_reported_as_uncertain(service: Service, cli: Cli, contacts: Path) -> None:
    fault = Fault(kind=FaultKind.DROP_AFTER, endpoint="upload")
    service.do(lambda: service.sandbox.inject(fault))
    error = cli("verify", str(contacts), "-o", "out.csv", "--json").error
    assert error["type"] == "UploadUncertainError"
    assert error["job_id"] is None


def test_a_timeout_names_the_job_and_how_to_go_on(
    serve: Callable[..., Service],
    environment: Callable[[Service], None],
    cli: Cli,
    contacts: Path,
) -> None:
    service = serve(speed=0)
    environment(service)
    outcome = cli("verify", str(contacts), "-o", "out.csv", "--timeout", "0")
    [upload] = service.sandbox.ledger.uploads
    assert outcome.code == 5
    assert f"Job {upload.job_id} is still preparing" in outcome.err
    assert outcome.err.endswith(f"bulkverify verify {contacts} -o out.csv --timeout 0\n")


@pytest.mark.usefixtures("environment")
def test_the_embedded_sandbox_needs_neither_key_nor_network(
    cli: Cli,
    contacts: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BULKVERIFY_BASE_URL", "https://nowhere.invalid/v1")
    options = ["--sandbox", "--sandbox-speed", "5000", "--json"]
    document = cli("verify", str(contacts), "-o", "sandboxed.csv", *options).document
    assert (document["credits_spent"], document["trial"]) == (3, True)
    told = cli("verify", str(contacts), "-o", "again.csv", *options[:-1]).err
    trial = "This is a trial in the sandbox: verdicts and credits are made up."
    assert [told.splitlines()[0], told.splitlines()[-1]] == [trial, trial]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--sandbox-speed", "100"], "--sandbox-speed needs --sandbox."),
        (["--sandbox-speed", "100", "--dry-run"], "--sandbox-speed needs --sandbox."),
        (["--max-age", "30d"], "--max-age needs --reuse."),
    ],
)
def test_an_option_that_needs_another_one_spends_nothing_without_it(
    service: Service, cli: Cli, contacts: Path, options: list[str], said: str
) -> None:
    outcome = cli("verify", str(contacts), "-o", "out.csv", *options)
    assert (outcome.code, outcome.out) == (2, "")
    assert said in outcome.err
    assert service.sandbox.ledger.requests.total() == 0


@pytest.mark.parametrize("options", [["--base-url", "https://x.example"], ["--sandbox-speed", "0"]])
@pytest.mark.usefixtures("environment")
def test_the_embedded_sandbox_takes_no_options_of_a_real_one(
    cli: Cli,
    contacts: Path,
    options: list[str],
) -> None:
    outcome = cli("verify", str(contacts), "-o", "out.csv", "--sandbox", *options)
    assert outcome.code == 2


def test_a_dry_run_says_what_it_would_cost_and_needs_no_key(
    service: Service, cli: Cli, contacts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BULKVERIFY_API_KEY")
    outcome = cli("verify", str(contacts), "--dry-run")
    assert (outcome.code, outcome.err) == (0, "")
    lines = dict(line.split(maxsplit=1) for line in outcome.out.splitlines())
    assert (lines["rows"], lines["costs"], lines["saves"]) == ("5", "3 credits", "2 credits")
    assert "to be sent  3 addresses in 1 part" in outcome.out
    assert lines["list"] == f"{contacts} (csv, utf-8-sig)"
    assert lines["column"] == "'email', the 2nd column"
    document = cli("verify", str(contacts), "-o", "out.csv", "--dry-run", "--json").document
    assert document == {
        "lists": [
            {
                "title": str(contacts),
                "format": "csv",
                "encoding": "utf-8-sig",
                "column": "email",
                "place": 2,
                "others": [],
                "sheet": "",
                "other_sheets": [],
                "hidden_sheets": [],
                "hidden_rows": 0,
                "uncalculated": 0,
                "uncalculated_at": "",
            }
        ],
        "rows": 5,
        "addresses": 3,
        "duplicates": 1,
        "invalid": 0,
        "blank": 1,
        "short": 0,
        "parts": 1,
        "unclear": 0,
        "unwrapped": 0,
        "stray": 0,
        "stray_at": "",
        "examples": [],
        "cost": 3,
        "spent_before": 0,
        "uncertain": 0,
        "balance": None,
        "already_verified_at": None,
        "reused": {"addresses": 0, "average_age": 0.0, "expired": 0, "undated": 0, "future": 0},
    }
    assert service.sandbox.ledger.requests.total() == 0
    assert [path.name for path in contacts.parent.iterdir()] == ["contacts.csv"]


@pytest.mark.usefixtures("service")
@pytest.mark.parametrize(
    "only", [["--only", "deliverable,accept-all"], ["--only=accept_all", "--only", "deliverable"]]
)
def test_only_some_verdicts_are_written(
    cli: Cli, contacts: Path, tmp_path: Path, only: list[str]
) -> None:
    outcome = cli("verify", *only, str(contacts), "-o", "out.csv")
    assert outcome.code == 0
    assert "rows written   2" in outcome.err
    with (tmp_path / "out.csv").open(newline="") as file:
        assert [row["name"] for row in csv.DictReader(file)] == ["Anna", "Anna again"]


@pytest.mark.usefixtures("service")
@pytest.mark.parametrize("flags", ["role-based,disposable", "Role_Based, disposable"])
def test_rows_with_some_flags_are_not_written(cli: Cli, tmp_path: Path, flags: str) -> None:
    addresses = ["deliverable@example.com", "info@example.com", "unknown@mailinator.com"]
    (tmp_path / "list.csv").write_text("\n".join(["email", *addresses]))
    assert cli("verify", "list.csv", "-o", "out.csv", "--without", flags).code == 0
    with (tmp_path / "out.csv").open(newline="") as file:
        assert [row["email"] for row in csv.DictReader(file)] == addresses[:1]


@pytest.mark.usefixtures("service")
@pytest.mark.parametrize(
    ("options", "text"),
    [
        ([], "Name the file to write with --output (-o)"),
        (["-o", "out.csv", "--only", "good"], "'good' is not a verdict"),
        (["-o", "out.csv", "--without", "free"], "There is no flag 'free'"),
        (["-o", "out.pdf"], "out.pdf ends in '.pdf', which is none of the formats"),
        (["-o", "out.csv", "--parts-at-once", "0"], "At least 1 part must be sent at once"),
    ],
)
def test_invalid_options_are_refused(
    cli: Cli, contacts: Path, options: list[str], text: str
) -> None:
    outcome = cli("verify", str(contacts), *options)
    assert outcome.code == 2
    assert text in outcome.err


def test_a_list_that_changed_meanwhile_is_refused_with_a_choice(
    serve: Callable[..., Service],
    environment: Callable[[Service], None],
    cli: Cli,
    contacts: Path,
) -> None:
    service = serve(speed=0)
    environment(service)
    command = ["verify", str(contacts), "-o", "out.csv"]
    assert cli(*command, "--timeout", "0").code == 5
    going_on = cli(*command, "--timeout", "0").err
    assert f"Going on with the run of {contacts} that began at 20" in going_on
    with contacts.open("a") as file:
        file.write("Dora,deliverable+2@example.com\n")
    outcome = cli(*command)
    assert outcome.code == 2
    assert "has changed since out.csv.progress was begun" in outcome.err
    assert "use --restart, or delete out.csv.progress" in outcome.err
    outcome = cli(*command, "--send-invalid")
    assert "Use the same --send-invalid and --send-duplicates." in outcome.err
    again = cli(*command, "--timeout", "0", "--restart")
    assert again.code == 5
    assert "--restart" not in again.err
    assert len(service.sandbox.ledger.uploads) == 2


def test_failed_parts_are_reported_with_the_written_rows(
    service: Service, cli: Cli, contacts: Path
) -> None:
    def lose_the_second_upload() -> None:
        fault = Fault(kind=FaultKind.DROP_AFTER, endpoint="upload", skip=1)
        service.sandbox.inject(fault)

    more = "Di,accept_all@example.org\nEd,unknown+1@example.org\nFi,deliverable+1@example.org\n"
    contacts.write_text(contacts.read_text() + more)
    options = ["--largest-part", "2", "--parts-at-once", "1"]
    command = ["verify", str(contacts), "-o", "out.csv", *options]
    service.do(lose_the_second_upload)
    outcome = cli(*command)
    assert outcome.code == 7
    assert ["no", "verdict", "2", "25.0%"] in [
        line.split()[:4] for line in outcome.err.splitlines()
    ]
    assert "1 of 3 parts, with 2 addresses, got no verdicts. out.csv has those of" in outcome.err
    assert "The same command goes on with them" in outcome.err
    assert "Part 2 (rows 4 to 6): UploadUncertainError" in outcome.err
    assert outcome.err.endswith(f"bulkverify {' '.join(command)}\n")

    service.do(lambda: service.sandbox.inject(Fault(kind=FaultKind.DROP_AFTER, endpoint="upload")))
    document = cli(*command, "--json").document
    assert document["error"]["type"] == "IncompleteRunError"
    assert [failure["number"] for failure in document["report"]["failures"]] == [2]
    assert document["report"]["missing"] == 2

    summary = cli(*command).err
    assert "credits spent  2, and 4 earlier" in summary
    assert "left behind    up to 2 interrupted uploads, not started and not paid" in summary
    assert service.sandbox.ledger.credits_spent == 6


@pytest.mark.usefixtures("service")
def test_several_lists_are_one_and_the_output_may_be_json_lines(
    cli: Cli, contacts: Path, tmp_path: Path
) -> None:
    (tmp_path / "more.txt").write_text("deliverable@example.com\ndeliverable+2@example.com\n")
    outcome = cli("verify", str(contacts), "more.txt", "-o", "out.jsonl")
    assert outcome.code == 0
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [row["verdict"] for row in rows][-2:] == ["deliverable", "deliverable"]
    assert "rows           7 (4 distinct addresses, 2 repeated, 1 blank)" in outcome.err


def test_a_list_may_come_through_a_pipe(service: Service, shell: Shell, tmp_path: Path) -> None:
    process = shell("verify", "/dev/stdin", "-o", "out.csv", stdin=subprocess.PIPE)
    out, _ = process.communicate("email\ndeliverable@example.com\n", timeout=LIMIT)
    assert (process.returncode, out) == (0, "")
    assert (tmp_path / "out.csv").read_text().count("deliverable") == 2
    assert service.sandbox.ledger.credits_spent == 1


@pytest.mark.usefixtures("service")
def test_an_output_can_be_made_safe_for_spreadsheets(cli: Cli, tmp_path: Path) -> None:
    source, out = tmp_path / "list.csv", tmp_path / "out.csv"
    source.write_text("email,note\n+1@example.com,=1+1\n")
    assert cli("verify", str(source), "-o", str(out), "--excel-safe").code == 0
    assert out.read_text().splitlines()[1].startswith("'+1@example.com,'=1+1,")
    refused = cli("verify", str(source), "-o", str(tmp_path / "out.jsonl"), "--excel-safe")
    assert refused.code == 2
    assert "--excel-safe is for CSV" in refused.err


@pytest.mark.parametrize("force", [[], ["--force"]])
def test_repeating_a_finished_command_spends_nothing_and_says_when_it_finished(
    service: Service, cli: Cli, contacts: Path, force: list[str]
) -> None:
    command = ["verify", str(contacts), "-o", "out.csv"]
    assert cli(*command).code == 0
    requests = service.sandbox.ledger.requests.total()
    outcome = cli(*command, *force)
    assert (outcome.code, outcome.out) == (0, "")
    assert re.search(
        r"^out\.csv was already verified at [0-9-]{10} [0-9:]{5} UTC\. Nothing was sent or spent\. "
        + ("--restart verifies it again" if force else "--restart with --force verifies it again"),
        outcome.err,
        re.MULTILINE,
    )
    assert "credits spent  0, and 3 earlier" in outcome.err
    assert "deliverable" in outcome.err
    assert service.sandbox.ledger.requests.total() == requests
    assert cli(*command, "--quiet").err == ""
    document = cli(*command, "--json").document
    assert (document["credits_spent"], document["credits_spent_before"]) == (0, 3)
    assert document["already_verified_at"] is not None
    assert cli(*command, "--restart", "--force").code == 0
    assert service.sandbox.ledger.credits_spent == 6


def test_a_link_in_the_place_of_the_output_is_named_with_its_target(
    service: Service, cli: Cli, contacts: Path, tmp_path: Path
) -> None:
    (tmp_path / "out.csv").symlink_to("target.csv")
    outcome = cli("verify", str(contacts), "-o", "out.csv", "--force")
    assert outcome.code == 2
    assert outcome.err == (
        "bulkverify: error: out.csv: It is a symbolic link to target.csv, and links are not followed: "
        "name the file itself.\n"
    )
    assert service.sandbox.ledger.requests.total() == 0


def test_a_dry_run_counts_what_earlier_commands_have_paid(
    service: Service, cli: Cli, contacts: Path
) -> None:
    assert cli("verify", str(contacts), "-o", "out.csv").code == 0
    outcome = cli("verify", str(contacts), "-o", "out.csv", "--dry-run")
    assert "costs       0 credits, besides 3 spent earlier" in outcome.out
    assert "done        an earlier command wrote the output at 20" in outcome.out
    document = cli("verify", str(contacts), "-o", "out.csv", "--dry-run", "--json").document
    assert (document["cost"], document["spent_before"]) == (0, 3)
    restarted = cli(
        "verify", str(contacts), "-o", "out.csv", "--dry-run", "--restart", "--force"
    ).out
    assert "costs       3 credits\n" in restarted
    assert service.sandbox.ledger.credits_spent == 3


@pytest.mark.usefixtures("service")
def test_the_summary_names_the_column_and_the_others(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("Primary Email,Secondary Email\na@x.com,b@x.com\n")
    outcome = cli("verify", "list.csv", "-o", "out.csv")
    assert "column         'Primary Email', the 1st column" in outcome.err
    assert "also           'Secondary Email' has addresses that are not sent" in outcome.err
    [taken] = cli("verify", "list.csv", "-o", "out.csv", "--json").document["lists"]
    assert (taken["column"], taken["others"]) == ("Primary Email", ["Secondary Email"])


def test_earlier_verdicts_are_reused_and_shown(
    service: Service, cli: Cli, contacts: Path, tmp_path: Path
) -> None:
    addresses = [line.split(",")[1].strip() for line in contacts.read_text().splitlines()[1:]]
    at = datetime.now(UTC) - timedelta(days=10)
    rows = [f"{address},deliverable,{at.isoformat()}\n" for address in addresses if address]
    for month in ("09", "10"):
        (tmp_path / f"old-{month}.csv").write_text("email,verdict,verified_at\n" + "".join(rows))
    words = ("verify", str(contacts), "-o", str(tmp_path / "out.csv"))
    reuse = ("--reuse", str(tmp_path / "old-*.csv"))
    outcome = cli(*words, "--dry-run", *reuse, "--max-age", "deliverable=10d,accept-all=1h")
    assert "earlier verdicts: 8 too old" in outcome.out
    outcome = cli(*words, "--dry-run", *reuse)
    assert (
        "known       3 addresses with an earlier verdict, 10.0 days old on average: not sent, which saves 3 credits"
        in outcome.out
    )
    assert cli(*words, *reuse, "--json").document["reused"]["addresses"] == 3
    assert service.sandbox.ledger.requests.total() == 0


@pytest.mark.parametrize(
    "words",
    [
        ("--reuse", "nothing-*.csv"),
        ("--reuse", "-"),
        ("--max-age", "30"),
        ("--max-age", "unknown=3d"),
        ("--max-age", "x"),
        ("--max-age", "accept-all=3d,accept_all=1d"),
    ],
)
def test_wrong_options_for_reuse_are_refused(
    cli: Cli, contacts: Path, words: tuple[str, ...]
) -> None:
    if words[0] != "--reuse":
        words = ("--reuse", str(contacts), *words)
    outcome = cli("verify", str(contacts), "--dry-run", *words)
    assert outcome.code != 0
    assert outcome.err


def test_a_reuse_without_a_file_is_refused(cli: Cli, contacts: Path) -> None:
    outcome = cli("verify", str(contacts), "--dry-run", "--reuse")
    assert outcome.code != 0
    assert "--reuse names no file" in outcome.err


def test_a_run_in_a_database_does_not_reuse_verdicts(
    service: Service, cli: Cli, contacts: Path, tmp_path: Path
) -> None:
    out, runs = tmp_path / "out.csv", tmp_path / "runs.db"
    words = ("--database", f"sqlite:///{runs}", "--reuse", str(contacts))
    outcome = cli("verify", str(contacts), "-o", str(out), *words)
    assert outcome.code != 0
    assert (
        "a database can't reuse earlier verdicts: leave out --database, or --reuse" in outcome.err
    )
    assert (out.exists(), runs.exists()) == (False, False)
    assert service.sandbox.ledger.requests.total() == 0

from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import pytest

from bulkverify.cli import runner
from bulkverify.cli.exits import Exit
from bulkverify.sandbox import Fault, FaultKind

from .conftest import Cli
from .service import Service

pytestmark = pytest.mark.usefixtures("service")


@pytest.fixture
def slow(serve: Callable[..., Service], environment: Callable[[Service], None]) -> Service:
    """A service in which nothing happens unless its clock is moved."""
    slow = serve(speed=0)
    environment(slow)
    return slow


@pytest.mark.parametrize(
    "tokens",
    [
        ["status"],
        ["stats", "r1"],
        ["status", "r1", "--wach"],
        ["wait", "r1", "--until", "done"],
        ["wait", "r1", "--timeout", "soon"],
        ["wait", "r1", "--timeout", "-1"],
        ["status", "a/b"],
        ["upload", "missing.csv"],
        ["upload", "."],
        ["verify", "missing.csv", "-o", "out.csv"],
        ["verify", "contacts.csv", "-o", "missing/out.csv"],
        ["verify", "contacts.csv", "-o", "."],
        ["verify", "contacts.csv", "-o", "out.csv", "--column", "phone"],
        ["verify", "contacts.csv", "-o", "out.csv", "--encoding", "utf-33"],
        ["verify", "empty.csv", "-o", "out.csv"],
        ["credits", "--base-url", "ftp://x.example"],
        ["credits", "--base-url", "http://x.example"],
        ["credits", "--requests-per-minute", "-1"],
        ["credits", "--api-key-file", "missing"],
        ["sandbox", "--speed", "0"],
        ["sandbox", "--host", "256.0.0.1", "--port", "0"],
    ],
    ids=" ".join,
)
@pytest.mark.usefixtures("contacts")
def test_bad_usage_and_input_is_2(cli: Cli, tmp_path: Path, tokens: list[str]) -> None:
    (tmp_path / "empty.csv").touch()
    outcome = cli(*tokens)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.splitlines()[-1 if "warning" in outcome.err else 0].startswith(
        "bulkverify: error: "
    )
    assert "`" not in outcome.err.replace("`bulkverify upload`", "")
    assert cli(*tokens, "--json").error["message"]


def test_a_refusal_is_3(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    error = cli("status", "r1", "--json").error
    assert (error["type"], error["job_id"], error["status"]) == ("JobNotFoundError", "r1", 400)
    monkeypatch.setenv("BULKVERIFY_API_KEY", "s3cr3t but wrong")
    outcome = cli("credits")
    assert outcome.code == 3
    assert "--api-key-file" in outcome.err


def test_a_job_that_is_not_ready_is_3_and_the_hint_is_status(
    slow: Service, cli: Cli, contacts: Path
) -> None:
    job = cli("upload", str(contacts), "--base-url", slow.url).out.strip()
    outcome = cli("start", job, f"--base-url={slow.url}")
    assert outcome.code == 3
    assert outcome.err.splitlines()[-1] == f"    bulkverify status {job} --base-url={slow.url}"


@pytest.mark.parametrize("end", ["fail", "cancel"])
def test_a_job_that_ended_badly_is_4(slow: Service, cli: Cli, contacts: Path, end: str) -> None:
    job = cli("upload", str(contacts)).out.strip()
    slow.do(lambda: getattr(slow.sandbox, end)(job))
    assert cli("wait", job).code == 4
    assert cli("status", job).code == 0
    watched = cli("status", job, "--watch")
    assert watched.code == 4
    assert watched.out.count("\n") == 1
    assert watched.err.startswith(f"bulkverify: error: Job {job} ")


def test_a_wait_that_is_over_is_5(slow: Service, cli: Cli, contacts: Path) -> None:
    job = cli("upload", str(contacts)).out.strip()
    outcome = cli("wait", job, "--timeout", "0")
    assert outcome.code == 5
    assert outcome.err.splitlines()[-3:] == [
        f"  Job {job} continues at the service.",
        "  Go on with:",
        f"    bulkverify wait {job} --timeout 0",
    ]
    slow.do(lambda: slow.sandbox.advance(60))
    error = cli("status", job, "--watch", "--timeout", "0s", "--json")
    assert error.code == 5
    error = cli("wait", job, "--timeout", "0", "--json").error
    assert error["job_id"] == job
    assert error["resume"][0] == f"bulkverify start {job}"


def test_no_usable_answer_is_6(cli: Cli, service: Service) -> None:
    fault = Fault(kind=FaultKind.DROP_AFTER, endpoint="verify")
    service.do(lambda: service.sandbox.inject(fault))
    outcome = cli("check", "a@example.com", "--json")
    assert outcome.code == 6
    assert outcome.error["type"] == "VerifyUncertainError"


def test_a_bug_is_1_and_asks_for_a_report(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    app = Mock(parse_args=Mock(side_effect=ZeroDivisionError("by nought")))
    monkeypatch.setattr(runner, "app", app)
    outcome = cli("credits")
    assert outcome.code == 1
    assert outcome.err.startswith("bulkverify: error: ZeroDivisionError: by nought\n")
    assert "report" in outcome.err
    assert cli("credits", "--json").error["type"] == "ZeroDivisionError"


def test_a_traceback_is_shown_on_demand_and_without_the_key(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BULKVERIFY_API_KEY", "s3cr3t but wrong")
    assert runner.run(["credits", "-vv"]) == 3
    err = capfd.readouterr().err
    assert "Traceback" in err
    assert "s3cr3t" not in err


@pytest.mark.usefixtures("environment")
def test_a_list_after_an_option_is_put_into_its_place(cli: Cli) -> None:
    outcome = cli("verify", "a.csv", "-o", "b.csv", "--yes", "b.csv", "c d.csv")
    assert outcome.code == 2
    assert outcome.err.splitlines() == [
        "bulkverify: error: No option takes 'b.csv', 'c d.csv'.",
        "  Write all lists before the options.",
        "  Go on with:",
        "    bulkverify verify a.csv b.csv 'c d.csv' -o b.csv --yes",
    ]
    assert cli("status", "r1", "r2").err.startswith(
        "bulkverify: error: No option takes 'r2'.\n  See"
    )


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (["download", "j1"], "Name the file to write with --output (-o)."),
        (["report", "run.json"], "Name the file to write with --output (-o)."),
        (["submit", "list.csv"], "Name the file to write with --output (-o)."),
        (["verify", "list.csv"], "Name the file to write with --output (-o), or use --dry-run"),
        (["filter", "list.csv"], "Name the file to write with --output (-o), or use --split."),
        (["check"], "bulkverify check needs ADDRESS."),
        (["status"], "bulkverify status needs JOB."),
        (["verify"], "bulkverify verify needs LIST."),
        (["verify", "list.csv", "--report"], "--report needs a value."),
        (["verify", "list.csv", "-o"], "-o needs a value."),
        (["download", "j1", "-o", "x.csv", "--only", "good"], "verdicts are deliverable, undeliv"),
        (["check", "nobody"], "'nobody' is not an address: give one such as"),
        (["sandbox", "--port", "99999"], "99999"),
        (["credits", "--base-url", "ftp://x.example"], "must begin with https:// and a host"),
        (["verify", "list.csv", "./list.csv", "-o", "x.csv"], "list.csv is named twice"),
        (["verify", "list.csv", "-o", "list.csv"], "It is the list itself: --force replaces it"),
        (["upload", "nothing.csv"], "nothing.csv: No such file or directory.\n"),
        (["upload", "header.csv"], "header.csv has a header and no rows"),
    ],
    ids=" ".join,
)
def test_what_is_wrong_or_missing_is_said_in_words(
    service: Service, cli: Cli, tokens: list[str], message: str
) -> None:
    Path("list.csv").write_text("email\na@x.com\n")
    Path("header.csv").write_text("email\n")
    outcome = cli(*tokens)
    assert (outcome.code, outcome.out) == (2, "")
    assert message in outcome.err
    assert "If the list has arrived" not in outcome.err
    assert service.sandbox.ledger.requests.total() == 0


def test_quiet_errors_are_a_single_line(cli: Cli) -> None:
    assert cli("status", "--quiet").err.count("\n") == 1


def test_the_help_lists_every_exit_code_and_examples(cli: Cli) -> None:
    text = cli("--help").out
    for exit_ in Exit:
        assert f" {exit_.value}  {exit_.meaning}" in text
    assert "bulkverify verify contacts.csv -o verified.csv --sandbox" in text
    assert max(map(len, text.splitlines())) <= 80


def test_without_a_command_it_shows_the_help(cli: Cli) -> None:
    outcome = cli()
    assert outcome.code == 0
    assert outcome.out.startswith("Usage: bulkverify COMMAND")


def test_the_help_of_every_command_names_its_options(cli: Cli) -> None:
    for command in ("verify", "upload", "status", "start", "wait", "download", "delete", "check"):
        text = cli(command, "--help").out
        assert "--api-key-file" in text
        assert "--api-key " not in text
        assert "recovery" not in text.lower()

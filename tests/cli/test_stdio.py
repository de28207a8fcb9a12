"""Lists come from stdin and outputs go to stdout, and no paid result is lost on the way."""

import csv
import fcntl
import json
import os
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from contextlib import suppress
from io import StringIO
from pathlib import Path
from threading import Thread

import pytest
from openpyxl import Workbook

from bulkverify.sandbox import Fault, FaultKind

from .conftest import LIMIT, Cli, Outcome, Shell, finish, read_until
from .service import Service

LIST = "name,email\nAnna,deliverable@example.com\nBo,undeliverable@example.com\n"
MANY = "email\n" + "".join(f"deliverable+{number}@example.com\n" for number in range(3000))


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "bulkverify"


def fed(cli: Cli, text: str, *tokens: str) -> Outcome:
    """Run a command within this process, with a pipe as its stdin that gives a text."""
    near, far = os.pipe()

    def write() -> None:
        with suppress(BrokenPipeError), os.fdopen(far, "w") as file:
            file.write(text)

    writer = Thread(target=write)
    with os.fdopen(near) as stdin, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdin", stdin)
        writer.start()
        outcome = cli(*tokens)
    writer.join()
    return outcome


def verdicts(text: str) -> list[str]:
    return [row["verdict"] for row in csv.DictReader(StringIO(text))]


def test_a_list_goes_through_a_pipe(service: Service, shell: Shell, tmp_path: Path) -> None:
    process = shell("verify", "-", "-o", "-", stdin=subprocess.PIPE)
    out, err = process.communicate(LIST, timeout=LIMIT)
    outcome = Outcome(process.returncode, out, err)
    assert outcome.code == 0
    assert verdicts(outcome.out) == ["deliverable", "undeliverable"]
    assert outcome.out.startswith("name,email,verdict,")
    assert "written to     stdout" in outcome.err
    assert service.sandbox.ledger.credits_spent == 2
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


def test_a_list_from_stdin_and_a_list_for_stdout(
    service: Service, cli: Cli, contacts: Path
) -> None:
    assert fed(cli, LIST, "verify", "-", "-o", "out.csv").code == 0
    assert len(verdicts(Path("out.csv").read_text())) == 2
    outcome = fed(cli, "", "verify", str(contacts), "-o", "-", "-q")
    assert (outcome.code, outcome.err) == (0, "")
    assert len(verdicts(outcome.out)) == 5
    assert service.sandbox.ledger.credits_spent == 5


def test_the_same_command_gives_the_rows_again_for_nothing(service: Service, cli: Cli) -> None:
    first = fed(cli, LIST, "verify", "-", "-o", "-")
    again = fed(cli, LIST, "verify", "-", "-o", "-")
    assert again.out == first.out
    assert "The list was already verified at" in again.err
    some = fed(cli, LIST, "verify", "-", "-o", "-", "--only", "deliverable")
    assert verdicts(some.out) == ["deliverable"]
    assert "rows written   1" in some.err
    assert service.sandbox.ledger.credits_spent == 2
    assert fed(cli, LIST, "verify", "-", "-o", "-", "--restart").out.count("\n") == 3
    assert service.sandbox.ledger.credits_spent == 4


@pytest.mark.usefixtures("service")
def test_json_lines_and_workbooks_are_told_by_their_beginning(
    shell: Shell, cli: Cli, tmp_path: Path
) -> None:
    lines = '{"n": 1.10, "email": "deliverable@example.com"}\n'
    outcome = fed(cli, lines, "verify", "-", "-o", "-")
    assert outcome.out.startswith(lines[:-2] + ', "verdict": "deliverable"')
    assert fed(cli, "unknown@example.com\n", "verify", "-", "-o", "-").out.count("unknown") == 2
    book = Workbook()
    book.create_sheet("People", 0).append(["deliverable@example.com"])
    book.save(tmp_path / "book")
    with (tmp_path / "book").open() as file:
        process = shell("verify", "-", "-o", "-", stdin=file)
        assert verdicts(finish(process).out) == ["deliverable"]


def test_a_reader_that_leaves_early_loses_no_paid_result(
    service: Service, shell: Shell, cli: Cli
) -> None:
    process = shell("verify", "-", "-o", "-", stdin=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(MANY)
    process.stdin.close()
    assert process.stdout.readline().startswith("email,verdict")
    process.stdout.close()
    assert process.wait(LIMIT) == 141
    assert process.stderr is not None
    assert "stdout was closed before all rows were written. The output is kept for six days" in (
        process.stderr.read()
    )
    outcome = fed(cli, MANY, "verify", "-", "-o", "-")
    assert len(verdicts(outcome.out)) == 3000
    assert service.sandbox.ledger.credits_spent == 3000


def test_a_run_that_was_killed_goes_on_with_the_same_list(
    serve: Callable[..., Service], environment: Callable[[Service], None], shell: Shell, cli: Cli
) -> None:
    service = serve(speed=200)
    environment(service)
    process = shell("verify", "-", "-o", "-", "-v", stdin=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(MANY)
    process.stdin.close()
    read_until(process, "verifying")
    process.kill()
    process.wait(LIMIT)
    assert fed(cli, LIST, "verify", "-", "-o", "-").out.count("\n") == 3
    outcome = fed(cli, MANY, "verify", "-", "-o", "-")
    assert (
        "Parts: 1 being verified. Spent: 3,000 of 3,000 credits; nothing is paid twice."
        in (outcome.err.splitlines()[0])
    )
    assert len(verdicts(outcome.out)) == 3000
    assert service.sandbox.ledger.credits_spent == 3002
    assert not service.sandbox.ledger.paid_twice


def test_another_list_on_stdin_is_not_taken_for_the_first(
    serve: Callable[..., Service], environment: Callable[[Service], None], cli: Cli
) -> None:
    service = serve(speed=0)
    environment(service)
    options = ["verify", "-", "-o", "out.csv", "--timeout", "0"]
    first = fed(cli, LIST, *options)
    assert (first.code, first.err.count("Give the same list to the command:")) == (5, 1)
    other = fed(cli, MANY, *options)
    assert other.code == 2
    assert "stdin has changed since out.csv.progress was begun" in other.err
    assert len(service.sandbox.ledger.uploads) == 1


def test_an_incomplete_output_is_not_sent_to_stdout(service: Service, cli: Cli) -> None:
    body = '{"success": false, "result": "Invalid file data"}'
    fault = Fault(kind=FaultKind.ANSWER, endpoint="upload", skip=1, status=400, body=body)
    service.do(lambda: service.sandbox.inject(fault))
    options = ["verify", "-", "-o", "-", "--largest-part", "1500"]
    outcome = fed(cli, MANY, *options)
    assert (outcome.code, outcome.out) == (7, "")
    outcome = fed(cli, MANY, *options)
    assert len(verdicts(outcome.out)) == 3000
    assert service.sandbox.ledger.credits_spent == 3000


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.usefixtures("service")
def test_a_signal_ends_the_wait_for_stdin(shell: Shell, tmp_path: Path, signum: int) -> None:
    process = shell("verify", "-", "-o", "-", stdin=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write("email\n")
    process.stdin.flush()
    while fcntl.ioctl(process.stdin, termios.FIONREAD, bytes(4)) != bytes(4):
        time.sleep(0.01)  # until it has read the line
    process.send_signal(signum)
    assert process.wait(LIMIT) == {signal.SIGINT: 130, signal.SIGTERM: 143}[signal.Signals(signum)]
    assert not list(tmp_path.iterdir())


def test_the_sandbox_of_the_command_keeps_nothing(
    service: Service, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BULKVERIFY_BASE_URL")
    options = ["verify", "-", "-o", "-", "--sandbox", "--sandbox-speed", "5000"]
    assert verdicts(fed(cli, LIST, *options).out) == ["deliverable", "undeliverable"]
    assert not list(tmp_path.iterdir())
    assert service.sandbox.ledger.requests.total() == 0


def test_old_outputs_are_deleted_and_progress_is_not(
    service: Service, cli: Cli, state: Path
) -> None:
    fed(cli, LIST, "verify", "-", "-o", "-")
    [old] = state.iterdir()
    (state / "begun" / "output.csv.progress").mkdir(parents=True)
    (state / "foreign").mkdir()
    (state / "foreign" / "letter.txt").write_text("mine")
    week_ago = time.time() - 7 * 86_400
    for path in [*old.iterdir(), *(state / "foreign").iterdir()]:
        os.utime(path, (week_ago, week_ago))
    fed(cli, MANY[:200], "verify", "-", "-o", "-")
    names = {path.name for path in state.iterdir()}
    assert len(names) == 3
    assert {"begun", "foreign"} <= names
    assert old.name not in names
    assert (state / "foreign" / "letter.txt").read_text() == "mine"
    assert service.sandbox.ledger.credits_spent > 2


@pytest.mark.usefixtures("service")
def test_a_folder_that_can_not_be_made_is_named(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    outcome = fed(cli, LIST, "verify", "-", "-o", "-")
    assert outcome.code == 2
    assert "can't be kept in" in outcome.err
    assert "XDG_STATE_HOME" in outcome.err


def test_a_dry_run_counts_what_is_kept(service: Service, cli: Cli, tmp_path: Path) -> None:
    costs = json.loads(fed(cli, LIST, "verify", "-", "-o", "-", "--dry-run", "--json").out)
    assert (costs["cost"], costs["lists"][0]["title"]) == (2, "stdin")
    assert not list(tmp_path.iterdir())
    fed(cli, LIST, "verify", "-", "-o", "-")
    costs = json.loads(fed(cli, LIST, "verify", "-", "-o", "-", "--dry-run", "--json").out)
    assert (costs["cost"], costs["spent_before"]) == (0, 2)
    assert service.sandbox.ledger.credits_spent == 2


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (["verify", "-", "-", "-o", "-"], "stdin can be read only once"),
        (["verify", "-", "-o", "-", "--excel-safe"], "leave out --json and --excel-safe"),
        (["verify", "-", "-o", "-", "--api-key-file", "-"], "both the list and the API key"),
        (["verify", "-", "-o", "-", "--without", "free"], "There is no flag 'free'"),
        (["verify", "-", "-o", "-", "--colunm", "x"], "Unknown option: --colunm. Did you mean"),
        (["verify", "nothing.csv", "-o", "-"], "nothing.csv: No such file or directory."),
        (["verify", "-", "-o=-", "--excel-safe"], "leave out --json and --excel-safe"),
        (["verify", "-", "-o-", "--excel-safe"], "leave out --json and --excel-safe"),
        (["verify", "-", "-o", "o.csv", "--report", "-"], "--report - would be stdin or stdout"),
        (["verify", "-", "-o", "o.csv", "--report=-"], "--report - would be stdin or stdout"),
        (["verify", "-", "-o", "o.csv", "--reuse", "-"], "--reuse - would be stdin or stdout"),
        (["report", "-", "-o", "-"], "-o - would be stdin or stdout"),
        (["download", "j1", "-o", "-"], "-o - would be stdin or stdout"),
        (["download", "j1", "--output=-"], "--output - would be stdin or stdout"),
        (["submit", "a.csv", "-o", "-"], "-o - would be stdin or stdout"),
        (["upload", "-"], "bulkverify upload can't use stdin or stdout"),
        (["sandbox", "--faults", "-"], "bulkverify sandbox can't use stdin or stdout"),
        (["download", "j1", "-o", ""], "The argument after -o is empty"),
        (["verify", "", "-o", "o.csv"], "The argument after verify is empty"),
        (["verify", "-", "--output="], "The argument after --output is empty"),
        (["credits", "--base-url", ""], "The argument after --base-url is empty"),
        (["filter", "-", "--split"], "Name the file to write"),
        (["filter", "-", "--split", "-o", "-"], "leave out --split and --json"),
    ],
)
def test_what_can_not_be_is_refused(
    service: Service, cli: Cli, tokens: list[str], message: str
) -> None:
    outcome = fed(cli, LIST, *tokens)
    assert (outcome.code, outcome.out) == (2, "")
    assert message in outcome.err
    assert service.sandbox.ledger.requests.total() == 0


@pytest.mark.usefixtures("service")
def test_stdin_without_a_list_is_refused(cli: Cli) -> None:
    for text, message in [("", "stdin is empty"), ("[{", "stdin is one JSON array")]:
        outcome = fed(cli, text, "verify", "-", "-o", "-")
        assert (outcome.code, outcome.out) == (2, "")
        assert message in outcome.err


@pytest.mark.usefixtures("environment")
def test_a_filter_stands_between_two_pipes(cli: Cli, tmp_path: Path) -> None:
    text = "email,verdict\na@x.com,deliverable\nb@x.com,unknown\n"
    outcome = fed(cli, text, "filter", "-", "-o", "-", "--only", "unknown")
    assert (outcome.code, outcome.out) == (0, "email,verdict\nb@x.com,unknown\n")
    assert outcome.err.splitlines()[0] == "wanted: 1 row to stdout (1 unknown)"
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("environment")
def test_a_file_whose_name_is_a_dash_can_be_named(cli: Cli) -> None:
    Path("-").write_text("email\na@x.com\n")
    assert "to be sent  1 address in 1 part" in cli("verify", "./-", "--dry-run").out

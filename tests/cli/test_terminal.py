"""The output on a terminal, of 80 columns unless a test says otherwise."""

import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import LIMIT, Cli, Shell, finish
from .screen import Terminal, plain
from .service import KEY, Service


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    terminal = Terminal()
    yield terminal
    terminal.leave()
    os.close(terminal.near)


@pytest.fixture
def many(tmp_path: Path) -> Path:
    path = tmp_path / "many.csv"
    path.write_text("email\n" + "".join(f"p{number}@example.com\n" for number in range(200)))
    return path


def test_progress_is_shown_with_bar_rate_and_time_left(
    terminal: Terminal, shell: Shell, many: Path
) -> None:
    options = ["--sandbox", "--sandbox-speed", "13"]
    process = shell("verify", str(many), "-o", "out.csv", *options, stderr=terminal.far)
    terminal.leave()
    seen = terminal.read()
    assert finish(process).code == 0
    assert "Preparing" in seen
    assert re.search(r"\d+%.*\d+/200.*\d+/s.*\d:\d\d.*, \d:\d\d left", seen)
    assert "━" in seen
    assert "rows" in seen
    assert "\x1b[3" in terminal.seen
    assert max(len(line) for line in re.split(r"[\r\n]+", seen)) <= 80


def test_each_part_has_a_bar_of_its_own(terminal: Terminal, shell: Shell, many: Path) -> None:
    options = ["--sandbox", "--sandbox-speed", "13", "--largest-part", "100"]
    process = shell("verify", str(many), "-o", "out.csv", *options, stderr=terminal.far)
    terminal.leave()
    seen = terminal.read()
    assert finish(process).code == 0
    lines = re.split(r"[\r\n]+", seen)
    assert max(map(len, lines)) <= 80
    whole = r". 0/2 parts +([━╍─]+) +\d+% +\d+/200 +\d.*/s .*\d:\d\d left"
    parts = [rf"  part {number}  verifying +([━─]+) +\d+% +\d+/100 *$" for number in (1, 2)]
    bars = [
        {found.span(1) for line in lines if (found := re.match(pattern, line))}
        for pattern in (whole, *parts)
    ]
    assert bars[0] & bars[1] & bars[2], "no bars have the same place"
    assert "parts          2" in seen


def test_no_color_is_respected(
    terminal: Terminal, shell: Shell, many: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    options = ["--sandbox", "--sandbox-speed", "100"]
    process = shell("verify", str(many), "-o", "out.csv", *options, stderr=terminal.far)
    terminal.read("written to")
    assert finish(process).code == 0
    process = shell("verify", "missing.csv", "-o", "out.csv", "--dry-run", stderr=terminal.far)
    terminal.leave()
    terminal.read()
    assert finish(process).code == 2
    assert not re.search(r"\x1b\[[0-9;]*[39][0-7]", terminal.seen)


def test_json_shows_no_progress(terminal: Terminal, shell: Shell, many: Path) -> None:
    options = ["--sandbox", "--sandbox-speed", "100", "--json"]
    process = shell("verify", str(many), "-o", "out.csv", *options, stderr=terminal.far)
    terminal.leave()
    assert terminal.read() == ""
    assert finish(process).code == 0


def test_a_dumb_terminal_gets_no_progress(
    terminal: Terminal, shell: Shell, many: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "dumb")
    options = ["--sandbox", "--sandbox-speed", "100"]
    process = shell("verify", str(many), "-o", "out.csv", *options, stderr=terminal.far)
    terminal.leave()
    seen = terminal.read()
    assert finish(process).code == 0
    assert "Verifying" not in seen
    assert "\x1b" not in terminal.seen


@pytest.mark.usefixtures("service")
def test_the_key_is_asked_for_and_not_echoed(
    terminal: Terminal,
    shell: Shell,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("BULKVERIFY_API_KEY")
    far = {"stdin": terminal.far, "stderr": terminal.far, "start_new_session": True}
    process = shell("credits", **far)
    terminal.leave()
    terminal.read("API key: ")
    os.write(terminal.near, f"{KEY}\n".encode())
    seen = terminal.read()
    assert finish(process).out == "1,000,000 credits\n"
    assert "s3cr3t" not in seen


def wait_until_it_reads(pid: int) -> None:
    """Wait until a process sleeps: a signal just before it reads would be noticed only after that."""
    asleep = 0
    while asleep < 5:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        asleep = asleep + 1 if state == "S" else 0
        time.sleep(0.01)


@pytest.mark.usefixtures("service")
def test_ctrl_c_ends_the_question_for_the_key(
    terminal: Terminal,
    shell: Shell,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("BULKVERIFY_API_KEY")
    far = {"stdin": terminal.far, "stderr": terminal.far, "start_new_session": True}
    process = shell("credits", **far)
    terminal.leave()
    terminal.read("API key: ")
    wait_until_it_reads(process.pid)
    process.send_signal(signal.SIGINT)
    seen = terminal.read()
    assert process.wait(LIMIT) == 130
    assert seen.endswith("\r\nbulkverify: interrupted\r\n")
    assert finish(process).out == ""


@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("n", 2), ("", 2)])
def test_a_terminal_is_asked_before_anything_is_spent(
    service: Service, terminal: Terminal, shell: Shell, answer: str, code: int
) -> None:
    Path("list.csv").write_text("Email,Other email\na@x.com,b@x.com\nnobody,\na@x.com c@x.com,\n")
    far = {"stdin": terminal.far, "stderr": terminal.far, "start_new_session": True}
    process = shell("verify", "list.csv", "-o", "out.csv", **far)
    terminal.leave()
    seen = terminal.read("Spend 1 credit? [y/N] ")
    assert "'Email', the 1st column" in seen
    assert "Please check: 'Other email' also has addresses." in seen
    assert "Please check: 1 row has several addresses in a cell" in seen
    assert "invalid     1, such as row 2 'nobody'" in seen
    assert "account     1,000,000 credits" in seen
    assert service.sandbox.ledger.uploads == []
    os.write(terminal.near, f"{answer}\n".encode())
    seen = terminal.read()
    assert finish(process).code == code
    for words, code_ in (("account     ", "90"), ("Please check:", "33"), ("Spend 1 credit?", "1")):
        assert f"\x1b[{code_}m{words}\x1b[0m" in terminal.seen
    assert ("\x1b[1;31mbulkverify: error:\x1b[0m" in terminal.seen) is (code != 0)
    assert service.sandbox.ledger.credits_spent == (code == 0)
    assert ("The plan was not confirmed" in seen) is (code != 0)


def test_a_terminal_is_not_asked_with_yes(
    service: Service, terminal: Terminal, shell: Shell, many: Path
) -> None:
    with many.open("a") as file:
        file.write("info@example.com\n")
    far = {"stdin": terminal.far, "stderr": terminal.far, "start_new_session": True}
    process = shell("verify", str(many), "-o", "out.csv", "--yes", **far)
    terminal.leave()
    seen = terminal.read()
    assert finish(process).code == 0
    assert "Spend" not in seen
    assert "costs       201 credits" in seen
    assert "Noticed before the start: 1 role-based\r\n" in seen
    assert service.sandbox.ledger.credits_spent == 201


@pytest.mark.usefixtures("service")
def test_ctrl_c_ends_the_question_whether_to_spend(
    terminal: Terminal, shell: Shell, many: Path
) -> None:
    far = {"stdin": terminal.far, "stderr": terminal.far, "start_new_session": True}
    process = shell("verify", str(many), "-o", "out.csv", **far)
    terminal.leave()
    terminal.read("[y/N] ")
    wait_until_it_reads(process.pid)
    process.send_signal(signal.SIGINT)
    terminal.read()
    assert process.wait(LIMIT) == 130
    assert not (many.parent / "out.csv.progress").exists()


@pytest.mark.parametrize("columns", [50, 80, 120])
def test_the_screen_in_mid_run_fits_its_width(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.delenv("COLUMNS")
    monkeypatch.setenv("TERM", "xterm-256color")
    verdicts = ("deliverable", "undeliverable", "accept-all", "unknown")
    mixed = "".join(f"{verdicts[n % 4]}+{n}@example.com\n" for n in range(200))
    (tmp_path / "mixed.csv").write_text(f"email\n{mixed}")
    terminal = Terminal(columns)
    options = ["--sandbox", "--sandbox-speed", "8", "--largest-part", "120"]
    process = shell("verify", "mixed.csv", "-o", "out.csv", *options, stderr=terminal.far)
    terminal.leave()
    pictures = (
        r". \d/2 parts +[━╍─]{12,} +\d+%.* \d:\d\d left",
        r".*● \d+ unknown.*",
        r"  part 1  verifying +[━─]{9,} +\d+%.*",
    )
    # A frame comes in pieces, so some screens have only half of it.
    while not all(
        any(re.fullmatch(picture, line) for line in terminal.shown) for picture in pictures
    ):
        assert terminal.step()
    shown = [line for line in terminal.shown if not re.search("a trial|credits are spent", line)]
    whole, *others = shown
    assert ("/200" in whole) is (columns > 50)
    names = [re.sub(r"[^a-z-]+", " ", line).split() for line in others if "●" in line]
    assert names == ([[*verdicts[:2]], [*verdicts[2:]]] if columns == 50 else [[*verdicts]])
    terminal.read()
    assert finish(process).code == 0
    os.close(terminal.near)
    assert "written to" in "".join(terminal.shown)


@pytest.mark.usefixtures("service")
def test_errors_on_a_terminal_are_broken_between_words(
    shell: Shell, terminal: Terminal, cli: Cli, contacts: Path
) -> None:
    job = cli("upload", str(contacts)).out.strip()
    process = shell("download", job, "-o", "out.csv", stderr=terminal.far)
    terminal.leave()
    terminal.read()
    assert finish(process).code == 3
    error = plain(terminal.seen).partition("error: ")[2]
    whole = cli("download", job, "-o", "out.csv").err.partition("error: ")[2]
    assert error.split() == whole.split()
    assert max(map(len, error.splitlines())) <= 80 < max(map(len, whole.splitlines()))


def test_watching_looks_like_waiting(
    service: Service, shell: Shell, terminal: Terminal, cli: Cli, contacts: Path
) -> None:
    job = cli("upload", str(contacts)).out.strip()
    cli("wait", job, "--until", "ready")
    cli("start", job)
    ends = []
    for command in (["wait", job], ["status", job, "--watch"]):
        terminal = Terminal()
        process = shell(*command, stdout=terminal.far, stderr=terminal.far)
        terminal.leave()
        terminal.read()
        assert finish(process).code == 0
        os.close(terminal.near)
        assert "Completed" in terminal.seen
        ends.append(terminal.shown)
    assert ends[0] == ends[1]
    assert ends[0][0] == f"job        {job}"
    assert ends[0][-1] == f"  bulkverify download {job} -o results.csv"
    assert service.sandbox.ledger.credits_spent == 5


@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("n", 2), ("", 2)])
def test_a_terminal_is_asked_before_paid_results_are_deleted(  # noqa: PLR0917 - fixtures
    service: Service,
    terminal: Terminal,
    shell: Shell,
    cli: Cli,
    contacts: Path,
    answer: str,
    code: int,
) -> None:
    job = cli("upload", str(contacts)).out.strip()
    cli("wait", job, "--until", "ready")
    cli("start", job)
    cli("wait", job)
    far = {"stdin": terminal.far, "stderr": terminal.far, "start_new_session": True}
    process = shell("delete", job, **far)
    terminal.leave()
    seen = " ".join(terminal.read("[y/N] ").split())
    assert f"Job {job} has paid results for 5 addresses." in seen
    os.write(terminal.near, f"{answer}\n".encode())
    seen = terminal.read()
    assert finish(process).code == code
    assert service.sandbox.ledger.deletes == ([job] if code == 0 else [])
    assert (f"bulkverify download {job}" in " ".join(seen.split())) is (code != 0)


@pytest.mark.parametrize("options", [["--yes"], []])
def test_nothing_is_asked_where_nothing_paid_is_deleted(  # noqa: PLR0917 - fixtures
    service: Service, terminal: Terminal, shell: Shell, cli: Cli, contacts: Path, options: list[str]
) -> None:
    job = cli("upload", str(contacts)).out.strip()
    cli("wait", job, "--until", "ready")
    if options:
        cli("start", job)
        cli("wait", job)
    far = {"stdin": terminal.far, "stderr": terminal.far, "start_new_session": True}
    process = shell("delete", job, *options, **far)
    terminal.leave()
    assert "[y/N]" not in terminal.read()
    assert finish(process).code == 0
    assert service.sandbox.ledger.deletes == [job]

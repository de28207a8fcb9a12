"""The output on a terminal of 80 columns."""

import fcntl
import os
import pty
import re
import signal
import struct
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import LIMIT, Shell, finish
from .service import KEY, Service


class Terminal:
    """Both ends of a terminal; the process under test has the far one."""

    def __init__(self) -> None:
        self.near, self.far = pty.openpty()
        fcntl.ioctl(self.far, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.seen = ""

    def read(self, until: str | None = None) -> str:
        """Read until a text is there, or to the end."""
        while until is None or until not in self.seen:
            try:
                piece = os.read(self.near, 4096)
            except OSError:  # nobody has the far end any more
                piece = b""
            if not piece:
                assert until is None, f"no {until!r} in {self.seen!r}"
                break
            self.seen += piece.decode()
        return self.seen

    def leave(self) -> None:
        """Close the far end here; the process keeps its own."""
        if self.far >= 0:
            os.close(self.far)
        self.far = -1


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
    assert "\x1b[3" in seen
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", seen)
    assert max(len(line) for line in re.split(r"[\r\n]+", plain)) <= 80


def test_each_part_has_a_bar_of_its_own(terminal: Terminal, shell: Shell, many: Path) -> None:
    options = ["--sandbox", "--sandbox-speed", "13", "--largest-part", "100"]
    process = shell("verify", str(many), "-o", "out.csv", *options, stderr=terminal.far)
    terminal.leave()
    seen = terminal.read()
    assert finish(process).code == 0
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", seen)
    lines = re.split(r"[\r\n]+", plain)
    assert max(map(len, lines)) <= 80
    assert any(re.match(r"0/2 parts +━+.* \d+/200 +\d.*/s .*\d:\d\d left", line) for line in lines)
    for number in (1, 2):
        assert any(re.match(rf"{number} verifying +━+ +\d+% +\d+/100 *$", line) for line in lines)
    assert "parts          2" in plain


def test_no_color_is_respected(
    terminal: Terminal, shell: Shell, many: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    options = ["--sandbox", "--sandbox-speed", "100"]
    process = shell("verify", str(many), "-o", "out.csv", *options, stderr=terminal.far)
    terminal.leave()
    seen = terminal.read()
    assert finish(process).code == 0
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]", seen)


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
    assert "\x1b" not in seen


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
    Path("list.csv").write_text("Email,Other email\na@x.com,b@x.com\nnobody,\n")
    far = {"stdin": terminal.far, "stderr": terminal.far, "start_new_session": True}
    process = shell("verify", "list.csv", "-o", "out.csv", **far)
    terminal.leave()
    seen = terminal.read("Spend 1 credit? [y/N] ")
    assert "'Email', the 1st column" in seen
    assert "Please check: 'Other email' also has addresses." in seen
    assert "invalid     1, such as row 2 'nobody'" in seen
    assert "account     1,000,000 credits" in seen
    assert service.sandbox.ledger.uploads == []
    os.write(terminal.near, f"{answer}\n".encode())
    seen = terminal.read()
    assert finish(process).code == code
    assert service.sandbox.ledger.credits_spent == (code == 0)
    assert ("The plan was not confirmed" in seen) is (code != 0)


def test_a_terminal_is_not_asked_with_yes(
    service: Service, terminal: Terminal, shell: Shell, many: Path
) -> None:
    far = {"stdin": terminal.far, "stderr": terminal.far, "start_new_session": True}
    process = shell("verify", str(many), "-o", "out.csv", "--yes", **far)
    terminal.leave()
    seen = terminal.read()
    assert finish(process).code == 0
    assert "Spend" not in seen
    assert "costs       200 credits" in seen
    assert "Part 1 before its start: 0 common-isp, 0 role-based, " in seen
    assert service.sandbox.ledger.credits_spent == 200


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

"""Signals end a command whose list never arrives, or whose output is not read."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.lists.test_workbooks import package

from .conftest import LIMIT, MAIN, Cli, Shell, finish, read_until
from .screen import Terminal
from .service import Service
from .test_terminal import terminal, wait_until_it_reads

__all__ = ["terminal"]  # a fixture

SIGNALS = pytest.mark.parametrize(
    ("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["SIGINT", "SIGTERM"]
)
PIPE_COMMANDS = {
    "dry run": ["verify", "pipe", "--dry-run"],
    "verify": ["verify", "pipe", "-o", "out.csv"],
    "second list": ["verify", "contacts.csv", "pipe", "-o", "out.csv"],
    "upload": ["upload", "pipe"],
}


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "pipe")
    return tmp_path / "pipe"


def script(*lines: str, stderr: int = subprocess.PIPE) -> "subprocess.Popen[str]":
    """Run a script with the command line's way of handling signals."""
    code = "\n".join(["import os, signal, time, asyncio, sys", *lines])
    return subprocess.Popen(  # noqa: S603 - ours
        [sys.executable, "-W", "error", "-c", code],
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
    )


@SIGNALS
@pytest.mark.usefixtures("service", "pipe", "contacts")
@pytest.mark.parametrize("command", PIPE_COMMANDS.values(), ids=PIPE_COMMANDS)
def test_a_signal_ends_a_command_whose_list_never_comes(
    shell: Shell, tmp_path: Path, command: list[str], signum: int, code: int
) -> None:
    process = shell(*command, "-v")
    before = read_until(process, "reading" if command[0] == "verify" else "uploading")
    process.send_signal(signum)
    outcome = finish(process, before)
    assert (outcome.code, outcome.out) == (code, "")
    assert not list(tmp_path.glob("out.csv*"))


@SIGNALS
@pytest.mark.usefixtures("service", "pipe")
def test_a_signal_ends_a_command_whose_list_comes_slowly(
    shell: Shell, pipe: Path, signum: int, code: int
) -> None:
    process = shell("verify", "pipe", "-o", "out.csv", "-v")
    before = read_until(process, "reading")
    with pipe.open("w") as writer:
        writer.write("email\na@example.com\n")
        writer.flush()
        process.send_signal(signum)
        assert finish(process, before).code == code


@SIGNALS
@pytest.mark.usefixtures("service")
def test_a_signal_ends_a_command_that_reads_a_hostile_workbook(
    shell: Shell, tmp_path: Path, signum: int, code: int
) -> None:
    package(tmp_path / "list.xlsx", head=[("<x/>", 9_000_000)])
    process = shell("verify", "list.xlsx", "-o", "out.csv", "-v")
    before = read_until(process, "reading")
    process.send_signal(signum)
    outcome = finish(process, before)
    assert outcome.code == code
    assert "queued" not in outcome.err


@SIGNALS
@pytest.mark.usefixtures("service")
def test_a_signal_ends_a_command_whose_stdin_stays_open(
    shell: Shell, signum: int, code: int
) -> None:
    process = shell("verify", "/dev/stdin", "-o", "out.csv", "-v", stdin=subprocess.PIPE)
    before = read_until(process, "reading")
    process.send_signal(signum)
    assert process.wait(LIMIT) == code
    assert finish(process, before).code == code


@pytest.mark.usefixtures("service")
def test_a_list_is_read_from_a_pipe_with_a_late_writer(
    shell: Shell, pipe: Path, tmp_path: Path
) -> None:
    process = shell("verify", "pipe", "-o", "out.csv", "-v")
    before = read_until(process, "reading")
    with pipe.open("w") as writer:
        writer.write("email\na@example.com\n")
        writer.flush()
        writer.write("b@example.com\n")
    assert finish(process, before).code == 0
    assert (tmp_path / "out.csv").read_text().count("\n") == 3


def test_a_signal_while_reading_restores_the_terminal(
    terminal: Terminal, shell: Shell, pipe: Path
) -> None:
    process = shell("verify", str(pipe), "--dry-run", stderr=terminal.far)
    terminal.leave()
    terminal.read("Reading")
    process.send_signal(signal.SIGINT)
    seen = terminal.read()
    assert process.wait(LIMIT) == 130
    assert terminal.seen.rindex("\x1b[?25h") > terminal.seen.rindex("\x1b[?25l")
    assert seen.endswith("bulkverify: interrupted\r\n")


@SIGNALS
@pytest.mark.parametrize(
    "work",
    [
        "    while True: time.sleep(60)",
        "    while True:\n        try: await asyncio.sleep(60)\n        except asyncio.CancelledError: print('cancelled', flush=True)",
    ],
    ids=["the loop is blocked", "the cancellation is refused"],
)
def test_a_second_signal_ends_the_process_at_once(work: str, signum: int, code: int) -> None:
    process = script(
        "from bulkverify.cli.interrupts import Interrupts",
        "from bulkverify.cli.loop import run_until_interrupted",
        "async def work():",
        "    loop = asyncio.get_running_loop()",
        "    print('begun', flush=True)",
        work,
        "seen = Interrupts._handle",
        "def handle(self, signum, frame):",
        "    if self.reason is None: os.write(1, b'caught\\n')",
        "    seen(self, signum, frame)",
        "Interrupts._handle = handle",
        "with Interrupts() as interrupts: run_until_interrupted(work(), interrupts)",
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    process.send_signal(signum)
    assert process.stdout.readline() == "caught\n"
    process.send_signal(signum)
    _, errors = process.communicate(timeout=LIMIT)
    assert (process.returncode, errors) == (code, "")


@SIGNALS
def test_a_second_signal_shows_the_cursor_again(terminal: Terminal, signum: int, code: int) -> None:
    process = script(
        "from bulkverify.cli.interrupts import Interrupts",
        "from bulkverify.cli.loop import run_until_interrupted",
        "async def work():",
        f"    os.kill(os.getpid(), {int(signum)})",
        f"    os.kill(os.getpid(), {int(signum)})",
        "with Interrupts() as interrupts: run_until_interrupted(work(), interrupts)",
        stderr=terminal.far,
    )
    terminal.leave()
    terminal.read()
    assert "\x1b[?25h" in terminal.seen
    process.communicate(timeout=LIMIT)
    assert process.returncode == code


@SIGNALS
def test_a_signal_before_the_loop_runs_ends_the_command(signum: int, code: int) -> None:
    process = script(
        "from bulkverify.cli import runner",
        "class App:",
        "    def parse_args(self, tokens, **_):",
        f"        os.kill(os.getpid(), {int(signum)})",
        "runner.app = App()",
        "sys.exit(runner.run(['credits']))",
    )
    _, errors = process.communicate(timeout=LIMIT)
    assert process.returncode == code
    assert errors.count("\n") == 1


# Readers that go away


@pytest.fixture
def half() -> Iterator[Callable[..., tuple[int, str]]]:
    """Run a command whose output loses its reader after some lines: the exit code, and those lines."""
    processes = []

    def run(*tokens: str, lines: int, streams: str = "both") -> tuple[int, str]:
        read, write = os.pipe()
        process = subprocess.Popen(  # noqa: S603 - ours
            [*MAIN, *tokens],
            stdin=subprocess.DEVNULL,
            stdout=write if streams == "both" else subprocess.DEVNULL,
            stderr=write,
        )
        processes.append(process)
        os.close(write)
        with open(read, buffering=1) as reader:  # noqa: PTH123 - no path
            seen = "".join(reader.readline() for _ in range(lines))
        return process.wait(LIMIT), seen

    yield run
    for process in processes:
        process.kill()
        process.wait()


Half = Callable[..., tuple[int, str]]


@pytest.mark.usefixtures("service")
@pytest.mark.parametrize("streams", ["both", "stderr"])
@pytest.mark.parametrize("option", ["-v", "-vv", "-vq"])
@pytest.mark.parametrize("lines", [0, 2])
def test_a_log_whose_reader_goes_away_ends_the_command(
    half: Half, contacts: Path, streams: str, option: str, lines: int
) -> None:
    tokens = ["verify", str(contacts), "-o", "out.csv", "--sandbox", option]
    code, seen = half(*tokens, lines=lines, streams=streams)
    assert code == 141
    assert "Traceback" not in seen


@pytest.mark.parametrize("lines", [1, 5])
def test_a_paid_run_can_continue_after_the_reader_of_its_log_went_away(  # noqa: PLR0917 - fixtures
    service: Service, half: Half, cli: Cli, contacts: Path, tmp_path: Path, lines: int
) -> None:
    tokens = ["verify", str(contacts), "-o", "out.csv"]
    code, seen = half(*tokens, "-v", lines=lines)
    assert code == 141
    assert "Traceback" not in seen
    assert cli(*tokens).code == 0
    assert (tmp_path / "out.csv").read_text().count("\n") == 6
    assert not service.sandbox.ledger.paid_twice
    assert service.sandbox.credits == 1_000_000 - 3


@pytest.mark.parametrize(
    "tokens",
    [
        ["wait", "{job}", "--until", "ready", "-v"],
        ["wait", "{job}", "--until", "ready", "--json"],
        ["status", "{job}"],
        ["credits"],
        ["credits", "--json"],
        ["credits", "-vv"],
        ["upload", "contacts.csv"],
        ["upload", "contacts.csv", "-v"],
        ["start", "{job}"],
        ["delete", "{job}"],
        ["check", "a@example.com"],
        ["verify", "contacts.csv", "--dry-run"],
        ["verify", "contacts.csv", "-o", "out.csv"],
        ["verify", "contacts.csv", "-o", "out.csv", "--json"],
        ["sandbox", "--port", "0"],
        ["--help"],
        ["--version"],
    ],
    ids=" ".join,
)
def test_a_command_without_a_reader_ends_as_one_with_a_broken_pipe(
    service: Service, half: Half, cli: Cli, contacts: Path, tokens: list[str]
) -> None:
    job = cli("upload", str(contacts)).out.strip()
    if tokens[0] in {"start", "delete"}:
        service.do(lambda: service.sandbox.advance(10))
    assert half(*[token.format(job=job) for token in tokens], lines=0) == (141, "")


@pytest.mark.usefixtures("service")
def test_an_error_without_a_reader_keeps_its_exit_code(half: Half) -> None:
    assert half("status", "unknown", "-vv", lines=0) == (3, "")
    assert half("status", "unknown", lines=0) == (3, "")
    assert half("status", "unknown", "--json", lines=0) == (3, "")


@pytest.mark.usefixtures("service")
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("option", ["-v", "-q", "--json"])
def test_a_run_with_closed_streams_finishes(
    contacts: Path, tmp_path: Path, closed: str, option: str
) -> None:
    words = " ".join(f"'{word}'" for word in [*MAIN, "verify", str(contacts), "-o", "out.csv"])
    done = subprocess.run(  # noqa: S603 - our own command
        ["/bin/sh", "-c", f"{words} {option} {closed}"],
        capture_output=True,
        timeout=LIMIT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out.csv").exists()


@pytest.mark.usefixtures("service")
def test_a_log_on_a_full_disk_ends_no_run(shell: Shell, contacts: Path) -> None:
    with Path("/dev/full").open("w") as full:
        process = shell("verify", str(contacts), "-o", "out.csv", "-v", stderr=full)
        assert process.wait(LIMIT) == 0


@pytest.mark.usefixtures("service")
def test_data_that_does_not_fit_on_the_disk_is_an_error(shell: Shell) -> None:
    with Path("/dev/full").open("w") as full:
        outcome = finish(shell("credits", stdout=full))
    assert outcome.code == 2
    assert outcome.err == "bulkverify: error: No space left on device\n"


@SIGNALS
@pytest.mark.usefixtures("service")
@pytest.mark.parametrize(
    "command", ["verify contacts.csv -o out.csv -vv", "credits", "verify pipe --dry-run --json"]
)
def test_a_signal_ends_a_command_whose_output_is_not_read(
    command: str, signum: int, code: int, contacts: Path, pipe: Path
) -> None:
    """A pipe that is full blocks the write, and with it the event loop."""
    assert contacts.exists()
    assert pipe.exists()
    read, write = os.pipe()
    os.set_blocking(write, False)
    with suppress(BlockingIOError):
        while True:
            os.write(write, b"x" * 4096)
    os.set_blocking(write, True)
    process = subprocess.Popen([*MAIN, *command.split()], stdout=write, stderr=write)  # noqa: S603 - ours
    os.close(write)
    try:
        wait_until_it_reads(process.pid)
        process.send_signal(signum)
        assert process.wait(LIMIT) == code
    finally:
        process.kill()
        process.wait()
        os.close(read)

"""The entry point as the installed script calls it."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import get_args

import attrs
import pytest

from bulkverify import ListFormat, __version__
from bulkverify.cli.app import app
from bulkverify.cli.options import Account, Format, name_stdio
from bulkverify.cli.output import Show

from .conftest import ROOT, Cli, Shell, finish

CALL = "from bulkverify.cli.main import main; main()"


def run_without(module: str) -> "subprocess.CompletedProcess[str]":
    code = f"import sys; sys.modules[{module!r}] = None; {CALL}"
    return subprocess.run(  # noqa: S603 - ours
        [sys.executable, "-c", code, "--help"],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_the_version(shell: Shell) -> None:
    outcome = finish(shell("--version"))
    assert (outcome.code, outcome.out, outcome.err) == (0, f"{__version__}\n", "")


@pytest.mark.parametrize("module", ["cyclopts", "rich"])
def test_without_the_extra_it_says_what_to_install(module: str) -> None:
    process = run_without(module)
    assert (process.returncode, process.stdout) == (2, "")
    assert 'pip install "bulkverify[cli]"' in process.stderr
    assert "Traceback" not in process.stderr


def test_any_other_missing_module_is_not_swallowed() -> None:
    process = run_without("bulkverify.cli.exits")
    assert process.returncode == 1
    assert "ModuleNotFoundError" in process.stderr
    assert "pip install" not in process.stderr


def loaded(*lines: str) -> set[str]:
    """Run some lines in a new interpreter, and return the packages and modules that it has loaded."""
    code = "\n".join(["import json, sys", *lines, "sys.stderr.write(json.dumps([*sys.modules]))"])
    process = subprocess.run(  # noqa: S603 - ours
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    return set(json.loads(process.stderr))


def called(*tokens: str) -> list[str]:
    return [
        f"sys.argv = {['bulkverify', *tokens]}",
        "try:",
        f"    {CALL}",
        "except SystemExit: pass",
    ]


def test_the_version_needs_nothing_but_itself() -> None:
    assert not {"cyclopts", "rich", "attr", "bulkverify.cli.app"} & loaded(*called("--version"))


@pytest.mark.parametrize(
    "lines",
    [
        called(),
        called("--help"),
        called("verify", "--help"),
        called("wait", "--help"),
        called("sandbox", "--help"),
        called("submit", "--help"),
        called("worker", "--help"),
        *(
            [
                "from bulkverify.cli.app import app",
                f"assert 'dry-run' in app.generate_completion(shell={shell!r})",
            ]
            for shell in ("bash", "zsh", "fish")
        ),
    ],
    ids=lambda lines: " ".join(lines[:1] if "argv" in lines[0] else lines[1:]),
)
def test_help_and_completion_load_no_client(lines: list[str]) -> None:
    assert not {"aiohttp", "yarl", "cattrs", "asyncio", "bulkverify.lists"} & loaded(*lines)


def test_a_dry_run_loads_no_client(contacts: Path) -> None:
    assert not {"aiohttp", "yarl", "cattrs"} & loaded(*called("verify", str(contacts), "--dry-run"))


def test_the_package_is_a_command_too() -> None:
    outcome = subprocess.run(
        [sys.executable, "-m", "bulkverify", "--version"],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert outcome.stdout == f"{__version__}\n"


def test_the_commands_stand_in_the_order_of_use(cli: Cli) -> None:
    help_ = cli("--help").out
    names = [line.split()[1] for line in help_.splitlines() if re.match(r"│ [a-z]", line)]
    steps = ["upload", "status", "start", "wait", "download", "delete"]
    assert names == [
        "verify",
        "filter",
        "report",
        *steps,
        *("submit", "runs", "run", "cancel", "worker"),
        "credits",
        "check",
        "sandbox",
        "completion",
    ]


@pytest.mark.parametrize("command", sorted(set(app) - {"--help", "-h", "--version"}))
def test_the_help_of_a_command_has_an_example_that_is_understood(cli: Cli, command: str) -> None:
    text = cli(command, "--help").out
    examples = re.findall(rf"bulkverify ({command} [^|>)]*)", text.partition("Example")[2])
    assert examples
    for example in examples:
        tokens = shlex.split(example.partition("  ")[0].replace('"$job"', "r1").rstrip('"'))
        app.parse_args(name_stdio(tokens), exit_on_error=False, print_error=False)


def test_shared_options_are_explained_once(cli: Cli) -> None:
    whole, check = cli("--help").out, cli("check", "--help").out
    for field in (*attrs.fields(Account), *attrs.fields(Show)):
        option = f"  --{field.name.replace('_', '-')} "
        assert whole.count(option) == 1
        assert option not in check
    assert len(check.splitlines()) <= 20


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("dow", "download"),
        ("completion ''", "bash zsh fish"),
        ("verify --only d", "deliverable"),
        ("check --js", "--json"),
    ],
)
def test_bash_completes_commands_options_and_values(cli: Cli, words: str, completed: str) -> None:
    script = cli("completion", "bash").out
    count = len(words.split())
    calls = (
        f"COMP_WORDS=(bulkverify {words}); COMP_CWORD={count}; _bulkverify; echo ${{COMPREPLY[*]}}"
    )
    done = subprocess.run(  # noqa: S603 - ours
        ["/bin/bash", "-c", f"{script}\n{calls}"],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert done.stdout.split() == completed.split()


def test_zsh_is_told_which_command_is_completed(cli: Cli) -> None:
    script = cli("completion", "zsh").out
    function = re.search(r"^(\w+)\(\) \{", script, re.MULTILINE)
    assert function is not None
    assert script.endswith(f"compdef {function[1]} bulkverify\n")


def test_help_fits_a_terminal_of_80_columns(shell: Shell) -> None:
    assert max(map(len, finish(shell("--help")).out.splitlines())) <= 80


def test_the_formats_are_those_of_the_sdk() -> None:
    assert get_args(Format) == get_args(ListFormat)


def test_lines_of_the_help_end_where_the_box_does(cli: Cli) -> None:
    text = cli("filter", "--help").out
    words = " ".join(line.strip("│ ") for line in text.splitlines())
    assert "mail to these; by default" in words
    assert not re.search(r"OUT-remove are +│\n", text)


def test_the_main_help_begins_with_whole_lists(cli: Cli) -> None:
    text = cli("--help").out
    assert text.index("Verify a list of any size") < text.index("--version")

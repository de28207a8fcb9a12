"""The entry point as the installed script calls it."""

import subprocess
import sys

import pytest

from bulkverify import __version__

from .conftest import ROOT, Shell, finish

CALL = "from bulkverify.cli.main import main; main()"


def run_without(module: str) -> "subprocess.CompletedProcess[str]":
    code = f"import sys; sys.modules[{module!r}] = None; {CALL}"
    return subprocess.run(  # noqa: S603 - ours
        [sys.executable, "-c", code, "--version"],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_the_version(shell: Shell) -> None:
    outcome = finish(shell("--version"))
    assert (outcome.code, outcome.out, outcome.err) == (0, f"{__version__}\n", "")


def test_without_a_command_it_shows_the_help(shell: Shell) -> None:
    outcome = finish(shell())
    assert outcome.code == 0
    assert outcome.out.startswith("Usage: bulkverify COMMAND")


@pytest.mark.parametrize("module", ["cyclopts", "rich"])
def test_without_the_extra_it_says_what_to_install(module: str) -> None:
    process = run_without(module)
    assert (process.returncode, process.stdout) == (2, "")
    assert 'pip install "bulkverify[cli]"' in process.stderr
    assert "Traceback" not in process.stderr


@pytest.mark.parametrize("module", ["bulkverify.cli.forecast", "bulkverify.run", "attrs"])
def test_any_other_missing_module_is_not_swallowed(module: str) -> None:
    if module == "bulkverify.cli.forecast":
        module = "bulkverify.cli.wording"  # one that is needed before any command
    process = run_without(module)
    assert process.returncode == 1
    assert "ModuleNotFoundError" in process.stderr
    assert "pip install" not in process.stderr

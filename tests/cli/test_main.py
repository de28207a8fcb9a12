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


@pytest.mark.parametrize("module", ["cyclopts", "rich"])
def test_without_the_extra_it_says_what_to_install(module: str) -> None:
    process = run_without(module)
    assert (process.returncode, process.stdout) == (2, "")
    assert 'pip install "bulkverify[cli]"' in process.stderr
    assert "Traceback" not in process.stderr


def test_any_other_missing_module_is_not_swallowed() -> None:
    process = run_without("bulkverify.cli.text")
    assert process.returncode == 1
    assert "ModuleNotFoundError" in process.stderr
    assert "pip install" not in process.stderr

"""The entry point as the installed script calls it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from bulkverify import ListFormat, __version__
from bulkverify.cli.verify import Format

from .conftest import ROOT, Shell, finish

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


def test_help_fits_a_terminal_of_80_columns(shell: Shell) -> None:
    assert max(map(len, finish(shell("--help")).out.splitlines())) <= 80


def test_the_formats_are_those_of_the_sdk() -> None:
    assert get_args(Format) == get_args(ListFormat)

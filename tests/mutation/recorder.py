"""A pytest plugin that records which lines each test runs, also in subprocesses."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import coverage
import pytest

TARGET: Final = "MUTATION_TARGET"
"""Environment variable: the file for the names of the tests, in JSON."""
LINES: Final = "MUTATION_LINES"
"""Environment variable: the folder for the data of coverage."""
TEST: Final = "MUTATION_TEST"
"""Environment variable: the running test, for its subprocesses."""

_SUBPROCESSES: Final = """\
[run]
source = {package}
data_file = {folder}/lines
parallel = true
sigterm = true
context = ${{MUTATION_TEST}}
"""


class _Recorder:
    def __init__(self, target: Path, folder: Path) -> None:
        self.target = target
        self.tests: list[str] = []
        package = str(Path.cwd() / "bulkverify")
        settings = folder / f"coveragerc-{os.getpid()}"
        settings.write_text(_SUBPROCESSES.format(package=package, folder=folder))
        self.coverage = coverage.Coverage(
            data_file=f"{folder}/lines", data_suffix=True, source=[package], config_file=False
        )
        self.coverage.start()
        os.environ["COVERAGE_PROCESS_START"] = str(settings)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        os.environ[TEST] = item.nodeid
        self.coverage.switch_context(item.nodeid)
        self.tests.append(item.nodeid)
        return (yield)

    def pytest_sessionfinish(self) -> None:
        self.coverage.stop()
        self.coverage.save()
        self.target.write_text(json.dumps(self.tests))


def pytest_configure(config: pytest.Config) -> None:
    """Begin to record if the environment asks for it."""
    if target := os.environ.get(TARGET):
        config.pluginmanager.register(_Recorder(Path(target), Path(os.environ[LINES])))

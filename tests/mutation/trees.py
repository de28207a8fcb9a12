"""Private copies of the worktree, in which one file at a time is changed, so that subprocesses see it too."""

import compileall
import os
import py_compile
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import attrs

PACKAGE: Final = "bulkverify"
OURS: Final = frozenset({PACKAGE, "pytest_bulkverify", "tests", "conftest"})
"""The modules that are imported from the copy, in each fork anew."""

OPTIONS: Final = (
    *("-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--hypothesis-seed=0"),
    *("-o", "addopts=--strict-markers --strict-config --import-mode=importlib"),
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),
)
"""How pytest is started: in one process, the same draw of examples each time, no memory of earlier runs."""

_LEFT_OUT: Final = shutil.ignore_patterns(".git", ".*cache", ".hypothesis", "__pycache__", ".venv")


@attrs.frozen(kw_only=True)
class Tree:
    """A copy of the worktree, for one worker.

    Attributes:
        work: the folder of all that this tool writes.
        number: the worker's.
        hidden: folders that the tests must not import from.
    """

    work: Path
    number: int
    hidden: frozenset[str]

    @property
    def root(self) -> Path:
        """Where the copy is."""
        return self.work / f"tree-{self.number}"

    @property
    def said(self) -> Path:
        """What the latest fork printed."""
        return self.work / f"said-{self.number}.txt"

    @contextmanager
    def changed(self, path: str, content: bytes) -> Iterator[None]:
        """Have other content in a file of the package."""
        file = self.root / PACKAGE / path
        before = file.read_bytes()
        file.write_bytes(content)
        try:
            yield
        finally:
            file.write_bytes(before)


def copied(root: Path, work: Path, number: int) -> Tree:
    """Copy what the tests need of a worktree."""
    tree = Tree(work=work, number=number, hidden=frozenset({str(root), ""}))
    shutil.rmtree(tree.root, ignore_errors=True)
    shutil.copytree(root, tree.root, ignore=_LEFT_OUT, symlinks=True)
    # Compiled files that go by time would be taken for those of a file that changed within a second.
    compileall.compile_dir(
        tree.root / PACKAGE,
        quiet=1,
        invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH,
    )
    return tree


def environment(root: Path) -> dict[str, str]:
    """Say in which environment the tests of a copy run, and their subprocesses."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    return kept | {
        "PYTHONPATH": str(root),
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
    }

"""Copies of the worktree with one changed file at a time, which subprocesses see too."""

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
"""The modules that each fork imports anew from the copy."""

OPTIONS: Final = (
    *("-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--hypothesis-seed=0"),
    *("-o", "addopts=--strict-markers --strict-config --import-mode=importlib"),
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),
)
"""Options of pytest: one process, the same examples each time, no cache of earlier runs."""

_LEFT_OUT: Final = shutil.ignore_patterns(".git", ".*cache", ".hypothesis", "__pycache__", ".venv")


@attrs.frozen(kw_only=True)
class Tree:
    """A copy of the worktree, for one worker.

    Attributes:
        work: the folder of all files of this tool.
        number: the number of the worker.
        hidden: folders that the tests must not import from.
    """

    work: Path
    number: int
    hidden: frozenset[str]

    @property
    def root(self) -> Path:
        """The folder of the copy."""
        return self.work / f"tree-{self.number}"

    @property
    def said(self) -> Path:
        """The file with the output of the latest fork."""
        return self.work / f"said-{self.number}.txt"

    @contextmanager
    def changed(self, path: str, content: bytes) -> Iterator[None]:
        """Replace the content of a file of the package for a while."""
        file = self.root / PACKAGE / path
        before = file.read_bytes()
        file.write_bytes(content)
        try:
            yield
        finally:
            file.write_bytes(before)


def copied(root: Path, work: Path, number: int) -> Tree:
    """Copy the files of a worktree that the tests need."""
    tree = Tree(work=work, number=number, hidden=frozenset({str(root), ""}))
    shutil.rmtree(tree.root, ignore_errors=True)
    shutil.copytree(root, tree.root, ignore=_LEFT_OUT, symlinks=True)
    # By time, a compiled file could hide a change within the same second, so its hash is checked.
    compileall.compile_dir(
        tree.root / PACKAGE,
        quiet=1,
        invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH,
    )
    return tree


def environment(root: Path) -> dict[str, str]:
    """Return the environment of the tests of a copy and their subprocesses."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    return kept | {
        "PYTHONPATH": str(root),
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
    }

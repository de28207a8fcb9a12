"""Errors give advice twice: in Python for callers, in options and commands for the shell."""

import ast
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

import bulkverify
from bulkverify.errors import clause

ROOT = Path(bulkverify.__file__).parent
MODULES = sorted(
    path
    for path in ROOT.rglob("*.py")
    if path.relative_to(ROOT).parts[0] not in {"cli", "sandbox", "testing"}
)

# An argument, a call or a name of Python, or the words `same call`.
PYTHON = re.compile(r"`(?:await [^`]*|[^`]*[=(][^`]*|[a-z_.]+)`|\bsame call\b")

# Their errors never reach the command: wrong strategies, callbacks and sessions. The log of a run
# is for programs.
PYTHON_ONLY = {"waiting/pacing.py", "waiting/waits.py", "service/sessions.py", "run/output.py"}


def text_of(node: ast.AST) -> str | None:
    """Return the text of a string, with `{x}` for each inserted value."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(
            str(part.value) if isinstance(part, ast.Constant) else "{x}" for part in node.values
        )
    return None


def docstrings(tree: ast.AST) -> set[ast.AST]:
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}


def pairs(tree: ast.AST) -> Iterator[tuple[ast.AST, ast.AST]]:
    """Yield all pairs of hints: arguments of `with_hint`, and tuples of two texts."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr == "with_hint" and not isinstance(node.args[0], ast.Starred):
                yield node.args[0], node.args[1]
        elif isinstance(node, ast.Tuple) and len(node.elts) == 2 and all(map(text_of, node.elts)):
            yield node.elts[0], node.elts[1]


def parts_of(node: ast.AST) -> set[ast.AST]:
    return set(ast.walk(node))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_advice_in_python_has_a_hint_for_the_command_line(path: Path) -> None:
    if path.relative_to(ROOT).as_posix() in PYTHON_ONLY:
        return
    tree = ast.parse(path.read_text(encoding="utf-8"))
    hinted = {node for hint, _ in pairs(tree) for node in parts_of(hint)}
    inside = {
        part for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values
    }
    for node in set(ast.walk(tree)) - docstrings(tree) - inside - hinted:
        assert not PYTHON.search(text_of(node) or ""), f"line {getattr(node, 'lineno', 0)}"


def test_every_hint_has_a_form_for_the_command_line_without_python() -> None:
    found = 0
    for path in MODULES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for hint, shell_hint in pairs(tree):
            said, shell_said = text_of(hint), text_of(shell_hint)
            if said and PYTHON.search(said):
                found += 1
                assert shell_said or "wait_until" in said, f"{path}: {said}"
            assert not PYTHON.search((shell_said or "").replace("`bulkverify ", "")), path
    assert found > 20


# Such values are texts of others, which may end with a full stop of their own.
FOREIGN = re.compile(r"(?:message|error|reason|why|problem|strerror)(?:\(.*\))?$")
DOUBLED = re.compile(r"[\w'\"`)}]\.[.;,:](?=\s|$)")


@pytest.mark.parametrize(
    "path", sorted(ROOT.rglob("*.py")), ids=lambda path: path.relative_to(ROOT).as_posix()
)
def test_no_message_has_a_full_stop_before_another_sign(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in set(ast.walk(tree)) - docstrings(tree):
        assert not DOUBLED.search(text_of(node) or ""), f"line {getattr(node, 'lineno', 0)}"
        for value, after in pairwise(node.values if isinstance(node, ast.JoinedStr) else ()):
            if isinstance(value, ast.FormattedValue) and (text_of(after) or "")[:1] in {".", ";"}:
                said = ast.unparse(value.value)
                assert not FOREIGN.search(said) or said.startswith("clause("), said


def test_a_text_in_a_sentence_loses_its_full_stop() -> None:
    assert clause(ValueError("Job not found.")) == "Job not found"
    assert clause("no stop") == "no stop"

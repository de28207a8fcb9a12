"""The limits of the service are stated once, and texts give the same numbers."""

import ast
import re
from pathlib import Path

import bulkverify
from bulkverify import limits

ROOT = Path(bulkverify.__file__).parent
MODULES = sorted(set(ROOT.rglob("*.py")) - {ROOT / "limits.py"})

# The limits whose numbers have no other meaning.
TELLING = {limits.LARGEST_LIST_BYTES, limits.LONGEST_LIST_ROWS}

SPELLED: dict[str, set[float]] = {
    r"\b([0-9]+) MB": {limits.LARGEST_LIST_BYTES // 1024**2},
    r"\b([0-9]+,[0-9]{3}) (?:addresses|rows)\b": {limits.LONGEST_LIST_ROWS},
    r"\b([0-9]+) lists\b": {limits.MOST_UNVERIFIED_LISTS, limits.MOST_VERIFYING_LISTS},
    r"\b([0-9]+) requests a minute": {limits.REQUESTS_PER_MINUTE},
    r"\b([0-9]+) days\b": {limits.RETENTION_DAYS},
    r"\b([0-9]{2})s? to [0-9]{3}\b": {limits.SHORTEST_VERIFY_SECONDS},
    r"\b[0-9]{2}s? to ([0-9]{3})\b": {limits.LONGEST_VERIFY_SECONDS},
}


def value_of(node: ast.AST) -> object:
    """Evaluate a number, or a product of numbers."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        left, right = value_of(node.left), value_of(node.right)
        return left * right if isinstance(left, int) and isinstance(right, int) else None
    return None


def defaults(tree: ast.AST) -> dict[str, object]:
    """Find the numbers that are defaults of parameters and fields."""
    found: dict[str, object] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.arguments):
            pairs = zip(node.kwonlyargs, node.kw_defaults, strict=True)
            found |= {a.arg: value_of(d) for a, d in pairs if d is not None}
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
            found[node.target.id] = value_of(node.value)
    return {name: value for name, value in found.items() if value is not None}


def test_the_module_of_limits_imports_no_other() -> None:
    tree = ast.parse((ROOT / "limits.py").read_text(encoding="utf-8"))
    imported = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    assert [ast.unparse(node) for node in imported] == ["from typing import Final"]


def test_every_limit_names_its_source() -> None:
    tree = ast.parse((ROOT / "limits.py").read_text(encoding="utf-8"))
    names = [name for name in vars(limits) if name.isupper()]
    said = [
        node.value.value
        for node in tree.body[1:]
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    ]
    assert len(said) == len(names) > 0
    assert not [
        text
        for text in said
        if not re.search(r"documented|observed|ours", str(text), re.IGNORECASE)
    ]


def test_each_limit_is_written_only_in_its_module() -> None:
    for path in MODULES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert not TELLING & {value_of(node) for node in ast.walk(tree)}, path
        assert not {"requests_per_minute", "max_lists", "max_verifying"} & defaults(tree).keys()


def test_a_limit_in_words_equals_its_number() -> None:
    for path in MODULES:
        text = path.read_text(encoding="utf-8")
        for pattern, allowed in SPELLED.items():
            for number in re.findall(pattern, text):
                assert int(number.replace(",", "")) in allowed, (path, pattern, number)

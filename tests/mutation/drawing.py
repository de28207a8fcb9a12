"""The possible changes of a file, and a fair draw over many files."""

import ast
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import attrs

from .operators import Swap, swaps

_TEXT_FUNCTIONS: Final = frozenset({"__repr__", "__str__"})
_NOT_FOR_US: Final = frozenset({"TypeVar", "ParamSpec", "NewType", "cast", "getLogger", "warn"})
_LOGGED: Final = frozenset({"debug", "info", "warning", "error", "exception", "log", "add_note"})
_SHOWN_CHARACTERS: Final = 120
_LIMITS: Final = ("_MOST", "_LONGEST", "_LARGEST")
_LEAST_MEASURE: Final = 50


@attrs.frozen(kw_only=True)
class Change:
    """One small change of a file.

    Attributes:
        path: the file, below the package.
        lines: the first and the last changed line.
        statement: the first and the last line of the head of its statement.
        function: where it stands, as `Class.method`; empty at the level of the module.
        body: the first and the last line of its function, if it is in the body.
        names: the names that the statement defines outside of functions.
        start: the first replaced byte.
        end: the first byte after the replaced ones.
        text: the replacement; it has as many lines.
    """

    path: str
    lines: tuple[int, int]
    statement: tuple[int, int]
    function: str
    body: tuple[int, int] | None
    names: tuple[str, ...]
    operator: str
    before: str
    after: str
    start: int
    end: int
    text: str

    def applied(self, source: bytes) -> bytes:
        """Return the file with this change."""
        return source[: self.start] + self.text.encode() + source[self.end :]

    def __str__(self) -> str:
        """Describe the change in one line."""
        place = f"{self.path}:{self.lines[0]} `{self.function}` [{self.operator}]"
        return f"{place}: `{self.before}` -> `{self.after}`"


@attrs.frozen(kw_only=True)
class _Place:
    function: str = ""
    body: tuple[int, int] | None = None
    statement: tuple[int, int] = (0, 0)
    names: tuple[str, ...] = ()
    silent: bool = False
    """Whether the node is in the text of a message."""
    measure: bool = False
    """Whether the node is in a private number other than a limit, such as a buffer size."""


def changes(path: str, source: bytes) -> list[Change]:
    """Return all changes of a Python file."""
    tree = ast.parse(source)
    offsets = [0]
    for line in source.splitlines(keepends=True):
        offsets.append(offsets[-1] + len(line))
    found: dict[tuple[int, int, str], Change] = {}
    for swap, place in _walk(tree, _Place()):
        change = _change(path, offsets, swap, place)
        found.setdefault((change.start, change.end, change.text), change)
    return list(found.values())


def works(change: Change, source: bytes) -> bool:
    """Return whether a changed file is still valid Python, and a different program."""
    try:
        return ast.dump(ast.parse(change.applied(source))) != ast.dump(ast.parse(source))
    except SyntaxError:
        return False


def draw(
    sources: Mapping[str, bytes], *, seed: int, count: int, most: int
) -> tuple[list[Change], int]:
    """Draw changes, with a limit per file; return them, and the number of possible ones."""
    pool = [change for path in sorted(sources) for change in changes(path, sources[path])]
    there = len(pool)
    random.Random(seed).shuffle(pool)  # noqa: S311 - the draw must be repeatable
    drawn: list[Change] = []
    of_a_file: Counter[str] = Counter()
    for change in pool:
        if len(drawn) == count:
            break
        if of_a_file[change.path] < most and works(change, sources[change.path]):
            of_a_file[change.path] += 1
            drawn.append(change)
    return drawn, there


def modules(package: Path, only: Sequence[str], without: Sequence[str]) -> dict[str, bytes]:
    """Read the files of a package: those below `only`, if given, except those below `without`."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        name = path.relative_to(package).as_posix()
        if _below(name, only or [""]) and not _below(name, without):
            found[name] = path.read_bytes()
    return found


def _below(name: str, folders: Iterable[str]) -> bool:
    return any(one in (name, "") or name.startswith(f"{one.rstrip('/')}/") for one in folders)


def _walk(node: ast.AST, place: _Place) -> Iterator[tuple[Swap, _Place]]:
    for child in _children(node):
        if _only_for_types(child) or isinstance(child, ast.JoinedStr):
            continue
        inner = _entered(child, place)
        for swap in swaps(child):
            if not (_is_text(swap, inner) or _is_log(child) or _is_trifle(swap, inner)):
                yield swap, inner
        yield from _walk(child, inner)


def _children(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the children of a node, except annotations, docstrings, decorators and patterns."""
    left_out = {"annotation", "returns", "decorator_list", "pattern", "bases", "type_params"}
    for name, value in ast.iter_fields(node):
        if name in left_out:
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not (_is_docstring(child) or _is_free(child)):
                yield child


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _is_free(node: ast.AST) -> bool:
    """Return whether an argument could as well have another value.

    Only a bug of ours could break `strict=True` of a `zip`. A digest may be one byte shorter or longer,
    and the beginning of a temporary file's name may be any.
    """
    match node:
        case ast.keyword(arg="strict", value=ast.Constant(value=True)):
            return True
        case ast.keyword(arg="digest_size" | "prefix", value=ast.Constant()):
            return True
    return False


def _only_for_types(node: ast.AST) -> bool:
    match node:
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return True
        case ast.Assign(targets=[ast.Name(id="__all__" | "__slots__")]):
            return True
        case ast.AnnAssign(annotation=ast.Name(id="TypeAlias")):
            return True
    return False


def _entered(node: ast.AST, place: _Place) -> _Place:
    """Return the place of the children of a node."""
    if isinstance(node, ast.stmt | ast.ExceptHandler):
        body = getattr(node, "body", None)
        last = node.end_lineno or node.lineno
        if isinstance(body, list) and body:
            last = max(node.lineno, body[0].lineno - 1)
        place = attrs.evolve(place, statement=(node.lineno, last))
        if place.body is None and isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = tuple(target.id for target in targets if isinstance(target, ast.Name))
            place = attrs.evolve(place, names=names, measure=_is_measure(node.value, names))
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            name = f"{place.function}.{node.name}".lstrip(".")
            lines = (node.body[0].lineno, node.end_lineno or node.lineno)
            silent = place.silent or node.name in _TEXT_FUNCTIONS or "Error." in name
            return attrs.evolve(place, function=name, body=lines, silent=silent, names=())
        case ast.ClassDef():
            return attrs.evolve(place, function=f"{place.function}.{node.name}".lstrip("."))
        case ast.Raise():
            return attrs.evolve(place, silent=True)
        case ast.Call() if _called(node).endswith(("Error", "Warning")) or (
            _called(node) in _NOT_FOR_US | _LOGGED
        ):
            return attrs.evolve(place, silent=True)
        case ast.Assign(targets=[ast.Name(id="message")]):
            return attrs.evolve(place, silent=True)
    return place


def _is_measure(value: ast.expr | None, names: Sequence[str]) -> bool:
    computed = ast.BinOp | ast.UnaryOp | ast.operator | ast.unaryop
    return (
        value is not None
        and all(name.startswith("_") and not name.startswith(_LIMITS) for name in names)
        and all(
            isinstance(part, computed)
            or (isinstance(part, ast.Constant) and isinstance(part.value, int | float))
            for part in ast.walk(value)
        )
    )


def _is_trifle(swap: Swap, place: _Place) -> bool:
    """Return whether a number changes by at most a fiftieth."""
    match swap:
        case Swap(operator="const", old=ast.Constant(value=int(number) | float(number))):
            return place.measure and number >= _LEAST_MEASURE
    return False


def _called(node: ast.Call) -> str:
    match node.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def _is_log(node: ast.AST) -> bool:
    """Return whether a statement only logs."""
    match node:
        case ast.Expr(value=ast.Call(func=ast.Attribute(attr=name)) as call):
            return name in _LOGGED and "log" in ast.unparse(call.func).lower()
    return False


def _is_text(swap: Swap, place: _Place) -> bool:
    """Return whether a string is only the text of a message."""
    match swap:
        case Swap(operator="str", old=ast.Constant(value=str(text))):
            prose = place.body is not None or text[:1].isupper() or text.endswith(".")
            return place.silent or (" " in text and prose)
    return False


def _change(path: str, offsets: Sequence[int], swap: Swap, place: _Place) -> Change:
    old, new = swap.old, swap.new
    assert isinstance(old, ast.expr | ast.stmt)
    last = old.end_lineno or old.lineno
    start = offsets[old.lineno - 1] + old.col_offset
    end = offsets[last - 1] + (old.end_col_offset or 0)
    empty = "\n" * (last - old.lineno)
    match new:
        case None:
            text, after = f"pass{empty}", "pass"
        case ast.expr():
            after = ast.unparse(new)
            text = f"({after}{empty})"
        case _:
            after = ast.unparse(new)
            text = after + empty
    return Change(
        path=path,
        lines=(old.lineno, last),
        statement=place.statement,
        function=place.function,
        body=place.body,
        names=place.names,
        operator=swap.operator,
        before=_shown(swap.shown or ast.unparse(old)),
        after="left out" if swap.shown else _shown(after),
        start=start,
        end=end,
        text=text,
    )


def _shown(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN_CHARACTERS else f"{line[:_SHOWN_CHARACTERS]}…"

"""The changes of one node of a syntax tree: a comparison, a constant, a condition, a removed statement.

Each operator yields replacements of a node or of one below it. Texts of messages, annotations, docstrings,
decorators and code for type checkers are left alone.
"""

import ast
from collections.abc import Callable, Iterator
from copy import copy
from typing import Final, NamedTuple


class Swap(NamedTuple):
    """One replacement of a node; `None` removes a statement.

    `shown` describes a node that is too long to print.
    """

    operator: str
    old: ast.AST
    new: ast.expr | ast.stmt | None
    shown: str = ""


_COMPARED: Final[dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}

_COMPUTED: Final[dict[type[ast.operator], type[ast.operator]]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
    ast.BitXor: ast.BitOr,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}

_SWAPPED: Final = {
    "min": "max",
    "max": "min",
    "any": "all",
    "all": "any",
    "sorted": "list",
    "startswith": "endswith",
    "endswith": "startswith",
    "removeprefix": "removesuffix",
    "removesuffix": "removeprefix",
    "ceil": "floor",
    "floor": "ceil",
    "lstrip": "rstrip",
    "rstrip": "lstrip",
    "find": "rfind",
    "rfind": "find",
    "popleft": "pop",
    "appendleft": "append",
}

_TYPES: Final = frozenset({"str", "bytes", "int", "float", "bool", "list", "tuple", "dict", "set"})

_NOTHING: Final = ast.Constant(None)


def _but(node: ast.expr, **fields: object) -> ast.expr:
    """Copy a node with other fields."""
    changed = copy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed


def _without(nodes: list[ast.expr], index: int) -> list[ast.expr]:
    return [*nodes[:index], *nodes[index + 1 :]]


def _compare(node: ast.Compare) -> Iterator[Swap]:
    for index, found in enumerate(node.ops):
        for other in _COMPARED[type(found)]:
            ops = [*node.ops[:index], other(), *node.ops[index + 1 :]]
            yield Swap("cmp", node, _but(node, ops=ops))


def _arithmetic(node: ast.BinOp) -> Iterator[Swap]:
    # Operations that cannot be computed would always be noticed.
    if not any(_is_text(side) or _is_type(side) for side in (node.left, node.right)):
        yield Swap("arith", node, _but(node, op=_COMPUTED[type(node.op)]()))


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str | bytes)
    )


def _is_type(node: ast.expr) -> bool:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name in _TYPES or (name[:1].isupper() and not name.isupper())
    return False


def _constant(node: ast.Constant) -> Iterator[Swap]:
    match node.value:
        case bool(value):
            yield Swap("bool", node, ast.Constant(not value))
        case int(value) | float(value):
            yield Swap("const", node, ast.Constant(value + 1))
            yield Swap("const", node, ast.Constant(value - 1))
        case str(value):
            yield Swap("str", node, ast.Constant(value + "XX"))
        case bytes(value):
            yield Swap("str", node, ast.Constant(value + b"XX"))


def _either(node: ast.BoolOp) -> Iterator[Swap]:
    other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
    yield Swap("andor", node, _but(node, op=other))
    for index in range(len(node.values)):
        left = _without(node.values, index)
        yield Swap("dropoperand", node, left[0] if len(left) == 1 else _but(node, values=left))


def _unary(node: ast.UnaryOp) -> Iterator[Swap]:
    if isinstance(node.op, ast.Not):
        yield Swap("dropnot", node, node.operand)
    elif isinstance(node.op, ast.USub):
        yield Swap("neg", node, node.operand)


def _conditional(node: ast.IfExp) -> Iterator[Swap]:
    yield Swap("ifexp", node, node.body)
    yield Swap("ifexp", node, node.orelse)


def _awaited(node: ast.Await) -> Iterator[Swap]:
    yield Swap("noawait", node, _NOTHING)


def _call(node: ast.Call) -> Iterator[Swap]:
    match node.func:
        case ast.Name(id=name) if name in _SWAPPED:
            yield Swap("swapfn", node.func, ast.Name(_SWAPPED[name]))
        case ast.Attribute(attr=name) if name in _SWAPPED:
            yield Swap("swapfn", node.func, _but(node.func, attr=_SWAPPED[name]))
        case ast.Name(id="isinstance" | "issubclass"):
            for kinds in node.args[1:]:
                for fewer in _fewer_types(kinds):
                    yield Swap("droptype", kinds, fewer)


def _fewer_types(node: ast.expr) -> Iterator[ast.expr]:
    """Leave out one type of a union or a tuple."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        yield node.right
        yield node.left
        for fewer in _fewer_types(node.left):
            yield _but(node, left=fewer)
    elif isinstance(node, ast.Tuple):
        for index in range(len(node.elts)):
            yield _but(node, elts=_without(node.elts, index))


def _comprehension(node: ast.comprehension) -> Iterator[Swap]:
    for test in node.ifs:
        yield Swap("iftrue", test, ast.Constant(value=True))
        yield Swap("iffalse", test, ast.Constant(value=False))


def _if(node: ast.If) -> Iterator[Swap]:
    yield Swap("iftrue", node.test, ast.Constant(value=True))
    yield Swap("iffalse", node.test, ast.Constant(value=False))


def _while(node: ast.While) -> Iterator[Swap]:
    if not isinstance(node.test, ast.Constant):
        yield Swap("iffalse", node.test, ast.Constant(value=False))


def _return(node: ast.Return) -> Iterator[Swap]:
    value = node.value
    if value is None or (isinstance(value, ast.Constant) and value.value is None):
        return
    yield Swap("retval", value, _NOTHING)
    if isinstance(value, ast.Compare | ast.BoolOp | ast.UnaryOp):
        yield Swap("retnot", value, ast.UnaryOp(ast.Not(), value))


def _expression(node: ast.Expr) -> Iterator[Swap]:
    if isinstance(node.value, ast.Call | ast.Await):
        yield Swap("dropstmt", node, None)


def _delete(node: ast.Delete) -> Iterator[Swap]:
    yield Swap("dropstmt", node, None)


def _assign(node: ast.Assign) -> Iterator[Swap]:
    # A name without a value breaks at once; a missing attribute may not be noticed.
    if all(isinstance(target, ast.Attribute | ast.Subscript) for target in node.targets):
        yield Swap("dropassign", node, None)
    yield from _members(node.value)


def _annotated(node: ast.AnnAssign) -> Iterator[Swap]:
    if node.value is not None:
        yield from _members(node.value)


def _members(node: ast.expr) -> Iterator[Swap]:
    """Leave out one member of a literal collection."""
    match node:
        case ast.Tuple(elts=members) | ast.Set(elts=members) | ast.List(elts=members):
            if len(members) > 1:
                for index in range(len(members)):
                    fewer = _but(node, elts=_without(members, index))
                    yield Swap("dropmember", node, fewer, f"member {ast.unparse(members[index])}")
        case ast.Dict(keys=keys, values=values) if len(keys) > 1:
            for index in range(len(keys)):
                left = [*keys[:index], *keys[index + 1 :]]
                fewer = _but(node, keys=left, values=_without(values, index))
                key = keys[index]
                yield Swap("dropmember", node, fewer, f"member {key and ast.unparse(key)}")
        case ast.Call(args=[only]):
            yield from _members(only)


def _augmented(node: ast.AugAssign) -> Iterator[Swap]:
    other = copy(node)
    other.op = _COMPUTED[type(node.op)]()
    yield Swap("augop", node, other)
    yield Swap("aug2assign", node, ast.Assign([node.target], node.value, lineno=node.lineno))
    yield Swap("dropassign", node, None)


def _handler(node: ast.ExceptHandler) -> Iterator[Swap]:
    if node.type is None:
        return
    yield Swap("dropexcept", node.type, ast.Tuple([], ast.Load()))  # an empty tuple catches nothing
    if isinstance(node.type, ast.Tuple):
        for fewer in _fewer_types(node.type):
            yield Swap("narrowexcept", node.type, fewer)


def _with(node: ast.With | ast.AsyncWith) -> Iterator[Swap]:
    nothing = ast.parse("__import__('contextlib').nullcontext()", mode="eval").body
    for item in node.items:
        if item.optional_vars is None:
            yield Swap("dropwith", item.context_expr, nothing)


def _leave(node: ast.Continue | ast.Break | ast.Raise) -> Iterator[Swap]:
    yield Swap(f"drop{type(node).__name__.lower()}", node, None)
    if isinstance(node, ast.Continue):
        yield Swap("cont2break", node, ast.Break())


_OPERATORS: Final[dict[type[ast.AST], Callable[..., Iterator[Swap]]]] = {
    ast.Compare: _compare,
    ast.BinOp: _arithmetic,
    ast.Constant: _constant,
    ast.BoolOp: _either,
    ast.UnaryOp: _unary,
    ast.IfExp: _conditional,
    ast.Await: _awaited,
    ast.Call: _call,
    ast.comprehension: _comprehension,
    ast.If: _if,
    ast.While: _while,
    ast.Return: _return,
    ast.Expr: _expression,
    ast.Delete: _delete,
    ast.Assign: _assign,
    ast.AnnAssign: _annotated,
    ast.AugAssign: _augmented,
    ast.ExceptHandler: _handler,
    ast.With: _with,
    ast.AsyncWith: _with,
    ast.Continue: _leave,
    ast.Break: _leave,
    ast.Raise: _leave,
}


def swaps(node: ast.AST) -> Iterator[Swap]:
    """Yield all replacements of a node."""
    operator = _OPERATORS.get(type(node))
    if operator is not None:
        yield from operator(node)

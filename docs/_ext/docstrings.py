"""Read our docstrings, which are Markdown with Google's sections, and find the names in them."""

import builtins
import importlib
import re
import sys
from collections.abc import Iterator

import attrs
from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.pycode import ModuleAnalyzer

import bulkverify
from bulkverify import durable, sandbox, testing

HOMES = {
    name: package.__name__
    for package in (testing, sandbox, durable, bulkverify)
    for name in package.__all__
}
_CODE = re.compile(r"(?<!`)`([^`]+)`(?!`)")
_FENCE = re.compile(r"^(\s*)```(\w*)$")
_DEFAULT = re.compile(r"attr_dict\['(\w+)'\]\.default")
_COLON = "\ue000"
_RAISED = re.compile(r"^    ([A-Z]\w+(?:, [A-Z]\w+)*): (.*)$")


def _code(found: re.Match[str]) -> str:
    """Turn code of Markdown into a link if it is a public name, or else into code of reStructuredText."""
    text = found[1]
    name, _, member = text.partition(".")
    if name in HOMES and re.fullmatch(r"\w*", member):
        return f":py:obj:`{text} <{HOMES[name]}.{text}>`"
    return f"``{text}``"


def restructured(lines: list[str]) -> Iterator[str]:
    """Turn a docstring into reStructuredText; napoleon reads the sections afterwards."""
    fenced = False
    section = ""
    for line in lines:
        if fence := _FENCE.match(line):
            fenced = not fenced
            if fenced:
                yield f"{fence[1]}.. code-block:: {fence[2] or 'text'}"
                yield ""
            continue
        if fenced:
            yield f"    {line}"
            continue
        if line and not line.startswith(" "):
            section = line
        raised = _RAISED.match(line) if section == "Raises:" else None
        if raised and "," in raised[1]:  # napoleon takes one name in each entry
            for name in raised[1].split(", "):
                yield f"    {name}: {_CODE.sub(_code, raised[2])}"
        else:
            yield _CODE.sub(_code, line)


def _below(alias: str) -> list[str]:
    """Return the docstring below a type alias, wherever it is defined."""
    for module in sorted(sys.modules):
        if module.partition(".")[0] == "bulkverify":
            said = ModuleAnalyzer.for_module(module).find_attr_docs()
            if ("", alias) in said:
                return said["", alias]
    return []


def _sign(
    app: Sphinx,
    what: str,
    name: str,
    found: object,
    options: object,
    signature: str | None,
    _: str | None,
) -> tuple[str | None, None] | None:
    """Leave out the signatures of models, which only this package makes; write the defaults of others."""
    if what != "class" or not isinstance(found, type) or not attrs.has(found):
        return None
    if found.__module__ != "bulkverify.waiting.pacing" and not found.__module__.startswith(
        "bulkverify.sandbox"
    ):
        return "", None
    fields = attrs.fields_dict(found)
    return _DEFAULT.sub(lambda default: _default(fields[default[1]]), signature or ""), None


def _default(field: "attrs.Attribute[object]") -> str:
    return "…" if isinstance(field.default, attrs.Factory) else repr(field.default)  # type: ignore[arg-type]


def _process(
    app: Sphinx, what: str, name: str, found: object, options: object, lines: list[str]
) -> None:
    if what == "data":
        lines[:] = _below(name.rpartition(".")[2])
    lines[:] = restructured(lines)
    if what in {"attribute", "data", "property"}:  # napoleon would read `The share: …` as a type
        lines[:] = [line.replace(":", _COLON) for line in lines]


def _restore(
    app: Sphinx, what: str, name: str, found: object, options: object, lines: list[str]
) -> None:
    lines[:] = [line.replace(_COLON, ":") for line in lines]


def _find(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, contnode: nodes.TextElement
) -> nodes.reference | nodes.TextElement | None:
    """Resolve a name by its home, as in `bulkverify.client.Job`; names of other packages get no link.

    A private name of this package stays unresolved, which fails the build.
    """
    if node.get("refdomain") != "py":
        return None
    target = node["reftarget"]
    parts = target.split(".")
    public = HOMES.get(parts[-1])
    if public and f"{public}.{parts[-1]}" != target:
        domain = env.domains.python_domain
        for kind in ("obj", "data"):
            if found := domain.resolve_xref(
                env, node["refdoc"], app.builder, kind, f"{public}.{parts[-1]}", node, contnode
            ):
                return found
    return contnode if _is_foreign(parts) else None


def _is_foreign(parts: list[str]) -> bool:
    if parts[0] == "bulkverify":
        return parts[-1] == "Frame"  # the protocol that frames of pandas and polars fit
    if len(parts) == 1:
        return hasattr(builtins, parts[0])
    try:
        importlib.import_module(parts[0])
    except ImportError:
        return False
    return True


def setup(app: Sphinx) -> dict[str, bool]:
    """Register before napoleon, which has the priority 500."""
    app.connect("autodoc-process-docstring", _process, priority=400)
    app.connect("autodoc-process-docstring", _restore, priority=600)
    app.connect("autodoc-process-signature", _sign)
    app.connect("missing-reference", _find)
    return {"parallel_read_safe": True}

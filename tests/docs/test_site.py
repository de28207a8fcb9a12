"""The build of the pages fails on what is wrong in them, and so does the check of the built site."""

import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import bulkverify
from bulkverify import durable, sandbox, testing

ROOT = Path(bulkverify.__file__).parents[1]
DOCS = ROOT / "docs"

pytest.importorskip("sphinx", reason="the documentation's tools are not installed")

INDEX = """\
# Title

```{toctree}
page
```
"""
PAGE = """\
# Page

## A section

[itself](page.md#a-section), [the start](index.md), `code`

![A dot](dot.svg)
"""
# What is wrong in a page, and what the build says about it.
FAULTS = {
    "[x](nowhere.md)": "cross-reference target not found: 'nowhere.md'",
    "[x](#no-such-section)": "cross-reference target not found: 'no-such-section'",
    "[x](index.md#no-such-part)": "'no-such-part'",
    "![x](nowhere.png)": "image file not readable: nowhere.png",
    "```{eval-rst}\n:py:class:`bulkverify.Missing`\n```": "not found: bulkverify.Missing",
    "```{eval-rst}\n.. autoclass:: bulkverify.Gone\n```": "'Gone'",
    "```{include} nothing.md\n```": "nothing.md",
    "```{no-such-directive}\n```": "Unknown directive type: 'no-such-directive'",
    "#### Too deep": "Non-consecutive header level",
    "```no-such-language\nx\n```": "'no-such-language' is not known",
}
DOT = '<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"><path d="M0 0h1v1H0z"/></svg>'


def build(folder: Path, page: str) -> subprocess.CompletedProcess[str]:
    """Build a page with the settings of the documentation, and the flags that CI has."""
    source = folder / "pages"
    source.mkdir()
    for name, text in {"index.md": INDEX, "page.md": page, "dot.svg": DOT}.items():
        (source / name).write_text(text, encoding="utf-8")
    flags = re.search(r"sphinx-build (.*) docs build/docs", (ROOT / ".ci/run").read_text())
    assert flags is not None
    command = ["-m", "sphinx", *flags[1].split(), "-c", DOCS, source, folder / "site"]
    return subprocess.run(  # noqa: S603 - our own
        [sys.executable, *map(str, command)],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a site without faults."""
    folder = tmp_path_factory.mktemp("good")
    done = build(folder, PAGE)
    assert (done.returncode, done.stderr) == (0, "")
    return folder / "site"


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    """Build one page with all faults, because a build takes seconds."""
    page = "\n\n".join([PAGE, *FAULTS])
    return build(tmp_path_factory.mktemp("faulty"), page)


def check(
    site: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[int, str]:
    """Run the check as CI does; return its exit code, and what it prints."""
    monkeypatch.setattr(sys, "argv", ["check_site.py", str(site)])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / "tools/check_site.py"), run_name="__main__")
    assert isinstance(ended.value.code, int)
    return ended.value.code, capsys.readouterr().out


Check = Callable[[Path], tuple[int, str]]


@pytest.fixture(name="check")
def _check(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Check:
    return lambda site: check(site, monkeypatch, capsys)


@pytest.mark.parametrize("fault", FAULTS)
def test_the_build_fails_on(fault: str, faulty: subprocess.CompletedProcess[str]) -> None:
    assert faulty.returncode != 0
    assert FAULTS[fault] in faulty.stderr


def test_a_site_without_faults_passes_the_check(good: Path, check: Check) -> None:
    code, said = check(good)
    assert code == 0, said
    assert re.fullmatch(r"\d+ pages, .*1 pictures.*: no problem\n", said)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ('<script src="https://cdn.example/x.js"></script>', "loads https://cdn.example/x.js"),
        ('<img src="//cdn.example/x.png" alt="x">', "loads //cdn.example/x.png"),
        ('<link rel="stylesheet" href="https://fonts.example/a">', "loads https://fonts.example/a"),
        ("<style>@import 'https://fonts.example/b';</style>", "loads https://fonts.example/b"),
        ('<p style="background: url(http://x.example/c)">', "loads http://x.example/c"),
        ('<iframe src="https://video.example"></iframe>', "loads https://video.example"),
        ('<script src="_static/nowhere.js"></script>', "nowhere.js, which is not there"),
        ('<img src="nowhere.png" alt="x">', "loads nowhere.png, which is not there"),
        ('<img src="_images/dot.svg" alt="">', "the picture _images/dot.svg has no text"),
        ('<a href="nowhere.html">x</a>', "links to nowhere.html, which is not there"),
        ('<a href="index.html#nowhere">x</a>', "there is no such anchor"),
        ('<a href="#nowhere">x</a>', "links to #nowhere, and there is no such anchor"),
        ('<a href="file:///tmp/x">x</a>', "works only on this machine"),
        ('<a href="/tmp/x">x</a>', "works only on this machine"),
        ('<a href="../../conf.py">x</a>', "../../conf.py, which is not there"),
        ('<p id="a-section">', "2 elements have the id a-section"),
    ],
)
def test_the_check_finds(
    fault: str, message: str, good: Path, tmp_path: Path, check: Check
) -> None:
    site = tmp_path / "site"
    shutil.copytree(good, site)
    page = site / "page.html"
    page.write_text(page.read_text().replace("</body>", f"{fault}</body>"))
    code, said = check(site)
    assert code == 1
    assert said.count("\n") == 2
    assert said.startswith("page.html: ")
    assert message in said


def test_the_check_finds_what_a_style_sheet_loads(good: Path, tmp_path: Path, check: Check) -> None:
    site = tmp_path / "site"
    shutil.copytree(good, site)
    (site / "_static/added.css").write_text("body { background: url('https://x.example/y.png') }")
    assert "_static/added.css: loads https://x.example/y.png" in check(site)[1]


def test_a_folder_without_pages_fails_the_check(tmp_path: Path, check: Check) -> None:
    assert check(tmp_path)[0] == 1


@pytest.mark.parametrize("package", [bulkverify, sandbox, testing, durable])
def test_the_reference_has_every_public_name(package: object) -> None:
    text = (DOCS / "api.md").read_text()
    home = getattr(package, "__name__", "")
    sections = re.split(r"^\.\. (?:module|currentmodule):: ", text, flags=re.MULTILINE)[1:]
    named = {
        name
        for section in sections
        if section.split("\n", 1)[0] == home
        for name in re.findall(r"^\.\. auto\w+:: (\w+)", section, flags=re.MULTILINE)
    }
    assert named == {*getattr(package, "__all__", ())} - {"__version__"}

"""Runs the blocks of a page in their order, in one folder, against a sandbox.

- `python` runs with a top-level `await`, and all blocks of a page share their names. A block with tests is given
  to pytest.
- `sh` runs in bash, as it is printed. `pip install` is checked, not done.
- `text` after one of these is what it has to print, with `...` for what differs from run to run.
- `toml`, `json` and `csv` have to be readable. `<!-- file: NAME -->` before any block writes it to a file.
- `<!-- not run: WHY -->` exempts a block.
"""

import ast
import asyncio
import contextlib
import csv
import doctest
import inspect
import io
import json
import os
import re
import subprocess
import sys
import threading
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sybil import Example
from sybil.document import Document
from sybil.parsers.myst import CodeBlockParser

import bulkverify
from bulkverify.sandbox import Sandbox, Timings

ROOT = Path(bulkverify.__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

_LANGUAGES = ("python", "sh", "text", "toml", "json", "csv")
_MARK = re.compile(r"<!-- (file|not run): (.+?) -->\s*\Z")
_FENCE = re.compile(r"^```(.*)\n(?:.*\n)*?```$", re.MULTILINE)
_SPEED = 400  # sandbox seconds in a second
_AT_ONCE = Timings(  # else each wait sleeps for seconds between two polls
    preparing=0, start_delay=0, verifying=0, verifying_per_address=0, finishing=0
)

_PIP = """\
#!{python}
import re, sys, tomllib
project = tomllib.load(open({pyproject!r}, "rb"))["project"]
extras = {{*project["optional-dependencies"]}}
known = {{re.split("[<>=\\\\[;]", one)[0] for group in project["optional-dependencies"].values() for one in group}}
assert sys.argv[1] == "install"
for argument in sys.argv[2:]:
    name, _, wanted = argument.rstrip("]").partition("[")
    assert name in {{"bulkverify", *known}}, argument
    assert {{*filter(None, wanted.split(","))}} <= extras, argument
"""


class Page:
    """A page, and what its blocks have done so far."""

    def __init__(self, path: Path, folder: Path, url: str, loop: asyncio.AbstractEventLoop) -> None:
        self.path = path
        self.loop = loop
        self.folder = folder
        self.names: dict[str, Any] = {"__name__": "__main__"}
        self.counts: Counter[str] = Counter()
        self.printed: str | None = None
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("COV")},
            "BULKVERIFY_API_KEY": "sandbox",
            "BULKVERIFY_BASE_URL": url,
            "COLUMNS": "100",
            "HOME": str(folder),
            "PATH": os.pathsep.join(
                [str(folder / ".bin"), str(Path(sys.executable).parent), os.environ["PATH"]]
            ),
            "PYTHONPATH": str(ROOT),
            "TERM": "dumb",
        }
        (folder / ".bin").mkdir()
        (folder / ".bin/pip").write_text(
            _PIP.format(python=sys.executable, pyproject=str(ROOT / "pyproject.toml"))
        )
        (folder / ".bin/pip").chmod(0o755)
        (folder / "examples").symlink_to(ROOT / "examples")
        (folder / "contacts.csv").write_bytes((ROOT / "examples/contacts.csv").read_bytes())

    def run(self) -> Counter[str]:
        """Run all blocks, and return how many of each kind there were."""
        text = self.path.read_text(encoding="utf-8")
        parsers = [CodeBlockParser(language, self._evaluate) for language in _LANGUAGES]
        fences = [found[1].strip() for found in _FENCE.finditer(text)]
        unknown = {one for one in fences if not one.startswith("{")} - {*_LANGUAGES}
        assert not unknown, f"{self.path.name}: blocks in {unknown}"
        for example in Document.parse(str(self.path), *parsers):
            try:
                example.evaluate()
            except BaseException as error:
                error.add_note(f"{self.path.relative_to(ROOT)}, line {example.line}")
                raise
        shown = sum(not one.startswith("{") for one in fences)
        hidden = self.counts.pop("hidden", 0)
        assert self.counts.total() == shown, f"{shown} blocks, {self.counts}, {hidden} hidden"
        return self.counts

    def _evaluate(self, example: Example) -> None:
        before = example.document.text[: example.region.start]
        mark, said = found.groups() if (found := _MARK.search(before)) else ("", "")
        text, language = str(example.parsed), example.region.lexemes.get("arguments", "")
        hidden = example.document.text[example.region.start :].lstrip().startswith("<!--")
        if mark == "not run":
            self.counts["not run"] += 1
            return
        if mark == "file":
            (self.folder / said).write_text(text, encoding="utf-8")
        self.counts["hidden" if hidden else str(language)] += 1
        work: dict[str, Callable[[str], str | None]] = {
            "python": self._check if mark == "file" else self._python,
            "sh": self._shell,
            "text": self._compare,
            "toml": lambda text: self._read(tomllib.loads, text),
            "json": lambda text: self._read(json.loads, text),
            "csv": lambda text: self._read(lambda it: [*csv.reader(io.StringIO(it))], text),
        }
        self.printed = work[str(language)](text)

    def _check(self, text: str) -> None:
        compile(text, str(self.path), "exec")

    def _read(self, read: Callable[[str], object], text: str) -> None:
        assert read(text)

    def _python(self, text: str) -> str:
        if "def test_" in text:
            (self.folder / "test_page.py").write_text(text, encoding="utf-8")
            return self._shell(f"{sys.executable} -m pytest -q -p no:cacheprovider test_page.py")
        code = compile(text, str(self.path), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        with contextlib.redirect_stdout(io.StringIO()) as out:
            if code.co_flags & inspect.CO_COROUTINE:
                self.loop.run_until_complete(eval(code, self.names))  # noqa: S307
            else:
                exec(code, self.names)  # noqa: S102 - the page's own
        return out.getvalue()

    def _shell(self, text: str) -> str:
        if text.startswith(
            "python3 -m venv"
        ):  # needs a network; .ci/run takes these lines from here
            assert self.path.name == "README.md"
            return ""
        done = subprocess.run(  # noqa: S603 - the page's own
            ["/bin/bash", "-euo", "pipefail", "-c", text],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=100,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    def _compare(self, text: str) -> None:
        assert self.printed is not None, "nothing was run before this output"
        flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
        if not doctest.OutputChecker().check_output(text, self.printed, flags):
            raise AssertionError(f"the page says\n{text}\nbut it prints\n{self.printed}")


@contextlib.contextmanager
def served() -> Iterator[str]:
    """Serve a sandbox in a thread, and give its URL."""
    loop, ready = asyncio.new_event_loop(), threading.Event()
    urls, stops = list[str](), list[asyncio.Event]()

    async def serve() -> None:
        async with Sandbox(
            speed=_SPEED, requests_per_minute=None, seed=1, timings=_AT_ONCE
        ) as sandbox:
            urls.append(sandbox.url)
            stop = asyncio.Event()
            stops.append(stop)
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), daemon=True)
    thread.start()
    assert ready.wait(30)
    try:
        yield urls[0]
    finally:
        loop.call_soon_threadsafe(stops[0].set)
        thread.join(30)
        loop.close()

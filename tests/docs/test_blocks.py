"""Every block of every page runs as it is printed."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("sybil", reason="the documentation's tools are not installed")

from tests.docs.blocks import PAGES, Page, served


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], Page]:
    def run(path: Path) -> Page:
        with served() as url:
            loop = asyncio.new_event_loop()
            page = Page(path, tmp_path, url, loop)
            monkeypatch.chdir(tmp_path)
            for name in ("BULKVERIFY_API_KEY", "BULKVERIFY_BASE_URL", "HOME"):
                monkeypatch.setenv(name, page.environment[name])
            try:
                page.run()
            finally:
                loop.close()
        return page

    return run


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_block_runs(
    path: Path, run: Callable[[Path], Page], record_property: Callable[[str, object], None]
) -> None:
    record_property("page", path.name)
    for kind, count in run(path).counts.items():
        record_property(f"blocks {kind}", count)


@pytest.mark.parametrize(
    "block",
    [
        "```python\nassert False\n```",
        "```python\nawait nothing\n```",
        "```python\nprint(1)\n```\n\n```text\n2\n```",
        "```text\nprinted by nothing\n```",
        "```sh\nfalse | true\n```",
        "```sh\npip install bulkverify[no-such-extra]\n```",
        "```sh\nbulkverify no-such-command\n```",
        "```python\ndef test_it():\n    assert False\n```",
        "```toml\n[\n```",
        "```\nin no language\n```",
        "```ruby\nputs 1\n```",
        "<!-- file: x.py -->\n```python\ndef :\n```",
    ],
)
def test_a_wrong_block_fails(block: str, run: Callable[[Path], Page], tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# Title\n\n{block}\n")
    with pytest.raises((AssertionError, NameError, SyntaxError, ValueError)):
        run(page)

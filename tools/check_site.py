#!/usr/bin/env python3
"""Check the built pages: links, anchors and pictures are there, and nothing is loaded from elsewhere.

    tools/check_site.py build/docs

It prints each problem with its page, and exits with 1 if there is one. Links to other sites are counted,
but not followed.
"""

import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bs4 import BeautifulSoup, Tag

# What a browser loads by itself when it shows a page.
LOADED = {
    "script": "src",
    "img": "src",
    "iframe": "src",
    "embed": "src",
    "source": "src",
    "video": "src",
    "audio": "src",
    "object": "data",
    "image": "href",  # in SVG
    "use": "href",
}
LOADING_RELATIONS = {"stylesheet", "icon", "preload", "modulepreload", "preconnect", "dns-prefetch"}
CSS_LOAD = re.compile(r"""(?:url\(|@import)\s*["']?\s*([^"')\s;]+)""")


class Site:
    """A folder of built pages."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.pages = {
            path: BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
            for path in sorted(root.rglob("*.html"))
        }
        self.ids = {
            path: [str(tag["id"]) for tag in page.select("[id]")]
            for path, page in self.pages.items()
        }
        self.counts: Counter[str] = Counter(pages=len(self.pages))

    def problems(self) -> Iterator[str]:
        """Yield each problem, with the file that it is in."""
        if not self.pages:
            yield f"{self.root}: no pages"
        for path, page in self.pages.items():
            found = [*self._problems_of(path, page)]
            yield from (
                f"{path.relative_to(self.root)}: {problem}" for problem in dict.fromkeys(found)
            )
        for path in sorted(self.root.rglob("*.css")):
            for problem in self._css(path, path.read_text(encoding="utf-8")):
                yield f"{path.relative_to(self.root)}: {problem}"

    def _problems_of(self, path: Path, page: BeautifulSoup) -> Iterator[str]:
        for name, times in Counter(self.ids[path]).items():
            if times > 1:
                yield f"{times} elements have the id {name}"
        for link in page.select("a[href]"):
            yield from self._link(path, str(link["href"]))
        for tag in page.find_all([*LOADED, "link"]):
            yield from self._load(path, tag)
        for tag in page.find_all("style"):
            yield from self._css(path, tag.get_text())
        for tag in page.select("[style]"):
            yield from self._css(path, str(tag["style"]))
        for picture in page.find_all("img"):
            self.counts["pictures"] += 1
            if not picture.get("alt"):
                yield f"the picture {picture.get('src')} has no text"

    def _load(self, path: Path, tag: Tag) -> Iterator[str]:
        if tag.name == "link":
            relations = {*(tag.get("rel") or ())}
            where = str(tag.get("href") or "") if relations & LOADING_RELATIONS else ""
        else:
            where = str(tag.get(LOADED[tag.name]) or "")
        if where:
            self.counts["files loaded"] += 1
            yield from self._local(path, where)

    def _css(self, path: Path, text: str) -> Iterator[str]:
        for where in CSS_LOAD.findall(text):
            yield from self._local(path, where)

    def _local(self, path: Path, where: str) -> Iterator[str]:
        parts = urlsplit(where)
        if parts.scheme == "data" or where.startswith("#"):
            return
        if parts.scheme or parts.netloc:
            yield f"loads {where}"
        elif not (path.parent / unquote(parts.path)).is_file():
            yield f"loads {where}, which is not there"

    def _link(self, path: Path, where: str) -> Iterator[str]:
        parts = urlsplit(where)
        if parts.scheme in {"http", "https"}:
            self.counts["links to other sites"] += 1
            return
        if parts.scheme or parts.netloc or where.startswith("/"):
            yield f"links to {where}, which works only on this machine"
            return
        self.counts["links"] += 1
        target = (path.parent / unquote(parts.path)).resolve() if parts.path else path.resolve()
        page = self.root / target.relative_to(self.root.resolve()) if self._has(target) else None
        if page is None:
            yield f"links to {where}, which is not there"
        elif parts.fragment and unquote(parts.fragment) not in self.ids.get(page, ()):
            yield f"links to {where}, and there is no such anchor"

    def _has(self, target: Path) -> bool:
        return target.is_file() and target.is_relative_to(self.root.resolve())


def main() -> int:
    """Print the problems, or what was checked."""
    site = Site(Path(sys.argv[1]))
    problems = [*site.problems()]
    for problem in problems:
        print(problem)
    print(", ".join(f"{count:,} {what}" for what, count in site.counts.items()), end=": ")
    print(f"{len(problems)} problems" if problems else "no problem")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())

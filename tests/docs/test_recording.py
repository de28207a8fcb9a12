"""The recording at the top of README.md shows what the command prints now."""

import importlib.util
import json
import re
from collections import Counter
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from types import ModuleType

import pyte
import pytest
from rich.console import Console

from bulkverify import Stage
from bulkverify.cli.progress import Picture
from bulkverify.cli.shown import Shown
from bulkverify.models import Verdict
from bulkverify.sandbox import Timings
from tests.cli.service import KEY, Service

ROOT = Path(__file__).parents[2]
TALL = 200
VARYING = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d|(?<=time {11})\d+\.\d|\^C")


@pytest.fixture
def record() -> ModuleType:
    spec = importlib.util.spec_from_file_location("record", ROOT / "tools/recording/record.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def recorded(record: ModuleType) -> list[str]:
    lines = record.CAST.read_text().splitlines()
    return [text for _, _, text in map(json.loads, lines[1:])]


def left_behind(columns: int, texts: Iterable[str]) -> list[str]:
    """Return all that stays on a terminal on which nothing scrolls away, without what varies."""
    screen = pyte.Screen(columns, TALL)
    stream = pyte.Stream(screen)
    for text in texts:
        stream.feed(text)
    lines = [VARYING.sub("", line).rstrip() for line in screen.display]
    return [line for line in lines if line]


def words_of_bars(columns: int, lines: int, texts: Iterable[str]) -> set[str]:
    """Return the words of the bars, which are gone at the end."""
    screen = pyte.Screen(columns, lines)
    stream = pyte.Stream(screen)
    words = set[str]()
    for text in texts:
        stream.feed(text)
        bars = [line for line in screen.display if re.match(r"[⠀-⣿] |  ●", line)]
        words.update(re.findall(r"[A-Za-z-]{2,}", " ".join(bars)))
    return words


def test_the_recording_in_the_readme_shows_what_the_command_prints_now(
    record: ModuleType, tmp_path: Path
) -> None:
    slow = Timings(preparing=0, start_delay=0, verifying=1e6)
    with Service(speed=1, seed=record.SEED, credits=5000, timings=slow) as service:
        advance = partial(service.do, partial(service.sandbox.advance, 2e6))
        now = record.session(service.url, KEY, tmp_path, hurry=True, between=advance)
    shown = left_behind(record.COLUMNS, recorded(record))
    assert shown == left_behind(record.COLUMNS, [text for _, text in now])
    assert sum(line.startswith("$ bulkverify verify") for line in shown) == 2
    assert "Spend 175 credits? [y/N] y" in shown
    assert " credits spent  0, and 175 earlier" in shown


def test_the_bars_of_the_recording_have_the_words_of_the_bars_now(record: ModuleType) -> None:
    console = Console(width=record.COLUMNS, force_terminal=True)
    shown = Shown(
        stage=Stage.VERIFYING,
        done=60,
        total=175,
        rate=9.0,
        left=12.0,
        verdicts=Counter(dict.fromkeys(Verdict, 15)),
        at=0.0,
    )
    with console.capture() as drawn:
        console.print(Picture(shown, began=0.0, now=1.0))
    bars = words_of_bars(record.COLUMNS, record.LINES, [drawn.get().replace("\n", "\r\n")])
    assert bars == {"Verifying", "left", *map(str, Verdict)}
    seen = words_of_bars(record.COLUMNS, record.LINES, recorded(record))
    assert bars <= seen
    assert seen - bars <= {str(stage).capitalize() for stage in Stage}


def test_the_picture_is_that_of_the_recording(record: ModuleType) -> None:
    picture = record.PICTURE.read_text()
    assert record.mark() in picture
    assert "prefers-reduced-motion: reduce" in picture
    assert not re.search(r"(?:href|src)=\"(?!#)|url\(|<script|@import", picture)
    first = (ROOT / "README.md").read_text().split("\n## ")[0]
    assert "](docs/pictures/terminal.svg)" in first

#!/usr/bin/env python3
"""Draw the pictures of the documentation from the table of the lifecycle and the measured pace.

    tools/draw.py          # writes docs/pictures

A test compares the pictures with their data.
"""

import re
import sys
from html import escape
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from bulkverify.lifecycle import MAIN_LINE, TERMINAL, TRANSITIONS, JobStatus  # noqa: E402

STYLE = """\
<style>
  text { font: 15px system-ui, sans-serif; fill: #1c2733 }
  .small { font-size: 13px; fill: #4a5866 }
  .box { fill: #eaf1f8; stroke: #31597f; stroke-width: 1.5 }
  .final { fill: #fff; stroke-width: 3 }
  .line { fill: none; stroke: #31597f; stroke-width: 1.5 }
  .other { fill: #8296a8 }
  .ours { fill: #c2410c }
</style>
<rect width="100%" height="100%" rx="8" fill="#fff"/>
"""
BOX_WIDTH, BOX_HEIGHT, COLUMN, TOP, BELOW = 112, 40, 172, 24, 140


def svg(width: int, height: int, content: str) -> str:
    """Wrap a picture."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}">\n{STYLE}{content}</svg>\n'
    )


def lifecycle() -> str:
    """Draw each status, with an arrow to each that may follow it directly."""
    ends = [status for status in TRANSITIONS if status not in MAIN_LINE]
    places = {status: (24 + COLUMN * n, TOP) for n, status in enumerate(MAIN_LINE)}
    places |= {status: (24 + COLUMN // 2 + 2 * COLUMN * n, BELOW) for n, status in enumerate(ends)}
    parts = [
        (
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" '
            'orient="auto"><path d="M0 0l8 4-8 4z" fill="#31597f"/></marker></defs>'
        )
    ]
    parts += [
        _arrow(places[status], places[following])
        for status, all_following in TRANSITIONS.items()
        for following in all_following
    ]
    parts += [_box(status, *place) for status, place in places.items()]
    parts.append(
        '<text class="small" x="24" y="214">A thick border marks a final status. Starting a list leads from '
        "ready to verifying, and spends its credits.</text>"
    )
    return svg(24 + COLUMN * len(MAIN_LINE), 232, "\n".join(parts) + "\n")


def _box(status: JobStatus, x: int, y: int) -> str:
    final = " final" if status in TERMINAL else ""
    return (
        f'<rect class="box{final}" x="{x}" y="{y}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="6"/>'
        f'<text x="{x + BOX_WIDTH // 2}" y="{y + 25}" text-anchor="middle">{status}</text>'
    )


def _arrow(start: tuple[int, int], end: tuple[int, int]) -> str:
    if start[1] == end[1]:
        x, y = start[0] + BOX_WIDTH, start[1] + BOX_HEIGHT // 2
        path = f"M{x} {y}H{end[0] - 2}"
    else:
        x, y = start[0] + BOX_WIDTH // 2, start[1] + BOX_HEIGHT
        path = f"M{x} {y}L{end[0] + BOX_WIDTH // 2} {end[1] - 2}"
    return f'<path class="line" d="{path}" marker-end="url(#tip)"/>'


def measured() -> dict[str, tuple[float, float]]:
    """Read the mean lag and the polls per job of each pace from the benchmark's page."""
    text = (ROOT / "benchmarks/WAITING.md").read_text(encoding="utf-8")
    table = text.split("| policy | mean lag |")[1].split("\n\n")[0]
    rows = re.findall(r"^\| (.+?) \| ([\d.]+) s \| [\d.]+ s \| ([\d.]+) \|", table, re.MULTILINE)
    # The first design's rule was never released.
    return {
        name.strip("`"): (float(lag), float(polls))
        for name, lag, polls in rows
        if not name.startswith("the first design")
    }


def pacing() -> str:
    """Draw each pace as a point: polls to the right, lag upwards; near the corner is best."""
    left, bottom, width, height, most_polls, most_lag = 70, 300, 600, 260, 150, 30
    parts = []
    for lag in (0.0, 10.0, 20.0, 30.0):
        y = bottom - height * lag / most_lag
        parts.append(f'<path d="M{left} {y:.1f}h{width}" stroke="#d5dde5"/>')
        parts.append(
            f'<text class="small" x="{left - 10}" y="{y + 4:.1f}" text-anchor="end">{lag:g} s</text>'
        )
    for polls in (0.0, 50.0, 100.0, 150.0):
        x = left + width * polls / most_polls
        parts.append(
            f'<text class="small" x="{x:.1f}" y="{bottom + 22}" text-anchor="middle">{polls:g}</text>'
        )
    for name, (lag, polls) in measured().items():
        x, y = left + width * polls / most_polls, bottom - height * lag / most_lag
        ours = name == "wait_for_progress"
        parts.append(
            f'<circle class="{"ours" if ours else "other"}" cx="{x:.1f}" cy="{y:.1f}" r="7"/>'
        )
        right = polls > most_polls / 2
        dx, dy, anchor = (0, -14, "end") if right else (14, 5, "start")
        parts.append(
            f'<text x="{x + dx:.1f}" y="{y + dy:.1f}" text-anchor="{anchor}">'
            f"{escape(name)}: {lag:g} s, {polls:g} polls</text>"
        )
    parts.append(f'<text class="small" x="{left}" y="24">mean lag of noticing the end</text>')
    parts.append(
        f'<text class="small" x="{left + width}" y="{bottom + 42}" text-anchor="end">polls per job</text>'
    )
    return svg(700, 356, "\n".join(parts) + "\n")


PICTURES = {"lifecycle.svg": lifecycle, "pacing.svg": pacing}


def main() -> None:
    """Write the pictures."""
    folder = ROOT / "docs/pictures"
    folder.mkdir(exist_ok=True)
    for name, draw in PICTURES.items():
        (folder / name).write_text(draw(), encoding="utf-8")
        print(folder / name)


if __name__ == "__main__":
    main()

"""The curve of a run, drawn by pygal without its script and its styles."""

import sys
from collections.abc import Sequence
from typing import Final
from xml.etree import ElementTree as ET

from markupsafe import Markup

from bulkverify.report.words import count, duration
from bulkverify.run.models import CurvePoint

_finders = [*sys.meta_path]
import pygal  # noqa: E402 - see below

# pygal adds a finder for its maps, and Python 3.11 warns about it at every later import.
sys.meta_path[:] = [
    finder
    for finder in sys.meta_path
    if finder in _finders or type(finder).__module__ != pygal.__name__
]

_SVG: Final = "http://www.w3.org/2000/svg"
_LEFT_OUT: Final = frozenset({"style", "script", "defs", "title", "desc"})
_STEPS: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200)
_DAY: Final = 86400
_TICKS: Final = 6

# For each width a drawing of its own, because the letters must not shrink with the page.
_SIZES: Final = {"wide": (960, 280), "narrow": (340, 220)}


def curve(points: Sequence[CurvePoint], total: int) -> Markup:
    """Draw how many addresses had a verdict over time, once for a wide page and once for a narrow one."""
    ET.register_namespace("", _SVG)
    return Markup("").join(_drawn(points, total, name) for name in _SIZES)


def _drawn(points: Sequence[CurvePoint], total: int, name: str) -> Markup:
    width, height = _SIZES[name]
    last = max(1.0, *(point.seconds for point in points))
    chart = pygal.XY(
        width=width,
        height=height,
        explicit_size=False,
        margin=6,
        js=[],
        show_dots=False,
        show_legend=False,
        range=(0, max(1, total)),
        xrange=(0, last),
        min_scale=2,
        max_scale=6,
        y_labels=_counts(max(1, total)),
        x_labels=_moments(last, 3 if name == "narrow" else _TICKS),
        x_value_formatter=duration,
        value_formatter=lambda value: count(int(value)),
        disable_xml_declaration=True,
    )
    line = [(point.seconds, point.verified) for point in points]
    chart.add("", line, fill=True)  # an outline would have a side, so the line is drawn apart
    chart.add("", line)
    tree = ET.fromstring(chart.render())  # noqa: S314 - just drawn from numbers
    _clean(tree)
    tree.attrib = {"viewBox": tree.get("viewBox", ""), "class": f"curve {name}", "role": "img"}
    tree.set("aria-labelledby", "curve-text")
    return Markup(ET.tostring(tree, encoding="unicode"))  # noqa: S704 - likewise


def _clean(node: ET.Element) -> None:
    """Remove scripts, styles and tool tips; the styles of the page are enough."""
    for child in list(node):
        if child.tag.rpartition("}")[2] in _LEFT_OUT:
            node.remove(child)
        else:
            child.attrib.pop("style", None)  # the policy of the page forbids it
            _clean(child)


def _moments(last: float, most: int) -> list[float]:
    """Return times in round steps, from 0 to the last."""
    days = (_DAY * number for number in (1, 2, 5, 10, 20, 50, 100))
    step = next((step for step in (*_STEPS, *days) if last / step <= most), last / most)
    return [step * number for number in range(int(last / step) + 1)]


def _counts(total: int) -> list[int]:
    """Return numbers in round steps, from 0 to the total at most."""
    step = 1
    while total / step > 5:  # noqa: PLR2004 - lines, so that they stay apart
        step = step * 5 // 2 if str(step).startswith("2") else step * 2
    return list(range(0, total + 1, step))

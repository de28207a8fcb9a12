"""The curve of a run."""

import subprocess
import sys
from xml.etree import ElementTree as ET

import pytest

from bulkverify import CurvePoint
from bulkverify.report.chart import _counts, _moments, curve

DAY = 86400.0


def points(seconds: float, verified: int) -> list[CurvePoint]:
    return [CurvePoint(seconds=seconds * n / 9, verified=verified * n // 9) for n in range(10)]


@pytest.mark.parametrize("last", [1.0, 9.7, 61.0, 3600.0, 5 * 3600.0, DAY, 29 * DAY, 4000 * DAY])
@pytest.mark.parametrize("most", [3, 6])
def test_times_are_few_and_round_and_within_the_run(last: float, most: int) -> None:
    times = _moments(last, most)
    assert times[0] == 0
    assert 1 < len(times) <= most + 1
    assert times[-1] <= last


@pytest.mark.parametrize("total", [1, 3, 9, 18_670, 5_000_000, 99_999_999])
def test_counts_are_few_and_round(total: int) -> None:
    counts = _counts(total)
    assert counts[0] == 0
    assert 2 <= len(counts) <= 6
    assert counts[-1] <= total
    assert str(counts[1]).rstrip("0") in {"1", "2", "5"}


@pytest.mark.parametrize(("seconds", "verified"), [(0.0, 0), (0.2, 1), (40 * DAY, 5_000_000)])
def test_any_run_has_a_curve_for_each_width(seconds: float, verified: int) -> None:
    drawn = ET.fromstring(f"<p>{curve(points(seconds, verified), verified)}</p>")  # noqa: S314 - ours
    assert [svg.get("class") for svg in drawn] == ["curve wide", "curve narrow"]
    tags = {node.tag.rpartition("}")[2] for node in drawn.iter()}
    assert tags <= {"p", "svg", "g", "rect", "path", "text"}
    assert not [node for node in drawn.iter() if node.get("style") or node.get("id")]


def test_drawing_leaves_no_old_finder_in_the_import_system() -> None:
    code = (
        "import bulkverify.report.page, sys\n"
        "assert not [one for one in sys.meta_path if not hasattr(one, 'find_spec')]\n"
        "import wave"  # with the finder of pygal, Python 3.11 warns here
    )
    done = subprocess.run(  # noqa: S603 - our own
        [sys.executable, "-W", "error::ImportWarning", "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""

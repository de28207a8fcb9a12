"""A fixed sample of the cases; `python -m tests.exhaustive` runs all of them, and says how many there are."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("part", "sample"), [("faults", 80), ("kills", 50)])
def test_a_sample_of_all_mishaps_and_deaths_breaks_no_promise(part: str, sample: int) -> None:
    # In a process of its own, because it forks.
    command = [sys.executable, "-m", "tests.exhaustive", "--part", part, "--sample", str(sample)]
    root = Path(__file__).parents[2]
    done = subprocess.run(  # noqa: S603 - our own command
        [*command, "--jobs", "1"], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
    assert "0 promises broken" in done.stdout

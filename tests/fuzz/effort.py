"""How long to fuzz: a moment in the ordinary run, and by hand for as long as you like.

    FUZZ_EFFORT=50 pytest -n 0 tests/fuzz

makes fifty times as many examples, other ones each time. The ordinary run makes the same ones
everywhere, so that nobody's change is blamed for what was there before.
"""

import os
from typing import Final

import pytest
from hypothesis import HealthCheck, settings

EFFORT: Final = int(os.environ.get("FUZZ_EFFORT", "1"))

# Hours are fine for whoever asked for them.
patient: Final = pytest.mark.timeout(120 if EFFORT == 1 else 0)


def examples(count: int, *, steps: int = 50) -> settings:
    """Make so many examples, each of at most so many steps, times the effort."""
    return settings(
        max_examples=count * EFFORT,
        stateful_step_count=steps,
        deadline=None,
        derandomize=EFFORT == 1,
        database=None,
        print_blob=True,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )

"""How long to fuzz: briefly in the ordinary run, longer by hand.

    FUZZ_EFFORT=50 pytest -n 0 tests/fuzz

makes fifty times as many examples, new ones each time. The ordinary run makes the same ones
everywhere, so a change is not blamed for an older bug.
"""

import os
from typing import Final

import pytest
from hypothesis import HealthCheck, settings

EFFORT: Final = int(os.environ.get("FUZZ_EFFORT", "1"))

# A large effort may take hours.
patient: Final = pytest.mark.timeout(120 if EFFORT == 1 else 0)


def examples(count: int, *, steps: int = 50) -> settings:
    """Return settings for a number of examples times the effort, each with a limit of steps."""
    return settings(
        max_examples=count * EFFORT,
        stateful_step_count=steps,
        deadline=None,
        derandomize=EFFORT == 1,
        database=None,
        print_blob=True,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )

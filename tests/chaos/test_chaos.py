"""Small storms for the ordinary run; `CHAOS_SEEDS=20 CHAOS_JOBS=1000 pytest tests/chaos` runs larger ones."""

import os

import pytest

from .storm import storm

SEEDS = int(os.environ.get("CHAOS_SEEDS", "3"))
JOBS = int(os.environ.get("CHAOS_JOBS", "60"))


@pytest.mark.timeout(max(120, JOBS * 3))
@pytest.mark.parametrize("seed", range(1, SEEDS + 1))
def test_every_promise_is_kept_under_every_fault_at_once(seed: int) -> None:
    summary = storm(seed, jobs=JOBS, runs=max(1, JOBS // 10))
    assert not summary.broken, f"\n{summary}"
    assert summary.ledger.faults.total() > 0

"""Durable runs: they survive the death of their process, and several machines share the work.

    async with Engine("sqlite:///runs.db") as engine:
        run = await engine.submit("customers.csv", "verified.csv")
        report = await run.wait()

It needs `pip install "bulkverify[durable]"`.
"""

try:
    import dbos as _dbos  # noqa: F401 - only whether it is there
    import psycopg as _psycopg  # noqa: F401 - likewise
    import sqlalchemy as _sqlalchemy  # noqa: F401 - likewise
except ImportError as _missing:
    raise ImportError(
        f'Durable runs need {_missing.name}: pip install "bulkverify[durable]"', name=_missing.name
    ) from _missing

from bulkverify.durable.accounts import KeyMissingError, Keys
from bulkverify.durable.database import Worker
from bulkverify.durable.engine import DurableRun, Engine, migrate
from bulkverify.durable.runs import RunState
from bulkverify.durable.spec import RunCancelledError
from bulkverify.durable.stats import EngineStats

__all__ = [
    "DurableRun",
    "Engine",
    "EngineStats",
    "KeyMissingError",
    "Keys",
    "RunCancelledError",
    "RunState",
    "Worker",
    "migrate",
]

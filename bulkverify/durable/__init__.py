"""Durable runs: they survive the death of their process, and several machines share the work.

    async with Engine("sqlite:///runs.db") as engine:
        run = await engine.submit("customers.csv", "verified.csv")
        report = await run.wait()

It needs `pip install "bulkverify[durable]"`.
"""

from bulkverify.durable.accounts import KeyMissingError, Keys
from bulkverify.durable.database import Worker
from bulkverify.durable.engine import DurableRun, Engine, migrate
from bulkverify.durable.runs import RunState
from bulkverify.durable.spec import RunCancelledError

__all__ = [
    "DurableRun",
    "Engine",
    "KeyMissingError",
    "Keys",
    "RunCancelledError",
    "RunState",
    "Worker",
    "migrate",
]

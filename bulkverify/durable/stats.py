"""Counts of an engine."""

from collections import Counter
from collections.abc import Mapping

import attrs
import sqlalchemy as sa

from bulkverify.durable import names
from bulkverify.durable.accounts import Accounts
from bulkverify.durable.database import Database
from bulkverify.durable.process import Process
from bulkverify.durable.runs import awaited


@attrs.frozen(kw_only=True)
class EngineStats:
    """Counts of an engine: runs and parts over all processes, the rest since this engine began."""

    runs: Mapping[str, int]
    """How many runs are `queued`, `running` and `held`."""
    parts_waiting: int
    """How many parts wait for their turn."""
    parts_running: int
    """How many parts are on their way through the service."""
    ended: Mapping[str, int]
    """How many runs have ended in this process, by their state: `done`, `incomplete` or `failed`."""
    takeovers: int
    """How many runs and parts of dead processes this one has given to the queues again."""
    requests: int
    """How many requests this process has sent."""
    throttles: int
    """How many of their answers had the status 429."""


def read(database: Database, accounts: Accounts, process: Process | None) -> EngineStats:
    """Count; called in a thread, because it asks the database."""
    status = database.status.c
    counted = (
        sa.select(status.name, status.status, sa.func.count())
        .where(status.status.in_(names.UNFINISHED))
        .group_by(status.name, status.status)
    )
    rows = database.transaction(lambda connection: connection.execute(counted).all())
    found: Counter[tuple[str, bool]] = Counter()
    for name, state, count in rows:
        found[name, state == names.RUNNING] += int(count)
    held = sum(one.credits > 0 for one in awaited(database).values())
    clients = [account.client.stats for account in accounts.open]
    return EngineStats(
        runs={
            "queued": found[names.RUN, False],
            "running": max(0, found[names.RUN, True] - held),
            "held": held,
        },
        parts_waiting=found[names.PART, False],
        parts_running=found[names.PART, True],
        ended={} if process is None else dict(process.ended),
        takeovers=0 if process is None else process.takeovers,
        requests=sum(one.requests for one in clients),
        throttles=sum(one.throttles for one in clients),
    )

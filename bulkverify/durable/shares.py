"""The request budget of an account, divided over the workers that work for it.

The service counts the requests of a minute. So when a share shrinks, or its worker ends, others may use
what became free only after a minute. The shares, and what was sent with earlier ones in the last minute,
never add up to more than the budget.
"""

from typing import Any, Final

import sqlalchemy as sa

from bulkverify.durable.database import NOW, TABLES, ago
from bulkverify.limits import WINDOW_SECONDS

_SHARE: Final = sa.Table(
    "share",
    TABLES,
    sa.Column("account", sa.Text, primary_key=True),
    sa.Column("executor_id", sa.Text, primary_key=True),
    sa.Column("requests", sa.Integer, nullable=False),
    sa.Column("before", sa.Integer, nullable=False),
    sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
)

_LOCK: Final = 7239473  # arbitrary, the same in all processes

_COUNTED_SECONDS: Final = WINDOW_SECONDS + 1.0
_NEWCOMERS: Final = 0.1
"""The part of a budget that is left for workers that are about to begin."""


def divide(
    connection: sa.Connection, account: str, executor_id: str, total: int, lease: float
) -> int:
    """Return how many requests a minute a worker may send for an account from now on.

    Call it again at least once in each `lease`, a number of seconds, while the worker is alive.
    """
    ours = _SHARE.c.account == account
    mine = sa.and_(ours, _SHARE.c.executor_id == executor_id)
    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK, sa.func.hashtext(account))))
    connection.execute(
        sa.delete(_SHARE)
        .where(ours, _SHARE.c.executor_id != executor_id)
        .where(_SHARE.c.seen_at < ago(lease + _COUNTED_SECONDS))
    )
    rows = connection.execute(
        sa.select(
            _SHARE.c.executor_id,
            _SHARE.c.requests,
            _SHARE.c.before,
            (_SHARE.c.changed_at > ago(_COUNTED_SECONDS)).label("recent"),
            (_SHARE.c.seen_at > ago(2 * lease)).label("alive"),
        ).where(ours)
    ).mappings()
    others = {row["executor_id"]: row for row in rows}
    before = others.pop(executor_id, None)
    counted = sum(map(_counted, others.values()))
    reserve = round(total * _NEWCOMERS)
    fair = (total - reserve) // (1 + sum(bool(row["alive"]) for row in others.values()))
    if before is None:
        share = min(fair, (max(0, total - counted) + 1) // 2)
        connection.execute(
            sa.insert(_SHARE).values(
                account=account,
                executor_id=executor_id,
                requests=share,
                before=0,
                changed_at=NOW,
                seen_at=NOW,
            )
        )
        return share
    held = _counted(before)
    room = max(0, total - counted - held - reserve)
    share = min(fair, held + (room + 1) // 2)
    values: dict[str, Any] = {"requests": share, "seen_at": NOW}
    if share < before["requests"]:
        values |= {"before": held, "changed_at": NOW}
    connection.execute(sa.update(_SHARE).where(mine).values(values))
    return share


def _counted(row: Any) -> int:  # noqa: ANN401 - a row
    """Return how many requests a worker may have sent in the last minute."""
    recent = row["recent"] or not row["alive"]
    return int(max(row["requests"], row["before"]) if recent else row["requests"])

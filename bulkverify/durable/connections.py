"""Connections to the database of durable runs."""

import os
from contextlib import suppress
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import ArgumentError

from bulkverify.errors import UsageError

POOL: Final = 5
"""The connections of this package."""

_POOL_OF_DBOS: Final = 12

# A host that is cut off sends nothing, so a dead connection must be noticed here; that of a lease before
# the lease ends.
_PATIENTLY: Final = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
_QUICKLY: Final = {
    "connect_timeout": 3,
    "keepalives_idle": 2,
    "keepalives_interval": 1,
    "keepalives_count": 2,
    "tcp_user_timeout": 4_000,
}


def engines(database: str) -> tuple[sa.Engine, sa.Engine, sa.Engine]:
    """Return the connections of this package, of DBOS, and the one that renews a lease.

    Raises:
        UsageError: it is not the URL of a database that can be used.
    """
    return (
        _made(database, POOL),
        _made(database, _POOL_OF_DBOS),
        _made(database, 1, **_QUICKLY),
    )


def _made(database: str, size: int, **noticing: int) -> sa.Engine:
    try:
        url = sa.make_url(database)
        kind = url.get_backend_name()
    except (ArgumentError, ValueError):  # such as a wrong port; the message would repeat the URL
        kind = ""
    if kind == "sqlite" and url.database not in {None, "", ":memory:"}:
        engine = sa.create_engine(url, pool_size=size, max_overflow=0)
        event.listen(engine, "do_connect", _make_private)
        event.listen(engine, "connect", _set_up_sqlite)
        return engine
    if kind != "postgresql":
        raise UsageError(
            "The database must be a URL such as sqlite:///runs.db or postgresql://user@host/name."
        ).with_hint("Correct `database`.", "Correct --database or BULKVERIFY_DATABASE.")
    engine = sa.create_engine(
        url.set(drivername="postgresql+psycopg"),
        pool_size=size,
        max_overflow=0,
        pool_pre_ping=True,
        connect_args={
            "prepare_threshold": None,  # PgBouncer may give each transaction another connection
            "application_name": "bulkverify",
            **(noticing or _PATIENTLY),
        },
    )
    event.listen(engine, "connect", _set_up_postgresql)
    return engine


def _make_private(_: object, __: object, place: list[Any], options: dict[str, Any]) -> None:
    """Make a missing file for this user alone; SQLite would let others read it.

    A file that is there is never opened: closing it would end all locks of SQLite in this process.
    """
    if not options.get("uri"):
        with suppress(OSError):  # it is there, or SQLite says what is wrong
            os.close(os.open(place[0], os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


def _set_up_sqlite(connection: Any, _: object) -> None:  # noqa: ANN401 - of the driver
    connection.isolation_level = "IMMEDIATE"
    connection.execute("PRAGMA busy_timeout=30000")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")


def _set_up_postgresql(connection: Any, _: object) -> None:  # noqa: ANN401 - of the driver
    # A process that is frozen within a transaction loses its locks after a minute.
    connection.execute("SET idle_in_transaction_session_timeout = 60000")
    connection.commit()

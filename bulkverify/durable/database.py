"""The tables of durable runs besides those of DBOS: workers, shares of budgets, outputs.

    worker   the processes that are alive: each renews its lease, by the database's clock
    share    how many requests a minute a worker may send for an account
    output   the run that writes an output

No table holds a key or an address. SQLite serves a single process, so it needs no leases and no shares.
"""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from time import sleep
from typing import Any, Final, TypeVar

import attrs
import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from bulkverify.durable import names
from bulkverify.durable.connections import engines
from bulkverify.errors import UsageError, clause

T = TypeVar("T")

TABLES: Final = sa.MetaData(schema=names.PLACEHOLDER)
NOW: Final = sa.func.clock_timestamp()
_WORKER: Final = sa.Table(
    "worker",
    TABLES,
    sa.Column("executor_id", sa.Text, primary_key=True),
    sa.Column("host", sa.Text, nullable=False),
    sa.Column("pid", sa.Integer, nullable=False),
    sa.Column("note", sa.Text, nullable=False, server_default=""),
    sa.Column("began_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("beat_at", sa.DateTime(timezone=True), nullable=False),
)
_OUTPUT: Final = sa.Table(
    "output",
    TABLES,
    sa.Column("path", sa.Text, primary_key=True),
    sa.Column("run_id", sa.Text, nullable=False),
)

_MIGRATIONS: Final = 10  # at SQLite, which has no lock for them

# Arbitrary numbers, the same in all processes.
_MIGRATING: Final = 7239471
_TAKING_OVER: Final = 7239472


@attrs.frozen(kw_only=True)
class Worker:
    """A process that takes work."""

    executor_id: str
    """Its name in the database; a process gets a new one if it was frozen for too long."""
    host: str
    """The name of its machine."""
    pid: int
    """Its process id."""
    note: str
    """Why it takes no work of an account at the moment."""
    seconds: float
    """The seconds since it last renewed its lease."""


class Database:
    """The database of durable runs. All calls block, so they are made in threads."""

    def __init__(self, database: str | sa.Engine) -> None:
        """Connect later.

        Raises:
            UsageError: it is neither SQLite nor PostgreSQL.
        """
        if isinstance(database, sa.Engine):
            self._given = True
            own = others = leases = database
        else:
            self._given = False
            own, others, leases = engines(database)
        self.dbos_engine: sa.Engine = others
        self.is_sqlite: bool = own.dialect.name == "sqlite"
        self.client: Any = names.client(own)
        self._engine = names.translated(self.client)
        # A lease is renewed on a connection of its own: it never waits for other work.
        self._leases = leases.execution_options(**self._engine.get_execution_options())
        # A single query needs no transaction, which would take two more round trips.
        self._reads = (
            self._engine
            if self.is_sqlite
            else self._engine.execution_options(isolation_level="AUTOCOMMIT")
        )
        self.status: sa.Table = names.statuses(self.client)
        self.checkpoints: sa.Table = names.checkpoints(self.client)
        self._queued = (
            sa.select(sa.literal(1))
            .where(self.status.c.queue_name == sa.bindparam("queue"))
            # A literal, so that SQLite uses the index of unfinished work.
            .where(self.status.c.status == sa.literal_column(f"'{names.QUEUED}'"))
            .limit(1)
        )

    @property
    def name(self) -> str:
        """The name of a PostgreSQL database, or the path of SQLite's."""
        return self._engine.url.database or ""

    def close(self) -> None:
        """Close all connections, unless the engine was given."""
        if not self._given:
            self._engine.dispose()
            self._leases.dispose()
            self.dbos_engine.dispose()

    # --- the tables

    def prepare(self) -> None:
        """Make missing tables, and refuse a database that can lose what it has committed.

        Raises:
            UsageError: it is not there, its tables can't be made, or its commits are not synchronous.
        """
        if not self.is_sqlite:
            try:
                with self._engine.connect() as connection:
                    setting = connection.execute(sa.text("show synchronous_commit")).scalar()
            except SQLAlchemyError as error:
                url = self._engine.url.set(drivername="postgresql", password=None, query={})
                raise UsageError(
                    f"The database {url} can't be used: {clause(reason(error))}."
                ) from error
            if setting == "off":
                raise UsageError(
                    "The database has synchronous_commit=off: after a crash it may have lost which lists "
                    "were uploaded and started, so a list could be paid for twice. Switch it on for this database or role."
                )
        for left in reversed(range(_MIGRATIONS if self.is_sqlite else 1)):
            try:
                return None if self._is_migrated() else self.migrate()
            except SQLAlchemyError as error:
                if left:  # another process is making them
                    sleep(0.3)
                    continue
                raise UsageError(
                    f"The tables of durable runs are missing or old, and can't be made here: {clause(reason(error))}."
                ).with_hint(
                    "Call `await migrate(database)` once with a role that may do so.",
                    "Run `bulkverify worker --migrate` once with a role that may do so.",
                ) from error
        return None

    def migrate(self) -> None:
        """Make or update all tables."""
        names.migrate(self.client)  # which also makes the schema
        with self._engine.begin() as connection:
            self._lock(connection, _MIGRATING)
            TABLES.create_all(connection)

    def _is_migrated(self) -> bool:
        try:
            names.verify(self.client)
        except Exception:  # noqa: BLE001 - of DBOS; making the tables says what is wrong
            return False
        found = sa.inspect(self._engine).get_table_names(
            schema=None if self.is_sqlite else names.SCHEMA
        )
        return {table.name for table in TABLES.tables.values()} <= {*found}

    # --- leases

    def enter(self, executor_id: str, host: str, pid: int) -> None:
        """Begin a lease."""
        with self._leases.begin() as connection:
            connection.execute(
                sa.insert(_WORKER).values(
                    executor_id=executor_id, host=host, pid=pid, began_at=NOW, beat_at=NOW
                )
            )

    def beat(self, executor_id: str, note: str) -> bool:
        """Renew a lease; return `False` if it was lost."""
        with self._leases.begin() as connection:
            renewed = connection.execute(
                sa.update(_WORKER)
                .where(_WORKER.c.executor_id == executor_id)
                .values(beat_at=NOW, note=note)
            )
        return renewed.rowcount == 1

    def leave(self, executor_id: str) -> None:
        """End a lease."""
        with self._leases.begin() as connection:
            connection.execute(sa.delete(_WORKER).where(_WORKER.c.executor_id == executor_id))

    def take_over(self, lease: float, recover: Callable[[Collection[str]], int]) -> int:
        """Give the work of processes without a lease to the others, and return how much it was.

        One process at a time does so.
        """
        with self._engine.begin() as connection:
            if not self._try_lock(connection, _TAKING_OVER):
                return 0
            connection.execute(sa.delete(_WORKER).where(_WORKER.c.beat_at < ago(lease)))
        with self._engine.begin() as connection:
            if not self._try_lock(connection, _TAKING_OVER):
                return 0
            alive = sa.select(_WORKER.c.executor_id)
            status = self.status.c
            orphaned = connection.execute(
                sa.select(status.executor_id)
                .where(status.status == names.RUNNING)
                .where(status.application_version == names.VERSION)
                .where(status.executor_id.not_in(alive))
                .distinct()
            ).scalars()
            dead = list(orphaned)
            return recover(dead) if dead else 0

    def workers(self) -> list[Worker]:
        """Return the processes that take work."""
        with self._engine.begin() as connection:
            rows = connection.execute(
                sa.select(
                    _WORKER.c.executor_id,
                    _WORKER.c.host,
                    _WORKER.c.pid,
                    _WORKER.c.note,
                    _age(_WORKER.c.beat_at).label("seconds"),
                ).order_by(_WORKER.c.began_at)
            )
            return [Worker(**{**row, "seconds": float(row["seconds"])}) for row in rows.mappings()]

    def has_queued(self, queue: str) -> bool:
        """Whether there is work in a queue. It is asked several times a second."""
        with self._reads.connect() as connection:
            return connection.execute(self._queued, {"queue": queue}).first() is not None

    def claimed(self, executor_id: str) -> set[str]:
        """Return the workflows that a process has taken."""
        status = self.status.c
        with self._engine.begin() as connection:
            found = connection.execute(
                sa.select(status.workflow_uuid)
                .where(status.executor_id == executor_id)
                .where(status.status == names.RUNNING)
            )
            return {*found.scalars()}

    def delay(self, workflow_id: str, seconds: float) -> None:
        """Keep a workflow that is in its queue from being taken for a while."""
        status = self.status.c
        with self._engine.begin() as connection:
            connection.execute(
                sa.update(self.status)
                .where(status.workflow_uuid == workflow_id, status.status == names.QUEUED)
                .values(
                    status=names.DELAYED,
                    delay_until_epoch_ms=self._milliseconds() + round(1000 * seconds),
                )
            )

    def end_delays(self) -> None:
        """Let workflows be taken whose delay has ended, by the clock of the database."""
        status = self.status.c
        with self._engine.begin() as connection:
            connection.execute(
                sa.update(self.status)
                .where(status.status == names.DELAYED)
                .where(status.delay_until_epoch_ms <= self._milliseconds())
                .values(status=names.QUEUED)
            )

    def _milliseconds(self) -> sa.ColumnElement[Any]:
        now = sa.func.strftime("%s", "now") if self.is_sqlite else sa.func.extract("epoch", NOW)
        return sa.cast(now * 1000, sa.BigInteger)

    def transaction(self, work: Callable[[sa.Connection], T]) -> T:
        """Do some work in a transaction."""
        with self._engine.begin() as connection:
            return work(connection)

    # --- the runs

    @contextmanager
    def claiming(self, path: str, run_id: str) -> Iterator[tuple[sa.Connection, str | None]]:
        """Reserve an output for a run that is submitted within the block.

        Yield the transaction and the last run that has written the output.

        Raises:
            UsageError: another run that has not ended writes it.
        """
        with self._engine.begin() as connection:
            if not self.is_sqlite:
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtext(path))))
            row = _OUTPUT.c.path == path
            if self.is_sqlite:  # a write, which begins the transaction
                connection.execute(sa.update(_OUTPUT).where(row).values(path=path))
            owner = connection.execute(sa.select(_OUTPUT.c.run_id).where(row)).scalar()
            if owner not in {None, run_id} and self._status(connection, owner) in names.UNFINISHED:
                raise UsageError(
                    f"Run {owner} is at work on {path}, or waits for a worker. Name another output, or cancel it: "
                    "the next run goes on with what it has paid for."
                ).with_hint(
                    f"`await engine.cancel({owner!r})` cancels it.",
                    f"`bulkverify cancel {owner}` cancels it.",
                )
            connection.execute(sa.delete(_OUTPUT).where(row))
            connection.execute(sa.insert(_OUTPUT).values(path=path, run_id=run_id))
            yield connection, owner

    def _status(self, connection: sa.Connection, run_id: str | None) -> str | None:
        status = self.status.c
        return connection.execute(
            sa.select(status.status).where(status.workflow_uuid == run_id)
        ).scalar()

    def unfinished(self, run_ids: Collection[str]) -> set[str]:
        """Return the runs that have not ended."""
        found = self.client.list_workflows(
            workflow_ids=list(run_ids), status=list(names.UNFINISHED), load_input=False
        )
        return {one.workflow_id for one in found}

    def counts(self, run_ids: Collection[str]) -> dict[str, tuple[int, int]]:
        """Return how many parts each run has, and how many of them have not ended."""
        status = self.status.c
        left = sa.func.sum(sa.case((status.status.in_(names.UNFINISHED), 1), else_=0))
        with self._engine.begin() as connection:
            rows = connection.execute(
                sa.select(status.parent_workflow_id, sa.func.count(), left)
                .where(status.parent_workflow_id.in_(list(run_ids)))
                .group_by(status.parent_workflow_id)
            )
            return {row[0]: (int(row[1]), int(row[2])) for row in rows}

    def forget(self, run_ids: Collection[str]) -> None:
        """Delete all that the tables hold about some runs."""
        self.client.delete_workflows(list(run_ids), delete_children=True)
        with self._engine.begin() as connection:
            connection.execute(sa.delete(_OUTPUT).where(_OUTPUT.c.run_id.in_(list(run_ids))))

    def status_of(self, run_id: str) -> str | None:
        """Return the status of a run, or `None` if it is not known."""
        with self._engine.begin() as connection:
            return self._status(connection, run_id)

    def outcomes(self, run_id: str) -> list[names.JSON]:
        """Return the records of a run's parts as they ended; a part that was stopped has an error."""
        found = self.client.list_workflows(parent_workflow_id=run_id)
        by_number = {int(one.workflow_id.rpartition(".")[2]): one for one in found}
        return [
            one.output if one.status == names.DONE else self._stopped(number, one)
            for number, one in sorted(by_number.items())
        ]

    def _stopped(self, number: int, part: Any) -> names.JSON:  # noqa: ANN401 - of DBOS
        given = part.input["args"][0]
        record: names.JSON = given.get("record") or {"number": number}  # of an earlier run
        for step in self.client.list_workflow_steps(part.workflow_id):
            known = step["output"] or {}
            if "nonce" in known and given["part"]["addresses"] == 1:
                record |= {"state": "starting", "credits": 1}  # the address may have been sent
            elif "number" in known:
                record = known
        why = f"The part ended as {part.status}: {type(part.error).__name__}."
        return {**record, "error": "BulkVerifyError", "message": why}

    def noted(self, run_id: str, name: str) -> names.JSON:
        """Return what the last step of a run has come to that has noted something by a name, such as `split`."""
        steps = self.client.list_workflow_steps(run_id)
        found = [one["output"] for one in steps if name in (one["output"] or {})]
        return found[-1] if found else {}

    # --- PostgreSQL's locks, which end with the transaction

    def _lock(self, connection: sa.Connection, number: int) -> None:
        if not self.is_sqlite:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(number)))

    def _try_lock(self, connection: sa.Connection, number: int) -> bool:
        return bool(
            connection.execute(sa.select(sa.func.pg_try_advisory_xact_lock(number))).scalar()
        )


def ago(seconds: float) -> sa.ColumnElement[Any]:
    """Return the time some seconds ago, by the clock of PostgreSQL."""
    return NOW - sa.func.make_interval(0, 0, 0, 0, 0, 0, seconds)


def _age(column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    return sa.func.extract("epoch", NOW - column)


def reason(error: SQLAlchemyError) -> str:
    """Say in one line what is wrong with the database."""
    return str(getattr(error, "orig", None) or error).strip().partition("\n")[0]

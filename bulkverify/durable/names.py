"""Every name of DBOS that this package uses. Private ones are checked when an engine starts.

DBOS keeps the checkpoints. Each execution of a workflow has a token of its own, which each of its
checkpoints is compared with, so an execution that lost its workflow can't record anything.
"""

import importlib.metadata
import threading
from collections.abc import Awaitable, Callable, Collection, Coroutine
from contextlib import nullcontext
from time import monotonic
from typing import Any, Final, TypeAlias

import attrs
import sqlalchemy as sa

from bulkverify.errors import UsageError

try:
    import dbos as _dbos
    from dbos import _context, _error, _logger, _schemas, _sys_db, _utils
    from dbos import _core as _executions
    from dbos import _dbos as _core
except ImportError as _missing:
    raise ImportError(
        f'Durable runs need dbos>=3.4,<4 ({_missing}): pip install "bulkverify[durable]"'
    ) from _missing

JSON: TypeAlias = dict[str, Any]

TakenError = _error.DBOSWorkflowConflictIDError
"""Raised by a step if another execution has the workflow now. It is no `Exception`."""

CancelledError = _error.DBOSWorkflowCancelledError
"""Raised by a step if the workflow was cancelled. It is no `Exception`."""

VERSION: Final = "bulkverify-1"
"""The version of the workflows. A worker goes on only with runs of its own version."""

SCHEMA: Final = "bulkverify"
"""The schema of all tables in PostgreSQL."""

PLACEHOLDER: Final = _schemas.SCHEMA_PLACEHOLDER
"""Stands for the schema in tables; SQLite has none."""

APPLICATION: Final = "bulkverify"
RUN: Final = "bulkverify.run"
PART: Final = "bulkverify.part"
RUNS: Final = "bulkverify.runs"
PARTS: Final = "bulkverify.parts"

QUEUED: Final = "ENQUEUED"
DELAYED: Final = "DELAYED"
RUNNING: Final = "PENDING"
UNFINISHED: Final = (QUEUED, RUNNING, DELAYED)
CANCELLED: Final = "CANCELLED"
DONE: Final = "SUCCESS"

_MOST_RUNS: Final = 500
_MOST_PARTS: Final = 2000
"""How many workflows one worker executes at most."""
_PARTS_AT_ONCE: Final = 16
"""The same for the parts of one account. They are uploaded and started one after the other."""

_POLL_SECONDS: Final = 0.25
_PARTITION_SECONDS: Final = 0.02
"""The seconds between two polls of a queue: at least the first, and the second for each account in it."""
_IDLE_SECONDS: Final = 1.0
_BUSY_SECONDS: Final = 10.0
"""The same after no queue had any work for so long."""

_QUEUE_SECONDS: Final = 5.0
"""How long the settings of the queues are used; another process may have changed them."""

# What DBOS does not promise to keep: where it is, and its names.
_PRIVATE: Final[tuple[tuple[object, str], ...]] = (
    (_core.DBOS, "_recover_pending_workflows"),
    (_core.DBOS, "_background_event_loop _sys_db"),
    (
        _sys_db.SystemDatabase,
        (
            "get_workflow_owner get_workflow_status get_queue_partitions get_queue list_queues dequeue_scopes "
            "background_job_lock reenqueue_for_recovery"
        ),
    ),
    (_sys_db.SystemDatabase, "tables run_migrations verify_migrations init_workflows"),
    (_dbos.DBOSClient, "_build_enqueue_status"),
    (_core, "_dbos_global_instance _dbos_global_registry"),
    (_executions, "execute_dequeued_workflow"),
    (_context, "get_local_dbos_context"),
    (_utils.GlobalParams, "executor_id"),
)
# Attributes of instances; the code that sets them is searched.
_SET_LATER: Final = {"_background_event_loop"}


def check() -> None:
    """Check that DBOS has every name, and that the program does not use DBOS itself.

    Raises:
        UsageError: it does, or this version of DBOS is not supported.
    """
    for owner, names in _PRIVATE:
        for name in names.split():
            if not hasattr(owner, name) and name not in _SET_LATER:
                version = importlib.metadata.version("dbos")
                raise UsageError(
                    f"dbos {version} has no {name!r}, which durable runs need: install dbos>=3.4,<4."
                )
    registry = _core._dbos_global_registry
    theirs = {} if registry is None else registry.workflow_info_map
    others = [name for name in theirs if not name.startswith((f"{APPLICATION}.", "<temp>."))]
    if _core._dbos_global_instance is not None or others:
        raise UsageError(
            "This process already uses DBOS, which allows one instance in a process. "
            "Run the workers of bulkverify in a process of their own."
        ).with_hint(
            "Here, use `Engine(work=False)`, which only submits runs and waits for them.",
            "Start them with `bulkverify worker`.",
        )


def workflow(name: str) -> Callable[[Callable[..., Awaitable[JSON]]], Callable[..., Any]]:
    """Declare a workflow; it may be taken over any number of times."""
    return _dbos.DBOS.workflow(name=name, max_recovery_attempts=None)


@attrs.frozen
class Execution:
    """One execution of a workflow, by one process."""

    workflow_id: str
    token: str | None


def execution() -> Execution:
    """Return the execution that calls this."""
    context = _context.get_local_dbos_context()
    assert context is not None  # noqa: S101 - called by workflows
    return Execution(context.workflow_id, context.owner_xid)


async def step(
    name: str, work: Callable[[], Coroutine[Any, Any, JSON]], *, waits: bool = False
) -> JSON:
    """Make a step unless it was made before, and return its checkpoint.

    A step that `waits` is ended soon after a cancellation of its run.

    Raises:
        TakenError: another execution has the workflow now.
        CancelledError: the run was cancelled.
    """
    options: _dbos.StepOptions = {"name": name, "preemptible": waits}
    return await _dbos.DBOS.run_step_async(options, work)


class Host:
    """The instance of DBOS in this process.

    Args:
        engine: connections to the database.
        executor_id: the name of this process in the database.
        has_queued: whether there is work in a queue, which costs less than to ask DBOS; called in a thread.
        serves: whether this process takes work of an account; called in a thread.
        has_room: whether this process may take parts of an account; called in a thread.
    """

    def __init__(
        self,
        engine: sa.Engine,
        executor_id: str,
        *,
        has_queued: Callable[[str], bool],
        serves: Callable[[str], bool],
        has_room: Callable[[str], bool],
    ) -> None:
        self._engine = engine
        self._executor_id = executor_id
        self._has_queued = has_queued
        self._serves = serves
        self._has_room = has_room
        self._instance: Any = None
        self._partitions = 1
        self._busy_at = monotonic()
        self._lock = threading.Lock()

    def launch(self) -> None:
        """Start taking work, in an event loop and threads of DBOS. It takes a second.

        Called in a thread, so that the event loop of the program is neither blocked nor adopted.
        """
        self._instance = _dbos.DBOS(
            config={
                "name": APPLICATION,
                "system_database_url": self._engine.url.render_as_string(hide_password=False),
                "system_database_engine": self._engine,
                "dbos_system_schema": SCHEMA,
                "executor_id": self._executor_id,
                "application_version": VERSION,
                "max_executor_threads": 16,
                "log_level": "ERROR",
                "serializer": serializer(),
                "use_listen_notify": False,
                "run_migrations": False,
            }
        )
        _dbos.DBOS.launch()
        database = self._instance._sys_db
        partitions, scopes = database.get_queue_partitions, database.dequeue_scopes
        queue = _kept(database.get_queue)

        def busy(name: str) -> Any:
            if name not in {RUNS, PARTS} or not self._has_queued(name):
                return []
            self._busy_at = monotonic()
            return scopes(name)

        def served(name: str) -> list[str]:
            found = partitions(name)
            self._partitions = max(1, len(found))
            found = [account for account in found if self._serves(account)]
            return [one for one in found if name != PARTS or self._has_room(one)]

        def limited(name: str) -> Any:
            found = queue(name)
            if found is not None:
                idle = monotonic() - self._busy_at > _BUSY_SECONDS
                pause = _IDLE_SECONDS if idle else _POLL_SECONDS
                if name == PARTS:
                    pause = max(pause, _PARTITION_SECONDS * self._partitions)
                    found._partition_worker_concurrency = _PARTS_AT_ONCE
                found._polling_interval_sec = pause
            return found

        database.get_queue_partitions, database.get_queue = served, limited
        database.dequeue_scopes = busy
        database.list_queues = _kept(database.list_queues)
        # No jobs of DBOS: no workflow has a deadline, and delays end by the clock of the database.
        database.background_job_lock = lambda _: nullcontext(enter_result=False)

    @property
    def launched(self) -> bool:
        """Whether there is an event loop of DBOS."""
        return self._instance is not None and self._instance._background_event_loop._running

    @property
    def loop(self) -> Any:
        """The event loop in which the workflows run."""
        return self._instance._background_event_loop.target_loop()

    def rename(self, executor_id: str) -> None:
        """Take work under another name from now on."""
        self._executor_id = _utils.GlobalParams.executor_id = executor_id

    def take_over(self, executor_ids: Collection[str]) -> int:
        """Give the work of dead processes to the queues again, and return how much it was."""
        return len(_dbos.DBOS._recover_pending_workflows(list(executor_ids)))

    def give_back(self, workflow_ids: Collection[str]) -> None:
        """Give work of this process to its queue again."""
        for workflow_id in workflow_ids:
            self._instance._sys_db.reenqueue_for_recovery(workflow_id, [self._executor_id], PARTS)

    def resume(self, execution: Execution) -> bool:
        """Execute a workflow of this process again; return `False` if it has it no longer."""
        status = self._instance._sys_db.get_workflow_status(execution.workflow_id)
        if status is None or status["status"] != RUNNING or not self.owns(execution):
            return False
        # The token is compared with each checkpoint, so another process may take it meanwhile.
        _executions.execute_dequeued_workflow(self._instance, status, str(execution.token))
        return True

    def owns(self, execution: Execution) -> bool:
        """Whether an execution still has its workflow."""
        owner = self._instance._sys_db.get_workflow_owner(execution.workflow_id)
        return bool(owner == execution.token)

    def stop_waiting(self) -> None:
        """Let calls fail that wait for the database to come back, so that their threads end."""
        self._instance._sys_db._retry_connection_errors = False

    def destroy(self) -> None:
        """End all threads and the event loop of DBOS."""
        _dbos.DBOS.destroy()
        self._instance = None


def _kept(read: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that reads settings of queues from the database only now and then."""
    known: dict[object, tuple[float, Any]] = {}

    def read_or_known(*names: str, **options: str) -> Any:
        if names not in known or monotonic() - known[names][0] > _QUEUE_SECONDS:
            known[names] = monotonic(), read(*names, **options)
        return known[names][1]

    return read_or_known


def serializer() -> Any:
    """Return what writes values as JSON."""
    return _dbos.DBOSPortableJSONSerializer()


def client(engine: sa.Engine) -> Any:
    """Return what submits, lists and cancels workflows; it takes none itself."""
    if not _logger.dbos_logger.level:  # else it tells about each connection
        _logger.dbos_logger.setLevel("ERROR")
    return _dbos.DBOSClient(
        system_database_engine=engine,
        dbos_system_schema=SCHEMA,
        serializer=serializer(),
        application_name=APPLICATION,
        lazy=True,
        retry_connection_errors=False,
    )


def submit(
    client: Any,
    connection: sa.Connection,
    run_id: str,
    account: str,
    *given: object,
) -> None:
    """Enqueue a run in a transaction, with the arguments that are `given`."""
    client.enqueue_in_transaction(connection, _options(RUN, RUNS, run_id, account, 1), *given)


def enqueue_parts(client: Any, run_id: str, account: str, parts: Collection[JSON]) -> None:
    """Enqueue the parts of a run that are not there yet.

    The first parts of all runs come before the second ones, so that a long list does not hold up the others.
    """
    rows = []
    for work in parts:
        number = int(work["part"]["number"])
        options = _options(PART, PARTS, f"{run_id}.{number}", account, number)
        _, row = client._build_enqueue_status(options, work)
        rows.append({**row, "parent_workflow_id": run_id})
    client._sys_db.init_workflows(rows)


def _options(name: str, queue: str, workflow_id: str, account: str, priority: int) -> Any:
    return {
        "workflow_name": name,
        "queue_name": queue,
        "workflow_id": workflow_id,
        "queue_partition_key": account,
        "priority": priority,
        "app_version": VERSION,
        "application_name": APPLICATION,
    }


def register_queues(client: Any, active: int) -> None:
    """Register the queues; at most `active` parts of an account are verified at the same time."""
    common = {"polling_interval_sec": _POLL_SECONDS, "on_conflict": "always_update"}
    client.register_queue(
        RUNS,
        worker_concurrency=_MOST_RUNS,
        partition_worker_concurrency=_MOST_RUNS,
        **common,
    )
    client.register_queue(
        PARTS,
        worker_concurrency=_MOST_PARTS,
        partition_concurrency=active,
        **common,
    )


def migrate(client: Any) -> None:
    """Make or update the tables of DBOS, which needs the right to do so."""
    client._sys_db.run_migrations()


def verify(client: Any) -> None:
    """Raise an error of DBOS if its tables are missing or old."""
    client._sys_db.verify_migrations()


def statuses(client: Any) -> sa.Table:
    """Return the table of workflows."""
    table: sa.Table = client._sys_db.tables.workflow_status
    return table


def checkpoints(client: Any) -> sa.Table:
    """Return the table of checkpoints."""
    table: sa.Table = client._sys_db.tables.operation_outputs
    return table


def translated(client: Any) -> sa.Engine:
    """Return the engine that knows the schema."""
    engine: sa.Engine = client._sys_db.engine
    return engine

"""The engine: runs survive the death of their process, and several machines share the work."""

import asyncio
import os
import secrets
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final, Self, TypeVar

import aiohttp
import attrs
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from tenacity.wait import wait_base

from bulkverify.durable import names, runs, whole
from bulkverify.durable.accounts import DEFAULT, Accounts, Keys
from bulkverify.durable.database import Database, Worker, reason
from bulkverify.durable.metrics import Observed
from bulkverify.durable.process import Process
from bulkverify.durable.runs import RunState
from bulkverify.durable.shares import divide
from bulkverify.durable.spec import (
    RunSpec,
    checked_account,
    checked_id,
    checked_spec,
)
from bulkverify.durable.stats import EngineStats, read
from bulkverify.errors import ClientClosedError, ConnectionFailedError, UsageError, clause
from bulkverify.limits import (
    DEFAULT_TIMEOUT,
    LONGEST_LIST_ROWS,
    MOST_VERIFYING_LISTS,
    REQUESTS_PER_MINUTE,
    RETENTION_DAYS,
)
from bulkverify.lists import ListFormat
from bulkverify.models import FlagName, Verdict, VerdictName
from bulkverify.run.models import RunReport
from bulkverify.run.selection import unwanted_flags, wanted_verdicts
from bulkverify.run.threads import in_thread
from bulkverify.service.converter import converter
from bulkverify.service.logs import SafeLogger

T = TypeVar("T")
_log: Final = SafeLogger(__name__)

_CALLS_SECONDS: Final = 2.0  # for calls of the database that are under way
_FIRST_LOOK: Final = 0.2
_LAST_LOOK: Final = 2.0
"""The seconds between two looks at the state of awaited runs; they grow."""


@attrs.frozen
class DurableRun:
    """A run that was submitted."""

    engine: "Engine" = attrs.field(repr=False)
    """The engine that it was submitted with."""
    id: str
    """Its id, which `Engine.run` accepts, also in another process."""

    async def wait(self) -> RunReport:
        """Wait for the run to end, and return its report. Another process may do the same.

        Raises:
            IncompleteRunError: some parts got no verdicts.
            RunCancelledError: the run was cancelled.
            BulkVerifyError, OSError: as `verify_list`.
        """
        return await self.engine.wait(self.id)

    async def cancel(self) -> None:
        """Cancel the run; see `Engine.cancel`."""
        await self.engine.cancel(self.id)

    async def state(self) -> RunState:
        """Return what is known about the run."""
        [found] = await self.engine.runs([self.id])
        return found


class Engine:
    """Verifies lists as durable runs. Use it as `async with Engine(...) as engine:`.

    With SQLite, one process at a time takes work. With PostgreSQL, any number of processes on any
    number of machines do, and go on with the work of those that die.

    Args:
        database: the URL of an SQLite or PostgreSQL database, or an SQLAlchemy engine.
        accounts: the keys of accounts by their names, or a function that returns them; or just the
            names, with the keys in the environment, as BULKVERIFY_API_KEY__ACME for `acme`; by default
            all accounts with a key in the environment.
        work: whether this process takes work; else it submits runs, lists them and waits for them.
        base_url: the service's URL, as for `Client`.
        session: a session of your own, as for `Client`.
        allow_http: send the keys unencrypted to another machine, as for `Client`.
        requests_per_minute: the limit of each account over all workers; `None` for no limit.
        wait: when to ask about lists again, as for `wait_until`.
        lease: after so many seconds without a sign of life, the work of a process is taken over.
        parts_at_once: how many parts of one account are verified at the same time, over all workers.

    Raises:
        UsageError: the database can't be used, or this process uses DBOS itself.
    """

    def __init__(
        self,
        database: str | sa.Engine,
        *,
        accounts: Keys = None,
        work: bool = True,
        base_url: str | None = None,
        session: aiohttp.ClientSession | None = None,
        allow_http: bool = False,
        requests_per_minute: int | None = REQUESTS_PER_MINUTE,
        wait: wait_base | None = None,
        lease: float = 10.0,
        parts_at_once: int = MOST_VERIFYING_LISTS,
    ) -> None:
        self._database = Database(database)
        self._work = work
        self._lease = lease
        self._parts_at_once = parts_at_once
        self._limit = requests_per_minute
        self._accounts = Accounts(
            accounts,
            base_url=base_url,
            session=session,
            allow_http=allow_http,
            requests_per_minute=requests_per_minute,
            wait=wait,
            share=self._share,
        )
        self._threads = ThreadPoolExecutor(4, "bulkverify")
        self._process: Process | None = None
        self._closed = False
        self._observed = Observed(self._database.name, self._stats)

    async def __aenter__(self) -> Self:
        try:
            await self._in_thread(self._database.prepare)
            if self._work:
                self._process = Process(
                    self._database,
                    self._accounts,
                    lease=self._lease,
                    parts_at_once=self._parts_at_once,
                    in_thread=self._in_thread,
                )
                await self._process.begin()
            await self._in_thread(self._observed.begin)
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # --- runs

    async def submit(  # noqa: D417 - the options are those of `verify_list`
        self,
        source: str | os.PathLike[str] | Collection[str | os.PathLike[str]],
        output: str | os.PathLike[str],
        *,
        account: str = DEFAULT,
        id: str | None = None,  # noqa: A002 - the usual name
        column: str | None = None,
        header_row: int | None = None,
        sheet: str | None = None,
        delimiter: str | None = None,
        encoding: str = "utf-8-sig",
        format: ListFormat | None = None,  # noqa: A002 - the usual name
        max_credits: int | None = None,
        only: Collection[Verdict | VerdictName] | None = None,
        without: Collection[FlagName] = (),
        judge: bool = True,
        deduplicate: bool = True,
        largest_part: int = LONGEST_LIST_ROWS,
        restart: bool = False,
        overwrite: bool = False,
        excel_safe: bool = False,
        domains: bool = False,
        delete: bool = False,
        timeout: float | None = DEFAULT_TIMEOUT,
    ) -> DurableRun:
        """Submit a list, and return its run at once. The options are those of `verify_list`.

        If the last run for the same output has failed, is incomplete or was cancelled, the new one goes on
        with it: a part that is paid for is not paid for again, unless `restart` is set. If it has paid for
        another list, or split it otherwise, the new one ends with `JournalError`.

        Args:
            source: the path or URL of the list, or several as one list. All workers must be able to read it.
            output: the path or URL of the output. All workers must be able to write it.
            account: the name of the account that pays, up to 64 lower-case letters, digits and _.
            id: the id of the run, up to 64 letters, digits, _ and -. The same call with the same id
                returns the same run. By default each call makes a new one.

        Raises:
            UsageError: an argument is invalid, another run with this id is different, or another run
                for this output has not ended or has paid with another account.
        """
        wanted = wanted_verdicts(only)
        spec = checked_spec(
            source,
            output,
            account=checked_account(account),
            column=column,
            header_row=header_row,
            sheet=sheet,
            delimiter=delimiter,
            encoding=encoding,
            format=format,
            max_credits=max_credits,
            only=None if wanted is None else tuple(sorted(wanted)),
            without=tuple(sorted(unwanted_flags(without))),
            judge=judge,
            deduplicate=deduplicate,
            largest_part=largest_part,
            restart=restart,
            overwrite=overwrite,
            excel_safe=excel_safe,
            domains=domains,
            delete=delete,
            timeout=timeout,
        )
        run_id = checked_id(f"run-{secrets.token_hex(6)}" if id is None else id)
        await self._ask(partial(self._submit, run_id, spec))
        return DurableRun(self, run_id)

    def _submit(self, run_id: str, spec: RunSpec) -> None:
        document = converter.unstructure(spec)
        client = self._database.client
        with self._database.claiming(spec.place, run_id) as (connection, last):
            before = client.list_workflows(workflow_ids=[run_id], load_output=False)
            if before:
                if before[0].input["args"][0] != document:
                    raise UsageError(
                        f"There is another run with the id {run_id!r}: use another id."
                    )
                return
            earlier = None
            if last is not None and not spec.restart:
                earlier = runs.predecessor(self._database, last, spec.account)
            names.submit(client, connection, run_id, spec.account, document, earlier)

    def run(self, run_id: str) -> DurableRun:
        """Return a run that was submitted before, also by another process."""
        return DurableRun(self, checked_id(run_id))

    async def runs(self, ids: Collection[str] | None = None, *, limit: int = 100) -> list[RunState]:
        """Return the last runs, the newest first, or those with some ids.

        Raises:
            UsageError: there is no run with one of the ids.
        """
        return await self._ask(partial(self._runs, ids, limit))

    def _runs(self, ids: Collection[str] | None, limit: int) -> list[RunState]:
        wanted = None if ids is None else list(ids)
        found = self._database.client.list_workflows(
            workflow_ids=wanted,
            name=names.RUN,
            limit=limit if ids is None else None,
            sort_desc=True,
        )
        runs.require_known({*(wanted or ())} - {one.workflow_id for one in found})
        return runs.states_of(self._database, found)

    async def forget(self, days: float) -> int:
        """Delete what is known about runs that ended so many days ago, and return how many there were.

        Outputs stay. A run that is not complete is kept as long as the service keeps its lists, so that
        another run can go on with the parts that are paid for.
        """
        found = await self._ask(partial(self._forgettable, timedelta(days=days)))
        for one in found:
            if not runs.is_complete(one):  # a complete run has left nothing
                await whole.delete_files(
                    converter.structure(one.input["args"][0], RunSpec), one.workflow_id
                )
        await self._ask(partial(self._database.forget, [one.workflow_id for one in found]))
        return len(found)

    def _forgettable(self, age: timedelta) -> list[Any]:
        """Return the runs that may be forgotten, with their outcomes."""
        now = datetime.now(UTC)
        found = self._database.client.list_workflows(
            name=names.RUN, completed_before=(now - age).isoformat()
        )
        kept = (now - timedelta(days=RETENTION_DAYS)).timestamp() * 1000
        return [one for one in found if one.completed_at < kept or runs.is_complete(one)]

    async def cancel(self, run_id: str) -> None:
        """Cancel a run: nothing new is uploaded or started, and the output is not written.

        Lists that are started are paid for, and are verified on the service. A worker that was paused
        just before a start can still send this one.
        """
        await self._ask(partial(self._cancel, run_id))

    def _cancel(self, run_id: str) -> None:
        client = self._database.client
        runs.require_known(
            {run_id} - {one.workflow_id for one in client.list_workflows(workflow_ids=[run_id])}
        )
        client.cancel_workflow(run_id)  # before its parts: they look at its state
        parts = client.list_workflows(
            parent_workflow_id=run_id, status=list(names.UNFINISHED), load_input=False
        )
        client.cancel_workflows([one.workflow_id for one in parts])

    async def wait(self, run_id: str) -> RunReport:
        """Wait for a run to end; see `DurableRun.wait`."""
        client, pause = self._database.client, _FIRST_LOOK
        while True:
            with suppress(ConnectionFailedError):
                status = await self._ask(partial(self._database.status_of, run_id))
                runs.require_known({run_id} if status is None else ())
                if status not in names.UNFINISHED:
                    ended = partial(client.list_workflows, workflow_ids=[run_id])
                    return runs.report_of((await self._ask(ended))[0])
            await asyncio.sleep(pause)
            pause = min(1.2 * pause, _LAST_LOOK)

    async def workers(self) -> list[Worker]:
        """Return the processes that take work; with SQLite there are no leases, and none is known."""
        return [] if self._database.is_sqlite else await self._ask(self._database.workers)

    async def stats(self) -> EngineStats:
        """Count runs, parts and requests. The same counts are metrics of OpenTelemetry if it is installed."""
        return await self._ask(self._stats)

    def _stats(self) -> EngineStats:
        return read(self._database, self._accounts, self._process)

    async def close(self) -> None:
        """Stop taking work, let what may cost something reach its checkpoint, and give the rest back.

        It takes 30 seconds at most.
        """
        if self._closed:
            return
        self._observed.end()
        if self._process is not None:
            await self._process.end()
        await self._accounts.close()
        self._closed = True
        with suppress(TimeoutError):  # calls that are under way give their connections back
            ended = in_thread(partial(self._threads.shutdown, wait=True), leave=True)
            await asyncio.wait_for(ended, _CALLS_SECONDS)
        self._database.close()

    async def _share(self, account: str) -> int | None:
        """Return how many requests a minute this process may send for an account."""
        if self._database.is_sqlite or self._limit is None or self._process is None:
            return self._limit
        work = partial(
            divide,
            account=account,
            executor_id=self._process.id,
            total=self._limit,
            lease=self._lease,
        )
        return await self._in_thread(partial(self._database.transaction, work))

    async def _ask(self, work: Callable[[], T]) -> T:
        """Call the database for the caller of this engine, who gets an error of this package if it is away."""
        try:
            return await self._in_thread(work)
        except (OperationalError, PoolTimeoutError) as error:
            said = f"The database can't be reached: {clause(reason(error))}."
            raise ConnectionFailedError(said) from error

    async def _in_thread(self, work: Callable[[], T]) -> T:
        """Call the database in a thread of this engine; the loop's own executor is left alone."""
        if self._closed:
            raise ClientClosedError("The engine is closed. Runs go on with any other one.")
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


async def migrate(database: str | sa.Engine) -> None:
    """Make or update the tables of durable runs, which needs the right to do so in PostgreSQL.

    An engine does so by itself if its role may.
    """
    opened = Database(database)
    try:
        await asyncio.to_thread(opened.migrate)
    finally:
        opened.close()

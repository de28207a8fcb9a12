"""A database, the service, worker processes and the runs that are submitted: all of them real.

`world` checks at the end what must hold in every scenario. Nothing here looks into a worker: what it did
is told by the service, the database and the outputs.
"""

import asyncio
import json
import os
import random
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from time import monotonic
from typing import Any, Final

import aiohttp
import attrs
import sqlalchemy as sa

from bulkverify import ConnectionFailedError
from bulkverify.durable import DurableRun, Engine, migrate
from tests.durable.commands import MAIN, ROOT

from . import judge
from .postgres import Server, server

LEASE: Final = 10.0
"""The lease of `bulkverify worker`."""

Process = asyncio.subprocess.Process


@attrs.define
class Service:
    """The service in another process."""

    process: Process
    port: int
    control: str
    session: aiohttp.ClientSession

    def url(self, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}/v1"

    async def books(self) -> dict[str, dict[str, Any]]:
        async with self.session.get(f"{self.control}/books") as answer:
            found: dict[str, dict[str, Any]] = await answer.json()
            return found

    async def count(self, what: str) -> int:
        """Add up one number of the books of all accounts."""
        return sum(one[what] for one in (await self.books()).values())

    async def truth(self) -> dict[str, bytes]:
        async with self.session.get(f"{self.control}/truth") as answer:
            return judge.truth_of((await answer.text()).splitlines())

    async def post(self, what: str, body: object) -> None:
        async with self.session.post(f"{self.control}/{what}", data=json.dumps(body)) as answer:
            answer.raise_for_status()


@attrs.define(kw_only=True)
class Submitted:
    """A run, its list and its output."""

    run: DurableRun
    account: str
    source: Path
    output: Path
    addresses: int
    ended: float | None = None
    """When it had ended, in seconds since the world began."""
    failed: str = ""


@attrs.define(kw_only=True)
class World:
    """What a scenario has."""

    folder: Path
    keys: Mapping[str, str]
    database: str
    server: Server | None
    service: Service
    engine: Engine
    random: random.Random
    began: float = attrs.field(factory=monotonic)
    runs: list[Submitted] = attrs.field(factory=list)
    workers: list[Process] = attrs.field(factory=list)
    working: set[Process] = attrs.field(factory=set)
    """The workers that have begun to take work."""
    logging: list[asyncio.Task[None]] = attrs.field(factory=list)
    broken: list[str] = attrs.field(factory=list)
    notes: list[str] = attrs.field(factory=list)
    _logs: int = 0

    # --- what a scenario does

    def check(self, kept: object, otherwise: str) -> None:
        """Note a promise that was broken."""
        if not kept:
            self.broken.append(otherwise)

    def note(self, fact: str) -> None:
        self.notes.append(fact)

    @property
    def now(self) -> float:
        return monotonic() - self.began

    async def submit(self, account: str, rows: int, largest_part: int, **options: Any) -> Submitted:  # noqa: ANN401 - of the engine
        """Submit a list of so many rows."""
        name = f"{account}-{len(self.runs)}"
        source, output = self.folder / f"{name}.csv", self.folder / f"{name}-verified.csv"
        addresses = judge.write_list(source, name, rows, self.random)
        run = await self.engine.submit(
            source, output, account=account, id=name, largest_part=largest_part, **options
        )
        made = Submitted(
            run=run, account=account, source=source, output=output, addresses=addresses
        )
        self.runs.append(made)
        return made

    async def watch(self) -> None:
        """Note when runs end. One query for all of them leaves the machine to the workers."""
        while True:
            left = {one.run.id: one for one in self.runs if one.ended is None}
            with suppress(ConnectionFailedError):  # the database is away
                for state in await self.engine.runs([*left]) if left else ():
                    if state.state not in {"queued", "running", "held"}:
                        left[state.id].ended = self.now
                        left[state.id].failed = "" if state.state == "done" else state.message
            await asyncio.sleep(0.5)

    @property
    def open(self) -> int:
        """How many runs have not ended."""
        return sum(one.ended is None for one in self.runs)

    async def all_ended(self, timeout: float) -> None:
        """Wait until all runs have ended."""
        end = monotonic() + timeout
        while self.open and monotonic() < end:  # noqa: ASYNC110 - `watch` notes it
            await asyncio.sleep(0.2)
        self.check(not self.open, f"{self.open} of {len(self.runs)} runs did not end")

    async def worker(
        self,
        *prefix: str,
        database: str | None = None,
        url: str | None = None,
        words: Sequence[str] = (),
    ) -> Process:
        """Start a worker; `prefix` are the words of a command that starts it elsewhere."""
        self._logs += 1
        environment = {
            "PYTHONPATH": str(ROOT),
            "PATH": os.environ["PATH"],
            "BULKVERIFY_BASE_URL": url or self.service.url(),
            "BULKVERIFY_DATABASE": database or self.database,
            **{f"BULKVERIFY_API_KEY__{name.upper()}": key for name, key in self.keys.items()},
        }
        process = await asyncio.create_subprocess_exec(
            *(*prefix, sys.executable, "-W", "error", "-c", MAIN, "worker", *words),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=environment,
            cwd=self.folder,
        )
        path = self.folder / f"worker-{self._logs}.log"
        self.logging.append(asyncio.create_task(self._keep_log(process, path)))
        self.workers.append(process)
        return process

    async def _keep_log(self, worker: Process, path: Path) -> None:
        assert worker.stdout is not None
        with path.open("w") as log:
            while line := await worker.stdout.readline():
                if b"takes work of" in line:
                    self.working.add(worker)
                log.write(f"{self.now:7.2f} {line.decode()}")
                log.flush()

    async def kill(self, worker: Process) -> None:
        """Kill a worker as the kernel does that is out of memory."""
        worker.kill()
        await worker.wait()
        self.workers.remove(worker)
        self.working.discard(worker)

    async def until(self, what: Callable[[], Any], timeout: float = 120) -> bool:
        """Wait until a coroutine function returns something true."""
        end = monotonic() + timeout
        while monotonic() < end:
            if await what():
                return True
            await asyncio.sleep(0.1)
        self.check(kept=False, otherwise=f"waited {timeout:g} s in vain")
        return False

    def logs(self) -> str:
        return "".join(path.read_text() for path in sorted(self.folder.glob("worker-*.log")))

    # --- what must hold at the end

    async def stop(self) -> None:
        """End the workers as an operator does."""
        for worker in self.workers:
            with suppress(ProcessLookupError):
                worker.send_signal(signal.SIGTERM)
        for worker in self.workers:
            try:
                async with asyncio.timeout(35):
                    code = await worker.wait()
                self.check(code == 0, f"a worker ended with {code}")
            except TimeoutError:
                worker.kill()
                self.check(kept=False, otherwise="a worker did not end within 35 s")
        self.workers.clear()

    async def finish(self) -> None:
        """End the workers, and check the outputs, the books, the tables and the logs."""
        await self.stop()
        truth = await self.service.truth()
        wrong = [
            found
            for one in self.runs
            if one.ended is not None
            and not one.failed
            and (found := await asyncio.to_thread(judge.difference, one.source, one.output, truth))
        ]
        failed = [f"{one.run.id}: {one.failed}" for one in self.runs if one.failed]
        self.broken += [*failed[:5], *wrong[:5]]
        books = await self.service.books()
        for name, account in books.items():
            sent = sum(one.addresses for one in self.runs if one.account == name)
            self.check(not account["paid_twice"], f"{name}: {account['paid_twice']} paid twice")
            self.check(
                account["paid"] == account["credits_spent"] == sent,
                f"{name}: {account['paid']} paid for {account['credits_spent']} credits, and not {sent}",
            )
        exact = len(self.runs) - len(failed) - len(wrong)
        paid, twice = await self.service.count("paid"), await self.service.count("paid_twice")
        self.note(
            f"{len(self.runs)} runs, {exact} outputs right to the byte; "
            f"{paid:,} addresses paid, {twice} of them twice"
        )
        self._search_secrets()
        self.check("Traceback" not in self.logs(), f"a traceback in {self.folder}/worker-*.log")

    def _search_secrets(self) -> None:
        """Search all tables and logs for addresses and keys."""
        engine = sa.create_engine(
            sa.make_url(self.database).set(drivername="postgresql+psycopg")
            if self.server
            else self.database
        )
        rows = 0
        with engine.connect() as connection:
            inspector = sa.inspect(engine)
            for schema in inspector.get_schema_names():
                if schema in {"information_schema", "pg_catalog"}:
                    continue
                for table in inspector.get_table_names(schema):
                    for row in connection.execute(sa.text(f'select * from "{schema}"."{table}"')):  # noqa: S608 - its own names
                        rows += 1
                        self._check_secret(f"table {table}", str(tuple(row)))
        engine.dispose()
        self._check_secret("a log", self.logs().replace("postgres@", ""))
        self.note(f"{rows:,} rows in all tables: no address and no key")

    def _check_secret(self, where: str, text: str) -> None:
        found = [word for word in ("@", *self.keys.values()) if word in text]
        self.check(not found, f"{where} has {found}: {text[:300]}")


@asynccontextmanager
async def _service(keys: Mapping[str, str], settings: Mapping[str, Any]) -> AsyncIterator[Service]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.durable.load.service"),
        json.dumps({"keys": {**keys}, **settings}),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    assert process.stdout is not None
    ports = json.loads(await process.stdout.readline())
    async with aiohttp.ClientSession() as session:
        try:
            yield Service(process, ports["port"], f"http://127.0.0.1:{ports['control']}", session)
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


@contextmanager
def _database(kind: str, folder: Path) -> Any:  # noqa: ANN401 - a generator
    if kind == "sqlite":
        yield None, f"sqlite:///{folder}/runs.db"
    else:
        with server() as found:
            yield found, found.url()


@asynccontextmanager
async def world(
    kind: str,
    accounts: Sequence[str],
    *,
    seed: int = 1,
    keep: bool = False,
    judged: bool = True,
    **settings: Any,  # noqa: ANN401 - of the service
) -> AsyncIterator[World]:
    """Set up a world with a database of a kind, and a service with some settings.

    `keep` its files. The outputs and the books are `judged` at the end.
    """
    keys = {name: f"key-of-{name}-7f3a" for name in accounts}
    folder = Path(tempfile.mkdtemp(prefix="bulkverify-load-"))
    with _database(kind, folder) as (started, url):
        await migrate(url)
        async with (
            _service(keys, settings) as service,
            Engine(url, accounts={}, work=False) as engine,
        ):
            made = World(
                folder=folder,
                keys=keys,
                database=url,
                server=started,
                service=service,
                engine=engine,
                random=random.Random(seed),  # noqa: S311 - not for security
            )
            watching = asyncio.create_task(made.watch())
            try:
                yield made
                if judged:
                    await made.finish()
            finally:
                watching.cancel()
                for one in made.workers:
                    with suppress(ProcessLookupError):
                        one.kill()
                await asyncio.gather(watching, *made.logging, return_exceptions=True)
    if not made.broken and not keep:
        shutil.rmtree(folder)


async def parts_by_worker(made: World) -> Counter[str]:
    """Return how many parts each worker process has ended, by the database."""
    engine = sa.create_engine(
        sa.make_url(made.database).set(drivername="postgresql+psycopg"), poolclass=sa.NullPool
    )
    with engine.connect() as connection:
        ids = connection.execute(
            sa.text(
                "select executor_id from bulkverify.workflow_status where name = 'bulkverify.part'"
            )
        ).scalars()
        # Without what is new after a lost lease.
        return Counter(executor_id.rpartition("-")[0] for executor_id in ids)

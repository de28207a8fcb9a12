"""Leases by the clock of PostgreSQL, and who takes over when."""

import asyncio
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import sqlalchemy as sa

from bulkverify.durable import Engine, migrate
from bulkverify.durable.connections import POOL
from bulkverify.durable.database import Database
from bulkverify.durable.lease import Lease
from bulkverify.sandbox import Fault, FaultKind, Sandbox
from tests.run.lists import numbered

from .made import engine, require_all_verified, require_paid_once, stopped, worker


@pytest.fixture
def opened(postgresql: str) -> Iterator[Database]:
    opened = Database(postgresql)
    yield opened
    opened.close()


def test_a_lease_that_was_lost_is_not_renewed(opened: Database) -> None:
    opened.enter("a", "host", 1)
    assert opened.beat("a", "why")
    assert [(one.executor_id, one.note) for one in opened.workers()] == [("a", "why")]
    opened.leave("a")
    assert not opened.beat("a", "")


def test_other_work_does_not_delay_a_lease(opened: Database) -> None:
    opened.enter("a", "host", 1)
    with ExitStack() as others:
        for _ in range(POOL):
            others.enter_context(opened._engine.connect())
        assert opened.beat("a", "")


@pytest.mark.asyncio
async def test_a_process_that_was_frozen_takes_over_nothing_at_first(opened: Database) -> None:
    async def lost(_: str) -> None:
        raise AssertionError("it was not taken over")

    lease = Lease(opened, 0.4, note=str, lost=lost)
    await lease.begin()
    assert not lease.is_steady
    while not lease.is_steady:  # noqa: ASYNC110 - of a clock
        await asyncio.sleep(0.01)
    time.sleep(0.5)  # noqa: ASYNC251 - as if it were frozen
    assert not lease.is_steady
    await asyncio.sleep(0.2)
    assert not lease.is_steady
    await lease.end()
    assert opened.workers() == []


@pytest.mark.asyncio
async def test_one_process_takes_over_at_a_time(opened: Database) -> None:
    within, leave = threading.Event(), threading.Event()

    def slow(dead: Collection[str]) -> int:
        within.set()
        leave.wait(20)
        return len(dead)

    orphan = sa.insert(opened.status).values(
        workflow_uuid="x",
        status="PENDING",
        executor_id="dead",
        application_version="bulkverify-1",
        created_at=0,
        updated_at=0,
        priority=1,
    )
    opened.transaction(lambda connection: connection.execute(orphan))
    first = asyncio.create_task(asyncio.to_thread(opened.take_over, 1.0, slow))
    await asyncio.to_thread(within.wait, 20)
    assert await asyncio.to_thread(opened.take_over, 1.0, len) == 0
    leave.set()
    assert await first == 1


@pytest.mark.asyncio
async def test_a_worker_with_a_lost_lease_goes_on_under_a_new_name(
    postgresql: str, opened: Database, sandbox: Sandbox, source: Path, output: Path
) -> None:
    async with engine(postgresql, sandbox) as working:
        [before] = await working.workers()
        await asyncio.to_thread(opened.leave, before.executor_id)
        while not (now := await working.workers()):  # noqa: ASYNC110 - in the database
            await asyncio.sleep(0.02)
        assert now[0].executor_id != before.executor_id
        run = await working.submit(source, output, account="acme", largest_part=2)
        await run.wait()
    require_all_verified(output, 7)
    require_paid_once(sandbox, 7)


@pytest.mark.asyncio
async def test_a_run_ends_that_its_own_process_takes_a_second_time(
    postgresql: str, sandbox: Sandbox, source: Path, output: Path
) -> None:
    sandbox.inject(Fault(endpoint="credits", kind=FaultKind.DELAY, delay=1.0, times=2))
    async with engine(postgresql, sandbox) as working:
        run = await working.submit(source, output, account="acme", largest_part=2)
        while not sandbox.ledger.requests["credits"]:  # noqa: ASYNC110 - of another service
            await asyncio.sleep(0.02)
        assert working._process is not None
        await asyncio.to_thread(working._process._host.give_back, [run.id])
        await run.wait()
    require_all_verified(output, 7)
    require_paid_once(sandbox, 7)


@pytest.mark.asyncio
async def test_an_outage_that_is_longer_than_a_lease_ends_no_work(
    postgresql: str, server: sa.URL, sandbox: Sandbox, source: Path, output: Path
) -> None:
    source.write_text(numbered(24))
    for endpoint in ("upload", "start"):
        sandbox.inject(Fault(endpoint=endpoint, kind=FaultKind.DELAY, delay=0.1, times=None))
    name = sa.make_url(postgresql).database
    admin = sa.create_engine(server, isolation_level="AUTOCOMMIT")
    async with (
        engine(postgresql, sandbox, work=False) as submitting,
        worker(postgresql, sandbox) as working,
    ):
        run = await submitting.submit(source, output, account="acme", largest_part=2)
        while len(sandbox.ledger.starts) < 2:  # noqa: ASYNC110 - of another process
            await asyncio.sleep(0.02)
        before = await submitting.workers()
        with admin.connect() as connection:
            connection.execute(sa.text(f"alter database {name} with allow_connections false"))
            connection.execute(
                sa.text(
                    "select pg_terminate_backend(pid) from pg_stat_activity where datname=:name"
                ),
                {"name": name},
            )
            await asyncio.sleep(4)  # the lease is 3 seconds
            connection.execute(sa.text(f"alter database {name} with allow_connections true"))
        await asyncio.wait_for(run.wait(), 100)
        after = await submitting.workers()
        await stopped(working)
    admin.dispose()
    assert [one.executor_id for one in after] == [one.executor_id for one in before]
    require_all_verified(output, 24)
    require_paid_once(sandbox, 24)


@pytest.mark.asyncio
async def test_a_role_without_rights_is_told_to_migrate_first(
    postgresql: str, server: sa.URL
) -> None:
    url = sa.make_url(postgresql)
    empty = f"{url.database}_empty"
    admin = sa.create_engine(server, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(sa.text(f"create database {empty}"))
        connection.execute(sa.text(f"create role plain_{empty} login"))
    plain = url.set(database=empty, username=f"plain_{empty}").render_as_string(hide_password=False)
    try:
        with pytest.raises(Exception, match="can't be made here") as caught:
            await Engine(plain, work=False).__aenter__()
        assert "--migrate" in getattr(caught.value, "shell_hint", "")
        await migrate(url.set(database=empty).render_as_string(hide_password=False))
        owner = sa.create_engine(url.set(database=empty), isolation_level="AUTOCOMMIT")
        with owner.connect() as connection:
            for grant in (
                "grant usage on schema bulkverify to plain_{0}",
                "grant select, insert, update, delete on all tables in schema bulkverify to plain_{0}",
            ):
                connection.execute(sa.text(grant.format(empty)))
        owner.dispose()
        async with Engine(plain, accounts={}):
            pass
    finally:
        with admin.connect() as connection:
            connection.execute(sa.text(f"drop database {empty} with (force)"))
            connection.execute(sa.text(f"drop role plain_{empty}"))
        admin.dispose()

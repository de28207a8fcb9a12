"""What the database forgets about runs that ended long ago."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from bulkverify import IncompleteRunError, UsageError
from bulkverify.durable.database import Database
from bulkverify.run.journal import journal_of
from bulkverify.sandbox import Sandbox

from .made import engine, refuse_second_upload, require_all_verified


def rows_in(database: str) -> int:
    """Count the rows about runs."""
    opened = Database(database)
    with opened._engine.connect() as connection:
        inspector = sa.inspect(opened._engine)
        schema = None if opened.is_sqlite else "bulkverify"
        names = {
            "workflow_status",
            "workflow_input",
            "workflow_output",
            "operation_outputs",
            "output",
        }
        tables = [
            sa.table(name, schema=schema)
            for name in inspector.get_table_names(schema)
            if name in names
        ]
        assert len(tables) == len(names)
        found = [
            connection.execute(sa.select(sa.func.count()).select_from(one)).scalar()
            for one in tables
        ]
    opened.close()
    return sum(filter(None, found))


@pytest.mark.asyncio
async def test_a_complete_run_is_forgotten_after_so_many_days(
    database: str, sandbox: Sandbox, source: Path, output: Path
) -> None:
    async with engine(database, sandbox) as working:
        run = await working.submit(source, output, account="acme", largest_part=2)
        await run.wait()
        assert (await run.state()).parts_started == 3
        assert await working.forget(1) == 0
        assert await working.forget(0) == 1
        with pytest.raises(UsageError, match="no run with the id"):
            await run.state()
    assert rows_in(database) == 0
    require_all_verified(output, 7)


@pytest.mark.asyncio
async def test_an_incomplete_run_is_kept_while_the_service_has_its_lists(
    sqlite: str, sandbox: Sandbox, source: Path, output: Path
) -> None:
    refuse_second_upload(sandbox)
    async with engine(sqlite, sandbox) as working:
        run = await working.submit(source, output, account="acme", largest_part=2)
        with pytest.raises(IncompleteRunError):
            await run.wait()
        assert await working.forget(0) == 0
        assert journal_of(output).exists()
        opened = Database(sqlite)
        month = 31 * 24 * 3600 * 1000
        with opened._engine.begin() as connection:
            ended = opened.status.c.completed_at
            connection.execute(sa.update(opened.status).values(completed_at=ended - month))
        opened.close()
        assert await working.forget(0) == 1
    assert rows_in(sqlite) == 0
    assert not journal_of(output).exists()

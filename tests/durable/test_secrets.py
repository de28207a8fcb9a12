"""Every table, read with other eyes: no key and no address is in it."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import sqlalchemy as sa

from bulkverify import BulkVerifyError
from bulkverify.durable.database import Database
from bulkverify.sandbox import Fault, FaultKind, Sandbox
from tests.run.lists import name, numbered

from .made import engine, require_all_verified

KEY = "key-7f3a"
ECHO = f'{{"success": false, "result": "{name(0)}@example.com is refused for {KEY}"}}'


def rows_of(database: str) -> Iterator[str]:
    """Yield all rows of all tables as text."""
    opened = Database(database)
    inspector = sa.inspect(opened._engine)
    with opened._engine.connect() as connection:
        for schema in {*inspector.get_schema_names()} - {"information_schema", "pg_catalog"}:
            for table in inspector.get_table_names(schema):
                rows = connection.execute(sa.text(f'select * from "{schema}"."{table}"'))  # noqa: S608 - its own names
                yield from (f"{table}: {tuple(row)}" for row in rows)
    opened.close()


@pytest.mark.asyncio
async def test_no_table_has_a_key_or_an_address(
    database: str, source: Path, output: Path, tmp_path: Path
) -> None:
    lone = tmp_path / "lone.csv"
    lone.write_text(numbered(1))
    async with (
        Sandbox(api_key=KEY, speed=1000, requests_per_minute=None) as sandbox,
        engine(database, sandbox) as working,
    ):
        for number, endpoint in enumerate(("upload", "start", "download", "verify")):
            sandbox.inject(
                Fault(endpoint=endpoint, kind=FaultKind.ANSWER, status=400, body=ECHO)  # type: ignore[arg-type] # one of them
            )
            refused = tmp_path / f"refused-{number}.csv"
            run = await working.submit(
                lone if endpoint == "verify" else source, refused, account="acme", domains=True
            )
            with suppress(BulkVerifyError):  # a refused download is asked for again
                await run.wait()
        await (await working.submit(source, output, account="acme", domains=True)).wait()
        await (await working.submit(lone, tmp_path / "alone.csv", account="acme")).wait()
        rows = list(rows_of(database))
        assert sandbox.ledger.faults["answer"] == 4
    require_all_verified(output, 7)
    assert len(rows) > 30
    assert any("***" in row for row in rows)
    secrets = (KEY, "@", *map(name, range(7)))
    assert [row for row in rows if any(secret in row for secret in secrets)] == []

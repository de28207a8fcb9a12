"""PgBouncer between an engine and PostgreSQL; skipped where it is not installed."""

import asyncio
import os
import shutil
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from bulkverify import UsageError
from bulkverify.durable import Engine
from bulkverify.sandbox import Sandbox
from tests.run.lists import numbered

from .made import engine, require_all_verified, require_paid_once

PGBOUNCER = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
SETTINGS = """
[databases]
{name} = host={host} dbname={name} user={user}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
"""

pytestmark = pytest.mark.skipif(PGBOUNCER is None, reason="PgBouncer is not installed")


@asynccontextmanager
async def pooled(database: str, folder: Path, mode: str) -> AsyncIterator[str]:
    """Start PgBouncer, and yield a URL through it."""
    url = sa.make_url(database)
    host = str(url.query["host"])
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = folder / "pgbouncer.ini"
    settings.write_text(
        SETTINGS.format(name=url.database, host=host, user=url.username, port=port, mode=mode)
    )
    user = ("-u", Path(host).owner()) if os.getuid() == 0 else ()  # it refuses to run as root
    with settings.open() as given:  # which that user could not open
        process = await asyncio.create_subprocess_exec(
            *(str(PGBOUNCER), "-q", *user, "/dev/stdin"),
            stdin=given,
            stderr=asyncio.subprocess.PIPE,
        )
    try:
        async with asyncio.timeout(20):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    await asyncio.sleep(0.05)
                else:
                    writer.close()
                    break
        yield f"postgresql://{url.username}@127.0.0.1:{port}/{url.database}"
    finally:
        process.send_signal(signal.SIGTERM)
        await process.communicate()


@pytest.mark.asyncio
@pytest.mark.parametrize("mode", ["session", "transaction"])
async def test_runs_are_made_through_a_pooler(
    postgresql: str, sandbox: Sandbox, source: Path, output: Path, mode: str
) -> None:
    source.write_text(numbered(40))
    async with (
        pooled(postgresql, output.parent, mode) as url,
        engine(url, sandbox) as working,
    ):
        run = await working.submit(source, output, account="acme", largest_part=2)
        await run.wait()
        assert len(await working.workers()) == 1
    require_all_verified(output, 40)
    require_paid_once(sandbox, 40)


@pytest.mark.asyncio
async def test_a_pooler_that_allows_no_transactions_is_refused(
    postgresql: str, tmp_path: Path
) -> None:
    async with pooled(postgresql, tmp_path, "statement") as url:
        with pytest.raises(
            UsageError, match="transaction blocks not allowed in statement pooling mode"
        ):
            await Engine(url, work=False).__aenter__()

"""What an engine counts, and what OpenTelemetry gets of it."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from bulkverify.durable import accounts
from bulkverify.durable import metrics as observed
from bulkverify.durable.database import Database
from bulkverify.sandbox import Fault, FaultKind, Sandbox

from .commands import ROOT
from .made import engine


@pytest.fixture(scope="module")
def reader() -> Iterator[InMemoryMetricReader]:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    metrics.set_meter_provider(provider)
    yield reader
    provider.shutdown()


def points(reader: InMemoryMetricReader) -> dict[tuple[str, ...], float]:
    """Return all values by the names of their metrics, their units and their attributes."""
    data = reader.get_metrics_data()
    scopes = (
        [] if data is None else [two for one in data.resource_metrics for two in one.scope_metrics]
    )
    return {
        (one.name, one.unit or "", *map(str, (point.attributes or {}).values())): point.value  # type: ignore[union-attr] # no histograms
        for scope in scopes
        for one in scope.metrics
        for point in one.data.data_points
    }


@pytest.mark.asyncio
async def test_runs_parts_and_requests_are_counted(
    database: str,
    reader: InMemoryMetricReader,
    source: Path,
    output: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(accounts, "CREDITS_SECONDS", 0.1)
    monkeypatch.setattr(observed, "_READ_SECONDS", 0.0)
    name = sa.make_url(database).database or ""
    async with (
        Sandbox(speed=1000, requests_per_minute=None, credits=6) as sandbox,
        engine(database, sandbox) as working,
    ):
        sandbox.inject(Fault(endpoint="credits", kind=FaultKind.THROTTLE))
        await working.submit(source, output.with_name("other"), account="of_others")
        run = await working.submit(source, output, account="acme", largest_part=2)
        async with asyncio.timeout(20):
            while not (stats := await working.stats()).runs["held"]:  # noqa: ASYNC110 - in the database
                await asyncio.sleep(0.02)
        assert stats.runs == {"queued": 1, "running": 0, "held": 1}
        found = await asyncio.to_thread(points, reader)
        assert found["bulkverify.run.count", "{run}", name, "held"] == 1
        assert found["bulkverify.run.count", "{run}", name, "queued"] == 1
        sandbox.credits += 1
        sandbox.inject(Fault(endpoint="download", kind=FaultKind.DELAY, delay=0.5, times=None))
        async with asyncio.timeout(20):
            while not (stats := await working.stats()).parts_running:  # noqa: ASYNC110 - in the database
                await asyncio.sleep(0.02)
        await run.wait()
        while not (stats := await working.stats()).ended:  # noqa: ASYNC110 - in the database
            await asyncio.sleep(0.02)
        found = await asyncio.to_thread(points, reader)
    assert (stats.ended, stats.runs["held"], stats.parts_running) == ({"done": 1}, 0, 0)
    assert (stats.throttles, stats.takeovers) == (1, 0)
    assert stats.requests == sandbox.ledger.requests.total()
    assert found["bulkverify.run.count", "{run}", name, "held"] == 0
    assert found["bulkverify.part.count", "{part}", name, "running"] == 0
    assert found["bulkverify.run.ended", "{run}", name, "done"] == 1
    assert found["bulkverify.worker.takeovers", "{workflow}", name] == 0
    assert found["bulkverify.client.requests", "{request}", name] == stats.requests
    assert found["bulkverify.client.throttles", "{request}", name] == 1
    assert points(reader) == {}  # the engine is closed


@pytest.mark.asyncio
async def test_takeovers_are_counted(
    postgresql: str, sandbox: Sandbox, source: Path, output: Path
) -> None:
    async with engine(postgresql, sandbox, work=False) as submitting:
        run = await submitting.submit(source, output, account="acme")
    opened = Database(postgresql)
    left = sa.update(opened.status).values(status="PENDING", executor_id="dead")
    await asyncio.to_thread(opened.transaction, lambda connection: connection.execute(left))
    opened.close()
    async with engine(postgresql, sandbox, lease=1.0) as working:
        await working.run(run.id).wait()
        assert (await working.stats()).takeovers >= 1


def test_without_opentelemetry_nothing_is_missing(sqlite: str) -> None:
    code = (
        "import asyncio, sys; sys.modules['opentelemetry'] = None\n"
        "from bulkverify.durable import Engine\n"
        "async def main():\n"
        f"    async with Engine({sqlite!r}, work=False) as engine:\n"
        "        print((await engine.stats()).requests)\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run(  # noqa: S603 - ours
        [sys.executable, "-W", "error", "-c", code],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "0\n", "")

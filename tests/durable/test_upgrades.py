"""Runs that an earlier version began: today's code finishes them, and pays for each address once."""

import asyncio
import json
import os
import sqlite3
from pathlib import Path

import pytest
from tenacity import wait_fixed

from bulkverify import BulkVerifyError, Client, wait_until
from bulkverify.durable import Engine
from bulkverify.durable import accounts as durable_accounts
from bulkverify.sandbox import Sandbox
from tests.run.lists import table, verdicts_of

WRITTEN = sorted(Path(__file__).parent.glob("upgrade/*.json"))


async def restored(written: Path, folder: Path, sandbox: Sandbox) -> None:
    """Restore the lists on the service, the files and the database."""
    text = written.read_text()
    for word, place in (("@FOLDER@", str(folder)), ("@URL@", sandbox.url.rstrip("/"))):
        text = text.replace(word, place)
    async with Client(sandbox.api_key, base_url=sandbox.url, requests_per_minute=None) as client:
        for job_id, (started, content) in json.loads(text)["lists"].items():
            path = folder / "list.csv"
            path.write_text(content)
            job = await client.upload(path)
            await wait_until(job, "ready", wait=wait_fixed(0.01))
            if started:
                await job.start()
            text = text.replace(job_id, job.id)
    found = json.loads(text)
    for name, (mtime_ns, content) in found["files"].items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode("latin-1"))
        os.utime(path, ns=(mtime_ns, mtime_ns))
    with sqlite3.connect(folder / "runs.db") as connection:
        connection.executescript("\n".join(found["dump"]))
    connection.close()


@pytest.mark.asyncio
@pytest.mark.parametrize("written", WRITTEN, ids=lambda path: path.stem)
async def test_runs_of_an_earlier_version_are_finished(
    written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durable_accounts, "CREDITS_SECONDS", 0.1)
    async with Sandbox(speed=1000, requests_per_minute=None) as sandbox:
        await restored(written, tmp_path, sandbox)
        outcomes: dict[str, str] = {}
        async with Engine(
            f"sqlite:///{tmp_path}/runs.db",
            accounts=lambda _: sandbox.api_key,
            base_url=sandbox.url,
            requests_per_minute=None,
            wait=wait_fixed(0.05),
        ) as engine:
            states = {one.id: one.state for one in await engine.runs()}
            for run_id in states:
                try:
                    async with asyncio.timeout(60):
                        await engine.run(run_id).wait()
                except BulkVerifyError as error:
                    outcomes[run_id] = type(error).__name__
                    continue
                output = tmp_path / f"{run_id.removeprefix('again-')}.out.csv"
                assert all(verdicts_of(table(output)[1:])), run_id
        assert len(states) >= 29
        # A single address that may have been sent is not sent again.
        assert outcomes == {
            "before-ask": "VerifyUncertainError",
            "after-ask": "VerifyUncertainError",
            "incomplete": "IncompleteRunError",
            "cancelled": "RunCancelledError",
        }
        assert set(sandbox.ledger.paid.values()) == {1}
        assert not sandbox.ledger.verified_addresses

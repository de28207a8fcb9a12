"""Write such a database with the code that is checked out: `python -m tests.durable.upgrade.write 1.json`.

Each run is stopped before or after one of its steps; after a step, what it did is lost, as in a kill.
"""

import asyncio
import json
import os
import sqlite3
import sys
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import pytest
from tenacity import wait_fixed

from bulkverify import Client, IncompleteRunError, Job
from bulkverify.durable import Engine, accounts, names
from bulkverify.sandbox import Fault, FaultKind, Sandbox
from tests.run.lists import numbered

STEPS: Final = (
    "split",
    "credits",
    "enqueue",
    "upload",
    "ready",
    "start",
    "results",
    "join",
    "clean",
)
STOPPED: Final = [f"{when}-{step}" for step in STEPS for when in ("before", "after")]
LONE: Final = ["before-ask", "after-ask"]
OTHERS: Final = ["done", "incomplete", "cancelled"]
LATER: Final = [
    "queued",
    "held-run",
    "held-part",
    "three-parts",
    "again-incomplete",
    "again-cancelled",
]

PATCHES: Final = pytest.MonkeyPatch()


class Stops:
    """Stops each run at its point, which is its id."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.reached: set[str] = set()
        self.sent: dict[str, str] = {}
        """The lists on the service."""
        self.kept = names.step
        PATCHES.setattr(names, "step", self.step)
        kept = Client.upload

        async def upload(client: Client, source: Any, **options: Any) -> Job:  # noqa: ANN401 - as it is
            job = await kept(client, source, **options)
            self.sent[job.id] = Path(source).read_text()
            return job

        PATCHES.setattr(Client, "upload", upload)

    async def step(
        self, name: str, work: Callable[[], Awaitable[Any]], *, waits: bool = False
    ) -> Any:  # noqa: ANN401 - JSON
        run_id = names.execution().workflow_id.partition(".")[0]

        async def stopping() -> Any:  # noqa: ANN401 - as above
            if (run_id, name) == ("held-part", "ready"):
                self.sandbox.credits = 0
            if (
                name == "held"
                or f"before-{name}" == run_id
                or (run_id, name)
                in {
                    ("three-parts", "start"),
                    ("cancelled", "results"),
                    ("again-cancelled", "results"),
                }
            ):
                await self.stop(run_id)
            found = await work()
            if f"after-{name}" == run_id or (run_id, name) == ("again-incomplete", "enqueue"):
                await self.stop(run_id)
            return found

        return await self.kept(name, stopping, waits=waits)

    async def stop(self, run_id: str) -> None:
        self.reached.add(run_id)
        await asyncio.Event().wait()


async def write(path: Path, folder: Path) -> None:
    PATCHES.setattr(accounts, "CREDITS_SECONDS", 3600.0)
    refusal = '{"success": false, "result": "No"}'
    async with Sandbox(speed=1000, requests_per_minute=None) as sandbox:
        stops = Stops(sandbox)
        async with Engine(
            f"sqlite:///{folder}/runs.db",
            accounts=lambda name: None if name == "queued" else sandbox.api_key,
            base_url=sandbox.url,
            requests_per_minute=None,
            wait=wait_fixed(0.05),
        ) as engine:

            async def submit(run_id: str, name: str = "", rows: int = 2) -> Any:  # noqa: ANN401 - a run
                source = folder / f"{name or run_id}.csv"
                if not source.exists():
                    source.write_text(numbered(rows, f"{name or run_id}.com"))
                output = source.with_suffix(".out.csv")
                return await engine.submit(
                    source, output, account=run_id, id=run_id, largest_part=2
                )

            async def all_reached(*run_ids: str) -> None:
                async with asyncio.timeout(60):
                    while not {*run_ids} <= stops.reached:  # noqa: ASYNC110 - in another loop
                        await asyncio.sleep(0.05)

            await (await submit("done")).wait()
            sandbox.inject(
                Fault(endpoint="upload", kind=FaultKind.ANSWER, status=400, body=refusal, skip=1)
            )
            with suppress(IncompleteRunError):
                await (await submit("incomplete", rows=6)).wait()
            await submit("cancelled")
            await all_reached("cancelled")
            await engine.cancel("cancelled")
            for run_id in (*STOPPED, "queued", *LONE):
                await submit(run_id, rows=1 if run_id in LONE else 2)
            await submit("three-parts", rows=6)
            await submit("again-incomplete", "incomplete")
            await submit("again-cancelled", "cancelled")
            await all_reached(*STOPPED, *LONE, "three-parts", "again-incomplete", "again-cancelled")
            await submit("held-part")
            await all_reached("held-part")
            await submit("held-run")
            await all_reached("held-run")
            await asyncio.sleep(1)
            save(path, folder, stops)
            os._exit(0)  # as a kill


def save(path: Path, folder: Path, stops: Stops) -> None:
    """Write the database, the files and what is on the service, without names of this machine."""
    with sqlite3.connect(folder / "runs.db") as connection:
        dump = "\n".join(connection.iterdump())
    places = {str(folder): "@FOLDER@", stops.sandbox.url.rstrip("/"): "@URL@"}
    files = {}
    for file in sorted(folder.rglob("*")):
        if file.is_file() and not file.name.startswith("runs.db"):
            text = file.read_bytes().decode("latin-1")
            files[str(file.relative_to(folder))] = [file.stat().st_mtime_ns, text]
    lists = {
        job_id: [job_id in stops.sandbox.ledger.starts, content]
        for job_id, content in stops.sent.items()
        if job_id in dump  # the others were lost with the answer
    }
    text = json.dumps({"lists": lists, "files": files, "dump": dump.splitlines()}, indent=0)
    for place, word in places.items():
        text = text.replace(place, word)
    path.write_text(text + "\n")


if __name__ == "__main__":
    asyncio.run(write(Path(sys.argv[1]).absolute(), Path(tempfile.mkdtemp())))

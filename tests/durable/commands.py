"""Commands as processes of their own, against the sandbox of a test."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import attrs

from bulkverify.sandbox import Sandbox

ROOT = Path(__file__).parents[2]
MAIN = "from bulkverify.cli.main import main; main()"


@attrs.frozen
class Outcome:
    code: int | None
    out: str
    err: str

    def __attrs_post_init__(self) -> None:
        assert "Traceback" not in self.out + self.err


@attrs.frozen
class Commands:
    """Starts commands for a sandbox and a database."""

    sandbox: Sandbox
    database: str
    folder: Path

    @asynccontextmanager
    async def started(self, *tokens: str) -> AsyncIterator[asyncio.subprocess.Process]:
        environment = {
            "PYTHONPATH": str(ROOT),
            "BULKVERIFY_BASE_URL": self.sandbox.url,
            "BULKVERIFY_API_KEY": self.sandbox.api_key,
            "BULKVERIFY_API_KEY__ACME": self.sandbox.api_key,
            "BULKVERIFY_DATABASE": self.database,
            "PATH": os.environ["PATH"],
        }
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-W", "error", "-c", MAIN, *tokens),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=self.folder,
            env=environment,
        )
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def call(self, *tokens: str) -> Outcome:
        async with self.started(*tokens) as process:
            return await ended(process)


async def ended(process: asyncio.subprocess.Process) -> Outcome:
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    return Outcome(process.returncode, out.decode(), err.decode())


async def noted(process: asyncio.subprocess.Process, text: str) -> str:
    """Read stderr up to the line that has a text."""
    assert process.stderr is not None
    lines = ""
    async with asyncio.timeout(60):
        while line := (await process.stderr.readline()).decode():
            lines += line
            if text in line:
                return lines
    raise AssertionError(f"no {text!r} in {lines}")

"""The aiohttp instrumentation of OpenTelemetry and of Sentry never sees the key."""

import asyncio
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from bulkverify.sandbox import Sandbox

KEY = "s3cr3t-Key/with+odd&chars=äöü"
TOLD = {"opentelemetry": '"http.url": "http://', "sentry": '"breadcrumbs"'}


def spellings() -> Iterator[str]:
    yield from (KEY, quote(KEY), quote(KEY, safe=""), quote_plus(KEY), "s3cr3t", "apikey=s")


@pytest.mark.asyncio
@pytest.mark.parametrize("library", TOLD)
async def test_no_tracer_sends_the_key(library: str, tmp_path: Path) -> None:
    async with Sandbox(speed=2000, api_key=KEY, requests_per_minute=None) as sandbox:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.observed",
            library,
            sandbox.url,
            str(tmp_path),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=Path(__file__).parents[1],
            env={**os.environ, "BULKVERIFY_API_KEY": KEY},
        )
        told, complained = (text.decode() for text in await process.communicate())
    assert process.returncode == 0, complained
    assert TOLD[library] in told
    assert "/v1/bulk" in told
    assert sandbox.ledger.requests["upload"] >= 2
    for spelling in spellings():
        assert spelling not in told

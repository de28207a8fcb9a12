"""What storms have found, each by itself."""

from pathlib import Path

import pytest

from bulkverify import Client
from bulkverify.sandbox import FaultKind
from tests.served import ADDRESSES, completed, fault, served

pytestmark = pytest.mark.asyncio


async def test_a_lagging_replica_does_not_hide_that_a_download_was_cut_off(tmp_path: Path) -> None:
    async with served() as (sandbox, client):
        job = await completed(client)
        async with Client(sandbox.api_key, base_url=sandbox.url) as another:
            sandbox.inject(fault("status", FaultKind.STALE))
            sandbox.inject(fault("download", FaultKind.TRUNCATE_CLEANLY))
            count = await another.job(job.id).download(tmp_path / "verified.csv")
        assert sandbox.ledger.faults[FaultKind.STALE] == 1
        assert count == len(ADDRESSES)

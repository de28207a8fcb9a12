"""What storms have found, each by itself."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from bulkverify import Client
from bulkverify.answers import retry_after
from bulkverify.sandbox import FaultKind
from tests.served import ADDRESSES, completed, fault, served

HOURS_AGO = "Fri, 19 Jul 2024 09:08:26 GMT"
HALF_A_MINUTE_LATER = "Fri, 19 Jul 2024 09:08:56 GMT"


@pytest.mark.asyncio
async def test_a_lagging_replica_does_not_hide_that_a_download_was_cut_off(tmp_path: Path) -> None:
    async with served() as (sandbox, client):
        job = await completed(client)
        async with Client(sandbox.api_key, base_url=sandbox.url) as another:
            sandbox.inject(fault("status", FaultKind.STALE))
            sandbox.inject(fault("download", FaultKind.TRUNCATE_CLEANLY))
            count = await another.job(job.id).download(tmp_path / "verified.csv")
        assert sandbox.ledger.faults[FaultKind.STALE] == 1
        assert count == len(ADDRESSES)


@pytest.mark.parametrize("name", ["Date", "date"])
@pytest.mark.parametrize("ours", [datetime(2024, 7, 19, hour, tzinfo=UTC) for hour in (5, 9, 23)])
def test_a_pause_until_a_date_goes_by_the_clock_of_who_asks_for_it(
    name: str, ours: datetime
) -> None:
    headers = {name: HOURS_AGO, "Retry-After": HALF_A_MINUTE_LATER}
    assert retry_after(headers, now=ours) == 30

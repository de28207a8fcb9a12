"""The real client against the sandbox, on a real socket, without pauses."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tenacity import wait_none

from bulkverify import Client, Job, wait_until
from bulkverify.sandbox import Fault, FaultKind, Sandbox

FAST = wait_none()
ADDRESSES = ["deliverable@example.com", "undeliverable@example.com", "unknown@example.org"]


@asynccontextmanager
async def served(
    *, speed: float = 2000.0, attempts: int = 4, requests_per_minute: int | None = None
) -> AsyncIterator[tuple[Sandbox, Client]]:
    """Serve a sandbox, and yield it with a client; both are closed at the end."""
    async with (
        Sandbox(speed=speed, requests_per_minute=requests_per_minute) as sandbox,
        Client(
            sandbox.api_key,
            base_url=sandbox.url,
            attempts=attempts,
            backoff=wait_none(),
            requests_per_minute=None,
        ) as client,
    ):
        yield sandbox, client


async def uploaded(client: Client, addresses: list[str] | None = None) -> Job:
    """Upload a list and wait until it can be started."""
    job = await client.upload(addresses or ADDRESSES)
    await wait_until(job, "ready", wait=FAST)
    return job


async def completed(client: Client, addresses: list[str] | None = None) -> Job:
    """Have a list verified."""
    job = await uploaded(client, addresses)
    await job.start()
    await wait_until(job, "completed", wait=FAST)
    return job


def fault(endpoint: str, kind: FaultKind, **options: object) -> Fault:
    """Make a fault from texts."""
    return Fault(endpoint=endpoint, kind=kind, **options)  # type: ignore[arg-type]

"""A program under a real tracer: prints everything that the tracer would have sent.

test_observed.py runs it in a process of its own, because the libraries can't be removed again. The key
is in its environment, because Sentry sends the arguments and locals of every frame.
"""

import asyncio
import logging
import sys
from contextlib import suppress
from pathlib import Path

from tenacity import wait_none

from bulkverify import BulkVerifyError, Client, verify_list, wait_until

ADDRESSES = ["deliverable@example.com", "unknown@example.com"]


async def program(base_url: str, folder: Path) -> None:
    """Make every call; some fail, time out or find no service."""
    async with Client(base_url=base_url, backoff=wait_none()) as client:
        await client.credits()
        job = await client.upload(ADDRESSES)
        await wait_until(job, "ready", wait=wait_none())
        await job.start()
        await wait_until(job, "completed", wait=wait_none())
        await job.download(folder / "results.csv")
        assert [row.email async for row in job.rows()] == ADDRESSES
        await client.verify(ADDRESSES[0])
        await verify_list(client, ADDRESSES, folder / "verified.csv", wait=wait_none())
        await job.delete()
        with suppress(BulkVerifyError):
            await job.status()
        with suppress(TimeoutError):
            async with asyncio.timeout(0.001):
                await client.upload(ADDRESSES)
    async with Client(base_url="http://127.0.0.1:9", attempts=2, backoff=wait_none()) as client:
        await client.credits()


def under_opentelemetry(base_url: str, folder: Path) -> None:
    from opentelemetry.instrumentation.aiohttp_client import AioHttpClientInstrumentor  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor  # noqa: PLC0415
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import (  # noqa: PLC0415
        InMemorySpanExporter,
    )

    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    AioHttpClientInstrumentor().instrument(tracer_provider=provider)
    with suppress(BulkVerifyError), provider.get_tracer("program").start_as_current_span("all"):
        asyncio.run(program(base_url, folder))
    for span in exporter.get_finished_spans():
        sys.stdout.write(span.to_json())


def under_sentry(base_url: str, folder: Path) -> None:
    import sentry_sdk  # noqa: PLC0415
    from sentry_sdk.envelope import Envelope  # noqa: PLC0415
    from sentry_sdk.integrations.aiohttp import AioHttpIntegration  # noqa: PLC0415
    from sentry_sdk.transport import Transport  # noqa: PLC0415

    class Shown(Transport):
        def capture_envelope(self, envelope: Envelope) -> None:
            sys.stdout.write(envelope.serialize().decode())

    logging.getLogger("bulkverify").setLevel(logging.DEBUG)
    sentry_sdk.init(
        dsn="http://public@127.0.0.1:9/1",
        transport=Shown,
        traces_sample_rate=1,
        send_default_pii=True,
        include_local_variables=True,
        max_request_body_size="always",
        integrations=[AioHttpIntegration()],
    )
    try:
        with sentry_sdk.start_transaction(op="task", name="all"):
            asyncio.run(program(base_url, folder))
    except BulkVerifyError:
        sentry_sdk.capture_exception()
    try:
        Client(attempts=0)
    except BulkVerifyError:
        sentry_sdk.capture_exception()
    sentry_sdk.flush()


if __name__ == "__main__":
    library, url, directory = sys.argv[1:]
    run = {"opentelemetry": under_opentelemetry, "sentry": under_sentry}[library]
    run(url, Path(directory))

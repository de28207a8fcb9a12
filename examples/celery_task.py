"""Verify lists in Celery: `celery --app celery_task worker`."""

import asyncio
import os

from celery import Celery

from bulkverify import Client, TransportError, verify_list

app = Celery("celery_task", broker=os.environ.get("CELERY_BROKER_URL", "amqp://"))
app.conf.result_backend = os.environ.get("CELERY_RESULT_BACKEND")


# A task whose worker dies is delivered again. The same call goes on, and pays nothing twice.
@app.task(acks_late=True, autoretry_for=(TransportError,), retry_backoff=True, max_retries=20)
def verify(source: str, destination: str) -> int:
    """Verify a list, and return how many rows can be mailed."""

    async def work() -> int:
        async with Client() as client:  # belongs to the loop of this call
            report = await verify_list(client, source, destination)
        return report.verdicts.deliverable

    return asyncio.run(work())

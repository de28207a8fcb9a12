"""Celery hands over ids; workers of bulkverify do the work: `celery -A celery_tasks worker`.

A task that waits for hours would hold a Celery worker, and might be delivered twice. These tasks take
a moment: `submit` hands over the list, and `deliver` looks later. Both may be delivered twice, because
the id of the order is the id of the run. Start the workers with `bulkverify worker`.
"""

import asyncio
import os

from celery import Celery, Task

from bulkverify.durable import Engine, RunState

app = Celery("lists", broker=os.environ.get("CELERY_BROKER", "redis://localhost"))

LOOK_SECONDS = 60


async def submitted(order: str, source: str, output: str, account: str) -> RunState:
    """Submit a list unless it was submitted before, and return the state of its run."""
    async with Engine(os.environ["BULKVERIFY_DATABASE"], work=False) as engine:
        run = await engine.submit(source, output, account=account, id=order)
        return await run.state()


async def looked_at(order: str) -> RunState:
    """Return the state of a run."""
    async with Engine(os.environ["BULKVERIFY_DATABASE"], work=False) as engine:
        return await engine.run(order).state()


@app.task(acks_late=True)
def submit(order: str, source: str, output: str, account: str = "default") -> str:
    """Hand a list over, and look at it later."""
    asyncio.run(submitted(order, source, output, account))
    deliver.apply_async((order,), countdown=LOOK_SECONDS)
    return order


@app.task(bind=True, acks_late=True, max_retries=None)
def deliver(self: Task, order: str) -> str:
    """Deliver the output once it is complete."""
    state = asyncio.run(looked_at(order))
    if state.state in {"queued", "running"}:
        raise self.retry(countdown=LOOK_SECONDS)
    if state.state != "done":
        raise RuntimeError(f"Order {order} is {state.state}: {state.message}")
    return state.output  # mail it, or store it

"""A loop without any library: one task for each job, which sleeps between two requests."""

import asyncio

from benchmarks.peers import AnswerT, Ask, Wait, completed


def waiting(ask: Ask, interval: float) -> Wait:
    """Return a loop that sleeps."""

    async def wait(job_id: str) -> AnswerT:
        while not completed(answer := await ask(job_id)):  # noqa: ASYNC110 - what is measured
            await asyncio.sleep(interval)
        return answer

    return wait

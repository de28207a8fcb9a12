"""tenacity: `AsyncRetrying` until the job has completed, with the one object a wait that it needs."""

from tenacity import AsyncRetrying, retry_if_result, wait_fixed

from benchmarks.peers import AnswerT, Ask, Wait, completed


def waiting(ask: Ask, interval: float) -> Wait:
    """Return a retry that never gives up; the strategies are shared."""
    again = retry_if_result(lambda answer: not completed(answer))
    pause = wait_fixed(interval)

    async def wait(job_id: str) -> AnswerT:
        return await AsyncRetrying(retry=again, wait=pause)(ask, job_id)

    return wait

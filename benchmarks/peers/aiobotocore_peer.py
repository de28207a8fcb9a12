"""aiobotocore: the waiter behind `client.get_waiter`, with an operation that is not Amazon's."""

from aiobotocore.waiter import AIOWaiter  # type: ignore[import-untyped]
from botocore.waiter import SingleWaiterConfig  # type: ignore[import-untyped]

from benchmarks.peers import AnswerT, Ask, Wait

_FOREVER = 10**9


def waiting(ask: Ask, interval: float) -> Wait:
    """Return a wait function. All waits share one waiter."""

    async def operation(*, job_id: str) -> AnswerT:
        answer = await ask(job_id)
        # The waiter accepts only dicts.
        return answer if isinstance(answer, dict) else {"status": answer.status, "job": answer}

    waiter = AIOWaiter(
        "JobCompleted",
        SingleWaiterConfig(
            {
                "operation": "GetJob",
                # Its models have whole seconds, but fractions work too.
                "delay": interval,
                "maxAttempts": _FOREVER,
                "acceptors": [
                    {
                        "matcher": "path",
                        "argument": "status",
                        "expected": "completed",
                        "state": "success",
                    }
                ],
            }
        ),
        operation,
    )

    async def wait(job_id: str) -> object:
        answer: object = await waiter.wait(job_id=job_id)
        return answer

    return wait

"""aiobotocore: the waiter behind `client.get_waiter`, over an operation that is not Amazon's."""

from aiobotocore.waiter import AIOWaiter  # type: ignore[import-untyped]
from botocore.waiter import SingleWaiterConfig  # type: ignore[import-untyped]

from benchmarks.peers import AnswerT, Ask, Wait

_FOREVER = 10**9


def waiting(ask: Ask, interval: float) -> Wait:
    """Return the `wait` of one waiter, which serves any number of waits."""

    async def operation(*, job_id: str) -> AnswerT:
        answer = await ask(job_id)
        # It takes nothing but dicts.
        return answer if isinstance(answer, dict) else {"status": answer.status, "job": answer}

    waiter = AIOWaiter(
        "JobCompleted",
        SingleWaiterConfig(
            {
                "operation": "GetJob",
                # Whole seconds is what its models have; it takes fractions of one as well.
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

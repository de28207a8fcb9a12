"""stamina: it retries only on errors, so "not yet" is an error."""

import stamina
from stamina.instrumentation import set_on_retry_hooks

from benchmarks.peers import AnswerT, Ask, Wait, completed

set_on_retry_hooks([])  # it would log every poll as a warning


class _NotYetError(Exception):
    """The job has not completed."""


def waiting(ask: Ask, interval: float) -> Wait:
    """Return a retry that never gives up."""

    async def wait(job_id: str) -> AnswerT:
        async for attempt in stamina.retry_context(
            on=_NotYetError,
            attempts=None,
            timeout=None,
            wait_initial=interval,
            wait_max=interval,
            wait_jitter=0.0,
        ):
            with attempt:
                answer = await ask(job_id)
                if not completed(answer):
                    raise _NotYetError(answer)
        return answer

    return wait

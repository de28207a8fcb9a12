"""azure-core: an `AsyncLROPoller` for each wait, with a polling algorithm that reads our status."""

import asyncio
import json
from asyncio import Semaphore
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

from azure.core import AsyncPipelineClient
from azure.core.pipeline.policies import RequestIdPolicy
from azure.core.pipeline.transport import AioHttpTransport
from azure.core.polling import AsyncLROPoller
from azure.core.polling.async_base_polling import AsyncLROBasePolling
from azure.core.polling.base_polling import LongRunningOperation
from azure.core.rest import HttpRequest

from benchmarks.peers import Ask, UrlOf, Wait, completed


class _JobOperation(LongRunningOperation[Any, Any]):
    """Reads a job like one of its own operations: a URL to poll, and a status in the body."""

    def __init__(self, url: str) -> None:
        self._url = url

    def can_poll(self, pipeline_response: Any) -> bool:  # noqa: ANN401, ARG002 - as its base has it
        return True

    def get_polling_url(self) -> str:
        return self._url

    def set_initial_status(self, pipeline_response: Any) -> str:  # noqa: ANN401, ARG002 - likewise
        return "InProgress"

    def get_status(self, pipeline_response: Any) -> str:  # noqa: ANN401 - likewise
        answer = json.loads(pipeline_response.http_response.body())
        return "Succeeded" if completed(answer) else "InProgress"

    def get_final_get_url(self, pipeline_response: Any) -> None:  # noqa: ANN401, ARG002 - likewise
        return None


class _AskedPolling(AsyncLROBasePolling[Any, Any, Any]):
    """Its polling without the request, so without its request and response objects."""

    def __init__(self, ask: Ask, job_id: str, interval: float) -> None:
        super().__init__(timeout=interval, lro_algorithms=[_JobOperation(job_id)])
        self._ask = ask

    async def update_status(self) -> None:
        self._pipeline_response = answer = await self._ask(self._operation.get_polling_url())  # type: ignore[assignment]
        self._status = "Succeeded" if completed(answer) else "InProgress"

    async def _delay(self) -> None:
        await asyncio.sleep(self._timeout)


class _GatedPolling(AsyncLROBasePolling[Any, Any, Any]):
    """Its usual polling, with no more requests in flight than the other peers."""

    def __init__(self, gate: Semaphore, url: str, interval: float) -> None:
        super().__init__(timeout=interval, lro_algorithms=[_JobOperation(url)])
        self._gate = gate

    async def update_status(self) -> None:
        async with self._gate:
            await super().update_status()


# The fields of the first answer that the poller reads. All waits share one answer here.
_BEGUN: Any = SimpleNamespace(
    http_response=SimpleNamespace(
        status_code=202,
        headers={},
        request=HttpRequest(
            "POST", "http://begun.invalid/", headers={"x-ms-client-request-id": "1"}
        ),
    )
)


def _result(answer: object) -> object:
    return answer


def waiting(ask: Ask, interval: float) -> Wait:
    """Return a function that makes a poller and awaits its result."""

    def wait(job_id: str) -> Any:  # noqa: ANN401 - its coroutine
        return AsyncLROPoller(None, _BEGUN, _result, _AskedPolling(ask, job_id, interval)).result()

    return wait


@asynccontextmanager
async def over_http(url_of: UrlOf, interval: float, gate: Semaphore) -> AsyncGenerator[Wait]:
    """Open the cheapest pipeline, with only the one policy that polling needs."""
    client: AsyncPipelineClient[Any, Any] = AsyncPipelineClient(
        "http://127.0.0.1",
        policies=[RequestIdPolicy()],
        transport=AioHttpTransport(use_env_settings=False),
    )
    async with client:

        def wait(job_id: str) -> Any:  # noqa: ANN401 - its coroutine
            polling = _GatedPolling(gate, url_of(job_id), interval)
            return AsyncLROPoller(client, _BEGUN, _result, polling).result()

        yield wait

"""A sandbox in a thread of its own, for commands that bring their own event loop."""

import asyncio
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, TypeVar

from bulkverify.sandbox import Sandbox, Timings

T = TypeVar("T")

KEY = "s3cr3t/key+of=mine"
AT_ONCE = Timings(preparing=0, start_delay=0, verifying=0, verifying_per_address=0, finishing=0)
"""Each step is over at the first poll; the second would come a second later."""


class Service:
    """The sandbox, to be used by tests that are not coroutines."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - handed on
        self._options = {"api_key": KEY, "requests_per_minute": None, "speed": 5000.0} | options
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self.sandbox: Sandbox

    def __enter__(self) -> Self:
        self._thread.start()
        self.do(self._start)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        asyncio.run_coroutine_threadsafe(self.sandbox.close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    @property
    def url(self) -> str:
        return self.sandbox.url

    def do(self, work: Callable[[], Any]) -> Any:  # noqa: ANN401 - whatever the work returns
        """Do something in the sandbox's own thread."""

        async def there() -> Any:  # noqa: ANN401 - likewise
            outcome = work()
            return await outcome if asyncio.iscoroutine(outcome) else outcome

        return asyncio.run_coroutine_threadsafe(there(), self._loop).result(10)

    async def _start(self) -> None:
        self.sandbox = await Sandbox(**self._options).start()

"""The waits for lists that are being verified, which takes minutes or hours.

An execution of a part takes much memory. So if its wait is long, it ends, and the wait goes on without it.
The part stays claimed by this process, and is executed again from its checkpoints once its list has ended.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextvars import Context
from typing import Any, Final, TypeAlias

import attrs

from bulkverify.client import Job
from bulkverify.durable.names import JSON, Execution

SHORT: Final = 0.5
"""The seconds of a wait for which its execution stays."""

_RESUME_SECONDS: Final = 2.0  # for executions that are being made again; the database may be away

Waited: TypeAlias = tuple[JSON, Job | None]
"""What a wait came to, as a step returns it, and the list, which need not be asked for again."""


@attrs.frozen(eq=False)
class _Wait:
    account: str
    task: asyncio.Task[Waited]


class Waits:
    """The waits of a process. All but the counts is used in the event loop of the program only.

    Args:
        resume: executes a part again; returns `False` if it was taken over or its run was cancelled.
    """

    def __init__(self, resume: Callable[[Execution], Awaitable[bool]]) -> None:
        self._resume = resume
        self._waits: dict[str, _Wait] = {}  # by the id of the part
        self._resuming: set[asyncio.Task[None]] = set()
        self._counts: Counter[str] = Counter()
        self._closed = False

    def count(self, account: str) -> int:
        """Return for how many lists of an account this process waits."""
        return self._counts[account]

    def total(self) -> int:
        """Return for how many lists this process waits."""
        return len(self._waits)

    def parts(self, *, ended: bool) -> set[str]:
        """Return the parts whose waits have `ended`, or not."""
        return {part for part, wait in self._waits.items() if wait.task.done() is ended}

    async def take(
        self, execution: Execution, account: str, wait: Callable[[], Coroutine[Any, Any, Waited]]
    ) -> Waited | None:
        """Return what a wait comes to, or `None` if it is long: the execution then has to end."""
        part = execution.workflow_id
        if self._closed:
            raise asyncio.CancelledError
        if part not in self._waits:
            # In a context of its own: that of the execution would stay in memory.
            task = asyncio.create_task(wait(), context=Context(), name="bulkverify wait")
            self._waits[part] = _Wait(account, task)
            self._counts[account] += 1
        found = self._waits[part]
        try:
            await asyncio.wait({found.task}, timeout=SHORT)
        except asyncio.CancelledError:
            self.drop([part])
            raise
        if self._waits.get(part) is not found:  # it was dropped
            raise asyncio.CancelledError
        if not found.task.done():
            found.task.add_done_callback(lambda _: self._ended(execution))
            return None
        self._forget(part)
        return await found.task

    def drop(self, parts: Iterable[str] | None = None) -> None:
        """End the waits of parts that were taken over or cancelled; by default of all."""
        for part in list(self._waits if parts is None else parts):
            if part in self._waits:
                self._forget(part).task.cancel()

    async def end(self) -> None:
        """End all waits, and begin no more."""
        self._closed = True
        tasks = [wait.task for wait in self._waits.values()]
        self.drop()
        if tasks:
            await asyncio.wait(tasks)
        if self._resuming:
            await asyncio.wait(self._resuming, timeout=_RESUME_SECONDS)
        for task in self._resuming:
            task.cancel()

    def _forget(self, part: str) -> _Wait:
        wait = self._waits.pop(part)
        self._counts[wait.account] -= 1
        return wait

    def _ended(self, execution: Execution) -> None:
        if execution.workflow_id in self._waits:
            resuming = asyncio.get_running_loop().create_task(self._execute(execution))
            self._resuming.add(resuming)
            resuming.add_done_callback(self._resuming.discard)

    async def _execute(self, execution: Execution) -> None:
        if not await self._resume(execution):
            self.drop([execution.workflow_id])

"""Errors of callbacks, strategies, log handlers and task factories reach every waiter, and no wait hangs."""

import ast
import asyncio
import contextvars
import dataclasses
import decimal
import logging
import math
import sys
import traceback
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pytest
from tenacity import RetryCallState, wait_fixed
from tenacity.wait import wait_base

import bulkverify
from bulkverify import (
    AuthenticationError,
    ConnectionFailedError,
    JobSnapshot,
    ListLimitError,
    ServerError,
    UsageError,
    WaitTimeoutError,
    as_completed,
    wait_all,
    wait_until,
    watch,
)
from bulkverify.run.outages import Outages
from bulkverify.sandbox import FaultKind
from tests.chaos.clock import JumpingLoop
from tests.scripted import JOB_ID, ScriptedClient, Step, seen
from tests.served import fault, served

T = TypeVar("T")
STEADY = wait_fixed(5)
VERIFIED: list[Step] = [seen("verifying", 10), seen("verifying", 20), seen("completed")]


class OddError(BaseException):
    """An error that is not an Exception."""


class DemandingError(Exception):
    """An error that can't be copied: its arguments are not those of its constructor."""

    def __init__(self, *, code: int) -> None:
        super().__init__(f"code {code}")
        self.code = code


class MutteringError(Exception):
    """An error whose copy would have another message."""

    def __init__(self, said: str) -> None:
        super().__init__(f"said {said}")


class UnspeakableError(StopIteration):
    """An error without a readable text, which no coroutine can raise."""

    def __str__(self) -> str:
        raise OddError

    __repr__ = __str__


def raised(kind: str) -> BaseException:
    """Make an error of each kind that foreign code can raise."""
    return {
        "ordinary": ValueError("mine"),
        "stop": StopIteration("mine"),
        "unspeakable": UnspeakableError("mine"),
        "demanding": DemandingError(code=7),
        "outcome": pytest.fail.Exception("mine"),
        "odd": OddError("mine"),
        "close": GeneratorExit("mine"),
        "exit": SystemExit("mine"),
        "interrupt": KeyboardInterrupt("mine"),
        "cancelled": asyncio.CancelledError("mine"),
    }[kind]


KINDS = [
    "ordinary",
    "stop",
    "unspeakable",
    "demanding",
    "outcome",
    "odd",
    "close",
    "exit",
    "interrupt",
    "cancelled",
]


class Broken(wait_base):
    """A strategy that raises."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __call__(self, retry_state: RetryCallState) -> float:  # noqa: ARG002 - tenacity passes it
        raise self.error


class Answering(wait_base):
    """A strategy that returns anything."""

    def __init__(self, answer: object) -> None:
        self.answer = answer

    def __call__(self, retry_state: RetryCallState) -> float:  # noqa: ARG002 - tenacity passes it
        return self.answer  # type: ignore[return-value]


def now() -> float:
    return asyncio.get_running_loop().time()


def in_a_loop(main: Coroutine[Any, Any, T]) -> tuple[T, list[BaseException]]:
    """Run to the end, even if the loop is stopped; return the result and the errors that stopped it."""
    stopped: list[BaseException] = []
    problems: list[object] = []
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        loop = runner.get_loop()
        loop.set_exception_handler(lambda _, context: problems.append(context))
        task = loop.create_task(main)
        while not task.done():
            try:
                loop.run_until_complete(task)
            except (SystemExit, KeyboardInterrupt) as error:
                stopped.append(error)
        assert not problems
        return task.result(), stopped


def steps_of(client_script: dict[str, list[Step]]) -> type[ScriptedClient]:
    """Make a client with a script for each job."""

    class Scripts(ScriptedClient):
        scripts: ClassVar = {job: iter(steps) for job, steps in client_script.items()}

        async def poll(self, job_id: str) -> JobSnapshot:
            self._script = lambda _: next(self.scripts[job_id])
            return await super().poll(job_id)

    return Scripts


def is_own_error(error: BaseException, mine: BaseException) -> bool:
    """Return whether a caller got its own error; StopIteration becomes the cause of a RuntimeError."""
    if isinstance(mine, StopIteration):
        return isinstance(error, RuntimeError) and error.__cause__ is mine
    return error is mine


@pytest.mark.asyncio
@pytest.mark.looptime
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("at", ["first", "known", "last"])
async def test_an_error_of_a_callback_ends_only_its_own_wait(kind: str, at: str) -> None:
    error = raised(kind)

    def broken(snapshot: JobSnapshot) -> None:
        if at != "last" or snapshot.ended:
            raise error

    async with ScriptedClient(VERIFIED) as client:
        job, another = client.job(JOB_ID), client.job("another")
        others = [asyncio.create_task(wait_until(one, wait=STEADY)) for one in (job, another, job)]
        if at == "known":
            await asyncio.sleep(1)
        with pytest.raises(BaseException) as caught:  # noqa: PT011 - any error
            await wait_until(job, wait=STEADY, timeout=600, on_progress=broken)
        assert is_own_error(caught.value, error)
        assert [(await other).ended for other in others] == [True] * 3
        assert now() < 60


@pytest.mark.asyncio
@pytest.mark.looptime
@pytest.mark.parametrize("kind", KINDS)
async def test_an_error_of_a_strategy_ends_only_the_waits_that_use_it(
    kind: str,
) -> None:
    broken = Broken(raised(kind))
    async with ScriptedClient(VERIFIED) as client:
        job, another = client.job(JOB_ID), client.job("another")
        others = [asyncio.create_task(wait_until(one, wait=STEADY)) for one in (job, another, job)]
        with pytest.raises(BaseException) as caught:  # noqa: PT011 - any error
            await wait_until(job, wait=broken, timeout=600)
        assert is_own_error(caught.value, broken.error)
        assert [(await other).ended for other in others] == [True] * 3
        assert now() < 60


@pytest.mark.asyncio
@pytest.mark.looptime
@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"exit", "interrupt", "cancelled"}))
async def test_waiting_for_many_raises_errors_of_callbacks_and_strategies(kind: str) -> None:
    def broken(_: JobSnapshot) -> None:
        raise error

    async with ScriptedClient([seen("verifying")]) as client:
        jobs = [client.job(f"job{number}") for number in range(3)]
        error = raised(kind)
        with pytest.raises(BaseException) as caught:  # noqa: PT011 - any error
            await wait_all(jobs, wait=STEADY, timeout=600, on_progress=broken)
        assert is_own_error(caught.value, error)
        with pytest.raises(BaseException) as caught:  # noqa: PT011 - any error
            await anext(as_completed(jobs, wait=Broken(error), timeout=600))
        with pytest.raises(BaseException) as caught:  # noqa: PT011 - any error
            async for _ in watch(jobs[0], wait=Broken(error), timeout=600):
                pass
        assert now() < 60


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_in_a_poll_reaches_every_waiter_of_its_job(kind: str) -> None:
    error = raised(kind)

    class Breaking(ScriptedClient):
        async def poll(self, job_id: str) -> JobSnapshot:
            snapshot = await super().poll(job_id)
            if job_id == JOB_ID and not snapshot.ended:
                raise error
            return snapshot

    async def main() -> list[JobSnapshot | BaseException]:
        async with Breaking(VERIFIED, latency=0.1) as client:
            waits = [
                asyncio.create_task(held(wait_until(client.job(job_id), wait=STEADY, timeout=600)))
                for job_id in (JOB_ID, "another", JOB_ID)
            ]
            await asyncio.wait(waits)
            assert now() < 60
            return [wait.result() for wait in waits]

    async def held(wait: Coroutine[Any, Any, JobSnapshot]) -> JobSnapshot | BaseException:
        try:
            return await wait
        except BaseException as caught:  # noqa: BLE001 - any error
            return caught

    (first, other, second), stopped = in_a_loop(main())
    assert isinstance(other, JobSnapshot)
    assert other.ended
    if kind == "cancelled":  # a request that was cancelled from within is made again
        assert isinstance(first, JobSnapshot)
    elif kind in {"stop", "unspeakable"}:  # a coroutine can't raise it
        assert type(first) is type(second) is RuntimeError
    else:
        assert type(first) is type(second) is type(error)
    assert stopped == ([error] if kind in {"exit", "interrupt"} else [])


class Raising(logging.Handler):
    """A handler that raises, and records its callers."""

    def __init__(self, error: BaseException | None, *, only: int | None = None) -> None:
        super().__init__()
        self.error = error
        self.only = only
        self.sites: list[tuple[str, int]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.sites.append((record.filename, record.lineno))
        if self.error is not None and self.only in {None, len(self.sites)}:
            raise self.error

    def filtering(self, record: logging.LogRecord) -> bool:
        """Serve as a filter."""
        self.emit(record)
        return True


@contextmanager
def logging_to(handler: Raising, *, as_filter: bool = False) -> Iterator[None]:
    """Send every log record of the SDK to a handler or a filter."""
    logger = logging.getLogger("bulkverify")
    level = logger.level
    logger.setLevel(logging.DEBUG)
    quiet = logging.NullHandler()
    if as_filter:
        quiet.addFilter(handler.filtering)
    logger.addHandler(quiet if as_filter else handler)
    try:
        yield
    finally:
        logger.removeHandler(quiet if as_filter else handler)
        logger.setLevel(level)


def log_calls() -> set[tuple[str, int]]:
    """Find the calls of the logger in the waits."""
    folder = Path(bulkverify.__file__).parent / "waiting"
    return {
        (name, node.lineno)
        for name in ("scheduler.py", "streams.py")
        for node in ast.walk(ast.parse((folder / name).read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "_log"
    }


async def waits_that_log_everything() -> list[JobSnapshot | BaseException]:
    """Make waits that log everything, and end in every way."""
    going = [seen("verifying", 10), seen("ready"), ConnectionFailedError("broke"), *VERIFIED]
    scripts: dict[str, list[Step]] = {
        "good": going,
        "stale": [seen("verifying", 10), *[seen("ready")] * 50],
        "refused": [seen("verifying", 10), AuthenticationError("401")],
        "broken": [seen("verifying", 10), OSError("a bug")],
    }
    async with steps_of(scripts)([]) as client:
        return await asyncio.gather(
            *(wait_until(client.job(name), wait=STEADY, timeout=600) for name in scripts),
            return_exceptions=True,
        )


def test_the_waits_log_where_this_file_looks() -> None:
    handler = Raising(None)
    with logging_to(handler):
        in_a_loop(waits_that_log_everything())
    assert log_calls()
    assert set(handler.sites) == log_calls()


@pytest.mark.parametrize("as_filter", [False, True], ids=["handler", "filter"])
@pytest.mark.parametrize("kind", KINDS)
def test_no_log_handler_changes_how_a_wait_ends(kind: str, *, as_filter: bool) -> None:
    expected, _ = in_a_loop(waits_that_log_everything())
    handler = Raising(raised(kind))
    with logging_to(handler, as_filter=as_filter):
        results, stopped = in_a_loop(waits_that_log_everything())
    assert list(map(repr, results)) == list(map(repr, expected))
    assert [type(result).__name__ for result in results] == [
        "JobSnapshot",
        "IllegalTransitionError",
        "AuthenticationError",
        "OSError",
    ]
    # Errors for the whole program still reach it.
    wanted = len(handler.sites) if kind in {"exit", "interrupt"} else 0
    assert stopped == [handler.error] * wanted


def test_a_handler_may_break_on_any_record() -> None:
    counting = Raising(None)
    with logging_to(counting):
        expected, _ = in_a_loop(waits_that_log_everything())
    for number in range(1, len(counting.sites) + 1):
        with logging_to(Raising(OddError(), only=number)):
            results, _ = in_a_loop(waits_that_log_everything())
        assert list(map(repr, results)) == list(map(repr, expected))


@pytest.mark.asyncio
async def test_no_log_handler_prevents_the_repetition_of_a_call() -> None:
    handler = Raising(OddError())
    async with served() as (sandbox, client):
        sandbox.inject(fault("credits", FaultKind.DROP, times=2))
        with logging_to(handler):
            assert (await client.credits()).remaining == sandbox.credits
    assert len(handler.sites) == 2


@pytest.mark.asyncio
@pytest.mark.looptime
async def test_no_log_handler_ends_the_patience_of_a_run() -> None:
    failures = iter([ListLimitError("Full."), ServerError("503")])

    async def attempt() -> str:
        for failure in failures:
            raise failure
        return "done"

    handler = Raising(OddError())
    with logging_to(handler):
        assert await Outages(3600.0).retry(attempt, lambda _: None) == "done"
    assert len(handler.sites) == 2


@pytest.mark.asyncio
@pytest.mark.looptime
async def test_a_callback_may_cancel_its_own_wait_with_the_last_snapshot() -> None:
    def cancel(snapshot: JobSnapshot) -> None:
        if snapshot.ended:
            mine.cancel()

    async with ScriptedClient(VERIFIED) as client:
        job = client.job(JOB_ID)
        other = asyncio.create_task(wait_until(job, wait=STEADY))
        mine = asyncio.create_task(wait_until(job, wait=STEADY, on_progress=cancel))
        assert (await other).ended
        with pytest.raises(asyncio.CancelledError):
            await mine


@dataclasses.dataclass
class Unhashable(wait_base):
    """A strategy as a dataclass, which has `__eq__` and therefore no hash."""

    seconds: float

    def __call__(self, retry_state: RetryCallState) -> float:  # noqa: ARG002 - tenacity passes it
        return self.seconds


class Peculiar(wait_base):
    """A strategy that is false, and can't be compared or hashed."""

    def __call__(self, retry_state: RetryCallState) -> float:  # noqa: ARG002 - tenacity passes it
        return 40.0

    def __eq__(self, other: object) -> bool:
        raise OddError

    def __hash__(self) -> int:
        raise OddError

    def __bool__(self) -> bool:
        return False


@pytest.mark.asyncio
@pytest.mark.looptime
@pytest.mark.parametrize("policy", [Unhashable(40), Peculiar()], ids=["dataclass", "peculiar"])
async def test_strategies_need_not_compare(policy: wait_base) -> None:
    async with ScriptedClient(VERIFIED) as client:
        job = client.job(JOB_ID)
        waits = [wait_until(job, wait=policy), wait_until(job, wait=wait_fixed(300))]
        assert [snapshot.ended for snapshot in await asyncio.gather(*waits)] == [True] * 2
        assert client.polled_at == pytest.approx([0, 40, 80])


@pytest.mark.asyncio
@pytest.mark.looptime
async def test_a_strategy_of_many_waiters_is_asked_once_a_poll() -> None:
    asked = 0

    class Counting(wait_base):
        def __call__(self, retry_state: RetryCallState) -> float:  # noqa: ARG002 - tenacity passes it
            nonlocal asked
            asked += 1
            return 5.0

    async with ScriptedClient(VERIFIED) as client:
        policy = Counting()
        await asyncio.gather(*(wait_until(client.job(JOB_ID), wait=policy) for _ in range(10)))
        assert asked == len(VERIFIED) - 1


@pytest.mark.asyncio
@pytest.mark.looptime
@pytest.mark.parametrize(
    "error",
    [DemandingError(code=7), MutteringError("boo"), LookupError("mine")],
    ids=lambda error: type(error).__name__,
)
async def test_an_error_of_a_strategy_reaches_each_waiter_unchanged(
    error: Exception,
) -> None:
    class Failing(wait_base):
        def __call__(self, retry_state: RetryCallState) -> float:  # noqa: ARG002 - tenacity passes it
            try:
                raise KeyError("missing")  # noqa: TRY301 - to be a cause
            except KeyError as missing:
                raise error from missing
            return 1.0

    policy, said = Failing(), str(error)
    async with ScriptedClient([seen("verifying")]) as client:
        waits = [wait_until(client.job(JOB_ID), wait=policy, timeout=60) for _ in range(3)]
        results = await asyncio.gather(*waits, return_exceptions=True)
    assert [type(result) for result in results] == [type(error)] * 3
    for result in results:
        assert isinstance(result, Exception)
        assert str(result) == said
        assert isinstance(result.__cause__, KeyError)
        assert "raise error from missing" in "".join(traceback.format_exception(result))


@pytest.mark.asyncio
@pytest.mark.looptime
@pytest.mark.parametrize(
    "answer",
    [math.nan, None, "5", True, timedelta(seconds=5), 5j, [5.0], decimal.Decimal("NaN")],
    ids=repr,
)
async def test_a_strategy_must_return_seconds(
    answer: object,
) -> None:
    async with ScriptedClient(VERIFIED) as client:
        job = client.job(JOB_ID)
        other = asyncio.create_task(wait_until(job, wait=STEADY))
        with pytest.raises(UsageError, match="seconds until the next poll") as caught:
            await wait_until(job, wait=Answering(answer), timeout=600)
        assert "Answering" in str(caught.value)
        assert (await other).ended
        assert len(client.polled_at) == 3


@pytest.mark.asyncio
@pytest.mark.looptime
@pytest.mark.parametrize(
    "answer", [-5, -math.inf, -1e-9, -(10**400)], ids=["-5", "-inf", "-0", "huge"]
)
async def test_a_strategy_with_a_negative_delay_does_not_poll_without_pause(answer: float) -> None:
    async with ScriptedClient([seen("verifying")]) as client:
        with pytest.raises(WaitTimeoutError):
            await wait_until(client.job(JOB_ID), wait=Answering(answer), timeout=100.5)
        assert 90 <= len(client.polled_at) <= 103


@pytest.mark.asyncio
@pytest.mark.looptime
@pytest.mark.parametrize("answer", [math.inf, 1e300, 10**400], ids=["inf", "1e300", "huge"])
@pytest.mark.parametrize("timeout", [None, 1e6])
async def test_a_strategy_that_never_wants_another_poll_gets_one_a_day(
    answer: float, timeout: float | None
) -> None:
    async with ScriptedClient(VERIFIED) as client:
        snapshot = await wait_until(client.job(JOB_ID), wait=Answering(answer), timeout=timeout)
        assert snapshot.ended
        assert client.polled_at == pytest.approx([0, 86400, 2 * 86400])


@pytest.mark.asyncio
@pytest.mark.parametrize("wait", [5, "5", object()])
async def test_an_unusable_strategy_or_callback_is_refused_before_any_poll(wait: object) -> None:
    async with ScriptedClient([seen("ready")]) as client:
        job = client.job(JOB_ID)
        with pytest.raises(UsageError, match=r"wait_fixed\(5\)"):
            await wait_until(job, wait=wait)  # type: ignore[arg-type]
        with pytest.raises(UsageError, match=r"wait_fixed\(5\)"):
            await anext(watch(job, wait=wait))  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="on_progress"):
            await wait_until(job, on_progress="print")  # type: ignore[arg-type]
        assert not client.polled_at


NAME = contextvars.ContextVar("name", default="nobody")


@pytest.mark.asyncio
@pytest.mark.looptime
async def test_each_callback_runs_in_the_context_of_its_call() -> None:
    told: list[tuple[str, str, int]] = []

    async def wait_as(name: str, wait: Callable[..., Coroutine[Any, Any, object]]) -> None:
        NAME.set(name)
        count = contextvars.ContextVar("count", default=0)

        def report(_: JobSnapshot) -> None:
            count.set(count.get() + 1)
            told.append((name, NAME.get(), count.get()))

        await wait(on_progress=report, wait=STEADY)
        assert count.get() == 0  # a variable set by a callback stays in its context

    async with ScriptedClient(VERIFIED) as client:
        job = client.job(JOB_ID)
        await asyncio.gather(
            wait_as("anna", lambda **options: wait_until(job, **options)),
            wait_as("ben", lambda **options: wait_until(job, **options)),
            wait_as("carl", lambda **options: wait_all([job], **options)),
        )
    for name in ("anna", "ben", "carl"):
        assert [row for row in told if row[0] == name] == [(name, name, n) for n in (1, 2, 3)]


@pytest.mark.asyncio
@pytest.mark.looptime
@pytest.mark.skipif(sys.version_info < (3, 12), reason="tasks are never begun eagerly")
@pytest.mark.parametrize("latency", [0.0, 1.0])
async def test_eager_tasks_may_begin_before_they_are_registered(latency: float) -> None:
    loop = asyncio.get_running_loop()
    loop.set_task_factory(vars(asyncio)["eager_task_factory"])
    scripts: dict[str, list[Step]] = {f"job{n}": list(VERIFIED) for n in range(200)}

    class Slow(steps_of(scripts)):  # type: ignore[misc]
        async def poll(self, job_id: str) -> JobSnapshot:
            if latency:
                await asyncio.sleep(latency)
            snapshot: JobSnapshot = await super().poll(job_id)
            return snapshot

    async with Slow([]) as client:
        jobs = [client.job(name) for name in scripts]
        waits = [asyncio.create_task(wait_until(job, wait=STEADY)) for job in jobs]
        many = asyncio.create_task(wait_all(jobs, wait=STEADY))
        assert all([(await wait).ended for wait in waits])
        assert all(snapshot.ended for snapshot in await many)
        changes = [snapshot.status.value async for snapshot in watch(jobs[0])]
        assert changes == ["completed"]
        assert len(client.polled_at) == 600


@pytest.mark.asyncio
@pytest.mark.looptime
@pytest.mark.parametrize("kind", ["ordinary", "odd"])
async def test_an_error_of_a_task_factory_reaches_every_waiter(kind: str) -> None:
    error = raised(kind)
    loop = asyncio.get_running_loop()

    def make(
        loop: asyncio.AbstractEventLoop,
        coro: Any,  # noqa: ANN401 - passed on
        **options: Any,  # noqa: ANN401 - passed on
    ) -> "asyncio.Task[Any]":
        if coro.__qualname__ == "Scheduler._work":
            raise error
        return asyncio.Task(coro, loop=loop, **options)

    async with ScriptedClient([seen("verifying")]) as client:
        loop.set_task_factory(make)
        try:
            with pytest.raises(type(error)):
                await wait_until(client.job(JOB_ID), wait=STEADY, timeout=600)
        finally:
            loop.set_task_factory(None)
        with pytest.raises(WaitTimeoutError):
            await wait_until(client.job(JOB_ID), wait=STEADY, timeout=60)
        assert len(client.polled_at) > 10


@pytest.mark.asyncio
@pytest.mark.looptime
@pytest.mark.parametrize(
    "where",
    [
        "waiting.due.Agenda.take",
        "waiting.due.Agenda.add",
        "waiting.due.Deadlines.passed",
        "waiting.streams.Stream.take",
        "waiting.scheduler.Scheduler._next_ready",
        "waiting.scheduler.Scheduler._cancel_late_polls",
    ],
)
async def test_a_bug_in_any_internal_function_leaves_no_wait_hanging(
    where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise AttributeError("a mistake")

    async with ScriptedClient([seen("verifying")]) as client:
        waits = [
            asyncio.create_task(wait_until(client.job(name), wait=STEADY, timeout=86400))
            for name in ("job1", "job2")
        ]
        await asyncio.sleep(7)
        monkeypatch.setattr(f"bulkverify.{where}", broken)
        for wait in waits:
            with pytest.raises(AttributeError, match="a mistake"):
                await wait
        assert now() < 60
        monkeypatch.undo()
        with pytest.raises(WaitTimeoutError):
            await wait_until(client.job("job3"), wait=STEADY, timeout=60)

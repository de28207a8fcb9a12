"""One case: one or two requests in a row go wrong, and the call is repeated until it succeeds."""

import asyncio
import logging
import random
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any, Final

import attrs

from bulkverify import BulkVerifyError, Client, IllegalTransitionError, RunReport, verify_list
from bulkverify.sandbox import Fault, Sandbox, Timings
from bulkverify.sandbox.drawing import Faults
from bulkverify.sandbox.faults import TABLE
from bulkverify.sandbox.ledger import Endpoint
from bulkverify.testing import virtual_clock

from .catalogue import KEY, Mishap, mishaps

MOST_CALLS: Final = 6
WAIT_SECONDS: Final = 900.0
LONGEST_CALL: Final = 3 * 3600.0
"""Virtual seconds: two parts have three waits each, and an outage lasts up to 15 minutes."""
REAL_SECONDS: Final = 60
"""A case that takes longer hangs."""

_TIMINGS: Final = Timings(
    preparing=0.5, start_delay=0.5, verifying=0.5, verifying_per_address=0.5, finishing=0.5
)
_EPOCH: Final = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@attrs.frozen
class Variant:
    """A kind of run: its list, and how the call is made."""

    name: str
    source: str
    parts_at_once: int = 1
    delete: bool = False


_ROWS: Final = (
    "n,email\n1,deliverable@a.com\n2,undeliverable@a.com\n3,\n4,accept-all@a.com\n"
    "5,deliverable@A.com\n6,no address\n7,unknown@a.com\n8,accept-all@a.com\n"
)
VARIANTS: Final = {
    variant.name: variant
    for variant in (
        Variant("one", _ROWS),
        Variant("two", _ROWS, parts_at_once=2),
        Variant("delete", _ROWS, delete=True),
        Variant("single", "n,email\n1,deliverable@a.com\n2,deliverable@a.com\n"),
    )
}


@attrs.frozen
class Request:
    """A request: its endpoint, and whether its list was verifying."""

    endpoint: Endpoint
    counts: bool


class Plan(Faults):
    """Lets the request at `place` (from 0) and the one after it go wrong.

    Attributes:
        requests: all that arrived.
        happened: the mishaps that took effect, with their endpoint and list.
        ended: the lists that came to an end.
    """

    def __init__(self, place: int, names: tuple[str, ...]) -> None:
        super().__init__(seed=0)
        self.place = place
        self.names = names
        self.requests: list[Request] = []
        self.happened: list[tuple[Endpoint, str | None, Mishap]] = []
        self.ended: list[str] = []
        self.sandbox: Sandbox | None = None

    def draw(
        self, endpoint: Endpoint, job_id: str | None, now: float, *, verifying: Callable[[], bool]
    ) -> Fault | None:
        """Choose the fault of this request."""
        del now
        place = len(self.requests) - self.place
        self.requests.append(Request(endpoint, verifying()))
        if not 0 <= place < len(self.names):
            return None
        mishap = mishaps(endpoint).get(self.names[place])
        if mishap is None:  # not the expected request
            return None
        if self._takes_effect(mishap, job_id, counting=self.requests[-1].counts):
            self.happened.append((endpoint, job_id, mishap))
            return mishap.fault
        return None

    def _takes_effect(self, mishap: Mishap, job_id: str | None, *, counting: bool) -> bool:
        if mishap.end is not None:
            assert self.sandbox is not None
            assert job_id is not None
            try:
                self.sandbox._account.end(job_id, mishap.end)
            except (IllegalTransitionError, KeyError):  # it has already ended
                return False
            self.ended.append(job_id)
        return counting or mishap.fault is None or not TABLE[mishap.fault.kind].verifying

    def expected(self) -> bool:
        """Return whether every mishap of the plan took effect."""
        return len(self.happened) == len(self.names)


@attrs.define
class Story:
    """The outcome of a case, for checking the promises."""

    variant: Variant
    plan: Plan
    sandbox: Sandbox
    folder: Path
    outcomes: list[RunReport | BaseException] = attrs.field(factory=list)
    partial: list[str | None] = attrs.field(factory=list)
    seconds: list[float] = attrs.field(factory=list)
    logged: list[str] = attrs.field(factory=list)
    problems: list[str] = attrs.field(factory=list)

    @property
    def output(self) -> Path:
        """The path of the output."""
        return self.folder / "verified.csv"

    @property
    def report(self) -> RunReport | None:
        """The report of the call that succeeded."""
        last = self.outcomes[-1]
        return last if isinstance(last, RunReport) else None


class HangingError(BaseException):
    """A case has taken too long in real time."""


class OneThreadLoop(asyncio.SelectorEventLoop):
    """Runs the work of threads at once, because starting a thread takes longer than a request here."""

    def run_in_executor(  # type: ignore[override]
        self,
        executor: object,
        func: Callable[..., Any],
        *args: Any,  # noqa: ANN401 - handed on
    ) -> asyncio.Future[Any]:
        """Call `func` now."""
        del executor
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except BaseException as error:  # noqa: BLE001 - raised where it is awaited
            future.set_exception(error)
        return future


class _Listener(logging.Handler):
    def __init__(self, heard: list[str]) -> None:
        super().__init__(logging.DEBUG)
        self._heard = heard

    def emit(self, record: logging.LogRecord) -> None:
        self._heard.append(record.getMessage())


async def live(variant: Variant, folder: Path, place: int, names: tuple[str, ...]) -> Story:
    """Make the call, and the same call again as a new process would, until it succeeds."""
    random.seed(0)  # the jitter of the waits
    loop = asyncio.get_running_loop()
    before = asyncio.all_tasks()
    plan = Plan(place, names)
    (folder / "list.csv").write_text(variant.source)
    with virtual_clock(), _watchdog():
        async with Sandbox(
            api_key=KEY, seed=1, epoch=_EPOCH, timings=_TIMINGS, requests_per_minute=120
        ) as sandbox:
            plan.sandbox = sandbox
            sandbox._front.faults = plan
            story = Story(variant, plan, sandbox, folder)
            loop.set_exception_handler(lambda _, context: story.problems.append(str(context)))
            with _listening(story.logged):
                for _ in range(MOST_CALLS):
                    began = loop.time()
                    story.outcomes.append(await _call(story))
                    story.seconds.append(loop.time() - began)
                    done = story.output.exists()
                    story.partial.append(story.output.read_text() if done else None)
                    story.logged += [path.read_text() for path in folder.rglob("run.json")]
                    if story.report is not None:
                        break
                    for job in sandbox._account._jobs.values():
                        job.endless = False  # the service recovers
                    await asyncio.sleep(1)
            await asyncio.sleep(1)
    await asyncio.sleep(0)
    left = asyncio.all_tasks() - before
    if left:
        story.problems.append(f"tasks were left: {left}")
    return story


async def _call(story: Story) -> RunReport | BaseException:
    sandbox, variant = story.sandbox, story.variant
    try:
        async with asyncio.timeout(LONGEST_CALL), Client(KEY, base_url=sandbox.url) as client:
            return await verify_list(
                client,
                story.folder / "list.csv",
                story.output,
                largest_part=2,
                parts_at_once=variant.parts_at_once,
                delete=variant.delete,
                timeout=WAIT_SECONDS,
            )
    except BulkVerifyError as error:
        return error
    except Exception as error:  # noqa: BLE001 - the promises judge it
        return error


@contextmanager
def _listening(heard: list[str]) -> Iterator[None]:
    logger = logging.getLogger("bulkverify")
    listener = _Listener(heard)
    level, propagate = logger.level, logger.propagate
    logger.addHandler(listener)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(listener)
        logger.setLevel(level)
        logger.propagate = propagate


@contextmanager
def _watchdog() -> Iterator[None]:
    def bark(_: int, __: FrameType | None) -> None:
        raise HangingError

    known = signal.signal(signal.SIGALRM, bark)
    signal.alarm(REAL_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, known)

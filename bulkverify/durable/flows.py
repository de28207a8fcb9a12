"""The two workflows: a run, and each of its parts. What their steps do is in `whole` and `steps`.

    run    split -> credits -> enqueue -> wait for the parts -> join -> clean
    part   intent -> upload -> ready -> start -> results, or intent -> ask for a single address

Why nothing is paid twice: only a list whose id is in a checkpoint is started, each part has at most one
such list, and the service charges for the first start only. If an execution is taken over, its next
checkpoint is refused, and it ends.

The workflows run in the event loop of DBOS, their steps in that of the program.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

from bulkverify.durable import names, steps, whole
from bulkverify.durable.here import AWAY, Here, when_there
from bulkverify.durable.names import JSON
from bulkverify.durable.runs import carried, state_ended
from bulkverify.durable.spec import RunCancelledError, RunSpec
from bulkverify.durable.times import step_times
from bulkverify.errors import BulkVerifyError
from bulkverify.lists import Split
from bulkverify.run.parts import part_title
from bulkverify.run.threads import in_thread
from bulkverify.service.converter import converter
from bulkverify.service.logs import SafeLogger

Step = Callable[[Here, JSON, JSON], Awaitable[JSON]]

_log: Final = SafeLogger(__name__)

_FIRST_LOOK: Final = 0.2
_LAST_LOOK: Final = 60.0
"""The seconds between two looks at the parts of a run; they grow. A part that ends here is noticed at once, and
`Process` looks at all runs together."""

_UNPAID: Final = {"pending", "uploading", "uploaded"}


_here: list[Here] = []  # the engine in this process, if there is one


def is_serving() -> bool:
    """Whether an engine in this process takes work."""
    return bool(_here)


def serve(here: Here | None) -> None:
    """Set or clear the engine in this process."""
    _here[:] = [] if here is None else [here]


class _Execution:
    """One execution of a workflow in this process."""

    def __init__(self) -> None:
        [self.here] = _here
        self.me = names.execution()
        self.run_id, _, _ = self.me.workflow_id.partition(".")
        self._task = asyncio.current_task()
        assert self._task is not None  # noqa: S101 - a workflow is a task
        self.here.tasks.add(self._task)
        self._task.add_done_callback(self.here.tasks.discard)
        self.here.running[self.me.workflow_id] += 1
        self._task.add_done_callback(lambda _: self.here.running.subtract([self.me.workflow_id]))
        self.made = False
        """Whether the last step was made here, and not found in the database."""
        self.ended = asyncio.Event()
        """Set when a part of this run ends here."""

    async def step(
        self, name: str, work: Callable[[], Awaitable[JSON]], *, waits: bool = True
    ) -> JSON:
        self.made = False

        async def make() -> JSON:
            self.made = True
            return await self.here.run(work)

        return await names.step(name, make, waits=waits)

    @asynccontextmanager
    async def turn(self, account: str, name: str) -> AsyncIterator[None]:
        """Wait for the turn of a step that may cost something, and don't cancel it before its checkpoint."""
        async with self.here.turns[account, name], self.here.gate:
            assert self._task is not None  # noqa: S101 - as above
            self.here.tasks.discard(self._task)
            try:
                yield
            finally:
                self.here.tasks.add(self._task)

    async def intent(self, run_id: str) -> JSON:
        """Note that something will be sent. The answer is `mine` unless an earlier execution noted it."""
        nonce = secrets.token_hex(4)

        async def note() -> JSON:
            status = await when_there(partial(self.here.database.status_of, run_id))
            return {"nonce": nonce, "cancelled": status == names.CANCELLED}

        found = await names.step("intent", note)
        return {"mine": found["nonce"] == nonce, "cancelled": found["cancelled"]}

    async def leave(self, account: str, why: str) -> None:
        """Leave an account to other workers for a while; this execution ends."""
        seconds = self.here.accounts.pauses.begin(account, why)
        _log.warning("this worker leaves account %s alone for %.0f s: %s", account, seconds, why)
        await self.begin_again()

    async def put_off(self, why: str) -> None:
        """Let any worker go on after a while, because this machine can't now; this execution ends."""
        seconds = self.here.pauses.begin(self.run_id, why)
        _log.warning("run %s is tried again in %.0f s: %s", self.run_id, seconds, why)
        ours = self.me.workflow_id
        await when_there(partial(self.here.host.give_back, [ours]))
        await when_there(partial(self.here.database.delay, ours, seconds))
        raise asyncio.CancelledError

    async def begin_again(self) -> None:
        """End this execution, so that another goes on from the last checkpoint."""
        await when_there(partial(self.here.host.give_back, [self.me.workflow_id]))
        raise asyncio.CancelledError

    async def wait_for_credits(self, account: str, owed: int) -> None:
        async def wait() -> JSON:
            try:
                await self.here.accounts.until_enough(account, owed)
            except (BulkVerifyError, OSError) as error:
                return {"account": steps.why(error)}
            return {}

        await self.step("held", wait)

    async def ask_again(self, account: str, make: Callable[[], Awaitable[JSON]]) -> JSON:
        """Make a step until it neither lacks credits nor fails because of the machine."""
        while True:
            found = await make()
            if "held" in found:
                await self.wait_for_credits(account, int(found["held"]))
            elif "account" in found:
                if self.made:
                    await self.leave(account, found["account"])
            elif "machine" in found:
                if self.made:
                    await self.put_off(found["machine"])
            else:
                if self.made:
                    self.here.pauses.forget(self.run_id)
                    self.here.accounts.pauses.forget(account)
                return found

    async def check(self) -> None:
        """Raise an error if this execution was taken over. Called in the program's event loop."""
        if not await when_there(partial(self.here.host.owns, self.me), in_thread):
            raise names.TakenError(self.me.workflow_id)


class _Part(_Execution):
    """An execution of a part."""

    def __init__(self, work: JSON) -> None:
        super().__init__()
        self.work = work
        self.account: str = work["account"]
        self.record: JSON = work.get("record") or {"number": work["part"]["number"]}

    async def take(self) -> None:
        """Make all steps that are left."""
        if self.record.get("job_id") is None:
            await self._send()
        # A single address has no list.
        if "error" in self.record or self.record.get("job_id") is None:
            return
        try:
            await self._go_on("ready", steps.ready)
        except names.CancelledError:
            if self.record.get("state") in _UNPAID:
                await self._forget(self.record["job_id"])
            raise  # else the next run for the output goes on with the list
        await self._go_on("start", steps.start)
        await self._go_on("results", self._results)

    async def _send(self) -> None:
        """Upload the part, or ask for its single address."""
        lone = steps.is_lone(self.work, self.record)
        name, step = ("ask", steps.ask) if lone else ("upload", steps.upload)
        sent: set[str] = set()

        async def send() -> JSON:
            found = await step(self.here, self.work, self.record)
            sent.update({found["job_id"]} if "job_id" in found else ())
            return found

        async def make() -> JSON:
            self.record = _bare(self.record)
            async with self.turn(self.account, name):
                intent = await self.intent(self.work["run"])
                if intent["cancelled"]:
                    said = "The run was cancelled."
                    self.record |= {"error": RunCancelledError.__name__, "message": said}
                    return self.record
                if not intent["mine"]:
                    self.record = steps.taken_over(self.work, self.record)
                self.record = await self.step(name, send, waits=False)
            return self.record

        try:
            await self.ask_again(self.account, make)
        except (names.TakenError, names.CancelledError):
            # Another execution has the part, or the run was cancelled: this list is never started.
            for job_id in sent:
                await self._forget(job_id)
            raise

    async def _go_on(self, name: str, step: Step) -> None:
        async def make() -> JSON:
            work = partial(step, self.here, self.work, _bare(self.record))
            if name == "start":
                async with self.turn(self.account, name):
                    self.record = await self.step(name, work, waits=False)
            else:
                self.record = await self.step(name, work)
            return self.record

        if "error" not in self.record:
            await self.ask_again(self.account, make)

    async def _results(self, here: Here, work: JSON, record: JSON) -> JSON:
        """Wait for the results of the list, and fetch them. A long wait ends this execution."""
        wait = partial(steps.see_completed, here, work, record)
        waited = await here.waits.take(self.me, self.account, wait)
        if waited is None:
            raise asyncio.CancelledError
        return await steps.results(here, work, waited)

    async def _forget(self, job_id: str) -> None:
        forget = partial(steps.forget, self.here, self.work, job_id)
        await asyncio.shield(self.here.run(forget))


@names.workflow(names.PART)
async def part(work: JSON) -> JSON:
    """Take a part of a run through the service."""
    execution = _Part(work)
    try:
        await execution.take()
    except AWAY:  # DBOS would record it as the outcome
        await execution.begin_again()
    except (names.TakenError, names.CancelledError):
        raise asyncio.CancelledError from None  # DBOS would wait for what the heir comes to
    execution.here.wake(work["run"])
    return execution.record


def _bare(record: JSON) -> JSON:
    """Return a record without what its last step came to."""
    return {name: value for name, value in record.items() if name not in steps.OUTCOME}


@names.workflow(names.RUN)
async def run(given: JSON, earlier: str | None = None) -> JSON:
    """Verify a list; go on with what an earlier run for the same output has paid for."""
    execution = _Execution()
    run_id = execution.me.workflow_id
    execution.here.ended[run_id].add(execution.ended)
    try:
        outcome = await _run(execution, run_id, converter.structure(given, RunSpec), earlier)
    except AWAY:
        await execution.begin_again()
        raise
    except (names.TakenError, names.CancelledError):
        raise asyncio.CancelledError from None
    finally:
        execution.here.ended[run_id].remove(execution.ended)
        if not execution.here.ended[run_id]:
            del execution.here.ended[run_id]
    execution.here.states[state_ended(outcome)] += 1
    return outcome


async def _run(execution: _Execution, run_id: str, spec: RunSpec, earlier: str | None) -> JSON:
    here, account = execution.here, spec.account

    def step(name: str, work: Callable[[], Awaitable[JSON]]) -> Awaitable[JSON]:
        return execution.ask_again(account, partial(execution.step, name, work))

    before = (
        {} if earlier is None else await names.step("earlier", partial(_look, here, spec, earlier))
    )
    written = before.get("written", ())
    found = await step("split", partial(whole.split, here, spec, run_id, written))
    if "folder" not in found:
        await step("clean", partial(whole.clean, here, spec, run_id))
        return found
    same = (before.get("fingerprint"), before.get("base_url")) == (
        found["split"]["fingerprint"],
        found["base_url"],
    )
    records: JSON = before.get("records", {})
    if records and not same:
        await step("clean", partial(whole.clean, here, spec, run_id))
        return whole.other_list(str(earlier), records)
    owed = sum(
        one["addresses"] for one in found["split"]["parts"] if str(one["number"]) not in records
    )
    check = partial(whole.credits_, here, spec, owed, goes_on=bool(records))
    checked = await step("credits", check)
    if "error" in checked:
        await step("clean", partial(whole.clean, here, spec, run_id))
        return checked
    await names.step("enqueue", partial(_enqueue, here, run_id, spec, found, records))
    await names.step("parts", partial(_wait, execution, run_id), waits=True)
    verified = whole.Verified(
        folder=found["folder"],
        base_url=found["base_url"],
        split=converter.structure(found["split"], Split),
        outcomes=await when_there(partial(here.database.outcomes, run_id)),
        times=await when_there(partial(step_times, here.database, run_id)),
        written=written,
        paid_before=[int(number) for number in records],
        trial=checked.get("trial", False),  # earlier versions did not record it
    )
    join = partial(whole.join, here, spec, run_id, verified, execution.check)
    joined = await step("join", join)
    if "error" in joined:
        return joined
    return {
        **joined,
        **await step("clean", partial(whole.clean, here, spec, run_id, joined["report"])),
    }


async def _look(here: Here, spec: RunSpec, run_id: str) -> JSON:
    """Look at what an earlier run has paid for, and delete its files: results are fetched again."""

    def look() -> JSON:
        known = here.database.client.list_workflows(workflow_ids=[run_id])
        if not known:
            return {}  # it was so long ago that it is forgotten
        split = here.database.noted(run_id, "split")
        # A run that was cancelled has written nothing, and its predecessor may have.
        wrote = known[0].output or here.database.noted(run_id, "written")
        return {
            "written": wrote.get("written", ()),
            "fingerprint": split.get("split", {}).get("fingerprint"),
            "base_url": split.get("base_url"),
            "records": carried(here.database.outcomes(run_id)),
        }

    found = await when_there(look)
    await whole.delete_files(spec, run_id)
    return found


async def _enqueue(here: Here, run_id: str, spec: RunSpec, found: JSON, records: JSON) -> JSON:
    parts = found["split"]["parts"]
    title = Path(spec.source[0]).name
    works = [
        {
            "run": run_id,
            "account": spec.account,
            "base_url": found["base_url"],
            "folder": found["folder"],
            "title": part_title(title, one["number"], len(parts)),
            "timeout": spec.timeout,
            "part": one,
            "record": records.get(str(one["number"])),
        }
        for one in parts
    ]
    await when_there(
        partial(names.enqueue_parts, here.database.client, run_id, spec.account, works)
    )
    return {}


async def _wait(execution: _Execution, run_id: str) -> JSON:
    """Wait until all parts of a run have ended."""
    here, ended, pause = execution.here, execution.ended, _FIRST_LOOK
    while True:
        ended.clear()
        counts = await when_there(partial(here.database.counts, [run_id]))
        if not counts.get(run_id, (0, 0))[1]:
            return {}
        try:
            await asyncio.wait_for(ended.wait(), pause)
            await asyncio.sleep(_FIRST_LOOK)  # its outcome is about to be recorded
        except TimeoutError:
            pause = min(1.5 * pause, _LAST_LOOK)

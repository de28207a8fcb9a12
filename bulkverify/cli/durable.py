"""The commands for durable runs, which workers make."""

from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import Parameter

from bulkverify.cli.commands import FromRunner
from bulkverify.cli.durable_options import (
    DATABASE,
    OPTIONS,
    SAME_DATABASE,
    ListOptions,
    RunDatabase,
    is_sqlite,
    require_files,
)
from bulkverify.cli.durable_text import run_facts, run_line, watched_line
from bulkverify.cli.output import SHOW, Show
from bulkverify.errors import ConnectionFailedError, UsageError

if TYPE_CHECKING:
    from bulkverify.durable import Engine, RunState

RunId = Annotated[str, Parameter(metavar="RUN")]
Place = str | Path
"""A path or a URL, always as text; `Path` lets a shell complete it."""

_SHOWN: Final = 100
_LOOK_SECONDS: Final = 0.5
_ALIVE_SECONDS: Final = 60.0
_LATE_SECONDS: Final = 10.0
ENDED: Final = frozenset({"done", "incomplete", "failed", "cancelled"})
"""The states of a run that has ended."""

_PROMISE: Final = """\
Nothing new is uploaded or started, and {output} is not written.
Lists that were started are paid for and go on at the service: another run for the same output goes on with them.
A worker that was paused just before a start can still send this one."""


async def submit(
    sources: Annotated[list[Place], Parameter(name="LIST")],
    /,
    *,
    output: Annotated[Place, Parameter(alias="-o", metavar="OUT")],
    account: Annotated[str, Parameter(metavar="NAME")] = "default",
    id_: Annotated[str | None, Parameter(name="--id", metavar="RUN")] = None,
    options: ListOptions = OPTIONS,
    database: RunDatabase = DATABASE,
    show: Show = SHOW,
    recovery: FromRunner,
) -> None:
    """Submit a list as a run that workers make, and print its id. It spends credits once a worker takes it.

    Args:
        sources: A CSV, TSV, TXT, JSON Lines or .xlsx file, which all workers can read, or a URL such as s3://bucket/list.csv. Several files are read as one list.
        output: The file or object that a worker writes. It appears when it is complete.
        account: The name of the account that pays; workers know its key.
        id_: An id for the run, such as one of yours. The same command with the same id submits it once.
    """
    require_files(sources)
    async with database.open(new=True) as engine:
        run = await engine.submit(sources, output, account=account, id=id_, **options.of_run())
        state = await run.state()
        advice = await _advice(engine, database, state)
    show.data(state, run.id)
    watch = recovery.other("run", run.id, "--watch", options=SAME_DATABASE)
    show.note(f"Run {run.id} is {state.state}. Follow it with:\n  {watch}")
    if advice:
        show.note(advice)


async def runs(*, database: RunDatabase = DATABASE, show: Show = SHOW) -> None:
    """Print the last runs, the newest first: their state, parts, account and output."""
    async with database.open() as engine:
        found = await engine.runs(limit=_SHOWN + 1)
        more = len(found) > _SHOWN
        del found[_SHOWN:]
        workers = await engine.workers() if show.json else []
        advice = await _advice(engine, database, *found)
    if show.json:
        show.data({"runs": found, "workers": workers}, "")
        return
    if found:
        show.data(found, "\n".join(map(run_line, found)))
    if more:
        show.note(f"These are the last {_SHOWN} runs; `bulkverify run ID` shows an earlier one.")
    for state in found:
        if state.message and state.state not in ENDED:
            show.note(f"Run {state.id} is {state.state}. {state.message}")
    if advice:
        show.note(advice)


async def run(
    run_id: RunId,
    /,
    *,
    watching: Annotated[bool, Parameter(name="--watch")] = False,
    database: RunDatabase = DATABASE,
    show: Show = SHOW,
    recovery: FromRunner,
) -> None:
    """Print what is known about a run, over all workers.

    Args:
        run_id: The id of the run.
        watching: Print a line for each change until the run ends, then its summary. The exit code is that of verify.
    """
    async with database.open() as engine:
        followed = engine.run(run_id)
        state = await followed.state()
        if advice := await _advice(engine, database, state):
            show.note(advice)
        if not watching:
            report = await followed.wait() if state.state == "done" else None
            show.data({"run": state, "report": report}, run_facts(state, report))
            return
        recovery.state = f"Run {run_id} goes on without this command."
        recovery.resume = [recovery.again()]
        async for state in changes(engine, run_id):
            if state.state not in ENDED:
                show.data({"run": state, "report": None}, watched_line(state))
        recovery.state, recovery.resume = "", []
        report = await followed.wait()
        show.data({"run": state, "report": report}, watched_line(state))
    if not (show.json or show.quiet):
        from bulkverify.cli.summary import print_summary  # noqa: PLC0415 - imports rich

        print_summary(report)


async def cancel(
    run_id: RunId,
    /,
    *,
    database: RunDatabase = DATABASE,
    show: Show = SHOW,
) -> None:
    """Cancel a run: nothing new is uploaded or started, and its output is not written.

    Args:
        run_id: The id of the run.
    """
    async with database.open() as engine:
        await engine.cancel(run_id)
        state = await engine.run(run_id).state()
    if state.state != "cancelled":
        raise UsageError(f"Run {run_id} can't be cancelled, because it has ended: {state.state}.")
    show.acknowledge(state, f"Cancelled {run_id}.\n{_PROMISE.format(output=state.output)}")


async def changes(engine: "Engine", run_id: str) -> AsyncIterator["RunState"]:
    """Yield the state of a run whenever it has changed, and end with the run."""
    import asyncio  # noqa: PLC0415 - not for --help

    [last] = await engine.runs([run_id])
    yield last
    while last.state not in ENDED:
        await asyncio.sleep(_LOOK_SECONDS)
        with suppress(ConnectionFailedError):  # the database is away
            [seen] = await engine.runs([run_id])
            if seen != last:
                last = seen
                yield last


async def _advice(engine: "Engine", database: RunDatabase, *states: "RunState") -> str:
    """Say why runs wait, as far as the database knows."""
    waiting = [one for one in states if one.state not in ENDED]
    if is_sqlite(database.url) or not waiting:
        return ""
    workers = [one for one in await engine.workers() if one.seconds < _ALIVE_SECONDS]
    if not workers:
        return "No worker is alive: start one with `bulkverify worker`."
    now = datetime.now(UTC)
    found = [f"Worker {one.pid} on {one.host} waits: {one.note}" for one in workers if one.note]
    found += [
        f"Run {one.id} is still queued: does a worker have a key of account {one.account}?"
        for one in waiting
        if one.state == "queued"
        and not one.message
        and (now - one.submitted_at).total_seconds() > _LATE_SECONDS
    ]
    return "\n".join(found)

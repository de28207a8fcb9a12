"""The command `verify` with a database: a durable run that is submitted and made in this process."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bulkverify
from bulkverify.cli.durable import ENDED, changes
from bulkverify.cli.durable_options import (
    ListOptions,
    is_sqlite,
    require_files,
    shown,
    usable,
)
from bulkverify.cli.options import Account, budget
from bulkverify.cli.output import Show
from bulkverify.cli.resume import Recovery
from bulkverify.errors import UsageError

if TYPE_CHECKING:
    from bulkverify.cli.watching import Follower
    from bulkverify.durable import DurableRun, Engine


async def verify_durably(
    database: str,
    sources: list[Path],
    output: Path,
    *,
    options: ListOptions,
    domains: bool,
    parts_at_once: int,
    confirm: Callable[["Follower", "bulkverify.RunPlan"], bool],
    account: Account,
    show: Show,
    recovery: Recovery,
) -> "bulkverify.RunReport":
    """Verify a list as a durable run, or go on with the one that an earlier command began."""
    if not is_sqlite(database):
        raise UsageError(
            "verify --database is for one machine, with sqlite:///PATH. With PostgreSQL, use "
            "`bulkverify submit` and `bulkverify worker`."
        )
    require_files(sources)
    with usable(database):
        from bulkverify.durable import Engine  # noqa: PLC0415 - an extra
        from bulkverify.durable.accounts import DEFAULT  # noqa: PLC0415 - likewise

        key = account.key()
        async with bulkverify.Client(
            key, base_url=account.base_url, allow_http=account.allow_http
        ) as client:
            await (
                client.credits()
            )  # a worker that can't reach the service waits, a person should not
        engine = Engine(
            database,
            accounts={DEFAULT: key},
            base_url=account.base_url,
            allow_http=account.allow_http,
            requests_per_minute=budget(account.requests_per_minute),
            parts_at_once=parts_at_once,
        )
        async with engine:
            begun = await _begun(engine, output)
            if begun is None and sys.stderr.isatty() and not show.json:
                with show.following() as follower:
                    plan = await bulkverify.plan_list(
                        sources, **options.of_reading(), on_progress=follower.follow
                    )
                    if not confirm(follower, plan):
                        raise UsageError("The plan was not confirmed. Nothing was sent or spent.")
            run = await _submitted(
                engine, begun, sources, output, {**options.of_run(), "domains": domains}
            )
            recovery.state = (
                f"The progress is kept in {shown(database)} as run {run.id}. Nothing is paid twice."
            )
            recovery.resume = [recovery.again(without="--restart")]
            with show.progress() as line:
                async for state in changes(engine, run.id):
                    if state.state in ENDED and state.message:
                        break  # its error has the same message
                    ended = state.parts - state.parts_left
                    parts = f"{ended:,} of {state.parts:,} parts" if state.parts else state.state
                    line.show(state.message or parts)
            return await run.wait()


async def _begun(engine: "Engine", output: Path) -> str | None:
    """Return the run that is at work on an output."""
    found = (one for one in await engine.runs() if one.output == str(output.absolute()))
    return next((one.id for one in found if one.state not in ENDED), None)


async def _submitted(
    engine: "Engine",
    begun: str | None,
    sources: list[Path],
    output: Path,
    options: dict[str, Any],
) -> "DurableRun":
    """Submit a run, or return the one that was begun if it is the same."""
    submit = engine.submit
    if begun is not None:
        try:
            return await submit(sources, output, id=begun, **{**options, "restart": False})
        except UsageError:
            pass  # it has other options: the call below says which run is at work
    return await submit(sources, output, **options)

"""The command that makes durable runs."""

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import Parameter, validators

from bulkverify.cli.commands import FromRunner
from bulkverify.cli.durable_options import DATABASE, RunDatabase, is_sqlite, shown, usable
from bulkverify.cli.options import budget, split_words
from bulkverify.cli.output import SHOW, OutputClosedError, Show
from bulkverify.errors import BulkVerifyError, UsageError, plural
from bulkverify.limits import REQUESTS_PER_MINUTE

if TYPE_CHECKING:
    from bulkverify.durable import Engine

_LEFT: Final = {
    True: "What it has not finished goes on with the next worker.",
    False: "What it has not finished is left to other workers.",
}
_MOST_DAYS: Final = 36_500
_CLEANING_SECONDS: Final = 3600.0
_LOOK_SECONDS: Final = 2.0

Accounts = Annotated[
    list[str] | None,
    Parameter(converter=lambda _, tokens: split_words(tokens), metavar="NAME,..."),
]
"""Names of accounts, with commas between them."""


async def worker(
    *,
    accounts: Accounts = None,
    keep_days: Annotated[
        float | None, Parameter(metavar="N", validator=validators.Number(gte=0, lte=_MOST_DAYS))
    ] = None,
    migrate: bool = False,
    base_url: Annotated[str | None, Parameter(metavar="URL")] = None,
    allow_http: bool = False,
    requests_per_minute: Annotated[int, Parameter(metavar="N")] = REQUESTS_PER_MINUTE,
    database: RunDatabase = DATABASE,
    show: Show = SHOW,
    recovery: FromRunner,
) -> None:
    """Make the runs that were submitted, until Ctrl-C or SIGTERM.

    Args:
        accounts: Work for these accounts only, such as acme,beta. By default for all with a key in the environment.
        keep_days: Forget runs that ended so many days ago; their outputs stay. A run that is not complete is kept at least as long as the service keeps its lists.
        migrate: Make or update the tables of the database, and exit. A worker does so by itself if its role may.
        base_url: The URL of the service. By default BULKVERIFY_BASE_URL, or else Bouncify.
        allow_http: Allow an http:// URL of another machine. The keys are then sent unencrypted.
        requests_per_minute: The service's limit for each account and endpoint, over all workers; 0 for no limit.
    """
    import asyncio  # noqa: PLC0415 - not for --help

    with usable(database.url):
        from bulkverify import durable  # noqa: PLC0415 - slow, and an extra

        if migrate:
            await durable.migrate(database.url)
            show.acknowledge(
                {"migrated": True}, f"The tables in {shown(database.url)} are up to date."
            )
            return
        names = _with_keys(accounts)
        engine = durable.Engine(
            database.url,
            accounts=accounts,
            base_url=base_url,
            allow_http=allow_http,
            requests_per_minute=budget(requests_per_minute),
        )
        recovery.endless = True
        try:
            async with engine:
                show.note(
                    f"Worker {os.getpid()} takes work of {', '.join(names)} from {shown(database.url)}. "
                    "Ctrl-C or SIGTERM ends it."
                )
                telling = asyncio.create_task(_tell_runs(engine, names, show))
                try:
                    await _serve(engine, keep_days, show)
                finally:
                    telling.cancel()
        except asyncio.CancelledError:  # by a signal, which is how a worker ends
            show.note(f"Worker {os.getpid()} has stopped. {_LEFT[is_sqlite(database.url)]}")


async def _tell_runs(engine: "Engine", names: list[str], show: Show) -> None:
    """Write a line for each run of these accounts whose state changes, over all workers."""
    import asyncio  # noqa: PLC0415 - not for --help

    told: dict[str, str] = {}
    while True:
        with suppress(BulkVerifyError, OSError, OutputClosedError):  # the next look tells it
            last, told = told, {}
            for one in await engine.runs():
                told[one.id] = one.state
                if one.account in names and last.get(one.id, one.state) != one.state:
                    show.note(f"Run {one.id} is {one.state}: {one.output}")
        await asyncio.sleep(_LOOK_SECONDS)


async def _serve(engine: "Engine", keep_days: float | None, show: Show) -> None:
    import asyncio  # noqa: PLC0415 - not for --help

    while keep_days is not None:
        try:
            if forgotten := await engine.forget(keep_days):
                show.note(f"Forgot {plural(forgotten, 'run')} of the past.")
        except (BulkVerifyError, OSError) as error:  # it is tried again
            show.note(f"Old runs can't be forgotten now: {type(error).__name__}.")
        await asyncio.sleep(_CLEANING_SECONDS)
    await asyncio.Event().wait()


def _with_keys(accounts: list[str] | None) -> list[str]:
    """Return the accounts of a worker, or refuse those without a key in the environment."""
    from bulkverify.durable.accounts import (  # noqa: PLC0415 - slow, and an extra
        DEFAULT,
        VARIABLE,
        variable_of,
    )
    from bulkverify.durable.spec import checked_account  # noqa: PLC0415 - likewise

    if accounts is None:
        names = [
            name.removeprefix(f"{VARIABLE}__").lower()
            for name, key in sorted(os.environ.items())
            if name.startswith(f"{VARIABLE}__") and key
        ]
        found = [*names, *([DEFAULT] if os.environ.get(VARIABLE) else [])]
        if not found:
            raise UsageError(
                f"There is no API key: set {variable_of('acme')} for an account acme, "
                f"or {VARIABLE} for the account {DEFAULT}."
            )
        return found
    for name in map(checked_account, accounts):
        known = [variable_of(name), *([VARIABLE] if name == DEFAULT else [])]
        if not any(map(os.environ.get, known)):
            raise UsageError(f"There is no key for account {name!r}: set {known[-1]}.")
    return accounts

"""The command that serves the sandbox to other programs."""

import errno
import ipaddress
import shlex
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated, Final, Literal

import attrs
from cyclopts import Group, Parameter, validators

from bulkverify.cli.commands import FromRunner
from bulkverify.cli.options import Timeout, budget
from bulkverify.cli.output import SHOW, Show
from bulkverify.errors import UsageError, plural
from bulkverify.limits import (
    MOST_UNVERIFIED_LISTS,
    MOST_VERIFYING_LISTS,
    REQUESTS_PER_MINUTE,
    RETENTION_DAYS,
)

_ANSWERS: Final = Group("Answers", sort_key=1)
_LIMITS: Final = Group("Limits", sort_key=2)
_TIMINGS: Final = Group("Timings, in seconds of the sandbox", sort_key=3)

Count = Annotated[int, Parameter(group=_LIMITS, metavar="N", validator=validators.Number(gte=0))]
"""A limit."""


@Parameter(name="*", group=_TIMINGS)
@attrs.frozen(kw_only=True)
class Pace:
    """How long the steps of a list take; the defaults are those of `bulkverify.sandbox.Timings`."""

    preparing: Timeout = 2.0
    """How long a list is preparing."""

    start_delay: Timeout = 1.0
    """How long a started list still shows ready."""

    verifying: Timeout = 10.0
    """How long a list is verifying."""

    verifying_per_address: Timeout = 0.02
    """How much longer it is verifying for each address."""

    finishing: Timeout = 2.0
    """How long a list still shows verifying once nothing is pending."""


PACE: Final = Pace()


async def sandbox(
    *,
    port: Annotated[int, Parameter(validator=validators.Number(gte=0, lte=65535))] = 8000,
    host: str = "127.0.0.1",
    speed: Annotated[float, Parameter(metavar="N")] = 1.0,
    credits_: Annotated[int, Parameter(name="--credits", metavar="N")] = 1_000_000,
    api_key: Annotated[str, Parameter(metavar="TEXT")] = "sandbox",
    faults: Annotated[Path | None, Parameter(metavar="PATH")] = None,
    seed: Annotated[int | None, Parameter(metavar="N")] = None,
    vendor: Annotated[Literal["bouncify", "validto"], Parameter(group=_ANSWERS)] = "bouncify",
    upload_status: Annotated[Literal[200, 201], Parameter(group=_ANSWERS)] = 201,
    retry_after: Annotated[float | None, Parameter(group=_ANSWERS, metavar="SECONDS")] = None,
    total_while_preparing: Annotated[bool, Parameter(group=_ANSWERS)] = False,
    accept_all_column: Annotated[bool, Parameter(group=_ANSWERS)] = False,
    single_record_fails: Annotated[bool, Parameter(group=_ANSWERS)] = False,
    requests_per_minute: Annotated[
        int, Parameter(group=_LIMITS, metavar="N")
    ] = REQUESTS_PER_MINUTE,
    max_lists: Count = MOST_UNVERIFIED_LISTS,
    max_verifying: Count = MOST_VERIFYING_LISTS,
    retention_days: Count = RETENTION_DAYS,
    pace: Pace = PACE,
    show: Show = SHOW,
    recovery: FromRunner,
) -> None:
    """Serve a sandbox of the service until Ctrl-C. It spends no credits.

    Args:
        port: The port to listen on; 0 takes a free one.
        host: The address to listen on.
        speed: Its speed, as a multiple of the service's.
        credits_: The credits of its account at the start.
        api_key: The key that it accepts.
        faults: A TOML file that lists the faults to inject.
        seed: The same seed gives the same job ids and the same random faults.
        vendor: The vendor, which decides the order of columns and the spelling of accept-all.
        upload_status: The HTTP status of an upload; 200 is documented, 201 was seen.
        retry_after: The Retry-After header of a 429; by default there is none.
        total_while_preparing: A list has its total also while it is preparing.
        accept_all_column: The results have a column Accept-all, as some accounts get it.
        single_record_fails: A list of one address is paid and then fails, as was seen.
        requests_per_minute: Its limit for each endpoint; 0 for no limit.
        max_lists: The most lists that are not verified yet.
        max_verifying: The most lists that are verified at once.
        retention_days: After how many of its days a list is deleted; 0 for never.
        pace: How long the steps of a list take.
    """
    import asyncio  # noqa: PLC0415 - not for --help

    from bulkverify.sandbox import (  # noqa: PLC0415 - a web server, not for --help
        RuleError,
        Sandbox,
        Timings,
        read_faults,
    )

    if speed <= 0:
        raise UsageError("--speed must be above 0.")
    if not _is_loopback(host):
        show.note(
            f"bulkverify: warning: {host} can be reached from other machines. The sandbox is for tests "
            "and does not encrypt."
        )
    try:
        rules = [] if faults is None else read_faults(faults)
    except RuleError as error:
        raise UsageError(str(error)) from None
    service = Sandbox(
        host=host,
        port=port,
        api_key=api_key,
        credits=credits_,
        speed=speed,
        requests_per_minute=budget(requests_per_minute),
        max_lists=max_lists,
        max_verifying=max_verifying,
        retention_days=retention_days or None,
        vendor=vendor,
        timings=Timings(**attrs.asdict(pace)),
        upload_status=upload_status,
        retry_after=retry_after,
        seed=seed,
        single_record_fails=single_record_fails,
        total_while_preparing=total_while_preparing,
        accept_all_column=accept_all_column,
        faults=rules,
    )
    async with AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(service)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            raise UsageError(
                f"Port {port} of {host} is in use: name another one with --port, or 0 for a free one."
            ) from None
        recovery.endless = True
        # Clients can't connect to a wildcard address.
        url = service.url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")
        show.data({"url": url, "api_key": api_key}, _instructions(url, api_key))
        if rules:
            show.note(f"It injects {plural(len(rules), 'fault')}, with the seed {service.seed}.")
        show.note("Ctrl-C ends it and deletes its lists.")
        await asyncio.Event().wait()


def _instructions(url: str, api_key: str) -> str:
    return (
        f"URL  {url}\n"
        f"key  {api_key}\n"
        "\n"
        f"export BULKVERIFY_BASE_URL={shlex.quote(url)}\n"
        f"export BULKVERIFY_API_KEY={shlex.quote(api_key)}"
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

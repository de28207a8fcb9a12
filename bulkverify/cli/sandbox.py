"""The command that serves the sandbox to other programs."""

import ipaddress
import shlex
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from bulkverify.cli.commands import FromRunner
from bulkverify.cli.options import budget
from bulkverify.cli.output import SHOW, Show
from bulkverify.cli.text import plural
from bulkverify.errors import UsageError
from bulkverify.limits import REQUESTS_PER_MINUTE


async def sandbox(
    *,
    port: int = 8000,
    host: str = "127.0.0.1",
    speed: Annotated[float, Parameter(metavar="N")] = 1.0,
    credits_: Annotated[int, Parameter(name="--credits", metavar="N")] = 1_000_000,
    api_key: Annotated[str, Parameter(metavar="TEXT")] = "sandbox",
    requests_per_minute: Annotated[int, Parameter(metavar="N")] = REQUESTS_PER_MINUTE,
    faults: Annotated[Path | None, Parameter(metavar="PATH")] = None,
    seed: Annotated[int | None, Parameter(metavar="N")] = None,
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
        requests_per_minute: Its limit for each endpoint; 0 for no limit.
        faults: A TOML file that lists the faults to inject.
        seed: The same seed gives the same job ids and the same random faults.
    """
    import asyncio  # noqa: PLC0415 - not for --help

    from bulkverify.sandbox import (  # noqa: PLC0415 - a web server, not for --help
        RuleError,
        Sandbox,
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
        seed=seed,
        faults=rules,
    )
    async with service:
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

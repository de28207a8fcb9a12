"""The command that serves the sandbox, for programs that are to talk to it."""

import asyncio
import ipaddress
import shlex
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from yarl import URL

from bulkverify.cli.commands import Injected
from bulkverify.cli.options import budget
from bulkverify.cli.output import SHOW, Show
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
    standing: Injected,
) -> None:
    """Serve the sandbox until Ctrl-C: the service on this machine, without a credit being spent.

    Args:
        port: the port to listen on; 0 takes a free one.
        host: the address to listen on.
        speed: how many times faster than the real one it works.
        credits_: what the account has at first.
        api_key: the key that is accepted.
        requests_per_minute: for each endpoint; 0 for no limit.
        faults: a TOML file that says what is to go wrong.
        seed: makes the job ids and the faults at random the same again.
        show: how to show it.
        standing: kept up to date.
    """
    from bulkverify.sandbox import (  # noqa: PLC0415 - a web server, seldom needed
        RuleError,
        Sandbox,
        read_faults,
    )

    if speed <= 0:
        raise UsageError("--speed is a number above 0.")
    if not _is_loopback(host):
        show.note(
            f"bulkverify: warning: {host} can be reached from other machines, and the sandbox is "
            "made for tests: it does not encrypt."
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
        standing.endless = True
        url = _reachable(service.url)
        show.data({"url": url, "api_key": api_key}, _invitation(url, api_key))
        if rules:
            count = "1 fault is" if len(rules) == 1 else f"{len(rules)} faults are"
            show.note(f"{count} to come, by the seed {service.seed}.")
        show.note("Ctrl-C ends it, and its lists with it.")
        await asyncio.Event().wait()


def _invitation(url: str, api_key: str) -> str:
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


def _reachable(url: str) -> str:
    """Write an address that stands for all of them as one that this machine can be asked under."""
    wildcards = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - it is recognised, not bound
    parsed = URL(url)
    return str(parsed.with_host(wildcards.get(parsed.host or "", parsed.host or "")))

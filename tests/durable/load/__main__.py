"""`python -m tests.durable.load`: durable runs under load, kills, outages and cuts.

Scenarios: `crowd`, `kills`, `crash`, `away`, `credits`, `stops`, `hosts`; by default all. Each has a
database, the service and the workers in processes of their own. It prints what was seen and the promises
that were broken, and exits with 1 if there are any. All take half an hour.
"""

import argparse
import asyncio
import os
import platform
import signal
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import attrs

from . import hosts, scenarios
from .scenarios import QUICK
from .world import World, world

THREE: Final = ("acme", "beta", "gamma")
NO_LIMIT: Final = {"requests_per_minute": None, "timings": QUICK}


@attrs.frozen
class Scenario:
    """A scenario, and the world that it needs."""

    play: Callable[[World], Awaitable[None]]
    accounts: tuple[str, ...] = THREE[:2]
    settings: dict[str, Any] = attrs.field(default=NO_LIMIT)
    kinds: tuple[str, ...] = ("postgresql",)


def _scenarios(minutes: float, runs: int) -> dict[str, Scenario]:
    slow = {"timings": {**QUICK, "verifying": 60.0}}
    return {
        "crowd": Scenario(partial(scenarios.crowd, runs=runs), THREE, slow),
        "kills": Scenario(partial(scenarios.kills, minutes=minutes), THREE),
        "kills-sqlite": Scenario(
            partial(scenarios.kills, minutes=minutes / 5, count=1), kinds=("sqlite",)
        ),
        "crash": Scenario(scenarios.crash),
        "away": Scenario(scenarios.away, kinds=("postgresql",)),
        "credits": Scenario(scenarios.credits_, THREE[:1]),
        "stops": Scenario(scenarios.stops),
        "hosts": Scenario(hosts.cut),
    }


async def play(name: str, scenario: Scenario, **options: Any) -> bool:  # noqa: ANN401 - of the world
    """Play a scenario; print what was seen, and return whether all promises were kept."""
    if name == "hosts" and not hosts.possible():
        print("hosts: skipped, network namespaces need root and `ip`\n", flush=True)  # noqa: T201 - a script
        return True
    kept = True
    for kind in scenario.kinds:
        began = datetime.now(UTC)
        async with world(kind, scenario.accounts, **options, **scenario.settings) as made:
            await scenario.play(made)
        seconds = (datetime.now(UTC) - began).total_seconds()
        lines = [f"{name} ({kind}), {seconds:.0f} s", *made.notes]
        lines.append(f"broken promises: {len(made.broken)}")
        lines += [f"BROKEN {one}" for one in made.broken]
        if made.folder.exists():
            lines.append(f"left in {made.folder}")
        print("\n  ".join(lines), end="\n\n", flush=True)  # noqa: T201 - a script
        kept = kept and not made.broken
    return kept


def main() -> int:
    """Play the scenarios one after the other; return 1 if a promise was broken."""
    known = [*_scenarios(1, 1)]
    parser = argparse.ArgumentParser(prog="python -m tests.durable.load", description=__doc__)
    parser.add_argument("scenarios", nargs="*", metavar="scenario", help=", ".join(known))
    parser.add_argument("--minutes", type=float, default=10, help="how long workers are killed")
    parser.add_argument("--runs", type=int, default=200, help="the runs of the crowd")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help="keep lists, outputs and logs")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # no server is left behind
    if unknown := {*options.scenarios} - {*known}:
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}")
    print(  # noqa: T201 - a script
        f"{datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}, {os.cpu_count()} cores, "
        f"load {os.getloadavg()[0]:.1f} at the start\n",
        flush=True,
    )
    found = _scenarios(options.minutes, options.runs)
    kept = [
        asyncio.run(play(name, found[name], seed=options.seed, keep=options.keep))
        for name in options.scenarios or known
    ]
    return int(not all(kept))


if __name__ == "__main__":
    sys.exit(main())

"""Two network namespaces as two hosts, with the database and the service on a third one.

Each host has a cable (veth) of its own. A host is cut off by pulling its cable. It needs root and `ip`.
"""

import asyncio
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from .scenarios import SLOW
from .world import LEASE, World

HOSTS = ("bvload1", "bvload2")


def possible() -> bool:
    """Return whether namespaces can be made here."""
    if os.geteuid() or shutil.which("ip") is None:
        return False
    with_namespace = subprocess.run(["ip", "netns", "list"], check=False, capture_output=True)  # noqa: S607 - as in a shell
    return with_namespace.returncode == 0


def _ip(*words: str, check: bool = True) -> None:
    subprocess.run(["ip", *words], check=check, capture_output=not check)  # noqa: S603, S607 - ours


@contextmanager
def hosts() -> Iterator[None]:
    """Set up two hosts; the machine is 10.77.1.1 to the first, and 10.77.2.1 to the second."""
    _remove()
    try:
        for number, name in enumerate(HOSTS, 1):
            _ip("netns", "add", name)
            _ip("link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
            _ip("addr", "add", f"10.77.{number}.1/24", "dev", name)
            _ip("link", "set", name, "up")
            _ip("-n", name, "addr", "add", f"10.77.{number}.2/24", "dev", "eth0")
            _ip("-n", name, "link", "set", "eth0", "up")
            _ip("-n", name, "link", "set", "lo", "up")
        yield
    finally:
        _remove()


def _remove() -> None:
    for name in HOSTS:
        _ip("netns", "del", name, check=False)
        _ip("link", "del", name, check=False)


async def cut(world: World) -> None:
    """One of two hosts is cut off for longer than a lease, and then connected again."""
    assert world.server is not None
    await world.service.post("inject", SLOW)
    for number in range(4):
        await world.submit([*world.keys][number % 2], 150, 10)
    with hosts():
        for number, name in enumerate(HOSTS, 1):
            host = f"10.77.{number}.1"
            script = f'hostname {name} && exec "$@"'
            await world.worker(
                *("ip", "netns", "exec", name, "unshare", "--uts", "sh", "-c", script, "sh"),
                database=world.server.url(host),
                url=world.service.url(host),
                words=("--allow-http", "--requests-per-minute", "0"),
            )
        await world.until(lambda: _both(world))
        before = {one.host: one.executor_id for one in await world.engine.workers()}
        _ip("link", "set", HOSTS[1], "down")
        cut_at = world.now
        await asyncio.sleep(3 * LEASE)
        alone = [one.host for one in await world.engine.workers()]
        world.check(alone == [HOSTS[0]], f"alive while one is cut off: {alone}")
        _ip("link", "set", HOSTS[1], "up")
        await world.until(lambda: _came_back(world, before[HOSTS[1]]), timeout=60)
        back = world.now - cut_at - 3 * LEASE
        more = len(world.runs)
        await world.submit("acme", 150, 10)
        await world.submit("beta", 150, 10)
        await world.all_ended(300)
        after = {one.host: one.executor_id for one in await world.engine.workers()}
        world.check(set(after) == {*HOSTS}, f"alive at the end: {after}")
        world.check(
            before[HOSTS[0]] == after.get(HOSTS[0]), "the other host was taken over as well"
        )
        left = await world.service.count("unstarted")
        # The answer of one upload in each account may have been lost with the cable.
        world.check(left <= len(world.keys), f"{left} lists left")
        world.note(
            f"cut off for {3 * LEASE:.0f} s; {more} runs went on at the other host; back as a new "
            f"worker after {back:.0f} s; {left} lists never started"
        )
        await world.stop()


async def _both(world: World) -> bool:
    alive = await world.engine.workers()
    return len(alive) == len(HOSTS) and await world.service.count("starts") >= 12


async def _came_back(world: World, before: str) -> bool:
    alive = await world.engine.workers()
    return any(one.host == HOSTS[1] and one.executor_id != before for one in alive)

"""The cases: each mishap of each request of a run, alone and with each mishap of the next request."""

import asyncio
import gc
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final

import attrs

from .catalogue import kinds, mishaps
from .promises import broken, denied, timeless
from .world import VARIANTS, HangingError, OneThreadLoop, Request, Story, live

_IN_MEMORY: Final = "/dev/shm"  # noqa: S108 - the folder in there has a random name
_NOWHERE: Final = 10**6


@attrs.frozen
class Case:
    """Which requests go wrong, and how; `names` has one mishap, or two for two requests in a row."""

    variant: str
    place: int
    names: tuple[str, ...]

    def __str__(self) -> str:
        """Write it as `--case` takes it."""
        return "/".join([self.variant, str(self.place), *self.names])

    @classmethod
    def parse(cls, text: str) -> "Case":
        """Parse the result of `str`."""
        variant, place, *names = text.split("/")
        return cls(variant, int(place), tuple(names))


@attrs.frozen
class Result:
    """The outcome of a case: the broken promises, the number of calls, and the next request.

    It is `denied` if the service refused a start that it had done, and then ended the list.
    """

    case: Case
    broken: tuple[str, ...] = ()
    calls: int = 0
    outcome: str = ""
    took_effect: bool = True
    denied: bool = False
    next: Request | None = None


@attrs.frozen
class Undisturbed:
    """The run without mishaps: its requests, and its output."""

    requests: tuple[Request, ...]
    output: str


@cache
def undisturbed(variant: str) -> Undisturbed:
    """Record the run without mishaps."""
    with _scratch() as folder:
        story = _run(live(VARIANTS[variant], folder, _NOWHERE, ()))
        assert story.report is not None, story.outcomes
        return Undisturbed(tuple(story.plan.requests), timeless(story.output.read_text()))


def firsts(variant: str) -> Iterator[Case]:
    """List each mishap of each request; with `delete`, only of the requests that the plain run lacks."""
    requests = undisturbed(variant).requests
    begin = len(undisturbed("one").requests) - 1 if VARIANTS[variant].delete else 0
    for place, request in enumerate(requests):
        if place >= begin:
            for name in mishaps(request.endpoint):
                if request.counts or not name.startswith("counters"):
                    yield Case(variant, place, (name,))


def seconds(result: Result, *, each: bool) -> Iterator[Case]:
    """List the mishaps of the next request: all if `each`, else one of each kind."""
    if result.next is not None and result.took_effect:
        case, endpoint = result.case, result.next.endpoint
        for name in mishaps(endpoint) if each else kinds(endpoint):
            if result.next.counts or not name.startswith("counters"):
                yield attrs.evolve(case, names=(*case.names, name))


def run(case: Case) -> Result:
    """Run a case in its own event loop, and compare the open files before and after."""
    reference = undisturbed(case.variant)
    problems: list[str] = []
    sys.unraisablehook = lambda hook: problems.append(f"unraisable: {hook.exc_value!r}")
    before = _descriptors()
    try:
        with _scratch() as folder:
            story = _run(live(VARIANTS[case.variant], folder, case.place, case.names))
            problems += broken(story, reference.output)
    except HangingError:
        return Result(case, ("it hangs",))
    finally:
        sys.unraisablehook = sys.__unraisablehook__
    if _descriptors() > before:
        gc.collect()
        if _descriptors() > before:
            problems.append("a file or socket was left open")
    after = case.place + len(case.names)
    requests = story.plan.requests
    return Result(
        case,
        tuple(problems),
        calls=len(story.outcomes),
        outcome=", ".join(type(one).__name__ for one in story.outcomes),
        took_effect=story.plan.expected(),
        denied=denied(story) and bool(story.sandbox.ledger.paid_twice),
        next=requests[after] if after < len(requests) else None,
    )


def run_all(first: Case, *, each: bool = False) -> list[Result]:
    """Run a first mishap alone, and then with those of the next request.

    Without `each`, pairs are made of one mishap of each kind that the SDK distinguishes.
    """
    alone = run(first)
    endpoint = undisturbed(first.variant).requests[first.place].endpoint
    if not each and first.names[0] not in kinds(endpoint):
        return [alone]
    return [alone, *map(run, seconds(alone, each=each))]


def run_sample(first: Case) -> list[Result]:
    """Run a first mishap alone, and then with one of those of the next request."""
    alone = run(first)
    chance = random.Random(str(first))  # noqa: S311 - a test
    following = list(seconds(alone, each=True))
    return [alone, *map(run, chance.sample(following, min(1, len(following))))]


def _run(story: Coroutine[Any, Any, Story]) -> Story:
    with asyncio.Runner(loop_factory=OneThreadLoop) as runner:
        return runner.run(story)


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - only counted


@contextmanager
def _scratch() -> Iterator[Path]:
    """Give a folder in memory, which is faster than a disk."""
    where: Any = _IN_MEMORY if Path(_IN_MEMORY).is_dir() else None
    folder = tempfile.mkdtemp(prefix="exhaustive-", dir=where)
    try:
        yield Path(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)

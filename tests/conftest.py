"""Fixtures of all tests: payloads, a mended aioresponses, and a check for tasks and errors left behind."""

import asyncio
import gc
import json
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, cast
from unittest.mock import Mock

import aiohttp
import aioresponses.core
import pytest
import pytest_asyncio
from aioresponses import aioresponses as Aioresponses  # noqa: N812 - it is a class
from hypothesis import given, settings
from hypothesis import strategies as st

PAYLOADS = Path(__file__).parent / "payloads"

# A slow machine is not a failure; pytest-timeout catches tests that hang.
settings.register_profile("bulkverify", deadline=None)
settings.load_profile("bulkverify")

Payload = Callable[[str], Any]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how many blocks of the documentation were run."""
    counts: Counter[str] = Counter()
    pages = 0
    for report in terminalreporter.getreports("passed"):
        found = dict(getattr(report, "user_properties", ()))
        blocks = {key: int(str(count)) for key, count in found.items() if key.startswith("blocks ")}
        counts.update(blocks)
        pages += "page" in found
    if pages:
        kinds = ", ".join(f"{count} {key.removeprefix('blocks ')}" for key, count in counts.items())
        terminalreporter.write_line(
            f"documentation: {counts.total()} blocks of {pages} pages ({kinds})"
        )


@pytest.fixture
def payload() -> Payload:
    """Read one of the service's documented bodies by its name."""

    def read(name: str) -> Any:  # noqa: ANN401 - it is JSON
        path = PAYLOADS / name
        return json.loads(path.read_bytes()) if path.suffix == ".json" else path.read_bytes()

    return read


@pytest.fixture
def mocked(monkeypatch: pytest.MonkeyPatch) -> Iterator[Aioresponses]:
    """Script answers without a socket.

    aioresponses 0.7.9 builds responses without an argument that aiohttp 3.14 requires (issue 289).
    """
    monkeypatch.setattr(
        aioresponses.core, "ClientResponse", partial(aiohttp.ClientResponse, stream_writer=Mock())
    )
    with Aioresponses() as mock:
        yield mock


@pytest.fixture(scope="session", autouse=True)
def _a_clean_slate() -> None:
    # looptime's plugin leaves a loop open, and a later test would be blamed for it.
    asyncio.set_event_loop(None)
    # Hypothesis makes its random generator for the first example. It warns if the collector can't find
    # the referrers, which from Python 3.14 on it can't if they were frozen before.
    given(st.none())(lambda _: None)()
    gc.collect()
    gc.freeze()  # imported modules stay; unfrozen, every collection would scan them


@pytest_asyncio.fixture
async def _nothing_left_behind() -> AsyncIterator[None]:
    problems: list[dict[str, Any]] = []
    loop = cast("Any", asyncio.get_running_loop())  # uses a private attribute
    loop.set_exception_handler(lambda _, context: problems.append(context))
    close = loop._asyncgen_finalizer_hook

    def close_late(generator: AsyncGenerator[object]) -> None:
        problems.append({"message": "an async generator was not closed", "asyncgen": generator})
        close(generator)

    loop._asyncgen_finalizer_hook = close_late
    before = asyncio.all_tasks()
    yield
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    gc.collect()  # lost exceptions and unreleased responses are reported on collection
    await asyncio.sleep(0)
    del loop._asyncgen_finalizer_hook
    assert not left, f"tasks left running: {left}"
    assert not problems, f"the event loop was told of: {problems}"


@pytest.fixture(autouse=True)
def _leave_nothing_behind(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("asyncio") is not None:
        request.getfixturevalue("_nothing_left_behind")


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BULKVERIFY_API_KEY", raising=False)
    monkeypatch.delenv("BULKVERIFY_BASE_URL", raising=False)
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)

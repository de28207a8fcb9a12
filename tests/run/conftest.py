"""A sandbox, its client, and a small list."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import pytest
import pytest_asyncio

from bulkverify import Client
from bulkverify.run import outages
from bulkverify.run.outages import Outages
from bulkverify.sandbox import Sandbox
from bulkverify.service import known

from .lists import FAST as QUICKLY
from .lists import D, U


@pytest_asyncio.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox(speed=1000, requests_per_minute=None) as sandbox:
        yield sandbox


@pytest_asyncio.fixture
async def client(sandbox: Sandbox) -> AsyncIterator[Client]:
    async with Client(
        sandbox.api_key, base_url=sandbox.url, requests_per_minute=None, backoff=QUICKLY
    ) as client:
        yield client


@pytest.fixture(autouse=True)
def _little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an outage end a run after five attempts of a task, however long they take.

    The time of a task is the sum of its pauses, because on a busy machine every attempt takes longer.
    """
    paused: WeakKeyDictionary[asyncio.Task[Any], float] = WeakKeyDictionary()
    pause = Outages._pause

    def now() -> float:
        return paused.get(current(), 0.0)

    def counted(*args: Any) -> float:  # noqa: ANN401 - passed on
        seconds = pause(*args)
        paused[current()] = now() + seconds
        return seconds

    monkeypatch.setattr(outages, "now", now)
    monkeypatch.setattr(Outages, "_pause", counted)
    monkeypatch.setattr(outages, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(outages, "LONGEST_OUTAGE", 0.1)
    monkeypatch.setattr(known, "NOT_FOUND_GRACE_SECONDS", 0.05)


def current() -> asyncio.Task[Any]:
    """Return the current task."""
    task = asyncio.current_task()
    assert task is not None
    return task


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "list.csv"
    path.write_text(f"name,email\nAnna,{D}@x.com\nBob,{U}@x.com\nAnna,{D}@X.com\n")
    return path


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "verified.csv"


@pytest.fixture
def folder(output: Path) -> Path:
    return output.with_name("verified.csv.progress")

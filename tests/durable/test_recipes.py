"""The recipes in `examples/durable` do what they say."""

import asyncio
import configparser
import importlib.util
import json
import os
import shlex
import signal
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from bulkverify.cli.app import app
from bulkverify.sandbox import Sandbox

from .commands import ROOT, Commands, ended, noted
from .made import engine, require_all_verified, require_paid_once

RECIPES = ROOT / "examples" / "durable"


def module_of(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"recipe_{name}", RECIPES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def environment(sqlite: str, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BULKVERIFY_DATABASE", sqlite)
    monkeypatch.setenv("BULKVERIFY_BASE_URL", sandbox.url)
    monkeypatch.setenv("BULKVERIFY_API_KEY", sandbox.api_key)


@pytest.mark.asyncio
@pytest.mark.usefixtures("environment")
async def test_the_worker_takes_work_until_it_is_told_to_end(
    sqlite: str, sandbox: Sandbox, source: Path, output: Path
) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", str(RECIPES / "worker.py")),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT), "KEY_OF_ACME": sandbox.api_key},
    )
    try:
        async with engine(sqlite, sandbox, work=False) as submitting:
            run = await submitting.submit(source, output, account="acme")
            await asyncio.wait_for(run.wait(), 90)
        process.send_signal(signal.SIGTERM)
        said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert (process.returncode, said) == (0, b"working\nstopped\n")
    require_all_verified(output, 7)


@pytest.mark.asyncio
@pytest.mark.usefixtures("environment")
async def test_the_service_verifies_a_list(
    sandbox: Sandbox, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    httpx = pytest.importorskip("httpx")
    pytest.importorskip("fastapi")
    monkeypatch.setenv("LISTS", str(source.parent))
    service = module_of("fastapi_service").app
    transport = httpx.ASGITransport(app=service)
    async with (
        service.router.lifespan_context(service),
        httpx.AsyncClient(transport=transport, base_url="http://service") as client,
    ):
        for _ in range(2):
            answer = await client.put("/lists/list")
            assert (answer.status_code, answer.json()) == (202, {"run": "list"})
        assert (await client.put("/lists/other")).status_code == 404
        assert (await client.get("/lists/other")).status_code == 404
        async with asyncio.timeout(60):
            while (state := (await client.get("/lists/list")).json())["state"] != "done":
                assert state["state"] in {"queued", "running"}
                await asyncio.sleep(0.1)
    require_all_verified(source.with_name("list-verified.csv"), 7)
    require_paid_once(sandbox, 7)


@pytest.mark.asyncio
@pytest.mark.usefixtures("environment")
async def test_celery_hands_over_ids(
    sqlite: str, sandbox: Sandbox, source: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("celery")
    monkeypatch.setenv("CELERY_BROKER", "memory://")
    tasks = module_of("celery_tasks")

    def made(task: Any, *given: str) -> Any:  # noqa: ANN401 - of Celery
        return asyncio.to_thread(lambda: task.apply(given))

    for _ in range(2):  # Celery may deliver a task twice
        answer = await made(tasks.submit, "monday", str(source), str(output), "acme")
        assert answer.get() == "monday"
    monkeypatch.setattr(tasks.deliver, "max_retries", 0)
    assert not (await made(tasks.deliver, "monday")).successful()
    async with engine(sqlite, sandbox) as working:
        await working.run("monday").wait()
    assert (await made(tasks.deliver, "monday")).get() == str(output)
    require_all_verified(output, 7)
    require_paid_once(sandbox, 7)


@pytest.mark.timeout(400)  # five processes, each of which imports DBOS
@pytest.mark.asyncio
async def test_the_containers_share_the_work(
    postgresql: str, sandbox: Sandbox, source: Path, output: Path
) -> None:
    text = (RECIPES / "compose" / "compose.yaml").read_text()
    services = yaml.safe_load(text)["services"]
    assert json.loads((RECIPES / "compose" / "Dockerfile").read_text().split("ENTRYPOINT ")[1]) == [
        "bulkverify"
    ]
    assert int(services["worker"]["stop_grace_period"].rstrip("s")) > 30
    count = services["worker"]["deploy"]["replicas"]
    assert count == 3
    commands = Commands(sandbox, postgresql, output.parent)
    assert (await commands.call(*services["migrate"]["command"])).code == 0
    words = ("submit", source.name, "-o", output.name, "--account", "acme", "--largest-part", "2")
    async with AsyncExitStack() as stack:
        workers = [
            await stack.enter_async_context(commands.started(*services["worker"]["command"]))
            for _ in range(count)
        ]
        for worker in workers:
            await noted(worker, "takes work of acme")
        submitted = await commands.call(*words)
        assert submitted.code == 0, submitted.err
        async with engine(postgresql, sandbox, work=False) as looking:
            await asyncio.wait_for(looking.run(submitted.out.strip()).wait(), 120)
        for worker in workers:
            worker.send_signal(signal.SIGTERM)
        assert [(await ended(worker)).code for worker in workers] == [0] * count
    require_all_verified(output, 7)
    require_paid_once(sandbox, 7)


def test_the_unit_gives_a_worker_time_to_end() -> None:
    unit = configparser.ConfigParser(interpolation=None, strict=False, comment_prefixes="#")
    unit.optionxform = str  # type: ignore[assignment,method-assign] # as systemd reads names
    unit.read(RECIPES / "bulkverify-worker.service")
    service = unit["Service"]
    program, *words = shlex.split(service["ExecStart"])
    assert Path(program).name == "bulkverify"
    app.parse_args(words, exit_on_error=False, print_error=False)
    assert int(service["TimeoutStopSec"]) > 30
    assert service["KillSignal"] == "SIGTERM"

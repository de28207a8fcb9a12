"""Real processes that are killed with SIGKILL: the same call goes on, and the sandbox counts what was paid.

Every test run has five kills at random moments, and some at chosen ones. BULKVERIFY_KILLS=25 makes 25
random ones, and all chosen ones.
"""

import asyncio
import os
import random
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
import pytest_asyncio

from bulkverify.run.written import note_of
from bulkverify.sandbox import Fault, FaultKind, Sandbox
from bulkverify.sandbox.clock import Clock
from bulkverify.sandbox.ledger import Endpoint

from .lists import name, numbered

KILLS = int(os.environ.get("BULKVERIFY_KILLS", "5"))
PARTS, A_PART = 40, 25
CHILD = Path(__file__).with_name("child.py")
LIFETIME = 0.3
"""The seconds after its beginning within which a process is killed, on average at the middle."""
DELAY = 0.03
"""The seconds that a request takes: a run of 40 parts then lasts for some ten lifetimes."""


@pytest.fixture(autouse=True)
def _one_date(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give every verdict the same time, so that two runs can be compared byte by byte."""
    monkeypatch.setattr(Clock, "at", lambda self, _: self.epoch)


@pytest_asyncio.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox(speed=1000, requests_per_minute=None, seed=7) as sandbox:
        yield sandbox


async def started(
    sandbox: Sandbox, source: Path, output: Path, *more: str
) -> asyncio.subprocess.Process:
    root = str(Path(__file__).parents[2])
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", str(CHILD), sandbox.url, str(source), str(output), *more),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": root},
    )


async def finished(process: asyncio.subprocess.Process) -> list[int]:
    """Wait for a run to end well; return its orphans, and the credits that it and earlier calls spent."""
    out, err = await process.communicate()
    assert (process.returncode, err.decode()) == (0, "")
    return [int(word) for word in out.split()[-3:]]


async def killed(process: asyncio.subprocess.Process) -> bool:
    """Wait for a process to end; return whether it was killed."""
    await process.communicate()
    return process.returncode == -signal.SIGKILL


_references: dict[tuple[bytes, int], bytes] = {}


async def undisturbed(source: Path, part: int) -> bytes:
    """Return the output of an undisturbed run."""
    key = source.read_bytes(), part
    if key not in _references:
        output = source.with_name("reference.csv")
        async with Sandbox(speed=1000, requests_per_minute=None, epoch=None) as other:
            await finished(await started(other, source, output, str(part)))
        _references[key] = output.read_bytes()
        output.unlink()
        note_of(output).unlink()
    return _references[key]


def moved(content: bytes, sandbox: Sandbox) -> bytes:
    """Replace the date of another sandbox by the date of this one."""
    date = sandbox._account.clock.epoch.replace(tzinfo=None).isoformat(timespec="milliseconds")
    lines = content.splitlines(keepends=True)
    return lines[0] + b"".join(
        line[: line.rindex(b",") + 1] + f"{date}Z\n".encode() if line.endswith(b"Z\n") else line
        for line in lines[1:]
    )


# A run of two parts writes 17 files: one at the beginning, six for each part, and four at the end.
DEATHS = [f"{when}:{number}" for number in range(1, 18) for when in ("before", "after")]

# The file operations after the results of both parts were fetched.
AT_THE_END = 23
LAST_DEATHS = [
    (place, f"{when}:end:{number}")
    for number in range(1, AT_THE_END + 1)
    for when in ("before", "after")
    for place in ("new", "overwrite", "in place")
]


@pytest.mark.asyncio
@pytest.mark.parametrize("death", DEATHS if KILLS >= 25 else random.Random(4).sample(DEATHS, 6))  # noqa: S311
async def test_a_run_killed_at_any_of_its_writes_goes_on_from_there(
    sandbox: Sandbox, tmp_path: Path, death: str
) -> None:
    source, output = tmp_path / "list.csv", tmp_path / "verified.csv"
    source.write_text(numbered(4))
    assert await killed(await started(sandbox, source, output, "2", death))
    orphans, spent, spent_before = await finished(await started(sandbox, source, output, "2"))
    ledger = sandbox.ledger
    assert ledger.paid == {f"{name(number)}@example.com": 1 for number in range(4)}
    assert len(ledger.uploads) - len(ledger.starts) <= orphans <= 1
    assert spent + spent_before == 4
    assert output.read_bytes() == moved(await undisturbed(source, 2), sandbox)
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.asyncio
async def test_a_run_of_two_parts_writes_seventeen_files(sandbox: Sandbox, tmp_path: Path) -> None:
    source, output = tmp_path / "list.csv", tmp_path / "verified.csv"
    source.write_text(numbered(4))
    await finished(await started(sandbox, source, output, "2", "before:18"))
    assert output.exists()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("place", "death"),
    LAST_DEATHS if KILLS >= 25 else random.Random(9).sample(LAST_DEATHS, 12),  # noqa: S311
)
async def test_a_run_that_dies_at_its_end_is_not_paid_again(
    sandbox: Sandbox, tmp_path: Path, place: str, death: str
) -> None:
    source, output = tmp_path / "list.csv", tmp_path / "verified.csv"
    source.write_text(numbered(4))
    expected = await undisturbed(source, 2)
    words = [] if place == "new" else ["overwrite"]
    if place == "overwrite":
        output.write_text("before")
    elif place == "in place":
        output = source
    assert await killed(await started(sandbox, source, output, "2", death, *words))
    assert sandbox.ledger.credits_spent == 4
    requests = sandbox.ledger.requests.total()
    for _ in range(2):  # a second time, without a journal
        orphans, spent, spent_before = await finished(
            await started(sandbox, source, output, "2", *words)
        )
        assert (orphans, spent, spent_before) == (0, 0, 4)
        assert output.read_bytes() == moved(expected, sandbox)
        assert sandbox.ledger.requests.total() == requests
    assert {path.name for path in tmp_path.iterdir()} == {
        "list.csv",
        output.name,
        f".{output.name}.done",
    }


@pytest.mark.asyncio
async def test_the_number_of_file_operations_at_the_end_is_right(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    source, output = tmp_path / "list.csv", tmp_path / "verified.csv"
    source.write_text(numbered(4))
    assert await killed(
        await started(sandbox, source, output, "2", f"before:end:{AT_THE_END}", "overwrite")
    )
    later = f"before:end:{AT_THE_END + 1}"
    output.unlink()
    await finished(await started(sandbox, source, output, "2", later, "overwrite"))


class Proof:
    """Verifies one list in processes that are killed, until one comes to the end."""

    def __init__(self, sandbox: Sandbox, folder: Path, domain: str) -> None:
        self.sandbox = sandbox
        self.source, self.output = folder / "list.csv", folder / "verified.csv"
        self.addresses = {f"{name(number)}@{domain}" for number in range(PARTS * A_PART)}
        self.kills = 0
        self.uploads, self.starts = len(sandbox.ledger.uploads), len(sandbox.ledger.starts)
        lines = numbered(PARTS * A_PART, domain).splitlines(keepends=True)
        folder.mkdir()
        self.source.write_text(
            "".join([*lines, *lines[500:800]])
        )  # the last 300 addresses come twice

    async def live(self, seconds: float | None) -> bool:
        """Let a process go on for some seconds or to its end; return whether it ended."""
        process = await started(self.sandbox, self.source, self.output, str(A_PART))
        assert process.stdout is not None
        assert await process.stdout.readline() == b"begun\n"
        if seconds is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), seconds)
            if process.returncode is None:
                process.kill()
                self.kills += await killed(process)
                return False
        orphans, spent, spent_before = await finished(process)
        assert spent + spent_before == len(self.addresses)
        self.check(orphans)
        return True

    def check(self, orphans: int) -> None:
        """Compare the report of the last process with the ledger of the sandbox."""
        ledger = self.sandbox.ledger
        assert {ledger.paid[address] for address in self.addresses} == {1}
        starts = len(ledger.starts) - self.starts
        unstarted = len(ledger.uploads) - self.uploads - starts
        assert starts == PARTS
        assert unstarted <= orphans <= self.kills
        assert sorted(path.name for path in self.source.parent.iterdir()) == [
            ".verified.csv.done",
            "list.csv",
            "verified.csv",
        ]


@pytest.mark.asyncio
@pytest.mark.timeout(600)
async def test_a_run_that_is_killed_again_and_again_pays_each_address_once(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    moments = random.Random(KILLS)  # noqa: S311 - a test
    slow: tuple[Endpoint, ...] = ("upload", "start", "download")
    for endpoint in slow:
        sandbox.inject(Fault(kind=FaultKind.DELAY, endpoint=endpoint, delay=DELAY, times=None))
    proofs: list[Proof] = []
    kills = 0
    while kills < KILLS:
        proof = Proof(sandbox, tmp_path / str(len(proofs)), f"x{len(proofs)}.example.com")
        proofs.append(proof)
        over = False
        while not over:
            over = await proof.live(moments.uniform(0, LIFETIME) if kills < KILLS else None)
            kills = sum(one.kills for one in proofs)
    assert kills == KILLS
    assert sandbox.ledger.credits_spent == len(proofs) * PARTS * A_PART
    for proof in proofs:
        expected = moved(await undisturbed(proof.source, A_PART), sandbox)
        assert proof.output.read_bytes() == expected

"""A lock ends with its process: a forked child does not keep it."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bulkverify import Client, JournalError
from bulkverify.run.folder import LOCK
from bulkverify.run.journal import Journal
from bulkverify.run.record import PartRecord, PartState
from bulkverify.run.source import Splitting
from bulkverify.sandbox import Sandbox

from .lists import D, U, table, verdicts_of, verified
from .test_progress import split_of

FORKING = Path(__file__).with_name("forking.py")


def start(*words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603
        [sys.executable, str(FORKING), *words],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", ["fork", "multiprocessing", "subprocess"])
async def test_a_child_of_a_run_does_not_keep_its_lock(  # noqa: PLR0917 - fixtures
    sandbox: Sandbox, client: Client, source: Path, output: Path, folder: Path, kind: str
) -> None:
    parent = await asyncio.to_thread(start, kind, sandbox.url, str(source), str(output))
    assert parent.stdout is not None
    child = int(await asyncio.to_thread(parent.stdout.readline))
    try:
        with pytest.raises(JournalError, match=f"process {parent.pid} is at work"):
            await verified(client, source, output)
        parent.kill()
        parent.wait()
        await verified(client, source, output)
        os.kill(child, 0)  # it has outlived the call
    finally:
        parent.stdout.close()
        os.kill(child, signal.SIGKILL)
    assert verdicts_of(table(output)) == ["verdict", D, U, D]
    assert sandbox.ledger.credits_spent == 2
    assert not folder.exists()


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # from Python 3.12 on, of threads
def test_a_child_neither_writes_nor_deletes_nor_unlocks_what_its_parent_has_open(
    folder: Path,
) -> None:
    with Journal(folder) as journal:
        record = journal.begin(split_of(1), "https://api.example.com/v1", Splitting())
        record.parts[0] = PartRecord(number=1, state=PartState.UPLOADING)
        before = (folder / "run.json").read_bytes()
        child = os.fork()
        if not child:
            code = 1
            try:
                journal.remove()
                journal.save()
            except JournalError:
                journal.close()
                code = 0
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert (folder / "run.json").read_bytes() == before
        with pytest.raises(JournalError, match="is at work"):
            Journal(folder)
    assert {path.name for path in folder.iterdir()} == {"run.json", LOCK}

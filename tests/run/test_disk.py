"""A full disk at any moment: the error is clear, and nothing that was paid is lost."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bulkverify import Client, RunProgress, Stage
from bulkverify.sandbox import Sandbox

from .lists import left_behind, name, numbered, table, verdicts_of, verified


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Make a disk of 1 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "bulkverify", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    except OSError as error:
        pytest.skip(f"a small disk can't be made here: {error}")
    if done.returncode:
        pytest.skip(f"a small disk can't be made here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)  # noqa: S603, S607


def fill(disk: Path) -> Path:
    """Fill the disk."""
    path = disk / "filler"
    with path.open("wb", buffering=0) as file:
        for size in (65536, 4096):
            with pytest.raises(OSError, match="No space left"):  # noqa: PT012 - at some point
                while True:
                    file.write(bytes(size))
    return path


def protect(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)  # noqa: S603, S607


@pytest.mark.asyncio
async def test_a_list_that_does_not_fit_raises_before_anything_is_sent(
    sandbox: Sandbox, client: Client, source: Path, disk: Path
) -> None:
    source.write_text(numbered(50_000))
    with pytest.raises(OSError, match="No space left on device") as info:
        await verified(client, source, disk / "verified.csv")
    assert info.value.filename == str(disk / "verified.csv.progress")
    assert sandbox.ledger.requests.total() == 0
    assert list(disk.iterdir()) == []


@pytest.mark.asyncio
@pytest.mark.parametrize("part", [1, 2])
@pytest.mark.parametrize(
    "stage",
    [
        Stage.UPLOADING,
        Stage.PREPARING,
        Stage.STARTING,
        Stage.VERIFYING,
        Stage.DOWNLOADING,
        Stage.FETCHED,
        Stage.JOINING,
    ],
)
async def test_a_disk_that_fills_up_loses_nothing(  # noqa: PLR0917 - fixtures
    sandbox: Sandbox, client: Client, source: Path, disk: Path, stage: Stage, part: int
) -> None:
    fillers: list[Path] = []

    def fill_up(seen: RunProgress) -> None:
        if seen.stage is stage and not fillers and (not seen.part or seen.part.number == part):
            fillers.append(fill(disk))

    source.write_text(numbered(8))
    output = disk / "verified.csv"
    with pytest.raises(OSError, match="No space left on device") as info:
        await verified(client, source, output, largest_part=4, on_progress=fill_up)
    told = Path(os.fspath(info.value.filename))
    assert told in {output, *(disk / "verified.csv.progress").iterdir()} or not told.exists()
    assert disk in told.parents
    assert not output.exists()
    fillers[0].unlink()
    report = await verified(client, source, output, largest_part=4)
    assert verdicts_of(table(output)[1:]) == [name(number).partition("+")[0] for number in range(8)]
    assert set(sandbox.ledger.paid.values()) == {1}
    assert report.credits_spent + report.credits_spent_before == 8
    assert len(sandbox.ledger.uploads) - 2 <= report.orphans <= 2
    assert left_behind(output) == []


@pytest.mark.asyncio
async def test_an_output_that_can_not_be_written_raises_before_anything_is_sent(
    sandbox: Sandbox, client: Client, source: Path, disk: Path
) -> None:
    protect(disk)
    with pytest.raises(OSError, match="Read-only file system") as info:
        await verified(client, source, disk / "verified.csv")
    assert info.value.filename == str(disk / "verified.csv")
    assert sandbox.ledger.requests.total() == 0

"""A journal that was damaged: files are made or fetched again, or refused, and never paid again."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

from bulkverify import (
    BulkVerifyError,
    Client,
    IncompleteRunError,
    JournalError,
    RunProgress,
    Stage,
)
from bulkverify.run.folder import LOCK
from bulkverify.run.journal import Journal
from bulkverify.run.source import ListReader, Splitting
from bulkverify.sandbox import Sandbox

from .lists import D, journal_at, left_behind, name, numbered, table, verdicts_of, verified

OPTIONS: dict[str, Any] = {"largest_part": 2}
ROWS = [name(number).partition("+")[0] for number in range(6)]


class StopError(Exception):
    """Ends a call at a moment that the test chooses."""


def stop_at(stage: Stage, part: int) -> Callable[[RunProgress], None]:
    def stop(seen: RunProgress) -> None:
        if seen.stage is stage and (seen.part is None or seen.part.number == part):
            raise StopError

    return stop


@pytest.fixture
def many(source: Path) -> Path:
    source.write_text(numbered(6))
    return source


async def stopped(client: Client, source: Path, output: Path, stage: Stage, part: int = 2) -> None:
    with pytest.raises(StopError):
        await verified(client, source, output, on_progress=stop_at(stage, part), **OPTIONS)


def emptied(content: bytes) -> bytes:
    return content[:0]


def zeroed(content: bytes) -> bytes:
    return bytes(len(content))


def halved(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flipped(content: bytes) -> bytes:
    """Swap two bytes in the middle; in `rows.bin` they become the address of another row."""
    middle = len(content) // 2 // 4 * 4
    return (
        content[: middle - 4] + content[middle : middle + 4] + content[middle - 4 : middle]
    ) + content[middle + 4 :]


def gone(_: bytes) -> None:
    return None


DAMAGES = [emptied, zeroed, halved, flipped, gone]
FILES = ["rows.bin", "part-0001.csv", "part-0003.csv", "part-0001.results.csv"]


def damage(path: Path, by: Callable[[bytes], bytes | None]) -> None:
    content = by(path.read_bytes())
    path.unlink()
    if content is not None:
        path.write_bytes(content)


@pytest.mark.asyncio
@pytest.mark.parametrize("by", DAMAGES)
@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("stage", [Stage.VERIFYING, Stage.JOINING])
async def test_a_damaged_file_is_made_or_fetched_again(  # noqa: PLR0917 - fixtures
    sandbox: Sandbox,
    client: Client,
    many: Path,
    output: Path,
    folder: Path,
    stage: Stage,
    file: str,
    by: Callable[[bytes], bytes | None],
) -> None:
    await stopped(client, many, output, stage, 3)
    path = folder / file
    if not path.exists():  # not yet fetched when the third part is verified
        path = min(folder.glob("*.csv"))
    damage(path, by)
    report = await verified(client, many, output, **OPTIONS)
    assert verdicts_of(table(output)[1:]) == ROWS
    assert set(sandbox.ledger.paid.values()) == {1}
    assert len(sandbox.ledger.uploads) == 3
    assert report.credits_spent + report.credits_spent_before == 6
    assert report.missing == 0
    assert left_behind(output) == []


@pytest.mark.asyncio
async def test_a_journal_recovers_from_its_record_alone(
    sandbox: Sandbox, client: Client, many: Path, output: Path, folder: Path
) -> None:
    await stopped(client, many, output, Stage.JOINING)
    for path in folder.iterdir():
        if path.is_file() and path.name != "run.json":
            path.unlink()
    await verified(client, many, output, **OPTIONS)
    assert verdicts_of(table(output)[1:]) == ROWS
    assert sandbox.ledger.credits_spent == 6


@pytest.mark.asyncio
async def test_intact_results_are_not_fetched_again(
    sandbox: Sandbox, client: Client, many: Path, output: Path, folder: Path
) -> None:
    await stopped(client, many, output, Stage.JOINING)
    damage(folder / "part-0002.results.csv", halved)
    before = sandbox.ledger.requests["download"]
    await verified(client, many, output, **OPTIONS)
    assert sandbox.ledger.requests["download"] == before + 1


@pytest.mark.asyncio
@pytest.mark.parametrize("gone", [False, True])
async def test_results_without_a_digest_are_fetched_again(  # noqa: PLR0917 - fixtures
    sandbox: Sandbox,
    client: Client,
    many: Path,
    output: Path,
    folder: Path,
    gone: bool,  # noqa: FBT001 - a row of the table
) -> None:
    await stopped(client, many, output, Stage.JOINING)
    record = journal_at(folder)
    record["parts"][0]["results"] = None
    (folder / "run.json").write_text(json.dumps(record))
    if gone:
        (folder / "part-0001.results.csv").unlink()
    before = sandbox.ledger.requests["download"]
    await verified(client, many, output, **OPTIONS)
    assert sandbox.ledger.requests["download"] == before + 1
    assert verdicts_of(table(output)[1:]) == ROWS
    assert sandbox.ledger.credits_spent == 6


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "edit",
    [
        {"rows": 5},
        {"rows": -1},
        {"rows": 10**17},
        {"addresses": 7},
        {"duplicates": 1},
        {"codes": ""},
        {"content": "x"},
    ],
)
async def test_an_edited_count_is_corrected(  # noqa: PLR0917 - fixtures
    sandbox: Sandbox, client: Client, many: Path, output: Path, folder: Path, edit: dict[str, int]
) -> None:
    await stopped(client, many, output, Stage.VERIFYING)
    record = journal_at(folder)
    record["split"] |= edit
    (folder / "run.json").write_text(json.dumps(record))
    report = await verified(client, many, output, **OPTIONS)
    assert verdicts_of(table(output)[1:]) == ROWS
    assert (report.rows, report.addresses, report.duplicates) == (6, 6, 0)
    assert sandbox.ledger.credits_spent == 6


@pytest.mark.asyncio
@pytest.mark.parametrize("edit", [{"addresses": 10**17}, {"size_bytes": 3}, {"first_row": -4}])
async def test_an_edited_part_is_corrected(  # noqa: PLR0917 - fixtures
    sandbox: Sandbox, client: Client, many: Path, output: Path, folder: Path, edit: dict[str, int]
) -> None:
    await stopped(client, many, output, Stage.VERIFYING)
    record = journal_at(folder)
    record["split"]["parts"][1] |= edit
    (folder / "run.json").write_text(json.dumps(record))
    report = await verified(client, many, output, **OPTIONS)
    assert verdicts_of(table(output)[1:]) == ROWS
    assert [(part.addresses, part.first_row) for part in report.parts] == [(2, 1), (2, 3), (2, 5)]
    assert sandbox.ledger.credits_spent == 6


def same_id(record: Any) -> None:  # noqa: ANN401
    record["parts"][1]["job_id"] = record["parts"][0]["job_id"]


def no_id(record: Any) -> None:  # noqa: ANN401
    record["parts"][0]["job_id"] = None


def part_lost(record: Any) -> None:  # noqa: ANN401
    del record["parts"][0]


def part_lost_from_both(record: Any) -> None:  # noqa: ANN401
    del record["parts"][0], record["split"]["parts"][0]


def last_part_lost_from_both(record: Any) -> None:  # noqa: ANN401
    del record["parts"][-1], record["split"]["parts"][-1]


def part_twice(record: Any) -> None:  # noqa: ANN401
    record["parts"][1]["number"] = 1


def set_part(**values: object) -> Callable[[Any], None]:
    return lambda record: record["parts"][0].update(values)


def set_split(**values: object) -> Callable[[Any], None]:
    return lambda record: record["split"].update(values)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "edit",
    [
        same_id,
        no_id,
        part_lost,
        part_lost_from_both,
        last_part_lost_from_both,
        part_twice,
        set_part(state="paid"),
        set_part(state=None),
        set_part(state=["started"]),
        set_part(job_id=7),
        set_part(credits=-1),
        set_part(orphans=-1),
        set_part(credits="many"),
        set_part(credits=10**30),
        set_part(credits=1e308),
        set_part(number=10**30),
        set_part(uploaded_at="yesterday"),
        set_part(results=5),
        set_split(parts=None),
        set_split(parts="none"),
        set_split(fingerprint="x"),
        set_split(rows=None),
        lambda record: record.update(parts={}),
        lambda record: record.update(seal=None),
        lambda record: record.update(splitting={"largest_rows": 0}),
        lambda record: record.update(written={"size": 3}),
    ],
)
async def test_an_inconsistent_record_is_refused_with_hints(  # noqa: PLR0917 - fixtures
    sandbox: Sandbox,
    client: Client,
    many: Path,
    output: Path,
    folder: Path,
    edit: Callable[[Any], None],
) -> None:
    await stopped(client, many, output, Stage.JOINING)
    record = journal_at(folder)
    edit(record)
    (folder / "run.json").write_text(json.dumps(record))
    files = sorted(path.name for path in folder.iterdir())
    before = sandbox.ledger.requests.total()
    with pytest.raises(JournalError, match=r"use `restart=True`, or delete") as info:
        await verified(client, many, output, **OPTIONS)
    assert info.value.path == str(folder)
    assert sandbox.ledger.requests.total() == before
    assert sorted(path.name for path in folder.iterdir()) == files
    await verified(client, many, output, restart=True, **OPTIONS)
    assert verdicts_of(table(output)[1:]) == ROWS


@pytest.mark.parametrize("put", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to("there")])
@pytest.mark.timeout(10)
def test_a_record_that_is_not_a_file_is_refused(folder: Path, put: Callable[[Path], None]) -> None:
    with Journal(folder):
        pass
    put(folder / "run.json")
    with pytest.raises(JournalError, match=r"run\.json can't be read"):
        Journal(folder)


@pytest.mark.asyncio
@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize(
    "put", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to("../list.csv")]
)
@pytest.mark.timeout(20)
async def test_a_non_file_in_the_place_of_a_file_is_named_and_stays(  # noqa: PLR0917 - fixtures
    sandbox: Sandbox,
    client: Client,
    many: Path,
    output: Path,
    folder: Path,
    file: str,
    put: Callable[[Path], None],
) -> None:
    await stopped(client, many, output, Stage.JOINING)
    (folder / file).unlink()
    put(folder / file)
    before = many.read_bytes()
    with pytest.raises(OSError, match=file):
        await verified(client, many, output, **OPTIONS)
    assert many.read_bytes() == before
    if (folder / file).is_dir():
        (folder / file).rmdir()
    else:
        (folder / file).unlink()
    await verified(client, many, output, **OPTIONS)
    assert verdicts_of(table(output)[1:]) == ROWS
    assert sandbox.ledger.credits_spent == 6


@pytest.mark.asyncio
async def test_a_damaged_split_that_can_not_be_reproduced_is_refused(
    client: Client,
    many: Path,
    output: Path,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # As another version might split.
    await stopped(client, many, output, Stage.VERIFYING)
    (folder / "rows.bin").unlink()
    split = ListReader.split

    async def otherwise(self: ListReader, *more: Any, **options: Any) -> Any:  # noqa: ANN401
        table, folder, _, tracker = more
        return await split(self, table, folder, Splitting(largest_rows=3), tracker, **options)

    monkeypatch.setattr(ListReader, "split", otherwise)
    with pytest.raises(JournalError, match=r"no longer split as before.*credits spent on it"):
        await verified(client, many, output, **OPTIONS)


@pytest.mark.asyncio
async def test_a_damaged_split_with_as_many_other_parts_is_refused(
    client: Client,
    many: Path,
    output: Path,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await stopped(client, many, output, Stage.VERIFYING)
    (folder / "rows.bin").unlink()
    split = ListReader.split

    async def otherwise(*more: Any, **options: Any) -> Any:  # noqa: ANN401
        found = await split(*more, **options)
        return attrs.evolve(found, rows=found.rows + 1)

    monkeypatch.setattr(ListReader, "split", otherwise)
    with pytest.raises(JournalError, match="no longer split as before"):
        await verified(client, many, output, **OPTIONS)


@pytest.mark.asyncio
async def test_a_list_that_changed_is_refused_before_anything_is_made_again(
    client: Client, many: Path, output: Path, folder: Path
) -> None:
    await stopped(client, many, output, Stage.VERIFYING)
    (folder / "rows.bin").unlink()
    many.write_text(numbered(7))
    with pytest.raises(JournalError, match="has changed since"):
        await verified(client, many, output, **OPTIONS)
    assert not (folder / "rows.bin").exists()


# Syncs


@pytest.mark.asyncio
async def test_the_files_for_a_resume_are_synced_before_anything_is_sent(
    client: Client, many: Path, output: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync = os.fsync
    synced: set[tuple[int, int]] = set()

    def key(found: os.stat_result) -> tuple[int, int]:
        return found.st_ino, found.st_size

    def note(descriptor: int) -> None:
        synced.add(key(os.fstat(descriptor)))
        sync(descriptor)

    def look(seen: RunProgress) -> None:
        if seen.stage is Stage.UPLOADING and seen.part and seen.part.number == 1:
            files = [path for path in folder.iterdir() if path.is_file() and path.name != LOCK]
            assert len(files) == 5
            assert {key(path.stat()) for path in files} <= synced
            inodes = {inode for inode, _ in synced}
            assert {folder.stat().st_ino, folder.parent.stat().st_ino} <= inodes

    monkeypatch.setattr(os, "fsync", note)
    await verified(client, many, output, on_progress=look, parts_at_once=1, **OPTIONS)
    assert output.exists()


@pytest.mark.asyncio
async def test_results_are_synced_before_they_are_recorded(
    client: Client, source: Path, output: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    sync, replace = os.fsync, Path.replace

    def note(descriptor: int) -> None:
        order.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        sync(descriptor)

    def rename(path: Path, target: Path) -> Path:
        if target.name == "run.json" and path.read_bytes().count(b'"downloaded"'):
            order.append("said")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", note)
    monkeypatch.setattr(Path, "replace", rename)
    await verified(client, source, output)
    said = order.index("said")
    assert any("results" in one for one in order[:said])
    assert order[said + 1] == folder.name


@pytest.mark.asyncio
async def test_a_paid_list_without_results_is_not_paid_again(
    sandbox: Sandbox, client: Client, many: Path, output: Path, folder: Path
) -> None:
    await stopped(client, many, output, Stage.JOINING)
    (folder / "part-0001.results.csv").unlink()
    await client.delete(journal_at(folder)["parts"][0]["job_id"])
    async with Client(sandbox.api_key, base_url=sandbox.url) as other:
        with pytest.raises(BulkVerifyError):
            await verified(other, many, output, **OPTIONS)
    assert sandbox.ledger.credits_spent == 6
    assert D in verdicts_of(table(output))


@pytest.mark.asyncio
@pytest.mark.parametrize("by", [gone, halved, zeroed])
async def test_lost_results_of_a_lone_address_are_made_again_from_its_answer(  # noqa: PLR0917 - fixtures
    sandbox: Sandbox,
    client: Client,
    source: Path,
    output: Path,
    folder: Path,
    by: Callable[[bytes], bytes | None],
) -> None:
    source.write_text(numbered(1))
    await stopped(client, source, output, Stage.JOINING)
    assert "@" not in (folder / "run.json").read_text()
    damage(folder / "part-0001.results.csv", by)
    report = await verified(client, source, output, **OPTIONS)
    assert (report.credits_spent, report.credits_spent_before) == (0, 1)
    assert verdicts_of(table(output)[1:]) == [D]
    assert sandbox.ledger.requests["verify"] == 1


@pytest.mark.asyncio
async def test_a_record_that_is_older_than_the_results_is_refused(
    sandbox: Sandbox, client: Client, many: Path, output: Path, folder: Path
) -> None:
    older: list[bytes] = []

    def keep(seen: RunProgress) -> None:
        if seen.part is not None and seen.part.stage is Stage.UPLOADING:
            older.append((folder / "run.json").read_bytes())
        if seen.part is not None and seen.part.stage is Stage.FETCHED:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        await verified(client, many, output, largest_part=2, parts_at_once=1, on_progress=keep)
    spent = sandbox.ledger.credits_spent
    newer = (folder / "run.json").read_bytes()
    (folder / "run.json").write_bytes(older[0])
    with pytest.raises(JournalError, match="older than the results"):
        await verified(client, many, output, largest_part=2)
    assert sandbox.ledger.credits_spent == spent
    (folder / "run.json").write_bytes(newer)
    await verified(client, many, output, largest_part=2)
    assert not sandbox.ledger.paid_twice


@pytest.mark.asyncio
async def test_a_rewritten_output_keeps_nothing_of_the_first_try(
    client: Client, many: Path, output: Path, folder: Path
) -> None:
    def cut(seen: RunProgress) -> None:
        if seen.stage is Stage.JOINING:
            path = folder / "part-0002.results.csv"
            if path.exists():
                path.write_bytes(b"nothing of the kind")

    with pytest.raises(IncompleteRunError):
        await verified(client, many, output, largest_part=2, on_progress=cut)
    first, *rows = output.read_text().splitlines()
    assert first.startswith("n,email,")
    assert len(rows) == 6
    await verified(client, many, output, largest_part=2)
    assert output.read_text().startswith(first)


@pytest.mark.asyncio
async def test_a_part_that_can_not_be_read_counts_as_never_sent(
    sandbox: Sandbox, client: Client, many: Path, output: Path, folder: Path
) -> None:
    def lose(seen: RunProgress) -> None:
        if seen.part is not None and seen.part.stage is Stage.UPLOADING:
            (folder / "part-0002.csv").unlink(missing_ok=True)

    with pytest.raises(FileNotFoundError):
        await verified(client, many, output, largest_part=2, parts_at_once=1, on_progress=lose)
    report = await verified(client, many, output, largest_part=2)
    assert report.orphans == 0
    assert len(sandbox.ledger.uploads) == 3


@pytest.mark.asyncio
async def test_results_without_their_record_are_not_paid_again(
    sandbox: Sandbox, client: Client, many: Path, output: Path, folder: Path
) -> None:
    await stopped(client, many, output, Stage.JOINING)
    kept = (folder / "run.json").read_bytes()
    (folder / "run.json").unlink()
    with pytest.raises(JournalError, match=r"run\.json is missing, but results of parts") as caught:
        await verified(client, many, output, **OPTIONS)
    assert "restart" in str(caught.value)
    assert len(list(folder.glob("*.results.csv"))) == 3
    assert set(sandbox.ledger.paid.values()) == {1}
    (folder / "run.json").write_bytes(kept)
    await verified(client, many, output, **OPTIONS)
    assert set(sandbox.ledger.paid.values()) == {1}
    assert left_behind(output) == []

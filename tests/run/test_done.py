"""The same call does not pay again for a finished list: a note beside the output names it."""

import errno
import json
import logging
import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from bulkverify import Client, IncompleteRunError, JournalError, RunProgress, RunReport, Stage
from bulkverify.run import journal as journal_module
from bulkverify.run.journal import Journal
from bulkverify.run.run import Run
from bulkverify.run.source import ListReader, Splitting
from bulkverify.run.written import VALID, Written, note_of
from bulkverify.sandbox import Fault, FaultKind, Sandbox

from .lists import A, D, K, U, journal_at, left_behind, numbered, table, verdicts_of, verified
from .test_progress import split_of

MINUTE = timedelta(minutes=1)


class DiedError(BaseException):
    """Stands for a process that dies."""


@contextmanager
def dying() -> Iterator[None]:
    """Let a run die after its output is written, before its journal is deleted."""

    def die(*_: object) -> None:
        raise DiedError

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(journal_module, "remove_folder", die)
        with pytest.raises(DiedError):
            yield


def age(output: Path, by: timedelta) -> None:
    """Make the note beside an output older, and the same in its journal."""
    before = (datetime.now(UTC) - by).isoformat()
    note = note_of(output)
    if note.exists():
        note.write_text(json.dumps(json.loads(note.read_text()) | {"written_at": before}))
    folder = output.with_name(f"{output.name}.progress")
    if folder.exists():
        record = journal_at(folder)
        record["written"]["written_at"] = before
        (folder / "run.json").write_text(json.dumps(record))


async def again(
    sandbox: Sandbox,
    client: Client,
    source: Any,  # noqa: ANN401
    output: Path,
    **options: Any,  # noqa: ANN401
) -> tuple[RunReport, int]:
    """Make a call, and return the number of its requests."""
    before, began = sandbox.ledger.requests.total(), monotonic()
    report = await verified(client, source, output, **options)
    assert 0 <= report.seconds < monotonic() - began + 0.001
    return report, sandbox.ledger.requests.total() - before


@pytest.mark.asyncio
@pytest.mark.parametrize("overwrite", [True, False])
async def test_the_same_call_finds_its_output_and_pays_nothing(  # noqa: PLR0917 - fixtures
    sandbox: Sandbox,
    client: Client,
    source: Path,
    output: Path,
    overwrite: bool,  # noqa: FBT001 - a row of the table
    caplog: pytest.LogCaptureFixture,
) -> None:
    first = await verified(client, source, output)
    content = output.read_bytes()
    with caplog.at_level(logging.INFO, "bulkverify"):
        second, requests = await again(sandbox, client, source, output, overwrite=overwrite)
    assert (requests, output.read_bytes()) == (0, content)
    assert (first.credits_spent, first.already_verified_at) == (2, None)
    assert (second.credits_spent, second.credits_spent_before, second.requests) == (0, 2, 0)
    assert second.already_verified_at is not None
    assert datetime.now(UTC) - second.already_verified_at < MINUTE
    same = ("destination", "rows", "written", "verdicts", "flags", "parts", "saved", "failures")
    assert [getattr(first, name) for name in same] == [getattr(second, name) for name in same]
    restart = "`restart=True`" if overwrite else "`restart=True` with `overwrite=True`"
    assert f"nothing was sent or spent. {restart} verifies it again." in caplog.text
    assert left_behind(output) == []


@pytest.mark.asyncio
async def test_the_note_is_the_owners_and_holds_neither_the_key_nor_an_address(
    client: Client, source: Path, output: Path
) -> None:
    await verified(client, source, output)
    note = note_of(output)
    assert note.name == ".verified.csv.done"
    assert stat.S_IMODE(note.stat().st_mode) == 0o600
    assert "@" not in note.read_text()
    assert "sandbox" not in note.read_text()  # the key


@pytest.mark.asyncio
async def test_the_note_is_on_the_disk_before_the_output_has_its_name(
    client: Client, source: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[str, bool]] = []
    sync, replace = os.fsync, Path.replace

    def note(descriptor: int) -> None:
        sync(descriptor)
        if os.fstat(descriptor).st_ino == output.parent.stat().st_ino:
            synced.append(("folder", note_of(output).exists()))

    def rename(path: Path, target: Path) -> Path:
        if target == output:
            synced.append(("output", note_of(output).exists()))
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", note)
    monkeypatch.setattr(Path, "replace", rename)
    await verified(client, source, output)
    # The folder is synced when the journal has been made, with the note, and with the output.
    assert synced == [("folder", False), ("folder", True), ("output", True), ("folder", True)]


@pytest.mark.asyncio
@pytest.mark.parametrize("overwrite", [True, False])
@pytest.mark.parametrize("knows", ["the note", "the journal"])
async def test_an_output_is_recognised_while_its_journal_is_still_there(  # noqa: PLR0917 - fixtures
    sandbox: Sandbox,
    client: Client,
    source: Path,
    output: Path,
    folder: Path,
    overwrite: bool,  # noqa: FBT001 - a row of the table
    knows: str,
) -> None:
    with dying():
        await verified(client, source, output, overwrite=overwrite)
    if knows == "the note":
        (folder / "run.json").unlink()
    else:
        note_of(output).unlink()
    report, requests = await again(sandbox, client, source, output, overwrite=overwrite)
    assert (requests, report.credits_spent_before) == (0, 2)
    assert left_behind(output) == []


@pytest.mark.asyncio
async def test_a_list_verified_in_place_is_not_verified_twice(
    sandbox: Sandbox, client: Client, source: Path
) -> None:
    await verified(client, source, source, overwrite=True)
    written = source.read_bytes()
    report, requests = await again(sandbox, client, source, source, overwrite=True)
    assert (requests, report.rows, report.credits_spent) == (0, 3, 0)
    assert source.read_bytes() == written


@pytest.mark.asyncio
async def test_an_output_that_becomes_a_list_is_verified(
    sandbox: Sandbox, client: Client, source: Path, output: Path
) -> None:
    await verified(client, source, output)
    report, _ = await again(sandbox, client, output, output, overwrite=True)
    assert report.already_verified_at is None
    assert table(output)[0][-1] == "bulkverify_verified_at"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "options",
    [
        {"only": [D]},
        {"delimiter": ","},
        {"encoding": "cp1252"},
        {"excel_safe": True},
        {"deduplicate": False},
    ],
)
async def test_a_list_verified_in_place_is_verified_anew_with_other_options(
    sandbox: Sandbox, client: Client, source: Path, options: dict[str, Any]
) -> None:
    await verified(client, source, source, overwrite=True)
    _, requests = await again(sandbox, client, source, source, overwrite=True, **options)
    assert requests > 0


@pytest.mark.asyncio
async def test_an_output_that_replaced_one_of_several_lists_is_recognised_by_the_others(
    sandbox: Sandbox, client: Client, source: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.csv"
    other.write_text(f"email\n{D}+2@x.com\n")
    await verified(client, [source, other], source, overwrite=True)
    _, requests = await again(sandbox, client, [source, other], source, overwrite=True)
    assert requests == 0
    other.write_text(f"email\n{D}+3@x.com\n")
    _, requests = await again(sandbox, client, [source, other], source, overwrite=True)
    assert requests > 0
    _, requests = await again(sandbox, client, [source], source, overwrite=True)
    assert requests > 0


@pytest.mark.asyncio
async def test_a_source_that_is_read_only_once_is_never_recognised(
    source: Path, tmp_path: Path
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    options: dict[str, Any] = {"column": None, "delimiter": None, "encoding": "utf-8"}
    reader = ListReader(source=[source, pipe], format=None, **options)
    assert await reader.beside(source) is None


@pytest.mark.asyncio
@pytest.mark.parametrize("overwrite", [True, False])
async def test_a_list_of_addresses_is_recognised_too(
    sandbox: Sandbox,
    client: Client,
    output: Path,
    overwrite: bool,  # noqa: FBT001 - a row of the table
) -> None:
    addresses = [f"{D}@x.com", f"{U}@x.com"]
    await verified(client, addresses, output)
    _, requests = await again(sandbox, client, iter(addresses), output, overwrite=overwrite)
    assert requests == 0
    assert left_behind(output) == []


# Another call


@pytest.mark.asyncio
async def test_another_list_is_verified(
    sandbox: Sandbox, client: Client, source: Path, output: Path
) -> None:
    await verified(client, source, output)
    source.write_text(f"name,email\nEve,{U}@x.com\n")
    with pytest.raises(FileExistsError):
        await verified(client, source, output)
    report, _ = await again(sandbox, client, source, output, overwrite=True)
    assert (report.rows, report.already_verified_at) == (1, None)
    _, requests = await again(sandbox, client, source, output)
    assert requests == 0  # the note is of the new one


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "options",
    [
        {"only": [U]},
        {"excel_safe": True},
        {"judge": False},
        {"deduplicate": False},
        {"restart": True},
        {"encoding": "cp1252"},
    ],
)
async def test_another_call_verifies_the_list_again(
    sandbox: Sandbox, client: Client, source: Path, output: Path, options: dict[str, Any]
) -> None:
    source.write_text(f"email;x\n{D}@x.com;1\n")
    await verified(client, source, output)
    with pytest.raises(FileExistsError):
        await verified(client, source, output, **options)
    report, requests = await again(sandbox, client, source, output, overwrite=True, **options)
    assert requests > 0
    assert report.already_verified_at is None


@pytest.mark.asyncio
async def test_another_service_verifies_the_list_again(source: Path, output: Path) -> None:
    for _ in range(2):
        async with (
            Sandbox(speed=1000, requests_per_minute=None) as sandbox,
            Client(sandbox.api_key, base_url=sandbox.url, requests_per_minute=None) as client,
        ):
            await verified(client, source, output, overwrite=True)
            assert sandbox.ledger.credits_spent == 2


@pytest.mark.asyncio
async def test_an_output_is_recognised_with_the_older_spelling_of_a_verdict(
    sandbox: Sandbox, client: Client, source: Path, output: Path
) -> None:
    await verified(client, source, output, only=["accept all", D])
    note = note_of(output)
    assert '"accept-all"' in note.read_text()
    note.write_text(note.read_text().replace('"accept-all"', '"accept_all"'))
    for spelling in ("accept-all", "accept_all"):
        _, requests = await again(sandbox, client, source, output, only=[spelling, D])
        assert requests == 0


@pytest.mark.asyncio
async def test_the_note_of_an_earlier_version_left_out_nothing_and_deleted_nothing(
    sandbox: Sandbox, client: Client, source: Path, output: Path
) -> None:
    await verified(client, source, output)
    note = note_of(output)
    later = ("without", "deleted")
    kept = {
        name: value for name, value in json.loads(note.read_text()).items() if name not in later
    }
    note.write_text(json.dumps(kept))
    _, requests = await again(sandbox, client, source, output, delete=True)
    assert (requests, len(sandbox.ledger.deletes)) == (1, 1)


@pytest.mark.asyncio
async def test_options_that_do_not_affect_the_output_may_change(
    sandbox: Sandbox, client: Client, source: Path, output: Path
) -> None:
    await verified(client, source, output, only=[D, U])
    options: dict[str, Any] = {"largest_part": 2, "parts_at_once": 3, "max_credits": 0}
    _, requests = await again(sandbox, client, source, output, only=[U, D], **options)
    assert requests == 0


@pytest.mark.asyncio
@pytest.mark.parametrize("by", [VALID + MINUTE, -VALID - MINUTE])
async def test_after_six_days_a_list_is_verified_anew(
    sandbox: Sandbox, client: Client, source: Path, output: Path, by: timedelta
) -> None:
    assert timedelta(days=6) == VALID
    await verified(client, source, output)
    age(output, by)
    with pytest.raises(FileExistsError):
        await verified(client, source, output)
    _, requests = await again(sandbox, client, source, output, overwrite=True)
    assert requests > 0


@pytest.mark.asyncio
async def test_within_six_days_a_list_is_not_verified_anew(
    sandbox: Sandbox, client: Client, source: Path, output: Path
) -> None:
    await verified(client, source, output)
    age(output, VALID - MINUTE)
    _, requests = await again(sandbox, client, source, output, overwrite=True)
    assert requests == 0


@pytest.mark.asyncio
@pytest.mark.parametrize("place", ["beside", "in place"])
@pytest.mark.parametrize("finished", [True, False])
async def test_a_journal_finished_six_days_ago_gives_no_old_verdicts(  # noqa: PLR0917 - fixtures
    sandbox: Sandbox,
    client: Client,
    source: Path,
    output: Path,
    finished: bool,  # noqa: FBT001 - a row of the table
    place: str,
) -> None:
    output = source if place == "in place" else output
    with dying():
        await verified(client, source, output, overwrite=True)
    folder = output.with_name(f"{output.name}.progress")
    (folder / "run.json").write_text(json.dumps(journal_at(folder) | {"finished": finished}))
    age(output, VALID + MINUTE)
    report, _ = await again(sandbox, client, source, output, overwrite=True)
    assert report.credits_spent == 2
    assert sandbox.ledger.credits_spent == 4
    assert left_behind(output) == []


@pytest.mark.asyncio
@pytest.mark.parametrize("change", [b"", b"mine now", None])
async def test_an_output_that_was_changed_or_removed_is_not_recognised(
    sandbox: Sandbox, client: Client, source: Path, output: Path, change: bytes | None
) -> None:
    await verified(client, source, output)
    if change is None:
        output.unlink()
    else:
        output.write_bytes(change)
        with pytest.raises(FileExistsError):
            await verified(client, source, output)
    report, _ = await again(sandbox, client, source, output, overwrite=True)
    assert report.already_verified_at is None
    assert verdicts_of(table(output)) == ["verdict", D, U, D]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "damage",
    [
        lambda _: "",
        lambda text: text[: len(text) // 2],
        lambda text: "\0" * len(text),
        lambda _: "[]",
        lambda _: "{}",
        lambda _: "[" * 100_000,  # too deep for `json`
        lambda text: text.replace('"version": 1', '"version": 2'),
        lambda text: text.replace('"rows": 3', '"rows": "many"'),
    ],
)
async def test_a_damaged_note_does_not_cause_a_second_payment(
    sandbox: Sandbox, client: Client, source: Path, output: Path, damage: Callable[[str], str]
) -> None:
    await verified(client, source, output)
    note = note_of(output)
    note.write_text(damage(note.read_text()))
    for overwrite in (False, True):
        with pytest.raises(JournalError, match="restart=True"):
            await verified(client, source, output, overwrite=overwrite)
    assert sandbox.ledger.credits_spent == 2
    report, _ = await again(sandbox, client, source, output, overwrite=True, restart=True)
    assert report.already_verified_at is None
    assert Written.noted(output) is not None
    output.unlink()
    note.write_text(damage(note.read_text()))
    await verified(client, source, output)  # without the output the note is ignored


@pytest.mark.asyncio
async def test_a_damaged_note_is_written_anew_if_the_journal_knows_the_output(  # noqa: PLR0917 - fixtures
    sandbox: Sandbox,
    client: Client,
    source: Path,
    output: Path,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def die(*_: object, **__: object) -> None:
        raise DiedError

    with monkeypatch.context() as patched:
        patched.setattr(Run, "finish", die)
        with pytest.raises(DiedError):
            await verified(client, source, output)
    note_of(output).write_text("{")
    report, requests = await again(sandbox, client, source, output)
    assert (requests, report.credits_spent_before) == (0, 2)
    assert Written.noted(output) is not None
    assert not folder.exists()


@pytest.mark.asyncio
@pytest.mark.parametrize("put", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to("precious")])
@pytest.mark.timeout(20)
async def test_a_note_that_can_not_be_written_raises_before_anything_is_sent(
    sandbox: Sandbox, client: Client, source: Path, output: Path, put: Callable[[Path], None]
) -> None:
    precious = output.with_name("precious")
    precious.write_text("mine")
    put(note_of(output))
    with pytest.raises(OSError, match=re.escape(note_of(output).name)):
        await verified(client, source, output)
    assert sandbox.ledger.requests == {}
    assert precious.read_text() == "mine"


@pytest.mark.asyncio
async def test_a_name_that_is_too_long_raises_before_anything_is_sent(
    sandbox: Sandbox, client: Client, source: Path, tmp_path: Path
) -> None:
    for length in range(220, 256):
        output = tmp_path / f"{'v' * (length - 4)}.csv"
        try:
            await verified(client, source, output)
        except OSError as error:
            assert error.errno == errno.ENAMETOOLONG  # noqa: PT017 - the disk decides which lengths fit
            assert not output.exists()
            break
        report, requests = await again(sandbox, client, source, output, overwrite=True)
        assert (report.credits_spent, requests) == (0, 0)
    spent = sandbox.ledger.credits_spent
    with pytest.raises(OSError, match="too long"):
        await verified(client, source, output)
    assert sandbox.ledger.credits_spent == spent


@pytest.mark.asyncio
@pytest.mark.parametrize("overwrite", [False, True])
async def test_the_journal_stays_if_no_note_can_be_written(  # noqa: PLR0917 - fixtures
    sandbox: Sandbox,
    client: Client,
    source: Path,
    output: Path,
    folder: Path,
    overwrite: bool,  # noqa: FBT001 - a row of the table
) -> None:
    def put(progress: RunProgress) -> None:
        if progress.stage is Stage.JOINING and not note_of(output).exists():
            note_of(output).mkdir()

    await verified(client, source, output, on_progress=put)
    assert (folder / "run.json").exists()
    note_of(output).rmdir()
    report, requests = await again(sandbox, client, source, output, overwrite=overwrite)
    assert report.already_verified_at is not None
    assert (requests, sandbox.ledger.credits_spent) == (0, 2)
    assert note_of(output).exists()
    assert not folder.exists()


@pytest.mark.asyncio
async def test_an_older_note_does_not_replace_one_that_can_not_be_written(  # noqa: PLR0917 - fixtures
    sandbox: Sandbox,
    client: Client,
    source: Path,
    output: Path,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await verified(client, source, output)
    source.write_text(numbered(4))
    with monkeypatch.context() as patched:
        patched.setattr(Written, "note", lambda *_: False)
        await verified(client, source, output, overwrite=True)
    assert (folder / "run.json").exists()
    report, requests = await again(sandbox, client, source, output, overwrite=True)
    assert (requests, report.credits_spent_before, report.rows) == (0, 4, 4)
    assert not folder.exists()


@pytest.mark.asyncio
async def test_an_output_with_failed_parts_is_not_done(
    sandbox: Sandbox, client: Client, source: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source.write_text(numbered(4))
    await verified(client, source, output)
    assert note_of(output).exists()
    sandbox.inject(Fault(endpoint="upload", kind=FaultKind.DROP_AFTER))
    options: dict[str, Any] = {"largest_part": 2, "overwrite": True}
    noted: list[Path] = []
    with monkeypatch.context() as patched:
        patched.setattr(Written, "note", lambda _, path: noted.append(path))
        with pytest.raises(IncompleteRunError):
            await verified(client, source, output, restart=True, **options)
    assert not noted
    assert not note_of(output).exists()
    await verified(client, source, output, **options)
    assert verdicts_of(table(output)) == ["verdict", D, U, A, K]
    assert note_of(output).exists()


# Unfinished calls


@pytest.mark.asyncio
@pytest.mark.parametrize("died", [True, False])
async def test_lists_that_only_the_note_names_are_deleted(
    sandbox: Sandbox,
    client: Client,
    source: Path,
    output: Path,
    died: bool,  # noqa: FBT001 - a row of the table
) -> None:
    if died:
        with dying():
            await verified(client, source, output)
    else:
        await verified(client, source, output)
    assert sandbox.ledger.deletes == []
    report, requests = await again(sandbox, client, source, output, delete=True)
    assert sandbox.ledger.deletes == [report.parts[0].job_id]
    assert requests == 1
    _, requests = await again(sandbox, client, source, output, delete=True)
    assert requests == 0


@pytest.mark.asyncio
async def test_lists_with_missing_rows_are_kept(
    sandbox: Sandbox, client: Client, source: Path, output: Path
) -> None:
    await verified(client, source, output)
    note = note_of(output)
    note.write_text(note.read_text().replace('"missing": 0', '"missing": 1'))
    _, requests = await again(sandbox, client, source, output, delete=True)
    assert requests == 0


@pytest.mark.asyncio
async def test_a_run_that_is_under_way_is_not_forgotten_for_an_older_output(
    sandbox: Sandbox, client: Client, source: Path, output: Path, folder: Path
) -> None:
    def stop(seen: RunProgress) -> None:
        if seen.stage is Stage.VERIFYING:
            raise DiedError

    await verified(client, source, output)
    with pytest.raises(DiedError):
        await verified(client, source, output, overwrite=True, restart=True, on_progress=stop)
    report, _ = await again(sandbox, client, source, output, overwrite=True)
    assert (report.already_verified_at, report.credits_spent_before) == (None, 2)
    assert sandbox.ledger.credits_spent == 4
    assert not folder.exists()
    # A run of another list is also kept.
    before = source.read_text()
    source.write_text(f"email\n{D}+1@x.com\n{D}+2@x.com\n")
    with pytest.raises(DiedError):
        await verified(client, source, output, overwrite=True, on_progress=stop)
    source.write_text(before)
    with pytest.raises(JournalError, match="has changed since"):
        await verified(client, source, output, overwrite=True)
    assert folder.exists()


@pytest.mark.asyncio
async def test_a_run_that_has_sent_nothing_does_not_hide_an_earlier_output(
    sandbox: Sandbox, client: Client, source: Path, output: Path, folder: Path
) -> None:
    await verified(client, source, output)
    with Journal(folder) as journal:  # as if killed before the upload
        journal.begin(split_of(2), sandbox.url, Splitting())
    report, requests = await again(sandbox, client, source, output, overwrite=True)
    assert (report.already_verified_at is not None, requests) == (True, 0)


@pytest.mark.asyncio
async def test_an_output_that_was_about_to_be_replaced_is_still_known(
    sandbox: Sandbox,
    client: Client,
    source: Path,
    output: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source.write_text(numbered(4))
    body = '{"success": false, "result": "Invalid file data"}'
    sandbox.inject(Fault(kind=FaultKind.ANSWER, endpoint="upload", skip=1, status=400, body=body))
    with pytest.raises(IncompleteRunError):
        await verified(client, source, output, largest_part=2)

    def die(*_: object) -> None:
        raise DiedError

    with monkeypatch.context() as patched:
        patched.setattr(Written, "note", die)  # the last step before the output gets its name
        with pytest.raises(DiedError):
            await verified(client, source, output, largest_part=2)
    await verified(client, source, output, largest_part=2)
    assert verdicts_of(table(output)[1:]) == [D, U, A, K]
    assert sandbox.ledger.credits_spent == 4


@pytest.mark.asyncio
async def test_other_verdicts_of_a_list_cost_nothing_while_its_journal_is_there(
    sandbox: Sandbox, client: Client, source: Path, output: Path
) -> None:
    sandbox.inject(Fault(endpoint="delete", kind=FaultKind.ANSWER, times=4))
    with pytest.raises(Exception, match="delete"):
        await verified(client, source, output, delete=True)
    report, _ = await again(sandbox, client, source, output, only=[U])
    assert (report.written, report.credits_spent, report.credits_spent_before) == (1, 0, 2)
    assert sandbox.ledger.credits_spent == 2


@pytest.mark.asyncio
@pytest.mark.parametrize("finished", [True, False])
async def test_a_finished_journal_does_not_stop_the_next_list(  # noqa: PLR0917 - fixtures
    sandbox: Sandbox,
    client: Client,
    source: Path,
    output: Path,
    folder: Path,
    finished: bool,  # noqa: FBT001 - a row of the table
) -> None:
    with dying():
        await verified(client, source, output)
    (folder / "run.json").write_text(json.dumps(journal_at(folder) | {"finished": finished}))
    source.write_text(f"email\n{D}+1@x.com\n")
    with pytest.raises(FileExistsError):
        await verified(client, source, output)
    report, _ = await again(sandbox, client, source, output, overwrite=True)
    assert (report.rows, report.credits_spent, report.credits_spent_before) == (1, 1, 0)
    assert left_behind(output) == []


@pytest.mark.asyncio
@pytest.mark.parametrize("kept", ["size", "time"])
async def test_an_output_is_recognised_by_its_size_and_its_time(
    sandbox: Sandbox, client: Client, source: Path, output: Path, kept: str
) -> None:
    await verified(client, source, output)
    found = output.stat()
    content = output.read_bytes()
    output.write_bytes(content.replace(b"Bob", b"Rob" if kept == "size" else b"Robert"))
    nanoseconds = found.st_mtime_ns + (kept == "size")
    os.utime(output, ns=(nanoseconds, nanoseconds))
    with pytest.raises(FileExistsError):
        await verified(client, source, output)
    _, requests = await again(sandbox, client, source, output, overwrite=True)
    assert requests > 0


@pytest.mark.asyncio
async def test_a_list_verified_in_place_is_verified_anew_despite_its_journal(
    sandbox: Sandbox, client: Client, source: Path, folder: Path
) -> None:
    with dying():
        await verified(client, source, source, overwrite=True)
    journal = source.with_name("list.csv.progress")
    (journal / "run.json").write_text(json.dumps(journal_at(journal) | {"finished": False}))
    report, _ = await again(sandbox, client, source, source, overwrite=True, only=[U])
    assert (report.credits_spent, report.written) == (2, 1)
    assert left_behind(source) == []
    assert not folder.exists()


@pytest.mark.asyncio
async def test_a_removed_output_is_not_made_again_from_a_finished_journal(
    sandbox: Sandbox, client: Client, source: Path, output: Path
) -> None:
    with dying():
        await verified(client, source, output)
    output.unlink()
    report, _ = await again(sandbox, client, source, output)
    assert (report.credits_spent, report.credits_spent_before) == (2, 0)
    assert left_behind(output) == []


@pytest.mark.asyncio
async def test_results_in_a_finished_journal_do_not_stop_the_next_list(
    sandbox: Sandbox, client: Client, source: Path, output: Path
) -> None:
    def stop(seen: RunProgress) -> None:
        if seen.stage is Stage.STARTING:
            raise DiedError

    with dying():
        await verified(client, source, output)
    source.write_text(numbered(4))
    with pytest.raises(DiedError):
        await verified(client, source, output, overwrite=True, on_progress=stop)
    report = await verified(client, source, output, overwrite=True)
    assert (report.credits_spent, report.orphans) == (4, 0)
    assert sandbox.ledger.credits_spent == 6
    assert verdicts_of(table(output)) == ["verdict", D, U, A, K]


@pytest.mark.asyncio
async def test_a_restart_that_is_refused_forgets_nothing(
    sandbox: Sandbox, client: Client, source: Path, output: Path
) -> None:
    def stop(seen: RunProgress) -> None:
        if seen.stage is Stage.JOINING:
            raise DiedError

    with pytest.raises(DiedError):
        await verified(client, source, output, on_progress=stop)
    output.write_text("mine")
    with pytest.raises(FileExistsError):
        await verified(client, source, output, restart=True)
    assert output.read_text() == "mine"
    report = await verified(client, source, output, overwrite=True)
    assert (report.credits_spent, report.credits_spent_before) == (0, 2)
    assert sandbox.ledger.credits_spent == 2

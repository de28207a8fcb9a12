"""The steps of a part and of a run. Each takes JSON and returns JSON; what they do is in `bulkverify.run`.

A step returns its record and, if it did not succeed, one of these besides:

    error, message    why it failed; the part gets no verdicts in this run
    held              the credits that are missing; the step is made again once they are there
    machine           what is wrong with this machine; another one makes the step again

A step runs in the event loop of the program.
"""

import asyncio
import secrets
import shutil
from collections.abc import Awaitable, Callable, Collection, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Final

import attrs

from bulkverify.client import known_of
from bulkverify.durable.accounts import Accounts, KeyMissingError
from bulkverify.durable.spec import JSON, RunSpec, as_json, rebuilt, told
from bulkverify.errors import (
    AccountRestrictedError,
    AuthenticationError,
    BulkVerifyError,
    InsufficientCreditsError,
    JobNotFoundError,
    UploadUncertainError,
)
from bulkverify.files import complete_name, make_folder
from bulkverify.lists import Part, Split, part_path, results_path
from bulkverify.run.account import Account
from bulkverify.run.alone import LoneRun
from bulkverify.run.folder import LOCK, RECORD
from bulkverify.run.journal import Records, RunRecord, seal_of
from bulkverify.run.models import IncompleteRunError, JournalError, RunReport
from bulkverify.run.part import PartRun
from bulkverify.run.parts import AnyRun, kind_of
from bulkverify.run.record import UNPAID, PartRecord, PartState
from bulkverify.service.converter import converter

_UPLOADS: Final = 3
"""How often a part is uploaded if the answer is lost; the lists that may be left cost nothing."""

_FORGETS: Final = 10
_MACHINE: Final = (OSError, KeyMissingError, AuthenticationError, AccountRestrictedError)
"""Errors that another machine may not meet, or that end when an operator acts."""


@attrs.frozen
class _Folder:
    """The files of a part. Its record is kept by the database, after each step."""

    folder: Path

    def note(self, record: PartRecord) -> None:
        """Keep nothing, see above."""

    def list_of(self, number: int) -> Path:
        return part_path(self.folder, number)

    def results_of(self, number: int) -> Path:
        return results_path(self.folder, number)


async def upload(accounts: Accounts, work: JSON, record: JSON) -> JSON:
    """Upload a part, unless its list is on the service."""

    async def make(part: AnyRun) -> None:
        assert isinstance(part, PartRun)  # noqa: S101 - of a list
        for left in reversed(range(_UPLOADS)):
            try:
                return await part.upload()
            except UploadUncertainError:
                if not left:
                    raise
        return None

    return await _made(accounts, work, record, make)


async def ready(accounts: Accounts, work: JSON, record: JSON) -> JSON:
    """Wait until the list can be started, and the credits for it are there.

    Its checkpoint says that the list may have been started.
    """

    async def make(part: AnyRun) -> None:
        assert isinstance(part, PartRun)  # noqa: S101 - of a list
        if await part.see_ready():
            await part.intend()

    return await _made(accounts, work, record, make)


async def start(accounts: Accounts, work: JSON, record: JSON) -> JSON:
    """Start the list, unless it was started before."""

    async def make(part: AnyRun) -> None:
        assert isinstance(part, PartRun)  # noqa: S101 - of a list
        if part.record.state is not PartState.STARTED:
            await part.start()

    return await _made(accounts, work, record, make)


async def results(accounts: Accounts, work: JSON, record: JSON) -> JSON:
    """Wait for the results of the list, and fetch them."""

    async def make(part: AnyRun) -> None:
        assert isinstance(part, PartRun)  # noqa: S101 - of a list
        await part.see_completed()
        await part.fetch()

    return await _made(accounts, work, record, make)


async def ask(accounts: Accounts, work: JSON, record: JSON) -> JSON:
    """Verify a single address, unless an earlier execution may have sent it."""

    async def make(part: AnyRun) -> None:
        assert isinstance(part, LoneRun)  # noqa: S101 - of an address
        await part.run()

    return await _made(accounts, work, record, make)


def is_lone(work: JSON, record: JSON) -> bool:
    """Whether a part is verified without a list."""
    return kind_of(*_part(work, record)) is LoneRun


def taken_over(work: JSON, record: JSON) -> JSON:
    """Return the record after an upload or a question of which only the intent is known."""
    lone = is_lone(work, record)
    state = PartState.STARTING if lone else PartState.UPLOADING
    return {**record, "state": state.value, "credits": int(lone)}


async def forget(accounts: Accounts, work: JSON, job_id: str) -> None:
    """Delete a list that is not started, because no execution will."""
    account = await accounts.get(work["account"])
    for _ in range(_FORGETS):
        try:
            await account.client.delete(job_id)
        except JobNotFoundError:
            return
        except BulkVerifyError:  # it is still being prepared, or the service is away
            await asyncio.sleep(1)
        else:
            return


def _part(work: JSON, record: JSON) -> tuple[Part, PartRecord]:
    return converter.structure(work["part"], Part), converter.structure(record, PartRecord)


async def _made(
    accounts: Accounts, work: JSON, record: JSON, make: Callable[[AnyRun], Awaitable[None]]
) -> JSON:
    """Make a step of a part, and describe what it came to."""
    part, noted = _part(work, record)

    async def check() -> None:
        await accounts.require(work["account"], part.addresses, work["title"])

    run = None
    try:
        account = await accounts.get(work["account"])
        _require_service(account, work["base_url"])
        run = kind_of(part, noted)(
            account=attrs.evolve(account, timeout=work["timeout"]),
            notes=_Folder(Path(work["folder"])),
            tell=lambda *_, **__: None,
            check=check,
            title=work["title"],
            part=part,
            record=noted,
        )
        await make(run)
    except InsufficientCreditsError:
        return {**_record(run, noted), "held": part.addresses}
    except _MACHINE as error:
        return {**_record(run, noted), "machine": _why(error)}
    except BulkVerifyError as error:
        known_of(account.client).redacted(error)
        return {**_record(run, noted), **told(error)}
    accounts.worked(work["account"])
    return _record(run, noted)


def _require_service(account: Account, base_url: str) -> None:
    if account.client.base_url != base_url:
        raise KeyMissingError(
            f"The run is at {base_url}, and this worker is at {account.client.base_url}."
        )


def _record(run: AnyRun | None, noted: PartRecord) -> JSON:
    return as_json(noted if run is None else run.record)


def _why(error: Exception) -> str:
    found = told(error)
    return f"{found['error']}: {found['message']}"


# --- the whole list


async def split(accounts: Accounts, spec: RunSpec, run_id: str, written: Sequence[int]) -> JSON:
    """Split a list into a folder of this execution's own.

    An execution that was paused goes on in its own folder, not in that of its heir. An output of an
    earlier run that is incomplete is replaced; `written` is its size and time.
    """
    output = spec.written_as(overwrite=spec.overwrite or _is_at(spec.output, written))
    try:
        account = await accounts.get(spec.account)
        _refuse_journal(spec.folder)
        make_folder(spec.folder)
        folder = spec.folder / f"{run_id}.{secrets.token_hex(4)}"
        make_folder(folder)
        run = spec.run(account.client, Records(folder))
        if (report := await output.earlier(run, delete=spec.delete)) is not None:
            return {"report": _report(report)}
        record = await run.prepare()
    except FileExistsError as error:
        return {"error": type(error).__name__, "message": str(error)}
    except _MACHINE as error:
        return {"machine": _why(error)}
    except BulkVerifyError as error:
        return told(error)
    return {
        "folder": str(folder),
        "base_url": record.base_url,
        "split": converter.unstructure(record.split),
    }


async def credits_(accounts: Accounts, spec: RunSpec, owed: int) -> JSON:
    """Check that the credits for the whole list are there."""
    try:
        await accounts.require(spec.account, owed, Path(spec.source[0]).name)
    except InsufficientCreditsError:
        return {"held": owed}
    except _MACHINE as error:
        return {"machine": _why(error)}
    except BulkVerifyError as error:
        return told(error)
    return {}


async def join(
    accounts: Accounts,
    spec: RunSpec,
    found: JSON,
    outcomes: Collection[JSON],
    check: Callable[[], Awaitable[None]],
) -> JSON:
    """Write the output. `check` raises if this execution has lost its run; the file there then stays."""
    failed = {one["number"]: rebuilt(one) for one in outcomes if "error" in one}
    split_ = converter.structure(found["split"], Split)
    records = {one["number"]: one for one in outcomes}
    record = RunRecord(
        base_url=found["base_url"],
        splitting=spec.splitting,
        split=split_,
        seal=seal_of(split_),
        parts=[
            converter.structure(records.get(part.number, {"number": part.number}), PartRecord)
            for part in split_.parts
        ],
    )
    folder = Path(found["folder"])
    output = spec.written_as(mark=f"{_mark_of(folder)}{secrets.token_hex(2)}", before_rename=check)
    try:
        account = await accounts.get(spec.account)
        run = spec.run(account.client, Records(folder, record))
        await run.fetch_lost(
            account,
            {
                number: error
                for number, error in failed.items()
                if isinstance(error, BulkVerifyError)
            },
        )
        report = await output.deliver(run, delete=spec.delete)
    except IncompleteRunError as error:
        more: JSON = {} if error.report is None else {"report": _report(error.report)}
        if record.written is not None:
            more["written"] = [record.written.size, record.written.mtime_ns]
        return {
            **told(error),
            **more,
            "failures": [converter.unstructure(one) for one in error.failures],
        }
    except _MACHINE as error:
        return {"machine": _why(error)}
    except BulkVerifyError as error:
        return told(error)
    return {"report": _report(report)}


def carried(outcomes: Collection[JSON]) -> dict[str, JSON]:
    """Return the records of the paid parts of an earlier run; their results are fetched again, for nothing."""
    found = {}
    for one in outcomes:
        record = converter.structure(one, PartRecord)
        if record.state not in UNPAID:
            state = PartState.STARTING if record.job_id is None else PartState.STARTED
            if record.state is PartState.DOWNLOADED:
                record = attrs.evolve(record, state=state, results=None)
            found[str(record.number)] = as_json(record)
    return found


def _is_at(output: str, written: Sequence[int]) -> bool:
    try:
        found = Path(output).lstat()
    except OSError:
        return False
    return [found.st_size, found.st_mtime_ns] == list(written)


async def clean(spec: RunSpec, run_id: str) -> JSON:
    """Delete the folders of a run, and incomplete outputs that killed processes have left."""
    await asyncio.to_thread(_clean, spec, run_id)
    return {}


def _clean(spec: RunSpec, run_id: str) -> None:
    output = Path(spec.output)
    marks = set()
    for folder in spec.folder.glob(f"{run_id}.*"):
        marks.add(_mark_of(folder))
        shutil.rmtree(folder, ignore_errors=True)
    for path in output.parent.glob(f".{output.name}.*.part"):
        if complete_name(path.name) == output.name and path.name[-13:-9] in marks:
            path.unlink(missing_ok=True)
    try:
        spec.folder.rmdir()
    except OSError:
        return  # another run uses it


def _report(report: RunReport) -> JSON:
    """Return a report as JSON, without the cells of its examples."""
    found: JSON = converter.unstructure(attrs.evolve(report, examples=()))
    return found


def _mark_of(folder: Path) -> str:
    """Return the beginning of the marks of incomplete outputs of a folder's run."""
    return blake2b(str(folder).encode(), digest_size=2).hexdigest()


def _refuse_journal(folder: Path) -> None:
    """Refuse a folder in which `verify_list` keeps its progress."""
    if (folder / LOCK).exists() or (folder / RECORD).exists():
        raise JournalError(
            f"{folder} has the progress of an earlier call for this output, which is not finished. Finish it, "
            "or name another output.",
            path=str(folder),
        )

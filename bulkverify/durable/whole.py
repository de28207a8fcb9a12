"""The steps of a run, which has a whole list; see `steps` for what they return."""

import asyncio
import secrets
import shutil
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial, wraps
from hashlib import blake2b
from pathlib import Path
from typing import ParamSpec

import attrs

from bulkverify.client import known_of
from bulkverify.durable import stores
from bulkverify.durable.folders import changed, sources
from bulkverify.durable.here import Here
from bulkverify.durable.spec import JSON, RunSpec, rebuilt, told
from bulkverify.durable.steps import ACCOUNT, why
from bulkverify.durable.times import StepTime, began_at, curve, durations
from bulkverify.errors import BulkVerifyError, InsufficientCreditsError, JobNotFoundError
from bulkverify.files import check_writable, complete_name, make_folder
from bulkverify.lists import Split
from bulkverify.run.costs import check_cost
from bulkverify.run.folder import LOCK, RECORD
from bulkverify.run.journal import Records, RunRecord, seal_of, title_of
from bulkverify.run.models import IncompleteRunError, JournalError, RunReport
from bulkverify.run.record import PartRecord
from bulkverify.run.source import Splitting
from bulkverify.run.threads import in_thread
from bulkverify.service.converter import converter

P = ParamSpec("P")


def _outcome(step: Callable[P, Awaitable[JSON]]) -> Callable[P, Awaitable[JSON]]:
    """Return a step that describes its errors."""

    @wraps(step)
    async def described(*args: P.args, **options: P.kwargs) -> JSON:
        try:
            return await step(*args, **options)
        except ACCOUNT as error:
            return {"account": why(error)}
        except OSError as error:
            return {"machine": why(error)}
        except BulkVerifyError as error:
            return told(error)

    return described


@_outcome
async def split(here: Here, spec: RunSpec, run_id: str, written: Sequence[int]) -> JSON:
    """Split a list into a folder of this execution's own.

    An execution that was paused goes on in its own folder, not in that of its heir. An output of an
    earlier run that is incomplete is replaced; `written` is its size and time.
    """
    account = await here.accounts.get(spec.account)
    name = f"{run_id}.{secrets.token_hex(4)}"
    if spec.folder is not None:
        _refuse_journal(spec.folder)
        make_folder(spec.folder)
        name = str(spec.folder / name)
    folder = here.scratch.path(name)
    make_folder(folder)
    path = _output_path(spec, folder)
    if spec.folder is None:
        await in_thread(partial(stores.mirror, spec.output, path), leave=True)
    else:  # before anything is paid
        await in_thread(partial(check_writable, path, overwrite=True))
    output = spec.written_as(path, overwrite=spec.overwrite or await _is_at(spec.output, written))
    run = spec.run(account.client, Records(folder), await sources(spec, folder))
    try:
        report = await output.earlier(run, delete=spec.delete)
    except FileExistsError:
        return _exists(spec)
    if report is not None:
        return {"report": _report(report)}
    if spec.folder is None:
        await in_thread(partial(stores.require_writable, spec.output), leave=True)
    record = await run.prepare()
    return {
        "folder": name,
        "base_url": record.base_url,
        "split": converter.unstructure(record.split),
    }


@_outcome
async def credits_(here: Here, spec: RunSpec, owed: int, *, goes_on: bool) -> JSON:
    """Check that the credits for the rest of the list are allowed and there.

    Note whether the service is the sandbox.
    """
    title = Path(spec.source[0]).name
    check_cost(title, owed, spec.max_credits, sent=goes_on)
    try:
        await here.accounts.require(spec.account, owed, title)
    except InsufficientCreditsError:
        return {"held": owed}
    except BulkVerifyError as error:  # nothing was sent, and another worker may reach the service
        return {"account": why(error)}
    account = await here.accounts.get(spec.account)
    return {"trial": known_of(account.client).is_sandbox}


@attrs.frozen(kw_only=True)
class Verified:
    """What `join` goes by: how the list was split, and what came of its parts."""

    folder: str
    base_url: str
    split: Split
    outcomes: Collection[JSON]
    """The records of the parts."""
    times: Collection[StepTime]
    written: Sequence[int]
    """The size and the time of the incomplete output of an earlier run, which is replaced."""
    paid_before: Collection[int]
    """The parts that an earlier run has paid for."""
    trial: bool


class _Joining(Records):
    """The record of a run that was split before: its list must be the same, even if nothing was sent."""

    def __init__(self, folder: Path, record: RunRecord, spec: RunSpec) -> None:
        super().__init__(folder, record)
        self._before = record
        self._spec = spec

    def begin(
        self,
        split: Split,
        base_url: str,  # noqa: ARG002 - as are the next, a parameter of the class above
        splitting: Splitting,  # noqa: ARG002
        title: str = "",  # noqa: ARG002
    ) -> RunRecord:
        """Refuse another list."""
        if split != self._before.split:
            raise changed(self._spec)
        return self._before


@_outcome
async def join(
    here: Here,
    spec: RunSpec,
    run_id: str,
    verified: Verified,
    check: Callable[[], Awaitable[None]],
) -> JSON:
    """Write the output. `check` raises if this execution has lost its run; the file there then stays."""
    split_, records = verified.split, {one["number"]: one for one in verified.outcomes}
    failed = {number: rebuilt(one) for number, one in records.items() if "error" in one}
    done = {part.number: part.addresses for part in split_.parts if part.number not in failed}
    record = RunRecord(
        base_url=verified.base_url,
        splitting=spec.splitting,
        split=split_,
        seal=seal_of(split_),
        parts=[
            converter.structure(records.get(part.number, {"number": part.number}), PartRecord)
            for part in split_.parts
        ],
        began_at=began_at(verified.times),
        curve=curve(verified.times, done),
        trial=verified.trial,
    )
    folder = here.scratch.path(verified.folder)
    if not folder.is_dir():  # it is on another machine
        folder = here.scratch.path(folder.name)
        make_folder(folder)
    path = _output_path(spec, folder)

    async def before_rename(incomplete: Path) -> None:
        async def require_ours() -> None:
            await _require_free(spec, incomplete, verified.written)
            await check()

        if spec.folder is None:
            await stores.put(incomplete, spec.output, require_ours)
        else:
            await require_ours()

    mark = f"{_mark_of(run_id)}{secrets.token_hex(2)}"
    output = spec.written_as(path, mark=mark, before_rename=before_rename)
    account = await here.accounts.get(spec.account)
    run = spec.run(account.client, _Joining(folder, record, spec), await sources(spec, folder))
    try:
        await run.fetch_lost(
            account,
            {
                number: error
                for number, error in failed.items()
                if isinstance(error, BulkVerifyError)
            },
            verified.paid_before,
        )
        report = await output.deliver(run, delete=False)
        if spec.folder is None:
            await stores.put_note(path, spec.output, check)
    except FileExistsError:
        return _exists(spec)
    except IncompleteRunError as error:
        more: JSON = (
            {} if error.report is None else {"report": _report(error.report, verified.times)}
        )
        if record.written is not None:
            more["written"] = [record.written.size, record.written.mtime_ns]
        return {
            **told(error),
            **more,
            "failures": [converter.unstructure(one) for one in error.failures],
        }
    return {"report": _report(report, verified.times)}


async def _require_free(spec: RunSpec, incomplete: Path, written: Sequence[int]) -> None:
    """Raise `FileExistsError` if there is a file that may not be replaced.

    It may if an earlier execution has written it, so that it is the same.
    """
    if spec.overwrite or await _is_at(spec.output, written):
        return
    if await in_thread(partial(stores.differs, spec.output, incomplete), leave=True):
        raise FileExistsError


def _exists(spec: RunSpec) -> JSON:
    """Describe the error of an output that is there and may not be replaced."""
    return {
        "error": FileExistsError.__name__,
        "message": f"{spec.output} already exists. Move it away, and submit the list again: no part is paid for twice.",
    }


async def _is_at(output: str, written: Sequence[int]) -> bool:
    found = await in_thread(partial(stores.stat, output), leave=True) if written else None
    return found is not None and list(found) == list(written)


def other_list(earlier: str, records: JSON) -> JSON:
    """Describe the error of a run whose predecessor has paid for other parts."""
    paid = sum(int(one.get("credits", 0)) for one in records.values())
    return told(
        JournalError(
            f"Run {earlier} for this output has paid {paid:,} credits for another list, or split it otherwise. "
            "Nothing was sent. Submit the list as it was then, or use restart to pay for this one."
        )
    )


def _output_path(spec: RunSpec, folder: Path) -> Path:
    """Return the path at which the output is written; an object is put into its store from there."""
    return Path(spec.output) if spec.folder else folder / f"output{Path(spec.output).suffix}"


@_outcome
async def clean(here: Here, spec: RunSpec, run_id: str, report: JSON | None = None) -> JSON:
    """Delete the files of a run, and if asked, the lists of a `report` from the service.

    It comes after the checkpoint of the output: until then, another worker may need the lists.
    """
    if spec.delete and report is not None and not report["missing"]:
        account = await here.accounts.get(spec.account)
        for part in report["parts"]:
            with suppress(JobNotFoundError):
                if part["job_id"] is not None:
                    await account.client.delete(part["job_id"])
    await delete_files(spec, run_id)
    return {}


async def delete_files(spec: RunSpec, run_id: str) -> None:
    """Delete the files of a run beside its output, and incomplete outputs that killed processes have left."""
    await asyncio.to_thread(_delete_files, spec, run_id)


def _delete_files(spec: RunSpec, run_id: str) -> None:
    if spec.folder is None:
        return
    for folder in spec.folder.glob(f"{run_id}.*"):
        shutil.rmtree(folder, ignore_errors=True)
    output = Path(spec.output)
    for path in output.parent.glob(f".{output.name}.{_mark_of(run_id)}*.part"):
        if complete_name(path.name) == output.name:
            path.unlink(missing_ok=True)
    with suppress(OSError):  # another run uses it
        spec.folder.rmdir()


def _report(report: RunReport, times: Collection[StepTime] = ()) -> JSON:
    """Return a report as JSON, without the cells of its examples.

    With the times of the steps, it tells about the whole run, and not just about the last step.
    """
    if times:
        took = datetime.now(UTC) - began_at(times)
        report = attrs.evolve(
            report,
            seconds=round(max(0.0, took.total_seconds()), 3),  # clocks of workers may differ
            durations=attrs.evolve(durations(times), joining=report.durations.joining),
        )
    found: JSON = converter.unstructure(attrs.evolve(report, examples=()))
    return found


def _mark_of(run_id: str) -> str:
    """Return the beginning of the marks of a run's incomplete outputs."""
    return blake2b(run_id.encode(), digest_size=2).hexdigest()


def _refuse_journal(folder: Path) -> None:
    """Refuse a folder in which `verify_list` keeps its progress."""
    if (folder / LOCK).exists() or (folder / RECORD).exists():
        title = title_of(folder / RECORD)
        of_list = f" with {title}" if title else ""
        raise JournalError(
            f"{folder} has the progress of an earlier call{of_list} for this output, which is not finished. "
            "Finish it, or name another output.",
            path=str(folder),
        )

"""The steps of a part. Each takes JSON and returns JSON; what they do is in `bulkverify.run`.

A step returns its record and, if it did not succeed, one of these besides:

    error, message    why it failed; the part gets no verdicts in this run
    held              the credits that are missing; the step is made again once they are there
    account           what is wrong with the account here; another worker makes the step again
    machine           what is wrong with this machine; the step is made again after a while, here or elsewhere

A step runs in the event loop of the program.
"""

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from pathlib import Path
from typing import Final, ParamSpec

import attrs

from bulkverify.client import Job, known_of
from bulkverify.durable.accounts import KeyMissingError
from bulkverify.durable.folders import with_part
from bulkverify.durable.here import Here
from bulkverify.durable.spec import JSON, as_json, told
from bulkverify.durable.waits import Waited
from bulkverify.errors import (
    AccountRestrictedError,
    AuthenticationError,
    BulkVerifyError,
    InsufficientCreditsError,
    JobNotFoundError,
    ServiceError,
    UploadUncertainError,
    UsageError,
)
from bulkverify.lists import Part, part_path, results_path
from bulkverify.run.account import Account
from bulkverify.run.alone import LoneRun
from bulkverify.run.part import PartRun
from bulkverify.run.parts import AnyRun, kind_of
from bulkverify.run.record import PartRecord, PartState
from bulkverify.service.converter import converter

P = ParamSpec("P")

OUTCOME: Final = frozenset({"error", "message", "held", "account", "machine"})
"""What a step returns besides its record if it did not succeed."""

_UPLOADS: Final = 3
"""How often a part is uploaded if the answer is lost; the lists that may be left cost nothing."""

_FORGETS: Final = 10


class ElsewhereError(UsageError):
    """This worker is at another service than the run, or can't use its key for it."""


ACCOUNT: Final = (KeyMissingError, AuthenticationError, AccountRestrictedError)
"""Errors that another machine may not meet, or that end when an operator acts; all work of the account meets
them here."""


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


async def upload(here: Here, work: JSON, record: JSON) -> JSON:
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

    return await _made(here, work, record, make)


async def ready(here: Here, work: JSON, record: JSON) -> JSON:
    """Wait until the list can be started, and the credits for it are there.

    Its checkpoint says that the list may have been started.
    """

    async def make(part: AnyRun) -> None:
        assert isinstance(part, PartRun)  # noqa: S101 - of a list
        if await part.see_ready():
            await part.intend()

    return await _made(here, work, record, make, reads=False)


async def start(here: Here, work: JSON, record: JSON) -> JSON:
    """Start the list, unless it was started before."""

    async def make(part: AnyRun) -> None:
        assert isinstance(part, PartRun)  # noqa: S101 - of a list
        if part.record.state is not PartState.STARTED:
            await part.start()

    return await _made(here, work, record, make, reads=False)


async def see_completed(here: Here, work: JSON, record: JSON) -> Waited:
    """Wait until all addresses of the list have been verified."""
    job: Job | None = None

    async def make(part: AnyRun) -> None:
        nonlocal job
        assert isinstance(part, PartRun)  # noqa: S101 - of a list
        job = part.job
        await part.see_completed()

    return await _made(here, work, record, make, reads=False), job


async def results(here: Here, work: JSON, waited: Waited) -> JSON:
    """Fetch the results of the list after the wait for them."""
    record, _job = waited  # `fetch` asks for its handle, which is kept until then
    if OUTCOME & record.keys():
        return record

    async def make(part: AnyRun) -> None:
        assert isinstance(part, PartRun)  # noqa: S101 - of a list
        await part.fetch()

    return await _made(here, work, record, make)


async def ask(here: Here, work: JSON, record: JSON) -> JSON:
    """Verify a single address, unless an earlier execution may have sent it."""

    async def make(part: AnyRun) -> None:
        assert isinstance(part, LoneRun)  # noqa: S101 - of an address
        await part.run()

    return await _made(here, work, record, make)


def is_lone(work: JSON, record: JSON) -> bool:
    """Whether a part is verified without a list."""
    return kind_of(*_part(work, record)) is LoneRun


def taken_over(work: JSON, record: JSON) -> JSON:
    """Return the record after an upload or a question of which only the intent is known."""
    lone = is_lone(work, record)
    state = PartState.STARTING if lone else PartState.UPLOADING
    return {**record, "state": state.value, "credits": int(lone)}


async def forget(here: Here, work: JSON, job_id: str) -> None:
    """Delete a list that is not started, because no execution will."""
    account = await here.accounts.get(work["account"])
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
    here: Here,
    work: JSON,
    record: JSON,
    make: Callable[[AnyRun], Awaitable[None]],
    *,
    reads: bool = True,
) -> JSON:
    """Make a step of a part, which `reads` its addresses or not, and describe what it came to."""
    part, noted = _part(work, record)

    async def check() -> None:
        await here.accounts.require(work["account"], part.addresses, work["title"])

    run = None
    outcome: JSON = {}
    try:
        account = await _account(here, work)
        folder = Path()
        if reads:
            folder = await with_part(here, work["run"], work["folder"], part)
        run = kind_of(part, noted)(
            account=attrs.evolve(account, timeout=work["timeout"]),
            notes=_Folder(folder),
            tell=lambda *_, **__: None,
            check=check,
            title=work["title"],
            part=part,
            record=noted,
        )
        await make(run)
    except InsufficientCreditsError:
        outcome = {"held": part.addresses}
    except ACCOUNT as error:
        outcome = {"account": why(error)}
    except ElsewhereError as error:
        outcome = {"machine": why(error)}
    except BulkVerifyError as error:  # before OSError: some are a TimeoutError, too
        known_of(account.client).redacted(error)
        # Of a key that is disabled, or not allowed from this machine.
        denied = isinstance(error, ServiceError) and error.status == HTTPStatus.FORBIDDEN
        outcome = {"account": why(error)} if denied else told(error)
    except OSError as error:
        outcome = {"machine": why(error)}
    return {**as_json(noted if run is None else run.record), **outcome}


async def _account(here: Here, work: JSON) -> Account:
    try:
        account = await here.accounts.get(work["account"])
    except KeyMissingError:
        raise
    except UsageError as error:  # of the key, or of the base URL
        raise ElsewhereError(error.message) from None
    if account.client.base_url != work["base_url"]:
        raise ElsewhereError(
            f"The run has begun at {work['base_url']}, and this worker is at {account.client.base_url}."
        )
    return account


def why(error: Exception) -> str:
    """Say what is wrong with this machine."""
    return str(told(error)["message"]) or type(error).__name__

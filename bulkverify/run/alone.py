"""A part with a single address, which is verified without a list.

Some services accept a list of one address and then fail it. So the address is verified by the call for
one address, and the answer is written as a results file.

After a lost answer the address is not sent again, because each request costs a credit.
"""

import csv
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Final

import attrs

from bulkverify.errors import BulkVerifyError, InvalidRequestError, VerifyUncertainError
from bulkverify.files import flush_to_disk, incomplete_path, replacing
from bulkverify.lists import address_key, file_digest, is_ordinary
from bulkverify.models import AddressVerdict, Verdict
from bulkverify.run.models import Stage
from bulkverify.run.record import PartState, PartWork
from bulkverify.run.threads import in_thread
from bulkverify.service.answers import begins_with

_HEADER: Final = (
    "email",
    "Verification Result",
    "Syntax Error",
    "ISP",
    "Role",
    "Disposable",
    "Trap",
    "Verified At",
)

_MALFORMED: Final = "invalid request. required email"
_SPARE_BYTES: Final = 64 * 1024


@attrs.define(kw_only=True, eq=False)
class LoneRun(PartWork):
    """Verifies a part with a single address."""

    async def run(self) -> None:
        """Ask for the verdict unless it is known, and keep it.

        If the answer was lost, now or in an earlier process, it raises `VerifyUncertainError`.
        """
        record = self.record
        if record.state is PartState.DOWNLOADED:
            self.tell(Stage.FETCHED)
            return
        if record.answer is None and record.state is PartState.STARTING:
            raise VerifyUncertainError(f"The answer for one address was lost. {self._once_only()}")
        listed = partial(_only_address, self.notes.list_of(self.part.number))
        address = await in_thread(listed)
        if record.answer is not None:  # an earlier process noted it, but wrote no results
            self._keep(address, record.answer)
            return
        await self.account.outages.retry(
            partial(self._ask, address), partial(self._held_up, Stage.QUEUED)
        )

    async def _ask(self, address: str) -> None:
        self.tell(Stage.VERIFYING)
        with _reserved(spare_path(self.notes.results_of(self.part.number))) as free:
            self._note(PartState.STARTING, credits=1)
            try:
                verdict = await self.account.client.verify(address)
                self._spend(1)
                _require_answer_for(address, verdict)
                answer, price = _answer_of(verdict), 1
            except VerifyUncertainError as error:
                raise VerifyUncertainError(f"{error.message} {self._once_only()}") from error
            except BulkVerifyError as error:  # the service refused, or was not reached
                self._note(PartState.PENDING, credits=0)
                if is_ordinary(address) or not _says_malformed(error):
                    raise
                answer, price = _cells(Verdict.UNDELIVERABLE, syntax_error="Y"), 0
            # Nothing is awaited between the answer and its notes, so no cancellation comes between
            # them. One of the two notes is enough for the next process.
            free()
            try:
                self._note(PartState.STARTING, answer=answer, credits=price)
            finally:
                self._keep(address, answer)

    def _keep(self, address: str, answer: tuple[str, ...]) -> None:
        path = self.notes.results_of(self.part.number)
        _write(path, address, answer)
        self._note(PartState.DOWNLOADED, results=file_digest(path))
        self.tell(Stage.FETCHED)

    def _once_only(self) -> str:
        return (
            f"It is the only address of {self.title}. It is not sent again automatically, because a "
            "credit may have been spent on it."
        )


def spare_path(results: Path) -> Path:
    """Return the path of a file that reserves disk space; it is swept like an incomplete file."""
    return incomplete_path(results, "00000000")


@contextmanager
def _reserved(path: Path) -> Iterator[Callable[[], None]]:
    """Reserve disk space for an answer, and yield a function that frees it."""

    def free() -> None:
        path.unlink(missing_ok=True)

    try:
        free()
        with path.open("xb") as file:
            file.write(os.urandom(_SPARE_BYTES))  # zeros need no room on some disks
            flush_to_disk(file)
        yield free
    finally:
        free()


def _only_address(path: Path) -> str:
    with path.open(encoding="utf-8", newline="") as file:
        _, [address] = csv.reader(file)
    return address


def _require_answer_for(address: str, verdict: AddressVerdict) -> None:
    if address_key(verdict.email).lower() != address_key(address).lower():
        raise VerifyUncertainError(
            f"The service answered for {verdict.email[:60]!r}, but another address was sent."
        )


def _answer_of(verdict: AddressVerdict) -> tuple[str, ...]:
    """Return the cells of a results file for the address, without the address itself."""
    flags = (verdict.free_email, verdict.role, verdict.disposable, verdict.spamtrap)
    return _cells(verdict.verdict, flags)


def _says_malformed(error: BulkVerifyError) -> bool:
    """Whether the service refused the address as malformed; in a list it would be a syntax error."""
    return isinstance(error, InvalidRequestError) and begins_with(error.text, _MALFORMED)


def _cells(
    verdict: str, flags: Iterable[bool] = (False,) * 4, *, syntax_error: str = ""
) -> tuple[str, ...]:
    verified_at = datetime.now(UTC).isoformat(timespec="milliseconds")
    return (verdict, syntax_error, *("Y" if flag else "N" for flag in flags), verified_at)


def _write(path: Path, address: str, answer: tuple[str, ...]) -> None:
    """Write an answer as the service writes the results of a list."""
    text = StringIO(newline="")
    rows = [_HEADER, (address, *answer)]
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(rows)
    with replacing(path) as file:
        file.write(text.getvalue().encode())

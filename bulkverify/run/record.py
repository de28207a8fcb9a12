"""The progress of one part of a list, and how it is recorded.

A process may die at any moment. This is what the next one finds, and what it does:

    the record says   the service has                          the next process
    pending           nothing                                  uploads the part
    uploading         nothing, or a list with an unknown id    uploads the part; the lost list costs nothing
    uploaded          a list that is not paid for              goes on with the list
    starting          the same list, started or not            asks, and starts the list if it is ready
    started           a list that is paid for                  waits for the list
    downloaded        the results, which are also here         does not need the service

A part with a single address is verified without a list, see `bulkverify.run.alone`. Its record goes
from pending to starting to downloaded.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Protocol

import attrs

from bulkverify.lists import Part
from bulkverify.models import JobSnapshot
from bulkverify.run.account import Account
from bulkverify.run.models import Stage
from bulkverify.service.converter import converter


class PartState(StrEnum):
    """The recorded progress of a part; its list on the service may have progressed further."""

    PENDING = "pending"
    UPLOADING = "uploading"
    """The part is being sent. If the process died, the list may have arrived or not."""
    UPLOADED = "uploaded"
    STARTING = "starting"
    """The list is being started. If the process died, it may be started or not."""
    STARTED = "started"
    DOWNLOADED = "downloaded"


# Without this hook cattrs leaves a PartState a plain str.
converter.register_structure_hook(PartState, lambda value, _: PartState(value))

UNPAID: Final = frozenset({PartState.PENDING, PartState.UPLOADING, PartState.UPLOADED})
"""The states in which no start has been sent."""


@attrs.frozen(kw_only=True)
class PartRecord:
    """The progress of one part; the converter turns it into JSON."""

    number: int
    """The number of the part, from 1."""
    state: PartState = PartState.PENDING
    job_id: str | None = None
    """The id of its list on the service."""
    credits: int = 0
    """The credits that its start has cost, or may have cost."""
    orphans: int = 0
    """Uploads that may have arrived and whose id is unknown."""
    uploaded_at: datetime | None = None
    """When its list was accepted."""
    results: str | None = None
    """The digest of the results file."""
    answer: tuple[str, ...] | None = None
    """The cells of a single address in a results file, without the address."""

    def __attrs_post_init__(self) -> None:
        """Refuse numbers that an edit by hand has spoilt."""
        if self.credits < 0 or self.orphans < 0:
            raise ValueError("a count is negative")

    def taken_over(self) -> "PartRecord":
        """Return the record for a process that takes over.

        An upload that was under way counts as lost, because its id will never be known.
        """
        if self.state is not PartState.UPLOADING:
            return self
        return attrs.evolve(self, state=PartState.PENDING, orphans=self.orphans + 1)


class Notes(Protocol):
    """Keeps the records and the files of a list's parts; a journal is one implementation."""

    def note(self, record: PartRecord) -> None:
        """Keep the record of a part, and return when it is on the disk.

        It must not yield to other tasks: a cancellation between an answer of the service and its record
        would lose paid work.

        Raises:
            OSError: the record can't be kept.
        """

    def list_of(self, number: int) -> Path:
        """Return the path of a part's addresses."""
        ...

    def results_of(self, number: int) -> Path:
        """Return the path of a part's results."""
        ...


class Tell(Protocol):
    """Called with the stage of a part."""

    def __call__(
        self,
        stage: Stage,
        *,
        job_id: str | None = None,
        snapshot: JobSnapshot | None = None,
        note: str = "",
    ) -> None:
        """Report the stage of the part; `note` says why the part does not move."""


@attrs.define(kw_only=True, eq=False)
class PartWork:
    """The work on one part: every change of its record is kept, and every stage is reported."""

    account: Account
    notes: Notes
    tell: Tell
    check: Callable[[], Awaitable[object]]
    """Raises `InsufficientCreditsError` if the account can't pay for all unpaid parts."""
    title: str
    """The title of the list on the service."""
    part: Part
    record: PartRecord
    """Replaced with every step."""
    spent: int = attrs.field(default=0, init=False)
    """The credits that the part has cost in this process."""

    # These are here because pyright treats an assignment in a subclass as an override.

    def _spend(self, credits_: int) -> None:
        self.spent += credits_

    def _take_over(self) -> None:
        self.record = self.record.taken_over()

    def _note(self, state: PartState, **facts: Any) -> None:  # noqa: ANN401 - fields of the record
        self.record = attrs.evolve(self.record, state=state, **facts)
        self.notes.note(self.record)

    def _held_up(self, stage: Stage, why: str) -> None:
        self.tell(stage, note=why)

"""The promises that hold after any mishap, checked against the service's own books."""

import csv
import re
from collections.abc import Iterator
from io import StringIO
from typing import Final

from bulkverify import (
    BulkVerifyError,
    ClientClosedError,
    IncompleteRunError,
    JobCancelledError,
    JobFailedError,
    RunReport,
    UsageError,
    VerifyUncertainError,
)
from bulkverify.sandbox import Fault
from bulkverify.sandbox.ledger import Endpoint

from .catalogue import KEY, refuses
from .world import MOST_CALLS, Story

_DATE: Final = re.compile(r"[0-9-]{10}T[0-9:.]{12}Z")
_NEVER_RAISED: Final = (UsageError, ClientClosedError)
"""Errors that only the caller can cause."""

_LOST: Final = (IncompleteRunError, JobCancelledError, JobFailedError)
"""Errors of each call after the service has ended a paid list: only the user can decide to pay for its
addresses again, with `restart=True`. A list of one part raises the part's own error."""

_UNKNOWN: Final = (VerifyUncertainError,)
"""Errors after the answer for a single address was lost: the service can't be asked about it."""

_PIECE: Final = 8


def timeless(text: str) -> str:
    """Replace every date: two runs differ in them."""
    return _DATE.sub("(date)", text)


def broken(story: Story, reference: str) -> Iterator[str]:
    """Yield the broken promises; `reference` is the output of a run without mishaps."""
    yield from _money(story)
    yield from _rows(story, reference)
    yield from _ends(story)
    yield from _secrets(story)
    yield from story.problems


def _final(story: Story) -> tuple[type[BulkVerifyError], ...]:
    """Return the errors that each call may raise for ever, because the user must decide."""
    paid = {*story.sandbox.ledger.starts, *_uncertain(story, "start")}
    lost = () if paid.isdisjoint(story.plan.ended) else _LOST
    return (*lost, *(_UNKNOWN if any(_uncertain(story, "verify")) else ()))


def denied(story: Story) -> bool:
    """Return whether the service refused a request that it had done, so that a repetition is right.

    This concerns a single address, or the start of a list that then ended.
    """
    ended = {*story.plan.ended} & {*story.sandbox.ledger.starts}
    return any(
        endpoint == "verify" or (endpoint == "start" and job_id in ended)
        for endpoint, job_id, fault in _faults(story)
        if refuses(endpoint, fault)
    )


def _uncertain(story: Story, wanted: Endpoint) -> Iterator[str]:
    """Yield the lists that may have been paid by these requests."""
    for endpoint, job_id, fault in _faults(story):
        paid = "already started" in str(fault.body)
        if endpoint == wanted and (paid or not refuses(endpoint, fault)):
            yield job_id or "no list"


def _faults(story: Story) -> Iterator[tuple[Endpoint, str | None, Fault]]:
    for endpoint, job_id, mishap in story.plan.happened:
        if mishap.fault is not None:
            yield endpoint, job_id, mishap.fault


def _money(story: Story) -> Iterator[str]:
    ledger, report = story.sandbox.ledger, story.report
    if denied(story):
        return
    if ledger.paid_twice:
        yield f"paid twice: {ledger.paid_twice}"
    if report is None:
        return
    if len(ledger.paid) != report.addresses:
        yield f"{report.addresses} addresses, but the payments were {dict(ledger.paid)}"
    told = report.credits_spent + report.credits_spent_before
    if told != ledger.credits_spent:
        yield f"the report says {told} credits, the books {ledger.credits_spent}"
    unstarted = {upload.job_id for upload in ledger.uploads} - {*ledger.starts, *ledger.deletes}
    unknown = unstarted - {*story.plan.ended}
    lies = sum(name.startswith("answer_after") for name in story.plan.names)
    if len(unknown) > report.orphans + lies:
        yield f"{len(unknown)} lists are left on the service, the report says {report.orphans}"


def _rows(story: Story, reference: str) -> Iterator[str]:
    if story.report is not None:
        found = timeless(story.partial[-1] or "")
        if found != reference:
            yield f"the output is {found!r}"
    for text in story.partial[:-1]:
        if text is not None and (wrong := _wrong(timeless(text), reference)):
            yield f"before the end, the output has {wrong!r}"


def _wrong(text: str, reference: str) -> list[list[str]]:
    """Return the rows with a wrong verdict."""
    found, right = (list(csv.reader(StringIO(one))) for one in (text, reference))
    if len(found) != len(right):
        return found
    return [
        row
        for row, whole in zip(found, right, strict=True)
        if row not in (whole, [*whole[:2], *[""] * (len(whole) - 2)])
    ]


def _ends(story: Story) -> Iterator[str]:
    for outcome in story.outcomes:
        if isinstance(outcome, RunReport):
            continue
        if not isinstance(outcome, BulkVerifyError) or isinstance(outcome, _NEVER_RAISED):
            yield f"a call raised {outcome!r}"
    if story.report is None:
        if not isinstance(story.outcomes[-1], _final(story)):
            yield f"{MOST_CALLS} calls did not succeed: {story.outcomes[-1]!r}"
    else:
        allowed = {"list.csv", "verified.csv", ".verified.csv.done"}
        left = {path.name for path in story.folder.iterdir()} - allowed
        if left:
            yield f"files were left: {sorted(left)}"


def _secrets(story: Story) -> Iterator[str]:
    texts = list(story.logged)
    for outcome in story.outcomes:
        texts += _texts(outcome)
    for text in texts:
        if any(KEY[at : at + _PIECE] in text for at in range(len(KEY) - _PIECE)):
            yield f"a piece of the key is in {text!r}"
            return


def _texts(outcome: RunReport | BaseException | None) -> Iterator[str]:
    while outcome is not None:
        yield f"{outcome} {outcome!r}"
        if isinstance(outcome, RunReport):
            return
        yield repr(vars(outcome))
        outcome = outcome.__cause__ or outcome.__context__

"""The tree of errors matches its drawing, is exported, and can be pickled."""

import copy
import inspect
import pickle
import re
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import pytest

import bulkverify
from bulkverify import errors
from bulkverify.errors import (
    BulkVerifyError,
    IllegalTransitionError,
    LifecycleError,
    RateLimitedError,
    RequestTimeoutError,
    ServerError,
    ServiceError,
    UsageError,
    WaitTimeoutError,
)
from bulkverify.lifecycle import JobStatus
from bulkverify.models import Analysis, JobSnapshot, VerdictCounts
from bulkverify.run import models as run_models
from bulkverify.run.models import Durations, PartFailure, RunReport

SNAPSHOT = JobSnapshot(
    job_id="r374",
    status=JobStatus.VERIFYING,
    created_at=bulkverify.models.parse_timestamp("08/13/2021, 9:39:37 AM"),
    total=2,
    verified=1,
    pending=1,
    analysis=Analysis(common_isp=1, role_based=1, disposable=0, spamtrap=0, syntax_error=0),
    results=VerdictCounts(deliverable=1, undeliverable=0, accept_all=0, unknown=0),
)

REPORT = RunReport(
    destination="verified.csv",
    rows=2,
    written=2,
    addresses=2,
    duplicates=0,
    invalid=0,
    blank=0,
    short=0,
    saved=0,
    missing=1,
    verdicts=VerdictCounts(deliverable=1, undeliverable=0, accept_all=0, unknown=0),
    flags=Analysis(common_isp=1, role_based=1, disposable=0, spamtrap=0, syntax_error=0),
    credits_spent=1,
    credits_spent_before=1,
    orphans=0,
    requests=9,
    seconds=1.5,
    durations=Durations(verifying=1.0),
    parts=(),
    failures=(
        PartFailure(
            number=2,
            addresses=1,
            first_row=2,
            last_row=2,
            job_id="r374",
            paid=True,
            error="JobFailedError",
            message="Job r374 failed.",
        ),
    ),
)

# A value for each extra attribute of an error.
EXTRAS: dict[str, Any] = {
    "sent": False,
    "path": "results.unknown",
    "report": REPORT,
    "failures": REPORT.failures,
    "status": 400,
    "received": 3,
    "expected": 4,
    "auto_verify": True,
    "job_id": "r374",
    "text": "Job not found",
    "retry_after": 1.5,
    "snapshot": SNAPSHOT,
    "known": JobStatus.READY,
    "seen": JobStatus.PREPARING,
    "polls": 7,
    "last_error": ServerError("The service broke.", status=502, text="Bad Gateway"),
}


def tree(cls: type[BulkVerifyError] = BulkVerifyError) -> Iterator[type[BulkVerifyError]]:
    yield cls
    for child in cls.__subclasses__():
        if child.__module__ in {errors.__name__, run_models.__name__}:
            yield from tree(child)


CLASSES = list(tree())


def extras_of(cls: type[BulkVerifyError]) -> dict[str, Any]:
    names = [
        parameter.name
        for parameter in inspect.signature(cls.__init__).parameters.values()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    ]
    return {name: EXTRAS[name] for name in names}


def filled(cls: type[BulkVerifyError]) -> BulkVerifyError:
    error = cls("Something happened.", **extras_of(cls))
    return error.with_hint("Call `that`.", "Type --that.")


def state(error: BaseException) -> tuple[object, ...]:
    extras = {
        name: state(value) if isinstance(value, BaseException) else value
        for name, value in vars(error).items()
    }
    return type(error), error.args, str(error), extras


def raise_it(cls: type[BulkVerifyError]) -> None:
    raise filled(cls)


def drawn_tree() -> dict[str, str | None]:
    """Read the tree in the module's docstring: each class and its parent."""
    above: list[str] = []
    found: dict[str, str | None] = {}
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"    ([│├└─ ]*)(\w+Error)\b", line)
        if match:
            depth = len(match[1]) // 4
            above[depth:] = [match[2]]
            found[match[2]] = above[depth - 1] if depth else None
    return found


def test_the_tree_in_the_docstring_is_the_real_one() -> None:
    real = {
        cls.__name__: None if cls is BulkVerifyError else cls.__bases__[0].__name__
        for cls in CLASSES
    }
    assert drawn_tree() == real


@pytest.mark.parametrize("cls", CLASSES)
def test_the_docstring_names_every_foreign_base(cls: type[BulkVerifyError]) -> None:
    foreign = {base for base in cls.__bases__ if base.__module__ == "builtins"} - {Exception}
    line = next(
        line
        for line in (errors.__doc__ or "").splitlines()
        if re.search(rf"\b{cls.__name__} ", line + " ")
    )
    assert set(re.findall(r"also a (\w+)", line)) == {base.__name__ for base in foreign}


@pytest.mark.parametrize("cls", CLASSES)
def test_every_error_is_exported(cls: type[BulkVerifyError]) -> None:
    assert cls.__name__ in bulkverify.__all__
    assert getattr(bulkverify, cls.__name__) is cls


@pytest.mark.parametrize("cls", CLASSES)
def test_every_error_needs_no_arguments(cls: type[BulkVerifyError]) -> None:
    error = cls()
    assert (str(error), error.message, error.hint, error.shell_hint) == ("", "", "", "")


@pytest.mark.parametrize("cls", CLASSES)
def test_every_error_keeps_its_extras(cls: type[BulkVerifyError]) -> None:
    error = filled(cls)
    assert str(error) == "Something happened. Call `that`."
    assert error.message == "Something happened."
    assert vars(error) == extras_of(cls) | {"hint": "Call `that`.", "shell_hint": "Type --that."}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("cls", CLASSES)
def test_every_error_survives_pickling(cls: type[BulkVerifyError], protocol: int) -> None:
    error = filled(cls)
    assert state(pickle.loads(pickle.dumps(error, protocol))) == state(error)  # noqa: S301 - ours


@pytest.mark.parametrize("cls", CLASSES)
def test_every_error_can_be_copied(cls: type[BulkVerifyError]) -> None:
    error = filled(cls)
    assert state(copy.copy(error)) == state(error)
    assert state(copy.deepcopy(error)) == state(error)


def test_every_error_survives_the_way_out_of_another_process() -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        futures = [(cls, pool.submit(raise_it, cls)) for cls in CLASSES]
        came_out = [(cls, future.exception()) for cls, future in futures]
    assert [state(error) for _, error in came_out if error] == [
        state(filled(cls)) for cls in CLASSES
    ]


@pytest.mark.parametrize(
    ("cls", "foreign"),
    [
        (UsageError, ValueError),
        (RequestTimeoutError, TimeoutError),
        (WaitTimeoutError, TimeoutError),
    ],
)
def test_an_error_is_also_the_builtin_error_that_callers_expect(
    cls: type[BulkVerifyError], foreign: type[Exception]
) -> None:
    assert issubclass(cls, foreign)


@pytest.mark.parametrize("cls", [cls for cls in CLASSES if issubclass(cls, ServiceError)])
def test_every_refusal_has_the_status_and_the_text_of_the_service(
    cls: type[ServiceError],
) -> None:
    error = cls("No.", status=400, text="no")
    assert (error.status, error.text) == (400, "no")


@pytest.mark.parametrize("cls", [RateLimitedError, ServerError])
def test_a_pause_is_unknown_unless_the_service_names_it(
    cls: type[RateLimitedError | ServerError],
) -> None:
    assert cls().retry_after is None


@pytest.mark.parametrize("cls", [cls for cls in CLASSES if issubclass(cls, LifecycleError)])
def test_every_lifecycle_error_has_its_job_and_last_snapshot(
    cls: type[LifecycleError],
) -> None:
    error = cls("It went elsewhere.", job_id="r374", snapshot=SNAPSHOT)
    assert (error.job_id, error.snapshot) == ("r374", SNAPSHOT)


def test_an_illegal_step_keeps_both_statuses() -> None:
    error = IllegalTransitionError(known=JobStatus.READY, seen=JobStatus.PREPARING)
    assert (error.known, error.seen) == ("ready", "preparing")

"""Any answer to any call is read or raises one of our own errors, and soon."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from bulkverify import (
    Acknowledgement,
    AddressVerdict,
    BulkVerifyError,
    Credits,
    Job,
    JobSnapshot,
)

from .answers import answers
from .effort import examples, patient
from .raw import CALLS, KEY, Bench, whole

GIVEN = {
    "upload": Job,
    "upload a file": Job,
    "status": JobSnapshot,
    "start": Acknowledgement,
    "delete": Acknowledgement,
    "verify": AddressVerdict,
    "credits": Credits,
    "wait": JobSnapshot,
}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with Bench(tmp_path_factory.mktemp("fuzz")) as bench:
        yield bench


def check(error: BulkVerifyError) -> None:
    event(type(error).__name__)
    said = f"{error!r} {error} {vars(error)}"
    assert KEY not in said
    assert len(said) < 5000
    assert str(error).isprintable()
    assert error.__cause__ is None or isinstance(error.__cause__, BulkVerifyError)


@patient
@examples(700)
@given(call=st.sampled_from(CALLS), answer=answers())
def test_any_answer_is_read_or_raises_our_own_error(bench: Bench, call: str, answer: bytes) -> None:
    bench.server.pieces = whole(answer)
    try:
        given_back = bench.call(call)
    except BulkVerifyError as error:
        check(error)
    else:
        event(f"a {type(given_back).__name__}")
        assert isinstance(given_back, GIVEN.get(call, int))
    assert bench.problems == []
    assert {path.name for path in Path(bench.folder).iterdir()} <= {"out.csv"}

"""The client and the sandbox follow the contract for any calls in any order."""

import asyncio
from collections.abc import Awaitable
from contextlib import aclosing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import pytest
from hypothesis import event
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from tenacity import wait_fixed

from bulkverify import (
    AuthenticationError,
    BulkVerifyError,
    Client,
    InsufficientCreditsError,
    InvalidListError,
    Job,
    JobNotFoundError,
    JobSnapshot,
    StatusName,
    UsageError,
    VerdictName,
    WaitTimeoutError,
    wait_until,
)
from bulkverify.sandbox import Sandbox, Timings

from .contract import (
    BAD_ENDS,
    CREDITS,
    FINISHING,
    MAIN_LINE,
    MOST_LISTS,
    MOST_VERIFYING,
    PREPARING,
    START_DELAY,
    VERIFYING,
    Contract,
)
from .effort import examples, patient

T = TypeVar("T")
VERDICTS: list[VerdictName] = ["deliverable", "undeliverable", "accept-all", "unknown"]
NO_JOBS = ["x" * 36, "short", "../../x", "a?b=c", "a/b", "", "x" * 10_000, "x\r\nX: y", "\ud800"]
NO_LISTS = [b"", b" \n", [], b"\0\0", b"x" * 10_485_761]
TIMINGS = Timings(
    preparing=PREPARING,
    preparing_per_address=0,
    start_delay=START_DELAY,
    verifying=VERIFYING,
    verifying_per_address=0,
    finishing=FINISHING,
)


class AnyCalls(RuleBasedStateMachine):
    """Makes calls, and compares their outcomes with the contract."""

    jobs: Bundle[Job] = Bundle("jobs")

    def __init__(self) -> None:
        super().__init__()
        self.contract = Contract()
        self.runner = asyncio.Runner()
        self.folder = TemporaryDirectory()
        self.sandbox = Sandbox(
            speed=0,
            credits=CREDITS,
            requests_per_minute=None,
            max_lists=MOST_LISTS,
            max_verifying=MOST_VERIFYING,
            timings=TIMINGS,
        )
        self.addresses = 0

    @initialize()
    def open(self) -> None:
        self.runner.run(self.sandbox.start())
        self.client = Client(
            self.sandbox.api_key, base_url=self.sandbox.url, requests_per_minute=None
        )

    def teardown(self) -> None:
        self.runner.run(self.client.close())
        self.runner.run(self.sandbox.close())
        self.runner.close()
        self.folder.cleanup()

    def outcome(self, call: Awaitable[T], expected: type[BulkVerifyError] | None) -> T | None:
        """Make a call, and require exactly the outcome of the contract."""

        async def made() -> T:
            async with asyncio.timeout(60):
                return await call

        if expected is None:
            return self.runner.run(made())
        with pytest.raises(expected) as caught:
            self.runner.run(made())
        assert type(caught.value) is expected
        event(expected.__name__)
        return None

    @rule(
        target=jobs,
        verdicts=st.lists(st.sampled_from(VERDICTS), min_size=1, max_size=4),
        automatic=st.booleans(),
        usable=st.integers(0, 5).map(bool),
        as_file=st.booleans(),
    )
    def upload(self, verdicts: list[str], *, automatic: bool, usable: bool, as_file: bool) -> Any:  # noqa: ANN401 - hypothesis has no public type for it
        addresses = []
        for verdict in verdicts:
            self.addresses += 1
            addresses.append(f"{verdict}+{self.addresses}@x.com" if usable else f"nobody {verdict}")
        source = "\n".join(["email", *addresses]).encode() if as_file else addresses
        expected = self.contract.upload(automatic=automatic)
        job = self.outcome(self.client.upload(source, auto_verify=automatic), expected)
        if job is None:
            return multiple()
        self.contract.note_upload(job.id, addresses, usable=usable, automatic=automatic and usable)
        return job

    def upload_nothing(self, source: Any) -> None:  # noqa: ANN401 - bytes or a list
        before = self.client.stats.requests
        self.outcome(self.client.upload(source), InvalidListError)
        assert self.client.stats.requests == before

    @rule(job=jobs)
    def start(self, job: Job) -> None:
        expected = self.contract.start(job.id)
        self.outcome(job.start(), expected)
        if expected is None:
            self.contract.pay(job.id)

    @rule(seconds=st.sampled_from([0, 1, 1, 2, 2, 3, 5, 13, 60]))
    def advance(self, seconds: int) -> None:
        self.sandbox.advance(seconds)
        self.contract.advance(seconds)

    @rule(job=jobs)
    def status(self, job: Job) -> None:
        deleted = self.contract.lists[job.id].deleted
        snapshot = self.outcome(job.status(), JobNotFoundError if deleted else None)
        if snapshot is not None:
            self.check(job.id, snapshot)

    def check(self, job_id: str, snapshot: JobSnapshot) -> None:
        one, status = self.contract.lists[job_id], self.contract.status(job_id)
        event(status)
        total = {"preparing": None, "failed": 0}.get(status, one.total)
        assert (snapshot.job_id, snapshot.status, snapshot.total) == (job_id, status, total)
        assert (snapshot.analysis is not None) == (status in {"ready", "verifying", "completed"})
        if status not in {"verifying", "completed"}:
            assert (snapshot.verified, snapshot.pending, snapshot.results) == (None, None, None)
            return
        verified = one.verified(self.contract.now)
        assert (snapshot.verified, snapshot.pending) == (verified, one.total - verified)
        for verdict in VERDICTS:
            found = sum(address.startswith(f"{verdict}+") for address in one.addresses[:verified])
            assert getattr(snapshot.results, verdict.replace("-", "_")) == found

    @rule(job=jobs, wanted=st.sampled_from([None, VERDICTS[:1], VERDICTS[1:], VERDICTS]))
    def download(self, job: Job, wanted: list[VerdictName] | None) -> None:
        target = Path(self.folder.name) / "out.csv"
        expected = self.contract.download(job.id)
        count = self.outcome(job.download(target, verdicts=wanted), expected)
        assert target.exists() == (expected is None)
        if expected is None:
            assert count == len(self.contract.rows(job.id, wanted))
            target.unlink()

    @rule(job=jobs, wanted=st.sampled_from([None, VERDICTS[:2], VERDICTS[3:]]))
    def rows(self, job: Job, wanted: list[VerdictName] | None) -> None:
        async def emails() -> list[str]:
            async with aclosing(job.rows(verdicts=wanted)) as rows:
                return [row.email async for row in rows if row.email.startswith(f"{row.verdict}+")]

        expected = self.contract.download(job.id)
        found = self.outcome(emails(), expected)
        assert found == (None if expected else self.contract.rows(job.id, wanted))

    @rule(job=jobs, call=st.integers(0, 3), data=st.data())
    def do_something_else(self, job: Job, call: int, data: st.DataObject) -> None:
        """Make a call that does not change any list; they share a rule, so they don't crowd out the others."""
        if call == 0:
            self.verify(data.draw(st.sampled_from(VERDICTS)))
            self.credits()
        elif call == 1:
            self.ask_about_a_missing_job(data.draw(st.sampled_from(NO_JOBS)))
        elif call == 2:
            self.upload_nothing(data.draw(st.sampled_from(NO_LISTS)))
        else:
            self.try_another_key(job)

    @rule(
        job=jobs,
        until=st.sampled_from([*MAIN_LINE, *BAD_ENDS]),
        timeout=st.sampled_from([0, 0, 0.01]),
    )
    def wait(self, job: Job, until: StatusName, timeout: float) -> None:
        known = str(job.snapshot.status) if job.snapshot else None
        expected = self.contract.wait(job.id, until, known)
        waiting = wait_until(job, until, timeout=timeout, wait=wait_fixed(0.002))
        try:
            snapshot = self.outcome(waiting, expected)
        except WaitTimeoutError:  # a busy machine may take more than 0.01 seconds
            assert timeout
            return
        if snapshot is not None:
            assert self.contract.wait(job.id, until, str(snapshot.status)) is None

    @rule(job=jobs)
    def delete(self, job: Job) -> None:
        expected = self.contract.delete(job.id)
        self.outcome(job.delete(), expected)
        if expected is None:
            self.contract.lists[job.id].deleted = True
            self.contract.deletes.append(job.id)

    @rule(job=jobs, seconds=st.integers(1, 12))
    def get_on(self, job: Job, seconds: int) -> None:
        """Take the next step of a list."""
        if self.contract.status(job.id) == "ready" and self.contract.lists[job.id].started is None:
            self.start(job)
        else:
            self.advance(seconds)
            self.status(job)

    @rule(job=jobs, how=st.sampled_from(sorted(BAD_ENDS)))
    def end_from_outside(self, job: Job, how: str) -> None:
        one = self.contract.lists[job.id]
        if not one.deleted and self.contract.status(job.id) in MAIN_LINE[:3]:
            (self.sandbox.cancel if how == "cancelled" else self.sandbox.fail)(job.id)
            one.ended = how

    def verify(self, verdict: str) -> None:
        broke = self.contract.spent >= CREDITS
        address = f"{verdict}@example.com"
        answer = self.outcome(
            self.client.verify(address), InsufficientCreditsError if broke else None
        )
        if answer is not None:
            assert (answer.email, answer.verdict) == (address, verdict)
            self.contract.spent += 1
            self.contract.verified.append(address)

    def credits(self) -> None:
        left = self.outcome(self.client.credits(), None)
        assert left is not None
        assert left.remaining == CREDITS - self.contract.spent

    def ask_about_a_missing_job(self, job_id: str) -> None:
        asked = self.client.stats.requests
        legal = job_id in {"x" * 36, "short"}
        for call in (self.client.status, self.client.start, self.client.delete):
            self.outcome(call(job_id), JobNotFoundError if legal else UsageError)
        assert self.client.stats.requests == asked + (3 if legal else 0)

    def try_another_key(self, job: Job) -> None:
        async def start() -> None:
            async with Client("another", base_url=self.sandbox.url) as client:
                await client.start(job.id)

        self.outcome(start(), AuthenticationError)

    @invariant()
    def the_books_agree(self) -> None:
        ledger, contract = self.sandbox.ledger, self.contract
        assert ledger.credits_spent == contract.spent == CREDITS - self.sandbox.credits
        assert ledger.starts == contract.starts
        assert [upload.job_id for upload in ledger.uploads] == list(contract.lists)
        assert ledger.deletes == contract.deletes
        assert ledger.verified_addresses == contract.verified
        assert set(ledger.paid.values()) <= {1} or contract.verified


@patient
def test_any_order_of_calls_follows_the_contract_and_pays_once() -> None:
    run_state_machine_as_test(AnyCalls, settings=examples(150, steps=40))

"""A start whose answer was lost stays paid when something else fails after it."""

import asyncio
from typing import Any

import pytest

from bulkverify import (
    AlreadyStartedError,
    Client,
    ConnectionFailedError,
    Job,
    JobCancelledError,
    JobFailedError,
    RateLimitedError,
    RequestTimeoutError,
    ServiceError,
    StartUncertainError,
    TransportError,
)
from bulkverify.sandbox import FaultKind, Sandbox
from bulkverify.service.answers import Endpoint
from bulkverify.service.money import may_be_paid
from tests.refusals import FINAL, KNOWN, PASSING, UNKNOWN, afterwards, at_start, said
from tests.served import ADDRESSES, fault, served

pytestmark = pytest.mark.asyncio

LOST = [
    pytest.param({"kind": FaultKind.DROP_AFTER}, id="lost"),
    pytest.param({"kind": FaultKind.ANSWER_AFTER, "status": 502}, id="lost in a 502"),
    pytest.param({"kind": FaultKind.ANSWER_AFTER, "status": 200}, id="lost in a page"),
]


async def ready(sandbox: Sandbox, client: Client) -> Job:
    """Upload a list; its status stays `ready` after a start, because the sandbox's clock is stopped."""
    job = await client.upload(ADDRESSES)
    sandbox.advance(60)
    return job


async def start_by_another(sandbox: Sandbox, job: Job) -> None:
    """Start a job with a new client, which has no pause to sit out."""
    async with Client(sandbox.api_key, base_url=sandbox.url) as client:
        await client.start(job.id)


@pytest.mark.parametrize("then", FINAL)
@pytest.mark.parametrize("first", LOST)
async def test_a_lost_start_stays_uncertain_after_any_next_answer(
    first: dict[str, Any], then: dict[str, Any]
) -> None:
    async with served(speed=0) as (sandbox, client):
        job = await ready(sandbox, client)
        sandbox.inject(at_start(first))
        sandbox.inject(at_start(then))
        with pytest.raises(StartUncertainError, match="Start it again") as caught:
            await job.start()
        assert caught.value.job_id == job.id
        assert isinstance(caught.value.__cause__, ServiceError | TransportError)
        assert caught.value.__cause__.message in caught.value.message
        assert sandbox.ledger.requests["start"] == 2
        with pytest.raises(AlreadyStartedError):
            await start_by_another(sandbox, job)
        assert sandbox.ledger.credits_spent == len(ADDRESSES)


@pytest.mark.parametrize("then", PASSING)
@pytest.mark.parametrize("first", LOST)
async def test_a_lost_start_is_settled_by_the_next_clear_answer(
    first: dict[str, Any], then: dict[str, Any]
) -> None:
    async with served(speed=0) as (sandbox, client):
        job = await ready(sandbox, client)
        sandbox.inject(at_start(first))
        sandbox.inject(at_start(then))
        assert "already started" in (await job.start()).message
        assert sandbox.ledger.requests["start"] == 3
        assert sandbox.ledger.credits_spent == len(ADDRESSES)


@pytest.mark.parametrize("then", [*FINAL, *PASSING])
async def test_a_refused_status_request_settles_no_lost_start(then: dict[str, Any]) -> None:
    async with served(speed=0) as (sandbox, client):
        job = await ready(sandbox, client)
        sandbox.inject(at_start({"kind": FaultKind.DROP_AFTER}))
        sandbox.inject(fault("status", **then))
        try:
            assert "already started" in (await job.start()).message
        except StartUncertainError:
            with pytest.raises(AlreadyStartedError):
                await start_by_another(sandbox, job)
        assert sandbox.ledger.credits_spent == len(ADDRESSES)


@pytest.mark.parametrize("text", ["Job not found", "A text that no contract knows"])
async def test_a_lost_start_is_repeated_after_a_refused_status_request(text: str) -> None:
    async with served(speed=0) as (sandbox, client):
        job = await ready(sandbox, client)
        sandbox.inject(at_start({"kind": FaultKind.DROP_AFTER}))
        sandbox.inject(fault("status", **said(400, text)))
        assert "already started" in (await job.start()).message
        assert sandbox.ledger.requests["start"] == 2


@pytest.mark.parametrize("then", KNOWN)
async def test_a_refused_start_is_not_uncertain(then: dict[str, Any]) -> None:
    async with served(speed=0) as (sandbox, client):
        job = await ready(sandbox, client)
        sandbox.inject(at_start(then))
        with pytest.raises((ServiceError, TransportError)) as caught:
            await job.start()
        assert not isinstance(caught.value, StartUncertainError)
        assert sandbox.ledger.requests["start"] == 1
        await start_by_another(sandbox, job)
        assert sandbox.ledger.credits_spent == len(ADDRESSES)


@pytest.mark.parametrize("then", UNKNOWN)
@pytest.mark.parametrize("done", [True, False])
async def test_a_start_with_an_unknown_refusal_is_uncertain(
    then: dict[str, Any], *, done: bool
) -> None:
    async with served(speed=0, attempts=1) as (sandbox, client):
        job = await ready(sandbox, client)
        sandbox.inject(at_start(afterwards(then) if done else then))
        with pytest.raises(StartUncertainError, match="Start it again") as caught:
            await job.start()
        assert isinstance(caught.value.__cause__, ServiceError | TransportError)
        assert caught.value.__cause__.message in caught.value.message
        assert len(sandbox.ledger.starts) == done
        if done:
            with pytest.raises(AlreadyStartedError):
                await start_by_another(sandbox, job)
        else:
            await start_by_another(sandbox, job)
        assert sandbox.ledger.credits_spent == len(ADDRESSES)


@pytest.mark.parametrize(("end", "kind"), [("cancel", JobCancelledError), ("fail", JobFailedError)])
async def test_a_lost_start_of_an_ended_job_may_be_paid(end: str, kind: type[Exception]) -> None:
    async with served(speed=0) as (sandbox, client):
        job = await ready(sandbox, client)
        sandbox.inject(at_start({"kind": FaultKind.DROP_AFTER}))
        sandbox.inject(fault("status", FaultKind.DELAY, delay=0.05))
        start = asyncio.create_task(job.start())
        while not sandbox.ledger.starts:  # noqa: ASYNC110 - the sandbox has no event
            await asyncio.sleep(0.001)
        getattr(sandbox, end)(job.id)
        with pytest.raises(kind, match="its credits may be spent") as caught:
            await start
        assert caught.value.snapshot is not None  # type: ignore[attr-defined]
        assert caught.value.job_id == job.id  # type: ignore[attr-defined]
        assert sandbox.ledger.requests["start"] == 1


async def test_the_error_of_a_lost_start_has_the_throttling_as_its_cause() -> None:
    async with served(speed=0) as (sandbox, client):
        job = await ready(sandbox, client)
        sandbox.inject(at_start({"kind": FaultKind.DROP_AFTER}))
        sandbox.inject(at_start({"kind": FaultKind.THROTTLE}, times=None))
        with pytest.raises(StartUncertainError) as caught:
            await job.start()
        assert isinstance(caught.value.__cause__, RateLimitedError)


@pytest.mark.parametrize("kind", [ConnectionFailedError, RequestTimeoutError])
@pytest.mark.parametrize("sent", [True, False])
async def test_a_start_that_was_never_sent_is_not_paid(
    kind: type[ConnectionFailedError | RequestTimeoutError], *, sent: bool
) -> None:
    assert may_be_paid(kind("Broken.", sent=sent), Endpoint.START) is sent

"""Nothing is paid twice when answers get lost, as the sandbox's ledger shows."""

import socket
from typing import Any

import pytest
from tenacity import RetryCallState, wait_none

from bulkverify import (
    AccountRestrictedError,
    AlreadyStartedError,
    AuthenticationError,
    Client,
    ClientClosedError,
    ConnectionFailedError,
    InsufficientCreditsError,
    InvalidRequestError,
    JobNotFoundError,
    ListLimitError,
    RateLimitedError,
    RequestTimeoutError,
    ServerError,
    ServiceError,
    StartUncertainError,
    TransportError,
    UnexpectedRedirectError,
    UnreadableAnswerError,
    UploadUncertainError,
    VerifyTimeoutError,
    VerifyUncertainError,
    wait_until,
)
from bulkverify.client import known_of
from bulkverify.sandbox import Fault, FaultKind
from bulkverify.service import calls, money, uploads
from tests.refusals import afterwards, answered, said
from tests.served import ADDRESSES, FAST, fault, served, uploaded

pytestmark = pytest.mark.asyncio

LOST = [
    pytest.param(FaultKind.DROP_AFTER, {}, id="dropped"),
    pytest.param(FaultKind.ANSWER_AFTER, {"status": 502}, id="502"),
    pytest.param(FaultKind.ANSWER_AFTER, {"status": 504, "body": b""}, id="504"),
    pytest.param(FaultKind.ANSWER_AFTER, {"status": 200}, id="a page"),
    pytest.param(FaultKind.ANSWER_AFTER, {"status": 200, "body": b'{"succ'}, id="half an answer"),
    pytest.param(FaultKind.ANSWER_AFTER, {"status": 200, "body": b"{}"}, id="no job id"),
]
NEVER_DONE = [
    pytest.param(FaultKind.DROP, {}, id="dropped"),
    pytest.param(FaultKind.ANSWER, {"status": 502}, id="502"),
]


@pytest.mark.parametrize(("kind", "options"), [*LOST, *NEVER_DONE])
@pytest.mark.parametrize("auto_verify", [False, True])
async def test_an_upload_whose_answer_is_lost_is_never_sent_again(
    kind: FaultKind, options: dict[str, object], *, auto_verify: bool
) -> None:
    async with served() as (sandbox, client):
        sandbox.inject(fault("upload", kind, times=None, **options))
        with pytest.raises(UploadUncertainError, match="was not sent again") as caught:
            await client.upload(ADDRESSES, auto_verify=auto_verify)
        assert sandbox.ledger.requests["upload"] == 1
        assert caught.value.auto_verify is auto_verify
        assert ("paid for right now" in str(caught.value)) is auto_verify
        sandbox.advance(3600)
        arrived = kind not in {FaultKind.DROP, FaultKind.ANSWER}
        assert len(sandbox.ledger.uploads) == arrived
        if arrived:
            await client.status(sandbox.ledger.uploads[0].job_id)
        spent = len(ADDRESSES) if auto_verify and arrived else 0
        assert sandbox.ledger.credits_spent == spent


async def test_the_error_of_a_lost_upload_names_its_file() -> None:
    async with served() as (sandbox, client):
        sandbox.inject(fault("upload", FaultKind.DROP_AFTER))
        with pytest.raises(UploadUncertainError, match=r"upload of 'spring.csv'"):
            await client.upload(b"email\na@example.com\n", title="spring")
        assert len(sandbox.ledger.uploads) == 1


async def test_an_upload_that_the_service_throttled_is_sent_again() -> None:
    async with served() as (sandbox, client):
        body = b'{"success":"false","result":"Too Many Requests"}'
        sandbox.inject(fault("upload", FaultKind.ANSWER, status=429, body=body, times=2))
        await client.upload(ADDRESSES)
        assert sandbox.ledger.requests["upload"] == 3
        assert len(sandbox.ledger.uploads) == 1


async def test_an_unsent_upload_is_repeated_and_its_error_says_so() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    async with Client(
        "key", base_url=f"http://127.0.0.1:{port}", attempts=3, backoff=wait_none()
    ) as client:
        with pytest.raises(ConnectionFailedError, match="Nothing was sent") as caught:
            await client.upload(ADDRESSES)
        assert caught.value.sent is False


@pytest.mark.parametrize(
    "error",
    [
        ConnectionFailedError("No connection; nothing was sent.", sent=False),
        RequestTimeoutError("No connection in time; nothing was sent.", sent=False),
        ClientClosedError("The client is closed; nothing was sent."),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("auto_verify", [False, True])
async def test_a_call_that_was_never_sent_is_not_uncertain(
    error: TransportError, *, auto_verify: bool
) -> None:
    class Never:
        async def call(self, _: object) -> None:
            raise error

    transport: Any = Never()
    call = await uploads.prepare(ADDRESSES, auto_verify=auto_verify, title=None)
    with pytest.raises(type(error), match="nothing was sent"):
        await money.upload(transport, call, auto_verify=auto_verify)
    with pytest.raises(type(error), match="nothing was sent"):
        await money.verify(transport, calls.verify("a@example.com", timeout=None))


@pytest.mark.parametrize("answer", ["max lists", "unreadable list"])
async def test_a_refused_upload_is_not_uncertain(answer: str) -> None:
    text = {
        "max lists": (
            b'{"success":false,"message":"The maximum number of lists has been reached."}'
        ),
        "unreadable list": b'{"success":false,"result":"Invalid file data"}',
    }[answer]
    async with served() as (sandbox, client):
        sandbox.inject(fault("upload", FaultKind.ANSWER, status=400, body=text))
        with pytest.raises(Exception, match="The service refused the upload call") as caught:
            await client.upload(ADDRESSES)
        assert not isinstance(caught.value, UploadUncertainError)
        assert isinstance(caught.value, ListLimitError) == (answer == "max lists")
        assert sandbox.ledger.requests["upload"] == 1


DENIED = [
    pytest.param(answered(302), id="redirect"),
    pytest.param(answered(200, '{"success": false}'), id="a bare no"),
    *(pytest.param(said(code, "Denied"), id=str(code)) for code in (400, 403, 404, 405, 413)),
]
"""Answers that are not refusals of the contract."""


@pytest.mark.parametrize("denied", DENIED)
@pytest.mark.parametrize("auto_verify", [False, True])
async def test_an_upload_with_an_unknown_refusal_is_uncertain_if_it_costs(
    denied: dict[str, Any], *, auto_verify: bool
) -> None:
    async with served() as (sandbox, client):
        sandbox.inject(Fault(endpoint="upload", **denied))
        kind = UploadUncertainError if auto_verify else (ServiceError, UnexpectedRedirectError)
        with pytest.raises(kind) as caught:
            await client.upload(ADDRESSES, auto_verify=auto_verify)
        assert ("Correct the base URL" in str(caught.value)) is (denied["status"] == 302)
        assert sandbox.ledger.requests["upload"] == 1


@pytest.mark.parametrize(
    "known",
    [
        said(400, "Invalid file data"),
        said(400, "The maximum number of lists has been reached."),
        said(400, "Verify restricted"),
        said(401, "Invalid API Key"),
        said(402, "Insufficient verification credits."),
    ],
)
async def test_an_upload_with_a_known_refusal_costs_nothing(
    known: dict[str, Any],
) -> None:
    async with served() as (sandbox, client):
        sandbox.inject(Fault(endpoint="upload", **known))
        with pytest.raises(ServiceError):
            await client.upload(ADDRESSES, auto_verify=True)


@pytest.mark.parametrize("denied", [*DENIED, said(200, "Timed out"), answered(503)])
async def test_a_single_address_with_an_unknown_refusal_may_be_paid(
    denied: dict[str, Any],
) -> None:
    async with served() as (sandbox, client):
        sandbox.inject(Fault(endpoint="verify", **afterwards(denied)))
        with pytest.raises(VerifyUncertainError, match="each request costs a credit"):
            await client.verify("deliverable@example.com")
        assert (sandbox.ledger.requests["verify"], sandbox.ledger.credits_spent) == (1, 1)


@pytest.mark.parametrize("status", [200, 400, 408, 503])
async def test_a_single_address_is_asked_for_again_after_the_service_ran_out_of_time(
    status: int,
) -> None:
    async with served() as (sandbox, client):
        sandbox.inject(Fault(endpoint="verify", times=3, **said(status, "Validation timedout")))
        assert (await client.verify("deliverable@example.com")).verdict == "deliverable"
        assert (sandbox.ledger.requests["verify"], sandbox.ledger.credits_spent) == (4, 1)


async def test_a_single_address_that_always_runs_out_of_time_is_not_asked_for_forever() -> None:
    async with served() as (sandbox, client):
        sandbox.inject(Fault(endpoint="verify", times=None, **said(200, "Validation timedout")))
        with pytest.raises(VerifyTimeoutError, match="No credit is known to be spent"):
            await client.verify("deliverable@example.com")
        assert (sandbox.ledger.requests["verify"], sandbox.ledger.credits_spent) == (4, 0)


@pytest.mark.parametrize(
    ("known", "kind"),
    [
        (said(400, "Invalid request. Required email."), InvalidRequestError),
        (said(400, "Verify restricted"), AccountRestrictedError),
        (said(401, "Invalid API Key"), AuthenticationError),
        (said(402, "Insufficient verification credits"), InsufficientCreditsError),
        (said(429, "Too many requests", headers={"Retry-After": "600"}), RateLimitedError),
    ],
)
async def test_a_single_address_with_a_known_refusal_costs_nothing(
    known: dict[str, Any], kind: type[Exception]
) -> None:
    async with served() as (sandbox, client):
        sandbox.inject(Fault(endpoint="verify", **known))
        with pytest.raises(kind):
            await client.verify("deliverable@example.com")


@pytest.mark.parametrize(("kind", "options"), LOST)
async def test_a_start_whose_answer_is_lost_spends_once_and_succeeds(
    kind: FaultKind, options: dict[str, object]
) -> None:
    async with served() as (sandbox, client):
        job = await uploaded(client)
        sandbox.inject(fault("start", kind, **options))
        if options.get("body") == b"{}":  # an empty object is a valid acknowledgement
            await job.start()
        else:
            acknowledgement = await job.start()
            assert acknowledgement.job_id == job.id
        await wait_until(job, "completed", wait=FAST)
        assert sandbox.ledger.starts == [job.id]
        assert sandbox.ledger.credits_spent == len(ADDRESSES)
        assert set(sandbox.ledger.paid.values()) == {1}


@pytest.mark.parametrize(("kind", "options"), NEVER_DONE)
async def test_a_start_that_was_not_done_is_repeated(
    kind: FaultKind, options: dict[str, object]
) -> None:
    async with served() as (sandbox, client):
        job = await uploaded(client)
        sandbox.inject(fault("start", kind, times=2, **options))
        await job.start()
        assert sandbox.ledger.starts == [job.id]
        assert sandbox.ledger.credits_spent == len(ADDRESSES)


async def test_a_start_is_looked_up_before_it_is_repeated() -> None:
    async with served(speed=0) as (sandbox, client):

        def while_the_status_catches_up(_: RetryCallState) -> float:
            sandbox.advance(5)
            return 0.0

        job = await client.upload(ADDRESSES)
        sandbox.advance(60)
        sandbox.inject(fault("start", FaultKind.DROP_AFTER))
        client._transport.retrying.backoff = while_the_status_catches_up  # type: ignore[assignment]
        await job.start()
        assert sandbox.ledger.requests["start"] == 1
        assert sandbox.ledger.requests["status"] == 1


async def test_a_start_is_repeated_while_ready_and_already_started_is_success() -> None:
    async with served(speed=0) as (sandbox, client):
        job = await client.upload(ADDRESSES)
        sandbox.advance(60)
        sandbox.inject(fault("start", FaultKind.DROP_AFTER))
        acknowledgement = await job.start()
        assert "already started" in acknowledgement.message
        assert sandbox.ledger.requests["start"] == 2
        assert sandbox.ledger.credits_spent == len(ADDRESSES)


async def test_a_start_by_another_program_is_reported() -> None:
    async with served() as (sandbox, client):
        job = await uploaded(client)
        await job.start()
        with pytest.raises(AlreadyStartedError):
            await job.start()
        assert sandbox.ledger.credits_spent == len(ADDRESSES)


async def test_a_job_counts_as_started_from_its_start_on() -> None:
    async with served() as (_, client):
        job = await uploaded(client)
        assert not known_of(client).was_started(job.id)
        await job.start()
        assert known_of(client).was_started(job.id)


async def test_a_job_that_another_program_has_started_counts_as_started() -> None:
    async with served() as (sandbox, client):
        job = await uploaded(client)
        async with Client(sandbox.api_key, base_url=sandbox.url) as other:
            await other.start(job.id)
        with pytest.raises(AlreadyStartedError):
            await job.start()
        assert known_of(client).was_started(job.id)


async def test_a_start_without_an_answer_is_uncertain_and_safe_to_repeat() -> None:
    async with served() as (sandbox, client):
        job = await uploaded(client)
        sandbox.inject(fault("start", FaultKind.DROP_AFTER))
        sandbox.inject(fault("status", FaultKind.ANSWER, status=502, times=3))
        with pytest.raises(StartUncertainError, match="Start it again") as caught:
            await job.start()
        assert caught.value.job_id == job.id
        with pytest.raises(AlreadyStartedError):
            await job.start()
        assert sandbox.ledger.credits_spent == len(ADDRESSES)


async def test_a_lost_start_stays_uncertain_when_the_service_then_throttles() -> None:
    async with served() as (sandbox, client):
        job = await uploaded(client)
        sandbox.inject(fault("start", FaultKind.DROP_AFTER))
        body = b'{"success":"false","result":"Too Many Requests"}'
        sandbox.inject(fault("status", FaultKind.ANSWER, status=429, body=body, times=3))
        with pytest.raises(StartUncertainError) as caught:
            await job.start()
        assert isinstance(caught.value.__cause__, RateLimitedError)


async def test_a_start_without_credits_spends_nothing() -> None:
    async with served() as (sandbox, client):
        job = await uploaded(client)
        sandbox.credits = len(ADDRESSES) - 1
        with pytest.raises(InsufficientCreditsError) as caught:
            await job.start()
        assert caught.value.status == 402
        assert sandbox.ledger.credits_spent == 0
        assert sandbox.ledger.requests["start"] == 1


@pytest.mark.parametrize(("kind", "options"), [*LOST, *NEVER_DONE])
async def test_a_single_address_is_never_asked_for_twice(
    kind: FaultKind, options: dict[str, object]
) -> None:
    async with served() as (sandbox, client):
        sandbox.inject(fault("verify", kind, times=None, **options))
        with pytest.raises(VerifyUncertainError, match="each request costs a credit"):
            await client.verify("deliverable@example.com")
        assert sandbox.ledger.requests["verify"] == 1
        assert sandbox.ledger.credits_spent <= 1


async def test_a_deletion_whose_answer_is_lost_succeeds() -> None:
    async with served() as (sandbox, client):
        job = await uploaded(client)
        sandbox.inject(fault("delete", FaultKind.DROP_AFTER))
        assert (await job.delete()).job_id == job.id
        assert sandbox.ledger.deletes == [job.id]
        with pytest.raises(JobNotFoundError):
            await job.delete()


async def test_the_error_of_a_failed_deletion_says_why() -> None:
    async with served() as (sandbox, client):
        job = await uploaded(client)
        sandbox.inject(fault("delete", FaultKind.ANSWER, times=None))
        with pytest.raises(ServerError):
            await job.delete()
        assert sandbox.ledger.requests["delete"] == 4


async def test_a_page_in_place_of_an_answer_is_the_cause() -> None:
    async with served() as (sandbox, client):
        sandbox.inject(fault("upload", FaultKind.ANSWER, status=403))
        with pytest.raises(UploadUncertainError) as caught:
            await client.upload(ADDRESSES)
        assert isinstance(caught.value.__cause__, UnreadableAnswerError)


@pytest.mark.asyncio
@pytest.mark.parametrize("auto_verify", [False, True])
async def test_an_upload_that_starts_by_itself_counts_as_started(*, auto_verify: bool) -> None:
    async with served() as (_, client):
        job = await client.upload(ADDRESSES, auto_verify=auto_verify)
        assert known_of(client).was_started(job.id) is auto_verify

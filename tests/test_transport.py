"""Requests: their headers, attempts and pauses, and the translation of errors."""

import asyncio
import logging
import ssl
from functools import partial
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from tenacity import AsyncRetrying, RetryCallState, wait_fixed, wait_none
from tenacity.wait import wait_base

from bulkverify import (
    Client,
    ClientClosedError,
    ConnectionFailedError,
    IncompleteDownloadError,
    JobNotFoundError,
    NotReadyError,
    RateLimitedError,
    RequestTimeoutError,
    ServerError,
    UnreadableAnswerError,
)
from bulkverify._version import __version__
from bulkverify.sandbox import Fault, FaultKind, Sandbox
from bulkverify.service import calls
from bulkverify.service.answers import Answer, Endpoint
from bulkverify.service.middleware import ConnectionLostError
from bulkverify.service.retrying import LONGEST_RETRY_AFTER, Retrying, may_repeat
from bulkverify.service.sessions import ORDINARY_SECONDS, READ_TIMEOUT, timeout_of
from bulkverify.service.translation import translate
from bulkverify.service.transport import _read_answer, _read_piece
from bulkverify.testing import virtual_clock
from tests.wire import CREDITS, UPLOADED, Arrived, http, wire

KEY = aiohttp.client_reqrep.ConnectionKey("host", 443, True, True, None, None, None)  # noqa: FBT003 - positional there


def refused(number: int, text: str | None) -> aiohttp.ClientConnectorError:
    return aiohttp.ClientConnectorError(KEY, OSError(number, text))


TOLD: dict[str, tuple[BaseException, type[Exception], str]] = {
    "no connection in time": (
        aiohttp.ConnectionTimeoutError("x"),
        RequestTimeoutError,
        "There was no connection for the status call within 15 seconds; nothing was sent.",
    ),
    "refused": (
        refused(111, "Connection refused"),
        ConnectionFailedError,
        "There was no connection for the status call: Connection refused. Nothing was sent; check the base URL and the network.",
    ),
    "refused without a word": (
        aiohttp.ClientConnectorError(KEY, OSError("x")),
        ConnectionFailedError,
        "There was no connection for the status call: OSError. Nothing was sent; check the base URL and the network.",
    ),
    "a certificate": (
        aiohttp.ClientConnectorCertificateError(KEY, ssl.SSLCertVerificationError(1, "x")),
        ConnectionFailedError,
        "There was no connection for the status call: the server's certificate can't be trusted. Nothing was sent; check the base URL and the network.",
    ),
    "silence": (
        TimeoutError("x"),
        RequestTimeoutError,
        "The service did not answer the status call in time.",
    ),
    "no HTTP": (
        aiohttp.ClientResponseError(None, (), message="x"),  # type: ignore[arg-type]
        UnreadableAnswerError,
        "The answer to the status call is not valid HTTP (ClientResponseError).",
    ),
    "reset": (
        ConnectionResetError(104, "Connection reset by peer"),
        ConnectionFailedError,
        "The connection broke during the status call: Connection reset by peer.",
    ),
    "disconnected": (
        aiohttp.ServerDisconnectedError("x"),
        ConnectionFailedError,
        "The connection broke during the status call: ServerDisconnectedError.",
    ),
}


@pytest.mark.parametrize("name", TOLD)
def test_a_foreign_error_is_translated_into_our_own_text(name: str) -> None:
    error, kind, text = TOLD[name]
    ours = translate(error, endpoint="status")
    assert type(ours) is kind
    assert str(ours) == text


def test_an_error_during_an_answer_says_so() -> None:
    late = translate(TimeoutError(), endpoint="status", answering=True)
    assert str(late) == "The rest of the answer to the status call did not come in time."
    assert isinstance(late, RequestTimeoutError)
    broken = translate(aiohttp.ClientPayloadError("x"), endpoint="status", answering=True)
    assert (
        str(broken)
        == "The connection broke during the answer to the status call: ClientPayloadError."
    )
    garbled = translate(
        aiohttp.ClientResponseError(None, ()),  # type: ignore[arg-type]
        endpoint="status",
        answering=True,
    )
    assert str(garbled).startswith("The answer to the status call is not valid HTTP")


@pytest.mark.parametrize(
    ("error", "repeatable", "otherwise"),
    [
        (RateLimitedError(retry_after=LONGEST_RETRY_AFTER), True, True),
        (RateLimitedError(retry_after=LONGEST_RETRY_AFTER + 0.1), False, False),
        (RateLimitedError(), True, True),
        (ServerError(retry_after=LONGEST_RETRY_AFTER), True, False),
        (ServerError(retry_after=LONGEST_RETRY_AFTER + 0.1), False, False),
        (ConnectionFailedError(sent=True), True, False),
        (ConnectionFailedError(sent=False), True, True),
        (RequestTimeoutError(sent=True), True, False),
        (RequestTimeoutError(sent=False), True, True),
        (UnreadableAnswerError(), True, False),
        (IncompleteDownloadError(), True, False),
        (NotReadyError(), False, False),
        (ClientClosedError(), False, False),
        (ValueError(), False, False),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_the_error_and_the_call_decide_whether_to_repeat(
    error: Exception, *, repeatable: bool, otherwise: bool
) -> None:
    assert may_repeat(error, repeatable=True) is repeatable
    assert may_repeat(error, repeatable=False) is otherwise


@pytest.mark.asyncio
@pytest.mark.parametrize("own", [True, False])
async def test_every_request_has_its_headers(*, own: bool) -> None:
    async def respond(arrived: Arrived) -> bytes:
        return http(UPLOADED if arrived.method == "POST" else CREDITS)

    async with (
        wire(respond) as (url, arrived),
        aiohttp.ClientSession() as session,
        Client("key", base_url=url, session=None if own else session) as client,
    ):
        await client.credits()
        await client.upload(["a@example.com"])
        await client.upload(b"email\na@example.com\n")
    for one in arrived:
        assert f"User-Agent: bulkverify/{__version__}".encode() in one.head
        assert b"\r\nAccept: application/json, text/csv\r\n" in one.head
        assert one.target.endswith("?apikey=key")
    kinds = [line for one in arrived for line in one.head.split(b"\r\n") if b"Content-Type" in line]
    assert kinds[0] == b"Content-Type: application/json"
    assert kinds[1].startswith(b"Content-Type: multipart/form-data")
    assert b"\r\nContent-Type: text/csv\r\n" in arrived[2].body


@pytest.mark.asyncio
async def test_attempts_and_throttles_are_counted_and_the_callers_backoff_is_used() -> None:
    class Counted(wait_base):
        def __init__(self) -> None:
            self.asked: list[int] = []

        def __call__(self, retry_state: RetryCallState) -> float:
            self.asked.append(retry_state.attempt_number)
            return 0.0

    answers = [http(b"{}", 429), http(b"{}", 429), http(b"busy", 503), http(CREDITS)]

    async def respond(_: Arrived) -> bytes:
        return answers.pop(0)

    backoff = Counted()
    async with wire(respond) as (url, _), Client("key", base_url=url, backoff=backoff) as client:
        await client.credits()
        assert backoff.asked == [1, 2, 3]
        assert (client.stats.requests, client.stats.retries, client.stats.throttles) == (4, 3, 2)


@pytest.mark.asyncio
@pytest.mark.parametrize("status", [429, 503])
async def test_the_next_attempt_comes_when_the_service_asks_for_it(status: int) -> None:
    with virtual_clock() as clock:
        async with Sandbox() as sandbox:
            sandbox.inject(
                Fault(
                    kind=FaultKind.ANSWER,
                    endpoint="credits",
                    status=status,
                    headers={"Retry-After": "50"},
                    times=2,
                )
            )
            async with Client(sandbox.api_key, base_url=sandbox.url, backoff=wait_none()) as client:
                began = clock.now
                await client.credits()
                assert 100 <= clock.now - began < 102
                assert sandbox.ledger.requests["credits"] == 3


@pytest.mark.asyncio
async def test_only_the_backoff_makes_a_pause_that_the_service_does_not_ask_for() -> None:
    with virtual_clock() as clock:
        async with (
            Sandbox() as sandbox,
            Client(sandbox.api_key, base_url=sandbox.url, backoff=wait_fixed(0.3)) as client,
        ):
            sandbox.inject(Fault(kind=FaultKind.ANSWER, endpoint="credits", times=2))
            began = clock.now
            await client.credits()
            assert 0.59 < clock.now - began < 0.8


@pytest.mark.asyncio
async def test_the_log_says_why_a_request_is_sent_again(caplog: pytest.LogCaptureFixture) -> None:
    answers = [http(b"busy", 503), http(CREDITS)]

    async def respond(_: Arrived) -> bytes:
        return answers.pop(0)

    with caplog.at_level(logging.INFO, "bulkverify"):
        async with (
            wire(respond) as (url, _),
            Client("key", base_url=url, backoff=wait_none()) as client,
        ):
            await client.credits()
    assert "attempt 1 failed, next in 0.0 s: " in caplog.text
    assert "could not answer the credits call: 503 busy" in caplog.text


@pytest.mark.asyncio
async def test_a_request_is_attempted_four_times() -> None:
    async with Sandbox() as sandbox:
        sandbox.inject(Fault(kind=FaultKind.ANSWER, endpoint="credits", times=None))
        async with Client(sandbox.api_key, base_url=sandbox.url, backoff=wait_none()) as client:
            with pytest.raises(ServerError):
                await client.credits()
        assert sandbox.ledger.requests["credits"] == 4


@pytest.mark.asyncio
async def test_the_pauses_grow_from_half_a_second() -> None:
    with virtual_clock() as clock:
        async with Sandbox() as sandbox, Client(sandbox.api_key, base_url=sandbox.url) as client:
            sandbox.inject(Fault(kind=FaultKind.ANSWER, endpoint="credits", times=3))
            began = clock.now
            await client.credits()
            assert 0.5 + 1 + 2 <= clock.now - began < 0.5 + 1 + 2 + 3 * 0.5 + 0.2


def test_a_pause_is_at_most_twenty_and_a_half_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    backoff = Retrying(4, None, lambda: None).backoff
    state = RetryCallState(AsyncRetrying(), None, (), {})
    for share, pauses in ((0.0, [0.5, 20]), (1.0, [1, 20.5])):
        monkeypatch.setattr("random.random", partial(float, share))
        found = []
        for state.attempt_number in (1, 50):
            found.append(backoff(state))
        assert found == pauses


@pytest.mark.asyncio
async def test_downloads_keep_to_the_budget() -> None:
    with virtual_clock() as clock:
        async with (
            Sandbox() as sandbox,
            Client(sandbox.api_key, base_url=sandbox.url, requests_per_minute=2) as client,
        ):
            began = clock.now
            for _ in range(3):
                with pytest.raises(JobNotFoundError):
                    await anext(client.rows("nosuchjob", verdicts=["unknown"]))
            assert clock.now - began >= 60


def test_a_lost_connection_names_its_cause() -> None:
    lost_error = ConnectionLostError(ConnectionResetError(104, "Connection reset by peer"))
    assert str(lost_error) == "Connection reset by peer"
    assert str(ConnectionLostError("by a middleware")) == "by a middleware"


@pytest.mark.asyncio
async def test_a_closed_client_sends_nothing_over_a_session_that_is_open() -> None:
    async with wire() as (url, arrived), aiohttp.ClientSession() as session:
        client = Client("key", base_url=url, session=session)
        await client.credits()
        await client.close()
        with pytest.raises(ClientClosedError):
            await client.credits()
        assert client.stats.requests == len(arrived) == 1
        assert not session.closed


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "error", [OSError(5, "x"), ConnectionResetError(), TimeoutError(), aiohttp.ClientPayloadError()]
)
async def test_any_error_during_an_answer_is_translated(error: Exception) -> None:
    async def readany() -> bytes:
        raise error

    response: Any = SimpleNamespace(
        content=SimpleNamespace(at_eof=lambda: False, readany=readany), status=200, headers={}
    )
    outcome = await _read_answer(response, Endpoint.STATUS)
    assert not isinstance(outcome, Answer)
    assert "answer to the status call" in str(outcome)
    assert "answer to the download call" in str(await _read_piece(response, Endpoint.DOWNLOAD))


@pytest.mark.asyncio
async def test_an_answer_that_stops_in_its_middle_is_a_timeout(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "bulkverify.service.sessions._ORDINARY_TIMEOUT", aiohttp.ClientTimeout(total=0.2)
    )

    async def respond(_: Arrived) -> bytes:
        return http(CREDITS).replace(b"Content-Length: ", b"Content-Length: 9")

    async with wire(respond) as (url, _), Client("key", base_url=url, attempts=1) as client:
        with pytest.raises(RequestTimeoutError, match="rest of the answer to the credits call"):
            await client.credits()
        await asyncio.sleep(0)


def test_the_answer_for_one_address_may_take_longer_than_the_service_allows_itself() -> None:
    seconds = timeout_of(calls.verify("a@example.com")).total
    assert seconds is not None
    assert seconds >= 200  # seen: an answer after 180.6 seconds


def test_a_request_may_take_longer_if_it_has_a_body() -> None:
    assert timeout_of(calls.status("job1")).total == ORDINARY_SECONDS
    for call in (
        calls.upload_file(bytes(1_600_000), "list.csv", auto_verify=False),
        calls.upload_rows([b"x" * 1_600_000], auto_verify=False, title=None),
    ):
        seconds = timeout_of(call).total
        assert seconds is not None
        assert ORDINARY_SECONDS + 90 <= seconds <= ORDINARY_SECONDS + 110


def test_a_download_may_take_any_time_while_bytes_arrive() -> None:
    timeout = timeout_of(calls.download("job1", None))
    assert (timeout.total, timeout.sock_read) == (None, READ_TIMEOUT)


@pytest.mark.asyncio
@pytest.mark.looptime
async def test_a_piece_of_a_download_that_never_comes_is_a_timeout() -> None:
    response: Any = SimpleNamespace(content=SimpleNamespace(readany=asyncio.Event().wait))
    assert isinstance(await _read_piece(response, Endpoint.DOWNLOAD), RequestTimeoutError)
    assert asyncio.get_running_loop().time() == pytest.approx(READ_TIMEOUT)

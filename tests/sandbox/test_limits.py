import pytest

from .caller import Caller, Serve

pytestmark = pytest.mark.asyncio

LIST = "email\na@example.com\n"
MAX_LISTS = {"success": False, "message": "The maximum number of lists has been reached."}
MAX_VERIFYING = {
    "success": False,
    "message": "The maximum number of active verification lists has been reached.",
}


@pytest.mark.parametrize("status", ["preparing", "ready", "verifying"])
async def test_lists_not_yet_verified_are_limited(serve: Serve, status: str) -> None:
    caller = await serve(max_lists=2)
    for _ in range(2):
        await caller.bring(LIST, status)
    answer = await caller.send_file(LIST)
    assert answer.status == 400
    assert answer.body == MAX_LISTS


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled"])
async def test_ended_lists_do_not_count(serve: Serve, status: str) -> None:
    caller = await serve(max_lists=1, max_verifying=1)
    for _ in range(3):
        await caller.bring(LIST, status)


async def test_a_deleted_list_does_not_count(serve: Serve) -> None:
    caller = await serve(max_lists=1)
    await caller.delete(await caller.bring(LIST, "ready"))
    await caller.upload(LIST)


async def test_lists_verifying_are_limited_by_starts(serve: Serve) -> None:
    caller = await serve(max_verifying=1)
    first, second = await caller.bring(LIST, "ready"), await caller.bring(LIST, "ready")
    assert (await caller.start(first)).status == 200
    for _ in range(2):
        answer = await caller.start(second)
        assert answer.status == 400
        assert answer.body == MAX_VERIFYING
        caller.sandbox.advance(2)
    caller.sandbox.advance(60)
    assert (await caller.start(second)).status == 200


async def test_lists_verifying_are_limited_by_uploads_that_start_by_themselves(
    serve: Serve,
) -> None:
    caller = await serve(max_verifying=1)
    first = await caller.upload(LIST, auto_verify="true")
    ready = await caller.upload(LIST)
    for _ in range(2):
        assert (await caller.send_file(LIST, auto_verify="true")).body == MAX_VERIFYING
        caller.sandbox.advance(4)
        assert (await caller.start(ready)).body == MAX_VERIFYING
    caller.sandbox.cancel(first)
    assert (await caller.start(ready)).status == 200


async def test_a_failed_automatic_start_frees_its_place(serve: Serve) -> None:
    caller = await serve(max_verifying=1, credits=0)
    await caller.upload(LIST, auto_verify="true")
    caller.sandbox.advance(4)
    await caller.upload(LIST, auto_verify="true")


async def test_requests_are_limited_in_any_minute(serve: Serve) -> None:
    caller = await serve(requests_per_minute=3)
    for _ in range(3):
        assert (await caller.ask("GET", "/info")).status == 200
        caller.sandbox.advance(10)
    answer = await caller.ask("GET", "/info")
    assert answer.status == 429
    assert answer.body == {"success": "false", "result": "Too Many Requests"}
    assert "Retry-After" not in answer.headers
    caller.sandbox.advance(29)
    assert (await caller.ask("GET", "/info")).status == 429
    caller.sandbox.advance(1)
    assert (await caller.ask("GET", "/info")).status == 200
    assert (await caller.ask("GET", "/info")).status == 429
    assert caller.sandbox.ledger.throttled == {"credits": 3}
    assert caller.sandbox.ledger.requests == {"credits": 7}


async def test_each_endpoint_has_its_own_limit(serve: Serve) -> None:
    caller = await serve(requests_per_minute=1)
    requests = [
        ("POST", "/bulk"),
        ("GET", "/bulk"),
        ("PATCH", "/bulk"),
        ("DELETE", "/bulk"),
        ("POST", "/download"),
        ("GET", "/verify"),
        ("GET", "/info"),
    ]
    assert all([(await caller.ask(*request)).status != 429 for request in requests])
    assert all([(await caller.ask(*request)).status == 429 for request in requests])
    assert len(caller.sandbox.ledger.throttled) == 7


@pytest.mark.parametrize(("seconds", "text"), [(7, "7"), (0.5, "0.5"), (0, "0")])
async def test_a_429_may_have_a_retry_after(serve: Serve, seconds: float, text: str) -> None:
    caller = await serve(requests_per_minute=0, retry_after=seconds)
    assert (await caller.ask("GET", "/info")).headers["Retry-After"] == text


async def test_a_request_with_a_wrong_key_does_not_count(serve: Serve) -> None:
    caller = await serve(requests_per_minute=1)
    assert (await caller.ask("GET", "/info", {"apikey": "wrong"})).status == 401
    assert (await caller.ask("GET", "/info")).status == 200


async def test_a_sandbox_without_a_limit_takes_everything(caller: Caller) -> None:
    assert all([(await caller.ask("GET", "/info")).status == 200 for _ in range(130)])

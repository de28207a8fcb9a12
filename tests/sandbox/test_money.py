import json
from datetime import timedelta
from pathlib import Path

import pytest

from bulkverify.sandbox import Upload

from .caller import Caller, Serve
from .conftest import EPOCH

pytestmark = pytest.mark.asyncio

PAYLOADS = Path(__file__).parent.parent / "payloads"
LIST = "email\nA@example.com\na@example.com \noops\n"


async def test_a_start_costs_a_credit_for_each_row_at_once(caller: Caller) -> None:
    job_id = await caller.bring(LIST, "ready")
    assert caller.sandbox.credits == 1_000_000
    await caller.start(job_id)
    assert caller.sandbox.credits == 999_997
    ledger = caller.sandbox.ledger
    assert ledger.credits_spent == ledger.spent_on(job_id) == 3
    assert ledger.paid == {"a@example.com": 2, "oops": 1}
    assert ledger.spent_on("another") == 0


async def test_paid_addresses_add_up_over_lists_and_single_ones(caller: Caller) -> None:
    for _ in range(2):
        await caller.bring("a@example.com\n", "verifying")
    assert caller.sandbox.ledger.paid == {"a@example.com": 2}
    await caller.ask("GET", "/verify", {"email": "A@example.com"})
    assert caller.sandbox.ledger.paid == {"a@example.com": 3}
    assert caller.sandbox.ledger.verified_addresses == ["A@example.com"]
    assert caller.sandbox.ledger.credits_spent == 3


async def test_credits_are_not_refunded(caller: Caller) -> None:
    job_id = await caller.bring(LIST, "verifying")
    caller.sandbox.cancel(job_id)
    assert caller.sandbox.credits == 999_997


async def test_a_list_with_auto_verify_is_paid_when_it_gets_ready(caller: Caller) -> None:
    job_id = await caller.upload(LIST, auto_verify="true")
    caller.sandbox.advance(1)
    assert caller.sandbox.credits == 1_000_000
    caller.sandbox.advance(9)
    assert caller.sandbox.credits == 999_997
    assert caller.sandbox.ledger.starts == [job_id]


async def test_lists_with_auto_verify_are_paid_in_the_order_in_which_they_become_ready(
    serve: Serve,
) -> None:
    caller = await serve(credits=1)
    first = await caller.upload("a@example.com\n", auto_verify="true")
    second = await caller.upload("a@example.com\n", auto_verify="true")
    caller.sandbox.advance(1000)
    assert caller.sandbox.ledger.starts == [first]
    assert (await caller.status(first))["status"] == "completed"
    assert (await caller.status(second))["status"] == "ready"
    caller.sandbox.credits = 1
    caller.sandbox.advance(1000)
    assert (await caller.status(second))["status"] == "ready"
    assert (await caller.start(second)).status == 200


async def test_credits_that_come_too_late_start_nothing(serve: Serve) -> None:
    caller = await serve(credits=0, speed=0)
    job_id = await caller.upload(LIST, auto_verify="true")
    caller.sandbox._account.clock.advance(10)
    caller.sandbox.credits = 100
    assert (await caller.status(job_id))["status"] == "ready"
    assert caller.sandbox.ledger.starts == []


async def test_an_account_under_review_starts_nothing_by_itself(caller: Caller) -> None:
    caller.sandbox.restricted = True
    job_id = await caller.upload(LIST, auto_verify="true")
    caller.sandbox.advance(1000)
    assert (await caller.status(job_id))["status"] == "ready"
    assert caller.sandbox.ledger.credits_spent == 0


async def test_a_list_that_ends_before_it_gets_ready_is_not_paid(caller: Caller) -> None:
    job_id = await caller.upload(LIST, auto_verify="true")
    caller.sandbox.cancel(job_id)
    await caller.upload("no address\n", auto_verify="true")
    caller.sandbox.advance(1000)
    assert caller.sandbox.ledger.starts == []
    assert caller.sandbox.credits == 1_000_000


async def test_the_credits_can_be_asked_for(serve: Serve) -> None:
    caller = await serve(credits=100)
    answer = await caller.ask("GET", "/info")
    assert answer.body == json.loads((PAYLOADS / "credits.json").read_text())


async def test_uploads_are_noted_with_their_names(caller: Caller) -> None:
    first = await caller.upload(LIST, filename="contacts.csv")
    caller.sandbox.advance(10)
    answer = await caller.send_rows({"email": "a@example.com"}, title="Contacts")
    untitled = await caller.send_rows({"email": "a@example.com"}, title=17)
    assert caller.sandbox.ledger.uploads == [
        Upload(job_id=first, total=3, filename="contacts.csv", title=None, time=EPOCH),
        Upload(
            job_id=answer.body["job_id"],
            total=1,
            filename=None,
            title="Contacts",
            time=EPOCH + timedelta(seconds=10),
        ),
        Upload(
            job_id=untitled.body["job_id"],
            total=1,
            filename=None,
            title=None,
            time=EPOCH + timedelta(seconds=10),
        ),
    ]


async def test_the_ledger_shows_no_addresses_of_lists(caller: Caller) -> None:
    await caller.bring("secret@example.com\n", "completed")
    assert "secret" not in repr(caller.sandbox.ledger)
    assert "secret" not in repr(caller.sandbox._account)


async def test_requests_are_counted_by_endpoint(caller: Caller) -> None:
    job_id = await caller.bring(LIST, "completed")
    await caller.download(job_id)
    await caller.delete(job_id)
    assert caller.sandbox.ledger.requests == {
        "upload": 1,
        "start": 1,
        "status": 1,
        "download": 1,
        "delete": 1,
    }
    assert caller.sandbox.ledger.downloads == [job_id]


@pytest.mark.parametrize(
    ("address", "result", "accept_all", "flags"),
    [
        ("support@bouncify.io", "accept all", 1, {"role"}),
        ("deliverable@gmail.com", "deliverable", 2, {"free_email"}),
        ("accept-all@example.com", "accept all", 1, set()),
        ("unknown+1@mailinator.com", "unknown", 2, {"disposable"}),
        ("spamtrap@example.com", "undeliverable", 0, {"spamtrap"}),
        ("deliverable@company.test", "deliverable", 2, set()),
        ("jane@company.test", "undeliverable", 0, set()),
    ],
)
async def test_a_single_address_is_verified(
    caller: Caller, address: str, result: str, accept_all: int, flags: set[str]
) -> None:
    sample = json.loads((PAYLOADS / "verify_one.json").read_text())
    found = (await caller.ask("GET", "/verify", {"email": address, "timeout": "30000"})).body
    assert list(found) == list(sample)
    assert found["email"] == address
    assert f"{found['user']}@{found['domain']}" == address
    assert (found["result"], found["accept_all"]) == (result, accept_all)
    names = ("role", "free_email", "disposable", "spamtrap")
    assert {name for name in names if found[name] == 1} == flags
    assert caller.sandbox.credits == 999_999


@pytest.mark.parametrize(
    ("vendor", "spelling"), [("bouncify", "accept all"), ("validto", "accept-all")]
)
async def test_each_vendor_spells_accept_all_in_its_way(
    serve: Serve, vendor: str, spelling: str
) -> None:
    caller = await serve(vendor=vendor)
    answer = await caller.ask("GET", "/verify", {"email": "accept-all@example.com"})
    assert answer.body["result"] == spelling
    job_id = await caller.bring("accept-all@example.com\n", "completed")
    assert (await caller.download(job_id)).table[1][1] == "accept-all"

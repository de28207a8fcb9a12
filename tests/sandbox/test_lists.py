"""A list from its upload to its results, by every endpoint."""

import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from bulkverify.errors import IllegalTransitionError
from bulkverify.lifecycle import MAIN_LINE
from bulkverify.sandbox import Timings

from .caller import Caller, Serve

pytestmark = pytest.mark.asyncio

DAY = 24 * 3600
PAYLOADS = Path(__file__).parent.parent / "payloads"
STATUSES = ["preparing", "ready", "verifying", "completed", "failed", "cancelled"]
LIST = "email\ndeliverable@gmail.com\naccept-all+1@example.com\n"


def payload(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((PAYLOADS / f"{name}.json").read_text())
    return loaded


@pytest.mark.parametrize("status", STATUSES)
async def test_a_status_has_the_fields_and_the_message_of_the_sample(
    caller: Caller, status: str
) -> None:
    sample = payload(f"status_{status}")
    found = await caller.status(await caller.bring(LIST, status))
    assert list(found) == list(sample)
    assert found["message"] == sample["message"]
    assert found["success"] is True
    assert found["created_at"] == "08/13/2021, 9:39:37 AM"


async def test_a_list_passes_through_all_statuses(serve: Serve) -> None:
    caller = await serve(timings=Timings(verifying_per_address=0))
    job_id = await caller.upload(LIST)
    seen = [(await caller.status(job_id))["status"]]
    for seconds in (2.01, 1, 12):
        caller.sandbox.advance(seconds)
        seen.append((await caller.status(job_id))["status"])
        await caller.start(job_id)
    assert seen == list(MAIN_LINE)


async def test_counters_grow_and_everything_is_verified_before_it_is_completed(
    caller: Caller,
) -> None:
    job_id = await caller.bring("email\n" + "unknown@example.com\n" * 100, "ready")
    await caller.start(job_id)
    seen = []
    for _ in range(17):
        found = await caller.status(job_id)
        seen.append((found["status"], found.get("verified"), found.get("pending")))
        if found["status"] == "verifying":
            assert found["results"]["unknown"] == found["verified"]
        caller.sandbox.advance(1)
    assert seen[0] == ("ready", None, None)
    assert seen[1:4] == [("verifying", 0, 100), ("verifying", 8, 92), ("verifying", 16, 84)]
    assert seen[13:15] == [("verifying", 100, 0)] * 2
    assert seen[15] == ("completed", 100, 0)


@pytest.mark.parametrize("path", [True, False])
async def test_the_id_of_a_list_may_be_in_the_path_or_a_parameter(
    caller: Caller, *, path: bool
) -> None:
    job_id = await caller.bring(LIST, "ready")
    place, params = (f"/bulk/{job_id}", {}) if path else ("/bulk", {"job_id": job_id})
    assert (await caller.ask("GET", place, params)).body["status"] == "ready"
    started = await caller.ask("PATCH", place, params, {"action": "start"})
    assert started.body == payload("started") | {"job_id": job_id}
    caller.sandbox.advance(60)
    deleted = await caller.ask("DELETE", place, params)
    assert deleted.body == payload("deleted") | {"job_id": job_id}


@pytest.mark.parametrize("text", ["true", "True"])
@pytest.mark.parametrize(
    "where", ["form", "file and query", "json", "json boolean", "json and query"]
)
async def test_a_list_with_auto_verify_starts_by_itself(
    caller: Caller, where: str, text: str
) -> None:
    rows = [{"email": "a@example.com"}]
    match where:
        case "form":
            answer = await caller.send_file(LIST, auto_verify=text)
        case "file and query":
            form = aiohttp.FormData()
            form.add_field("local_file", LIST, filename="list.csv")
            answer = await caller.ask("POST", "/bulk", {"auto_verify": text}, data=form)
        case "json":
            answer = await caller.send_rows(*rows, auto_verify=text)
        case "json boolean":
            answer = await caller.send_rows(*rows, auto_verify=True)
        case _:
            answer = await caller.ask("POST", "/bulk", {"auto_verify": text}, {"emails": rows})
    job_id = answer.body["job_id"]
    assert answer.body == payload("uploaded_auto_verify") | {"job_id": job_id}
    assert (await caller.status(job_id))["status"] == "preparing"
    assert caller.sandbox.ledger.starts == []
    caller.sandbox.advance(2.5)
    assert (await caller.status(job_id))["status"] == "ready"
    assert caller.sandbox.ledger.starts == [job_id]
    caller.sandbox.advance(1)
    assert (await caller.status(job_id))["status"] == "verifying"
    assert (await caller.start(job_id)).refusal == (400, "Verification has already started.")


@pytest.mark.parametrize("value", ["false", "1", ""])
async def test_any_other_auto_verify_starts_nothing(caller: Caller, value: str) -> None:
    job_id = await caller.upload(LIST, auto_verify=value)
    caller.sandbox.advance(1000)
    assert (await caller.status(job_id))["status"] == "ready"


@pytest.mark.parametrize("code", [200, 201])
async def test_an_upload_is_acknowledged_as_the_vendor_does(serve: Serve, code: int) -> None:
    caller = await serve(upload_status=code)
    answer = await caller.send_file(LIST)
    job_id = answer.body["job_id"]
    assert answer.status == code
    assert answer.body == payload("uploaded") | {"job_id": job_id}
    assert len(job_id) == 36
    assert job_id.isalnum()
    assert job_id == job_id.lower()


async def test_the_seed_decides_the_ids(serve: Serve) -> None:
    ids = [await (await serve(seed=seed)).upload(LIST) for seed in (1, 1, 2)]
    assert ids[0] == ids[1] != ids[2]


async def test_the_clock_of_the_sandbox_dates_a_list(caller: Caller) -> None:
    caller.sandbox.advance(3 * 3600)
    found = await caller.status(await caller.upload(LIST))
    assert found["created_at"] == "08/13/2021, 12:39:37 PM"


@pytest.mark.parametrize("status", ["preparing", "ready", "verifying"])
async def test_a_list_can_be_ended_from_outside(caller: Caller, status: str) -> None:
    first, second = [await caller.bring(LIST, status) for _ in range(2)]
    caller.sandbox.cancel(first)
    caller.sandbox.fail(second)
    caller.sandbox.cancel(first)
    caller.sandbox.advance(10_000)
    assert await caller.status(first) == payload("status_cancelled") | {
        "job_id": first,
        "total": 2,
        "created_at": (await caller.status(first))["created_at"],
    }
    found = await caller.status(second)
    assert (found["status"], found["total"]) == ("failed", 0)


@pytest.mark.parametrize("status", ["completed", "failed"])
async def test_a_list_that_has_ended_cannot_be_cancelled(caller: Caller, status: str) -> None:
    job_id = await caller.bring(LIST, status)
    with pytest.raises(IllegalTransitionError, match=job_id):
        caller.sandbox.cancel(job_id)


@pytest.mark.parametrize("told", [False, True])
async def test_the_total_may_be_known_while_a_list_is_preparing(
    serve: Serve, *, told: bool
) -> None:
    caller = await serve(total_while_preparing=told)
    found = await caller.status(await caller.upload(LIST))
    assert found["status"] == "preparing"
    assert found.get("total") == (2 if told else None)
    assert "analysis" not in found


@pytest.mark.parametrize("status", ["ready", "completed", "failed", "cancelled"])
async def test_a_list_is_deleted_after_30_days(caller: Caller, status: str) -> None:
    job_id = await caller.bring(LIST, status)
    caller.sandbox.advance(28 * DAY)
    assert (await caller.status(job_id))["status"] == status
    caller.sandbox.advance(2 * DAY)
    assert (await caller.ask("GET", f"/bulk/{job_id}")).refusal == (400, "Job not found")
    assert (await caller.start(job_id)).refusal == (400, "Job not found")
    assert (await caller.download(job_id)).refusal == (400, "Job not found")
    assert (await caller.delete(job_id)).refusal[1] == "List not found, may be already deleted."


async def test_an_expired_list_takes_no_place(serve: Serve) -> None:
    caller = await serve(max_lists=1)
    await caller.bring(LIST, "ready")
    caller.sandbox.advance(29 * DAY)
    assert (await caller.send_file(LIST)).status == 400
    caller.sandbox.advance(DAY)
    assert (await caller.send_file(LIST)).status == 201


async def test_a_sandbox_can_keep_its_lists_for_ever(serve: Serve) -> None:
    caller = await serve(retention_days=None)
    job_id = await caller.bring(LIST, "ready")
    caller.sandbox.advance(10_000 * DAY)
    assert (await caller.start(job_id)).status == 200


async def test_a_list_is_kept_while_it_is_being_verified(serve: Serve) -> None:
    caller = await serve(timings=Timings(verifying=40 * DAY))
    job_id = await caller.bring(LIST, "verifying")
    caller.sandbox.advance(39 * DAY)
    assert (await caller.status(job_id))["status"] == "verifying"
    caller.sandbox.advance(2 * DAY)
    assert len((await caller.download(job_id)).table) == 3


async def test_a_list_of_one_address_can_be_paid_and_fail(serve: Serve) -> None:
    caller = await serve(single_record_fails=True)
    lone, pair = [await caller.upload(text) for text in ("a@x.com\n", "a@x.com\nb@x.com\n")]
    caller.sandbox.advance(3)
    for job_id in (lone, pair):
        assert (await caller.start(job_id)).status == 200
    caller.sandbox.advance(100)
    assert (await caller.status(lone))["status"] == "failed"
    assert (await caller.status(pair))["status"] == "completed"
    assert caller.sandbox.ledger.spent_on(lone) == 1


async def test_only_a_known_list_can_be_ended(caller: Caller) -> None:
    with pytest.raises(KeyError):
        caller.sandbox.cancel("x" * 36)


async def test_all_timings_may_be_zero(serve: Serve) -> None:
    nothing = Timings(
        preparing=0,
        preparing_per_address=0,
        start_delay=0,
        verifying=0,
        verifying_per_address=0,
        finishing=0,
    )
    caller = await serve(timings=nothing)
    job_id = await caller.upload(LIST, auto_verify="true")
    assert (await caller.status(job_id))["status"] == "completed"
    assert len((await caller.download(job_id)).table) == 3


async def test_a_list_of_the_largest_size_goes_all_the_way(caller: Caller) -> None:
    content = "email\n" + "".join(f"u{number}@x.com\n" for number in range(500_000))
    job_id = await caller.bring(content, "completed")
    found = await caller.status(job_id)
    assert found["total"] == found["verified"] == sum(found["results"].values()) == 500_000
    answer = await caller.download(job_id, "unknown")
    assert "Content-Length" not in answer.headers
    assert answer.content.count(b"\n") - 1 == found["results"]["unknown"]
    assert caller.sandbox.ledger.paid["u499999@x.com"] == 1

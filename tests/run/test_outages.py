"""Which errors a run waits out, and for how long."""

import asyncio
from pathlib import Path

import pytest

from bulkverify import (
    BulkVerifyError,
    Client,
    ConnectionFailedError,
    Credits,
    ListLimitError,
    RateLimitedError,
    RequestTimeoutError,
    RunProgress,
    ServerError,
    Stage,
    StartUncertainError,
)
from bulkverify.run import outages
from bulkverify.run.outages import Outages
from bulkverify.sandbox import Fault, FaultKind, Sandbox
from bulkverify.sandbox.ledger import Endpoint

from .lists import left_behind, table, verified


class Attempts:
    """Raises the given errors in turn, and then succeeds."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.told: list[str] = []

    async def __call__(self) -> str:
        if self.errors:
            raise self.errors.pop(0)
        return "done"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Advance the clock by ten seconds at each look, and skip the pauses."""
    now = [0.0]

    def tick() -> float:
        now[0] += 10
        return now[0]

    monkeypatch.setattr(outages, "FIRST_PAUSE", 0.0)
    monkeypatch.setattr(outages, "LONGEST_OUTAGE", 35.0)
    monkeypatch.setattr(outages, "now", tick)
    return now


@pytest.mark.asyncio
@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize(
    ("errors", "notes"),
    [
        ([], []),
        ([ListLimitError("Full.", text="no more")], ["waits for room: no more"]),
        ([ConnectionFailedError("Broken.")] * 3, ["waits for the service: Broken."] * 3),
        ([ListLimitError("Full.")] * 5, ["waits for room: Full."] * 5),
        ([StartUncertainError("Lost.")], ["waits for the service: Lost."]),
        ([RequestTimeoutError("Late.")], ["waits for the service: Late."]),
        ([RateLimitedError("Many.")], ["waits for the service: Many."]),
    ],
)
async def test_outages_and_full_accounts_are_waited_out(
    errors: list[Exception], notes: list[str]
) -> None:
    attempts = Attempts(*errors)
    assert await Outages(60.0).retry(attempts, attempts.told.append) == "done"
    assert attempts.told == notes


@pytest.mark.asyncio
@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize(
    ("error", "timeout", "attempts"),
    [
        (ConnectionFailedError, None, 4),
        (ServerError, 20.0, 2),
        (ListLimitError, 60.0, 6),
        (ListLimitError, 0.0, 1),
        (ValueError, 60.0, 1),
    ],
)
async def test_no_wait_exceeds_its_timeout(
    error: type[Exception], timeout: float | None, attempts: int
) -> None:
    failing = Attempts(*[error()] * 100)
    with pytest.raises(error):
        await Outages(timeout).retry(failing, failing.told.append)
    assert len(failing.errors) == 100 - attempts


@pytest.mark.asyncio
@pytest.mark.parametrize("endpoint", ["upload", "start", "credits", "download"])
async def test_an_outage_in_the_middle_of_a_run_is_waited_out(  # noqa: PLR0917 - fixtures
    sandbox: Sandbox,
    client: Client,
    source: Path,
    output: Path,
    endpoint: Endpoint,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(outages, "LONGEST_OUTAGE", 60.0)
    notes: set[tuple[Stage, str]] = set()

    def note(seen: RunProgress) -> None:
        if seen.part and seen.part.note:
            notes.add((seen.part.stage, seen.part.note.partition(":")[0]))

    kind, status = (FaultKind.ANSWER, 429) if endpoint == "upload" else (FaultKind.DROP, 502)
    sandbox.inject(Fault(endpoint=endpoint, kind=kind, status=status, times=5))
    report = await verified(client, source, output, on_progress=note)
    assert {why for _, why in notes} == {"waits for the service"}
    assert (report.credits_spent, report.credits_spent_before, report.orphans) == (2, 0, 0)
    assert len(table(output)) == 4


@pytest.mark.asyncio
async def test_the_first_request_for_credits_waits_out_an_outage(
    sandbox: Sandbox, client: Client, source: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outages, "LONGEST_OUTAGE", 60.0)
    told: list[RunProgress] = []
    # More often than the client itself repeats the request.
    sandbox.inject(Fault(endpoint="credits", kind=FaultKind.ANSWER, status=503, times=9))
    report = await verified(client, source, output, on_progress=told.append)
    assert report.credits_spent == 2
    notes = [(seen.part.stage, seen.part.note) for seen in told if seen.part and seen.part.note]
    assert len(notes) == 2
    assert {stage for stage, _ in notes} == {Stage.QUEUED}
    assert all(note.startswith("waits for the service: ") for _, note in notes)


# Retry-After


class Clock:
    """A clock that only moves during sleeps and waits."""

    def __init__(self) -> None:
        self.time = 0.0
        self.pauses: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.time += seconds


@pytest.fixture
def passing(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(outages, "FIRST_PAUSE", 2.0)
    monkeypatch.setattr(outages, "LONGEST_OUTAGE", 900.0)
    monkeypatch.setattr(outages, "now", lambda: clock.time)
    monkeypatch.setattr(asyncio, "sleep", clock.sleep)
    return clock


def lost_in_a_503(retry_after: float) -> StartUncertainError:
    error = StartUncertainError("Lost.")
    error.__cause__ = ServerError("503", retry_after=retry_after)
    return error


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("errors", "pauses"),
    [
        ([ServerError("503")] * 7, [2, 4, 8, 16, 32, 60, 60]),
        ([ServerError("503", retry_after=600)], [600]),
        ([RateLimitedError("429", retry_after=5)] * 3, [5, 5, 8]),
        ([RateLimitedError("429", retry_after=0)], [2]),
        ([lost_in_a_503(300.0)], [300]),
    ],
)
async def test_no_attempt_comes_earlier_than_retry_after(
    passing: Clock, errors: list[Exception], pauses: list[float]
) -> None:
    attempts = Attempts(*errors)
    assert await Outages(None).retry(attempts, attempts.told.append) == "done"
    assert passing.pauses == pauses


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("timeout", "asked", "pauses"),
    [(None, 901.0, []), (10.0, 11.0, []), (None, 900.0, [900.0]), (3.0, None, [2.0, 1.0])],
)
async def test_a_retry_after_beyond_the_timeout_raises_at_once(
    passing: Clock, timeout: float | None, asked: float | None, pauses: list[float]
) -> None:
    attempts = Attempts(*[ServerError("503", retry_after=asked)] * 9)
    with pytest.raises(ServerError):
        await Outages(timeout).retry(attempts, attempts.told.append)
    assert passing.pauses == pauses


@pytest.mark.asyncio
async def test_the_end_of_a_list_does_not_cut_retry_after_short(
    passing: Clock,
) -> None:
    held = Outages(None)

    async def attempt() -> str:
        held.list_ended()
        if passing.time < 600:
            raise ServerError("503", retry_after=600)
        return "done"

    assert await held.retry(attempt, lambda _: held.list_ended()) == "done"
    assert passing.pauses == [600]


@pytest.mark.asyncio
@pytest.mark.usefixtures("passing")
@pytest.mark.parametrize(
    ("kind", "attempts"), [(ConnectionFailedError, 1), (RequestTimeoutError, 1), (ServerError, 2)]
)
async def test_a_service_that_was_never_reached_raises_at_once(
    kind: type[Exception], attempts: int
) -> None:
    error = kind("Broken.") if kind is ServerError else kind("Broken.", sent=False)  # type: ignore[call-arg]
    failing = Attempts(error)
    held = Outages(None, reached=False)
    if attempts == 1:
        with pytest.raises(kind):
            await held.retry(failing, failing.told.append)
    assert await held.retry(failing, failing.told.append) == "done"
    failing.errors.append(ConnectionFailedError("Broken.", sent=False))
    assert await held.retry(failing, failing.told.append) == "done"  # the service was there before


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", [ListLimitError, ServerError, RateLimitedError])
async def test_a_service_that_has_refused_was_reached_and_is_waited_for(
    kind: type[BulkVerifyError],
) -> None:
    failing = Attempts(kind("No."), ConnectionFailedError("Broken.", sent=False))
    assert await Outages(None, reached=False).retry(failing, failing.told.append) == "done"
    assert len(failing.told) == 2


# Room


class Room:
    """Refuses lists while there is no room."""

    def __init__(self, free: int = 0) -> None:
        self.free = free
        self.attempts = 0

    async def __call__(self) -> str:
        self.attempts += 1
        await asyncio.sleep(0)
        if not self.free:
            raise ListLimitError("Full.")
        self.free -= 1
        return "done"


@pytest.mark.asyncio
async def test_the_end_of_a_list_wakes_all_waits_for_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(outages, "FIRST_PAUSE", 3600.0)
    held, room = Outages(None), Room()
    waiting = [asyncio.create_task(held.retry(room, lambda _: None)) for _ in range(3)]
    for _ in range(10):
        await asyncio.sleep(0)
    assert len(held._pausing) == 3
    room.free = 3
    held.list_ended()
    held.list_ended()  # two lists may end at once
    assert await asyncio.gather(*waiting) == ["done"] * 3
    assert (room.attempts, held._pausing) == (6, set())


@pytest.mark.asyncio
async def test_the_end_of_a_list_during_another_attempt_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(outages, "FIRST_PAUSE", 3600.0)
    held, room = Outages(None), Room()
    begun = 0

    async def attempt() -> str:
        nonlocal begun
        begun += 1
        if begun == 1:  # the attempt is refused, and only then the list ends
            refused = await asyncio.gather(room(), return_exceptions=True)
            room.free = 1
            held.list_ended()
            other = asyncio.create_task(held.retry(nothing_to_do, lambda _: None))
            await other  # it must not hide the end of the list from this attempt
            assert isinstance(refused[0], ListLimitError)
            raise refused[0]
        return await room()

    async def nothing_to_do() -> None:
        return None

    assert await held.retry(attempt, lambda _: None) == "done"
    assert begun == 2


@pytest.mark.asyncio
async def test_pauses_for_room_get_longer_until_a_list_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seconds: list[float] = []

    async def an_end(_: Outages, pause: float) -> bool:
        seconds.append(pause)
        return len(seconds) == 2

    monkeypatch.setattr(outages, "FIRST_PAUSE", 2.0)
    monkeypatch.setattr(Outages, "_list_ends", an_end)
    attempts = Attempts(*[ListLimitError("Full.")] * 8)
    assert await Outages(None).retry(attempts, attempts.told.append) == "done"
    assert seconds == [2, 4, 4, 8, 16, 32, 60, 60]


@pytest.mark.asyncio
async def test_a_start_that_stayed_uncertain_for_long_counts_as_spent(
    sandbox: Sandbox, client: Client, source: Path, output: Path
) -> None:
    # The first start arrives. Its answer is lost, and each request for the status after it fails.
    sandbox.inject(Fault(endpoint="start", kind=FaultKind.DROP_AFTER))
    sandbox.inject(Fault(endpoint="start", kind=FaultKind.DROP, times=4))
    sandbox.inject(Fault(endpoint="status", kind=FaultKind.STALE, skip=1, times=4))
    report = await verified(client, source, output)
    assert sandbox.ledger.credits_spent == 2
    assert (report.credits_spent, report.credits_spent_before) == (2, 0)


@pytest.mark.asyncio
async def test_a_resumed_run_waits_for_a_service_that_is_out_of_reach_from_the_start(
    client: Client, source: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(seen: RunProgress) -> None:
        if seen.stage is Stage.STARTING:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        await verified(client, source, output, on_progress=stop)
    credits_, refused = client.credits, [ConnectionFailedError("Broken.", sent=False)]

    async def refuse_once() -> Credits:
        if refused:
            raise refused.pop()
        return await credits_()

    monkeypatch.setattr(client, "credits", refuse_once)
    report = await verified(client, source, output)
    assert (report.credits_spent, refused) == (2, [])


@pytest.mark.asyncio
async def test_a_service_out_of_reach_from_the_start_raises_at_once(
    source: Path, output: Path
) -> None:
    async with Client("k", base_url="http://127.0.0.1:9/v1", attempts=1) as client:
        told: list[RunProgress] = []
        with pytest.raises(ConnectionFailedError):
            await verified(client, source, output, on_progress=told.append)
    assert not [seen for seen in told if seen.part and seen.part.note]
    assert left_behind(output) == []

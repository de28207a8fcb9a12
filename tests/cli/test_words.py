"""The pure parts: durations, forecasts, commands to continue with, and errors."""

import re

import pytest

from bulkverify.cli.exits import exit_of
from bulkverify.cli.failures import describe
from bulkverify.cli.options import parse_duration, show_duration
from bulkverify.cli.resume import Recovery
from bulkverify.cli.shown import clock
from bulkverify.cli.text import snapshot_line
from bulkverify.cli.wrapping import fitted
from bulkverify.errors import (
    BulkVerifyError,
    ConnectionFailedError,
    InsufficientCreditsError,
    InvalidListError,
    JobNotStartedError,
    RequestTimeoutError,
    StartUncertainError,
    UploadUncertainError,
    UsageError,
    WaitTimeoutError,
)
from bulkverify.lifecycle import JobStatus
from bulkverify.models import JobSnapshot
from bulkverify.run.progress import Forecast
from bulkverify.waiting.waiters import not_started


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("90", 90), ("90s", 90), ("1.5m", 90), ("15m", 900), ("6H", 21600)],
)
def test_a_duration_is_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "-1", "nan", "inf", "1d", "1e3", "1 2", "٣"])
def test_an_invalid_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a time"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (0.5, "0.5s"), (90, "90s"), (900, "15m"), (86400, "24h")]
)
def test_a_duration_is_written_as_it_is_read(seconds: float, text: str) -> None:
    assert show_duration(seconds) == text
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError(), 2),
        (InvalidListError(), 2),
        (InvalidListError(status=400), 3),
        (InsufficientCreditsError(), 3),
        (FileNotFoundError(), 2),
        (JobNotStartedError(), 4),
        (WaitTimeoutError(), 5),
        (ConnectionFailedError(), 6),
        (RequestTimeoutError(), 6),
        (UploadUncertainError(), 6),
        (KeyboardInterrupt(), 130),
        (BulkVerifyError(), 1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_error_has_its_exit_code(error: BaseException, code: int) -> None:
    assert exit_of(error).value == code


def test_a_forecast_follows_the_rate_and_counts_down() -> None:
    forecast = Forecast()
    assert (forecast.rate, forecast.left(0, 100)) == (None, None)
    forecast.see(10, 0)
    assert forecast.rate is None
    forecast.see(20, 50)
    assert forecast.rate == 5
    assert forecast.left(20, 100) == 10
    assert forecast.left(24, 100) == 6
    assert forecast.left(99, 100) == 0


@pytest.mark.parametrize(("begun", "done"), [(0, 4), (50, 52)])
def test_the_first_twentieth_of_the_rest_gives_no_forecast(begun: int, done: int) -> None:
    forecast = Forecast()
    forecast.see(0, begun)
    forecast.see(1, done)
    assert forecast.left(1, 100) is None
    forecast.see(2, done + 1)
    assert forecast.left(2, 100) is not None


def test_a_forecast_starts_anew_when_the_count_falls() -> None:
    forecast = Forecast()
    forecast.see(0, 50)
    forecast.see(10, 10)
    forecast.see(20, 20)
    assert forecast.rate == 1


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (65.9, "1:05"), (3661, "1:01:01")])
def test_a_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text


@pytest.mark.parametrize(
    ("tokens", "command"),
    [
        (["verify", "a b.csv"], "bulkverify verify 'a b.csv'"),
        (["verify", "--restart", "a", "--force"], "bulkverify verify a --force"),
        (["verify", "-o", "x", "--", "--restart"], "bulkverify verify -o x -- --restart"),
    ],
)
def test_the_same_command_can_leave_out_a_flag(tokens: list[str], command: str) -> None:
    assert Recovery(tokens=tokens).again(without="--restart") == command


def test_another_command_keeps_the_options_of_the_account() -> None:
    tokens = ["wait", "r1", "--base-url", "u", "--quiet", "--api-key-file=k", "--allow-http"]
    command = "bulkverify start r1 --base-url u --api-key-file=k --allow-http"
    assert Recovery(tokens=tokens).other("start", "r1") == command


@pytest.mark.parametrize(
    ("error", "line", "hint", "resume"),
    [
        (
            not_started(JobSnapshot(job_id="r1", status=JobStatus.READY), 60.0),
            "Job r1 has been ready for 60 seconds and was not started.",
            "Starting it spends the credits.",
            ("bulkverify start r1",),
        ),
        (
            StartUncertainError("Start it again.", job_id="r1"),
            "Start it again.",
            "Starting it again is safe.",
            ("bulkverify start r1",),
        ),
        (
            WaitTimeoutError(
                "Job r1 is still verifying.",
                job_id="r1",
            ).with_hint("Use `wait_until`.", ""),
            "Job r1 is still verifying.",
            "It goes on.",
            ("bulkverify again",),
        ),
        (
            InvalidListError("No.").with_hint("Use `column`.", "Use --column."),
            "No.",
            "Use --column. It goes on.",
            ("bulkverify again",),
        ),
        (OSError("odd"), "odd", "It goes on.", ("bulkverify again",)),
        (
            OSError(5, "I/O error", "f.csv"),
            "f.csv: I/O error.",
            "It goes on.",
            ("bulkverify again",),
        ),
    ],
)
def test_an_error_says_what_to_type_next(
    error: Exception, line: str, hint: str, resume: tuple[str, ...]
) -> None:
    recovery = Recovery()
    if hint.endswith("It goes on."):
        recovery = Recovery(state="It goes on.", resume=["bulkverify again"])
    failure = describe(error, recovery)
    assert (failure.message, failure.hint, failure.resume) == (line, hint, resume)


def test_a_message_is_one_line() -> None:
    assert describe(UsageError("one\n  two"), Recovery()).message == "one two"


def test_a_share_is_whole_only_when_it_is() -> None:
    snapshot = JobSnapshot(job_id="r1", status=JobStatus.VERIFYING, total=1000, verified=999)
    assert snapshot_line(snapshot).endswith("verifying   999 of 1,000 (99%)")


@pytest.mark.parametrize("width", range(30, 80))
def test_no_line_breaks_between_a_number_and_what_it_counts(width: int) -> None:
    line = (
        "flags  74 common-isp, 3 role-based, 5 disposable, 1 spamtrap, 3 syntax-error, and 9 rows"
    )
    shown = fitted(line, width)
    assert " ".join(shown.split()) == " ".join(line.split())
    assert not re.search(r"\d$", shown, re.MULTILINE)
    assert max(map(len, shown.splitlines())) <= width

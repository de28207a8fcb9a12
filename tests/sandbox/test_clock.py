from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkverify.models import parse_timestamp
from bulkverify.sandbox.clock import Clock, iso_text, us_text

EPOCH = datetime(2026, 1, 2, tzinfo=UTC)


class Source:
    seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def test_a_clock_stands_still_until_it_runs() -> None:
    assert Clock(speed=1).now() == 0


@pytest.mark.parametrize("speed", [0, 0.5, 1, 60])
def test_a_running_clock_follows_its_source_at_its_speed(speed: float) -> None:
    clock, source = Clock(speed=speed), Source()
    clock.run(source)
    source.seconds += 10
    assert clock.now() == 10 * speed


def test_a_clock_can_be_moved_on_while_it_runs() -> None:
    clock, source = Clock(speed=2), Source()
    clock.run(source)
    clock.advance(60)
    source.seconds += 10
    assert clock.now() == 80


def test_a_stopped_clock_keeps_its_time_and_continues_from_there() -> None:
    clock, source = Clock(speed=1), Source()
    clock.run(source)
    source.seconds += 10
    clock.halt()
    source.seconds += 10
    assert clock.now() == 10
    clock.run(source)
    source.seconds += 10
    assert clock.now() == 20


def test_the_clock_cannot_go_back() -> None:
    with pytest.raises(ValueError, match="cannot go back by 1 seconds"):
        Clock().advance(-1)


def test_a_negative_speed_is_refused() -> None:
    with pytest.raises(ValueError, match="speed"):
        Clock(speed=-1)


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2021, 8, 13, 9, 39, 37, tzinfo=UTC), "08/13/2021, 9:39:37 AM"),
        (datetime(2021, 8, 5, 12, 7, 21, tzinfo=UTC), "08/05/2021, 12:07:21 PM"),
        (datetime(2021, 8, 3, 15, 35, 32, tzinfo=UTC), "08/03/2021, 3:35:32 PM"),
        (datetime(2024, 12, 31, 0, 0, 5, tzinfo=UTC), "12/31/2024, 12:00:05 AM"),
    ],
)
def test_times_are_written_as_in_the_samples(moment: datetime, text: str) -> None:
    assert us_text(moment) == text


@given(st.datetimes(min_value=datetime(1990, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_what_is_written_can_be_read_again(moment: datetime) -> None:
    assert parse_timestamp(us_text(moment)) == moment.replace(microsecond=0)
    milliseconds = moment.microsecond // 1000 * 1000
    assert parse_timestamp(iso_text(moment)) == moment.replace(microsecond=milliseconds)


def test_no_date_of_a_fast_clock_is_in_the_future() -> None:
    seconds = [0.0]
    clock = Clock(speed=100, epoch=EPOCH)
    clock.run(lambda: seconds[0])
    seconds[0] = 3.0
    assert (clock.now(), clock.date()) == (300, EPOCH + timedelta(seconds=3))
    clock.advance(86_400)
    assert clock.at(300) == EPOCH + timedelta(seconds=3)
    assert clock.date() == EPOCH + timedelta(days=1, seconds=3)
